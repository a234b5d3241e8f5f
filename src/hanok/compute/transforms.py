"""Applying `hk.transform`: Arrow arrays in and out, checked, with errors that name transform, column and rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module

import numpy as np
import pyarrow as pa

from hanok.core.declare_transform import Transform
from hanok.core.errors import TransformFailed, words

TYPES = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "text": pa.string()}
TRIED_ROWS = 16
Function = Callable[..., pa.Array | Mapping[str, pa.Array]]


@lru_cache(512)
def compiled(transform: Transform) -> Function:
    """The function of a declaration, in a namespace of its own. Raises TransformFailed where it cannot be made."""
    space: dict[str, object] = {}
    try:
        space |= {name: import_module(module) for name, module in transform.modules}
        space |= {name: eval(text, {"inf": np.inf, "nan": np.nan}) for name, text in transform.constants}
        exec(compile(transform.source, f"<transform {transform.name}>", "exec"), space)
    except Exception as error:
        raise TransformFailed(f"transform {transform.name!r} cannot be loaded: {words(error)}") from error
    function: Function = next(v for n, v in reversed(space.items()) if n == _defined(transform))  # type: ignore[assignment]
    return function


def _defined(transform: Transform) -> str:
    return transform.source.split("(", 1)[0].removeprefix("def ").strip()


def applied(transform: Transform, columns: Mapping[str, pa.ChunkedArray]) -> dict[str, pa.Array]:
    """The columns that a transform adds to rows. Raises TransformFailed."""
    given = [_whole(columns[name]) for name in transform.inputs]
    rows = len(given[0])
    if not rows:
        return {name: pa.array([], TYPES[kind]) for name, kind in transform.returns}
    try:
        found = compiled(transform)(*given)
    except Exception as error:
        raise TransformFailed(
            f"transform {transform.name!r} failed: {words(error)}{_shown(transform, given)}"
        ) from error
    made = dict(found) if isinstance(found, Mapping) else {transform.columns[0]: found}
    short = {f"{transform.name}__{n}" if isinstance(found, Mapping) else n: v for n, v in made.items()}
    if set(short) != set(transform.columns):
        raise TransformFailed(
            f"transform {transform.name!r} returned {', '.join(made) or 'nothing'}; it declares "
            f"{', '.join(transform.columns)}"
        )
    return {name: _typed(transform, name, kind, short[name], rows, given) for name, kind in transform.returns}


def _typed(
    transform: Transform, name: str, kind: str, values: object, rows: int, given: Sequence[pa.Array]
) -> pa.Array:
    try:
        made = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, from_pandas=True)
        made = _whole(pa.chunked_array([made]) if isinstance(made, pa.Array) else made)
        if len(made) == rows:
            return made.cast(TYPES[kind])
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError) as error:
        raise TransformFailed(
            f"transform {transform.name!r}: column {name!r} is no {kind}: {words(error)}{_shown(transform, given)}"
        ) from error
    raise TransformFailed(
        f"transform {transform.name!r}: column {name!r} has {len(made)} values for {rows} rows: each row gives one"
    )


def check_by_row(transform: Transform, columns: Mapping[str, pa.ChunkedArray], made: Mapping[str, pa.Array]) -> None:
    """Raises TransformFailed where some rows alone give other bits than among all the others."""
    rows = len(next(iter(made.values())))
    for place in np.unique(np.linspace(0, rows - 1, min(rows, TRIED_ROWS)).astype(int)).tolist():
        alone = applied(transform, {n: columns[n].slice(place, 1) for n in transform.inputs})
        for name, values in made.items():
            if not _same(alone[name][0], values[place]):
                raise TransformFailed(
                    f"transform {transform.name!r}: column {name!r} of row {place} is {values[place].as_py()!r} among "
                    f"all rows, and {alone[name][0].as_py()!r} alone: it is asked for one row at a time when the model "
                    "answers, so each row must depend on itself only"
                )


def _same(one: pa.Scalar, other: pa.Scalar) -> bool:
    a, b = one.as_py(), other.as_py()
    if isinstance(a, float) and isinstance(b, float):
        return a.hex() == b.hex()
    return bool(a == b)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found


def _shown(transform: Transform, given: Sequence[pa.Array]) -> str:
    """The first rows that a transform was given, for a message."""
    rows = pa.table(list(given), names=list(transform.inputs)).slice(0, 2).to_pylist()
    return f" (first rows: {'; '.join(', '.join(f'{n}={v!r}' for n, v in row.items()) for row in rows)})"[:400]
