"""One system for all, and the figures that a run prints."""

import os
import re
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.load import Load, Timeline
from tests.systems import Lab

#: ``make chaos`` takes its time; within ``make test`` each scenario is run in a short form.
LONG = os.environ.get("CHAOS") == "long"
Say = Callable[[str], None]


class Scene(Lab):
    """A lab with event time and loads."""

    timeline: Timeline

    def load(self, events_per_s: float = 400.0, *, odd: bool = False) -> Load:
        """``odd``: also odd headers and times, and transactions."""
        return Load(self.kafka, self.timeline, events_per_s, odd=odd, transactions=odd)

    def check(self, *, of_persons: bool = False) -> str:
        """``verify`` finds no difference; its last lines.

        ``of_persons``: neither in what may still change of moments and purchases, for nothing comes any more.
        """
        # Of the soak's million events a busy machine needs longer than a test usually waits.
        said = self.verify(900)
        assert not of_persons or not re.search(r"^(moments|purchases): .*left out", said, re.MULTILINE), said
        return said.replace("\n", "; ").strip("; ")


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    # Half a minute between checkpoints at such a load, a minute by default: so much is done again.
    settings = {"CX_SINK__REQUEST_TIMEOUT_S": "5", "CX_PIPELINE__CHECKPOINT_INTERVAL_S": "5"}
    found = Scene.start(tmp_path_factory.mktemp("chaos"), settings)
    found.timeline = Timeline()
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Say:
    """Print a figure, captured or not."""

    def tell(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {request.node.name}: {text}", flush=True)

    return tell
