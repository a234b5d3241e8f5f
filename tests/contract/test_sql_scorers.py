"""What the repository of scorers promises, on each engine."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hanok.core.scorers import OnlineScoring, ScorerVersion

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TONE = ScorerVersion("sc-1", "1", "tone", 1, "{}", NOW, "chat")


@pytest.fixture
def scored(metadata):
    """Two versions of tone and one of length, in experiment 1."""
    for version in (TONE, replace(TONE, scorer_id="sc-9", body="2"), replace(TONE, scorer_id="sc-2", name="length")):
        metadata.write(lambda r, v=version: r.scorers.add(v))
    return metadata


def test_versions_count_up_and_share_the_id_of_their_scorer(scored):
    assert scored.read(lambda r: r.scorers.versions("1", "tone")) == [TONE, replace(TONE, version=2, body="2")]
    found = scored.read(lambda r: r.scorers.latest("1"))
    assert [(v.name, v.version, v.scorer_id) for v in found] == [("length", 1, "sc-2"), ("tone", 2, "sc-1")]
    assert scored.read(lambda r: r.scorers.latest("2")) == [] == scored.read(lambda r: r.scorers.versions("x", "tone"))


def test_a_scorer_has_one_online_configuration_which_keeps_its_id(scored):
    first = OnlineScoring("oc-1", "sc-1", "1", 0.5, "status = 'OK'")
    assert scored.write(lambda r: r.scorers.put_online(first)) == first
    again = scored.write(lambda r: r.scorers.put_online(OnlineScoring("oc-2", "sc-1", "1", 0.1)))
    assert again == OnlineScoring("oc-1", "sc-1", "1", 0.1, None)
    assert scored.read(lambda r: r.scorers.online(["sc-1", "sc-2", "none"])) == [again]
    assert scored.read(lambda r: r.scorers.online([])) == []


def test_the_last_version_takes_the_online_configuration_with_it(scored):
    scored.write(lambda r: r.scorers.put_online(OnlineScoring("oc-1", "sc-1", "1", 1.0)))
    assert scored.write(lambda r: r.scorers.delete("1", "tone", 1)) == 1
    assert scored.read(lambda r: r.scorers.online(["sc-1"])) != []
    assert scored.write(lambda r: r.scorers.delete("1", "tone", 7)) == 0
    assert scored.write(lambda r: r.scorers.delete("1", "tone")) == 1
    assert scored.read(lambda r: r.scorers.online(["sc-1"])) == []
    assert [v.name for v in scored.read(lambda r: r.scorers.latest("1"))] == ["length"]
