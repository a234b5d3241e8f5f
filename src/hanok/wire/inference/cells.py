"""Values of a request: read as a model's inputs, exactly or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import isfinite
from typing import NamedTuple, TypeAlias

from hanok.core.errors import SignatureMismatch, TooLarge
from hanok.core.json import Json
from hanok.core.serving import Column, Signature

Cell: TypeAlias = str | int | float | bool | None
ROWS_MAX = 100_000
CELLS_MAX = 10_000_000
EXACT = 2**53
_NONE = type(None)
_INT, _FLOAT, _TEXT = {int}, {float}, {str}


class Foreign(NamedTuple):
    """A value of a file that no request can hold, such as an instant: it is refused wherever a model would see it."""

    kind: str
    text: str

    def __repr__(self) -> str:
        return self.text


class Given(NamedTuple):
    """The columns as they stand in a request. `datatypes` are the protocol's, where it has them; `written` columns come
    from a file without types (CSV), so that text may stand for a number. A cell that is no scalar is kept as it came,
    for `fit` to refuse where a model would see it."""

    cells: Mapping[str, Sequence[Json]]
    datatypes: Mapping[str, str] = {}
    written: frozenset[str] = frozenset()


Columns: TypeAlias = dict[str, list[Cell]]


def fit(given: Given, arms: Sequence[Signature], *, ignore_extra: bool) -> Columns:
    """The columns that the models behind a name take, exact in the types of the first of `arms` that all of them fit.

    What only another arm takes is read by its types, and left out where it does not fit them: that arm is charged with
    it. Raises SignatureMismatch, with the reason of the first arm, when no arm can answer.
    """
    first = arms[0]
    columns: Columns | None = None
    reason: SignatureMismatch | None = None
    for signature in arms:
        try:
            columns = _fitted(given, signature, arms, ignore_extra=ignore_extra)
            break
        except SignatureMismatch as error:
            reason = reason or error
    if columns is None:
        raise reason or SignatureMismatch(f"the model takes {names(first)}")
    for signature in arms if len(arms) > 1 else ():
        for column in signature.inputs:
            if column.name not in columns and column.name in given.cells:
                with suppress(SignatureMismatch):
                    columns[column.name] = exact(column, given)
    return columns


def _fitted(given: Given, signature: Signature, arms: Sequence[Signature], *, ignore_extra: bool) -> Columns:
    columns: Columns = {}
    get = given.cells.get
    for column in signature.inputs:
        cells = get(column.name)
        if cells is None:
            raise SignatureMismatch(_missing(column.name, given.cells, signature))
        if len(cells) == 1 and is_plainly(column.datatype, value := cells[0]):
            columns[column.name] = [value]  # type: ignore[list-item]
        else:
            columns[column.name] = exact(column, given)
    if len(columns) < len(given.cells) and not ignore_extra:
        known = {c.name for s in arms for c in s.inputs}
        if extra := [n for n in given.cells if n not in known]:
            raise SignatureMismatch(f"the model has no input {extra[0][:200]!r}; it takes {names(signature)}")
    return columns


def is_plainly(datatype: str, value: Json) -> bool:
    """Whether one value is what nearly every value of its type is, so that there is nothing to look into."""
    kind = type(value)
    if kind is float:
        return datatype == "FP64" and isfinite(value)  # type: ignore[arg-type]
    if kind is str:
        return datatype == "BYTES"
    return kind is int and datatype == "INT64" and -EXACT <= value <= EXACT  # type: ignore[operator]


def names(signature: Signature) -> str:
    listed = [c.name for c in signature.inputs[:30]]
    more = len(signature.inputs) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


def _missing(name: str, given: Mapping[str, Sequence[Json]], signature: Signature) -> str:
    known = {c.name for c in signature.inputs}
    extra = [n for n in given if n not in known]
    near = next((n for n in extra if n.strip().casefold() == name.casefold()), extra[0] if len(extra) == 1 else "")
    said = f" ({near[:200]!r} is none of its inputs)" if near else ""
    return f"input {name!r} is missing{said}; the model takes {names(signature)}"


def exact(column: Column, given: Given) -> list[Cell]:
    """The values as the column's type has them: str, int, float or bool, and None for a missing value.

    Raises SignatureMismatch that names the column and the first value that does not fit.
    """
    cells, declared_as = given.cells[column.name], given.datatypes.get(column.name, "")
    kinds = set(map(type, cells))
    kinds.discard(_NONE)
    datatype = column.datatype
    if declared_as and (datatype == "BYTES") != (declared_as == "BYTES"):
        said = f"text: its datatype is BYTES, not {declared_as}" if datatype == "BYTES" else f"{datatype}, not BYTES"
        raise SignatureMismatch(f"input {column.name!r} is {said}")
    if datatype == "BYTES":
        if not kinds <= _TEXT:
            value = _first(cells, lambda v: not isinstance(v, str))
            raise SignatureMismatch(f"input {column.name!r} is text (BYTES), got {_shown(value)}")
        return list(cells)  # type: ignore[arg-type]
    if datatype == "FP64" and kinds <= _FLOAT and all(map(isfinite, filter(None, cells))):  # type: ignore[arg-type]
        return list(cells)  # type: ignore[arg-type]
    read = _READERS.get(datatype, _number)
    written = column.name in given.written
    fitted: list[Cell] = []
    for value in cells:
        try:
            if value is not None and written:
                value = _from_text(str(value))
            fitted.append(None if value is None else read(value))
        except (ValueError, OverflowError, TypeError) as error:
            raise SignatureMismatch(
                f"input {column.name!r} is {datatype}: {_shown(value)} {error}; send null for a missing value"
            ) from None
    return fitted


def _number(value: Json) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"is {_kind(value)}, no number")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("is too large for a number") from None
    if not isfinite(number):
        raise ValueError("is no finite number")
    return number


def _whole(value: Json) -> int:
    number = _number(value)
    if not number.is_integer():
        raise ValueError("has a fraction and the input is a whole number")
    whole = int(value)  # type: ignore[arg-type]
    if number != whole or (isinstance(value, float) and abs(value) > EXACT):
        raise ValueError("is a whole number over 2^53 that a model cannot see exactly")
    if not -(2**63) <= whole < 2**63:
        raise ValueError("is over 64 bits")
    return whole


def _bool(value: Json) -> bool:
    if isinstance(value, int | float) and (value == 0 or value == 1):
        return bool(value)
    raise ValueError("is not true or false (1 or 0)")


_READERS: Mapping[str, Callable[[Json], Cell]] = {"FP64": _number, "INT64": _whole, "BOOL": _bool}


def _from_text(text: str) -> Json:
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    if "_" in text or not text.isascii():
        raise ValueError("is no number")
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise ValueError("is no number") from None


def _kind(value: Json) -> str:
    if isinstance(value, Foreign):
        return value.kind
    if isinstance(value, str):
        return "text"
    return "a list in one cell" if isinstance(value, Sequence) else "an object in one cell"


def _first(cells: Sequence[Json], wrong: Callable[[Json], bool]) -> Json:
    return next(v for v in cells if v is not None and wrong(v))


def _shown(value: Json) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int of over 4,300 digits
        return "a number of thousands of digits"
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= 60 else text[:57] + "..."


def bounded(rows: int, columns: int) -> None:
    """Raises TooLarge for more than one request may hold."""
    if rows > ROWS_MAX:
        raise TooLarge(f"{rows} rows in one request; at most {ROWS_MAX}. Use batch prediction for more")
    if rows * columns > CELLS_MAX:
        raise TooLarge(
            f"{rows} rows of {columns} columns are {rows * columns} values; a request holds {CELLS_MAX} at most"
        )


# -- the protocol's datatypes ---------------------------------------------------------------------------------------

_FLOATS = {"FP16": 65504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}
_INTS = {f"{'U' if low else ''}INT{bits}": (0 if low else -(2 ** (bits - 1)), 2 ** (bits - 1 + low) - 1)
         for bits in (8, 16, 32, 64) for low in (0, 1)}  # fmt: skip
DATATYPES = ("BOOL", "BYTES", *_INTS, *_FLOATS)


def declared(name: str, datatype: str, cells: Sequence[Json]) -> None:
    """Check that each value of a tensor is one of its datatype. Raises SignatureMismatch with the tensor's name."""
    if len(cells) == 1 and is_plainly(datatype, cells[0]):
        return
    if datatype not in DATATYPES:
        raise SignatureMismatch(
            f"input {name[:200]!r} has the datatype {datatype[:40]!r}; there are {', '.join(DATATYPES)}"
        )
    if not _all_are(datatype, cells):
        wrong = _first(cells, lambda v: not _all_are(datatype, [v]))
        raise SignatureMismatch(
            f"input {name[:200]!r} is {datatype} and holds {_shown(wrong)}; send null for a missing value"
        )


def _all_are(datatype: str, cells: Sequence[Json]) -> bool:
    kinds = set(map(type, cells))
    kinds.discard(_NONE)
    if datatype == "BYTES":
        return kinds <= _TEXT
    if datatype in _FLOATS:
        largest = _FLOATS[datatype]
        return kinds <= {int, float} and _between(cells, -largest, largest)
    if datatype in _INTS:
        return kinds <= {int, float} and _between(cells, *_INTS[datatype]) and (kinds <= _INT or _all_whole(cells))
    return all(v is None or v is True or v is False or (type(v) in (int, float) and v in (0, 1)) for v in cells)


def _between(cells: Sequence[Json], low: float, high: float) -> bool:
    return all(v is None or low <= v <= high for v in cells)  # type: ignore[operator]


def _all_whole(cells: Sequence[Json]) -> bool:
    return all(not isinstance(v, float) or v.is_integer() for v in cells)
