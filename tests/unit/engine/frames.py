"""Random frames over every Arrow type that a Parquet file holds, small values and extremes of each."""

import json
import random
import uuid
from decimal import Decimal

import pyarrow as pa

ROWS_MAX = 150
NAMES = ("plain", "a.b", "two words", "it's", 'say "so"', "Größe", "상태", "1.5", "Upper", "select", "x,y", "é\u0301")
WORDS = (
    "",
    " ",
    "a",
    "b",
    "ab",
    "NA",
    "null",
    "true",
    "0123",
    "3.10",
    "1e5",
    "2024-01-02",
    "ß",
    "日本",
    "x" * 300,
    "'",
    "\n",
)
ZONES = (None, "UTC", "Europe/Berlin", "Asia/Kolkata", "+05:30")


def _ints(bits, signed):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    ends = [low, low + 1, high - 1, high, 0, min(high, 1 << 53), min(high, (1 << 53) + 1)]
    return lambda r, wild: r.choice(ends) if wild else r.randint(max(low, -9), min(high, 99))


def _floats(largest):
    ends = [float("nan"), float("inf"), float("-inf"), -0.0, 0.0, largest, -largest, 1e-7]
    return lambda r, wild: r.choice(ends) if wild else round(r.gauss(10, 3), 2)


def _text(r, wild):
    return r.choice(WORDS) if wild else r.choice(("red", "green", "blue"))


def _bytes(r, wild):
    return r.randbytes(r.randint(0, 6)) if wild else r.choice((b"red", b"green"))


def _decimals(precision, scale):
    def made(r, wild):
        digits = r.randint(0, 10**precision - 1) if wild else r.randint(0, min(10**precision, 500) - 1)
        return Decimal(digits * r.choice((1, -1))).scaleb(-scale)

    return made


def _ticks(least, most):
    return lambda r, wild: r.randint(least, most)


def _of(inner, least=0, most=3):
    return lambda r, wild: [inner(r, wild) for _ in range(r.randint(least, most))]


TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
SMALL = _ints(16, True)
KINDS = {
    "bool": (pa.bool_(), lambda r, wild: r.random() < 0.5),
    **{f"int{b}": (getattr(pa, f"int{b}")(), _ints(b, True)) for b in (8, 16, 32, 64)},
    **{f"uint{b}": (getattr(pa, f"uint{b}")(), _ints(b, False)) for b in (8, 16, 32, 64)},
    "half": (pa.float16(), _floats(65504.0)),
    "float": (pa.float32(), _floats(3.4e38)),
    "double": (pa.float64(), _floats(1.7e308)),
    "text": (pa.string(), _text),
    "large text": (pa.large_string(), _text),
    "text view": (pa.string_view(), _text),
    "binary": (pa.binary(), _bytes),
    "large binary": (pa.large_binary(), _bytes),
    "binary view": (pa.binary_view(), _bytes),
    "fixed binary": (pa.binary(3), lambda r, wild: r.randbytes(3) if wild else r.choice((b"abc", b"abd"))),
    "date": (pa.date32(), _ticks(10_000, 22_000)),
    "date64": (pa.date64(), lambda r, wild: r.randint(10_000, 22_000) * 86_400_000),
    **{
        f"instant {unit} {zone}": (pa.timestamp(unit, zone), _ticks(0, 1_700_000_000 * TICKS[unit]))
        for unit in TICKS
        for zone in ZONES
    },
    "far instant": (pa.timestamp("us"), _ticks(-(1 << 62), 1 << 62)),
    "time32": (pa.time32("ms"), _ticks(0, 86_399_999)),
    "time64": (pa.time64("us"), _ticks(0, 86_399_999_999)),
    "time64 ns": (pa.time64("ns"), _ticks(0, 86_399_999_999_999)),
    **{f"duration {u}": (pa.duration(u), _ticks(-(10**5), 10**7)) for u in TICKS},
    "decimal32": (pa.decimal32(7, 2), _decimals(7, 2)),
    "decimal64": (pa.decimal64(16, 3), _decimals(16, 3)),
    "decimal128": (pa.decimal128(30, 4), _decimals(30, 4)),
    "whole decimal": (pa.decimal128(38, 0), _decimals(38, 0)),
    "decimal256": (pa.decimal256(60, 10), _decimals(60, 10)),
    "category": (pa.dictionary(pa.int8(), pa.string()), _text),
    "category of int": (pa.dictionary(pa.int32(), pa.int64()), SMALL),
    "list": (pa.list_(pa.int64()), _of(SMALL)),
    "large list": (pa.large_list(pa.string()), _of(_text)),
    "fixed list": (pa.list_(pa.float32(), 2), _of(_floats(1.0), 2, 2)),
    "list view": (pa.list_view(pa.int32()), _of(SMALL)),
    "list of list": (pa.list_(pa.list_(pa.string())), _of(_of(_text))),
    "struct": (
        pa.struct([("a", pa.int64()), ("b.c", pa.string())]),
        lambda r, wild: {"a": SMALL(r, wild), "b.c": _text(r, wild)},
    ),
    "list of struct": (pa.list_(pa.struct([("a", pa.int64())])), _of(lambda r, wild: {"a": SMALL(r, wild)})),
    "map": (pa.map_(pa.string(), pa.int64()), lambda r, wild: [("k", SMALL(r, wild))]),
    "null": (pa.null(), lambda r, wild: None),
    "uuid": (pa.uuid(), lambda r, wild: uuid.UUID(int=r.getrandbits(128)).bytes),
    "json": (pa.json_(), lambda r, wild: json.dumps({"a": SMALL(r, wild)})),
    "bool8": (pa.bool8(), lambda r, wild: r.randint(0, 1)),
}


def column(kind, rows, r):
    """`rows` values of one kind; nulls in none, some or all of them; sometimes extremes."""
    type_, value = KINDS[kind]
    wild, nulls = r.random() < 0.5, r.choice((0.0, 0.0, 0.2, 0.2, 1.0 if r.random() < 0.3 else 0.5))
    values = [None if r.random() < nulls else value(r, wild) for _ in range(rows)]
    return _array(values, type_)


def _array(values, type_):
    if isinstance(type_, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type_, pa.array(values, type_.storage_type))
    if pa.types.is_temporal(type_) and not pa.types.is_interval(type_):
        width = pa.int32() if type_.bit_width == 32 else pa.int64()
        return pa.array(values, width).view(type_)
    return pa.array(values, type_)


def frame(seed, *, columns_max=4):
    """A table of one to four columns and their kinds; `row` numbers its rows."""
    r = random.Random(seed)
    rows = r.choice((1, 2, 30, r.randint(3, ROWS_MAX), ROWS_MAX))
    names = r.sample(NAMES, r.randint(1, columns_max))
    kinds = [r.choice(list(KINDS)) for _ in names]
    made = {n: column(k, rows, r) for n, k in zip(names, kinds, strict=True)}
    return pa.table({"row": pa.array(range(rows), pa.int64()), **made}), dict(zip(names, kinds, strict=True))
