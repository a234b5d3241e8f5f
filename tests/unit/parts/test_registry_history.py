"""Who moved an alias or a stage, when and why; and the way back."""

from datetime import UTC, datetime, timedelta

import pytest

from hanok.core.clock import ReplayClock
from hanok.core.errors import Conflict, ModelNotFound
from hanok.core.lineage import NodeKind
from hanok.parts.tracking import Tracking
from hanok.stores.memory.blobs import MemoryBlobs
from hanok.stores.sql import SqlMetadata

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def tracking():
    metadata, clock = SqlMetadata("sqlite://"), ReplayClock(START)
    made = Tracking(metadata, MemoryBlobs(), clock)
    made.clock = clock
    made.registry.create_model("churn")
    for _ in range(4):
        made.registry.register("churn", actor="ann")
    yield made
    metadata.close()


def move(tracking, version, reason=""):
    tracking.clock.move_to(tracking.clock.now() + timedelta(minutes=1))
    tracking.registry.move_alias("churn", "champion", version, actor="bob", reason=reason)


def back(tracking, to=None):
    return tracking.registry_history.roll_back("churn", "champion", to=to, actor="eve", reason="worse").after


def test_an_alias_goes_back_one_step_and_then_one_further(tracking):
    for version in (1, 2, 3):
        move(tracking, version)
    assert [back(tracking), back(tracking)] == [2, 1]
    with pytest.raises(Conflict, match="--to"):
        back(tracking)


def test_after_going_back_and_forward_the_way_back_is_the_same(tracking):
    for version in (1, 2):
        move(tracking, version)
    assert back(tracking) == 1
    move(tracking, 2)
    move(tracking, 3)
    assert [back(tracking), back(tracking)] == [2, 1]


def test_a_version_that_is_gone_is_passed_over(tracking):
    for version in (1, 2, 3):
        move(tracking, version)
    tracking.registry.delete_version("churn", 2)
    assert back(tracking) == 1


def test_the_history_says_who_when_and_why_newest_first(tracking):
    move(tracking, 1, "first")
    move(tracking, 2, "better")
    back(tracking)
    rows = tracking.registry_history.of("churn")
    told = [(r.what, r.before, r.after, r.actor, r.reason) for r in rows if "alias" in r.what]
    assert sorted(told[:2]) == sorted(
        [("alias champion", 2, 1, "eve", "worse"), ("alias champion", 1, 2, "bob", "better")]
    )
    assert told[2] == ("alias champion", None, 1, "bob", "first")
    assert sum(r.what == "registered" for r in rows) == 4


def test_an_alias_that_is_not_set_cannot_go_back(tracking):
    with pytest.raises(ModelNotFound):
        back(tracking)
    with pytest.raises(ModelNotFound):
        tracking.registry_history.of("nobody")


def test_stages_have_a_history_and_a_way_back(tracking):
    stage = tracking.registry.move_to_stage
    stage("churn", 1, "Production", actor="ann", reason="first")
    stage("churn", 2, "Production", archive_others=True, actor="bob", reason="better")
    moved = tracking.registry_history.roll_back_stage("churn", "Production", to=None, actor="eve", reason="worse")
    assert (moved.version, moved.before, moved.after) == (1, "Archived", "Production")
    assert [v.stage for v in tracking.registry.versions("churn")] == ["None", "None", "Archived", "Production"]
    rows = [r for r in tracking.registry_history.of("churn") if "stage" in r.what]
    assert {(r.what, r.before, r.after, r.actor, r.reason) for r in rows} == {
        ("stage of version 1", "None", "Production", "ann", "first"),
        ("stage of version 1", "Production", "Archived", "bob", "version 2 took its stage"),
        ("stage of version 2", "None", "Production", "bob", "better"),
        ("stage of version 2", "Production", "Archived", "eve", "worse"),
        ("stage of version 1", "Archived", "Production", "eve", "worse"),
    }


def test_a_move_to_the_same_stage_adds_no_history(tracking):
    for _ in range(2):
        tracking.registry.move_to_stage("churn", 1, "Staging")
    assert sum("stage" in r.what for r in tracking.registry_history.of("churn")) == 1


def test_a_renamed_model_keeps_its_history_and_moves_are_nodes(tracking):
    tracking.registry.move_to_stage("churn", 1, "Staging")
    tracking.registry.rename_model("churn", "leaving")
    assert sum("stage" in r.what for r in tracking.registry_history.of("leaving")) == 1
    find = tracking.registry_history._metadata.read(lambda r: r.lineage.find(NodeKind.ALIAS_CHANGE))
    assert [n.name for n in find] == ["churn/1 Staging"]
