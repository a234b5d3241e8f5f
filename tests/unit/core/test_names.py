"""Names of columns that SQL or the eye takes for one."""

import pytest

from hanok.core.errors import BadData
from hanok.core.names import checked_columns, folded, respelled, twins


def test_two_spellings_of_one_name_are_found():
    assert twins(["a", "b", "A"]) == ("a", "A")
    assert twins(["a", " a"]) == ("a", " a")
    assert twins(["e\u0301", "\u00e9"]) == ("e\u0301", "\u00e9")
    assert twins(["a.b", "a b", "a_b", "ab"]) is None
    assert folded(" Pr\u00e9 ") == folded("PRE\u0301")


@pytest.mark.parametrize(
    "names", [["a", "a"], ["a", "A"], [""], ["  "], ["_seq"], ["_Arrived"], ["_at"], ["key__id"], ["a\0"]]
)
def test_names_that_cannot_stand_are_refused(names):
    with pytest.raises(BadData, match="file f"):
        checked_columns("file f", names)


def test_what_was_let_in_before_stays():
    checked_columns("file f", ["_at", "a.b", "a b", 'a"b', "1.5", "é", "f__x"], known=["_at"])


def test_a_name_of_the_table_in_another_spelling_is_that_column():
    assert respelled(["Price", "size", "new"], ["price", "size"]) == {"Price": "price"}
    with pytest.raises(BadData, match="'price' and 'Price'"):
        respelled(["Price", "price"], ["price"])
