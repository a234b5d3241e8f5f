"""What cleaning up, importing, exporting and the history of stages get from the store, on every engine."""

import math
from datetime import UTC, datetime, timedelta

from hanok.core.evaluation import EvaluationDataset
from hanok.core.lineage import Node, NodeKind
from hanok.core.registry import ModelVersion, RegisteredModel, StageChange
from hanok.core.scorers import OnlineScoring, ScorerVersion
from hanok.core.tracking import DELETED, Artifact, Experiment, Metric, Run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN, OTHER = "a" * 32, "b" * 32


def a_run(r, run_id, experiment="0", **more):
    uri = f"mlflow-artifacts:/{experiment}/{run_id}/artifacts"
    r.runs.add(Run(run_id, experiment, run_id, NOW, uri, tags={"t": "1"}, **more))
    r.lineage.add([Node(run_id, NodeKind.RUN, run_id, NOW)])
    r.metrics.append(run_id, [Metric("loss", 0.5, 1, 0), Metric("loss", math.nan, 2, 1)])
    r.runs.add_params(run_id, {"p": "1"})
    r.artifacts.put(Artifact(f"{experiment}/{run_id}/artifacts/a", "d" * 64, 7), NOW)


def test_a_purged_run_leaves_no_row(metadata):
    metadata.write(lambda r: (a_run(r, RUN), a_run(r, OTHER)))
    removed = metadata.write(lambda r: r.tracking_upkeep.purge_runs([RUN]))
    assert removed == {"metric_points": 2, "artifacts": 1, "bytes": 7}
    for name in ("runs", "params", "tags", "metrics", "history"):
        table = metadata.read(lambda r, name=name: r.run_tables.table(name))
        assert set(table.column("run_id").to_pylist()) == {OTHER}, name


def test_runs_are_chosen_by_when_they_were_deleted(metadata):
    def work(r):
        for run_id, days in ((RUN, 1), (OTHER, 3)):
            a_run(r, run_id)
            run = r.runs.get(run_id)
            r.runs.put(Run(run.id, "0", run.name, NOW, run.artifact_uri, lifecycle=DELETED))
            r.lineage.tombstone(run_id, NOW + timedelta(days=days))

    metadata.write(work)
    assert metadata.read(lambda r: r.tracking_upkeep.deleted_runs(NOW + timedelta(days=2))) == [RUN]
    metadata.write(lambda r: r.lineage.tombstone(RUN, None))
    assert metadata.read(lambda r: r.lineage.node(RUN)).deleted is None


def test_an_imported_experiment_keeps_its_id_and_the_next_one_gets_a_free_one(metadata):
    made = metadata.write(lambda r: r.imports.add_experiment(Experiment("77", "churn", "", NOW, NOW)))
    assert (made.id, made.location) == ("77", "mlflow-artifacts:/77")
    taken = metadata.write(lambda r: r.imports.add_experiment(Experiment("77", "other", "", NOW, NOW)))
    fresh = metadata.write(lambda r: r.experiments.add(Experiment("", "fresh", "", NOW, NOW)))
    assert len({made.id, taken.id, fresh.id}) == 3


def test_an_imported_version_keeps_its_number(metadata):
    def work(r):
        r.registry.put_model(RegisteredModel("late", NOW, NOW))
        first = r.imports.add_version(ModelVersion("c" * 32, "late", 7, NOW, updated=NOW))
        again = r.imports.add_version(ModelVersion("d" * 32, "late", 7, NOW, updated=NOW))
        return first, again, r.registry.add_version(ModelVersion("e" * 32, "late", 0, NOW, updated=NOW)).version

    assert metadata.write(work) == (True, False, 8)


def test_tables_hold_runs_points_and_nan(metadata):
    metadata.write(lambda r: a_run(r, RUN))
    history = metadata.read(lambda r: r.run_tables.table("history", ["0"]))
    assert history.column("step").to_pylist() == [0, 1]
    assert [str(v) for v in history.column("value").to_pylist()] == ["0.5", "nan"]
    assert metadata.read(lambda r: r.run_tables.table("history", [])).num_rows == 0
    assert metadata.read(lambda r: r.run_tables.table("experiments")).column("name").to_pylist() == ["Default"]


def test_moved_runs_are_found_in_their_new_experiment(metadata):
    def work(r):
        a_run(r, RUN)
        target = r.experiments.add(Experiment("", "new", "", NOW, NOW))
        r.tracking_upkeep.move_runs([RUN], target.id)
        return target.id, r.tracking_upkeep.contents(target.id), r.tracking_upkeep.contents("0")

    _, there, here = metadata.write(work)
    assert (there, here) == (([RUN], []), ([], []))


def test_stages_are_remembered_newest_first_and_digests_are_found_in_documents(metadata):
    def work(r):
        for number in (1, 2):
            r.stage_history.add(StageChange(str(number), "late", number, "None", "Staging", NOW, "ann", "why"))
        r.records.put("statistics", "t", "b", {"digest": "e" * 64}, NOW)
        a_run(r, RUN)

    metadata.write(work)
    assert [c.version for c in metadata.read(lambda r: r.stage_history.of("late"))] == [2, 1]
    assert metadata.read(lambda r: r.blob_references.documents()) == {"e" * 64}
    assert metadata.read(lambda r: r.blob_references.direct()) == {"d" * 64}


def test_a_purged_experiment_takes_its_scorers_along_and_leaves_evaluation_data_without_it(metadata):
    def work(r):
        experiment = r.experiments.add(Experiment("", "gone", "", NOW, NOW))
        r.evaluation_datasets.put(EvaluationDataset("d-1", "d", "x", NOW, NOW, experiment_ids=("0", experiment.id)))
        r.scorers.add(ScorerVersion("sc-1", experiment.id, "tone", 1, "{}", NOW))
        r.scorers.put_online(OnlineScoring("oc-1", "sc-1", experiment.id, 0.5))
        r.tracking_upkeep.purge_experiment(experiment.id)
        return experiment.id

    gone = metadata.write(work)
    assert metadata.read(lambda r: r.evaluation_datasets.get("d-1")).experiment_ids == ("0",)
    assert metadata.read(lambda r: r.scorers.latest(gone) + r.scorers.online(["sc-1"])) == []
