"""`hanok init`: writing a project for a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from hanok.compute.metrics import evaluate
from hanok.compute.statistics import statistics
from hanok.core.errors import AlreadyExists
from hanok.core.validation import ColumnStatistics
from hanok.engine.guessing import Guess

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


def write_empty(directory: Path) -> list[Path]:
    """A commented project and its settings."""
    return _write(directory, {"project.py": EMPTY, "hanok.toml": 'home = ".hanok"\nproject = "project.py"\n'})


def project_text(name: str, found: Guess, rows: pa.Table, metric: str) -> str:
    """A readable project file: the problem, what was guessed and why, what each column holds, and the model."""
    about = {s.name: _line(_described(s)) for s in statistics(rows.select([*found.features, found.target]))}
    quoted = {f: _quoted(f) for f in found.features}
    width = max(len(quoted[f]) for f in found.features)
    features = "\n".join(f"        {quoted[f]},{' ' * (width - len(quoted[f]))}  # {about[f]}" for f in found.features)
    reasons = "\n".join(f"# {_line(f'{what}: {why}')}" for what, why in found.reasons.items())
    target, at = _line(found.target), _quoted(found.event_time)
    keys = _listed(found.keys)
    return f'''"""Predict {target} for each row of {name}.

What is predicted: {target} ({about[found.target]})
For whom, and what they do with it: (write it here)
Task and metric: {found.task}, {metric.replace("_", " ")}
Baseline to beat: {_line(_baseline(found, rows, metric))}
"""

import hanok as hk

# Guessed from {rows.num_rows} rows; correct what is wrong, then: hanok apply
{reasons}
{_sources(name, found)}
model = hk.Model(
    "{name}",
    task="{found.task}",
    spine=hk.Spine("{name}", {f"predict_at={at}, " if found.event_time else ""}keys={keys}),
    label=hk.Label("{name}-labels", column={_quoted(found.target)}),
    features=[
{features}
    ],
    train=hk.AutoML(metric="{metric}", budget="60s"),
    split={found.holdout.text},
    gate=hk.Gate(beats="champion"),
)
'''


def _sources(name: str, found: Guess) -> str:
    """What is said of the two tables beside the model: which rows are the same, and what columns are."""
    said = []
    if found.event_time:
        said += [f"event_time={_quoted(found.event_time)}", f"known_at={_quoted(found.event_time)}"]
    if found.row_key:
        said.append(f"row_key={_listed(found.row_key)}")
    if found.columns:
        said.append(f"columns={_columns(found.columns)}")
    if not said:
        return ""
    lines = "".join(f"    {s},\n" for s in said)
    rows = f'\nrows = hk.Source(\n    "{name}",\n{lines})\n'
    if not found.row_key:
        return rows
    kinds = {n: kind for n, kind in found.columns.items() if n in (*found.keys, found.target)}
    more = f", columns={_columns(kinds)}" if kinds else ""
    return f'{rows}labels = hk.Source("{name}-labels", row_key={_listed(found.keys)}{more})\n'


def _columns(kinds: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{_quoted(n)}: {_quoted(kind)}' for n, kind in kinds.items())}}}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _listed(names: Sequence[str]) -> str:
    return _quoted(names[0]) if len(names) == 1 else f"[{', '.join(map(_quoted, names))}]"


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
