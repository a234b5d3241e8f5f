"""A model's folder as an MLflow client logs it: what it says, and the object in it, without MLflow.

LightGBM, XGBoost, CatBoost and ONNX lie there in their own formats. What is pickled, or a skops file with types that
skops does not trust, runs code when it is loaded: it is loaded for a person who approved that very file.
"""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from hanok.compute.frames import Frame
from hanok.compute.runtimes import lightgbm_text, onnx_file
from hanok.compute.runtimes.originals import own_labels
from hanok.core.errors import ConversionFailed, Corrupt, HanokError, MissingExtra, Unsafe
from hanok.core.serving import Column, Signature

FLAVORS = ("onnx", "lightgbm", "xgboost", "catboost", "sklearn")
PICKLED = (".pkl", ".pickle", ".joblib", ".cloudpickle")
PROOF_ROWS = 500
COLUMNS_MAX = 100_000
_TYPES = {"boolean": "BOOL", "integer": "INT64", "long": "INT64", "float": "FP64", "double": "FP64", "string": "BYTES"}
_ARROW = {"BOOL": pa.bool_(), "INT64": pa.int64(), "FP64": pa.float64(), "BYTES": pa.string()}


@dataclass(frozen=True, slots=True)
class Logged:
    """What the file MLmodel says. `inputs` are names and datatypes; none where no signature was logged."""

    folder: Path
    flavor: str
    file: Path
    said: Mapping[str, Any]
    inputs: tuple[tuple[str, str], ...]
    example: pa.Table | None


@contextmanager
def _reading(name: str, flavor: str = "") -> Iterator[None]:
    """Whatever a file of a model makes its reader raise becomes Corrupt with the file's name; a library that is not
    there MissingExtra. What Hanok refuses with a reason of its own passes."""
    try:
        yield
    except HanokError as error:
        if isinstance(error, Corrupt) and name not in error.message:
            raise Corrupt(f"the file {name} of this MLflow model: {error.message}") from None
        raise
    except ImportError as error:
        needs, kind = error.name or str(error), flavor or "MLflow"
        raise MissingExtra(
            f"loading this {kind} model needs {needs}: pip install {needs}, or import it where it was trained"
        ) from None
    except Exception as error:  # noqa: BLE001 (readers of other libraries raise what they like at damage)
        first = (str(error).strip() or "it says no more").splitlines()[0][:200]
        raise Corrupt(
            f"the file {name} of this MLflow model cannot be read ({type(error).__name__}: {first}); log it again"
        ) from None


def read(folder: Path) -> Logged:
    """Raises Corrupt for what is no MLflow model, ConversionFailed for a flavor or a signature that is not served."""
    with _reading("MLmodel"):
        body = yaml.safe_load((folder / "MLmodel").read_text())
        flavors = body["flavors"]
        if not isinstance(flavors, dict) or not flavors:
            raise Corrupt("it names no flavor: this is no MLflow model")
        flavor = next((f for f in FLAVORS if f in flavors), "")
        if not flavor:
            loader = (flavors.get("python_function") or {}).get("loader_module", "no loader")
            raise ConversionFailed(
                f"a model of {', '.join(map(str, flavors))} ({loader}) runs code of its own and has no form that is "
                f"safe to serve; log it as {', '.join(FLAVORS)}, log the model inside it, or let it run as it is in a "
                "process of its own: hanok model approve"
            )
        said = flavors[flavor]
        name = str(said.get("pickled_model") or said.get("data") or "")
        file = (folder / name).resolve()
        if not name or not file.is_relative_to(folder.resolve()) or not file.is_file():
            raise Corrupt(f"MLmodel names the file {name[:200]!r}, which is not there")
        return Logged(folder, flavor, file, said, _inputs(body.get("signature")), _example(folder, body))


def described(folder: Path) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], pa.Table | None]:
    """The flavors that MLmodel names, the inputs of its signature, and its input example. Raises Corrupt,
    ConversionFailed for a signature that is not served."""
    with _reading("MLmodel"):
        body = yaml.safe_load((folder / "MLmodel").read_text())
        return tuple(map(str, body["flavors"])), _inputs(body.get("signature")), _example(folder, body)


def probe(inputs: Sequence[tuple[str, str]], example: pa.Table | None) -> pa.Table:
    """Rows to try a model on: those of its example, and numbers around them."""
    known = {} if example is None else {n: example.column(n) for n in example.column_names}
    fitting = {n: c for n, c in known.items() if _fits(dict(inputs).get(n, ""), c)}
    return pa.table({n: _values(kind, fitting.get(n), made=True) for n, kind in inputs})


def _inputs(signature: Any) -> tuple[tuple[str, str], ...]:
    specs = json.loads((signature or {}).get("inputs") or "[]")
    if not isinstance(specs, list):
        raise Corrupt("the inputs of its signature are no list")
    if len(specs) == 1 and specs[0].get("type") == "tensor" and not specs[0].get("name"):
        shape = specs[0]["tensor-spec"]["shape"]
        if len(shape) != 2 or not 1 <= shape[1] <= COLUMNS_MAX or "float" not in specs[0]["tensor-spec"]["dtype"]:
            raise ConversionFailed(f"its input is a tensor of shape {shape}; rows of numbers are served")
        return tuple((f"x{i}", "FP64") for i in range(shape[1]))
    found = []
    for place, spec in enumerate(specs):
        kind, name = str(spec.get("type")), str(spec.get("name", f"x{place}"))
        if kind not in _TYPES:
            raise ConversionFailed(f"its input {name!r} is {kind}; {', '.join(_TYPES)} are served")
        found.append((name, _TYPES[kind]))
    if twice := [name for name, count in Counter(name for name, _ in found).items() if count > 1]:
        raise Corrupt(f"its signature names the input {twice[0][:200]!r} twice")
    return tuple(found)


def _example(folder: Path, body: Mapping[str, Any]) -> pa.Table | None:
    """The input example, which MLflow keeps as {"columns": [...], "data": [[...]]}."""
    named = (body.get("saved_input_example_info") or {}).get("artifact_path", "")
    path = (folder / named).resolve()
    if not named or not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    try:
        found = json.loads(path.read_text())
        columns, rows = found.get("columns"), found["data"]
        columns = columns or [f"x{i}" for i in range(len(rows[0]))]
        return pa.table({str(c): [row[i] for row in rows] for i, c in enumerate(columns)})
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, pa.ArrowException):
        return None


def to_approve(logged: Logged) -> str:
    """The SHA-256 of the file that runs code when it is loaded; "" for a format that does not."""
    with _reading(logged.file.name, logged.flavor):
        if logged.file.suffix == ".skops":
            from skops import io

            native = not io.get_untrusted_types(file=logged.file)
        else:
            native = logged.flavor != "sklearn" and logged.file.suffix not in PICKLED
        if native:
            return ""
        with logged.file.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()


def load(logged: Logged, approved: str = "") -> Any:
    """The object. Raises Unsafe unless a file that runs code is the approved one, MissingExtra for a library, Corrupt
    for a file that is damaged."""
    digest = to_approve(logged)
    if digest and approved != digest:
        raise Unsafe(
            f"{logged.file.name} of this {logged.flavor} model is loaded by running what is in it, with your rights. "
            f"If you trust who logged it, approve this very file: --approve {digest}"
        )
    with _reading(logged.file.name, logged.flavor):
        return _LOADERS[logged.flavor](logged)


def _sklearn(logged: Logged) -> Any:
    if logged.file.suffix == ".skops":
        from skops import io

        return io.load(logged.file, trusted=io.get_untrusted_types(file=logged.file))
    return _unpickled(logged)


def _unpickled(logged: Logged) -> Any:
    import pickle

    if "joblib" in str(logged.said.get("serialization_format", "")):
        return importlib.import_module("joblib").load(logged.file)
    with logged.file.open("rb") as file:
        return pickle.load(file)


def _lightgbm(logged: Logged) -> Any:
    if logged.file.suffix in PICKLED:
        return _unpickled(logged)
    text = logged.file.read_bytes()
    lightgbm_text.check(text, lightgbm_text.width_of(text))
    return importlib.import_module("lightgbm").Booster(model_str=text.decode())


def _xgboost(logged: Logged) -> Any:
    model = _class_of("xgboost", str(logged.said.get("model_class", "xgboost.core.Booster")))()
    model.load_model(str(logged.file))
    return model


def _catboost(logged: Logged) -> Any:
    model = _class_of("catboost", str(logged.said.get("model_type", "CatBoost")))()
    return model.load_model(str(logged.file), format=str(logged.said.get("save_format", "cbm")))


def _class_of(library: str, named: str) -> Any:
    """A class of models of the library, and nothing else of it that MLmodel may name."""
    found = getattr(importlib.import_module(library), named.rpartition(".")[2], None)
    if not isinstance(found, type) or not hasattr(found, "load_model"):
        raise Corrupt(f"MLmodel says that it is a {named[:200]!r}, and {library} has no such kind of model")
    return found


def _onnx(logged: Logged) -> Any:
    content = logged.file.read_bytes()
    onnx_file.check(content)
    return importlib.import_module("onnx").load_model_from_string(content)


_LOADERS = {"sklearn": _sklearn, "lightgbm": _lightgbm, "xgboost": _xgboost, "catboost": _catboost, "onnx": _onnx}


# -- rows to prove it on ---------------------------------------------------------------------------------------------


def frame_of(model: Any, logged: Logged, data: pa.Table | None) -> Frame:
    """A frame without labels, by the logged signature: of the data given, else of rows around the input example, else
    of made rows. Raises ConversionFailed when nobody says what the inputs are."""
    rows = data if data is not None else logged.example
    inputs = logged.inputs or (() if rows is None else tuple((n, _datatype(rows.column(n))) for n in rows.column_names))
    if not inputs:
        raise ConversionFailed("it was logged without a signature: log it with one, or give rows of its data (--data)")
    known = {} if rows is None else {n: rows.column(n) for n in rows.column_names}
    known = {n: column for n, column in known.items() if data is not None or _fits(dict(inputs).get(n, ""), column)}
    if data is not None and (gone := [n for n, _ in inputs if n not in known]):
        raise ConversionFailed(f"the data has no column {gone[0]!r}, which the model takes")
    columns = {n: _values(kind, known.get(n), made=data is None) for n, kind in inputs}
    table = pa.table(columns)
    classes = own_labels(model)
    task = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    task, classes = _booster_task(model, task, classes)
    categories = {
        n: tuple(sorted(set(table.column(n).drop_null().to_pylist()))) if kind == "BYTES" else () for n, kind in inputs
    }
    signature = Signature(tuple(Column(n, kind, categories[n]) for n, kind in inputs), task, classes)
    return Frame(table, signature, "", np.zeros(table.num_rows, np.int64))


def _datatype(column: pa.ChunkedArray) -> str:
    kind = column.type
    if pa.types.is_boolean(kind):
        return "BOOL"
    return "INT64" if pa.types.is_integer(kind) else "FP64" if pa.types.is_floating(kind) else "BYTES"


def _fits(kind: str, column: pa.ChunkedArray) -> bool:
    """Whether a column of the input example is of the kind that the signature says."""
    return (
        kind in _ARROW and (_datatype(column) == "BYTES") == (kind == "BYTES") and not pa.types.is_nested(column.type)
    )


def _values(kind: str, known: pa.ChunkedArray | None, *, made: bool) -> pa.Array:
    """The column as it is, or `PROOF_ROWS` made values: those of the example, and numbers around them."""
    target = _ARROW[kind]
    if known is not None and not made:
        try:
            return known.cast(target, safe=False).combine_chunks()
        except pa.ArrowException as error:
            raise ConversionFailed(f"a column of the data is no {kind}, as the model takes it: {error}") from None
    random = np.random.default_rng(0)
    seen = [] if known is None else [v for v in known.to_pylist() if v is not None]
    if kind == "BYTES":
        return pa.array(random.choice(np.array(seen or ["a", "b"], object), PROOF_ROWS).tolist(), target)
    if kind == "BOOL":
        return pa.array((random.random(PROOF_ROWS) < 0.5).tolist(), target)
    base = np.array(seen or [0.0, 1.0, 10.0], float)
    spread = max(1.0, float(np.ptp(base)), float(np.abs(base).max()))
    values = random.choice(base, PROOF_ROWS) + random.normal(0, spread, PROOF_ROWS) * (random.random(PROOF_ROWS) < 0.8)
    return pa.array(np.round(values).astype(int).tolist() if kind == "INT64" else values.tolist(), target)


def _booster_task(model: Any, task: str, classes: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """A booster without its wrapper knows an objective, and classes by number."""
    library, kind = type(model).__module__.partition(".")[0], type(model).__name__
    objective, count = "", 0
    if kind == "Booster" and library == "lightgbm":
        said = model.dump_model(num_iteration=1).get("objective", "").split()
        objective, count = said[0] if said else "", int(model.num_model_per_iteration())
    elif kind == "Booster" and library == "xgboost":
        learner = json.loads(model.save_config())["learner"]
        objective, count = learner["objective"]["name"], int(learner["learner_model_param"]["num_class"])
    if objective.startswith("multi"):
        return "multiclass", tuple(map(str, range(count)))
    return ("binary", ("0", "1")) if objective in ("binary", "binary:logistic") else (task, tuple(classes))
