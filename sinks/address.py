"""Where a ClickHouse server is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ClickHouse server is and who we are to it."""

    host: str
    port: int
    user: str = "default"
    password: str = ""
    timeout_s: float = 60.0
    secure: bool = False
    """TLS."""
    ca_file: str = ""
    """What its certificate is checked against; empty: the system's."""
    is_replicated: bool = False
    """Then a majority of the replicas has to have a row before it counts as stored."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
