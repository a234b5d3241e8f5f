"""The search grammar of MLflow's protocol, with OR, NOT and parentheses."""

import pytest

from hanok.core.errors import Invalid
from hanok.core.tracking import EVERYTHING, All, AnyOf, Comparison, Not, Order
from hanok.wire.mlflow.search import parse_filter, parse_order


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("metrics.loss < 0.3", Comparison("metric", "loss", "<", 0.3)),
        ("metric.`train loss` >= -1e3", Comparison("metric", "train loss", ">=", -1000)),
        ('metrics."a/b" != .5', Comparison("metric", "a/b", "!=", 0.5)),
        ("params.p = '1'", Comparison("param", "p", "=", "1")),
        ('parameters.p = "it\'s"', Comparison("param", "p", "=", "it's")),
        ("tags.mlflow.runName ILIKE 'a%'", Comparison("tag", "mlflow.runName", "ILIKE", "a%")),
        ("tags.t IS NOT NULL", Comparison("tag", "t", "IS NOT NULL")),
        ("params.p is null", Comparison("param", "p", "IS NULL")),
        ("run_id IN ('a', 'b')", Comparison("attribute", "run_id", "IN", ("a", "b"))),
        ("attributes.run_id NOT IN ('a')", Comparison("attribute", "run_id", "NOT IN", ("a",))),
        ("attr.Created > 5", Comparison("attribute", "start_time", ">", 5)),
        ("datasets.digest = 'd'", Comparison("dataset", "digest", "=", "d")),
        ("version_number = '3'", Comparison("attribute", "version_number", "=", 3)),
        ("", EVERYTHING),
    ],
)
def test_a_comparison_is_read(text, wanted):
    assert parse_filter(text) == wanted


def test_and_binds_closer_than_or_and_parentheses_closer_than_both():
    a, b, c = (Comparison("tag", key, "=", "1") for key in "abc")
    assert parse_filter("tags.a='1' OR tags.b='1' AND tags.c='1'") == AnyOf((a, All((b, c))))
    assert parse_filter("(tags.a='1' or tags.b='1') and tags.c='1'") == All((AnyOf((a, b)), c))


def test_a_quoted_value_may_hold_words_of_the_grammar():
    assert parse_filter("tags.a = 'x AND (y'") == Comparison("tag", "a", "=", "x AND (y")


@pytest.mark.parametrize(
    "text",
    [
        "metrics.loss",
        "metrics.loss <",
        "metrics.loss LIKE 'x'",
        "metrics.loss = 'x'",
        "params.p = 1",
        "params.p > 'a'",
        "model.x = 'y'",
        "datasets.size = 'y'",
        "tags.a = '1' tags.b = '2'",
        "(tags.a = '1'",
        "tags.a = '1')",
        "run_id IN 'a'",
        "tags.a == '1'",
        "tags.a = 'unclosed",
        "; DROP TABLE run",
        "(" * 60 + "tags.a = '1'" + ")" * 60,
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(text):
    with pytest.raises(Invalid):
        parse_filter(text)


def test_order_terms():
    assert parse_order(["metrics.`a b` DESC", "start_time", "params.p asc", "Created DESC"]) == [
        Order("metric", "a b", ascending=False),
        Order("attribute", "start_time"),
        Order("param", "p"),
        Order("attribute", "start_time", ascending=False),
    ]


@pytest.mark.parametrize("term", ["", "metrics.a sideways", "metrics.a DESC DESC", "nothing.a"])
def test_an_order_term_that_cannot_be_read_is_refused(term):
    with pytest.raises(Invalid):
        parse_order([term])


def test_not_binds_closer_than_and():
    a, b = (Comparison("tag", key, "=", "1") for key in "ab")
    assert parse_filter("NOT tags.a = '1' AND tags.b = '1'") == All((Not(a), b))
    assert parse_filter("NOT (tags.a = '1' AND tags.b = '1')") == Not(All((a, b)))
    assert parse_filter("not not tags.a = '1'") == Not(Not(a))
    assert parse_filter("tags.a NOT IN ('1')") == Comparison("tag", "a", "NOT IN", ("1",))


@pytest.mark.parametrize(
    "text", ["NOT", "NOT AND tags.a = '1'", "tags.a = '1' NOT", "NOT ()", "NOT " * 60 + "tags.a = '1'"]
)
def test_a_not_without_something_is_refused(text):
    with pytest.raises(Invalid):
        parse_filter(text)
