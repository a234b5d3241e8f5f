"""Which arm answers: a pure function of a deployment's arms and of whom a row is about.

The same entity falls to the same arm online, in a request of many rows and in a batch, as long as the arms and their
shares stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hanok.core.serving import Arm

Keys = Mapping[str, str]  # key columns of an entity, as the log spells them


def sticky(keys: Keys, request_id: str) -> str:
    """The text by which a row is routed: its entity's keys, or the request where no entity is known."""
    return repr(sorted(keys.items())) if keys else request_id


def point(text: str) -> float:
    """Where a text lies in [0, 100], evenly spread."""
    return int(hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8], 16) / 0xFFFFFFFF * 100


def primary_of(arms: Sequence[Arm]) -> int:
    """The place of the primary."""
    return next(i for i, a in enumerate(arms) if a.mode == "primary")


def answering(arms: Sequence[Arm], text: str) -> int:
    """The place in `arms` of the one that answers the row of this sticky text: a canary whose span its point lies in,
    else the primary."""
    primary = primary_of(arms)
    if all(a.mode != "canary" for a in arms):
        return primary
    at, low = point(text), 0.0
    for place, arm in enumerate(arms):
        if arm.mode == "canary":
            if low <= at < low + arm.share:
                return place
            low += arm.share
    return primary


def answering_rows(arms: Sequence[Arm], texts: Sequence[str]) -> NDArray[np.int64]:
    """`answering` for each row."""
    if all(a.mode != "canary" for a in arms):
        return np.full(len(texts), answering(arms, ""))
    return np.fromiter((answering(arms, text) for text in texts), np.int64, len(texts))


def beside(arms: Sequence[Arm], place: int) -> tuple[Arm, ...]:
    """The arms that score a row too, as its shadows, while the one at `place` answers it."""
    return tuple(arm for i, arm in enumerate(arms) if i != place)
