"""The pages of sources: what stands there in TOML is a file of sources that loads."""

import json
import re
import time
from pathlib import Path

import pytest

from pipeline.collector.history import touchpoints_in
from pipeline.collector.sources import FAMILIES
from pipeline.collector.sources_file import load_sources
from schemas.vocabulary import CONTRACT

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "sources").glob("*.md"))
FEEDBACK = DOCS / "examples" / "feedback.toml"


def loaded(content: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    for name in re.findall(r'"([a-z.]+\.(?:secret|key))"', content):
        (folder / name).write_text("secret")
        (folder / name).chmod(0o600)
    for name in re.findall(r'secret_envs = \["(\w+)"\]', content):
        monkeypatch.setenv(name, "secret")
    path = folder / "sources.toml"
    path.write_text(content)
    return {one.settings.kind for one in load_sources(str(path), CONTRACT, time.time)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_stands_there_loads(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        assert loaded(block, tmp_path, monkeypatch)


def test_every_kind_has_a_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert [kind for kind in FAMILIES if f'"{kind}"' not in text and f"`{kind}`" not in text] == []


ROWS = {
    "medallia": {"surveyId": "1", "responseDate": "2026-11-28T04:00:00Z", "likelihoodToRecommend": 9},
    "satmetrix": {
        "feedback_record_id": "1",
        "response_date": "2026-11-28 04:00:00",
        "contact_record_id": "c",
        "recommend_score": "9",
    },
    "peoplemetrics": {"ResponseID": "1", "CompletedAt": "2026-11-28 04:00:00", "OverallSatisfaction": "4"},
    "lucidya": {"response_id": "1", "submitted_at": "2026-11-28T04:00:00Z", "question_type": "NPS", "answer": 9},
    "trustpilot": {
        "events": [
            {
                "eventName": "service-review-created",
                "eventData": {"id": "1", "stars": 4, "createdAt": "2026-11-28T04:00:00Z", "referenceId": "o1"},
            }
        ]
    },
    "zoho_survey": {"response_id": "1", "response_time": "2026-11-28T04:00:00+05:30", "nps": "9"},
    "zoho_crm": {"deal_id": "1", "stage": "Closed Won", "modified_time": "2026-11-28T04:00:00Z", "amount": "10"},
    "commercetools": {
        "id": "1",
        "type": "OrderCreated",
        "createdAt": "2026-11-28T04:00:00.000Z",
        "resource": {"id": "o1"},
        "order": {"anonymousId": "a", "totalPrice": {"centAmount": 4098, "currencyCode": "EUR"}},
    },
}


def test_the_worked_mappings_make_touchpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(FEEDBACK.read_text(), tmp_path, monkeypatch) == {"json"}
    sources = {one.name: one for one in load_sources(str(tmp_path / "sources.toml"), CONTRACT, time.time)}
    assert sources.keys() == ROWS.keys()
    for name, row in ROWS.items():
        file = tmp_path / f"{name}.ndjson"
        file.write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
        found = list(touchpoints_in(file, sources[name], {}))
        assert len(found) == 1, (name, found)  # the second one is a copy
        assert isinstance(found[0][0], int), (name, found)


def test_a_table_goes_by_the_same_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(FEEDBACK.read_text(), tmp_path, monkeypatch)
    sources = {one.name: one for one in load_sources(str(tmp_path / "sources.toml"), CONTRACT, time.time)}
    names = "feedback_record_id,response_date,contact_record_id,recommend_score\n"
    (tmp_path / "a.csv").write_text(names + "1,2026-11-28 04:00:00,c,9\n2,2026-11-28 04:01:00,c,much\n")
    first, second = touchpoints_in(tmp_path / "a.csv", sources["satmetrix"], {})
    assert json.loads(first[1].payload)["score"] == 9.0  # type: ignore[union-attr] # the first one is a touchpoint
    assert second == (3, "score: no number: 'much'")
