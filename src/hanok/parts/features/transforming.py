"""`hk.transform` over the features of a model: the same function of the same types in bulk and for one row."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pyarrow as pa

from hanok.compute.transforms import applied, check_by_row
from hanok.core.declare import Model, view_columns
from hanok.parts.features.online import FeatureCell


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type in which a transform gets a column: wide numbers, plain text, instants in UTC."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return pa.string()
    return pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) else kind


def in_bulk(model: Model, columns: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.ChunkedArray]:
    """The columns of all transforms, of many rows; some rows are tried alone. Raises TransformFailed."""
    found: dict[str, pa.ChunkedArray] = {}
    for transform in model.transforms:
        given = {n: columns[n].cast(plain_type(columns[n].type)) for n in transform.inputs}
        made = applied(transform, given)
        if len(next(iter(made.values()))):
            check_by_row(transform, given, made)
        found |= {name: pa.chunked_array([values]) for name, values in made.items()}
    return found


def of_row(model: Model, values: Mapping[str, FeatureCell], types: Mapping[str, pa.DataType]) -> dict[str, FeatureCell]:
    """The values of all transforms, of one row. Raises TransformFailed."""
    found: dict[str, FeatureCell] = {}
    for transform in model.transforms:
        given = {n: _column(values.get(n), types[n]) for n in transform.inputs}
        found |= {name: made[0].as_py() for name, made in applied(transform, given).items()}
    return found


def input_types(model: Model, schemas: Mapping[str, pa.Schema]) -> dict[str, pa.DataType]:
    """The type of each input, as bulk has it: `schemas` are those of the tables that the model reads."""
    types = {n: schemas[model.spine.table].field(n).type for n in model.spine_inputs}
    for view in model.views:
        for feature, column in zip(view.feature_names, view_columns(view), strict=True):
            types[column] = pa.float64() if view.aggregate else schemas[view.source.table].field(feature).type
    return {n: plain_type(types[n]) for t in model.transforms for n in t.inputs}


def _column(value: FeatureCell, kind: pa.DataType) -> pa.ChunkedArray:
    if isinstance(value, Decimal):
        value = float(value)
    return pa.chunked_array([pa.array([value], kind)])
