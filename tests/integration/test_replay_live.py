"""A file of the last minutes, replayed beside live producers: their events go on being counted."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.hostile.oddities import WEB, event
from tests.systems import Running


def of_a_while_ago(session: str, minutes: float) -> str:
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    content = json.loads(event(session)) | {"occurred_at": at.isoformat(timespec="milliseconds")}
    return json.dumps(content) + "\n"


def test_live_events_are_not_made_too_late(tmp_path: Path) -> None:
    """The closing tick, two hours past the file's end, made them all."""
    file = tmp_path / "recent.ndjson"
    file.write_text("".join(of_a_while_ago(f"file-{number}", 15 - number / 10) for number in range(100)))
    system = Running.start(tmp_path)
    try:
        system.send(WEB, [(f"live-{number}", event(f"live-{number}")) for number in range(50)])
        replayed = system.cx("replay", str(file), "--format", "touchpoints")
        assert replayed.returncode == 0, replayed.stderr
        assert "live producers are at work" in replayed.stderr
        system.send(WEB, [(f"later-{number}", event(f"later-{number}")) for number in range(50)])
        shown = system.verify()
        assert "200 events, 0 duplicates, 0 dead letters" in shown
        assert "no difference" in shown
    finally:
        system.stop()
