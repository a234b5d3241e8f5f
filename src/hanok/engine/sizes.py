"""How many rows tables have, each by itself: a damaged one says so, and hides none of the others."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.core.errors import Corrupt
from hanok.core.json import Json, JsonObject
from hanok.parts.validation.kept import KeptStates
from hanok.stores.ports import Tables


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows kept and set aside; None, and `damage` says why, where they cannot be read. `counting` are the rows kept
    that no corrected one took the place of, where rows were corrected."""

    rows: int | None
    quarantined: int | None
    damage: str = ""
    counting: int | None = None

    def as_dict(self) -> JsonObject:
        counts: dict[str, Json] = {"rows": self.rows, "quarantined": self.quarantined}
        if self.counting is not None:
            counts["counting"] = self.counting
        return {**counts, "damage": self.damage} if self.damage else counts


def sizes(tables: Tables, kept: KeptStates, name: str) -> Sizes:
    try:
        rows, aside = tables.size(name), tables.size("quarantine--" + name)
        return Sizes(rows, aside, counting=kept.rows_counting(name))
    except Corrupt as error:
        return Sizes(None, None, error.message)
