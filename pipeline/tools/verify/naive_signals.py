"""Signals from naive tiles and stays. Written apart from the core."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from pipeline.tools.verify.naive_nowcast import Stay, cells_of, edges, estimate, windows
from pipeline.tools.verify.naive_persons import FUNNELS
from pipeline.tools.verify.naive_types import BUCKET, WINDOWS, FunnelRule, NaiveRules, SignalKey, SignalValue
from pipeline.tools.verify.naive_usual import HOUR, Past, hazards

Z = 1.959963984540054


def by_age(
    funnel: FunnelRule, segment: str, stays: Iterable[Stay], complete: int, past: Past
) -> Iterator[tuple[SignalKey, SignalValue]]:
    """Nowcasts and completion ratios."""
    bounds, cells = edges(funnel.timeout_ms), cells_of(stays, funnel.timeout_ms)
    usual = hazards(cells, past)
    for window, (length, step) in WINDOWS.items():
        for end, at_risk, ended in windows(cells, length, step, complete):
            found = estimate(at_risk, ended, bounds)
            if found is not None:
                share, n = found
                row = _share(share * n, n)
                yield (f"{funnel.name}_nowcast", segment, window, end), row._replace(value=share)
            rates = usual.get((end - 1) // HOUR * HOUR, [])
            expected = sum(max(time, 0) * rate for time, rate in zip(at_risk, rates, strict=False))
            if expected > 0:
                ratio = _ratio(sum(ended[: cells.bins]), expected)
                yield (f"{funnel.name}_completion_ratio", segment, window, end), ratio


def _ratio(observed: int, expected: float) -> SignalValue:
    """Observed by expected, with Byar's limits for a Poisson count."""
    lower = observed * (1 - 1 / (9 * observed) - Z / (3 * math.sqrt(observed))) ** 3 if observed else 0.0
    more = observed + 1
    upper = more * (1 - 1 / (9 * more) + Z / (3 * math.sqrt(more))) ** 3
    bounds = max(lower, 0.0) / expected, upper / expected
    return SignalValue(observed, expected, observed / expected, *bounds)


def signals(
    tiles: Mapping[tuple[str, int, str], Mapping[str, int]], rules: NaiveRules, complete: int
) -> dict[SignalKey, SignalValue]:
    merged: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (segment, bucket, _), counters in tiles.items():
        for name, count in counters.items():
            merged[segment, bucket][name] += count
    found = {}
    for window, (length, step) in WINDOWS.items():
        limit = complete // step * step
        sums: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for (segment, bucket), counters in merged.items():
            end = -(-(bucket + BUCKET) // step) * step
            while end <= min(bucket + length, limit):
                into = sums[segment, end]
                for name, count in counters.items():
                    into[name] += count
                end += step
        for (segment, end), total in sums.items():
            for signal, value in _rates(total, rules):
                found[signal, segment, window, end] = value
            for signal, value in _moments(total, rules) if window in ("15m", "1h") else ():
                found[signal, segment, window, end] = value
    return found


def _rates(total: Mapping[str, int], rules: NaiveRules) -> Iterable[tuple[str, SignalValue]]:
    def count(name: str) -> int:
        return total.get(name, 0)

    for funnel in rules.funnels:
        name = funnel.name
        abandoned, completed = count(f"{name}_abandoned"), count(f"{name}_completed")
        if abandoned + completed:
            yield f"{name}_abandonment", _share(abandoned, abandoned + completed)
        if abandoned:
            sums = count(f"{name}_value_abandoned"), count(f"{name}_value_abandoned_sq")
            yield f"{name}_value_abandoned", _average(*sums, abandoned)
    yield from _returns(total)
    if count("csat_answers"):
        yield "csat", _share(count("csat_satisfied"), count("csat_answers"))
    if count("ces_answers"):
        yield "ces", _average(count("ces_sum"), count("ces_sum_sq"), count("ces_answers"))
    if count("events"):
        yield "friction", _share(count("friction"), count("events"))
    if n := count("nps_answers"):
        promoters, detractors = count("nps_promoters"), count("nps_detractors")
        plus, minus = (promoters + 0.75) / (n + 3), (detractors + 0.75) / (n + 3)
        half = Z * math.sqrt((plus + minus - (plus - minus) ** 2) / (n + 3))
        points = 100.0 * (promoters - detractors)
        middle = plus - minus
        low, high = min(100 * (middle - half), points / n), max(100 * (middle + half), points / n)
        yield "nps", SignalValue(points, n, points / n, max(-100.0, low), min(100.0, high))


def _moments(total: Mapping[str, int], rules: NaiveRules) -> Iterable[tuple[str, SignalValue]]:
    if n := total.get("persons_seen", 0):
        for rule in rules.moments:
            name = rule.name.replace("-", "_")
            row = _ratio(total.get(f"{name}_moments", 0), n / 1_000)
            yield f"{name}_moment_rate", row._replace(numerator=1_000 * row.numerator, denominator=n)


def _returns(total: Mapping[str, int]) -> Iterable[tuple[str, SignalValue]]:
    for funnel in FUNNELS:
        abandoned, completed, known, elsewhere, value, squares = (
            total.get(f"{funnel}_{name}", 0)
            for name in (
                "abandoned",
                "completed",
                "known",
                "elsewhere",
                "value_recovered_7d",
                "value_recovered_7d_sq",
            )
        )
        if abandoned + completed:
            yield f"{funnel}_net_abandonment", _share(abandoned - elsewhere, abandoned + completed)
        if abandoned:
            yield f"{funnel}_known", _share(known, abandoned)
        for after in ("1h", "1d", "7d"):
            asked, recovered = (total.get(f"{funnel}_{name}_{after}", 0) for name in ("asked", "recovered"))
            if asked:
                yield f"{funnel}_recovery_{after}", _share(recovered, asked)
            if after == "7d" and recovered:
                yield f"{funnel}_value_recovered_7d", _average(value, squares, recovered)


def _share(successes: float, n: float) -> SignalValue:
    p = successes / n
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return SignalValue(successes, n, p, max(0.0, middle - half), min(1.0, middle + half))


def _average(total: int, squares: int, n: int) -> SignalValue:
    mean = total / 10_000 / n
    variance = (squares * n - total**2) / (n * (n - 1)) / 10_000**2 if n > 1 else 0.0
    half = Z * math.sqrt(variance / n)
    return SignalValue(total / 10_000, n, mean, mean - half, mean + half)
