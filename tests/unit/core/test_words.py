"""Ids, durations, declarations."""

from datetime import UTC, datetime, timedelta

import pytest

import hanok as hk
from hanok.core.clock import from_micros, micros
from hanok.core.declare import digest
from hanok.core.durations import duration, relative_time, shortest
from hanok.core.errors import DeclarationError, Invalid
from hanok.core.ids import PredictionId, checked_name, new_id

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_ids_are_uuid7_that_sort_by_time():
    first, later = new_id(NOW), new_id(NOW + timedelta(milliseconds=1))
    assert first < later
    assert len(first) == 32 and first[12] == "7" and first[16] in "89ab"


def test_a_prediction_id_survives_its_text_form_and_sorts_by_writing():
    ids = [PredictionId("churn", 1_700_000_000_000, 0, n) for n in (1, 15, 16, 4096)]
    assert [PredictionId.parse(str(i)) for i in ids] == ids
    assert sorted(map(str, ids)) == list(map(str, ids))
    with pytest.raises(Invalid, match="is not a prediction id"):
        PredictionId.parse("../../etc/passwd")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".hidden", "x" * 129, "a\0b"])
def test_a_name_that_could_leave_its_folder_is_refused(name):
    with pytest.raises(Invalid):
        checked_name("model", name)


def test_instants_are_exact_to_the_microsecond():
    for us in (0, 1, -1, 1_356_998_400_123_457):
        assert micros(from_micros(us)) == us


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("2h", 7200), ("28d", 28 * 86400), ("1w", 604800), ("250ms", 0.25)]
)
def test_durations_are_read_as_people_write_them(text, seconds):
    assert duration(text).total_seconds() == seconds


def test_what_is_no_duration_is_said():
    for text in ("", "3", "h", "3 parsecs", "-2h"):
        with pytest.raises(DeclarationError, match="duration"):
            duration(text)
    assert shortest(timedelta(hours=24)) == "1d"


def test_a_time_relative_to_a_column():
    assert relative_time("scheduled - 2h").offset == timedelta(hours=-2)
    assert relative_time("at").column == "at"


def _model(**changes):
    settings = {
        "task": "binary",
        "spine": hk.Spine("s", predict_at="at", keys="id"),
        "label": hk.Label("l", column="y", known_at="known"),
        "features": ["x"],
    }
    return hk.Model("m", **{**settings, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "clustering"}, "task"),
        ({"features": []}, "no features"),
        ({"features": ["x", "y"]}, "leak"),
        ({"features": ["x", "x"]}, "twice"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(changes, said):
    with pytest.raises(DeclarationError, match=said):
        _model(**changes)


def test_equal_declarations_have_equal_digests_and_a_change_shows():
    assert digest(_model()) == digest(_model())
    assert digest(_model()) != digest(_model(features=["x", "z"]))


def test_own_code_is_known_by_its_source():
    def train(frame):
        return frame

    def other(frame):
        return None

    assert digest(_model(train=train)) != digest(_model(train=other))


def test_a_view_is_values_or_aggregates_never_both():
    source = hk.Source("t", event_time="at")
    with pytest.raises(DeclarationError):
        hk.FeatureView("v", keys="k", source=source)
    with pytest.raises(DeclarationError):
        hk.FeatureView("v", keys="k", source=source, features=["a"], aggregate={"n": hk.count()}, windows=["1h"])
    view = hk.FeatureView("v", keys="k", source=source, aggregate={"n": hk.count()}, windows=["24h", "7d"])
    assert view.feature_names == ("n_24h", "n_7d")


def test_the_public_names_are_all_there():
    for name in hk.__all__:
        assert getattr(hk, name) is not None
    with pytest.raises(AttributeError, match="FeatureView"):
        hk.Featureview
