"""How long a subscription waits for messages is counted from when it has its partitions."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from pipeline import subscriptions
from schemas.moments import MomentMessage

_IDLE_S = 0.5


class SlowGroup:
    """A consumer whose group takes longer to join than its reader is patient."""

    def __init__(self) -> None:
        self._on_assign: Callable[..., None] | None = None
        self.polls_after = 0

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(topics=subscriptions.TOPICS[MomentMessage])

    def subscribe(self, _topics: list[str], on_assign: Callable[..., None], on_revoke: object) -> None:
        self._on_assign = on_assign

    def poll(self, _timeout: float) -> None:
        if self._on_assign is None:
            self.polls_after += 1
            time.sleep(0.05)
            return
        time.sleep(2 * _IDLE_S)
        on_assign, self._on_assign = self._on_assign, None
        on_assign(self, [TopicPartition("cx.moments", 0)])

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return places

    def get_watermark_offsets(self, _place: TopicPartition, _timeout: float) -> tuple[int, int]:
        return 0, 7

    def assign(self, _places: list[TopicPartition]) -> None:
        return None

    def store_offsets(self, offsets: list[TopicPartition]) -> None:
        return None

    def close(self) -> None:
        return None


def test_joining_the_group_is_no_idle_time(monkeypatch: pytest.MonkeyPatch) -> None:
    group = SlowGroup()
    monkeypatch.setattr(subscriptions, "Consumer", lambda _config: group)
    one = subscriptions.Subscription(MomentMessage, "unused", group="g", idle_s=_IDLE_S)
    assert list(one) == []
    assert group.polls_after > 0  # it listened after it had joined
