"""Asking for features by name: everything that is picked comes, and a name stands for one thing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hanok as hk
from hanok.core.declare import view_columns
from hanok.core.errors import Invalid
from hanok.parts.features.asking import united, views_named

SOURCE = hk.Source("weather", event_time="e")
W = hk.FeatureView("w", keys="airport", features=["temp", "wind", "rain"], source=SOURCE)
A = W.alias("origin", keys="from")
SERVICES = {
    s.name: s
    for s in (
        hk.FeatureService("warm", features=[W["temp"], A["temp"]]),
        hk.FeatureService("windy", features=[W["wind"], A["wind", "temp"]]),
        hk.FeatureService("there", features=[W.alias("origin", keys="to")]),
        hk.FeatureService("other", features=[hk.FeatureView("w", keys="city", features=["temp"], source=SOURCE)]),
    )
}
MEANT = {
    "w": ("w__temp", "w__wind", "w__rain"),
    "w__rain": ("w__rain",),
    "w:temp": ("w__temp",),
    "warm": ("w__temp", "origin__temp"),
    "windy": ("w__wind", "origin__wind", "origin__temp"),
}


@given(st.lists(st.sampled_from(sorted(MEANT)), min_size=1, max_size=5))
def test_what_is_asked_for_in_several_ways_is_the_union_of_it_each_feature_once(names):
    found = views_named(names, {"w": W}, SERVICES)
    columns = [c for v in found for c in view_columns(v)]
    assert len({v.name for v in found}) == len(found)
    assert len(columns) == len(set(columns))
    assert set(columns) == {c for name in names for c in MEANT[name]}
    assert united(v for n in names for v in views_named([n], {"w": W}, SERVICES)) == found  # declarations likewise


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["warm", "there"], "'origin' stands for two things here .* by from, and .* by to"),
        (["origin:wind"], "'origin' stands for two things"),
        (["w", "other"], "'w' stands for two things here .* by airport, and .* by city"),
    ],
)
def test_one_name_of_two_views_or_of_other_keys_is_refused_with_the_way_out(names, said):
    with pytest.raises(Invalid, match=f"{said}.*alias"):
        views_named(names, {"w": W}, SERVICES)
