"""A candidate on logged traffic: what it would have said is what it says when asked."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from hanok.core.errors import Invalid, ModelNotFound, NotFound
from hanok.core.serving import Arm
from hanok.core.traffic_replay import TRAFFIC_REPLAY
from hanok.engine import traffic_replay
from hanok.engine.evidence import Evidence
from hanok.engine.parts import find
from hanok.engine.traffic_replay import replay as replayed


@pytest.fixture
def now(shop):
    return shop.clock.now()


def newest(shop):
    return shop.training.newest("returns")


def test_a_version_replayed_on_what_it_answered_would_change_nothing(shop, now):
    primary = shop.serving.deployment("returns").primary
    answers = shop.serving.answers_since("returns", now - timedelta(days=2)).to_pylist()
    answers = [r for r in answers if r["arm"] != "shadow"]
    since = max((r["at"] for r in answers if r["version"] != primary), default=now - timedelta(days=2))
    own = {r["prediction_id"] for r in answers if r["at"] > since}
    made = replayed(find(shop, Evidence), "returns", primary, since + timedelta(microseconds=1), now)
    assert own and made.rows == len(own) and made.otherwise == made.failed == 0
    assert made.change_quantiles["max"] == 0.0 and made.left_out == {}
    assert all(was == would_be for was, would_be in made.known.values())


def test_another_version_gives_what_it_would_give_if_it_were_asked(shop, now):
    first, last = 1, newest(shop)
    assert first != last
    made = replayed(find(shop, Evidence), "returns", first, now - timedelta(days=3), now)
    loaded = shop.serving.model("returns", first)
    for changed in made.largest:
        found = shop.serving.find(changed.prediction)
        (score,) = loaded.score({c.name: [found.features[c.name]] for c in loaded.signature.inputs})
        assert np.isclose(changed.would_be, score, rtol=0, atol=0) and changed.was == found.score
    assert sum(made.directions.values()) == made.otherwise
    assert all(s.rows >= 20 and s.feature == "product" for s in made.slices), "the gate's slices"
    assert 0 < made.labelled <= made.rows
    assert set(made.latency) == {"version 1", f"version {shop.serving.deployment('returns').primary}"}
    assert TRAFFIC_REPLAY.open(TRAFFIC_REPLAY.body(made)) == made


def test_nothing_is_answered_or_deployed_by_it(shop, now):
    before = shop.tables.size("predictions--returns"), shop.serving.deployment("returns")
    replayed(find(shop, Evidence), "returns", 1, now - timedelta(days=1), now)
    assert (shop.tables.size("predictions--returns"), shop.serving.deployment("returns")) == before
    assert isinstance(before[1].arms[0], Arm)


def test_what_cannot_be_replayed_says_why(shop, now):
    parts = find(shop, Evidence)
    with pytest.raises(NotFound, match="answered nothing"):
        replayed(parts, "returns", 1, now + timedelta(days=1), now + timedelta(days=2))
    with pytest.raises(ModelNotFound):
        replayed(parts, "returns", 99, now - timedelta(days=1), now)
    with pytest.raises(Invalid, match="yesterdayish"):
        from hanok.engine.verbs import call

        call(shop, "replay", "me", {"model": "returns", "version": 1, "since": "yesterdayish"})


def test_answers_of_other_classes_are_compared_by_the_names_of_the_classes():
    rows = pa.table({"version": [1, 2], "scores": [[0.1, 0.2, 0.7], [0.6, 0.4, 0.0]], "score": [0.7, 0.6]})
    of = {1: ("a", "b", "c"), 2: ("a", "c", "d")}
    found = traffic_replay._scores(rows, np.ones((2, 3)), ("a", "c", "d", "b"), of)
    assert found.tolist() == [[0.1, 0.7, 0.0, 0.2], [0.6, 0.4, 0.0, 0.0]]
    assert traffic_replay._in_classes(np.ones((1, 3)), of[2], ("a", "c", "d", "b")).tolist() == [[1, 1, 1, 0]]


def test_answers_of_another_task_are_left_out_and_counted(shop, now):
    primary, parts = shop.serving.deployment("returns").primary, find(shop, Evidence)
    rows = pa.table({"version": [primary, 999, 999], "scores": [[], [], [0.2, 0.3, 0.5]], "score": [0.5, 0.5, 0.5]})
    signature = shop.serving.model("returns", primary).signature
    for task, kept in (("binary", 2), ("multiclass", 0)):
        found, other = traffic_replay._of_its_task(parts, "returns", replace(signature, task=task), rows)
        assert (found.num_rows, other) == (kept, 3 - kept)
