"""The steps of the collector, each by itself: bodies, paths and expressions, times, what is remembered."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.collector.bodies import BodyError, BodyTooLargeError, Kind, decode_body
from pipeline.collector.clocks import MOST_OFF_MS, Clock
from pipeline.collector.expressions import ExpressionError, compiled
from pipeline.collector.identity import KEPT_MS, Seen
from pipeline.collector.incoming import Apart, Native
from tests.collector.support import NOW_MS, request

OBJECT = {"a": {"b": [{"c": 1}, {"c": "x"}]}, "n": "12.5", "empty": "", "Big": 1, "zero": 0, "no": False}


def native(event: Any, path: str = "/t?q=1", **batch: Any) -> Native:
    return Native(event, batch, request(path=path, headers={"x-topic": "t"}), {"shop": "s"}, 3)


# --- bodies ---


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (b'{"a":1}', ""),
        (b'\xef\xbb\xbf {"a":1}', ""),
        (gzip.compress(b'{"a":1}', mtime=0), ""),
        (gzip.compress(b'{"a":1}', mtime=0), "gzip"),
        (zlib.compress(b'{"a":1}'), "deflate"),
        (zlib.compress(b'{"a":1}', wbits=-15), "deflate"),
    ],
)
def test_json_is_known_by_its_bytes(raw: bytes, encoding: str) -> None:
    body = decode_body(raw, encoding, 1_000)
    assert (body.kind, body.content) == (Kind.JSON, {"a": 1})


def test_other_bodies() -> None:
    assert decode_body(b"  ", "", 10).kind is Kind.EMPTY
    assert decode_body(b"<a/>", "", 10) == (Kind.XML, b"<a/>")
    assert decode_body(b"a=1&b=%C3%A9&a=2&c=", "", 100) == (Kind.FORM, {"a": "2", "b": "é", "c": ""})


@pytest.mark.parametrize("raw", [b"{", b"[1,", b'{"a":1}x', b"no form", b"\xff=1", b"[" * 5_000, b'{"a":NaN}'])
def test_what_cannot_be_read_says_so(raw: bytes) -> None:
    with pytest.raises(BodyError):
        decode_body(raw, "", 10_000)


def test_what_unpacks_to_more_than_is_taken_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    with pytest.raises(BodyTooLargeError):
        decode_body(bomb, "", 1_000_000)
    with pytest.raises(BodyTooLargeError):
        decode_body(zlib.compress(b"0" * 5_000_000), "deflate", 1_000_000)
    with pytest.raises(BodyError, match="end is missing"):
        decode_body(gzip.compress(b'{"a":1}' * 100)[:-10], "", 10_000)
    with pytest.raises(BodyError, match="cannot be unpacked"):
        decode_body(b"\x1f\x8bxxxxxxxxxxxx", "", 10_000)


# --- expressions ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b[0].c", 1),
        ("a.b[1].c | str", "x"),
        ("a.b[2].c", None),
        ("a.x.y", None),
        ("empty", None),
        ("empty ?? n | num", 12.5),
        ("big", None),
        ("zero", 0),
        ("no", False),
        ("'text'", "text"),
        ("'{a.b[0].c}-{%shop}'", "1-s"),
        ("'{a.b[0].c}-{missing}'", None),
        ("'a ?? b | c'", "a ?? b | c"),
        ("@X-Topic", "t"),
        ("?q | num", 1.0),
        ("^sent", "now"),
        ("%index", 3),
        ("%day", "20261128"),
        ("a.b | sum(z)", None),
        ("7", 7.0),
        ("n | prefix(id-) | upper", "ID-12.5"),
        ("n | map(12.5=yes, 1=no)", "yes"),
    ],
)
def test_an_expression_gives_what_stands_there(text: str, value: Any) -> None:
    assert compiled(text)(native(OBJECT, sent="now")) == value


@pytest.mark.parametrize(
    "text", ["", "a..b", "a | nothing", "a | cap", "a | cap(x)", "'open", "a b", "a | num(1)"]
)
def test_what_is_no_expression_says_so(text: str) -> None:
    with pytest.raises(ExpressionError):
        compiled(text)


@pytest.mark.parametrize(
    ("text", "event", "value"),
    [
        ("v | minor(c)", {"v": 1234, "c": "EUR"}, 12.34),
        ("v | minor(c)", {"v": 1234, "c": "JPY"}, 1234.0),
        ("v | minor(c)", {"v": "1234", "c": "kwd"}, 1.234),
        ("v | epoch_s", {"v": 1_795_838_400}, NOW_MS),
        ("v | epoch_ms", {"v": str(NOW_MS + 5)}, NOW_MS + 5),
        ("v | epoch_us", {"v": (NOW_MS + 5) * 1_000 + 999}, NOW_MS + 5),
        ("v | iso", {"v": "2026-11-28T05:00:00.123456+01:00"}, NOW_MS + 123),
        ("v | iso", {"v": "2026-11-27T23:00:00-0500"}, NOW_MS),
        ("v | iso_naive", {"v": "2026-11-28T04:00:00"}, NOW_MS),
        ("v | iso_naive(Europe/Berlin)", {"v": "2026-11-28 05:00:00"}, NOW_MS),
        ("v | lines(price)", {"v": [{"price": "2.5", "quantity": 2}, {"price": 1}]}, 6.0),
        ("v | lines(price)", {"v": [{"price": 2.5}, {"quantity": 1}]}, None),
        ("v | sum(p)", {"v": [{"p": 1}, {"q": 1}, {"p": "2"}]}, 3.0),
        ("v | where(name, x, value)", {"v": [{"name": "y", "value": 1}, {"name": "x", "value": 2}]}, 2),
        ("v | query(utm_campaign)", {"v": "https://x/?a=1&utm_campaign=Black+Friday"}, "Black Friday"),
        ("v | base64_json", {"v": "eyJhIjogMX0"}, {"a": 1}),
        ("v | str", {"v": 12}, "12"),
        ("v | str", {"v": 12.0}, "12"),
    ],
)
def test_converters(text: str, event: Any, value: Any) -> None:
    assert compiled(text)(native(event)) == value


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("v | num", {"v": "12,5"}),
        ("v | num", {"v": True}),
        ("v | num", {"v": "nan"}),
        ("v | num", {"v": "1e999"}),
        ("v | num", {"v": [1]}),
        ("v | str", {"v": 1.5}),
        ("v | str", {"v": True}),
        ("v | minor(c)", {"v": 1}),
        ("v | iso", {"v": "2026-11-28T05:00:00"}),
        ("v | iso", {"v": "yesterday"}),
        ("v | iso_naive(Nowhere/City)", {"v": "2026-11-28T05:00:00"}),
        ("v | map(a=b)", {"v": "c"}),
        ("v | base64_json", {"v": "!!!"}),
    ],
)
def test_what_cannot_be_converted_is_an_error(text: str, event: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        compiled(text)(native(event))


# --- times ---


def test_a_clock_that_is_right_within_two_minutes_is_left_alone() -> None:
    for off_ms in (0, 1, MOST_OFF_MS, -MOST_OFF_MS):
        clock = Clock(NOW_MS, Apart([], sent_ms=NOW_MS - off_ms))
        assert clock.when(NOW_MS - 5_000) == (NOW_MS - 5_000, "")


def test_a_wrong_clock_is_corrected_by_whole_minutes() -> None:
    hour = 3_600_000
    clock = Clock(NOW_MS, Apart([], sent_ms=NOW_MS - hour - 900))
    assert clock.when(NOW_MS - hour - 5_000) == (NOW_MS - 5_000, "corrected")
    # Sent again seconds later it is the same.
    again = Clock(NOW_MS + 7_000, Apart([], sent_ms=NOW_MS - hour + 6_000))
    assert again.when(NOW_MS - hour - 5_000) == (NOW_MS - 5_000, "corrected")


def test_times_that_cannot_be() -> None:
    clock = Clock(NOW_MS, Apart([]))
    assert clock.when(None) == (NOW_MS, "missing")
    assert clock.when(NOW_MS + MOST_OFF_MS + 1) == (NOW_MS, "ahead")
    assert clock.when(NOW_MS + MOST_OFF_MS) == (NOW_MS + MOST_OFF_MS, "")


def test_what_is_true_is_never_corrected() -> None:
    off = Apart([], sent_ms=NOW_MS - 9_000_000)
    assert Clock(NOW_MS, off).when(NOW_MS - 9_000_500, is_true=True) == (NOW_MS - 9_000_500, "")
    off.is_trusted = True
    assert Clock(NOW_MS, off).when(NOW_MS - 9_000_500) == (NOW_MS - 9_000_500, "")


# --- what is remembered ---


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_keys_are_known_for_48_hours() -> None:
    seen = Seen()
    seen.add([key(1)], NOW_MS)
    assert key(1) in seen
    seen.add([key(2)], NOW_MS + KEPT_MS)
    assert key(1) in seen
    seen.add([key(3)], NOW_MS + 2 * KEPT_MS)
    assert key(1) not in seen
    assert key(3) in seen


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    seen = Seen(most=1_200)
    for number in range(10_000):
        seen.add([key(number)], NOW_MS + number)
    assert len(seen) <= 1_400
    assert key(9_999) in seen
    assert key(9_000) in seen
    assert key(0) not in seen


def test_keys_survive_a_restart_even_one_in_the_middle_of_writing(tmp_path: Path) -> None:
    seen = Seen(folder=tmp_path)
    seen.add([key(1), key(2)], NOW_MS)
    seen.close()
    (newest,) = tmp_path.glob("*.seen")
    newest.write_bytes(newest.read_bytes() + b"half")
    again = Seen(folder=tmp_path)
    assert key(1) in again
    assert key(2) in again
    again.add([key(3)], NOW_MS + 1)
    again.close()
    third = Seen(folder=tmp_path)
    assert all(key(number) in third for number in (1, 2, 3))
    assert len(third) == 3
    third.add([key(4)], NOW_MS + 2 * KEPT_MS)
    assert len(list(tmp_path.glob("*.seen"))) == 1
    third.close()


def test_many_restarts_forget_nothing(tmp_path: Path) -> None:
    for number in range(40):
        seen = Seen(folder=tmp_path)
        seen.add([key(number)], NOW_MS + number)
        seen.close()
    last = Seen(folder=tmp_path)
    assert all(key(number) in last for number in range(40))
    last.close()


def test_two_processes_do_not_share_a_memory(tmp_path: Path) -> None:
    one = Seen(folder=tmp_path)
    with pytest.raises(OSError, match="in use by another"):
        Seen(folder=tmp_path)
    one.close()
    Seen(folder=tmp_path).close()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-KEPT_MS, 3 * KEPT_MS)), max_size=60))
def test_whatever_the_clock_does_the_newest_is_known(added: list[tuple[int, int]]) -> None:
    seen = Seen(most=10_000)
    for number, at_ms in added:
        seen.add([key(number)], NOW_MS + at_ms)
        assert key(number) in seen


@given(st.binary(max_size=200), st.sampled_from(["", "gzip", "deflate", "br"]))
def test_no_bytes_are_more_than_an_error(raw: bytes, encoding: str) -> None:
    try:
        decode_body(raw, encoding, 1_000)
    except BodyError:
        return


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda some: st.lists(some) | st.dictionaries(st.text(), some),
        max_leaves=8,
    )
)
def test_no_value_is_more_than_an_error_to_a_converter(value: Any) -> None:
    for text in (
        "v | num",
        "v | str",
        "v | iso",
        "v | lines(price)",
        "v | sum(p)",
        "v | query(a)",
        "v | base64_json",
    ):
        try:
            json.dumps(compiled(text)(native({"v": value})))
        except ValueError:
            continue
