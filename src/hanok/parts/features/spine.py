"""Spine rows, and their labels: which rows are predicted, when, and what came true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa

from hanok.compute.duck import Relation, arrow, connect, one_row, quoted, read, within
from hanok.compute.frames import PREDICT_AT
from hanok.compute.keys import compare_alike, key_type, key_types, refused_values
from hanok.compute.labels import dated, holds, known
from hanok.core.clock import Clock
from hanok.core.declare import Model
from hanok.core.errors import DeclarationError, NotFound
from hanok.core.keys import KeyType, KeyValue, canonical, fits
from hanok.core.tables import ARRIVED, BOOKKEEPING, SEQUENCE, Overlay, Scan
from hanok.parts.features.assemble import spelled_keys
from hanok.parts.features.online import FeatureCell
from hanok.parts.features.rows import as_key, equals
from hanok.parts.features.seen import PLACE, seen_rows
from hanok.stores.ports import Tables

KEY_PREFIX = "key__"
LABEL = "_label"


class Spines:
    """Reads the spine and label tables of models."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables, self._clock = tables, clock
        self.overlay: Callable[[str], Overlay | None] = lambda _: None  # of a table, by whoever knows the declarations

    def scan(self, table: str, upto: int | None = None) -> Scan:
        """The rows of a table that count: each as it was corrected last. Whoever reads the values of a user's table
        reads them here, but for who needs every row that came."""
        scan, overlay = self._tables.scan(table, upto=upto), self.overlay(table)
        return replace(scan, overlay=overlay) if _fits(overlay, scan) else scan

    def keys(self, model: Model) -> tuple[str, ...]:
        """The columns that identify a row to predict."""
        if model.spine.keys:
            return model.spine.keys
        spine, label = (columns_of(self._tables.scan(t)) for t in (model.spine.table, model.label.table))
        shared = tuple(c for c in spine if c in label)
        if not shared:
            raise DeclarationError(
                f"tables {model.spine.table!r} and {model.label.table!r} share no column, so labels cannot be "
                "matched: name the identifying columns with hk.Spine(..., keys=[...])"
            )
        return shared

    def entity(self, model: Model, values: Mapping[str, FeatureCell]) -> dict[str, str]:
        """Key columns in the spelling that the spine's types give them; nulls are left out. Raises BadKey.

        A column that the spine does not have is taken as text.
        """
        schema = self._tables.scan(model.spine.table).schema if self._tables.size(model.spine.table) else None
        kinds = {n: _kind(schema, n) for n in values}
        return {n: canonical(kinds[n], as_key(v), name=n) for n, v in values.items() if v is not None}

    def rows(
        self, model: Model, *, start: datetime | None = None, end: datetime | None = None, upto: int | None = None
    ) -> pa.Table:
        """Spine rows to be predicted in [start, end): keys, `_at`, when they arrived, their number, spine features,
        keys of views."""
        scan = self.scan(model.spine.table, upto)
        names, at = self._chosen(model, scan), predict_at(model)
        bounds = [f"{at} IS NOT NULL", *_bounds(at, start, end)]
        with connect({"spine": _near(model, scan, start, end)}) as duck:
            return arrow(
                duck,
                f"SELECT {names}, {at} AS {PREDICT_AT}, {ARRIVED}, {SEQUENCE} FROM spine "
                f"WHERE {' AND '.join(bounds)} ORDER BY {PREDICT_AT}, {SEQUENCE}",
            )

    def seen(self, model: Model, asked: pa.Table) -> pa.Table:
        """The spine row of each answer as it was known then: like `rows`, with the instant of the answer as `_at`, and
        `_place` in `asked`. What `asked` has (of the keys, those that tell), and which row it is: seen.py."""
        scan, overlay = self._tables.scan(model.spine.table), self.overlay(model.spine.table)
        names = self._chosen(model, scan)
        row_key = overlay.row_key if overlay is not None and _fits(overlay, scan) else ()
        keys = [n.removeprefix(KEY_PREFIX) for n in asked.column_names if n.startswith(KEY_PREFIX)]
        found = seen_rows(scan, keys, predict_at(model), asked, row_key)
        with connect({"spine": scan, "found": found}) as duck:
            rows = arrow(
                duck,
                f"SELECT {names}, {ARRIVED}, f.{SEQUENCE}, f.{PLACE} FROM found f JOIN spine USING ({SEQUENCE}) "
                f"ORDER BY f.{PLACE}",
            )
        return rows.append_column(PREDICT_AT, asked.column(PREDICT_AT).take(rows.column(PLACE)))

    def _chosen(self, model: Model, scan: Scan) -> str:
        """The columns of spine rows, as SQL."""
        keys, group = self.keys(model), [model.split.group] if model.split.group else []
        read = (*model.spine_columns, *model.spine_inputs)
        wanted = dict.fromkeys((*keys, *read, *(k for v in model.views for k in v.keys), *group))
        _require(model, scan, [*wanted, model.spine.predict_at.column])
        return ", ".join([quoted(c) for c in wanted] + [f"{quoted(k)} AS {quoted(KEY_PREFIX + k)}" for k in keys])

    def labels(
        self, model: Model, spine: pa.Table, *, as_of: datetime | None = None, upto: int | None = None
    ) -> pa.ChunkedArray:
        """The label of each spine row as known at `as_of`; null where it is not known yet. Which label counts is the
        rule of core/labels.py."""
        keys = self.keys(model)
        scan = self._tables.scan(model.label.table, upto=upto)
        _require(model, scan, [*keys, model.label.column, model.label.known_at])
        asking = spine.select([KEY_PREFIX + k for k in keys]).rename_columns(list(keys))
        overlay = self.overlay(model.label.table)
        row_key = overlay.row_key if overlay is not None and _fits(overlay, scan) else ()
        label, known_at = model.label.column, model.label.known_at
        at = f"TIMESTAMPTZ '{(as_of or self._clock.now()).isoformat()}'"
        told, cut = "labels", f"{known(known_at)} <= {at}"
        if row_key:  # the rows that none with the same key had superseded by then
            by = f"PARTITION BY {one_row(row_key)} ORDER BY {SEQUENCE} DESC"
            told = f"(SELECT * FROM labels WHERE {cut} QUALIFY row_number() OVER ({by}) = 1)"
        labels, asking = self._alike(model, keys, scan, asking, row_key)
        where = f"WHERE {cut} AND {holds(label, scan.schema.field(label).type)}"
        newest = f"arg_max({quoted(label)}, ({dated(known_at)}, {SEQUENCE}))"
        names = ", ".join(quoted(k) for k in keys)
        matched = " AND ".join(f"s.{quoted(k)} = l.{quoted(k)}" for k in keys)
        numbered = asking.append_column("_row", pa.array(range(spine.num_rows), pa.int64()))
        with connect({"labels": labels, "spine": numbered}) as duck:
            return arrow(
                duck,
                f"SELECT l.{LABEL} FROM spine s LEFT JOIN ("
                f"  SELECT {names}, {newest} AS {LABEL} FROM {told} {where} "
                f"  GROUP BY {names}) l ON {matched} ORDER BY s._row",
            ).column(LABEL)

    @staticmethod
    def _alike(
        model: Model, keys: Sequence[str], scan: Scan, asking: pa.Table, beside: Sequence[str]
    ) -> tuple[Relation, pa.Table]:
        """Label rows and asking rows whose keys compare: as they are, or both spelled by the spine's types."""
        if all(compare_alike(asking.column(k).type, scan.schema.field(k).type) for k in keys):
            return scan, asking
        names = dict.fromkeys((*keys, *beside, model.label.column, model.label.known_at, ARRIVED, SEQUENCE))
        spelled = spelled_keys(read(scan, list(names)), asking, keys)
        return spelled, spelled_keys(asking, asking, keys)

    def find(self, model: Model, match: Mapping[str, KeyValue | None]) -> dict[str, FeatureCell]:
        """The newest spine row that has the given values, preferring one still to be predicted. A value is read as the
        type of its column, in any spelling. Raises NotFound, BadKey."""
        scan = self.scan(model.spine.table)
        unknown = [c for c in match if c not in scan.schema.names]
        if unknown:
            raise DeclarationError(
                f"table {model.spine.table!r} has no column {unknown[0]!r}; it has {', '.join(columns_of(scan))}"
            )
        at = predict_at(model)
        tests = [equals(n, scan.schema.field(n).type, v) for n, v in match.items()]
        where = " AND ".join(test for test, _ in tests) or "true"
        now = f"TIMESTAMPTZ '{self._clock.now().isoformat()}'"
        with connect({"spine": scan}) as duck:
            rows = arrow(
                duck,
                f"SELECT *, {at} AS {PREDICT_AT} FROM spine WHERE {where} ORDER BY ({at} >= {now}) DESC, "
                f"CASE WHEN {at} >= {now} THEN {at} - {now} ELSE {now} - {at} END, "
                f"{SEQUENCE} DESC LIMIT 1",
                [text for _, text in tests],
            ).to_pylist()
        if not rows:
            wanted = ", ".join(f"{k}={v}" for k, v in match.items())
            raise NotFound(f"table {model.spine.table!r} has no row with {wanted}")
        found: dict[str, FeatureCell] = rows[0]
        return found

    def check_keys(self, model: Model) -> None:
        """Refuse keys of a view or of labels that can never be keys of the spine: by type, and by the values that are
        there. Tables that do not exist yet are not looked at. Raises DeclarationError naming both types."""
        if not self._tables.size(model.spine.table):
            return
        spine = self._tables.scan(model.spine.table).schema
        wanted = [(f"feature view {v.name!r}", v.source.table, v.keys, v.key_columns) for v in model.views]
        own = self._declared_keys(model)
        wanted.append((f"the label of {model.name!r}", model.label.table, own, own))
        for what, table, keys, columns in wanted:
            if not self._tables.size(table):
                continue
            scan = self.scan(table)
            for key, column in zip(keys, columns, strict=True):
                if key in spine.names and column in scan.schema.names:
                    _check_key(what, key, (model.spine.table, spine), column, (table, scan))

    def _declared_keys(self, model: Model) -> tuple[str, ...]:
        return self.keys(model) if self._tables.size(model.label.table) else model.spine.keys


def _check_key(what: str, key: str, spine: tuple[str, pa.Schema], column: str, source: tuple[str, Scan]) -> None:
    declared, found = spine[1].field(key).type, source[1].schema.field(column).type
    kind, other = key_type(declared, name=key), key_type(found, name=column)
    pair = f"{what} is keyed by {key!r}: {kind} ({declared}) in table {spine[0]!r}, {other} ({found}) in {source[0]!r}"
    if not fits(kind, other):
        raise DeclarationError(f"{pair}; give them one type")
    if kind == other or compare_alike(declared, found):
        return
    with connect({"source": source[1]}) as duck:
        values = arrow(duck, f"SELECT DISTINCT {quoted(column)} AS k FROM source WHERE {quoted(column)} IS NOT NULL")
    refused = refused_values(kind, values.column("k"))
    if len(refused):
        raise DeclarationError(
            f"{pair}, and {len(refused)} of its values are no {kind} keys, like {refused[0].as_py()!r}; "
            "give them one type"
        )


def _kind(schema: pa.Schema | None, name: str) -> KeyType:
    if schema is None or name not in schema.names:
        return KeyType.TEXT
    (kind,) = key_types(schema, [name])
    return kind


def predict_at(model: Model) -> str:
    """The instant of the prediction of a spine row, as SQL."""
    relative = model.spine.predict_at
    offset = relative.offset // timedelta(microseconds=1)
    return f"(CAST({quoted(relative.column)} AS TIMESTAMPTZ) + to_microseconds({offset}))"


def columns_of(scan: Scan) -> list[str]:
    """The columns of a table that users gave it."""
    return [c for c in scan.schema.names if c not in BOOKKEEPING]


def _fits(overlay: Overlay | None, scan: Scan) -> bool:
    return overlay is not None and set(overlay.row_key) <= set(scan.schema.names)


def _bounds(expression: str, start: datetime | None, end: datetime | None) -> list[str]:
    bounds = [] if start is None else [f"{expression} >= TIMESTAMPTZ '{start.isoformat()}'"]
    return bounds if end is None else [*bounds, f"{expression} < TIMESTAMPTZ '{end.isoformat()}'"]


def _near(model: Model, scan: Scan, start: datetime | None, end: datetime | None) -> Relation:
    """The files of a spine in which rows of a span can lie."""
    if start is None or end is None:
        return scan
    at = model.spine.predict_at
    try:
        return within(scan, at.column, start - at.offset, end - at.offset)
    except OverflowError:
        return scan


def _require(model: Model, scan: Scan, columns: Sequence[str]) -> None:
    if missing := [c for c in columns if c not in scan.schema.names]:
        raise DeclarationError(
            f"model {model.name!r} reads {missing[0]!r} from table {scan.table!r}, which does not have it; "
            f"it has {', '.join(columns_of(scan))}"
        )
