"""scikit-learn to ONNX, with what ONNX Runtime lacks: imputing numbers in 64 bits, and words of all alphabets."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from hanok.compute.frames import Frame
from hanok.core.errors import ConversionFailed

_WORD = r"(?u)\b\w\w+\b"  # scikit-learn's own
_WORD_OF_RE2 = r"[\pL\pN_][\pL\pN_]+"  # whose \w are the letters of English


def graph_of(model: Any, frame: Frame, *, double: bool, by_column: bool, options: Any = None) -> bytes:
    """The graph of an estimator or of the steps of a pipeline: of one input for each feature, or one matrix named
    `matrix`. Raises ConversionFailed."""
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
        from skl2onnx.shape_calculators.imputer import calculate_sklearn_imputer_output_shapes as shapes
        from sklearn.impute import SimpleImputer
    except ImportError:
        raise ConversionFailed("converting it needs skl2onnx: pip install 'hanok[onnx]'") from None
    number = DoubleTensorType if double else FloatTensorType
    if by_column:
        kinds: list[tuple[str, Any]] = [
            (c.name, StringTensorType([None, 1]) if c.datatype == "BYTES" else number([None, 1]))
            for c in frame.signature.inputs
        ]
    else:
        kinds = [("matrix", number([None, frame.signature.width]))]
    try:
        made = convert_sklearn(
            model,
            "model",
            kinds,
            options={**(options or {}), **_words_of(model)} or None,
            custom_conversion_functions={SimpleImputer: _impute},
            custom_shape_calculators={SimpleImputer: shapes},
        )
        return bytes(made.SerializeToString())
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConversionFailed(f"ONNX conversion failed: {first[:200]}") from error


def _words_of(model: Any) -> dict[int, dict[str, Any]]:
    """Options of the steps that split texts into words. Without a locale, lower case is that of the serving machine."""
    from sklearn.feature_extraction.text import CountVectorizer

    found: dict[int, dict[str, Any]] = {}
    waiting = [model]
    while waiting:
        step = waiting.pop()
        if isinstance(step, CountVectorizer):
            word = {"tokenexp": _WORD_OF_RE2} if (step.analyzer, step.token_pattern) == ("word", _WORD) else {}
            found[id(step)] = word | ({"locale": "C.UTF-8"} if sys.platform == "linux" else {})
        inner = [
            *getattr(step, "steps", ()),
            *getattr(step, "transformers_", ()),
            *getattr(step, "transformer_list", ()),
        ]
        waiting += [part[1] for part in inner]
    return {place: options for place, options in found.items() if options}


def _impute(scope: Any, operator: Any, container: Any) -> None:
    """SimpleImputer of numbers as `where(isnan(x), statistics, x)`, which keeps 64 bits; anything else as skl2onnx
    does it."""
    from skl2onnx.common.data_types import DoubleTensorType
    from skl2onnx.operator_converters.common import concatenate_variables
    from skl2onnx.operator_converters.imputer_op import convert_sklearn_imputer
    from skl2onnx.proto import onnx_proto

    imputer = operator.raw_operator
    statistics = np.asarray(imputer.statistics_)
    plain = (
        isinstance(operator.inputs[0].type, DoubleTensorType)
        and statistics.dtype.kind == "f"
        and np.isfinite(statistics).all()
        and isinstance(imputer.missing_values, float)
        and np.isnan(imputer.missing_values)
        and not imputer.add_indicator
    )
    if not plain:
        convert_sklearn_imputer(scope, operator, container)
        return
    given = concatenate_variables(scope, operator.inputs, container)
    filled, missing = scope.get_unique_variable_name("filled"), scope.get_unique_variable_name("missing")
    container.add_initializer(filled, onnx_proto.TensorProto.DOUBLE, [1, len(statistics)], statistics.tolist())
    container.add_node("IsNaN", [given], [missing], op_version=13, name=scope.get_unique_operator_name("IsNaN"))
    container.add_node(
        "Where",
        [missing, filled, given],
        [operator.outputs[0].full_name],
        op_version=16,
        name=scope.get_unique_operator_name("Where"),
    )
