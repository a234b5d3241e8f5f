"""MLflow's scoring formats: JSON with one of dataframe_split, dataframe_records, instances, inputs; CSV; Parquet.

As MLflow does: columns that the model does not take are ignored, members beside the format are ignored, a column that
it takes must be there. Stricter than MLflow: rows have equal keys, no column stands twice, a number is no text, text is
no number, and a fraction is no whole number (MLflow cuts it off).
"""

from __future__ import annotations

import csv as plain_csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import orjson
from msgspec import UNSET, UnsetType

from hanok.core.errors import SignatureMismatch, TooLarge
from hanok.core.json import Json
from hanok.core.serving import Signature
from hanok.wire.inference import strict
from hanok.wire.inference.cells import CELLS_MAX, Cell, Columns, Given, bounded, fit, names

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
UNPACKED_MAX = 256 << 20
NAMED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


class _Split(msgspec.Struct, forbid_unknown_fields=True):
    columns: list[str]
    data: list[list[Cell]]
    index: list[Cell] | UnsetType | None = UNSET


class _Fast(msgspec.Struct, forbid_unknown_fields=True):
    """The usual bodies; all else is read slowly."""

    dataframe_split: _Split | UnsetType = UNSET
    dataframe_records: list[dict[str, Cell]] | UnsetType = UNSET
    instances: list[dict[str, Cell]] | UnsetType = UNSET
    inputs: dict[str, list[Cell]] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Frame:
    """The columns of a request in the types of the model."""

    columns: Columns
    rows: int


_decoder = msgspec.json.Decoder(_Fast)


def decode(body: bytes, content_type: str, arms: Sequence[Signature]) -> Frame:
    """Read a request for the models behind a name; rows without names are in the order of the first. Raises
    SignatureMismatch, TooLarge."""
    if content_type == CSV:
        rows, given = _csv(body, arms)
    elif content_type == PARQUET:
        rows, given = _parquet(body, arms)
    else:
        body = strict.without_mark(body)
        found = _fast(body)
        rows, given = found if found is not None else _slow(body, arms[0])
    bounded(rows, len(given.cells))
    return Frame(fit(given, arms, ignore_extra=True), rows)


# -- JSON ------------------------------------------------------------------------------------------------------------


def _fast(body: bytes) -> tuple[int, Given] | None:
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError:
        return None
    except RecursionError:
        raise strict.not_json("it is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise strict.not_json(error) from None
    split, columns = request.dataframe_split, request.inputs
    rows = request.dataframe_records or request.instances
    found = [f for f in (split, request.dataframe_records, request.instances, columns) if f is not UNSET]
    if len(found) != 1 or not found[0]:
        return None
    if not isinstance(split, UnsetType):
        members = 3 + (split.index is not UNSET)
        once = strict.surely_once(body, members) or strict.surely_once(
            body, members + strict.members([split.columns, split.data, split.index or ()])
        )
        return _split(split.columns, split.data, None if split.index is UNSET else split.index) if once else None
    if not isinstance(columns, UnsetType):
        once = strict.surely_once(body, 1 + len(columns)) or strict.surely_once(body, 1 + strict.members(columns))
        return _columns(columns) if once else None
    assert not isinstance(rows, UnsetType)
    once = strict.surely_once(body, 1 + sum(map(len, rows))) or strict.surely_once(body, 1 + strict.members(rows))
    return _records(rows) if once else None


def _slow(body: bytes, signature: Signature) -> tuple[int, Given]:
    request = strict.read(body)
    present = [f for f in FORMATS if isinstance(request, Mapping) and f in request]
    if not isinstance(request, Mapping) or len(present) != 1:
        raise SignatureMismatch(f"the body has {len(present)} of {', '.join(FORMATS)}; it needs exactly one")
    if not isinstance(request.get("params"), Mapping | None):
        raise SignatureMismatch("params is an object of names and values")
    form, content = present[0], request[present[0]]
    if form == "dataframe_split":
        if not isinstance(content, Mapping) or not {"columns", "data"} <= set(content) <= {"columns", "data", "index"}:
            raise SignatureMismatch("dataframe_split is an object of columns, data and, where wanted, index")
        return _split(_list(content["columns"], "columns"), _list(content["data"], "data"), content.get("index"))
    if form != "dataframe_records" and isinstance(content, Mapping):
        return _columns(content)
    rows = _list(content, form)
    if rows and isinstance(rows[0], Mapping):
        return _records(rows)
    if form == "dataframe_records" or not rows:
        raise SignatureMismatch(f"{form} is a list of objects, one for each row; the model takes {names(signature)}")
    if len(signature.inputs) == 1 and not isinstance(rows[0], list):
        rows = [[value] for value in rows]
    return _split([c.name for c in signature.inputs], rows, None)


def _list(value: Json, what: str) -> Sequence[Json]:
    if not isinstance(value, list):
        raise SignatureMismatch(f"{what} is a list")
    return value


def _split(columns: Sequence[Json], data: Sequence[Json], index: Json) -> tuple[int, Given]:
    width, seen = len(columns), set[str]()
    bounded(len(data), width)
    for name in columns:
        if not isinstance(name, str):
            raise SignatureMismatch(f"columns are texts, and {str(name)[:80]} is none")
        if name in seen:
            raise SignatureMismatch(f"column {name[:200]!r} stands twice in columns")
        seen.add(name)
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != width:
            held = f"has {len(row)} values" if isinstance(row, list) else "is no list of values"
            raise SignatureMismatch(f"row {number} {held}, and there are {width} columns")
    if index is not None and (not isinstance(index, list) or len(index) != len(data)):
        raise SignatureMismatch(f"index names each of the {len(data)} rows once, or is left out")
    cells: list[Sequence[Json]] = list(zip(*data, strict=True)) if data else [()] * width
    return len(data), Given(dict(zip(columns, cells, strict=True)))  # type: ignore[arg-type]


def _records(rows: Sequence[Json]) -> tuple[int, Given]:
    first = rows[0]
    assert isinstance(first, Mapping)
    bounded(len(rows), len(first))
    keys = first.keys()
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise SignatureMismatch(f"row {number} is no object of columns and values")
        if row.keys() != keys:
            odd = sorted(row.keys() ^ keys)[0]
            has = "has" if odd in row else "lacks"
            raise SignatureMismatch(
                f"row {number} {has} {odd[:200]!r} and the first row {'has not' if odd in row else 'has it'}: rows "
                "have equal keys; send null for a missing value"
            )
    if len(rows) == 1:
        return 1, Given({name: [value] for name, value in first.items()})
    return len(rows), Given({name: [row[name] for row in rows] for name in first})  # type: ignore[index,call-overload]


def _columns(content: Mapping[str, Json] | Mapping[str, list[Cell]]) -> tuple[int, Given]:
    """Lists of values by name, or one value for each name: one row."""
    columns: dict[str, Sequence[Json]] = {}
    lists = sum(isinstance(v, list) for v in content.values())
    for name, value in content.items():
        if lists and not isinstance(value, list):
            raise SignatureMismatch(f"column {name[:200]!r} is one value and others are lists")
        columns[name] = value if isinstance(value, list) else [value]
    rows = len(next(iter(columns.values()), ()))
    for name, cells in columns.items():
        if len(cells) != rows:
            raise SignatureMismatch(f"column {name[:200]!r} has {len(cells)} values and the first has {rows}")
    return rows, Given(columns)


# -- files -----------------------------------------------------------------------------------------------------------


def _wanted(arms: Sequence[Signature]) -> dict[str, str]:
    found: dict[str, str] = {}
    for signature in arms:
        for column in signature.inputs:
            found.setdefault(column.name, column.datatype)
    return found


def _csv(body: bytes, arms: Sequence[Signature]) -> tuple[int, Given]:
    """With a header; an empty cell is a missing value, a number is what the model's column says it is. Cells stand
    apart by what the header has between the model's inputs: commas, semicolons, tabs or pipes."""
    import pyarrow as pa
    from pyarrow import csv

    body = strict.without_mark(body, "CSV")
    wanted = _wanted(arms)
    apart = _delimiter(body, wanted)
    try:
        parsed = csv.ParseOptions(delimiter=apart, newlines_in_values=True)
        header = csv.open_csv(io.BytesIO(body), csv.ReadOptions(block_size=1 << 20), parsed).schema.names
        _once(header)
        if not wanted.keys() & set(header):
            named = ", ".join(repr(n[:80]) for n in header[:12])
            raise SignatureMismatch(
                f"the header of the CSV, with {NAMED[apart]} between names, has none of the inputs: it has {named}; "
                f"the model takes {names(arms[0])}"
            )
        table = csv.read_csv(
            io.BytesIO(body),
            csv.ReadOptions(use_threads=False),
            parsed,
            csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                include_columns=[n for n in header if n in wanted],
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise SignatureMismatch(f"the body is not CSV with a header: {str(error)[:200]}") from None
    bounded(table.num_rows, table.num_columns)
    written = frozenset(n for n in table.column_names if wanted[n] != "BYTES")
    given: dict[str, Sequence[Json]] = {n: table.column(n).to_pylist() for n in table.column_names}
    if apart == ";":  # where decimals have commas, cells are apart by semicolons
        given.update({n: [_pointed(cell) for cell in table.column(n).to_pylist()] for n in written})
    return table.num_rows, Given(given, written=written)


def _delimiter(body: bytes, wanted: Collection[str]) -> str:
    """What the first line has between names: the one under which it has most of those wanted, then most names."""
    start = len(body) - len(body.lstrip(b"\r\n"))
    line = body[start : start + (1 << 20)].splitlines()[0].decode(errors="replace")

    def fit(delimiter: str) -> tuple[int, int]:
        named = next(plain_csv.reader([line], delimiter=delimiter), [])
        return len(set(named) & set(wanted)), len(named)

    try:
        return max(NAMED, key=fit)
    except plain_csv.Error:
        return ","


def _pointed(cell: str | None) -> str | None:
    return cell.replace(",", ".") if cell is not None and _DECIMAL_COMMA.fullmatch(cell) else cell


def _parquet(body: bytes, arms: Sequence[Signature]) -> tuple[int, Given]:
    import pyarrow as pa
    from pyarrow import parquet

    from hanok.wire.inference.columns import cells_of

    wanted = _wanted(arms)
    try:
        file = parquet.ParquetFile(io.BytesIO(body))
        header = file.schema_arrow.names
        _once(header)
        known = [n for n in header if n in wanted]
        bounded(file.metadata.num_rows, len(known))
        _unpacked(file.metadata)
        table: pa.Table = file.read(columns=known, use_threads=False)
        if table.num_rows * table.num_columns > CELLS_MAX:
            bounded(table.num_rows, table.num_columns)
        return table.num_rows, Given({n: cells_of(table.column(n)) for n in known})
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SignatureMismatch(f"the body is not Parquet: {str(error)[:200]}") from None


def _unpacked(metadata: pa.FileMetaData) -> None:
    size = sum(
        metadata.row_group(g).column(c).total_uncompressed_size
        for g in range(metadata.num_row_groups)
        for c in range(metadata.num_columns)
    )
    if size > UNPACKED_MAX:
        raise TooLarge(f"the Parquet body unpacks to {size} bytes; at most {UNPACKED_MAX}")


def _once(header: Sequence[str]) -> None:
    if twice := [n for n in header if header.count(n) > 1]:
        raise SignatureMismatch(f"column {twice[0][:200]!r} stands twice in the header")


# -- answering -------------------------------------------------------------------------------------------------------


def encode(predictions: Sequence[Json], ids: Sequence[str], explanations: Sequence[Json] | None = None) -> bytes:
    more = {} if explanations is None else {"explanations": list(explanations)}
    return orjson.dumps({"predictions": list(predictions), "prediction_ids": list(ids), **more})


def error(code: str, message: str) -> bytes:
    return orjson.dumps({"error_code": code, "message": message})
