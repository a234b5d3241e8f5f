"""Checks: one tree in three faces, one statement, rows that break rules, and SQL that stays in its place."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from hanok.compute.analyzers import evaluate
from hanok.core.checks import METHODS, Check, constraint, metric
from hanok.core.errors import Invalid, MetricFailed, Unreadable
from hanok.parts.validation.suites import broken_rows, run
from hanok.wire.dqdl import parse_rules, write_rules
from hanok.wire.suites import parse_checks, write_checks

ROWS = pa.table(
    {
        "id": [1, 2, 3, 4, 4],
        "price": [5.0, 7.5, None, -1.0, 9.0],
        "plan": ["free", "pro", "free", "vip", None],
        "mail": ["a@b.io", "x", "c@d.org", None, "e@f.net"],
    }
)
SUITE = (
    Check("orders")
    .is_complete("id")
    .has_size("between 3 and 10")
    .has_mean("price", ">= 1")
    .where("plan <> 'vip'")
    .is_contained_in("plan", ["free", "pro"], ">= 0.9")
    .has_pattern("mail", "^[a-z]@", "> 0.5")
    .are_unique(["id", "plan"])
    .has_approx_quantile("price", 0.5, "<= 9")
    .satisfies("price > 0 OR price IS NULL")
)


def statuses(result):
    return [o.status for o in result.outcomes]


def test_yaml_reads_back_as_the_same_checks():
    assert parse_checks(write_checks([SUITE])) == [SUITE]


def test_dqdl_written_from_checks_judges_alike():
    again = parse_rules(write_rules([SUITE.__class__("q", "error", SUITE.rules[:3] + SUITE.rules[5:6])]))
    assert statuses(run(ROWS, [again])) == [statuses(run(ROWS, [SUITE]))[i] for i in (0, 1, 2, 5)]


def test_the_three_faces_give_the_same_outcome():
    fluent = Check("x").is_complete("price").has_mean("price", "between 1 and 9").is_unique("id")
    yaml = """
checks:
  - name: x
    rules:
      - isComplete: price
      - hasMean: [price, between 1 and 9]
      - is_unique: id
"""
    dqdl = 'Rules = [ IsComplete "price", Mean "price" between 1 and 9, IsUnique "id" ]'
    results = [run(ROWS, c) for c in ([fluent], parse_checks(yaml), [parse_rules(dqdl)])]
    assert [statuses(r) for r in results] == [["Failure", "Success", "Failure"]] * 3


def test_dqdl_composites_lists_thresholds_and_filters():
    text = """Rules = [
        (IsComplete "price") or (RowCount > 3),
        ColumnValues "plan" in ["free", "pro"] with threshold >= 0.5,
        ColumnValues "price" between -5 and 10 with threshold > 0.7,
        ColumnLength "mail" <= 7 with threshold >= 0.8,
        ColumnDataType "mail" = "STRING",
        Completeness "mail" = 1.0 where "id < 4",
        DistinctValuesCount "id" = 4,
        CustomSql "select max(id) from data" = 4
    ]"""
    assert statuses(run(ROWS, [parse_rules(text)])) == ["Success"] * 8


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('Rules = [ IsComplete "a",\n  IsComplet "b" ]', "line 2, column 3: there is no rule"),
        ("Rules = [ RowCount ]", "needs an assertion"),
        ("Rules = [ RowCount > ", "expected a number"),
        ('Rules = [ (IsComplete "a") and (IsComplete "b") or (IsComplete "c") ]', "and and or are mixed"),
        ('Rules = [ ColumnValues "a" in [] ]', "the list is empty"),
        ('Rules = [ Mean "a" between 5 and 1 ]', "the smaller bound comes first"),
    ],
)
def test_an_error_in_dqdl_names_its_place(text, place):
    with pytest.raises(Unreadable, match=place):
        parse_rules(text)


def test_an_error_on_line_7_of_a_yaml_file_is_found_there():
    head = "checks:\n  - name: x\n    level: error\n    rules:\n"
    text = head + "      - isComplete: a\n      - isUnique: b\n      - hasMeen: c\n"
    with pytest.raises(Unreadable, match="line 7: there is no check 'hasMeen'"):
        parse_checks(text)
    with pytest.raises(Unreadable, match="line 3: this is no YAML"):
        parse_checks("checks:\n  - name: x\n  rules: {")


def test_rows_that_break_rules_are_shown_and_can_be_set_aside():
    result = run(ROWS, [Check("c").is_non_negative("price").is_unique("id").is_complete("mail").where("id > 3")])
    assert [(o.broken, [r["_row"] for r in o.rows]) for o in result.outcomes] == [(1, [3]), (2, [3, 4]), (1, [3])]
    bad = broken_rows(ROWS, [Check("c").is_non_negative("price").is_complete("plan")])
    assert bad.select(["_row", "_broken"]).to_pylist() == [
        {"_row": 3, "_broken": ["isNonNegative(price)"]},
        {"_row": 4, "_broken": ["isComplete(plan)"]},
    ]


def test_only_rules_that_fail_break_rows_and_a_null_key_repeats_no_other():
    rows = pa.table({"k": ["a", "b", None, None], "x": [1, -1, -1, 1]})
    assert broken_rows(rows, [Check("c").is_unique("k")]).num_rows == 0
    assert broken_rows(rows, [Check("c").is_non_negative("x", ">= 0.5")]).num_rows == 0
    assert [r["_row"] for r in broken_rows(rows, [Check("c").is_unique("k").is_non_negative("x")]).to_pylist()] == [
        1,
        2,
    ]
    doubled = pa.table({"k": ["a", "a", None, None]})
    assert [r["_row"] for r in broken_rows(doubled, [Check("c").is_unique("k")]).to_pylist()] == [0, 1]


@pytest.mark.parametrize(
    ("rule", "share"),
    [
        ('"s" in ["123", NULL, EMPTY, WHITESPACES_ONLY]', 0.8),
        ('"s" not in ["123", NULL]', 0.6),
        ('"s" = NULL', 0.2),
        ('"s" != NULL', 0.8),
        ('"s" = EMPTY', 0.2),
        ('"s" = "123"', 0.2),
        ('"day" > "2024-01-03"', 0.4),
        ('"day" > (now() - 3 days)', 0),
        ('"day" between "2024-01-02" and now()', 0.8),
        ('"day" < now()-1 day', 1),
        ('"n" not between 2 and 4', 0.4),
        ('"n" > -1', 1),
    ],
)
def test_values_are_compared_with_texts_dates_and_the_words_for_what_is_missing(rule, share):
    days = pa.array([date(2024, 1, d + 1) for d in range(5)])
    rows = pa.table({"s": ["", "123", " ", None, "abc"], "day": days, "n": [1, 2, 3, 4, 5]})
    check = parse_rules(f"Rules = [ColumnValues {rule} with threshold >= 0]")
    assert run(rows, [check]).outcomes[0].value == pytest.approx(share)


def test_a_word_for_what_is_missing_is_not_more_or_less_than_anything():
    with pytest.raises(Unreadable, match="takes = and !="):
        parse_rules('Rules = [ColumnValues "s" > NULL]')


def test_one_metric_that_fails_leaves_the_others():
    result = run(
        ROWS, [Check("c").has_mean("plan", "> 1").has_mean("gone", "> 1").satisfies("price >").has_size("== 5")]
    )
    assert statuses(result) == ["Error", "Error", "Error", "Success"]
    assert "not a number" in result.outcomes[0].message and "no column 'gone'" in result.outcomes[1].message


def test_sql_in_a_check_reads_the_data_and_nothing_else(tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n42\n")
    for sql in (f"select a from read_csv('{secret}')", f"copy data to '{tmp_path}/out.csv'", "select 1; select 2"):
        outcome = run(ROWS, [Check("c").custom_sql(sql, "> 0")]).outcomes[0]
        assert outcome.status == "Error", sql
    outcome = run(ROWS, [Check("c").satisfies(f"exists (select 1 from read_csv('{secret}'))")]).outcomes[0]
    assert outcome.status == "Error" and not (tmp_path / "out.csv").exists()
    assert run(ROWS, [Check("c").satisfies("TRUE) , (SELECT 1")]).outcomes[0].status == "Error"


def test_data_sets_are_compared():
    other = pa.table({"id": [1, 2, 3, 4], "price": [5.0, 7.5, None, 0.0]})
    check = (
        Check("c")
        .has_referential_integrity(["id"], "other")
        .has_row_count_match("other", "== 1.25")
        .does_dataset_match("other", ["id", "price"], ">= 0.6")
        .has_aggregate_match("max(id)", "other", "max(id)")
        .has_schema_match("other", "== 0.5")
    )
    result = run(ROWS, [check], references={"other": other})
    assert statuses(result) == ["Success"] * 5, [o.message for o in result.outcomes]
    assert statuses(run(ROWS, [Check("c").has_row_count_match("gone")])) == ["Error"]


def test_moments_stay_exact_far_from_zero():
    values = np.random.default_rng(3).exponential(size=5000)
    rows = pa.table({"x": values + 1e9})
    for name, wanted in (("Skewness", stats.skew(values)), ("Kurtosis", stats.kurtosis(values))):
        assert evaluate(rows, [m := metric(name, "x")])[m] == pytest.approx(wanted, rel=1e-4)


def test_metrics_of_nothing_are_errors_and_not_numbers():
    empty = pa.table({"x": pa.array([], pa.float64())})
    wanted = [metric(n, "x") for n in ("Mean", "Minimum", "Completeness", "Entropy", "KLLSketch", "Uniqueness")]
    assert all(isinstance(v, MetricFailed) for v in evaluate(empty, wanted).values())
    assert evaluate(empty, [m := metric("Size")])[m] == 0


def test_a_check_that_cannot_be_meant_is_refused():
    for method, given in (
        ("hasMean", ("x",)),
        ("isComplet", ("x",)),
        ("isContainedIn", ("x",)),
        ("hasSize", (">> 3",)),
    ):
        with pytest.raises(Invalid):
            constraint(method, *given)
    with pytest.raises(Invalid, match="no text"):
        write_checks([Check("c").has_size(lambda n: n > 3)])


def test_every_method_is_there_in_both_spellings():
    assert len(METHODS) >= 56
    assert callable(Check("c").has_minimum if hasattr(Check("c"), "has_minimum") else Check("c").has_min)
    with pytest.raises(AttributeError):
        _ = Check("c").is_nothing
