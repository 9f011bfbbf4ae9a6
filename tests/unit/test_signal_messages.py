"""Signals as messages: what the row says, keyed by segment."""

import msgspec
import numpy as np

from pipeline.core.windows.emission import SignalRows
from pipeline.core.windows.signals import SignalColumns
from pipeline.outputs.signals import signal_messages
from schemas.signals import SignalMessage

NUMBERS = [[3.0, 0.0], [4.0, 0.0], [0.75, 0.0], [0.25, 0.0], [0.9, 0.0]]


def test_a_message_says_what_its_row_says() -> None:
    columns = SignalColumns("nps", np.arange(2), *map(np.array, NUMBERS))
    ends = [60_000, 120_500]
    rows = SignalRows(7, False, ["all", "channel=web"], ["1m", "1h"], np.array(ends), columns)
    messages = list(signal_messages(rows, ends, NUMBERS))
    assert [message.key for message in messages] == ["all", "channel=web"]
    assert all(dict(message.headers)["ce_type"] == b"cx.signal.satisfaction" for message in messages)
    told = [SignalMessage.model_validate(msgspec.to_builtins(message.body)) for message in messages]
    assert [dict(message.headers)["ce_id"].decode() for message in messages] == [one.id for one in told]
    assert told[0].model_dump(exclude={"schema_version"}) == {
        "id": "nps/all/1m/60000/7/incomplete",
        "signal": "nps",
        "segment": "all",
        "window": "1m",
        "window_end": "1970-01-01T00:01:00.000Z",
        "numerator": 3.0,
        "denominator": 4.0,
        "value": 0.75,
        "lower": 0.25,
        "upper": 0.9,
        "version": 7,
        "complete": False,
    }
    assert (told[1].window, told[1].window_end, told[1].value) == ("1h", "1970-01-01T00:02:00.500Z", 0.0)
