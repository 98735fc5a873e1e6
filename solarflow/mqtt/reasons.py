"""Why a connection failed, in words that say what to do about it."""

from __future__ import annotations

import socket
import ssl

from paho.mqtt.reasoncodes import ReasonCode

from solarflow.mqtt.options import BrokerOptions

_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH = 62, 64  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH, ..._IP_ADDRESS_MISMATCH
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_CREDENTIALS = {"Bad user name or password", "Not authorized", "Banned"}


def failed_to_connect(error: Exception, options: BrokerOptions) -> str:
    """The reason when not even a socket came of it: unreachable, or TLS."""
    at = options.address
    match error:
        case ssl.SSLCertVerificationError(verify_code=code) if code in (_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH):
            return (
                f"{at}: the broker's certificate is not for the name '{options.host}'; use a name that the "
                "certificate holds, or have one issued for this name"
            )
        case ssl.SSLCertVerificationError(verify_code=code) if code == _EXPIRED:
            return f"{at}: the broker's certificate has expired; renew it at the broker (and check this clock)"
        case ssl.SSLCertVerificationError():
            return (
                f"{at}: the broker's certificate is not trusted ({error.verify_message}); set ca_file to the "
                "certificate of the authority that signed it"
            )
        case ssl.SSLError() | ConnectionResetError() if options.tls:
            return f"{at}: TLS failed ({error}); check that port {options.port} is the broker's TLS port"
        case socket.gaierror():
            return f"{at}: there is no host '{options.host}'; check the name and the network's DNS"
        case ConnectionRefusedError():
            return f"{at}: nothing answers on port {options.port}; check that the broker runs, and its port"
        case TimeoutError():
            return f"{at}: no answer; check the address, the network and any firewall in between"
        case _:
            return f"{at}: cannot be reached ({error}); check the address and the network"


def refused_by_broker(reason: ReasonCode, options: BrokerOptions) -> str:
    """The reason when the broker answered CONNECT with a no."""
    name = reason.getName()
    at = options.address
    if name in _CREDENTIALS:
        who = f"user '{options.username}'" if options.username is not None else "a client without user and password"
        return f"{at}: the broker does not let {who} in ({name}); correct user and password, or the broker's list"
    if name == "Unsupported protocol version":
        other = "4 (MQTT 3.1.1)" if options.protocol == 5 else "5"
        return f"{at}: the broker does not speak protocol {options.protocol}; set protocol to {other}"
    if name == "Client identifier not valid":
        return f"{at}: the broker refuses the client id '{options.client_id}'; give another client_id"
    return f"{at}: the broker refused the connection ({name}); its log says more"


def no_answer(options: BrokerOptions, waited_s: float | None) -> str:
    """The reason when the socket was there but CONNECT got no answer: it closed, or was silent for `waited_s`."""
    what = f"no answer within {waited_s:g} s" if waited_s is not None else "the connection was closed without an answer"
    hint = (
        "a client certificate may be required (cert_file, key_file)"
        if options.tls
        else "a TLS port needs mqtts:// (tls)"
    )
    return f"{options.address}: {what}; check that port {options.port} is an MQTT port; {hint}"


def lost(reason: ReasonCode | None, options: BrokerOptions) -> str:
    """The reason when a working connection ended and nobody here asked for it."""
    name = reason.getName() if reason is not None else ""
    if name == "Session taken over":
        return f"{options.address}: another client logged in as '{options.client_id}'; give each its own client_id"
    if name == "Keep alive timeout":
        return f"{options.address}: the broker fell silent; connecting anew"
    known = f" ({name})" if name not in ("", "Unspecified error", "Normal disconnection") else ""
    return f"{options.address}: the connection was lost{known}; connecting anew"
