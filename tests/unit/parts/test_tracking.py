"""Experiments, runs and logged models: what the verbs promise."""

from datetime import UTC, datetime

import pytest

from hanok.core.clock import ReplayClock
from hanok.core.errors import (
    ArtifactNotFound,
    ExperimentNotFound,
    Invalid,
    LoggedModelNotFound,
    ParamChanged,
    RunDeleted,
    RunNotFound,
)
from hanok.core.lineage import Edge, EdgeKind, NodeKind
from hanok.core.tracking import Dataset, DatasetInput, Metric, ModelOutput, RunQuery, dataset_id
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
def run(tracking):
    return tracking.runs.create("0", name="first")


def events(metadata):
    return [event.kind for event in metadata.read(lambda r: r.outbox.after(0))]


def edges(metadata, node_id):
    return set(metadata.read(lambda r: r.lineage.neighbours(node_id)).edges)


def test_a_run_is_a_node_with_an_event_from_the_moment_it_exists(tracking, metadata, run):
    node = metadata.read(lambda r: r.lineage.node(run.id))
    assert (node.kind, node.name, node.created) == (NodeKind.RUN, "first", START)
    assert events(metadata) == ["run_created"]


def test_a_run_without_a_name_gets_one(tracking):
    run = tracking.runs.create("0")
    assert run.name and tracking.runs.get(run.id).tags["mlflow.runName"] == run.name


def test_name_and_name_tag_of_a_run_stay_the_same_thing(tracking, run):
    tracking.runs.log(run.id, tags={"mlflow.runName": "second"})
    assert tracking.runs.get(run.id).name == "second"
    tracking.runs.update(run.id, name="third")
    assert tracking.runs.get(run.id).tags["mlflow.runName"] == "third"


def test_a_run_ends_once_for_the_outbox(tracking, metadata, run):
    tracking.runs.finish(run.id)
    tracking.runs.update(run.id, status="FINISHED")
    assert events(metadata).count("run_ended") == 1
    assert tracking.runs.get(run.id).ended == START


def test_a_batch_is_all_or_nothing(tracking, run):
    tracking.runs.log(run.id, params={"p": "1"})
    with pytest.raises(ParamChanged, match="already logged with value '1'"):
        tracking.runs.log(run.id, metrics=[Metric("m", 1.0, 1)], params={"p": "2", "q": "1"}, tags={"t": "1"})
    found = tracking.runs.get(run.id)
    assert (found.metrics, found.params, "t" in found.tags) == ((), {"p": "1"}, False)


def test_a_repeated_batch_changes_nothing(tracking, run):
    for _ in range(2):
        tracking.runs.log(run.id, metrics=[Metric("m", 1.0, 1, 1)], params={"p": "1"}, tags={"t": "1"})
    assert tracking.runs.history(run.id, "m") == [Metric("m", 1.0, 1, 1)]


def test_a_deleted_run_takes_nothing_until_it_is_restored(tracking, run):
    tracking.runs.delete(run.id)
    with pytest.raises(RunDeleted):
        tracking.runs.log_now(run.id, {"m": 1.0})
    assert tracking.runs.search(RunQuery(["0"])).items == ()
    tracking.runs.restore(run.id)
    tracking.runs.log_now(run.id, {"m": 1.0})
    assert tracking.runs.search(RunQuery(["0"])).items[0].latest == {"m": 1.0}


@pytest.mark.parametrize("key", ["", "a" * 251, "../x", "/x", "a//b", "a\nb", "a/./b"])
def test_a_key_that_is_no_plain_name_is_refused(tracking, run, key):
    with pytest.raises(Invalid):
        tracking.runs.log(run.id, metrics=[Metric(key, 1.0, 1)])


def test_values_have_a_longest_length(tracking, run):
    tracking.runs.log(run.id, params={"p": "x" * 6000}, tags={"t": "x" * 8000})
    for more in ({"params": {"q": "x" * 6001}}, {"tags": {"t": "x" * 8001}}):
        with pytest.raises(Invalid):
            tracking.runs.log(run.id, **more)


def test_what_a_run_reads_and_writes_is_in_the_graph(tracking, metadata, run):
    source = dataset_id("flights", "12", "s3://x")
    used = DatasetInput(Dataset(source, "flights", "12", "s3", "s3://x"), {"mlflow.data.context": "train"})
    tracking.runs.log_inputs(run.id, [used])
    model = tracking.logged_models.create("0", name="m", source_run_id=run.id)
    tracking.runs.log_outputs(run.id, [ModelOutput(model.id, 3)])
    assert edges(metadata, run.id) == {Edge(run.id, EdgeKind.READ, source), Edge(run.id, EdgeKind.WROTE, model.id)}
    found = tracking.runs.get(run.id)
    assert (found.datasets, found.models_written) == ((used,), (ModelOutput(model.id, 3),))


def test_two_runs_that_read_equal_data_meet_in_one_dataset_node(tracking, metadata, run):
    other, source = tracking.runs.create("0"), dataset_id("flights", "12", "s3://x")
    for reader in (run, other):
        tracking.runs.log_inputs(reader.id, [DatasetInput(Dataset(source, "flights", "12", "s3", "s3://x"))])
    assert {edge.source for edge in edges(metadata, source)} == {run.id, other.id}


def test_a_search_says_whether_there_is_more(tracking):
    for number in range(3):
        tracking.runs.create("0", name=str(number))
    first = tracking.runs.search(RunQuery(["0"], limit=2))
    rest = tracking.runs.search(RunQuery(["0"], limit=2, offset=first.next_offset))
    assert (len(first.items), len(rest.items), rest.next_offset) == (2, 1, None)


def test_a_deleted_experiment_takes_no_runs_and_keeps_its_name(tracking):
    made = tracking.experiments.create("x")
    tracking.experiments.delete(made.id)
    with pytest.raises(Invalid):
        tracking.runs.create(made.id)
    with pytest.raises(ExperimentNotFound):
        tracking.experiments.delete(made.id)
    tracking.experiments.restore(made.id)
    assert tracking.experiments.ensure("x").id == made.id


def test_an_experiment_location_that_climbs_out_is_refused(tracking):
    for location in ("mlflow-artifacts:/../x", "file:///a/../b", "s3://b/%2e%2e/x", "s3://b?x=1"):
        with pytest.raises(Invalid):
            tracking.experiments.create("x", location=location)


def test_a_deleted_logged_model_leaves_a_tombstone(tracking, metadata, run):
    model = tracking.logged_models.create("0", source_run_id=run.id)
    tracking.logged_models.delete(model.id)
    with pytest.raises(LoggedModelNotFound):
        tracking.logged_models.get(model.id)
    assert metadata.read(lambda r: r.lineage.node(model.id)).deleted == START


def test_a_model_logged_by_a_run_of_another_server_gets_no_edge(tracking, metadata):
    model = tracking.logged_models.create("0", source_run_id="f" * 32)
    assert edges(metadata, model.id) == set()


def test_an_artifact_comes_back_as_it_went(tracking, run):
    root = run.artifact_uri.removeprefix("mlflow-artifacts:/")
    tracking.artifacts.put(f"{root}/a/b.txt", iter([b"he", b"llo"]))
    assert tracking.artifacts.open(f"{root}/a/b.txt").read() == b"hello"
    assert [a.path for a in tracking.artifacts.children_under(run.artifact_uri, "a")] == ["a/b.txt"]
    assert tracking.artifacts.delete(root) == 1
    with pytest.raises(ArtifactNotFound):
        tracking.artifacts.get(f"{root}/a/b.txt")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../b", "a//b", "a\\..\\b", "a/%2e%2e/b", "C:/x", "a\0b", ".", "a/", "x" * 2001]
)
def test_an_artifact_path_cannot_leave_its_tree(tracking, path):
    for verb in (tracking.artifacts.get, tracking.artifacts.children, tracking.artifacts.delete):
        with pytest.raises(Invalid):
            verb(path)
    with pytest.raises(Invalid):
        tracking.artifacts.put(path, iter([b""]))


def test_the_whole_artifact_tree_is_not_deleted_at_once(tracking):
    with pytest.raises(Invalid):
        tracking.artifacts.delete("")


def test_unknown_runs_are_not_found(tracking):
    for verb in (tracking.runs.get, tracking.runs.delete, tracking.runs.restore, tracking.runs.finish):
        with pytest.raises(RunNotFound):
            verb("f" * 32)
