"""``deadletters list`` and ``deadletters replay``: what was refused, why, and sending it again."""

import time
from base64 import b64decode
from collections import Counter
from typing import Annotated, Any, Final

import typer

from pipeline.cli.common import clickhouse_client, kafka_admin, progress, say
from pipeline.collector.letters import error_of_the_rest, request_of
from pipeline.collector.sources_file import configured_sources
from pipeline.settings import Settings, load
from pipeline.tools.deadletters import Collected, Found, Judged, Letter, Ready, Verdict, judge_for, send_again
from schemas.deadletters import COLLECTOR_TOPIC_PREFIX, OWN_MARK
from schemas.plain import json_shown
from schemas.reasons import Reason
from schemas.times import parse_rfc3339

_REASON = Annotated[str, typer.Option(help=f"One of: {', '.join(Reason)}.")]
_TOPIC = Annotated[str, typer.Option(help="Topic that they were in.")]
_SINCE = Annotated[str, typer.Option(help="Received at or after this RFC 3339 time.")]
_UNTIL = Annotated[str, typer.Option(help="Received before this RFC 3339 time.")]
_HELP: Final = {
    Verdict.SEND: "would count",
    Verdict.STILL_REFUSED: "would be refused again",
    Verdict.TOO_LATE: "too late to count",
    Verdict.SENT_BEFORE: "sent again before",
    Verdict.PAYLOAD_GONE: "payload no longer there",
    Verdict.NO_INPUT: "rows, no input",
}
#: Of the same place, and later: it is what FINAL gives.
_STAY: Final = (
    "INSERT INTO cx.dead_letters (received_at, topic, partition, offset, reason, error, payload, size, sha256) "
    "SELECT received_at, topic, partition, offset, reason, %(rest)s, payload, size, sha256 "
    "FROM cx.dead_letters FINAL "
    "WHERE topic = %(topic)s AND partition = %(partition)s AND offset = %(offset)s"
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Refused input.", no_args_is_help=True)
    group.callback()(_group)
    group.command("list")(list_dead_letters)
    group.command("replay")(replay_dead_letters)
    app.add_typer(group, name="deadletters")


def _group() -> None:
    """Refused input: the raw bytes, where they were, and why they are no event."""


def list_dead_letters(
    reason: _REASON = "",
    topic: _TOPIC = "",
    since: _SINCE = "",
    until: _UNTIL = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
) -> None:
    """List dead letters as JSON lines, the newest first."""
    where, values = _conditions(reason, topic, since, until)
    rows, columns = clickhouse_client(load()).execute(
        "SELECT toString(d.received_at) AS received_at, topic, partition, offset, reason, error, size, sha256, "
        "base64Encode(payload) AS payload_base64 FROM cx.dead_letters AS d FINAL "
        f"WHERE {where} ORDER BY d.received_at DESC, topic, partition, offset DESC LIMIT %(limit)s",
        values | {"limit": limit},
        with_column_types=True,
    )
    for row in rows:
        print(json_shown(dict(zip((name for name, _ in columns), row, strict=True))))


def replay_dead_letters(
    reason: _REASON = "",
    topic: _TOPIC = "",
    since: _SINCE = "",
    until: _UNTIL = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, the oldest first.")] = 1_000,
    send: Annotated[bool, typer.Option("--send", help="Do it. Without: only say what would happen.")] = False,
) -> None:
    """Send dead letters again that would count now, each to the topic of its channel.

    Without --send it only prints what each would come to, as JSON lines: 'send', or why not. A letter that
    was sent again is not looked at any more; should it be refused again, it is not sent in a circle.
    """
    where, values = _conditions(reason, topic, since, until)
    settings = load()
    kafka_admin(settings)
    client = clickhouse_client(settings)
    letters = _letters(client, where, values | {"limit": limit})
    sent_before = (row[0] for row in client.execute("SELECT DISTINCT sha256 FROM cx.dead_letter_replays"))
    judge = judge_for(settings, sent_before, int(time.time() * 1000), _collected(settings))
    with progress("judging", len(letters)) as advance:
        judged = []
        for letter in letters:
            judged.append(judge.judge(letter))
            advance(1)
    for one in judged:
        print(json_shown(_shown(one)))
    counts = Counter(one.verdict for one in judged)
    said = ", ".join(f"{count} {_HELP[verdict]}" for verdict, count in counts.items())
    more = "; there may be more: a higher --limit, --since or --reason reaches them" * (len(judged) == limit)
    say(f"{len(judged)} dead letters: {said or 'none found'}{more}")
    if send:
        count = send_again(settings, judged)
        _mark(client, judged)
        say(f"sent {count} again")
    elif counts[Verdict.SEND]:
        say("nothing was sent; give --send to do it")


def _collected(settings: Settings) -> Collected | None:
    """What requests that the collector could not read become by the file of sources as it is now."""
    if not settings.collector.sources:
        return None
    sources = {one.name: one for one in configured_sources(settings)}

    def collected(letter: Letter) -> Found | str:
        source = sources.get(letter.topic.removeprefix(COLLECTOR_TOPIC_PREFIX))
        if source is None:
            return f"no source of that name in {settings.collector.sources}"
        try:
            kept = request_of(letter.error, letter.payload, letter.received_ms)
            # What was good in it was sent then.
            taken = source.intake.take(kept.request, is_known=True, only=kept.only)
        except ValueError as error:
            return f"invalid: {error}"
        ready = [Ready(one.channel, one.session_id, one.at_ms, one.payload) for one in taken.finished]
        if taken.problems and not ready:
            return f"invalid: {taken.error}"
        rest = error_of_the_rest(letter.error, taken.error, taken.places) if taken.problems else ""
        return Found(ready, rest)

    return collected


def _conditions(reason: str, topic: str, since: str, until: str) -> tuple[str, dict[str, Any]]:
    """A WHERE clause and its values."""
    if reason and reason not in set(Reason):
        raise typer.BadParameter(f"there are: {', '.join(Reason)}", param_hint="--reason")
    conditions = ["1"]
    values: dict[str, Any] = {"reason": reason, "topic": topic}
    try:
        for name, text, sign in (("since", since, ">="), ("until", until, "<")):
            if text:
                values[name] = parse_rfc3339(text)
                conditions.append(f"d.received_at {sign} fromUnixTimestamp64Milli(%({name})s, 'UTC')")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    conditions += [f"{name} = %({name})s" for name in ("reason", "topic") if values[name]]
    return " AND ".join(conditions), values


def _letters(client: Any, where: str, values: dict[str, Any]) -> list[Letter]:
    rows = client.execute(
        "SELECT topic, partition, offset, reason, base64Encode(payload), size, sha256, error, "
        "toUnixTimestamp64Milli(received_at) "
        f"FROM cx.dead_letters AS d FINAL WHERE {where} "
        f"AND (position(topic, '{OWN_MARK}') = 0 OR startsWith(topic, '{COLLECTOR_TOPIC_PREFIX}')) "
        "AND (topic, partition, offset) NOT IN (SELECT topic, partition, offset FROM cx.dead_letter_replays) "
        "ORDER BY d.received_at, topic, partition, offset LIMIT %(limit)s",
        values,
    )
    return [
        Letter(topic, partition, offset, reason, b64decode(payload), size, digest, error, received_ms)
        for topic, partition, offset, reason, payload, size, digest, error, received_ms in rows
    ]


def _mark(client: Any, judged: list[Judged]) -> None:
    """Remember what was sent: after the broker has it, for a second sending would be a duplicate only.

    A letter of which something is left stays, as one of the rest.
    """
    sent = [one for one in judged if one.verdict is Verdict.SEND]
    for one in sent:
        if one.rest:
            client.execute(_STAY, {"rest": one.rest, **_place(one.letter)})
    rows = [
        (j.letter.topic, j.letter.partition, j.letter.offset, j.letter.sha256, j.detail)
        for j in sent
        if not j.rest
    ]
    if rows:
        client.execute(
            "INSERT INTO cx.dead_letter_replays (topic, partition, offset, sha256, sent_to) VALUES", rows
        )


def _place(letter: Letter) -> dict[str, Any]:
    return {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}


def _shown(one: Judged) -> dict[str, Any]:
    shown = _place(one.letter) | {"reason": one.letter.reason, "verdict": one.verdict, "detail": one.detail}
    return shown | ({"rest": one.rest} if one.rest else {})
