"""Where a value lies in the training distribution."""

from __future__ import annotations

import pyarrow as pa
import pytest

from hanok.compute.drift import reference
from hanok.ui.places import place_of

NUMBERS = reference("x", pa.chunked_array([[float(i) for i in range(1000)]]))
WEEKDAYS = reference("d", pa.chunked_array([[float(i % 7) for i in range(700)]]))
TEXTS = reference("t", pa.chunked_array([["UA"] * 600 + ["B6"] * 395 + ["HA"] * 5]))


@pytest.mark.parametrize(
    ("value", "state"), [(500.0, "typical"), (990.0, "tail"), (5000.0, "outside"), (-5000.0, "outside"), (None, "null")]
)
def test_a_number_has_its_place(value: float | None, state: str) -> None:
    assert place_of(NUMBERS, value).state == state


def test_the_share_below_is_that_of_the_rows() -> None:
    assert place_of(NUMBERS, 250.0).below == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(("value", "state"), [(3.0, "typical"), (8.0, "unseen")])
def test_a_number_of_few_values_is_seen_or_unseen(value: float, state: str) -> None:
    assert place_of(WEEKDAYS, value).state == state


@pytest.mark.parametrize(("value", "state"), [("UA", "typical"), ("HA", "rare"), ("ZZ", "unseen"), (None, "null")])
def test_a_text_has_its_place(value: str | None, state: str) -> None:
    place = place_of(TEXTS, value)
    assert place.state == state
    assert "<svg" in place.picture("carrier")


def test_a_null_is_unusual_only_where_training_had_hardly_any() -> None:
    assert place_of(NUMBERS, None).unusual
    often = reference("x", pa.chunked_array([[1.0, None] * 50]))
    assert not place_of(often, None).unusual
