"""scikit-learn to ONNX, with the step that ONNX Runtime lacks in 64 bits: imputing numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from hanok.compute.frames import Frame
from hanok.core.errors import ConversionFailed


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
            options=options,
            custom_conversion_functions={SimpleImputer: _impute},
            custom_shape_calculators={SimpleImputer: shapes},
        )
        return bytes(made.SerializeToString())
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConversionFailed(f"ONNX conversion failed: {first[:200]}") from error


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
