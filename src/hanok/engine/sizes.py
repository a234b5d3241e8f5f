"""How many rows tables have, each by itself: a damaged one says so, and hides none of the others."""

from __future__ import annotations

from hanok.core.errors import Corrupt
from hanok.core.json import JsonObject
from hanok.stores.ports import Tables


def sizes(tables: Tables, name: str) -> JsonObject:
    """Rows kept and set aside; None and `damage` where they cannot be read."""
    try:
        return {"rows": tables.size(name), "quarantined": tables.size("quarantine--" + name)}
    except Corrupt as error:
        return {"rows": None, "quarantined": None, "damage": error.message}
