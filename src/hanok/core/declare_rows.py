"""Which columns tell the rows of a table apart: one row_key for all who read it."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

from hanok.core.declare_data import FeatureView, Source
from hanok.core.errors import DeclarationError
from hanok.core.tables import ARRIVED
from hanok.core.wording import give


def row_keys_of(sources: Iterable[Source]) -> dict[str, tuple[str, ...]]:
    """The row_key of each table that has one. Raises DeclarationError for a table that is given two."""
    found: dict[str, tuple[str, ...]] = {}
    for source in sources:
        if source.row_key is None:
            continue
        known = found.setdefault(source.table, source.row_key)
        if set(known) != set(source.row_key):
            raise DeclarationError(
                f"table {source.table!r} has row_key={list(known)} in one hk.Source and row_key="
                f"{list(source.row_key)} in another; a table has one: write it once, and use that source"
            )
    return found


def over_rows(view: FeatureView, row_key: tuple[str, ...] | None) -> FeatureView:
    """The view over a table whose rows `row_key` tells apart, where its own source does not say so. Latest values that
    are not told apart by it are left: they go by event times."""
    if view.source.row_key is not None or row_key is None:
        return view
    if not view.aggregate and not {*view.key_columns, view.source.event_time} - {ARRIVED} <= set(row_key):
        return view
    made = copy(view)
    give(made, "source", keyed(view.source, row_key))
    return made


def keyed(source: Source, row_key: tuple[str, ...] | None) -> Source:
    """The source with the row_key of its table."""
    made = copy(source)
    give(made, "row_key", row_key)
    return made
