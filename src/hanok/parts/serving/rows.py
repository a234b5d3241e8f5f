"""Entries of the log as rows of its table, and back: each row keeps its own columns, and gives them back exactly."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.core.logged import KEY, NUMBER, TEXT, TRUTH, WHOLE, candidates, feature_of, key_of
from hanok.core.names import folded
from hanok.core.serving import Prediction, Signature
from hanok.core.tables import ARRIVED
from hanok.parts.serving.entries import Entry, decode_values, encode_values
from hanok.parts.serving.scorer import Decision

INSTANT = pa.timestamp("us", "UTC")
NULLS, EXACT = "nulls", "exact"  # features that were null; values that no typed column holds
_INT64 = range(-(1 << 63), 1 << 63)


Signatures = Mapping[int, Signature]


class Names:
    """Gives each kind of value of a feature its column, beside those that a table has already."""

    def __init__(self, known: pa.Schema | None) -> None:
        self._types: dict[str, pa.DataType] = {f.name: f.type for f in known} if known is not None else {}
        self._taken = {folded(name): name for name in self._types}
        self._given: dict[tuple[tuple[str, ...], str, bool], str] = {}

    def column(self, prefixes: tuple[str, ...], name: str, kind: pa.DataType) -> str:
        """The column of values of type `kind`."""
        given = self._given.get((prefixes, name, kind == pa.string()))
        if given is not None:
            return given
        turn = 1
        while True:
            for candidate in candidates(prefixes, name, turn):
                if self._free(candidate, kind):
                    self._types[candidate] = kind
                    self._taken[folded(candidate)] = candidate
                    self._given[prefixes, name, kind == pa.string()] = candidate
                    return candidate
            turn += 1

    def _free(self, column: str, kind: pa.DataType) -> bool:
        holder = self._taken.get(folded(column))
        return holder is None or (holder == column and self._types[column] == kind)


def table_of(
    entries: Sequence[Entry], ids: Sequence[str], known: pa.Schema | None, signatures: Signatures = MappingProxyType({})
) -> pa.Table:
    """Frames as rows of a table that has the columns `known` already. `signatures` by version say where they are known
    what a feature is of which a log holds nulls alone, or values of another type in an answer that was refused."""
    names, text = Names(known), {c.name: c.datatype == "BYTES" for s in signatures.values() for c in s.inputs}
    at = pa.array([e.at for e in entries], pa.int64()).cast(INSTANT)
    columns: dict[str, pa.Array] = {
        "prediction_id": pa.array(ids, pa.string()),
        "row_id": pa.array([e.row_id or i for e, i in zip(entries, ids, strict=True)], pa.string()),
        "at": at,
        "version": pa.array([e.version for e in entries], pa.int64()),
        "arm": pa.array([e.arm for e in entries], pa.string()),
        "batch": pa.array([""] * len(entries), pa.string()),
        "score": pa.array([e.score for e in entries], pa.float64()),
        "scores": pa.array([e.scores for e in entries], pa.list_(pa.float64())),
        "error": pa.array([e.error for e in entries], pa.string()),
        "microseconds": pa.array([e.microseconds for e in entries], pa.int64()),
        "rows": pa.array([e.rows for e in entries], pa.int64()),
    }
    odd: list[dict[str, object]] = [{} for _ in entries]
    nulls: list[list[str]] = [[n for n, v in e.features.items() if v is None] for e in entries]
    for name in dict.fromkeys(n for e in entries for n in e.features):
        values = [e.features.get(name) for e in entries]
        _add(columns, names, name, values, odd, text.get(name))
    entities = [{_key_name(k): _key(v) for k, v in e.entity.items()} for e in entries]
    for name in dict.fromkeys(k for entity in entities for k in entity):
        columns[names.column((KEY,), name, pa.string())] = pa.array([e.get(name) for e in entities], pa.string())
    columns[NULLS] = pa.array(nulls, pa.list_(pa.string()))
    columns[EXACT] = _exact(odd)
    columns[ARRIVED] = at
    return pa.table(columns)


def _exact(odd: Sequence[Mapping[str, object]]) -> pa.Array:
    """The values of each row that no typed column holds."""
    return pa.array([base64.b64encode(encode_values(o)).decode() if o else None for o in odd], pa.string())


def _add(
    columns: dict[str, pa.Array],
    names: Names,
    name: str,
    values: Sequence[object],
    odd: Sequence[dict[str, object]],
    text: bool | None,
) -> None:
    """The columns of one feature, which is `text` or not where that is known; what fits none goes to `odd`."""
    numbers: list[float | None] = [None] * len(values)
    whole: list[int | None] = [None] * len(values)
    truth: list[bool | None] = [None] * len(values)
    texts: list[str | None] = [None] * len(values)
    plain = "\0" not in name and _is_valid(name)
    for row, value in enumerate(values):
        if not plain and value is not None:
            odd[row][name] = value
        elif isinstance(value, bool):
            truth[row], numbers[row] = value, float(value)
        elif isinstance(value, int) and value in _INT64:
            whole[row], numbers[row] = value, float(value)
        elif isinstance(value, float):
            numbers[row] = value
        elif isinstance(value, str) and _is_valid(value):
            texts[row] = value
        elif value is not None:
            odd[row][name] = value
    kinds: list[tuple[Sequence[object], tuple[str, ...], pa.DataType, bool]] = [
        (numbers, NUMBER[::-1] if text else NUMBER, pa.float64(), text is False),
        (texts, TEXT[::-1] if text is False else TEXT, pa.string(), text is True),
        (whole, WHOLE, pa.int64(), False),
        (truth, TRUTH, pa.bool_(), False),
    ]
    for found, prefixes, kind, always in kinds:
        if (always and plain) or any(v is not None for v in found):
            columns[names.column(prefixes, name, kind)] = pa.array(found, kind)


def _is_valid(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def _key(value: object) -> str | None:
    """Entity keys are text; frames of earlier versions hold other things too."""
    if value is None:
        return None
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return text.encode("utf-8", "backslashreplace").decode()


def _key_name(name: str) -> str:
    """A name that Arrow hands on whole: it ends one at a zero byte."""
    return (_key(name) or "").replace("\0", "\\x00")


class BatchRows:
    """The rows of one arm of a batch: columns of `rows` that its signature takes, and its scores or error."""

    def __init__(self, rows: pa.Table, *, key: str, at: pa.ChunkedArray, keys: Mapping[str, pa.ChunkedArray]) -> None:
        self._rows, self._key, self._at, self._keys = rows, key, at, keys

    def table(
        self,
        decision: Decision,
        *,
        ids: Sequence[str],
        row_ids: Sequence[str],
        modes: Sequence[str],
        known: pa.Schema | None,
    ) -> pa.Table:
        """The rows for a table that has the columns `known` already."""
        count, names = self._rows.num_rows, Names(known)
        scores = decision.scores
        wide = scores is not None and scores.ndim == 2
        single = None if scores is None else scores.max(axis=1) if wide else scores
        columns: dict[str, pa.Array] = {
            "prediction_id": pa.array(ids, pa.string()),
            "row_id": pa.array(row_ids, pa.string()),
            "at": self._at.cast(INSTANT),
            "version": pa.array(np.full(count, decision.arm.version)),
            "arm": pa.array(modes, pa.string()),
            "batch": pa.array([self._key] * count, pa.string()),
            "score": pa.nulls(count, pa.float64())
            if single is None
            else pa.array(single, pa.float64(), mask=_refused(decision)),
            "scores": pa.array(
                scores.tolist() if wide and scores is not None else [[]] * count, pa.list_(pa.float64())
            ),
            "error": pa.array(errors_of(decision, count), pa.string()),
            "microseconds": pa.array(np.full(count, decision.microseconds)),
            "rows": pa.array(np.full(count, count)),
        }
        wanted = [c.name for c in decision.signature.inputs] if decision.signature is not None else []
        seen = {n: self._rows.column(n) for n in wanted if n in self._rows.column_names}
        text = {c.name: c.datatype == "BYTES" for c in decision.signature.inputs} if decision.signature else {}
        odd: list[dict[str, object]] = [{} for _ in range(count)] if any(_is_odd(c) for c in seen.values()) else []
        for name, column in seen.items():
            columns |= _typed(names, name, column, text[name])
            if _is_odd(column):
                for kept, value in zip(odd, column.to_pylist(), strict=True):
                    if value is not None and not (isinstance(value, int) and value in _INT64):
                        kept[name] = value
        for name, texts in self._keys.items():
            columns[names.column((KEY,), _key_name(name), pa.string())] = texts
        columns[NULLS] = _null_names(seen, count)
        if odd:
            columns[EXACT] = _exact(odd)
        columns[ARRIVED] = columns["at"]
        return pa.table(columns)


def errors_of(decision: Decision, count: int) -> list[str]:
    """Of each row why it has no score, or none that is finite; "" where it has one."""
    errors = [decision.error.message if decision.error is not None else ""] * count
    if decision.error is None and decision.scores is not None:
        for row in decision.broken_rows.tolist():
            said = decision.row_errors.get(row)
            errors[row] = f"the score is {decision.scores[row]}" if said is None else said.message
    return errors


def _refused(decision: Decision) -> NDArray[np.bool_]:
    """The rows that came to no score at all."""
    mask = np.zeros(decision.rows, bool)
    mask[list(decision.row_errors)] = True
    return mask


def _typed(names: Names, name: str, column: pa.ChunkedArray, text: bool) -> dict[str, pa.ChunkedArray]:
    """The typed columns of a feature; what they cannot hold exactly is `_is_odd`, and kept beside them."""
    kind = _value_type(column)
    if pa.types.is_null(kind):
        kind = pa.string() if text else pa.float64()
        return {names.column(TEXT if text else NUMBER, name, kind): column.cast(kind)}
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        exact, prefixes = (pa.bool_(), TRUTH) if pa.types.is_boolean(kind) else (pa.int64(), WHOLE)
        whole = _within_int64(column) if pa.types.is_uint64(kind) else column
        return {
            names.column(NUMBER, name, pa.float64()): column.cast(pa.float64(), safe=False),
            names.column(prefixes, name, exact): whole.cast(exact, safe=False),
        }
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return {names.column(NUMBER, name, pa.float64()): column.cast(pa.float64(), safe=False)}
    if _is_odd(column):
        return {}
    return {names.column(TEXT, name, pa.string()): column.cast(pa.string())}


def _within_int64(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null where a number is larger."""
    plain = column.cast(pa.uint64())
    fits = pc.less_equal(plain, pa.scalar(_INT64[-1], pa.uint64()))
    return pc.if_else(fits, plain, pa.scalar(None, pa.uint64()))


def _value_type(column: pa.ChunkedArray) -> pa.DataType:
    return column.type.value_type if pa.types.is_dictionary(column.type) else column.type


def _is_odd(column: pa.ChunkedArray) -> bool:
    """Whether a column may have values that are not given back exactly by a typed column of the table."""
    kind = _value_type(column)
    if pa.types.is_uint64(kind):
        return (pc.max(column).as_py() or 0) not in _INT64
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return pa.types.is_decimal(kind) or pa.types.is_nested(kind) or binary


def _null_names(seen: Mapping[str, pa.ChunkedArray], count: int) -> pa.Array:
    """For each row the names of the columns that are null in it."""
    if not seen:
        return pa.array([[]] * count, pa.list_(pa.string()))
    missing = np.column_stack([c.is_null().to_numpy(zero_copy_only=False) for c in seen.values()])
    offsets = np.concatenate([[0], np.cumsum(missing.sum(axis=1))]).astype(np.int32)
    values = pa.array(list(seen), pa.string()).take(pa.array(np.nonzero(missing)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def prediction_of(deployment: str, row: Mapping[str, object]) -> Prediction:
    """A row of the table as a Prediction."""
    batch, row_id, error = (str(row.get(n) or "") for n in ("batch", "row_id", "error"))
    version, at, score, scores = row["version"], row["at"], row["score"], row["scores"]
    assert isinstance(version, int) and isinstance(at, datetime)
    return Prediction(
        str(row["prediction_id"]),
        deployment,
        version,
        at,
        str(row["arm"]),
        features_of(row),
        score if isinstance(score, float) else None,
        tuple(scores) if isinstance(scores, list) else (),
        {k: v for n, v in row.items() if (k := key_of(n)) is not None and v is not None},
        batch,
        row_id,
        error,
    )


def features_of(row: Mapping[str, object]) -> dict[str, object]:
    """The features of a row of the table, as they came. Rows of earlier versions do not say which were null."""
    nulls, exact = row.get(NULLS), row.get(EXACT)
    found: dict[str, object] = {}
    for column, value in row.items():  # typed columns come after the numbers they stand beside
        if (name := feature_of(column)) is None:
            continue
        if value is None:
            if nulls is None:
                found.setdefault(name, None)
        elif name not in found or found[name] is None or column[:3] in (*WHOLE, *TRUTH):
            found[name] = value
    if isinstance(nulls, list):
        found |= dict.fromkeys((str(n) for n in nulls), None)
    if isinstance(exact, str):
        found |= decode_values(base64.b64decode(exact))
    return found
