"""Words that are a label of the task are taken, all others refused: nothing is guessed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.core.errors import Invalid
from hanok.core.labels import checked_label

BINARY = ("0", "1")


def told(value, column_type, task="binary", classes=BINARY):
    return checked_label("m", value, column_type, task, classes)


@pytest.mark.parametrize(
    ("value", "column_type", "label"),
    [
        ("true", "BOOL", True),
        ("Yes", "BOOL", True),
        (" True ", "BOOL", True),
        ("1", "BOOL", True),
        (1, "BOOL", True),
        (1.0, "BOOL", True),
        ("no", "BOOL", False),
        ("FALSE", "BOOL", False),
        ("0", "BOOL", False),
        (False, "BOOL", False),
        ("1", "INT", 1),
        ("1.0", "INT", 1),
        (True, "INT", 1),
        (0.0, "INT", 0),
        ("0", "FLOAT", 0.0),
        ("1", "STRING", "1"),
        (1, "STRING", "1"),
        (True, "STRING", "1"),
        ("1", "", "1"),
    ],
)
def test_words_of_the_task_become_the_type_of_their_column(value, column_type, label):
    found = told(value, column_type)
    assert (found, type(found)) == (label, type(label))


@pytest.mark.parametrize("column_type", ["BOOL", "INT", "FLOAT", "STRING", ""])
@pytest.mark.parametrize(
    "value", ["", "  ", None, math.nan, math.inf, "2", "maybe", "wahr", "t", "y", "on", 2, 0.5, -1, [1], {}]
)
def test_what_is_no_label_is_refused_and_never_stored_as_false(value, column_type):
    with pytest.raises(Invalid, match="'m'"):
        told(value, column_type)


@given(st.text(max_size=8) | st.integers() | st.floats() | st.booleans() | st.none())
def test_a_boolean_label_is_false_only_where_it_says_so(value):
    try:
        found = told(value, "BOOL")
    except Invalid:
        return
    assert found == (str(value).strip().lower() in ("true", "yes", "1", "1.0"))
    assert found or str(value).strip().lower() in ("false", "no", "0", "0.0", "-0.0")


def test_classes_of_a_model_are_named_with_the_near_word():
    classes = ("ontime", "late", "cancelled")
    assert told("late", "STRING", "multiclass", classes) == "late"
    with pytest.raises(Invalid, match="Did you mean 'cancelled'"):
        told("canceled", "STRING", "multiclass", classes)
    assert told("new", "STRING", "multiclass", ()) == "new"  # nothing is known of classes before the first version


def test_numbers_of_a_regression_are_exact_and_finite():
    assert told("12345678901234567", "INT", "regression", ()) == 12345678901234567
    assert told("2.5", "FLOAT", "regression", ()) == 2.5
    for value in ("2.5", "many", "nan", "inf", "1e999"):
        with pytest.raises(Invalid):
            told(value, "INT", "regression", ())
    with pytest.raises(Invalid, match="is a number"):
        told("many", "STRING", "regression", ())
