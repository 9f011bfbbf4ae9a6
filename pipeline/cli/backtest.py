"""``backtest``: which alerts, or moments, there would have been."""

import json
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.common import kafka_admin, progress, say
from pipeline.cli.replay import read_events
from pipeline.core.detection.detection import is_of_persons
from pipeline.core.detection.incidents import Alert
from pipeline.core.detection.sentence import sentence
from pipeline.kafka.values import read_values
from pipeline.model.privacy import pseudonym
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.model.source import Source
from pipeline.settings import Settings, SettingsError, load, rules
from pipeline.settings.alert_rules import shops_rules
from pipeline.settings.shop import MomentsSettings
from pipeline.tools.backtest import Backtest, logs_of
from pipeline.tools.moments_backtest import MomentsBacktest, Told
from pipeline.tools.replay.formats import FORMATS, reader_of
from pipeline.tools.verify.run import read_logs, refused_by_clock
from schemas.facts import KNOWN
from schemas.plain import shown
from schemas.times import format_rfc3339

_WEEK_MS = 7 * 86_400_000


def register(app: typer.Typer) -> None:
    app.command()(backtest)


def backtest(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, readable=True, help="History; default: the topics."),
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")] = "touchpoints",
    rules_file: Annotated[str, typer.Option("--rules", help="Alert rules, or moment rules, to try (TOML).")] = "",
    of_moments: Annotated[
        bool, typer.Option("--moments", help="Moments of single persons, under pseudonyms, instead of alerts.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Run detection over history and print the alerts there would have been. Publishes nothing.

    What is usual is learned from the same history as it goes on, as in a worker: in its first hours there
    are no alerts.
    """
    if file_format not in FORMATS:
        raise typer.BadParameter(f"there are: {', '.join(FORMATS)}", param_hint="--format")
    settings = load()
    if of_moments:
        _moments(settings, file, file_format, rules_file, as_json)
        return
    alert_rules = shops_rules(settings, rules_file)
    if left_out := [rule.name for rule in alert_rules if is_of_persons(rule)]:
        say(f"left out, for they are about persons, whose stages do not run here: {', '.join(left_out)}")
    deciding = rules(settings)
    logs = _logs(settings, deciding, file, file_format)
    records = sum(map(len, logs.values()))
    if file is None:
        deciding.segmenter.values.admit(read_values(settings.kafka)[0])
    test = Backtest(deciding, alert_rules, list(logs))
    with progress("detecting", records) as advance:
        alerts = test.run(logs, advance)
    weeks = test.seen_ms / _WEEK_MS
    found = [_described(alert, test.fired[alert.alert_id][0]) for alert in alerts]
    if as_json:
        per_week = len(found) / weeks if weeks else 0.0
        print(json.dumps({"weeks": round(weeks, 4), "alerts_per_week": round(per_week, 2), "alerts": found}))
    else:
        _print(found, weeks)


def _logs(settings: Settings, deciding: Rules, file: Path | None, file_format: str) -> dict[Source, list[Record]]:
    if file is None:
        return _topics(settings)
    return logs_of(read_events(file, reader_of(file_format, deciding.vocabulary)(file)))


def _moments(settings: Settings, file: Path | None, file_format: str, rules_file: str, as_json: bool) -> None:
    """Run rules about single persons over history, and print what they would have told."""
    if rules_file:
        settings = settings.model_copy(update={"moments": MomentsSettings(rules=rules_file)})
    deciding = rules(settings)
    if not deciding.moments:
        raise SettingsError("there are no moment rules: CX_MOMENTS__RULES is 'none', or its file is empty")
    logs = _logs(settings, deciding, file, file_format)
    test = MomentsBacktest(deciding, list(logs))
    with progress("walking", sum(map(len, logs.values()))) as advance:
        told = test.run(logs, advance)
    hidden = _Hidden(settings.privacy.customer_key.get_secret_value())
    found = [_moment(one, hidden) for one in told]
    weeks, names = test.seen_ms / _WEEK_MS, [rule.name for rule in deciding.moments]
    sums = [_sum(name, [one for one in told if one.rule == name], weeks, len(test.known)) for name in names]
    if as_json:
        print(json.dumps({"weeks": round(weeks, 4), "persons": len(test.known), "rules": sums, "moments": found}))
        return
    for one in found:
        print(shown(f"{one['at']}  {one['rule']}  {one['person']}  {one['channel']}  {' '.join(one['events'])}"))
    if not weeks:
        say("no events")
        return
    for row in sums:
        print(f"{row['rule']}: {row['fired']} in {weeks:.2f} weeks, {row['persons']} persons")


def _moment(told: Told, hidden: "_Hidden") -> dict[str, Any]:
    rest = told._asdict()
    return {"at": format_rfc3339(rest.pop("at_ms"))} | rest | {"person": hidden.of(told)}


def _sum(name: str, told: list[Told], weeks: float, known: int) -> dict[str, Any]:
    persons = len({one.person for one in told})
    per_week = len(told) / weeks if weeks else 0.0
    share = 1000 * persons / known if known else 0.0
    return {
        "rule": name,
        "fired": len(told),
        "per_week": round(per_week, 2),
        "persons": persons,
        "per_1000_persons": round(share, 3),
    }


class _Hidden:
    """Persons as they are shown: as pseudonyms under the shop's key, or else under one of this run."""

    def __init__(self, key: str) -> None:
        self._is_hidden = bool(key)
        self._key = secrets.token_bytes(32)

    def of(self, told: Told) -> str:
        if self._is_hidden or not told.person.startswith(KNOWN):
            return told.person
        return told.person[:2] + pseudonym(self._key, told.person[2:])[:12]


def _topics(settings: Settings) -> dict[Source, list[Record]]:
    """The logs without the records that the workers have refused by their clock."""
    kafka_admin(settings)
    with progress("reading topics") as advance:
        logs = read_logs(settings.kafka, {}, advance)
    refused = refused_by_clock(settings, logs)
    return {
        source: [Record(*record) for record in log if (*source, record.offset) not in refused]
        for source, log in logs.items()
    }


def _described(alert: Alert, fired_ms: int) -> dict[str, Any]:
    return {
        "alert_id": alert.alert_id,
        "rule": alert.rule.name,
        "segment": alert.segment,
        "severity": alert.rule.severity,
        "opened_at": format_rfc3339(alert.opened_ms),
        "fired_at": format_rfc3339(fired_ms),
        "resolved_at": format_rfc3339(alert.resolved_ms) if alert.resolved_ms is not None else None,
        "causes": [part._asdict() for part in alert.causes],
        "at_stake": alert.stake.amount if alert.stake is not None else None,
        "explanation": sentence(alert),
    }


def _print(found: list[dict[str, Any]], weeks: float) -> None:
    for alert in found:
        until = alert["resolved_at"] or "(open)"
        print(shown(f"{alert['fired_at']} to {until}  {alert['severity']}  {alert['rule']}  {alert['segment']}"))
        print(shown(f"    {alert['explanation']}"))
    if not weeks:
        say("no events")
        return
    print(f"{len(found)} alerts in {weeks:.2f} weeks, {len(found) / weeks:.1f} a week")
