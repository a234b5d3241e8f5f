"""Each kind of fault is put into rows that tie together, and the hypothesis for it is believed; clean rows name
nothing."""

from collections.abc import Callable

import numpy as np
import pytest

from hanok.compute.hypotheses import Case, TableDays, judged
from hanok.engine.causes import shapley

DAYS, ROWS = 15, 90
BROKEN = 2  # newest days


def rows(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    count = DAYS * ROWS
    size = rng.lognormal(1.0, 0.4, count)
    grade = np.array(["a", "b", "c", "d"], object)[rng.choice(4, count, p=[0.5, 0.25, 0.15, 0.1])]
    step = np.array([{"a": 0.0, "b": 0.8, "c": 1.6, "d": 2.4}[g] for g in grade])
    wide = size * rng.normal(1.0, 0.08, count)
    deep = size * 0.6 * rng.normal(1.0, 0.1, count) + 0.3 * step
    return {"size": size, "grade": grade, "wide": wide, "deep": deep, "hue": rng.normal(5, 2, count), "step": step}


def case(change: Callable[[dict[str, np.ndarray], np.ndarray], None], seed: int = 1, **given: object) -> Case:
    """`change` alters columns, among them `truth`, where its second argument is set: in the newest days."""
    columns = rows(seed)
    period = np.repeat(np.arange(DAYS)[::-1], ROWS)
    rng = np.random.default_rng(seed + 100)
    columns["truth"] = (
        columns["size"] * 3 + columns["step"] * 2 + 0.9 * columns["hue"] + rng.normal(0, 0.4, len(period))
    )
    change(columns, period < BROKEN)
    wide = np.nan_to_num(columns["wide"])
    known = np.array([{"a": 0.0, "b": 0.8, "c": 1.6, "d": 2.4}.get(g, 0.0) for g in columns["grade"]])
    score = np.nan_to_num(columns["size"]) * 1.5 + wide * 1.5 + known * 2 + 0.9 * columns["hue"]
    truth = columns.pop("truth")
    del columns["step"]
    made = {
        "answered": (ROWS,) * DAYS,
        "tables": tuple(TableDays(t, (ROWS,) * DAYS, (0.2,) * DAYS) for t in ("asks", "facts", "labels")),
    }
    table = {"size": "asks", "grade": "asks", "wide": "facts", "deep": "facts", "hue": "facts"}
    return Case(
        "regression", columns, period, score, truth, np.abs(truth - score), table, frozenset(), "asks", "labels",
        **{**made, **given},  # type: ignore[arg-type]
    )  # fmt: skip


def put(column: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray], np.ndarray], None]:
    def apply(columns: dict[str, np.ndarray], broken: np.ndarray) -> None:
        values = columns[column].copy()
        values[broken] = change(values[broken])
        columns[column] = values

    return apply


def swap(columns: dict[str, np.ndarray], broken: np.ndarray) -> None:
    wide, hue = columns["wide"].copy(), columns["hue"].copy()
    wide[broken], hue[broken] = columns["hue"][broken], columns["wide"][broken]
    columns |= {"wide": wide, "hue": hue}


CODES = {"a": "b", "b": "c", "c": "d", "d": "a"}
FAULTS = {
    "null": ("wide", put("wide", lambda v: np.full(len(v), np.nan))),
    "constant": ("wide", put("wide", lambda v: np.zeros(len(v)))),
    "clip": ("wide", put("wide", lambda v: np.minimum(v, 2.0))),
    "unit": ("wide", put("wide", lambda v: v * 25.4)),
    "sign": ("wide", put("wide", lambda v: -v)),
    "outliers": ("wide", put("wide", lambda v: np.where(np.arange(len(v)) % 4 == 0, v * 100, v))),
    "swap": ("hue", swap),
    "codes": ("grade", put("grade", lambda v: np.array([CODES[x] for x in v], object))),
    "encoding": ("grade", put("grade", lambda v: np.array([f" {x.upper()}_" for x in v], object))),
    "join": ("wide", put("wide", lambda v: v[np.random.default_rng(3).permutation(len(v))])),
    "labels": ("", put("truth", lambda v: 14 - v)),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_named_with_its_column_since_its_first_day(kind):
    column, change = FAULTS[kind]
    found = judged(case(change))
    first = found.causes[0].proposal
    assert first.kind == kind and (not column or column in first.columns)
    assert found.onset == BROKEN


def test_a_change_of_unit_says_the_factor_and_gives_the_old_values_back():
    clean = case(lambda _c, _b: None)
    found = judged(case(FAULTS["unit"][1]))
    assert "25.4" in found.causes[0].proposal.reason and "millimetres" in found.causes[0].proposal.reason
    assert np.allclose(found.causes[0].restored["wide"], clean.columns["wide"][found.rows])


@pytest.mark.parametrize("seed", range(3))
def test_clean_rows_name_nothing(seed):
    found = judged(case(lambda _c, _b: None, seed=10 + seed))
    assert found.compared and not found.causes


def test_a_column_that_only_the_labels_know_is_named_when_it_stands_with_the_wrong_rows():
    mixed = put("hue", lambda v: v[np.random.default_rng(5).permutation(len(v))])
    first = judged(case(mixed)).causes[0].proposal
    assert (first.kind, first.columns) == ("join", ("hue",))


def test_a_feed_that_stopped_is_named_before_the_nulls_that_it_leaves():
    def silent(columns: dict[str, np.ndarray], broken: np.ndarray) -> None:
        for name in ("wide", "deep", "hue"):
            columns[name] = np.where(broken, np.nan, columns[name]) if name != "hue" else columns[name]

    days = tuple(
        TableDays(t, ((0, 0) if t == "facts" else (ROWS, ROWS)) + (ROWS,) * (DAYS - 2), (0.2,) * DAYS)
        for t in ("asks", "facts", "labels")
    )
    assert judged(case(silent, tables=days)).causes[0].proposal.kind == "missing"


def test_a_feed_that_was_cut_down_in_all_that_is_asked_about_is_held_against_what_came_before():
    """Twelve of fifteen days are asked about: the few rows of these are not what is usual."""
    asked = 12

    def cut(columns: dict[str, np.ndarray], broken: np.ndarray) -> None:
        lost = np.repeat(np.arange(DAYS)[::-1] < asked, ROWS) & (np.arange(DAYS * ROWS) % 5 > 1)
        columns |= {n: np.where(lost, np.nan, columns[n]) for n in ("wide", "deep", "hue")}

    days = tuple(
        TableDays(t, tuple(40 if t == "facts" and d < asked else ROWS for d in range(DAYS)), (0.2,) * DAYS)
        for t in ("asks", "facts", "labels")
    )
    first = judged(case(cut, tables=days, asked=asked)).causes[0].proposal
    assert first.kind == "partial" and f"at least {ROWS} before" in first.reason


def test_rows_that_checks_kept_out_are_asked_what_is_wrong_with_them():
    def gone(columns: dict[str, np.ndarray], broken: np.ndarray) -> None:
        for name in ("wide", "deep", "hue"):
            columns[name] = np.where(broken, np.nan, columns[name]) if name != "hue" else columns[name]

    own = rows(1)
    newest = slice(-BROKEN * ROWS, None)
    out = {"wide": own["wide"][newest] * 1000, "deep": own["deep"][newest]}
    aside = (ROWS,) * BROKEN + (0,) * (DAYS - BROKEN)
    came = (0,) * BROKEN + (ROWS,) * (DAYS - BROKEN)
    days = (
        TableDays("asks", (ROWS,) * DAYS, (0.2,) * DAYS),
        TableDays(
            "facts", came, (0.2,) * DAYS, aside=aside, kept_out=out,
            kept_out_period=np.repeat([1, 0], ROWS), reason="wide is above 20",
        ),
    )  # fmt: skip
    first = judged(case(gone, tables=days)).causes[0].proposal
    assert (first.kind, first.columns) == ("unit", ("wide",)) and "set aside by checks" in first.reason


def test_the_column_that_the_checks_name_is_blamed_where_the_rows_alone_say_no_more():
    aside = (ROWS,) * BROKEN + (0,) * (DAYS - BROKEN)
    came = (0,) * BROKEN + (ROWS,) * (DAYS - BROKEN)
    same = {n: rows(1)[n][-BROKEN * ROWS :] for n in ("wide", "deep")}
    facts = TableDays(
        "facts", came, (0.2,) * DAYS, aside=aside, kept_out=same,
        kept_out_period=np.repeat([1, 0], ROWS), reason="FLOAT_TYPE_BIG_FLOAT: deep = 2 is above 1",
    )  # fmt: skip

    def gone(columns: dict[str, np.ndarray], broken: np.ndarray) -> None:
        columns |= {n: np.where(broken, np.nan, columns[n]) for n in ("wide", "deep")}

    first = judged(case(gone, tables=(facts,))).causes[0].proposal
    assert (first.kind, first.columns) == ("unit", ("deep",))


def test_shares_add_up_to_what_all_causes_are_worth_together():
    worth = {frozenset(): 0.0, frozenset({0}): 0.5, frozenset({1}): 0.2, frozenset({0, 1}): 0.9}
    assert shapley([0, 1], worth.__getitem__) == pytest.approx(
        {0: 0.6, 1: 0.3}
    )  # by hand: (0.5 + 0.7) / 2, (0.2 + 0.4) / 2


def test_a_fault_that_is_over_is_not_told_of_the_day_after_it():
    """A column was half empty for three days: the clean day after, and one with a fault of its own."""

    def before(columns, broken):
        days = np.repeat(np.arange(DAYS)[::-1], ROWS)
        half = (days >= 1) & (days <= 3) & (np.arange(len(days)) % 2 == 0)
        columns["wide"] = np.where(half, np.nan, columns["wide"])

    def turned(columns, broken):
        before(columns, broken)
        today = np.repeat(np.arange(DAYS)[::-1], ROWS) < 1
        columns["size"] = np.where(today, columns["size"] * 25.4, columns["size"])

    assert judged(case(before)).causes == ()
    first = judged(case(turned)).causes[0].proposal
    assert first.kind == "unit" and first.columns == ("size",)
