"""What repeats many times a second is told once in a while."""

import logging

import pytest

from pipeline.logs import Sparing


def test_a_template_is_told_once_in_a_while_whatever_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    logger = logging.getLogger("noisy")
    logger.addFilter(Sparing(10.0, lambda: now[0]))
    for second in range(21):
        now[0] = second
        logger.error("broker %d is away", second)
        logger.error("another thing")
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "broker 0 is away",
        "another thing",
        "broker 10 is away",
        "another thing",
        "broker 20 is away",
        "another thing",
    ]
