"""Which columns tell the rows of a table apart: one row_key for all who read it."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

from hanok.core.declare_data import FeatureView, Source
from hanok.core.errors import DeclarationError
from hanok.core.tables import ARRIVED
from hanok.core.wording import give


def row_keys_of(sources: Iterable[Source], views: Iterable[FeatureView]) -> dict[str, tuple[str, ...]]:
    """The row_key of each table that has one. Raises DeclarationError for a table that is given two."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name, source in _said(sources, views):
        if source.row_key is None:
            continue
        other, known = found.setdefault(source.table, (name, source.row_key))
        if set(known) != set(source.row_key):
            raise DeclarationError(
                f"table {source.table!r} has row_key={list(known)} in the source of {other} and row_key="
                f"{list(source.row_key)} in that of {name}; a table has one: write it once, and use that source"
            )
    return {table: row_key for table, (_, row_key) in found.items()}


def _said(sources: Iterable[Source], views: Iterable[FeatureView]) -> list[tuple[str, Source]]:
    """Sources, told by whose they are."""
    given = [(f"hk.Source({s.table!r})", s) for s in sources]
    return [*((f"feature view {v.stored.name!r}", v.source) for v in views), *given]


def agreed(sources: Iterable[Source], views: Iterable[FeatureView]) -> tuple[Source, ...]:
    """One source for each table, with all that the views over it say of it. Raises DeclarationError where two say
    different things."""
    given = tuple(sources)
    made = merged(_said(given, views))
    return tuple(s for s in made if says_more(s) or any(s.table == one.table for one in given))


def merged(said: Iterable[tuple[str, Source]]) -> tuple[Source, ...]:
    """One source for each table, of several that are told by whose they are."""
    found: dict[str, Source] = {}
    who: dict[tuple[str, str], tuple[str, str]] = {}
    for name, source in said:
        kinds = dict(source.columns or ())
        facts = {"known_at": source.known_at, **{f"columns[{c!r}]": kind for c, kind in kinds.items()}}
        for what, fact in facts.items():
            if fact is None:
                continue
            other, known = who.setdefault((source.table, what), (name, fact))
            if known != fact:
                raise DeclarationError(
                    f"table {source.table!r} has {what}={known!r} in the source of {other} and {what}={fact!r} in that "
                    f"of {name}; rows come into a table in one way: write one hk.Source, and use it in both"
                )
        before = found.get(source.table, source)
        made = copy(source)
        give(made, "row_key", source.row_key or before.row_key)
        give(made, "known_at", source.known_at or before.known_at)
        give(made, "columns", tuple((dict(before.columns or ()) | kinds).items()) or None)
        found[source.table] = made
    return tuple(found.values())


def says_more(source: Source) -> bool:
    """Whether a source says more than its event time, which the views that read it say too."""
    return any(x is not None for x in (source.row_key, source.known_at, source.columns))


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


def over_table(view: FeatureView, table: str) -> FeatureView:
    """The view over rows that have another name."""
    made, source = copy(view), copy(view.source)
    give(source, "table", table)
    give(made, "source", source)
    return made
