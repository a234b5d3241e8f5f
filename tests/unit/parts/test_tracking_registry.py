"""The model registry: versions, aliases with history, and their place in the graph."""

from datetime import UTC, datetime

import pytest

from hanok.core.clock import ReplayClock
from hanok.core.errors import AlreadyExists, Invalid, ModelNotFound, StaleGeneration
from hanok.core.lineage import Edge, EdgeKind
from hanok.core.tracking import Comparison, Dataset, DatasetInput, Order
from hanok.parts.tracking import Tracking
from hanok.stores.memory.blobs import MemoryBlobs
from hanok.stores.sql import SqlMetadata

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def metadata():
    made = SqlMetadata("sqlite://")
    yield made
    made.close()


@pytest.fixture
def tracking(metadata):
    return Tracking(metadata, MemoryBlobs(), ReplayClock(START))


@pytest.fixture
def registry(tracking):
    tracking.registry.create_model("churn")
    return tracking.registry


def edges(metadata, node_id):
    return set(metadata.read(lambda r: r.lineage.neighbours(node_id)).edges)


def test_versions_count_up_and_a_deleted_number_is_not_used_again(registry):
    assert [registry.register("churn").version for _ in range(2)] == [1, 2]
    registry.delete_version("churn", 2)
    assert registry.register("churn").version == 3
    with pytest.raises(ModelNotFound, match=r"version=2.* not found; the newest is 3"):
        registry.version("churn", 2)


def test_a_version_knows_its_run_and_what_it_was_trained_on(tracking, metadata, registry):
    run = tracking.runs.create("0")
    tracking.runs.log_inputs(run.id, [DatasetInput(Dataset("d" * 32, "flights", "1", "local", "x"))])
    logged = tracking.logged_models.create("0", source_run_id=run.id)
    version = registry.register("churn", run_id=run.id, logged_model_id=logged.id, source=f"models:/{logged.id}")
    assert edges(metadata, version.id) == {
        Edge(run.id, EdgeKind.WROTE, version.id),
        Edge(version.id, EdgeKind.TRAINED_ON, "d" * 32),
        Edge(version.id, EdgeKind.READ, logged.id),
    }
    assert registry.download_uri("churn", 1) == logged.artifact_uri


def test_a_version_of_a_logged_model_belongs_to_the_run_that_logged_it(tracking, metadata, registry):
    run = tracking.runs.create("0")
    logged = tracking.logged_models.create("0", name="m", source_run_id=run.id)
    by_source = registry.register("churn", source=f"models:/{logged.id}")
    by_id = registry.register("churn", source="s3://elsewhere", logged_model_id=logged.id)
    assert by_source.run_id == by_id.run_id == run.id
    for version in (by_source, by_id):
        assert Edge(run.id, EdgeKind.WROTE, version.id) in edges(metadata, version.id)


def test_a_copied_version_downloads_from_where_the_first_one_lies(registry):
    registry.create_model("copy")
    registry.register("churn", source="mlflow-artifacts:/1/m")
    registry.register("copy", source="models:/churn/1")
    assert registry.download_uri("copy", 1) == "mlflow-artifacts:/1/m"


def test_every_move_of_an_alias_is_kept_with_who_and_why(metadata, registry):
    first, second = registry.register("churn"), registry.register("churn")
    registry.move_alias("churn", "champion", 1, actor="ann", reason="first")
    registry.move_alias("churn", "champion", 2, actor="bob", reason="better")
    back = registry.move_alias("churn", "champion", 1, actor="ann", reason="worse after all")
    history = registry.alias_history("churn", "champion")
    assert [(c.before, c.after, c.actor, c.reason) for c in history] == [
        (2, 1, "ann", "worse after all"),
        (1, 2, "bob", "better"),
        (None, 1, "ann", "first"),
    ]
    assert registry.version_at("churn", "champion").version == 1
    assert edges(metadata, back.id) == {
        Edge(back.id, EdgeKind.READ, first.id),
        Edge(back.id, EdgeKind.SUPERSEDED, second.id),
    }


def test_moving_an_alias_to_where_it_stands_adds_no_history(registry):
    registry.register("churn")
    for _ in range(3):
        registry.move_alias("churn", "champion", 1, actor="ann")
    assert len(registry.alias_history("churn")) == 1


def test_an_alias_that_somebody_moved_in_between_is_not_moved_again(registry):
    registry.register("churn")
    registry.register("churn")
    registry.move_alias("churn", "champion", 1, actor="ann", expected=None)
    with pytest.raises(StaleGeneration):
        registry.move_alias("churn", "champion", 2, actor="bob", expected=None)
    with pytest.raises(StaleGeneration):
        registry.move_alias("churn", "champion", 1, actor="bob", expected=2)
    assert registry.version_at("churn", "champion").version == 1


def test_an_alias_points_only_at_a_version_that_exists(registry):
    with pytest.raises(ModelNotFound):
        registry.move_alias("churn", "champion", 9, actor="ann")


@pytest.mark.parametrize("alias", ["", "latest", "Latest", "v1", "V22", "a b", "a/b", "x" * 256])
def test_an_alias_that_reads_like_something_else_is_refused(registry, alias):
    registry.register("churn")
    with pytest.raises(Invalid):
        registry.move_alias("churn", alias, 1, actor="ann")


def test_deleting_a_version_unsets_its_aliases_with_a_record(metadata, registry):
    version = registry.register("churn")
    registry.move_alias("churn", "champion", 1, actor="ann")
    registry.delete_version("churn", 1, actor="bob")
    assert registry.model("churn").aliases == {}
    assert [(c.after, c.actor) for c in registry.alias_history("churn")] == [(None, "bob"), (1, "ann")]
    assert metadata.read(lambda r: r.lineage.node(version.id)).deleted == START


def test_a_renamed_model_keeps_versions_aliases_and_history(registry):
    registry.register("churn")
    registry.move_alias("churn", "champion", 1, actor="ann")
    registry.create_model("taken")
    with pytest.raises(AlreadyExists):
        registry.rename_model("churn", "taken")
    assert registry.rename_model("churn", "leaving").aliases == {"champion": 1}
    assert registry.version("leaving", 1).model == "leaving"
    assert len(registry.alias_history("leaving")) == 1
    with pytest.raises(ModelNotFound):
        registry.model("churn")


def test_stages_move_and_others_are_archived_on_request(registry):
    for _ in range(2):
        registry.register("churn")
    registry.move_to_stage("churn", 1, "production")
    registry.move_to_stage("churn", 2, "Production", archive_others=True)
    assert [(v.version, v.stage) for v in registry.versions("churn")] == [(2, "Production"), (1, "Archived")]
    assert [v.version for v in registry.latest_versions("churn", ["Archived"])] == [1]


def test_models_and_versions_are_searched_by_name_and_tag(registry):
    registry.create_model("other", tags={"team": "risk"})
    registry.register("other")
    registry.register("churn")
    named = registry.search_models(Comparison("attribute", "name", "LIKE", "o%")).items
    assert [model.name for model in named] == ["other"]
    assert [m.name for m in registry.search_models(Comparison("tag", "team", "=", "risk")).items] == ["other"]
    ordered = registry.search_versions(order=[Order("attribute", "name")]).items
    assert [version.model for version in ordered] == ["churn", "other"]
    with pytest.raises(Invalid):
        registry.search_models(Comparison("attribute", "colour", "=", "red"))


def test_a_page_of_models_says_where_the_next_begins(registry):
    for name in "abc":
        registry.create_model(name)
    page = registry.search_models(limit=3)
    assert ([m.name for m in page.items], page.next_offset) == (["a", "b", "c"], 3)
    assert registry.search_models(limit=3, offset=3).next_offset is None


def test_a_version_of_a_logged_model_comes_from_the_run_that_logged_it_when_the_client_names_none(tracking, metadata):
    run = tracking.runs.create("0")
    tracking.runs.log_inputs(run.id, [DatasetInput(Dataset("d" * 32, "flights", "1", "local", ""))])
    logged = tracking.logged_models.create("0", source_run_id=run.id)
    tracking.registry.create_model("late")
    version = tracking.registry.register("late", source=f"models:/{logged.id}", logged_model_id=logged.id)
    assert edges(metadata, version.id) == {
        Edge(run.id, EdgeKind.WROTE, version.id),
        Edge(version.id, EdgeKind.READ, logged.id),
        Edge(version.id, EdgeKind.TRAINED_ON, "d" * 32),
    }
