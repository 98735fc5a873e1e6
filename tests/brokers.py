"""A real Mosquitto for tests: on a port of its own, with a configuration of its own, gone when the test ends.

    with Mosquitto(tmp_path) as broker:
        ... broker.port ...

Call `require_mosquitto()` (the constructor does) to skip, with the reason, where the program is not installed.
"""

from __future__ import annotations

import base64
import datetime
import getpass
import hashlib
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

START_S = 10.0


def find_mosquitto() -> str | None:
    """The broker's program; Debian keeps it outside an ordinary user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def require_mosquitto() -> str:
    found = find_mosquitto()
    if found is None:
        pytest.skip("needs the broker 'mosquitto', which is not installed here (make deps, or: apt install mosquitto)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Certificates:
    """An authority and a certificate that it signed for 127.0.0.1 and localhost; all files are PEM."""

    ca_file: str
    cert_file: str
    key_file: str


def make_certificates(folder: Path, *, name: str = "test", hosts: Sequence[str] = ("127.0.0.1",)) -> Certificates:
    """Make an authority of its own and have it sign one certificate for `hosts` (and localhost)."""
    x509 = pytest.importorskip("cryptography.x509", reason="needs the package 'cryptography' (the extra 'test')")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)

    def subject(text: str) -> object:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def build(common: str, key: ec.EllipticCurvePrivateKey, issuer: str) -> object:
        return (
            x509.CertificateBuilder()
            .subject_name(subject(common))
            .issuer_name(subject(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    ca = (
        build(f"{name} authority", authority, f"{name} authority")
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    names = [x509.DNSName("localhost")]
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    certificate = (
        build(f"{name} server", server, f"{name} authority")
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = server.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    texts = {"ca": ca.public_bytes(pem), "cert": certificate.public_bytes(pem), "key": key}
    folder.mkdir(parents=True, exist_ok=True)
    for kind, text in texts.items():
        (folder / f"{name}-{kind}.pem").write_bytes(text)
    return Certificates(*(str(folder / f"{name}-{kind}.pem") for kind in ("ca", "cert", "key")))


def password_line(user: str, password: str) -> str:
    """A line of Mosquitto's password file: PBKDF2-HMAC-SHA512, 101 rounds, as mosquitto_passwd writes it."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


class Mosquitto:
    """A running broker.

    `tls`: its certificate; the listener then speaks TLS only. `users`: user -> password; nobody else gets in.
    `acl`: the text of an access list. `extra`: further lines of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tls: Certificates | None = None,
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        self._program = require_mosquitto()
        self.tls = tls
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder = folder / f"mosquitto-{self.port}"
        folder.mkdir(parents=True)
        self._log = folder / "log"
        self._config = folder / "mosquitto.conf"
        lines = [
            f"user {getpass.getuser()}",  # as root it would otherwise become a user who cannot read these files
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {'false' if users is not None else 'true'}",
            "persistence false",
            "log_dest stderr",
            "max_queued_messages 0",
        ]
        if tls is not None:
            lines += [f"certfile {tls.cert_file}", f"keyfile {tls.key_file}", f"cafile {tls.ca_file}"]
        if users is not None:
            (folder / "passwords").write_text("\n".join(password_line(*pair) for pair in users.items()) + "\n")
            lines.append(f"password_file {folder / 'passwords'}")
        if acl is not None:
            (folder / "acl").write_text(acl)
            lines.append(f"acl_file {folder / 'acl'}")
        self._config.write_text("\n".join([*lines, *extra]) + "\n")
        for file in folder.iterdir():
            file.chmod(0o600)
        self.start()

    @property
    def url(self) -> str:
        return f"mqtt{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it answers. Starting it again uses the same port."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self._died_within(0.02) or time.monotonic() > deadline:
                    self.kill()
                    pytest.fail(f"mosquitto did not start:\n{self._config.read_text()}\n{self.log}")

    def _died_within(self, seconds: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """Let it end in order: its clients are told."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9: its clients find their sockets closed."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(10)

    def restart(self) -> None:
        """kill -9, and start on the same port."""
        self.kill()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.kill()
