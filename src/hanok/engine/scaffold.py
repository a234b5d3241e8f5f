"""`hanok init`: reading a file and writing a project for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.frames import PREDICT_AT, Frame
from hanok.compute.leaks import Leak, alone
from hanok.compute.metrics import evaluate
from hanok.compute.statistics import column_type, statistics
from hanok.compute.text import is_free_text
from hanok.compute.values import plain
from hanok.core.errors import AlreadyExists, BadData, NotTrainable
from hanok.core.validation import ColumnStatistics

CLASSES_MAX = 20
ROWS_MIN = 30
LOOKED_AT = 500
MOSTLY = 0.9
IDENTIFIER = re.compile(r"(^|[_ ])(id|key|uuid|guid)$|^(id|key)([_ ]|$)")
DATES = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d")

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


def prepared(rows: pa.Table, target: str) -> tuple[pa.Table, dict[str, str]]:
    """The rows in the types that ingestion keeps (categories as their values, decimals as numbers), and why a column
    that no table can hold is left out. A target that is not a number (NaN) is not known. Raises BadData."""
    columns, reasons = {}, {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        try:
            columns[field.name] = plain(field.name, column).column
        except BadData as error:
            if field.name == target:
                raise
            reasons[f"left out {field.name}"] = error.message
    made = pa.table(columns)
    if target in columns and _is_float(made.column(target)):
        known = pc.if_else(pc.is_nan(made.column(target)), None, made.column(target))
        made = made.set_column(made.column_names.index(target), target, known)
    return made, reasons


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
    features: tuple[str, ...] = ()
    for name in (n for n in rows.column_names if n not in used):
        remark, usable = _looked_at(name, rows.column(name))
        features += (name,) if usable else ()
        if remark:
            reasons[name if usable else f"left out {name}"] = remark
    for leak in _leaks(rows, features, target, task):
        features = tuple(n for n in features if n != leak.column)
        reasons[f"left out {leak.column}"] = leak.message
    if not features:
        raise NotTrainable("no column is left to predict from: all are constant, identifiers or times")
    return Guess(task, target, key, times[0] if times else "", features, reasons)


def _leaks(rows: pa.Table, features: tuple[str, ...], target: str, task: str) -> list[Leak]:
    if not features:
        return []
    chosen = rows.select([*features, target]).append_column(PREDICT_AT, pa.array([0] * rows.num_rows, pa.int64()))
    return alone(Frame.of(chosen, features, task, target))


def _key(rows: pa.Table, target: str) -> str:
    for name in rows.column_names:
        column = rows.column(name)
        if name != target and column_type(column.type) in ("STRING", "INT") and not column.null_count:
            text = column_type(column.type) == "STRING"
            looks = (text and not is_free_text(column)) or IDENTIFIER.search(name.lower())
            if looks and pc.count_distinct(column).as_py() == rows.num_rows:
                return name
    return ""


def _looked_at(name: str, column: pa.ChunkedArray) -> tuple[str, bool]:
    """What is to be said of a column, and whether it can be a feature."""
    distinct = pc.count_distinct(column).as_py()
    if distinct < 2:
        return "it holds one value only" if distinct else "it is empty", False
    if IDENTIFIER.search(name.lower()) and distinct > max(20, 0.2 * len(column)) and not _is_float(column):
        return f"it looks like an identifier ({distinct} values in {len(column)} rows)", False
    if column_type(column.type) != "STRING":
        return "", True
    texts = column.drop_null().slice(0, LOOKED_AT).to_pylist()
    if _share(texts, is_date) > MOSTLY:
        return f"it is a date written as text, like {texts[0]!r}: write it as 2024-01-31 to use it as a time", False
    if is_free_text(column):
        return "it is free text: the model sees how often each frequent word occurs", True
    if distinct > max(100, 0.5 * len(column)):
        return f"nearly every row has a value of its own ({distinct} in {len(column)} rows)", False
    if (numbers := _share(texts, _is_number)) > MOSTLY / 2:
        odd = next((t for t in texts if not _is_number(t)), "")
        return f"{numbers:.0%} of it are numbers and the rest is text, like {odd!r}: it is taken as categories", True
    return "", True


def is_date(text: str) -> bool:
    """Whether a text is a date in one of the usual spellings."""
    for spelling in DATES:
        try:
            datetime.strptime(text.strip(), spelling)
        except ValueError:
            continue
        return True
    return False


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_float(column: pa.ChunkedArray) -> bool:
    return pa.types.is_floating(column.type)


def _share(texts: list[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, texts)) / max(1, len(texts))


def split_tables(rows: pa.Table, found: Guess, now: Any) -> tuple[pa.Table, pa.Table]:
    """The file as a spine (what is known when predicting) and labels (what is known later)."""
    key = rows.column(found.key) if found.key else pa.array([f"row-{i}" for i in range(rows.num_rows)])
    name = found.key or "row"
    instant = pa.timestamp("us", "UTC")
    at = rows.column(found.event_time).cast(instant) if found.event_time else pa.array([now] * rows.num_rows, instant)
    spine = pa.table({name: key, "seen_at": at, **{f: rows.column(f) for f in found.features}})
    labels = pa.table({name: key, found.target: rows.column(found.target), "known_at": at})
    return spine, labels.filter(pc.is_valid(labels.column(found.target)))


def project_text(name: str, found: Guess, rows: pa.Table, metric: str) -> str:
    """A readable project file: the problem, what was guessed and why, what each column holds, and the model."""
    about = {s.name: _line(_described(s)) for s in statistics(rows.select([*found.features, found.target]))}
    quoted = {f: json.dumps(f, ensure_ascii=False) for f in (*found.features, found.target, found.key or "row")}
    width = max(len(quoted[f]) for f in found.features)
    features = "\n".join(f"        {quoted[f]},{' ' * (width - len(quoted[f]))}  # {about[f]}" for f in found.features)
    reasons = "\n".join(f"# {_line(f'{what}: {why}')}" for what, why in found.reasons.items())
    target = _line(found.target)
    return f'''"""Predict {target} for each row of {name}.

What is predicted: {target} ({about[found.target]})
For whom, and what they do with it: (write it here)
Task and metric: {found.task}, {metric.replace("_", " ")}
Baseline to beat: {_line(_baseline(found, rows, metric))}
"""

import hanok as hk

# Guessed from {rows.num_rows} rows; correct what is wrong, then: hanok apply
{reasons}

model = hk.Model(
    "{name}",
    task="{found.task}",
    spine=hk.Spine("{name}", predict_at="seen_at", keys={quoted[found.key or "row"]}),
    label=hk.Label("{name}-labels", column={quoted[found.target]}, known_at="known_at"),
    features=[
{features}
    ],
    train=hk.AutoML(metric="{metric}", trials=10),
    split={'hk.by_time(test="28d")' if found.event_time else "hk.at_random(test=0.2)"},
    gate=hk.Gate(beats="champion"),
)
'''


def _line(text: str) -> str:
    """Text from a file as one line of a comment or docstring."""
    return " ".join(text.split()).replace("\\", "/").replace('"""', "'")


def _described(column: ColumnStatistics) -> str:
    """A column in a few words."""
    null = f", {column.nulls / max(1, column.rows):.0%} null" if column.nulls else ""
    if column.minimum is not None and column.maximum is not None and column.mean is not None:
        return f"{column.minimum:g} to {column.maximum:g}, mean {column.mean:.4g}{null}"
    most = f", mostly {str(column.top[0][0])[:30]!r}" if column.top and column.distinct < column.rows / 2 else ""
    return f"{column.distinct:.0f} values{most}{null}"


def _baseline(found: Guess, rows: pa.Table, metric: str) -> str:
    """What always giving the same answer would reach on these rows."""
    values = rows.column(found.target).drop_null()
    if found.task == "regression":
        y = values.cast(pa.float64(), safe=False).to_numpy()
        score = np.full(len(y), y.mean())
        return f"always the mean, {y.mean():.4g}: {metric} {evaluate(found.task, y, score)[metric]:.4g}"
    codes = values.combine_chunks().dictionary_encode()
    y = codes.indices.to_numpy().astype(float)
    shares = np.bincount(y.astype(int)) / len(y)
    most = codes.dictionary[int(shares.argmax())].as_py()
    score = np.full(len(y), y.mean()) if found.task == "binary" else np.tile(shares, (len(y), 1))
    value = evaluate(found.task, y, score)[metric]
    return f"always the same chances ({most} in {shares.max():.0%} of the rows): {metric} {value:.4g}"


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


def write_project(directory: Path, name: str, found: Guess, rows: pa.Table, metric: str) -> list[Path]:
    """The project for a file. Raises AlreadyExists, so that nothing is overwritten."""
    return _write(
        directory,
        {
            "project.py": project_text(name, found, rows, metric),
            "hanok.toml": 'home = ".hanok"\nproject = "project.py"\n',
        },
    )
