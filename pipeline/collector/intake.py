"""A request of a source to touchpoints: the steps of the collector that need neither network nor clock."""

from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.collector.agents import is_bot
from pipeline.collector.bodies import Body, BodyError, Kind, decode_body
from pipeline.collector.catalogue import Catalogue
from pipeline.collector.clocks import Clock
from pipeline.collector.converters import shown
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.finishing import NO_CATALOGUE, Finished, Nobody, finish
from pipeline.collector.incoming import Incoming, Native
from pipeline.collector.signatures import AuthenticationError
from pipeline.collector.tables import Draft, Field, Ignored, Mapper, MappingError, compute
from schemas.vocabulary import Vocabulary

#: So many problems of one request are told; all are counted.
_MOST_TOLD: Final = 5
Authenticate = Callable[[Incoming, Body], None]


EVERY: Final = range(1 << 30)


class TooManyEventsError(ValueError):
    """More events in one request than are taken."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a source's configuration decides about its events."""

    consent: str = "honour"
    """``require``, ``honour`` or ``ignore``."""
    drops_bots: bool = True
    most_bytes: int = 1_000_000
    most_events: int = 2_500


@dataclass(slots=True)
class Taken:
    """What has become of a request's events."""

    events: int = 0
    finished: list[Finished] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    """By what they are called there; also ``(bot)``, and ``(no consent)`` of those without any id."""
    problems: list[str] = field(default_factory=list)
    """Of events that cannot be mapped: which field, what was found."""
    places: list[int] = field(default_factory=list)
    """Which events these are, from 0."""
    times: Counter[str] = field(default_factory=Counter)
    """Touchpoints whose time is not simply their sender's: ``corrected``, ``ahead``, ``missing``."""

    @property
    def error(self) -> str:
        """The problems in a line; empty where there are none."""
        several = self.events > 1
        named = [
            f"event {place}: {problem}" if several else problem
            for place, problem in zip(self.places[:_MOST_TOLD], self.problems, strict=False)
        ]
        told = "; ".join(named)
        more = len(self.problems) - _MOST_TOLD
        return f"{told}; and {more} more" if more > 0 else told


class Intake:
    """One source: what its requests become."""

    def __init__(
        self,
        family: Family,
        constants: Mapping[str, Any],
        policy: Policy,
        authenticate: Authenticate,
        words: Vocabulary,
        own: Mapping[str, Field] | None = None,
        catalogue: Catalogue = NO_CATALOGUE,
    ) -> None:
        """``own``: fields of the configuration. Raises ExpressionError."""
        self._catalogue = catalogue
        self.family: Final = family
        self.policy: Final = policy
        self._constants = {**family.constants, **constants}
        self._authenticate = authenticate
        self._words = words
        self._mapper = Mapper(family.table, own)
        self._agent = compute(family.user_agent)

    def hand_shake(self, request: Incoming) -> Reply | None:
        """The answer to a request that brings no events; None for all others."""
        return self.family.hand_shake(request, self._constants)

    def reply_to(self, request: Incoming) -> Reply:
        """The answer to a request whose events were taken."""
        return self.family.reply_to(request, self._constants)

    def take(self, request: Incoming, is_known: bool = False, only: Container[int] = EVERY) -> Taken:
        """What the events of a request become. ``is_known``: who sent it needs no proof any more. ``only``: these.

        Raises AuthenticationError, BodyError, NotTakenApartError, TooManyEventsError.
        """
        body = self._read(request, _nobody_asks if is_known else self._authenticate)
        try:
            apart = self.family.take_apart(request, body)
        except NotTakenApartError:
            raise
        except _UNFORESEEN as error:
            raise NotTakenApartError(_unforeseen(error)) from error
        if len(apart.events) > self.policy.most_events:
            raise TooManyEventsError(f"{len(apart.events)} events; at most {self.policy.most_events} are taken")
        clock, taken = Clock(request.received_ms, apart), Taken(len(apart.events))
        for index, event in enumerate(apart.events):
            if index not in only:
                continue
            self._take(Native(event, apart.batch, request, self._constants, index), clock, taken)
        return taken

    def _read(self, request: Incoming, authenticate: Authenticate) -> Body:
        encoding = request.headers.get("content-encoding", "")
        try:
            body = decode_body(request.raw, encoding, self.policy.most_bytes)
        except BodyError:
            # A stranger is told only that he is one; whoever is none has his key elsewhere than in the body.
            authenticate(request, _UNREADABLE)
            raise
        try:
            authenticate(request, body)
        except AuthenticationError:
            raise
        except _UNFORESEEN as error:
            raise AuthenticationError("the request names no key") from error
        return body

    def _take(self, native: Native, clock: Clock, taken: Taken) -> None:
        try:
            if self._is_bot(native):
                taken.ignored[BOT] += 1
                return
            drafts = self._mapper.map(native, clock)
            if isinstance(drafts, Ignored):
                taken.ignored[drafts.kind] += 1
                return
            finished: list[Finished] = []
            for draft in drafts:
                may_be_known = self._may_be_known(draft, native)
                if not may_be_known and not draft.fields.get("session_id"):
                    taken.ignored[NO_CONSENT] += 1  # without consent some send no id at all
                    continue
                nobody = Nobody(self.family.has_own_sessions) if not may_be_known else None
                finished.append(finish(draft, native, self._words, self._catalogue, nobody))
        except (MappingError, *_UNFORESEEN) as error:
            is_told = isinstance(error, MappingError)
            taken.problems.append(str(error) if is_told else f"event: {_unforeseen(error)}")
            taken.places.append(native.index)
            return
        taken.finished += finished
        for one in finished:
            if one.time_note:
                taken.times[one.time_note] += 1

    def _is_bot(self, native: Native) -> bool:
        agent = self._agent(native) if self.policy.drops_bots else None
        return isinstance(agent, str) and is_bot(agent)

    def _may_be_known(self, draft: Draft, native: Native) -> bool:
        """Whether it may be kept who it is. Raises MappingError."""
        said = draft.fields.pop("consent", None)
        if said is not None and not isinstance(said, bool):
            raise MappingError(f"consent: true or false is wanted, not {shown(said)}; see the converter 'flag'")
        if self.policy.consent == "ignore":
            return True
        said = self.family.consent(native) if said is None else said
        return self.policy.consent != "require" if said is None else said


def _unforeseen(error: Exception) -> str:
    return f"of another shape than this kind of source sends ({type(error).__name__}: {error})"


def _nobody_asks(_request: Incoming, _body: Body) -> None:
    return None


#: Where a list, a number or nothing stands where no document of the vendor has it. The request is kept.
_UNFORESEEN: Final = (TypeError, AttributeError, LookupError, ArithmeticError, ValueError, RecursionError, OSError)
BOT: Final = "(bot)"
NO_CONSENT: Final = "(no consent)"
_UNREADABLE: Final = Body(Kind.EMPTY, None)
