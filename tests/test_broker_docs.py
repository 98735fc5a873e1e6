"""The Mosquitto files that docs/broker.md shows keep every home to its own topics."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from embedded import BareClient, until

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(
        not (shutil.which("mosquitto") and shutil.which("mosquitto_passwd")), reason="mosquitto is not installed"
    ),
]
PAGE = (Path(__file__).parent.parent / "docs" / "broker.md").read_text()
USERS = {"engine": "secret-e", "casa_A": "secret-a", "casa_B": "secret-b"}


def block(language: str) -> str:
    """The page's one code block in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


@pytest.fixture
def mosquitto(tmp_path):
    """The port of a Mosquitto that runs with the page's files, but without TLS and with the tests' own secrets."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = block("conf").replace("/etc/mosquitto", str(tmp_path))
    configuration = re.sub(r"listener 8883\ncertfile .*\nkeyfile .*\n", f"listener {port} 127.0.0.1\n", configuration)
    (tmp_path / "solarflow.conf").write_text("user root\n" + configuration)  # stays who it is, to read these files
    (tmp_path / "rights").write_text(block("acl"))
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    for user, secret in USERS.items():
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, secret], check=True, capture_output=True)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(["mosquitto", "-c", str(tmp_path / "solarflow.conf")], stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is not None or _answers(port))
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(5)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


def test_with_the_page_s_files_a_home_reaches_its_own_topics_only(mosquitto):
    engine = BareClient(mosquitto, "e", "engine", "secret-e")
    engine.subscribe("comunita/#")
    nosy = BareClient(mosquitto, "a", "casa_A", "secret-a")
    nosy.subscribe("comunita/#")
    home = BareClient(mosquitto, "b", "casa_B", "secret-b")
    home.publish("comunita/casa_A/x", b"forged", 1)
    home.read()
    home.publish("comunita/casa_B/x", b"own", 1)
    home.read()
    assert engine.read_publish()[:2] == ("comunita/casa_B/x", b"own")
    engine.publish("comunita/casa_A/rele/1/set", b"ON")
    assert nosy.read_publish()[:2] == ("comunita/casa_A/rele/1/set", b"ON")


@pytest.mark.parametrize("credential", [(None, None), ("casa_A", "wrong")])
def test_with_the_page_s_files_a_client_without_the_right_credential_is_refused(mosquitto, credential):
    assert BareClient(mosquitto, "x", *credential).return_code == 5
