"""What `hanok init` guesses of a table, each guess with its reason: task, key, time, features and holdout."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.alike import copies, repeating, spellings_of, told_groupings
from hanok.compute.dates import spellings
from hanok.compute.frames import PREDICT_AT, Frame
from hanok.compute.guesses import odd_among_numbers
from hanok.compute.leaks import Leak, suspects
from hanok.compute.statistics import column_type
from hanok.compute.text import is_free_text
from hanok.compute.values import bring, plain
from hanok.core.durations import shortest
from hanok.core.errors import BadData, NotTrainable
from hanok.core.tables import ROW
from hanok.engine.sources import as_declared

CLASSES_MAX = 20
ROWS_MIN = 30
LOOKED_AT = 500
MOSTLY = 0.9
NEARLY = 0.98  # of the rows have a value of their own: an identifier with some rows twice
SEQUENCE_GAPS = 2.0  # a run of numbers may have as many gaps as members
DIGITS_MIN, RANDOM_IDS_MIN, ROUND_MAX, UNEVEN_MAX = 5, 100, 0.2, 0.1
HOLDOUT, HOLDOUT_MAX = 0.2, 0.25
EVENTS_MIN = 10  # rows of a holdout that are not of the commonest class
IDENTIFIER = re.compile(
    r"(?i:(^|[_ .-])(id|ids|key|uuid|guid|nr|no|number|index|row|rowid|rownum)$|^(id|key)([_ .-]|$)|^unnamed)"
    r"|[a-z]I[dD]$"
)
ROW_NUMBER = re.compile(r"(?i:^(unnamed.*|column_1|index|row|rowid|rownum|row_?number|x|nr|no)$)")
CODE = re.compile(r"(^|[_ ])(code|zip|zipcode|postcode|plz|type|class|category|cluster|region|group|segment)$", re.I)
NAMES_A_GROUP = re.compile(rf"{IDENTIFIER.pattern}|[a-z]{{3}}(id|uuid)$")
FEW_A_GROUP = 1.25
BIRTH = re.compile(r"birth|dob|geburt", re.I)


@dataclass(frozen=True, slots=True)
class Holdout:
    """How rows are held out: the last `span` by time, or a share at random (rows of a value of `group` together)."""

    span: timedelta | None = None
    group: str = ""

    @property
    def text(self) -> str:
        if self.span is not None:
            return f'hk.by_time(test="{shortest(self.span)}")'
        group = f", group={json.dumps(self.group, ensure_ascii=False)}" if self.group else ""
        return f"hk.at_random(test=0.2{group})"


@dataclass(frozen=True, slots=True)
class Guess:
    """What was guessed of a file, each with its reason, for the user to correct in the project file. `keys` tell rows
    apart; `columns` says what columns are where their values alone do not."""

    task: str
    target: str
    keys: tuple[str, ...]
    event_time: str
    features: tuple[str, ...]
    reasons: Mapping[str, str]
    columns: Mapping[str, str]
    holdout: Holdout = Holdout()

    @property
    def row_key(self) -> tuple[str, ...]:
        """What makes a row of a later file the same row: key and time. Numbered rows are never the same."""
        if self.keys == (ROW,):
            return ()
        return tuple(dict.fromkeys((*self.keys, *([self.event_time] if self.event_time else []))))


def prepared(rows: pa.Table, target: str, columns: Mapping[str, str] | None = None) -> tuple[pa.Table, dict[str, str]]:
    """The rows in the types that ingestion keeps (categories as their values, decimals as numbers), as their columns
    are declared, and why a column is left out. A target that is not a number (NaN) is not known. Raises BadData."""
    declared = dict(columns or {})
    if unknown := [n for n in declared if n not in rows.column_names]:
        raise BadData(f"there is no column {unknown[0]!r}; the file has {', '.join(rows.column_names[:20])}")
    kept, reasons = {}, {f"left out {n}": "it is declared to be ignored" for n, k in declared.items() if k == "ignored"}
    rows = as_declared(rows, declared)
    for field, column in zip(rows.schema, rows.columns, strict=True):
        try:
            kept[field.name] = plain(field.name, column).column
        except BadData as error:
            if field.name == target:
                raise
            reasons[f"left out {field.name}"] = error.message
    made = pa.table(kept)
    if target in kept and _is_float(made.column(target)):
        known = pc.if_else(pc.is_nan(made.column(target)), None, made.column(target))
        made = made.set_column(made.column_names.index(target), target, known)
    return made, reasons


def dated(rows: pa.Table, found: Guess) -> pa.Table:
    """The rows with the columns that were found to be dates as times."""
    return as_declared(rows, dict(found.columns))


def guess(rows: pa.Table, target: str, columns: Mapping[str, str] | None = None) -> Guess:
    """What to predict from what, in a table of prepared rows. Raises BadData or NotTrainable, saying what is wrong."""
    if target not in rows.column_names:
        raise BadData(f"there is no column {target!r}; the file has {', '.join(rows.column_names[:20])}")
    if rows.num_rows < ROWS_MIN:
        raise NotTrainable(f"the file has {rows.num_rows} rows; a model needs at least {ROWS_MIN}")
    declared = dict(columns or {})
    task, why = _task(rows, target)
    reasons = {"task": why}
    dates = _dates(rows, target, declared)
    declared |= dates
    rows = as_declared(rows, dates)
    time, reasons["event time"], other_times = _time(rows, target)
    keys, reasons["key"] = _keys(rows, target, time, declared)
    features: tuple[str, ...] = ()
    for name in (n for n in rows.column_names if n not in (target, time, *keys)):
        remark, usable = _looked_at(name, rows.column(name), declared.get(name, ""))
        if name in other_times:
            remark, usable = other_times[name], False
        features += (name,) if usable else ()
        if remark:
            reasons[name if usable else f"left out {name}"] = remark
    for leak in _leaks(rows, features, target, task):
        if leak.certain or leak.kind == "alone":
            features = tuple(n for n in features if n != leak.column)
            reasons.pop(leak.column, None)
            reasons[f"left out {leak.column}"] = leak.message
        else:
            reasons[f"look at {leak.column}"] = leak.message
    if not features:
        raise NotTrainable("no column is left to predict from: all are constant, identifiers or times")
    made = Guess(task, target, keys, time, features, reasons, declared)
    holdout, reasons["holdout"] = _holdout(rows, made)
    group, why, alike = _together(rows, made)
    if alike:
        reasons["copies"] = alike
    if not group or not set(features) - {group}:
        return replace(made, holdout=holdout)
    if time and holdout.span is not None:
        reasons["group"] = f"{why}. If a new {group} is to be predicted, add group={group!r} to the split"
        return replace(made, holdout=holdout)
    reasons["holdout"] = f"a fifth of the values of {group}, at random: {why}"
    new = "its values are new when they are predicted"
    others = spellings_of(rows.column(group), {n: rows.column(n) for n in features if n != group})
    if not set(features) - {group, *others}:
        others = []
    for name in others:
        reasons.pop(name, None)
        reasons[f"left out {name}"] = f"it is another name of {group}, by which rows are held out: {new}"
    if group in features:
        reasons.pop(group, None)
        reasons[f"left out {group}"] = f"rows are held out by it: {new}"
    return replace(made, holdout=Holdout(group=group), features=tuple(n for n in features if n not in (group, *others)))


def _task(rows: pa.Table, target: str) -> tuple[str, str]:
    label = rows.column(target).drop_null()
    if not len(label):
        raise NotTrainable(f"{target!r} is empty in every row; there is nothing to learn")
    values, kind = pc.count_distinct(label).as_py(), column_type(label.type)
    if values < 2:
        raise NotTrainable(f"{target!r} holds one value only; there is nothing to learn")
    if values == 2:
        return "binary", f"{target} has two values"
    if kind in ("STRING", "BOOL") or (kind == "INT" and values <= CLASSES_MAX):
        if kind == "STRING" and values > CLASSES_MAX and (odd := odd_among_numbers(label)):
            raise NotTrainable(f"the target {target!r} {odd}")
        if values > 200 or (kind == "STRING" and values > max(CLASSES_MAX, len(label) / 2)):
            raise NotTrainable(
                f"{target!r} is text with {values} values, like {str(label[0])[:60]!r}; a target is a number or one "
                "of few classes. Write numbers without a unit or a currency, as 1234.5"
            )
        return "multiclass", f"{target} has {values} values"
    if kind == "TIMESTAMP":
        raise NotTrainable(f"{target!r} is a time; a target is a number or one of few classes")
    return "regression", f"{target} is a number with {values} values"


# -- times ---------------------------------------------------------------------------------------------------------


def _dates(rows: pa.Table, target: str, declared: Mapping[str, str]) -> dict[str, str]:
    """Text columns that are dates in one spelling, and in no other one: {"sold": "date %d.%m.%Y"}."""
    found = {}
    for name in rows.column_names:
        column = rows.column(name)
        if name != target and name not in declared and column_type(column.type) == "STRING":
            read = spellings(column)
            if len(read) == 1 and pc.count_distinct(column.drop_null()).as_py() > 1:
                found[name] = f"date {read[0]}"
    return found


def _time(rows: pa.Table, target: str) -> tuple[str, str, dict[str, str]]:
    """The column that says when a row happened, why, and why not the others."""
    times = [f.name for f in rows.schema if column_type(f.type) == "TIMESTAMP" and f.name != target]
    usable = [n for n in times if not rows.column(n).null_count and not BIRTH.search(n)]
    usable = [n for n in usable if pc.count_distinct(rows.column(n)).as_py() > 1]
    chosen = min(usable, key=lambda n: _mean_time(rows.column(n)), default="")
    rest = dict.fromkeys((n for n in times if n != chosen), "it is a time: derive an age, an hour or a weekday from it")
    if chosen:
        more = f" and comes before {', '.join(n for n in usable if n != chosen)}" if len(usable) > 1 else ""
        why = f"{chosen} is a time in every row{more}; the columns of a row are taken as known then"
        return chosen, why, rest
    if times:
        return "", f"{', '.join(times)}: no time that every row has; the time of arrival is used", rest
    return "", "no column is a time: the time of arrival is used", rest


def _mean_time(column: pa.ChunkedArray) -> float:
    return float(pc.mean(column.cast(pa.int64())).as_py())


# -- keys ----------------------------------------------------------------------------------------------------------


def _keys(rows: pa.Table, target: str, time: str, declared: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """The columns that tell rows apart, and why these."""
    names = [n for n in rows.column_names if n not in (target, time) and not rows.column(n).null_count]
    said = {n: why for n in names if (why := _as_key(n, rows.column(n), declared.get(n, "")))}
    for name in sorted(said, key=lambda n: (declared.get(n) != "id", not IDENTIFIER.search(n))):
        return (name,), said[name]
    if time and _distinct(rows, [time]) == rows.num_rows:
        return (time,), f"{time} is different in every row"
    if time:
        for name in sorted(names, key=lambda n: (declared.get(n) != "id", not IDENTIFIER.search(n))):
            if _may_tell_apart(name, rows.column(name)) and _distinct(rows, [name, time]) == rows.num_rows:
                return (name, time), f"each {name} has one row at a time: {name} and {time} are different in every row"
    return (ROW,), (
        f"no column is different in every row: rows are numbered in {ROW}. Rows that come again are new rows then; "
        "with a column that identifies them they would be known"
    )


def _as_key(name: str, column: pa.ChunkedArray, declared: str) -> str:
    """Why a column identifies its rows; empty where it does not."""
    kind, rows = column_type(column.type), len(column)
    if kind == "INT" and numbers_rows(name, column) and declared != "id":
        return ""
    if kind not in ("STRING", "INT") or declared in ("category", "text", "number", "integer", "float"):
        return ""
    distinct = pc.count_distinct(column).as_py()
    named = declared == "id" or bool(IDENTIFIER.search(name))
    if distinct < (NEARLY if named else 1) * rows:
        return ""
    if kind == "STRING" and is_free_text(column) and declared != "id":
        return ""
    like = "" if kind == "STRING" or named else order_like(column)
    if kind == "INT" and not named and not like:
        return ""
    twice = rows - distinct
    if twice:
        return f"{name} is different in nearly every row; {twice} rows repeat one and are set aside"
    return f"{name} is different in every row" + (f" and {like}" if like else "")


def numbers_rows(name: str, column: pa.ChunkedArray) -> bool:
    """Whether a column counts the rows of its file from 0 or 1, as exports do: the next file begins anew."""
    values = column.to_numpy()
    first = values[0] if len(values) and not column.null_count else -1
    return bool(ROW_NUMBER.search(name) and first in (0, 1) and (values == np.arange(first, first + len(values))).all())


def order_like(column: pa.ChunkedArray) -> str:
    """In what a column of different whole numbers is like numbers that were given out, not measured; empty where it
    is not."""
    values = column.drop_null().to_numpy()
    if len(values) < ROWS_MIN or len(np.unique(values)) < len(values):
        return ""
    low, high = int(values.min()), int(values.max())
    if high - low + 1 <= SEQUENCE_GAPS * len(values):
        return "runs through whole numbers, like numbers that were given out in order"
    if (np.diff(values) > 0).all() or (np.diff(values) < 0).all():
        return "only rises or only falls from row to row, like numbers that were given out in order"
    digits = len(str(low))
    if low > 0 and digits == len(str(high)) and digits >= DIGITS_MIN and len(values) >= RANDOM_IDS_MIN:
        round_share = float((values % 10 == 0).mean())
        if round_share < ROUND_MAX and _unevenness(values) < UNEVEN_MAX:
            return f"has {digits} digits in every row, spread evenly, like numbers that were given out"
    return ""


def _unevenness(values: np.ndarray) -> float:
    """How far numbers are from being spread evenly between the least and the largest (Kolmogorov's statistic)."""
    low, high, n = int(values.min()), int(values.max()), len(values)
    spread = (np.sort(values) - low) / (high - low)
    return float(max((np.arange(1, n + 1) / n - spread).max(), (spread - np.arange(n) / n).max()))


def _may_tell_apart(name: str, column: pa.ChunkedArray) -> bool:
    """A name of an entity: text that is no sentence, or a whole number that is called an identifier or a code."""
    kind = column_type(column.type)
    if kind == "INT":
        return bool(IDENTIFIER.search(name) or CODE.search(name))
    return kind == "STRING" and not is_free_text(column) and pc.count_distinct(column).as_py() > 1


def _distinct(rows: pa.Table, names: list[str]) -> int:
    return int(rows.select(names).group_by(names).aggregate([]).num_rows)


# -- features ------------------------------------------------------------------------------------------------------


def _leaks(rows: pa.Table, features: tuple[str, ...], target: str, task: str) -> list[Leak]:
    return suspects(_frame(rows, features, target, task)) if features else []


def _frame(rows: pa.Table, features: tuple[str, ...], target: str, task: str) -> Frame:
    chosen = rows.select([*features, target]).append_column(PREDICT_AT, pa.array([0] * rows.num_rows, pa.int64()))
    return Frame.of(chosen, features, task, target)


def _looked_at(name: str, column: pa.ChunkedArray, declared: str) -> tuple[str, bool]:
    """What is to be said of a column, and whether it can be a feature."""
    distinct = pc.count_distinct(column).as_py()
    if distinct < 2:
        return "it holds one value only" if distinct else "it is empty", False
    if declared in ("category", "text", "number", "integer", "float"):
        return f"it is declared to be a {declared}", True
    if declared == "id":
        return "it is declared to be an identifier", False
    if column_type(column.type) == "INT" and numbers_rows(name, column):
        return "it numbers the rows of the file, and the next file begins anew", False
    if IDENTIFIER.search(name) and distinct > max(20, 0.2 * len(column)) and not _is_float(column):
        return f"it looks like an identifier ({distinct} values in {len(column)} rows)", False
    kind = column_type(column.type)
    if kind == "INT" and not column.null_count and (like := order_like(column)):
        return f'it {like}: an identifier or a row number. If it measures something: --column "{name}=number"', False
    if kind == "INT" and CODE.search(name) and distinct <= 1000:
        return f'{distinct} whole numbers: if they are codes, not amounts: --column "{name}=category"', True
    if kind != "STRING":
        return "", True
    return _looked_at_text(name, column, distinct)


def _looked_at_text(name: str, column: pa.ChunkedArray, distinct: int) -> tuple[str, bool]:
    texts = column.drop_null().slice(0, LOOKED_AT).to_pylist()
    if len(both := spellings(column)) > 1:
        said = f"it is a date written as text, like {texts[0]!r}, and days and months cannot be told apart: "
        return f'{said}--column "{name}=date {both[0]}" or "{name}=date {both[1]}"', False
    if is_free_text(column):
        return "it is free text: the model sees how often each frequent word occurs", True
    if distinct > max(100, 0.5 * len(column)):
        return f"nearly every row has a value of its own ({distinct} in {len(column)} rows)", False
    if (numbers := _share(texts, _is_number)) > MOSTLY / 2:
        odd = next((t for t in texts if not _is_number(t)), "")
        said = (
            f"it is kept as text, like {texts[0]!r}"
            if numbers == 1
            else (f"{numbers:.0%} of it are numbers and the rest is text, like {odd!r}")
        )
        return f"{said}: it is taken as categories", True
    return "", True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_float(column: pa.ChunkedArray) -> bool:
    return pa.types.is_floating(column.type)


def _share(texts: list[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, texts)) / max(1, len(texts))


# -- holdout -------------------------------------------------------------------------------------------------------


def _holdout(rows: pa.Table, found: Guess) -> tuple[Holdout, str]:
    """The newest fifth of the labelled rows, as a span of time that holds enough of each class; at random where there
    is none."""
    if not found.event_time:
        return Holdout(), "a fifth of the rows, at random: they have no time"
    labelled = rows.filter(rows.column(found.target).is_valid())
    at = bring(labelled.column(found.event_time), "TIMESTAMP").column.cast(pa.int64()).to_numpy()
    span = int(at.max() - at.min())
    rare = _uncommon(labelled.column(found.target)) if found.task != "regression" else np.ones(len(at), bool)
    for share in (HOLDOUT, HOLDOUT_MAX, 0.3, 0.4):
        length = min(int(at.max() - np.quantile(at, 1 - share)), int(span * HOLDOUT_MAX))
        chosen = timedelta(microseconds=_rounded(length))
        held = at > at.max() - chosen // timedelta(microseconds=1)
        few = held.sum() < ROWS_MIN or (held & rare).sum() < min(EVENTS_MIN, max(2, int(rare.sum() * HOLDOUT / 2)))
        if not few:
            events = (
                "" if found.task == "regression" else f", {int((held & rare).sum())} of them not of the commonest class"
            )
            return Holdout(chosen), f"the newest {shortest(chosen)}: {int(held.sum())} of {len(at)} rows{events}"
    return Holdout(), "a fifth of the rows, at random: the newest ones are too few, or hold too few of a class"


def _together(rows: pa.Table, found: Guess) -> tuple[str, str, str]:
    """A column whose rows of one value belong on one side of a random split, and why; and what is said of copies."""
    labelled = rows.filter(rows.column(found.target).is_valid())
    frame = _frame(labelled, found.features, found.target, found.task)
    copied = frame.rows - len(np.unique(copies(frame.to_arrow())))
    alike = f"{copied} rows are alike in every feature to another one: a random split keeps them on one side"
    named = {n: labelled.column(n) for n in rows.column_names if n not in (found.target, found.event_time, *found.keys)}
    candidates = repeating(named)
    for name, gap in told_groupings(frame, candidates):
        why = f"rows of one {name} know each other's label ({gap.name} {gap.known:.3f} among them, "
        return name, f"{why}{gap.unknown:.3f} from others)", alike if copied else ""
    for name in repeating(named, FEW_A_GROUP):
        if NAMES_A_GROUP.search(name) and not CODE.search(name):
            return name, f"{name} is an identifier that repeats", alike if copied else ""
    return "", "", alike if copied else ""


def _uncommon(column: pa.ChunkedArray) -> np.ndarray:
    """Which rows are of another class than the commonest."""
    counts = pc.value_counts(column).to_pylist()
    value = max(counts, key=lambda c: c["counts"])["values"]
    return np.asarray(pc.not_equal(column, pa.scalar(value, column.type)).to_numpy(zero_copy_only=False), bool)


def _rounded(micros: int) -> int:
    """Whole days, hours or minutes, at least one second."""
    for unit in (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000):
        if micros >= 3 * unit:
            return micros // unit * unit
    return max(micros, 1_000_000)
