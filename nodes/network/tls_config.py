"""The certificates of a TLS connection.

Used by `mqtt-broker` and `http request` nodes. Certificates are files on this machine, in PEM form.

Details
    Without `ca` the other side's certificate must be signed by an authority that this machine trusts already.

    Node-RED can also keep uploaded certificates in its own storage. They are not part of a flow file: save them as
    files and give their paths.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from solarflow.node import Node, NodeRedConfig


class TlsConfig(Node):
    """Says which certificates to use."""

    type = "tls-config"
    category = "network"
    icon = "lock"
    inputs = 0
    outputs = 0
    is_config = True

    class Config(NodeRedConfig):
        """Paths of certificate files."""

        ca: str = ""
        """The file with the certificate of the authority that signed the other side's."""
        cert: str = ""
        """The file with our own certificate, where the other side wants to know who we are."""
        key: str = ""
        """The file with the private key of our own certificate, without a passphrase."""
        ca_name: str = Field(default="", alias="caname")
        """Node-RED's name of an uploaded authority; give `ca` instead."""
        cert_name: str = Field(default="", alias="certname")
        """Node-RED's name of an uploaded certificate; give `cert` instead."""
        key_name: str = Field(default="", alias="keyname")
        """Node-RED's name of an uploaded key; give `key` instead."""
        verify: bool = Field(default=True, alias="verifyservercert")
        """Check the other side's certificate and name. Without it anybody between may read and change everything."""
        server_name: str = Field(default="", alias="servername")
        """A server name other than the host's; not available here, leave it empty."""
        alpn_protocol: str = Field(default="", alias="alpnprotocol")
        """The protocol to agree on within TLS; not available here, leave it empty."""

        @model_validator(mode="before")
        @classmethod
        def _unset_is_default(cls, values: Any) -> Any:
            return {k: v for k, v in values.items() if v not in ("", None)} if isinstance(values, dict) else values

        @model_validator(mode="after")
        def _files_are_given(self) -> Self:
            for name, path, uploaded in (
                ("ca", self.ca, self.ca_name), ("cert", self.cert, self.cert_name), ("key", self.key, self.key_name),
            ):  # fmt: skip
                if uploaded and not path:
                    raise ValueError(
                        f"'{uploaded}' was uploaded to another editor and is not in this file; save it on this machine "
                        f"and give its path as '{name}'"
                    )
            if bool(self.cert) != bool(self.key):
                raise ValueError("cert and key belong together; give both, or neither")
            if self.server_name or self.alpn_protocol:
                raise ValueError("servername and alpnprotocol cannot be set here; leave them empty")
            return self

    config: Config
