"""`hanok init`: reading a file and writing a project for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.statistics import column_type
from hanok.compute.text import is_free_text
from hanok.core.errors import AlreadyExists, BadData, NotTrainable

CLASSES_MAX = 20
ROWS_MIN = 30

EMPTY = '''"""A Hanok project. Declare sources, feature views and models here, then: hanok apply"""

import hanok as hk

# churn = hk.Model(
#     "churn",
#     task="binary",
#     spine=hk.Spine("customers", predict_at="signed_up", keys="customer"),
#     label=hk.Label("outcomes", column="churned", known_at="known"),
#     features=["plan", "age"],
# )
'''


@dataclass(frozen=True, slots=True)
class Guess:
    """What was guessed of a file, each with its reason, for the user to correct in the project file."""

    task: str
    target: str
    key: str
    event_time: str
    features: tuple[str, ...]
    reasons: Mapping[str, str]


def write_empty(directory: Path) -> list[Path]:
    """A commented project and its settings."""
    return _write(directory, {"project.py": EMPTY, "hanok.toml": 'home = ".hanok"\nproject = "project.py"\n'})


def guess(rows: pa.Table, target: str) -> Guess:
    """Task, key, event time and features of a table. Raises BadData or NotTrainable, saying what is wrong."""
    if target not in rows.column_names:
        raise BadData(f"there is no column {target!r}; the file has {', '.join(rows.column_names[:20])}")
    if rows.num_rows < ROWS_MIN:
        raise NotTrainable(f"the file has {rows.num_rows} rows; a model needs at least {ROWS_MIN}")
    reasons = {}
    label = rows.column(target).drop_null()
    values, kind = pc.count_distinct(label).as_py(), column_type(label.type)
    if values < 2:
        raise NotTrainable(f"{target!r} holds one value only; there is nothing to learn")
    if values == 2:
        task, reasons["task"] = "binary", f"{target} has two values"
    elif kind in ("STRING", "BOOL") or (kind == "INT" and values <= CLASSES_MAX):
        if values > 200:
            raise NotTrainable(f"{target!r} is text with {values} values; a target is a number or one of few classes")
        task, reasons["task"] = "multiclass", f"{target} has {values} values"
    else:
        task, reasons["task"] = "regression", f"{target} is a number with {values} values"
    key = _key(rows, target)
    reasons["key"] = (
        f"{key} is different in every row" if key else "no column is different in every row: rows are numbered"
    )
    times = [f.name for f in rows.schema if column_type(f.type) == "TIMESTAMP"]
    reasons["event time"] = f"{times[0]} is a time" if times else "no column is a time: the time of arrival is used"
    used = {target, key, *times}
    features = tuple(n for n in rows.column_names if n not in used and _usable(rows.column(n)))
    if not features:
        raise NotTrainable("no column is left to predict from: all are constant, identifiers or times")
    return Guess(task, target, key, times[0] if times else "", features, reasons)


def _key(rows: pa.Table, target: str) -> str:
    for name in rows.column_names:
        column = rows.column(name)
        if name != target and column_type(column.type) in ("STRING", "INT") and not column.null_count:
            looks = column_type(column.type) == "STRING" or re.search(
                r"(^|_)(id|key|no|number)$|^(id|key)", name.lower()
            )
            if looks and pc.count_distinct(column).as_py() == rows.num_rows:
                return name
    return ""


def _usable(column: pa.ChunkedArray) -> bool:
    distinct = pc.count_distinct(column).as_py()
    if distinct < 2:
        return False
    identifier = column_type(column.type) == "STRING" and distinct > max(100, 0.5 * len(column))
    return not identifier or is_free_text(column)


def split_tables(rows: pa.Table, found: Guess, now: Any) -> tuple[pa.Table, pa.Table]:
    """The file as a spine (what is known when predicting) and labels (what is known later)."""
    key = rows.column(found.key) if found.key else pa.array([f"row-{i}" for i in range(rows.num_rows)])
    name = found.key or "row"
    instant = pa.timestamp("us", "UTC")
    at = rows.column(found.event_time).cast(instant) if found.event_time else pa.array([now] * rows.num_rows, instant)
    spine = pa.table({name: key, "seen_at": at, **{f: rows.column(f) for f in found.features}})
    labels = pa.table({name: key, found.target: rows.column(found.target), "known_at": at})
    return spine, labels.filter(pc.is_valid(labels.column(found.target)))


def project_text(name: str, found: Guess, rows: int, metric: str) -> str:
    """A readable project file: what was guessed and why, and the model."""
    features = "\n".join(f'        "{f}",' for f in found.features)
    reasons = "\n".join(f"# {what}: {why}" for what, why in found.reasons.items())
    return f'''"""Predict {found.target} for each row of {name}."""

import hanok as hk

# Guessed from {rows} rows; correct what is wrong, then: hanok apply
{reasons}

model = hk.Model(
    "{name}",
    task="{found.task}",
    spine=hk.Spine("{name}", predict_at="seen_at", keys="{found.key or "row"}"),
    label=hk.Label("{name}-labels", column="{found.target}", known_at="known_at"),
    features=[
{features}
    ],
    train=hk.AutoML(metric="{metric}", trials=10),
    split={'hk.by_time(test="28d")' if found.event_time else "hk.at_random(test=0.2)"},
    gate=hk.Gate(beats="champion"),
)
'''


def _write(directory: Path, files: Mapping[str, str]) -> list[Path]:
    for name in files:
        if (directory / name).exists():
            raise AlreadyExists(f"{directory / name} exists; 'hanok init' never overwrites: move it away first")
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in files.items():
        (directory / name).write_text(content)
        written.append(directory / name)
    return written


def write_project(directory: Path, name: str, found: Guess, rows: int, metric: str) -> list[Path]:
    """The project for a file. Raises AlreadyExists, so that nothing is overwritten."""
    return _write(
        directory,
        {
            "project.py": project_text(name, found, rows, metric),
            "hanok.toml": 'home = ".hanok"\nproject = "project.py"\n',
        },
    )
