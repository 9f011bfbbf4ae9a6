"""What the console says: in every language the same names, none that is missing and none that nobody uses."""

import re
from pathlib import Path

import pytest

from pipeline.model.funnels import STANDARD
from pipeline.model.signals import Kind
from pipeline.web.console import PAGES
from schemas.reasons import Reason

CONSOLE = Path(__file__).parents[2] / "dashboards/console/js"
LANGUAGES = ("en", "ja")


def messages(language: str) -> dict[str, str]:
    text = (CONSOLE / f"messages/{language}.js").read_text()
    found = re.findall(r'^  "([^"]+)": "((?:[^"\\]|\\.)*)",$', text, re.M)
    assert len(found) == len(dict(found)) == text.count('": "')  # each once, none overlooked
    return dict(found)


def scripts() -> str:
    return "".join(path.read_text() for path in CONSOLE.glob("*.js"))


def test_all_languages_have_the_same_names_and_the_same_values_in_them() -> None:
    english = messages("en")
    for language in LANGUAGES[1:]:
        other = messages(language)
        assert other.keys() == english.keys()
        for name, text in english.items():
            assert set(re.findall(r"{\w+}", other[name])) == set(re.findall(r"{\w+}", text)), name


def test_every_name_that_a_script_uses_is_there() -> None:
    used = set(re.findall(r'\bt\("([^"]+)"', scripts()))
    used |= {f"page.{path.strip('/') or 'overview'}" for path in PAGES}
    assert len(used) > 60
    assert used <= messages("en").keys()


def test_no_name_is_left_over() -> None:
    text = scripts()
    whole = set(re.findall(r'"([\w.|]+)"', text))
    begun = {begin for begin in re.findall(r"`([\w.]+\.)\$\{", text) if "." in begin}
    begun |= {"channel.", "group."}  # made of segments and dimensions
    left = [n for n in messages("en") if n not in whole and not any(n.startswith(begin) for begin in begun)]
    assert left == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_our_own_funnels_and_signals_have_names(language: str) -> None:
    known = messages(language)
    assert {f"funnel.{name}" for name in STANDARD} <= known.keys()
    shown = {Kind.CSAT, Kind.NPS, Kind.CES, Kind.FRICTION, Kind.ABANDONMENT, Kind.NOWCAST, Kind.COMPLETION_RATIO}
    shown |= {Kind.NET_ABANDONMENT, Kind.VALUE_ABANDONED, Kind.VALUE_RECOVERED, Kind.MOMENT_RATE}
    assert {f"figure.{kind}" for kind in shown} <= known.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_of_a_dead_letter_has_a_name(language: str) -> None:
    named = {name for name in messages(language) if name.startswith("data.reason.")}
    assert named == {f"data.reason.{reason}" for reason in Reason}


def test_the_server_and_the_page_know_the_same_pages() -> None:
    (line,) = re.findall(r"export const PAGES = (\[.*\]);", (CONSOLE / "place.js").read_text())
    assert [path.strip("/") or "overview" for path in PAGES] == re.findall(r'"(\w+)"', line)
