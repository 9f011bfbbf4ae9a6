"""What Alertmanager is told: once and again while it fires, until it is over, whatever fails meanwhile."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from pipeline.model.evidence import STEP_MS
from schemas.times import format_rfc3339
from sinks.alertmanager import MemoryPager
from sinks.base import SinkRejectedError, SinkUnavailableError
from tests.alerting import EVIDENCE, FIRST, HOURS, MONDAY, Setting, evidence
from tests.support import ALERT_RULES

OUTAGE = MONDAY + HOURS * 3_600_000
AFTER = OUTAGE + 10 * STEP_MS


def run(work: Callable[[Setting], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        setting = Setting()
        await setting.take(evidence(MONDAY, HOURS * 120, 8.0))
        await setting.paging.step()
        assert setting.pager.posts == []
        await setting.take(evidence(OUTAGE, 10, 0.0, version=FIRST + 1))
        setting.now_s = AFTER / 1000
        await work(setting)

    asyncio.run(asyncio.wait_for(all_of_it(), 60))


async def end(setting: Setting) -> None:
    await setting.take(evidence(AFTER, 60, 8.0, version=FIRST + 2))
    setting.now_s += 60 * STEP_MS / 1000


def test_an_alert_is_posted_when_it_fires_again_at_intervals_and_when_it_ends() -> None:
    async def work(setting: Setting) -> None:
        posts = setting.pager.posts
        await setting.paging.step()
        (first,) = posts[0]
        assert first["labels"]["alertname"] == "checkout-completions"
        assert "expected completions" in first["annotations"]["summary"]
        assert first["startsAt"] < first["endsAt"]
        await setting.paging.step()
        assert len(posts) == 1
        setting.now_s += 31
        await setting.paging.step()
        (again,) = posts[1]
        assert again["labels"] == first["labels"]
        assert again["endsAt"] > first["endsAt"]
        await end(setting)
        await setting.paging.step()
        (last,) = posts[2]
        assert last["labels"] == first["labels"]
        assert first["startsAt"] == last["startsAt"] < last["endsAt"]
        setting.now_s += 31
        await setting.paging.step()
        assert len(posts) == 3

    run(work)


def test_while_alertmanager_is_away_nothing_is_forgotten_and_it_is_not_hammered() -> None:
    async def work(setting: Setting) -> None:
        await setting.paging.step()
        setting.pager.failures = [SinkUnavailableError("gone")] * 3
        await end(setting)
        for _ in range(20):
            setting.now_s += 1
            await setting.paging.step()
        assert setting.pager.failures == []
        assert [len(post) for post in setting.pager.posts] == [1, 1]
        assert setting.pager.posts[1][0]["labels"] == setting.pager.posts[0][0]["labels"]
        assert "failed" in setting.metrics.exposition().decode()

    run(work)


def test_what_alertmanager_refuses_does_not_hold_what_follows() -> None:
    async def work(setting: Setting) -> None:
        setting.pager.failures = [SinkRejectedError("400")]
        await setting.paging.step()
        assert setting.pager.posts == []
        await end(setting)
        await setting.paging.step()
        assert len(setting.pager.posts) == 1

    run(work)


def test_history_calls_nobody() -> None:
    async def work(setting: Setting) -> None:
        setting.now_s += 7_200
        await setting.paging.step()
        await end(setting)
        setting.now_s += 7_200
        await setting.paging.step()
        assert setting.pager.posts == []

    run(work)


def test_a_worker_that_takes_over_goes_on_and_one_that_has_lost_the_partition_stops() -> None:
    async def work(setting: Setting) -> None:
        await setting.paging.step()
        other = MemoryPager()
        await setting.new_paging(other).step()  # it has the same state, and has posted nothing yet
        assert other.posts[0][0]["labels"] == setting.pager.posts[0][0]["labels"]
        setting.leases.release(EVIDENCE)
        setting.now_s += 31
        await setting.paging.step()
        assert len(setting.pager.posts) == 1

    run(work)


def test_an_alert_that_takes_a_graver_rule_ends_under_its_old_name() -> None:
    async def work(setting: Setting) -> None:
        (alert,) = setting.leases.detectors[EVIDENCE].state.open_alerts()
        checkout = alert.rule
        alert.rule = next(rule for rule in ALERT_RULES if rule.name == "friction")
        await setting.paging.step()
        alert.rule, alert.updated_ms = checkout, alert.updated_ms + STEP_MS
        setting.now_s += 5
        await setting.paging.step()
        (before,), (now, over) = setting.pager.posts
        assert (before["labels"]["alertname"], now["labels"]["alertname"]) == ("friction", "checkout-completions")
        assert over["labels"] == before["labels"]
        assert over["endsAt"] == format_rfc3339(round(setting.now_s * 1000))
        assert now["endsAt"] > over["endsAt"]

    run(work)
