"""Writes the dashboards' JSON: ``python -m dashboards.build``. What is committed is held to be the same by a test."""

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import funnels, health, live, recovery, stores

FOLDER: Final = Path(__file__).parent / "grafana"


def dashboards() -> dict[str, str]:
    """By file name, the JSON."""
    made = [module.build().build() for module in (live, funnels, recovery, stores, health)]
    for one in made:
        for number, panel in enumerate(one.panels or [], start=1):
            panel.id_val = number  # links to a panel and alert rules go by it
    return {f"{one.uid}.json": json.dumps(one, cls=JSONEncoder, indent=2, sort_keys=True) + "\n" for one in made}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER / name)  # noqa: T201 (a command)


if __name__ == "__main__":
    main()
