"""A question to a group's coordinator while another broker becomes it."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.durability.kafka import once_coordinated


class Broker:
    """Refuses to answer so many times."""

    def __init__(self, refusals: int, code: int = KafkaError.NOT_COORDINATOR) -> None:
        self.refusals = refusals
        self.code = code

    def ask(self) -> str:
        if self.refusals:
            self.refusals -= 1
            raise KafkaException(KafkaError(self.code))
        return "at 5"


def test_asked_again_until_there_is_a_coordinator() -> None:
    assert once_coordinated(Broker(2).ask) == "at 5"


def test_not_for_ever_and_not_for_any_other_error() -> None:
    with pytest.raises(KafkaException):
        once_coordinated(Broker(100).ask, timeout_s=0.3)
    forbidden = Broker(1, KafkaError.GROUP_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        once_coordinated(forbidden.ask)
    assert forbidden.refusals == 0
