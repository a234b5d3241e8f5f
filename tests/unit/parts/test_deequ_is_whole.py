"""Everything that Deequ has: 39 analyzers and 56 check methods, each run once through the public face."""

import numpy as np
import pyarrow as pa
import pytest

import hanok as hk
from hanok.compute.analyzers import evaluate
from hanok.core.checks import ANALYZERS, METHODS, metric
from hanok.core.errors import Invalid, MetricFailed
from hanok.parts.validation.suites import run
from hanok.wire.dqdl import parse_rules, write_rules
from hanok.wire.suites import parse_checks, write_checks

N = 60
RNG = np.random.default_rng(3)
ROWS = pa.table(
    {
        "id": np.arange(N),
        "x": RNG.integers(0, 9, N),
        "y": RNG.uniform(1, 2, N),
        "g": RNG.choice(["a", "b"], N),
        "mail": ["a@b.io"] * N,
        "url": ["https://b.io/x"] * N,
        "card": ["4111 1111 1111 1111"] * N,
        "ssn": ["123-45-6789"] * N,
    }
)
BETWEEN = (  # those of Deequ's comparison package stand beside its analyzers
    "DataSynchronization", "ReferentialIntegrity", "RowCountMatch", "SchemaMatch",
    "AggregateMatch", "ColumnNamesMatchPattern", "DataFreshness",
)  # fmt: skip
ARGUMENTS = {
    "ColumnCount": {}, "Size": {}, "DuplicateRowCount": {}, "CustomSql": {"expression": "select count(*) from data"},
    "CustomAggregator": {"function": lambda rows: float(rows.num_rows)}, "DatasetMatch": {"reference": "other"},
    "Compliance": {"predicate": "x >= 0"}, "RatioOfSums": {"numerator": "x", "denominator": "y"},
    "PatternMatch": {"pattern": "@"}, "ApproxQuantile": {"quantile": 0.5}, "ExactQuantile": {"quantile": 0.5},
    "ApproxQuantiles": {"quantiles": [0.1, 0.9]}, "HistogramBinned": {"bins": 4},
}  # fmt: skip
COLUMNS = {
    "Correlation": ["x", "y"], "MutualInformation": ["g", "x"], "PatternMatch": ["mail"], "MinLength": ["g"],
    "MaxLength": ["g"], "DatasetMatch": ["id"], "DuplicateRowCount": ["g", "x"], "Histogram": ["g"], "Entropy": ["g"],
}  # fmt: skip
NONE = ("Size", "ColumnCount", "CustomSql", "CustomAggregator", "Compliance", "RatioOfSums")
DEEQU = sorted(ANALYZERS - set(BETWEEN))
GIVEN = {
    "areComplete": (["id", "x"],), "haveCompleteness": (["id", "x"], ">= 1"), "areAnyComplete": (["id", "x"],),
    "haveAnyCompleteness": (["id", "x"], ">= 1"), "isUnique": ("id",), "areUnique": (["id", "x"],),
    "customSql": ("select count(*) from data", "== 60"), "isPrimaryKey": (["id"],), "hasUniqueness": (["id"], "== 1"),
    "hasDistinctness": (["id"], "== 1"), "hasUniqueValueRatio": (["id"], "== 1"), "isComplete": ("id",),
    "doesDatasetMatch": ("other", ["id"]), "hasNumberOfDistinctValues": (["g"], "== 2"), "hasSize": ("== 60",),
    "hasColumnCount": ("== 8",), "hasDuplicateRowCount": (["id"], "== 0"), "hasColumn": ("x",),
    "hasMutualInformation": ("g", "x", ">= 0"), "hasCorrelation": ("x", "y", "between -1 and 1"),
    "hasApproxQuantile": ("x", 0.5, ">= 0"), "hasExactQuantile": ("x", 0.5, ">= 0"), "satisfies": ("x >= 0",),
    "hasPattern": ("mail", "@"), "containsEmail": ("mail",), "containsURL": ("url",), "isNonNegative": ("x",),
    "containsCreditCardNumber": ("card",), "containsSocialSecurityNumber": ("ssn",), "isPositive": ("y",),
    "hasDataType": ("id", "Integral"), "isLessThan": ("x", "y", ">= 0"), "isLessThanOrEqualTo": ("x", "y", ">= 0"),
    "isGreaterThan": ("y", "x", ">= 0"), "isGreaterThanOrEqualTo": ("y", "x", ">= 0"),
    "isContainedIn": ("g", ["a", "b"]), "hasHistogramBinnedValues": ("x", 4, ">= 0"), "hasEntropy": ("g", ">= 0"),
    "hasHistogramBinnedBins": ("x", 4, ">= 0"), "hasMinLength": ("g", ">= 1"), "hasMaxLength": ("g", "<= 1"),
    "hasCompleteness": ("x", "== 1"),
}  # fmt: skip
EXTRA = (
    "hasReferentialIntegrity", "hasRowCountMatch", "hasSchemaMatch", "hasDataSynchronization", "hasAggregateMatch",
    "haveNamesLike", "isFresh",
)  # fmt: skip
OF_DEEQU = sorted(set(METHODS) - set(EXTRA))


def test_there_are_as_many_as_deequ_has():
    assert len(DEEQU) == 39 and len(OF_DEEQU) == 56


@pytest.mark.parametrize("name", DEEQU)
def test_each_analyzer_gives_a_value_also_of_some_rows_alone(name):
    columns = COLUMNS.get(name, [] if name in NONE else ["x"])
    for where in ("", "g = 'a'") if name not in ("ColumnCount", "ColumnExists", "DatasetMatch") else ("",):
        wanted = metric(name, *columns, where=where, **ARGUMENTS.get(name, {}))
        value = evaluate(ROWS, [wanted], {"other": ROWS})[wanted]
        assert not isinstance(value, MetricFailed), value


@pytest.mark.parametrize("method", OF_DEEQU)
def test_each_check_method_succeeds_and_reads_back_from_yaml_and_dqdl(method):
    given = GIVEN.get(method, ("x", ">= -1000"))
    check = getattr(hk.Check("whole"), method)(*given)
    outcome = run(ROWS, [check], references={"other": ROWS}).outcomes[0]
    assert outcome.status == "Success", (outcome.message, outcome.value)
    assert parse_checks(write_checks([check])) == [check]
    try:
        text = write_rules([check])
    except Invalid:  # what DQDL has no word for is said, not written wrongly
        return
    again = run(ROWS, [parse_rules(text)], references={"other": ROWS}).outcomes[0]
    assert again.status == "Success", (text, again.message)


@pytest.mark.parametrize(
    ("method", "given", "status"),
    [
        ("hasReferentialIntegrity", (["id"], "other"), "Success"),
        ("hasRowCountMatch", ("other",), "Success"),
        ("hasSchemaMatch", ("other",), "Success"),
        ("hasDataSynchronization", ("other", ["id"]), "Success"),
        ("doesDatasetMatch", ("short", ["id"]), "Failure"),
        ("hasReferentialIntegrity", (["id"], "short"), "Failure"),
        ("hasRowCountMatch", ("short",), "Failure"),
    ],
)
def test_data_sets_are_held_beside_each_other(method, given, status):
    check = getattr(hk.Check("two"), method)(*given)
    references = {"other": ROWS, "short": ROWS.slice(0, 30)}
    assert run(ROWS, [check], references=references).outcomes[0].status == status
