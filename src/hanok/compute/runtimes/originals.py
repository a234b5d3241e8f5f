"""What the object that a package was made from answers to rows itself, without our reading of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hanok.compute.frames import Columns, encode
from hanok.compute.runtimes.class_order import by_class, in_order, label_name, labels_of, places_of
from hanok.compute.runtimes.encoded import Scores
from hanok.core.serving import Signature

_DTYPES = {"tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}


def original(model: Any, signature: Signature, table: pa.Table, names: Mapping[str, str]) -> Scores:
    """Its scores, in the order of the signature's classes; `names` says which class each of its labels is."""
    if is_onnx(model):
        return _onnx_scores(model, signature, table, names)
    data = _data(model, signature, table)
    if type(model).__name__ == "Booster" and type(model).__module__.startswith("xgboost"):
        from xgboost import DMatrix

        data = DMatrix(data)
    if signature.task == "regression" or type(model).__name__ == "Booster":
        found = np.asarray(model.predict(data), float)
        return found if signature.task == "multiclass" else found.reshape(table.num_rows)
    probabilities = np.asarray(model.predict_proba(data), float)
    if names:
        probabilities = in_order(probabilities, places_of(own_labels(model), names, signature.classes))
    return probabilities[:, 1] if signature.task == "binary" else probabilities


def said(model: Any, signature: Signature, table: pa.Table) -> list[str] | None:
    """The label that it gives to each row; None where it gives none."""
    if is_onnx(model):
        for _, kind, values in _onnx_run(model, signature, table):
            if kind in ("tensor(int64)", "tensor(int32)", "tensor(string)") and np.size(values) == table.num_rows:
                return [label_name(v) for v in np.ravel(values).tolist()]
        return None
    if not own_labels(model) or not hasattr(model, "predict_proba"):
        return None
    found = np.ravel(np.asarray(model.predict(_data(model, signature, table))))
    return [label_name(v) for v in found.tolist()] if len(found) == table.num_rows else None


def own_labels(model: Any) -> tuple[str, ...]:
    """Its labels in the order of its scores."""
    if is_onnx(model):
        return labels_of(model)
    return tuple(label_name(c) for c in getattr(model, "classes_", ()))


def is_onnx(model: Any) -> bool:
    return type(model).__name__ == "ModelProto"


def _data(model: Any, signature: Signature, table: pa.Table) -> Any:
    return table.to_pandas() if hasattr(model, "feature_names_in_") else encode(signature, _columns(table))


def _columns(table: pa.Table) -> Columns:
    return {name: table.column(name) for name in table.column_names}


# -- ONNX ------------------------------------------------------------------------------------------------------------


def _onnx_run(model: Any, signature: Signature, table: pa.Table) -> Sequence[tuple[str, str, Any]]:
    """All that a plain session gives: (name, type, values) of each output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    if all(i.name in table.column_names for i in inputs) and (len(inputs) > 1 or table.num_columns == 1):
        feed = {i.name: _column(table.column(i.name).to_pylist(), i.type) for i in inputs}
    else:
        feed = {inputs[0].name: encode(signature, _columns(table)).astype(_DTYPES.get(inputs[0].type, np.float32))}
    found = session.run(None, feed)
    return [(o.name, o.type, values) for o, values in zip(session.get_outputs(), found, strict=True)]


def _column(values: Sequence[Any], kind: str) -> Any:
    if kind == "tensor(string)":
        return np.array([["" if v is None else v] for v in values], object).reshape(-1, 1)
    dtype = _DTYPES.get(kind, np.float32)
    if not issubclass(dtype, np.floating) and None in values:
        raise ValueError("a null where whole numbers or truth values are taken")
    with np.errstate(over="ignore"):
        return np.array([np.nan if v is None else v for v in values], np.float64).astype(dtype).reshape(-1, 1)


def _onnx_scores(model: Any, signature: Signature, table: pa.Table, names: Mapping[str, str]) -> Scores:
    numbers = [v for _, kind, v in _onnx_run(model, signature, table) if kind.startswith("seq(") or _floats(kind)]
    if signature.task == "regression":
        return np.asarray(numbers[0], float).reshape(table.num_rows)
    if isinstance(numbers[-1], list):
        found = by_class(numbers[-1], signature.classes, names)
    else:
        found = np.asarray(numbers[-1], float).reshape(table.num_rows, -1)
        if found.shape[1] == 1 and signature.task == "binary":
            found = np.column_stack([1.0 - found, found])
        found = in_order(found, places_of(labels_of(model), names, signature.classes)) if names else found
    return found[:, 1] if signature.task == "binary" and found.shape[1] == 2 else found


def _floats(kind: str) -> bool:
    return kind in ("tensor(float)", "tensor(double)")
