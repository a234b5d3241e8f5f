"""Records travel as frozen dataclasses; their bodies open in later versions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from hanok.core.errors import Corrupt
from hanok.core.json import Json, JsonObject
from hanok.core.records import Kind


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Whole:
    at: datetime
    parts: tuple[Part, ...]
    by_day: Mapping[str, Part] = field(default_factory=dict)
    hold: timedelta = timedelta(0)
    mode: Literal["a", "b"] = "a"
    version: int | None = None
    best: Part | None = None
    notes: JsonObject = field(default_factory=dict)
    either: Mapping[str, float] | tuple[float, ...] = ()


WHOLE = Kind("whole", Whole, owner="model")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_a_record_comes_back_as_it_went():
    made = Whole(NOW, (Part("x", 0.5), Part("y")), {"d": Part("z")}, timedelta(hours=1), "b", 3, Part("q"))
    assert WHOLE.open(WHOLE.body(made)) == made


def test_a_body_of_an_earlier_version_opens_with_defaults_and_without_what_is_gone():
    body = {"at": NOW.isoformat(), "parts": [{"name": "x", "colour": "red"}], "gone": 1, "_name": "m"}
    assert WHOLE.open(body) == Whole(NOW, (Part("x"),))


def test_no_body_and_an_empty_body_are_no_record():
    assert WHOLE.open(None) is None and WHOLE.open({}) is None
    assert WHOLE.all([{"_name": "m", "_key": "k", "_at": NOW}]) == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"parts": []}, "'at'"),
        ({"at": None, "parts": []}, "whole.at"),
        ({"at": "yesterday", "parts": []}, "yesterday"),
        ({"at": NOW.isoformat(), "parts": 3}, "whole.parts"),
        ({"at": NOW.isoformat(), "parts": [], "version": "x"}, "whole.version"),
    ],
)
def test_what_cannot_be_opened_is_named(body, named):
    with pytest.raises(Corrupt, match="whole") as error:
        WHOLE.open(body)
    assert named in error.value.message


def test_json_inside_a_record_stays_as_it_is_and_unions_tell_objects_from_lists():
    notes: dict[str, Json] = {"a": [1, {"b": None}], "c": {"d": [True, "x"]}, "e": 1.5}
    for either in ({"x": 1.0}, (1.0, 2.0)):
        made = Whole(NOW, (), notes=notes, either=either)
        assert WHOLE.open(WHOLE.body(made)) == made


def test_half_a_surrogate_in_a_text_is_stored_readable():
    from hanok.stores.sql.rows import from_json, to_json

    assert from_json(to_json({"error": "x\udc80", "more": ["\ud800"]})) == {"error": "x?", "more": ["?"]}


def test_a_number_that_json_cannot_hold_stops_no_record():
    """Infinity and what is no number are null in JSON; where a number must stand, null is no number again."""
    opened = WHOLE.open({"at": NOW.isoformat(), "parts": [{"name": "x", "share": None}], "either": [1.0, None]})
    assert math.isnan(opened.parts[0].share) and math.isnan(opened.either[1])
    with pytest.raises(Corrupt, match="version"):
        WHOLE.open({"at": NOW.isoformat(), "parts": [], "version": "x"})
