"""Who is held out of a rule: recorded, and not told of, so that it can be seen what telling has changed.

The arm is decided by a keyed hash of rule and person: the same at each restart, by any worker, and not to be
foreseen without the key.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from pipeline.model.moments import MomentRule
from schemas.facts import KNOWN

_SPAN: Final = float(1 << 64)


class Holdout:
    """The arms of all rules."""

    def __init__(self, rules: Iterable[MomentRule] = (), key: bytes = b"") -> None:
        self._shares: Final = {
            rule.name: (rule.holdout, rule.holdout_since_ms) for rule in rules if rule.holdout > 0
        }
        self._key: Final = hashlib.sha256(key).digest()

    def share_of(self, rule: str, person: str, at_ms: int) -> float:
        """Of what fired at a time, of how many it is one; 0: nobody is held out, or it is not known who it is, and
        so not what is bought. It does not depend on when this is asked: what was told stays told.
        """
        share, since_ms = self._shares.get(rule, (0.0, 0))
        return share if at_ms >= since_ms and person.startswith(KNOWN) else 0.0

    def has(self, rule: str, person: str, at_ms: int) -> bool:
        """Whether what fired then for this person is not told."""
        share = self.share_of(rule, person, at_ms)
        if not share:
            return False
        text = f"{rule}\n{person}".encode("utf-8", "surrogatepass")
        hashed = hashlib.blake2b(text, digest_size=8, key=self._key).digest()
        return int.from_bytes(hashed, "big") / _SPAN < share
