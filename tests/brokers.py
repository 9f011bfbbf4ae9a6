"""The embedded Kafka with a listener beside the plain one that takes TLS and users only."""

from pathlib import Path
from typing import Final

from deploy.embedded.kafka import Kafka
from deploy.embedded.process import free_port

_MECHANISM: Final = "SCRAM-SHA-512"


class SecuredKafka(Kafka):
    """Clients are told of the secured listener; the plain one is the broker's own."""

    def __init__(self, folder: Path, identity: str, user: str, password: str) -> None:
        """``identity``: PEM, the broker's key and certificate."""
        super().__init__(folder, scram=[f"{_MECHANISM}=[name={user},password={password}]"])
        self._secured_port = free_port()
        folder.mkdir(parents=True)
        pem = folder / "identity.pem"
        pem.write_text(identity)
        # Of a property that is there twice the last counts.
        self._properties = _PROPERTIES.format(
            port=self.port, controller=self.controller_port, secured=self._secured_port, identity=pem
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._secured_port}"


_PROPERTIES: Final = f"""\
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},SASL_SSL://127.0.0.1:{{secured}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_SSL://127.0.0.1:{{secured}}
ssl.keystore.type=PEM
ssl.keystore.location={{identity}}
sasl.enabled.mechanisms={_MECHANISM}
listener.name.sasl_ssl.{_MECHANISM.lower()}.sasl.jaas.config=\\
org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
