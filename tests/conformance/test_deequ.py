"""Deequ's analyzers, checks, history strategies and suggestions (HANOK_DEEQU_CASES)."""

import json
import re

import pyarrow as pa
import pytest

from hanok.compute.analyzers import evaluate
from hanok.compute.history import strategy
from hanok.compute.suggestions import suggest, wilson_lower
from hanok.core.checks import METHODS, PATTERNS, Check, constraint, metric
from hanok.parts.validation.suites import run
from tests.conformance.material import path_of

PATH = path_of("HANOK_DEEQU_CASES", "deequ_cases.json")
FILE = json.loads(PATH.read_text()) if PATH else {"cases": [], "rows": []}
if PATH is None:
    print("SKIPPED LOUDLY: deequ_cases.json is missing; set HANOK_DEEQU_CASES to a file of this form")  # noqa: T201
ROWS = pa.Table.from_pylist(FILE["rows"])


def having(part):
    return [pytest.param(c, id=c["id"]) for c in FILE["cases"] if part in c]


@pytest.mark.parametrize("case", having("analyzer"))
def test_analyzers_give_deequs_values(case):
    arguments = dict(case["args"])
    rows = pa.Table.from_pylist(arguments.pop("data")) if "data" in arguments else ROWS
    references = {}
    if "other" in arguments:
        references = {"other": pa.Table.from_pylist(arguments.pop("other"))}
        arguments["reference"] = "other"
    tolerance = arguments.pop("tolerance_rank", None)
    columns = arguments.pop("columns", None) or [
        arguments.pop(k) for k in ("column", "first", "second") if k in arguments
    ]
    wanted = metric(case["analyzer"], *columns, where=arguments.pop("where", ""), **arguments)
    value = evaluate(rows, [wanted], references)[wanted]
    expect = case["expect"]
    if isinstance(expect, dict) and tolerance is not None:
        ranked = sorted(v for v in rows.column(columns[0]).to_pylist() if v is not None)
        for share, around in expect.items():
            assert value[share] in ranked
            place, aim = ranked.index(value[share]), ranked.index(around)
            assert min(abs(i - aim) for i in range(place, place + ranked.count(value[share]))) <= tolerance
    elif isinstance(expect, dict):
        assert {k: value[k] for k in expect} == {k: pytest.approx(v) for k, v in expect.items()}
        if "n" in expect and "counts" in value:
            assert sum(value["counts"]) == expect["n"]
    else:
        assert value == pytest.approx(expect, abs=1e-9)


ASSERTED = re.compile(r"\s*((?:==|!=|>=|<=|>|<)\s*-?[\d.]+(?:e-?\d+)?|(?:not )?between .*)$")


def rule_of(method, text):
    """The constraint that a case writes in short, like `x == 0`, `x,y >= 0.9` or `g in p,q,r (nulls pass)`."""
    text = re.sub(r"\((?:nulls?|null rows)[^)]*\)", "", text).strip()
    parameters = METHODS[method].parameters
    if parameters[0] == "assertion":
        return constraint(method, text)
    if parameters[:2] == ("first", "second") and (m := re.match(r"(\w+)\s*(?:[,<>=]|<=|>=|and)?\s*(\w+)(.*)$", text)):
        return constraint(method, m[1], m[2], *([m[3].strip()] if m[3].strip() else []))
    if parameters[0] == "predicate":
        named = re.match(r"(.*?)\s*(?:,|;|->|=>)\s*((?:==|!=|>=|<=|>|<)\s*[\d.]+)$", text)
        return constraint(method, *(named.groups() if named else (text,)))
    must = ASSERTED.search(text)
    given = [must[1]] if must else []
    head = text[: must.start()] if must else text
    column, _, rest = head.strip().partition(" ")
    rest = rest.strip()
    if method == "isContainedIn":
        return constraint(method, column, tuple(v.strip() for v in rest.removeprefix("in ").split(",")), *given)
    if method == "hasPattern":
        pattern = {"email": PATTERNS["containsEmail"], "url": PATTERNS["containsURL"]}.get(rest.lower(), rest)
        return constraint(method, column, pattern, *(given or ["== 1"]))
    if parameters[0] == "columns":
        return constraint(method, tuple(head.replace(" ", "").split(",")), *given)
    if len(parameters) > 2 and parameters[1] == "quantile":
        return constraint(method, column, float(rest), *given)
    if len(parameters) > 2 and parameters[1] == "bins":
        return constraint(method, column, int(rest or 10), *given)
    return constraint(method, column, *([rest] if rest else []), *given)


@pytest.mark.parametrize(
    ("method", "text", "status"),
    [
        ("hasCorrelation", "x,y > 0.9", "Success"),
        ("isLessThan", "x < y", "Failure"),
        ("isLessThanOrEqualTo", "x k >= 0.5", "Success"),
        ("satisfies", "k >= 0", "Success"),
        ("satisfies", "x >= 1, >= 0.7", "Success"),
        ("hasUniqueness", "g,x >= 0.6", "Success"),
        ("hasApproxQuantile", "x 0.5 == 2", "Success"),
        ("hasDataType", "k Integral", "Success"),
        ("hasDataType", "t Integral >= 0.9", "Failure"),
        ("isContainedIn", "g in p,q >= 0.9", "Success"),
        ("isPrimaryKey", "k", "Success"),
        ("areComplete", "k,x", "Failure"),
        ("hasMean", "x between 3 and 4", "Success"),
        ("hasColumnCount", "== 6", "Success"),
        ("hasSum", "x == 40", "Success"),
    ],
)
def test_checks_in_short(method, text, status):
    if not FILE["rows"]:
        pytest.skip("the file has no rows")
    assert run(ROWS, [Check("case").add(rule_of(method, text))]).outcomes[0].status == status


@pytest.mark.parametrize("case", having("check"))
def test_checks_succeed_and_fail_as_deequs_do(case):
    result = run(ROWS, [Check("case").add(rule_of(case["check"], case["args"]))])
    assert result.outcomes[0].status == case["expect"], result.outcomes[0].message


@pytest.mark.parametrize("case", having("strategy"))
def test_strategies_find_what_deequs_find(case):
    found = strategy(case["strategy"], **case["params"]).detect(case["series"], *case["interval"])
    assert found == case["expect"]


@pytest.mark.parametrize("case", having("suggest"))
def test_suggestions(case):
    if "completeness" in case:
        assert wilson_lower(case["completeness"], case["rows"]) == case["expect"]
        return
    found = [s for s in suggest(ROWS, [case["suggest"]]) if s.column == case["column"]]
    assert len(found) == 1
    if isinstance(case["expect"], str):
        assert found[0].constraint.method == case["expect"]
    else:
        assert found[0].seen == pytest.approx(case["expect"])
        assert found[0].constraint.must.op != "=="
