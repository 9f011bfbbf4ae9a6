"""One system for each broker, and the figures that a run prints."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.load import Load, Timeline
from tests.kafka.apache import ApacheKafka
from tests.systems import Broker, Lab

#: ``make chaos`` takes its time; within ``make test`` each scenario is run in a short form.
LONG = os.environ.get("CHAOS") == "long"
Say = Callable[[str], None]


class Scene(Lab):
    """A lab with event time and loads."""

    timeline: Timeline

    def load(self, events_per_s: float = 400.0, *, odd: bool = False) -> Load:
        """``odd``: also odd headers and times, and transactions where the broker has some."""
        has_transactions = isinstance(self.broker, ApacheKafka)
        return Load(self.kafka, self.timeline, events_per_s, odd=odd, transactions=odd and has_transactions)

    def check(self) -> str:
        """``verify`` finds no difference; its last lines."""
        return self.verify().replace("\n", "; ").strip("; ")


def _scene(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    settings = {"CX_SINK__REQUEST_TIMEOUT_S": "5"}
    scene = Scene.start(tmp_path_factory.mktemp(broker), broker, settings)
    scene.timeline = Timeline()
    try:
        yield scene
    finally:
        scene.stop()


@pytest.fixture(scope="package")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    yield from _scene("embedded", tmp_path_factory)


@pytest.fixture(scope="package")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    yield from _scene("apache", tmp_path_factory)


@pytest.fixture(params=["embedded", "apache"] if LONG else ["apache"])
def scene(request: pytest.FixtureRequest) -> Scene:
    """The real broker; in the long form the embedded one as well."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Scene)
    return found


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Say:
    """Print a figure, captured or not."""

    def tell(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {request.node.name}: {text}", flush=True)

    return tell
