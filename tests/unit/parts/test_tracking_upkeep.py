"""Deleting for good, moving and forking: what is gone, what stays, and what the graph still knows."""

import io
from datetime import UTC, datetime, timedelta

import pytest

from hanok.core.clock import ReplayClock
from hanok.core.errors import Conflict, ExperimentNotFound, Invalid, LoggedModelNotFound, RunNotFound
from hanok.core.lineage import Edge, EdgeKind
from hanok.core.traces import Trace
from hanok.core.tracking import Dataset, DatasetInput, Metric, RunQuery
from hanok.parts.tracking import Tracking
from hanok.stores.blobs.local import LocalBlobs
from hanok.stores.sql import SqlMetadata

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = timedelta(0)


@pytest.fixture
def metadata():
    made = SqlMetadata("sqlite://")
    yield made
    made.close()


@pytest.fixture
def blobs(tmp_path):
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def clock():
    return ReplayClock(START)


@pytest.fixture
def tracking(metadata, blobs, clock):
    return Tracking(metadata, blobs, clock)


def a_run(tracking, experiment="0", content=b"weights"):
    run = tracking.runs.create(experiment)
    tracking.runs.log(run.id, metrics=[Metric("loss", 0.5 - i / 10, i, i) for i in range(3)], params={"a": "1"})
    tracking.artifacts.put(f"{experiment}/{run.id}/artifacts/model.bin", io.BytesIO(content))
    return run


def remove(tracking, **options):
    return tracking.upkeep.remove(grace=-timedelta(minutes=1), **options)


def test_a_deleted_run_is_removed_with_its_points_and_bytes(tracking, blobs, metadata):
    run, kept = a_run(tracking), a_run(tracking, content=b"others")
    tracking.runs.delete(run.id)
    removed = remove(tracking)
    assert (removed.runs, removed.metric_points, removed.artifacts, removed.freed_bytes) == ((run.id,), 3, 1, 7)
    with pytest.raises(RunNotFound):
        tracking.runs.get(run.id)
    assert tracking.artifacts.children(f"0/{run.id}/artifacts") == []
    assert len(list(blobs.digests())) == 1
    assert tracking.runs.get(kept.id).latest == {"loss": 0.3}
    assert metadata.read(lambda r: r.lineage.node(run.id)).deleted == START


def test_a_dry_run_says_what_would_go_and_changes_nothing(tracking, blobs):
    run = a_run(tracking)
    tracking.runs.delete(run.id)
    would = remove(tracking, dry_run=True)
    assert (would.runs, would.metric_points, would.artifacts, would.bytes, would.blobs) == ((run.id,), 3, 1, 7, 1)
    assert tracking.runs.get(run.id).params == {"a": "1"}
    assert len(list(blobs.digests())) == 1


def test_content_that_another_run_has_too_stays(tracking, blobs):
    run, other = a_run(tracking), a_run(tracking)
    tracking.runs.delete(run.id)
    assert remove(tracking).freed_bytes == 0
    assert tracking.artifacts.open(f"0/{other.id}/artifacts/model.bin").read() == b"weights"


def test_content_that_was_just_stored_stays_for_a_while(tracking, blobs):
    run = a_run(tracking)
    tracking.runs.delete(run.id)
    assert tracking.upkeep.remove().freed_bytes == 0
    assert remove(tracking).freed_bytes == 7


def test_only_what_was_deleted_long_enough_ago_goes(tracking, clock):
    old, young = a_run(tracking), a_run(tracking)
    tracking.runs.delete(old.id)
    clock.move_to(START + timedelta(days=31))
    tracking.runs.delete(young.id)
    assert remove(tracking, older_than=timedelta(days=30)).runs == (old.id,)
    assert tracking.runs.get(young.id).lifecycle == "deleted"


def test_a_restored_run_is_not_removed(tracking, metadata):
    run = a_run(tracking)
    tracking.runs.delete(run.id)
    tracking.runs.restore(run.id)
    assert remove(tracking).runs == ()
    assert metadata.read(lambda r: r.lineage.node(run.id)).deleted is None


def test_a_run_that_is_not_deleted_is_refused(tracking):
    run = a_run(tracking)
    with pytest.raises(Conflict, match="hanok run delete"):
        remove(tracking, runs=[run.id])


def test_a_removed_experiment_takes_its_runs_and_models_and_frees_its_name(tracking):
    experiment = tracking.experiments.create("churn")
    run = a_run(tracking, experiment.id)
    model = tracking.logged_models.create(experiment.id, source_run_id=run.id)
    tracking.experiments.delete(experiment.id)
    removed = remove(tracking, experiments=[experiment.id])
    assert (removed.experiments, removed.runs, removed.logged_models) == ((experiment.id,), (run.id,), (model.id,))
    for gone in (lambda: tracking.experiments.get(experiment.id), lambda: tracking.experiments.named("churn")):
        with pytest.raises(ExperimentNotFound):
            gone()
    with pytest.raises(LoggedModelNotFound):
        tracking.logged_models.get(model.id)
    assert tracking.experiments.create("churn").name == "churn"


def test_traces_go_with_their_experiment(tracking, metadata):
    experiment = tracking.experiments.create("agents")
    trace = Trace(f"tr-{'a' * 32}", experiment.id, 1000)
    metadata.write(lambda r: r.traces.put(trace))
    tracking.experiments.delete(experiment.id)
    assert remove(tracking).traces == 1
    assert metadata.read(lambda r: r.traces.of([trace.id])) == []


def test_the_default_experiment_is_emptied_and_stays(tracking):
    a_run(tracking)
    tracking.experiments.delete("0")
    assert len(remove(tracking).runs) == 1
    assert tracking.experiments.get("0").lifecycle == "deleted"


def test_content_of_model_packages_and_statistics_is_never_taken(tracking, blobs, metadata):
    inner, _ = blobs.put(io.BytesIO(b"tree"))
    manifest, _ = blobs.put(io.BytesIO(b'{"files": {"model.txt": "' + inner.encode() + b'"}}'))
    noted, _ = blobs.put(io.BytesIO(b"statistics"))
    blobs.put(io.BytesIO(b"stray"))
    tracking.registry.create_model("churn")
    tracking.registry.register("churn", package=manifest)
    metadata.write(lambda r: r.records.put("statistics", "t", "b", {"digest": noted}, START))
    remove(tracking)
    assert set(blobs.digests()) == {inner, manifest, noted}


def test_runs_move_with_what_they_logged(tracking):
    target = tracking.experiments.create("churn")
    run = a_run(tracking)
    moved = tracking.upkeep.move([run.id], target.id)
    assert [(m.experiment_id, m.latest) for m in moved] == [(target.id, {"loss": 0.3})]
    assert [r.id for r in tracking.runs.search(RunQuery([target.id])).items] == [run.id]
    assert tracking.artifacts.children_under(run.artifact_uri)[0].path == "model.bin"


def test_a_moved_run_keeps_its_artifacts_when_its_old_experiment_is_removed(tracking):
    old, new = tracking.experiments.create("old"), tracking.experiments.create("new")
    run = a_run(tracking, old.id)
    tracking.upkeep.move([run.id], new.id)
    tracking.experiments.delete(old.id)
    remove(tracking)
    assert tracking.artifacts.open(f"{old.id}/{run.id}/artifacts/model.bin").read() == b"weights"


def test_runs_do_not_move_into_a_deleted_experiment(tracking):
    target = tracking.experiments.create("churn")
    tracking.experiments.delete(target.id)
    with pytest.raises(Invalid, match="restore"):
        tracking.upkeep.move([a_run(tracking).id], target.id)


def test_a_fork_goes_on_from_a_step(tracking, metadata):
    run = a_run(tracking)
    tracking.runs.log_inputs(run.id, [DatasetInput(Dataset("d" * 32, "d", "1", "local", ""))])
    fork = tracking.upkeep.fork(run.id, step=1)
    assert (fork.params, fork.latest, fork.status) == ({"a": "1"}, {"loss": 0.4}, "RUNNING")
    assert [p.step for p in tracking.runs.history(fork.id, "loss")] == [0, 1]
    assert fork.tags["hanok.forkedFrom"] == run.id
    edges = metadata.read(lambda r: r.lineage.neighbours(fork.id)).edges
    assert {Edge(fork.id, EdgeKind.READ, run.id), Edge(fork.id, EdgeKind.READ, "d" * 32)} <= set(edges)
    tracking.runs.log(fork.id, metrics=[Metric("loss", 0.1, 9, 2)])
    assert tracking.runs.get(run.id).latest == {"loss": 0.3}
