"""What it takes when the metadata is not inside the home: one server for an SQLite file, one home for the data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hanok.core.errors import Conflict
from hanok.stores.ports import Metadata, Repositories

KIND, NAME, KEY = "data-home", "", "holder"


def claim_data(metadata: Metadata, identity: str, root: Path, now: datetime) -> Mapping[str, Any]:
    """Which home keeps tables, online values and predictions of this store: the first that asked, for good.

    Reactions to events run there alone, because they need the tables; other servers log, register and serve."""
    mine = {"identity": identity, "home": str(root)}

    def work(r: Repositories) -> Mapping[str, Any]:
        held = r.records.get(KIND, NAME, KEY)
        if held is None:
            r.records.put(KIND, NAME, KEY, mine, now)
        return held or mine

    return metadata.write(work)


def not_here(holder: Mapping[str, Any]) -> Conflict:
    """What a server without the tables answers to a batch."""
    return Conflict(
        f"the tables of this project are kept by another server, whose home is {holder['home']}: send the batch to it. "
        "See docs/how-to/postgresql.md"
    )
