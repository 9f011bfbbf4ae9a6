"""SQL of what telling of moments has changed: two shares, and their difference with bounds that hold at any time.

The same computation as ``pipeline.core.effects``, where it is explained.
"""

from typing import Final

from pipeline.core.effects import ALPHA

_STEPS: Final = 50
_ARMS: Final = {"told": "NOT is_held", "held": "is_held"}


def effects() -> str:
    """By rule and share held out, of persons for whom the rule first fired over a week ago."""
    counts = ",\n        ".join(
        f"countIf({which}) AS {arm}_persons, countIf({which} AND has_bought) AS {arm}_bought"
        for arm, which in _ARMS.items()
    )
    return f"""WITH arms AS
(
    SELECT rule, holdout, {counts}
    FROM cx.moment_arms WHERE first_at < now() - INTERVAL 7 DAY GROUP BY rule, holdout
)
SELECT rule, holdout AS `held out`, told_persons AS `told of`, told_bought / told_persons AS `of them bought`,
    held_persons AS `not told of`, held_bought / held_persons AS `of these bought`,
    `of them bought` - `of these bought` AS difference,
    {_bound("told", 0)} - {_bound("held", 1)} AS `at least`,
    {_bound("told", 1)} - {_bound("held", 0)} AS `at most`
FROM arms WHERE told_persons > 0 AND held_persons > 0 ORDER BY rule, `held out`"""


def _bound(arm: str, outside: int) -> str:
    """The arm's lower (0) or upper (1) bound, by bisection between its share and what is surely outside."""
    n, x = f"{arm}_persons", f"{arm}_bought"
    most = f"lgamma(0.5 + {x}) + lgamma(0.5 + {n} - {x}) - lgamma(1 + {n}) - 2 * lgamma(0.5) + log({ALPHA / 2})"
    middle = "(edge.1 + edge.2) / 2"
    likelihood = f"{x} * log({middle}) + ({n} - {x}) * log(1 - {middle})"
    step = f"if({likelihood} >= {most}, ({middle}, edge.2), (edge.1, {middle}))"
    found = f"arrayFold((edge, step) -> {step}, range({_STEPS}), ({x} / {n}, toFloat64({outside}))).1"
    return f"if({x} = {n if outside else 0}, {outside}, {found})"
