"""How many rows tables have, each by itself: a damaged one says so, and hides none of the others."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.core.errors import Corrupt
from hanok.core.json import JsonObject
from hanok.stores.ports import Tables


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows kept and set aside; None, and `damage` says why, where they cannot be read."""

    rows: int | None
    quarantined: int | None
    damage: str = ""

    def as_dict(self) -> JsonObject:
        counts: JsonObject = {"rows": self.rows, "quarantined": self.quarantined}
        return {**counts, "damage": self.damage} if self.damage else counts


def sizes(tables: Tables, name: str) -> Sizes:
    try:
        return Sizes(tables.size(name), tables.size("quarantine--" + name))
    except Corrupt as error:
        return Sizes(None, None, error.message)
