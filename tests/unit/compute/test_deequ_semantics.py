"""What Deequ's own source says of nulls, denominators and bounds, on cases small enough to count by hand."""

import math
import sys

import pyarrow as pa
import pytest

from hanok.compute.analyzers import evaluate
from hanok.compute.history import strategy
from hanok.compute.suggestions import Z_NEXT, suggest, wilson_lower
from hanok.core.checks import Check, constraint, metric
from hanok.core.errors import Invalid, MetricFailed
from hanok.parts.validation.suites import run


def value_of(rows, name, *columns, where="", **options):
    wanted = metric(name, *columns, where=where, **options)
    return evaluate(pa.table(rows), [wanted])[wanted]


def status(rows, method, *given, where="", **named):
    return run(pa.table(rows), [Check("c").add(constraint(method, *given, where=where, **named))]).outcomes[0].status


def test_null_counts_among_the_distinct_values():
    rows = {"g": ["p", "q", None, "p", None], "h": [1, 1, 2, 2, 2]}
    assert status(rows, "hasNumberOfDistinctValues", ["g"], "== 3") == "Success"
    assert status(rows, "hasNumberOfDistinctValues", ["g"], "== 2", where="g IS NOT NULL") == "Success"
    assert status(rows, "hasHistogramValues", "g", "== 3") == "Success"
    assert value_of(rows, "CountDistinct", "g") == 2  # the analyzer leaves null out


def test_more_values_than_a_histogram_lists_are_all_counted():
    rows = {"k": [*range(1500), None]}
    assert len(value_of(rows, "Histogram", "k")) == 1000
    assert status(rows, "hasNumberOfDistinctValues", ["k"], "== 1501") == "Success"


def test_a_pattern_that_matches_nothing_of_a_text_does_not_match_and_the_empty_text_may():
    rows = {"s": ["", "x", "abc", None]}
    assert value_of(rows, "PatternMatch", "s", pattern="^$") == 0.25
    assert value_of({"s": ["", "12", "x"]}, "PatternMatch", "s", pattern=r"^\d*$") == pytest.approx(2 / 3)
    assert value_of(rows, "PatternMatch", "s", pattern="x*") == 0.5
    assert value_of(rows, "PatternMatch", "s", pattern=".*") == 0.75


@pytest.mark.parametrize(
    ("method", "good", "bad"),
    [
        ("containsEmail", "write to Ann.Lee@mail.example.org today", "ann at example.org"),
        ("containsURL", "see https://example.org/a?b=1", "see example.org"),
        ("containsSocialSecurityNumber", "id 123 45 6789", "123-45 6789"),
        ("containsCreditCardNumber", "paid with 4111-1111-1111-1111.", "4111-1111 11111111"),
        ("containsCreditCardNumber", "3782 822463 10005", "3782 82246310005"),
    ],
)
def test_what_a_text_contains_may_stand_anywhere_in_it(method, good, bad):
    assert status({"s": [good]}, method, "s") == "Success"
    assert status({"s": [bad]}, method, "s") == "Failure"


def test_a_predicate_that_is_unknown_for_every_row_has_no_compliance():
    rows = {"x": pa.array([None, None], pa.int64()), "y": [1, 2]}
    assert isinstance(value_of(rows, "Compliance", predicate="x > 0"), MetricFailed)
    assert value_of({"x": [None, 1, 2, 0]}, "Compliance", predicate="x > 0") == 0.5
    assert status(rows, "isContainedIn", "x", [1, 2]) == "Success"
    assert status(rows, "isNonNegative", "x") == "Success"
    assert status(rows, "isLessThan", "x", "y") == "Error"
    assert status({"x": [1, None], "y": [2, 5]}, "isLessThan", "x", "y", "== 0.5") == "Success"


def test_signs_of_numbers_in_text():
    assert status({"t": ["1", "0", None]}, "isNonNegative", "t") == "Success"
    assert status({"t": ["1", "0", None]}, "isPositive", "t") == "Failure"
    assert status({"t": ["1", "-0.5"]}, "isNonNegative", "t") == "Failure"


def test_a_range_to_be_contained_in():
    rows = {"x": [1, 2, 5, None]}
    assert status(rows, "isContainedIn", "x", lower=1, upper=5) == "Success"
    assert status(rows, "isContainedIn", "x", lower=1, upper=5, include_upper=False) == "Failure"
    assert status(rows, "isContainedIn", "x", lower=1, upper=5, include_lower=False, assertion=">= 0.7") == "Success"
    with pytest.raises(Invalid, match="smaller first"):
        constraint("isContainedIn", "x", lower=5, upper=1)


def test_types_that_texts_read_as():
    rows = {"t": ["1e5", "1.5E-3", "1.", ".5", "- 7", "+3", "True", "true", None]}
    assert value_of(rows, "DataType", "t") == {
        "Unknown": 1,
        "Fractional": 2,
        "Integral": 2,
        "Boolean": 1,
        "String": 3,
    }
    assert value_of({"t": pa.array([None, None], pa.string())}, "DataType", "t", type="Integral") == 0


def test_mutual_information_has_shares_of_the_rows_with_either_value():
    rows = {"l": ["a", "a", "b", "b", None, "a", None], "r": ["u", "u", "v", "v", "u", None, None]}
    # 6 rows have a value; a: 3/6, b: 2/6, u: 3/6, v: 2/6; (a,u): 2/6, (b,v): 2/6
    by_hand = 2 / 6 * math.log((2 / 6) / (3 / 6 * 3 / 6)) + 2 / 6 * math.log((2 / 6) / (2 / 6 * 2 / 6))
    assert value_of(rows, "MutualInformation", "l", "r") == pytest.approx(by_hand, abs=1e-12)


def test_bins_of_a_constant_of_nothing_and_of_given_edges():
    assert value_of({"x": [3, 3, None]}, "HistogramBinned", "x", bins=4) == {
        "edges": [3, 3],
        "counts": [2],
        "nulls": 1,
    }
    nothing = value_of({"x": pa.array([None], pa.float64())}, "HistogramBinned", "x")
    assert nothing == {"edges": [], "counts": [], "nulls": 1}
    given = value_of({"x": [-1.0, 0.0, 1.0, 2.0, 5.0, 6.0, None]}, "HistogramBinned", "x", edges=[5, 0, 1])
    assert given == {"edges": [0.0, 1.0, 5.0], "counts": [1, 3], "nulls": 1}


def test_a_missing_text_fails_a_length_with_the_largest_double():
    rows = {"s": ["ab", None]}
    assert value_of(rows, "MinLength", "s", null_behavior="Fail") == -sys.float_info.max
    assert value_of(rows, "MaxLength", "s", null_behavior="Fail") == sys.float_info.max
    assert value_of(rows, "MaxLength", "s", null_behavior="EmptyString") == 2


def test_rows_outside_where_are_no_duplicates_of_those_inside():
    rows = {"k": [1, 1, 2, 2, 3], "g": ["p", "q", "p", "p", "p"]}
    outcome = run(pa.table(rows), [Check("c").is_unique("k").where("g = 'p'")]).outcomes[0]
    assert outcome.value == 0.5 and outcome.broken == 2
    assert [r["k"] for r in outcome.rows] == [2, 2]


def test_bounds_belong_to_what_is_allowed():
    assert strategy("SimpleThreshold", upper=2, lower=1).detect([1, 2, 2.1, 0.9], 0, 4) == [2, 3]
    assert strategy("AbsoluteChange", max_increase=1, max_decrease=-1).detect([0, 1, 0, 2], 0, 4) == [3]
    assert strategy("BatchNormal", lower_factor=1, upper_factor=1).detect([1, 3, 2 + math.sqrt(2), 3.5], 2, 4) == [3]
    assert strategy("SimpleThreshold", upper=1).detect([5, 5], 1, 1) == []


def test_one_sided_and_single_histories():
    assert strategy("BatchNormal", lower_factor=None).detect([1, 3, -100, 100], 2, 4) == [3]
    assert strategy("BatchNormal").detect([5, 5, 6], 1, 3) == [2]  # one value to learn from: no deviation
    assert strategy("OnlineNormal", upper_factor=None, ignore_start=0).detect([1, 1, 1, 9], 0, 4) == []
    assert strategy("RelativeRateOfChange", max_decrease=0.5).detect([0, 0, 4, 1], 0, 4) == [3]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SimpleThreshold", {"upper": 1, "lower": 2}),
        ("AbsoluteChange", {}),
        ("AbsoluteChange", {"max_increase": 1, "order": -1}),
        ("RelativeRateOfChange", {"max_increase": 2, "order": 0}),
        ("BatchNormal", {"lower_factor": None, "upper_factor": None}),
        ("OnlineNormal", {"lower_factor": -1}),
        ("OnlineNormal", {"ignore_start": 1.5}),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, settings):
    with pytest.raises(Invalid):
        strategy(name, **settings)


def found(rows, rule):
    return {s.column: s for s in suggest(pa.table(rows), [rule])}


def test_whole_numbers_are_categories_too_and_null_is_one_of_the_values():
    rows = {"n": [1, 2] * 10, "s": ["a", "b"] * 9 + ["a", None]}
    categories = found(rows, "CategoricalRange")
    assert dict(categories["n"].constraint.arguments)["values"] == (1, 2)
    assert "s" not in categories  # null came once: one of three values is single


def test_most_categories_only_where_they_are_not_all():
    assert found({"s": ["a", "b"] * 10}, "FractionalCategoricalRange") == {}
    rows = {"s": ["a"] * 12 + ["b"] * 7 + ["c"]}
    s = found(rows, "FractionalCategoricalRange")["s"]
    assert s.seen == pytest.approx(19 / 20)
    assert s.constraint.must.bounds == (wilson_lower(19 / 20, 20, Z_NEXT),)


def test_a_column_with_nulls_is_no_key():
    assert found({"k": [1, 2, None]}, "UniqueIfApproximatelyUnique") == {}
