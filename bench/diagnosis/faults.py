"""Faults, as they happen upstream of the store: in what the feeds send, in labels, in the world, in what is deployed.

Each changes the feeds of every day from the onset on. Two (`skew`, and `version`) sit behind the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.diagnosis.sets import DataSet, rows
from bench.diagnosis.world import MODEL, Fault
from hanok.core.serving import Arm
from hanok.engine.app import App

Column = Callable[[pa.ChunkedArray, np.random.Generator], pa.Array | pa.ChunkedArray]
Feeds = dict[str, pa.Table]
HOUR = timedelta(hours=1)
INSTANTS = ("at", "measured", "known")


def table_of(of: DataSet, column: str) -> str:
    return "asks" if column in of.own else "facts"


def _changed(of: DataSet, column: str, change: Column) -> Callable[[int, Feeds, np.random.Generator], Feeds]:
    def feeds(_number: int, tables: Feeds, rng: np.random.Generator) -> Feeds:
        return _put(tables, table_of(of, column), column, change(tables[table_of(of, column)].column(column), rng))

    return feeds


def _put(tables: Feeds, table: str, column: str, values: pa.Array | pa.ChunkedArray) -> Feeds:
    rows_ = tables[table]
    return {**tables, table: rows_.set_column(rows_.column_names.index(column), column, values)}


def _numbers(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Column:
    return lambda c, rng: pa.array(change(c.to_numpy().astype(float), rng), pa.float64(), from_pandas=True)


def _outliers(v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(len(v)) < 0.25, v * 100, v)


def _filled(v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(len(v)) < 0.5, -1.0, v)


def of_numbers(of: DataSet, column: str) -> Iterator[Fault]:
    """Faults of one numeric column."""
    whole = rows(of.name).column(column).drop_null().to_numpy()
    middle, spread = float(np.median(whole)), float(whole.std())
    low = float(np.quantile(whole, 0.3))
    frozen = float(whole[of.learnt * of.a_day])
    made: dict[str, Column] = {
        "null": lambda c, _r: pa.nulls(len(c), c.type),
        "constant": _numbers(lambda v, _r: np.zeros(len(v))),
        "frozen": _numbers(lambda v, _r: np.full(len(v), frozen)),
        "unit": _numbers(lambda v, _r: v * 25.4),
        "affine": _numbers(lambda v, _r: v * 1.8 + 32),
        "scale": _numbers(lambda v, _r: v * 1.3),
        "sign": _numbers(lambda v, _r: -v),
        "shift": _numbers(lambda v, _r: v + 2 * spread),
        "clip": _numbers(lambda v, _r: np.minimum(v, low)),
        "fill": _numbers(_filled),
        "outliers": _numbers(_outliers),
        "noise": _numbers(lambda v, r: v + r.normal(0, 1.5 * spread, len(v))),
        "mirror": _numbers(lambda v, _r: 2 * middle - v),
        "shuffled": lambda c, r: c.take(pa.array(r.permutation(len(c)))),
    }
    for kind, change in made.items():
        yield Fault(kind, column, _changed(of, column, change))


def of_a_category(of: DataSet) -> Iterator[Fault]:
    names = sorted({v for v in rows(of.name).column(of.category).to_pylist() if v is not None})
    following = dict(zip(names, [*names[1:], names[0]], strict=True))

    def each(change: Callable[[str], str | None]) -> Column:
        return lambda c, _r: pa.array([None if v is None else change(v) for v in c.to_pylist()], pa.string())

    made: dict[str, Column] = {
        "null": lambda c, _r: pa.nulls(len(c), pa.string()),
        "constant": each(lambda _v: names[0]),
        "codes": each(lambda v: following[v]),
        "encoding": each(lambda v: f" {v.upper()}_"),
        "merged": each(lambda v: names[0] if v in names[: len(names) // 2 + 1] else v),
    }
    for kind, change in made.items():
        yield Fault(kind, of.category, _changed(of, of.category, change))


def of_tables(of: DataSet) -> Iterator[Fault]:
    """Faults of whole feeds."""
    a, b = of.numbers[:2]

    def swapped(_number: int, tables: Feeds, _rng: np.random.Generator) -> Feeds:
        x, y = (tables[table_of(of, c)].column(c) for c in (a, b))
        return _put(_put(tables, table_of(of, a), a, y), table_of(of, b), b, x)

    def rolled(_number: int, tables: Feeds, _rng: np.random.Generator) -> Feeds:
        found = tables["facts"].sort_by("ask")
        return _put({**tables, "facts": found}, "facts", "ask", _roll(found.column("ask"), 1))

    def joined(_number: int, tables: Feeds, rng: np.random.Generator) -> Feeds:
        found = tables["facts"]
        return _put(tables, "facts", "ask", found.column("ask").take(pa.array(rng.permutation(found.num_rows))))

    def slipped(_number: int, tables: Feeds, _rng: np.random.Generator) -> Feeds:
        return _put(tables, "facts", "measured", _later(tables["facts"].column("measured"), 6 * HOUR))

    def partial(_number: int, tables: Feeds, rng: np.random.Generator) -> Feeds:
        found = tables["facts"]
        return {**tables, "facts": found.filter(pa.array(rng.random(found.num_rows) < 0.4))}

    def late(_number: int, tables: Feeds, _rng: np.random.Generator) -> Feeds:
        return _put(tables, "facts", "arrived", _later(tables["facts"].column("arrived"), 20 * HOUR))

    def missing(_number: int, tables: Feeds, _rng: np.random.Generator) -> Feeds:
        return {**tables, "facts": tables["facts"].slice(0, 0)}

    def renamed(_number: int, tables: Feeds, _rng: np.random.Generator) -> Feeds:
        column = next(c for c in of.numbers if c in of.facts)
        found = tables["facts"]
        return {**tables, "facts": found.rename_columns([f"{n}_v2" if n == column else n for n in found.column_names])}

    def doubled(_number: int, tables: Feeds, _rng: np.random.Generator) -> Feeds:
        found = tables["asks"]
        half = found.filter(pa.array(np.arange(found.num_rows) % 2 == 0))
        again = half.set_column(0, "ask", pc.binary_join_element_wise(half.column("ask"), "b", ""))
        facts = tables["facts"]
        kept = facts.filter(pc.is_in(facts.column("ask"), half.column("ask")))
        twin = kept.set_column(0, "ask", pc.binary_join_element_wise(kept.column("ask"), "b", ""))
        return {**tables, "asks": pa.concat_tables([found, again]), "facts": pa.concat_tables([facts, twin])}

    def fewer(_number: int, tables: Feeds, rng: np.random.Generator) -> Feeds:
        found = tables["asks"]
        return {**tables, "asks": found.filter(pa.array(rng.random(found.num_rows) < 0.4))}

    def one_source(_number: int, tables: Feeds, _rng: np.random.Generator) -> Feeds:
        column = next(c for c in of.numbers if c in of.facts)
        values = tables["facts"].column(column).to_numpy().astype(float)
        return _put(tables, "facts", column, pa.array(np.where(_hit(tables, of), values * 25.4, values)))

    whole: dict[tuple[str, str], Callable[[int, Feeds, np.random.Generator], Feeds]] = {
        ("swap", f"{a} {b}"): swapped,
        ("roll", "facts"): rolled,
        ("join", "facts"): joined,
        ("time", "facts"): slipped,
        ("partial", "facts"): partial,
        ("late", "facts"): late,
        ("missing", "facts"): missing,
        ("renamed", next(c for c in of.numbers if c in of.facts)): renamed,
        ("duplicates", "asks"): doubled,
        ("volume", "asks"): fewer,
        ("one source", next(c for c in of.numbers if c in of.facts)): one_source,
    }
    for (kind, what), change in whole.items():
        yield Fault(kind, what, change)


def of_labels_and_world(of: DataSet) -> Iterator[Fault]:
    def labels(change: Callable[[np.ndarray, np.random.Generator, Feeds], np.ndarray]):
        def feeds(_number: int, tables: Feeds, rng: np.random.Generator) -> Feeds:
            values = tables["outcomes"].column(of.target).to_numpy(zero_copy_only=False)
            kind = tables["outcomes"].column(of.target).type
            return _put(tables, "outcomes", of.target, pa.array(change(values, rng, tables), kind))

        return feeds

    def delayed(_number: int, tables: Feeds, _rng: np.random.Generator) -> Feeds:
        late = {c: _later(tables["outcomes"].column(c), timedelta(days=9)) for c in ("known", "arrived")}
        for column, values in late.items():
            tables = _put(tables, "outcomes", column, values)
        return tables

    flip = _flip(of)
    yield Fault("label flip", "", labels(lambda v, _r, _t: flip(v)), labels=True)
    yield Fault("label shuffle", "", labels(lambda v, r, _t: v[r.permutation(len(v))]), labels=True)
    yield Fault("label delay", "", delayed, labels=True)
    yield Fault(
        "concept", of.group, labels(lambda v, _r, t: np.where(_hit(t, of), flip(v), v)), labels=True
    )  # the meaning turns round for one group
    if of.task == "regression":
        yield Fault("label scale", "", labels(lambda v, _r, _t: v * 1.6), labels=True)
    yield Fault("mix", of.group, _mixed(of))


def _flip(of: DataSet) -> Callable[[np.ndarray], np.ndarray]:
    known = rows(of.name).column(of.target)
    if of.task == "binary":
        return lambda v: 1 - v
    if of.task == "multiclass":
        names = sorted(set(known.to_pylist()))
        following = dict(zip(names, [*names[1:], names[0]], strict=True))
        return lambda v: np.array([following[n] for n in v], object)
    low, high = np.quantile(known.to_numpy(), [0.02, 0.98])
    return lambda v: low + high - v


def _hit(tables: Feeds, of: DataSet) -> np.ndarray:
    """Rows of the commonest group."""
    names, counts = np.unique(rows(of.name).column(of.group).to_pylist(), return_counts=True)
    return np.array(tables["outcomes"].column(of.group).to_pylist()) == names[counts.argmax()]


def _mixed(of: DataSet) -> Callable[[int, Feeds, np.random.Generator], Feeds]:
    """Nine of ten asks are of the rarest half of a category's values."""

    def feeds(_number: int, tables: Feeds, rng: np.random.Generator) -> Feeds:
        names, counts = np.unique(rows(of.name).column(of.group).to_pylist(), return_counts=True)
        rare = set(names[np.argsort(counts)][: len(names) // 2])
        wanted = np.array([v in rare for v in tables["outcomes"].column(of.group).to_pylist()])
        kept = tables["asks"].filter(pa.array(wanted | (rng.random(len(wanted)) < 0.05)))
        return {**tables, "asks": kept}

    return feeds


def behind_the_store(of: DataSet) -> Iterator[Fault]:
    column = of.numbers[0]
    feature = column if column in of.own else f"facts__{column}"

    def served(given: pa.Table) -> pa.Table:
        place = given.column_names.index(feature)
        return given.set_column(place, feature, pc.multiply(given.column(feature), 25.4))

    yield Fault("skew", column, served=served)
    yield Fault("version", "", deployed=_worse)


def _worse(app: App, of: DataSet) -> None:
    """A version of the same recipe that learned from the first day alone."""
    from bench.diagnosis.world import START

    start = START
    made = app.training.train(
        MODEL, start=start, end=start + timedelta(days=2), reason="worse", actor="bench", promote=False
    )
    app.serving.deploy(MODEL, [Arm(made.version, "primary", 100)], actor="bench", reason="worse")


def _later(column: pa.ChunkedArray, by: timedelta) -> pa.ChunkedArray:
    return pc.add(column, pa.scalar(by, pa.duration("us")))


def _roll(column: pa.ChunkedArray, by: int) -> pa.ChunkedArray:
    return column.take(pa.array(np.roll(np.arange(len(column)), by)))


def faults(of: DataSet) -> list[Fault]:
    """All of a set: the first number takes every kind, the second the kinds that hide best."""
    hidden = ("null", "unit", "scale", "sign", "constant", "clip", "shuffled")
    made = [
        *of_numbers(of, of.numbers[0]),
        *(f for f in of_numbers(of, of.numbers[1]) if f.kind in hidden),
        *of_a_category(of),
        *of_tables(of),
        *of_labels_and_world(of),
        *behind_the_store(of),
    ]
    return [replace(f) for f in made]
