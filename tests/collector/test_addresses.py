"""Parameters of addresses, and paths of two steps: found however they are written, and nothing odd is refused."""

from typing import Any

import pytest

from pipeline.collector.expressions import compiled
from pipeline.collector.incoming import Incoming, Native


def campaign(address: Any, name: str = "utm_campaign") -> Any:
    request = Incoming("POST", "/", {}, {}, b"", 0)
    return compiled(f"url | query({name})")(Native({"url": address}, {}, request, {}, 0))


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://shop.example/p?utm_campaign=spring&x=1", "spring"),
        ("https://shop.example/p?x=1&utm%5Fcampaign=spr%20ing", "spr ing"),
        ("https://shop.example/p?x=1", None),
        ("https://shop.example/utm_campaign=spring", None),
        ("https://shop.example/p?utm_campaign=", None),
        ("http://[odd/p?utm_campaign=spring", None),
        ("http://[odd/p", None),
        (None, None),
    ],
)
def test_a_parameter_of_an_address(address: str | None, found: str | None) -> None:
    assert campaign(address) == found


def test_a_name_with_a_blank_is_written_with_a_plus() -> None:
    assert campaign("https://shop.example/p?my+name=x", "my name") == "x"


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ({"page": {"url": "x"}}, "x"),
        ({"page": {"url": ""}}, None),
        ({"page": {"url": 0}}, 0),
        ({"page": {}}, None),
        ({"page": []}, None),
        ({"page": "url"}, None),
        ({"page": None}, None),
        ({}, None),
    ],
)
def test_a_path_of_two_steps(event: dict[str, Any], found: Any) -> None:
    request = Incoming("POST", "/", {}, {}, b"", 0)
    assert compiled("page.url")(Native(event, {}, request, {}, 0)) == found
