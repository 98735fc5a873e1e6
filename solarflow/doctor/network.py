"""What `solarflow doctor` looks at on the network: ports, the running instance, a broker."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3

from solarflow.doctor.finding import Finding, Patient
from solarflow.mqtt import BrokerOptions, Connection, State

PORTS: Final = {1880: ("pages", "--port"), 1883: ("embedded broker", "--broker-port")}
"""The usual ports: for what, and how to choose another."""
BROKER_S: Final = 15.0
"""How long a broker has to answer."""
SOON_DAYS: Final = 14.0


def health_of(patient: Patient) -> dict[str, Any] | None:
    """What the running instance says of itself; None where none runs or it does not answer."""
    holder = patient.holder() if patient.data.is_dir() else None
    if holder is None or holder.port is None:
        return None
    try:
        response = urllib3.request("GET", f"http://127.0.0.1:{holder.port}/health", timeout=10, retries=False)
        answer = response.json()
    except (urllib3.exceptions.HTTPError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def ports(patient: Patient) -> Iterator[Finding]:
    """Whether the usual ports are free, or ours."""
    holder = patient.holder() if patient.data.is_dir() else None
    health = health_of(patient) or {}
    own = {holder.port} if holder is not None else set()
    own |= {urlsplit(str(broker.get("address"))).port for broker in health.get("brokers", [])}
    for port, (purpose, option) in PORTS.items():
        name = f"port {port}"
        if _free(port):
            yield Finding(name, "ok", f"free, for the {purpose}")
        elif port in own:
            yield Finding(name, "ok", "used by the running instance")
        elif holder is not None:
            yield Finding(name, "ok", f"used by another program; the running instance's {purpose} does not need it")
        else:
            other = "; if it is a broker, use it with --broker mqtt://127.0.0.1" if port == 1883 else ""
            yield Finding(
                name, "warning", f"used by another program; the {purpose} would not start",
                f"end that program, or choose another port with {option} (0 takes a free one){other}",
            )  # fmt: skip


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def instance(patient: Patient) -> Iterator[Finding]:
    """How the running instance is."""
    holder = patient.holder() if patient.data.is_dir() else None
    if holder is None:
        yield Finding("instance", "ok", "none runs")
        return
    if holder.port is None:
        yield Finding(
            "instance", "warning", f"{holder} answers on no port (yet)",
            "wait a moment; if it stays so, its console or the log says why",
        )  # fmt: skip
        return
    health = health_of(patient)
    if health is None:
        yield Finding(
            "instance", "problem", f"{holder} does not answer",
            "`solarflow logs --level warning` may say why; stop it and start it again",
        )  # fmt: skip
        return
    for text in health.get("problems", []):
        verdict = "problem" if health.get("status") == "down" else "warning"
        yield Finding("instance", verdict, str(text), "`solarflow logs --level warning` says more")  # type: ignore[arg-type]  # one of the three
    if health.get("status") == "ok":
        flows, homes = len(health.get("flows", {})), health.get("homes", 0)
        hours = float(health.get("uptime_s", 0)) / 3600
        safe = ", in safe mode: nothing runs" if health.get("safe_mode") else ""
        yield Finding("instance", "ok", f"well for {hours:.1f} h: {flows} flows, {homes} homes{safe}")


def broker(patient: Patient) -> Iterator[Finding]:
    """Whether a broker can be reached and lets us in, and whether that is safe."""
    if not patient.broker or patient.broker == "embedded":
        return
    options = BrokerOptions.from_url(patient.broker)
    state, reason = asyncio.run(_try(options))
    if state is not State.CONNECTED:
        yield Finding("broker", "problem", reason, "correct what it names, then call this again")
        return
    user = f"as '{options.username}'" if options.username is not None else "without user and password"
    yield Finding("broker", "ok", f"{options.address} lets us in, {user}{', with TLS' if options.tls else ''}")
    if options.tls:
        yield from _certificate(options)
    elif not _here(options.host):
        yield Finding(
            "broker", "warning", f"{options.address} is another machine, and nothing is encrypted: passwords and relay "
            "commands can be read and made by others on the way", "use TLS: --broker mqtts://… (docs/broker.md)",
        )  # fmt: skip


async def _try(options: BrokerOptions) -> tuple[State, str]:
    """How the first attempt to connect ended, and the reason in words."""
    ended: asyncio.Future[tuple[State, str]] = asyncio.get_running_loop().create_future()

    def told(state: State, reason: str) -> None:
        if state in (State.CONNECTED, State.REFUSED) and not ended.done():
            ended.set_result((state, reason))

    connection = Connection(options, told)
    connection.start()
    try:
        return await asyncio.wait_for(ended, BROKER_S)
    except TimeoutError:
        return State.REFUSED, f"{options.address}: no answer within {BROKER_S:g} s; check address, network and firewall"
    finally:
        await connection.stop()


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _certificate(options: BrokerOptions) -> Iterator[Finding]:
    """How long the broker's certificate still lasts."""
    context = options.tls_context()
    with (
        socket.create_connection((options.host, options.port), BROKER_S) as plain,
        context.wrap_socket(plain, server_hostname=options.host) as secured,
    ):
        certificate = secured.getpeercert() or {}
    ends = certificate.get("notAfter")
    if not isinstance(ends, str):
        return
    days = (ssl.cert_time_to_seconds(ends) - time.time()) / 86_400
    if days < SOON_DAYS:
        yield Finding(
            "broker", "warning", f"the certificate of {options.address} ends in {days:.0f} days",
            "renew it at the broker; from then on nobody gets in",
        )  # fmt: skip
    else:
        yield Finding("broker", "ok", f"its certificate is trusted, for this name, and lasts {days:.0f} more days")
