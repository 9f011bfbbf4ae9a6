"""At which times a visitor and a customer were named together, as far as it tells anything (docs/persons.md)."""

from collections.abc import Iterable

from pipeline.model.facts import HORIZON_MS
from schemas.facts import Observation


def telling(times: list[int]) -> list[int]:
    """Of times, ascending, those that matter: of three within two horizons the middle one tells nothing that the
    others do not, for what is near to it is near to one of them.
    """
    if len(times) <= 2:
        return times
    kept = times[:1]
    for place in range(1, len(times)):
        is_last = place == len(times) - 1
        if is_last or times[place + 1] - kept[-1] > 2 * HORIZON_MS:
            kept.append(times[place])
    return kept


def that_tell(observations: Iterable[Observation]) -> list[Observation]:
    """Of a batch's observations those that tell something that the others do not."""
    by_pair: dict[tuple[str, str], list[Observation]] = {}
    for one in observations:
        by_pair.setdefault((one.visitor_id, one.customer_id), []).append(one)
    found: list[Observation] = []
    for some in by_pair.values():
        if len(some) == 1:
            found.append(some[0])
            continue
        first = some[0]
        times = telling(sorted({one.at_ms for one in some}))
        found.extend([Observation(first.visitor_id, first.customer_id, at_ms) for at_ms in times])
    return found
