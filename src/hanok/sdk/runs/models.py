"""From a trained object and its data to a package."""

from __future__ import annotations

from typing import Any

from hanok.compute.frames import PREDICT_AT, Frame
from hanok.compute.runtimes import Package
from hanok.compute.runtimes.convert import convert
from hanok.core.errors import Invalid
from hanok.sdk.runs.values import table_of

LABEL = "_label"
ROWS_MAX = 20_000


def packaged(model: Any, data: Any, label: Any) -> Package:
    """Raises ConversionFailed, NotTrainable, Invalid."""
    if isinstance(model, Package):
        return model
    if data is None:
        raise Invalid("to prove the converted model, give the data it was trained on: run.model(model, X, y)")
    return convert(model, frame_of(model, data, label))


def frame_of(model: Any, data: Any, label: Any) -> Frame:
    """Features and label as a Frame; the task follows from the model and its classes."""
    import numpy as np
    import pyarrow as pa

    table = table_of(data)
    features = list(table.column_names)
    classes = getattr(model, "classes_", None)
    task = "regression" if classes is None else "binary" if len(classes) == 2 else "multiclass"
    objective = str((getattr(model, "params", None) or {}).get("objective", ""))  # a LightGBM booster knows no classes
    task = objective if objective in ("binary", "multiclass") else task
    values = model.predict(data) if label is None else label
    values = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    table = table.append_column(LABEL, pa.array(values.reshape(-1)))
    table = table.append_column(PREDICT_AT, pa.array(np.arange(table.num_rows, dtype=np.int64)))
    return Frame.of(table.slice(0, ROWS_MAX), features, task, LABEL)
