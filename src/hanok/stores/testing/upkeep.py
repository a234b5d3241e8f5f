"""Cleaning up, export, and what content is still wanted."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from hanok.core.evaluation import EvaluationDataset
from hanok.core.lineage import Node, NodeKind
from hanok.core.registry import StageChange
from hanok.core.scorers import OnlineScoring, ScorerVersion
from hanok.core.tracking import DELETED, Artifact, Experiment, Metric, Run
from hanok.stores.testing.shared import NOW

RUN, OTHER = "a" * 32, "b" * 32


def a_run(r: Any, run_id: Any, experiment: Any = "0", **more: Any) -> Any:
    uri = f"mlflow-artifacts:/{experiment}/{run_id}/artifacts"
    r.runs.add(Run(run_id, experiment, run_id, NOW, uri, tags={"t": "1"}, **more))
    r.lineage.add([Node(run_id, NodeKind.RUN, run_id, NOW)])
    r.metrics.append(run_id, [Metric("loss", 0.5, 1, 0), Metric("loss", math.nan, 2, 1)])
    r.runs.add_params(run_id, {"p": "1"})
    r.artifacts.put(Artifact(f"{experiment}/{run_id}/artifacts/a", "d" * 64, 7), NOW)


class TrackingUpkeepContract:
    def test_a_purged_run_leaves_no_row(self, store: Any) -> None:
        store.write(lambda r: (a_run(r, RUN), a_run(r, OTHER)))
        removed = store.write(lambda r: r.tracking_upkeep.purge_runs([RUN]))
        assert removed == {"metric_points": 2, "artifacts": 1, "bytes": 7}
        for name in ("runs", "params", "tags", "metrics", "history"):
            table = store.read(lambda r, name=name: r.run_tables.table(name))
            assert set(table.column("run_id").to_pylist()) == {OTHER}, name

    def test_runs_are_chosen_by_when_they_were_deleted(self, store: Any) -> None:
        def work(r: Any) -> Any:
            for run_id, days in ((RUN, 1), (OTHER, 3)):
                a_run(r, run_id)
                run = r.runs.get(run_id)
                r.runs.put(Run(run.id, "0", run.name, NOW, run.artifact_uri, lifecycle=DELETED))
                r.lineage.tombstone(run_id, NOW + timedelta(days=days))

        store.write(work)
        assert store.read(lambda r: r.tracking_upkeep.deleted_runs(NOW + timedelta(days=2))) == [RUN]
        store.write(lambda r: r.lineage.tombstone(RUN, None))
        assert store.read(lambda r: r.lineage.node(RUN)).deleted is None

    def test_moved_runs_are_found_in_their_new_experiment(self, store: Any) -> None:
        def work(r: Any) -> Any:
            a_run(r, RUN)
            target = r.experiments.add(Experiment("", "new", "", NOW, NOW))
            r.tracking_upkeep.move_runs([RUN], target.id)
            return target.id, r.tracking_upkeep.contents(target.id), r.tracking_upkeep.contents("0")

        _, there, here = store.write(work)
        assert (there, here) == (([RUN], []), ([], []))

    def test_a_purged_experiment_takes_its_scorers_along_and_leaves_evaluation_data_without_it(
        self, store: Any
    ) -> None:
        def work(r: Any) -> Any:
            experiment = r.experiments.add(Experiment("", "gone", "", NOW, NOW))
            r.evaluation_datasets.put(EvaluationDataset("d-1", "d", "x", NOW, NOW, experiment_ids=("0", experiment.id)))
            r.scorers.add(ScorerVersion("sc-1", experiment.id, "tone", 1, "{}", NOW))
            r.scorers.put_online(OnlineScoring("oc-1", "sc-1", experiment.id, 0.5))
            r.tracking_upkeep.purge_experiment(experiment.id)
            return experiment.id

        gone = store.write(work)
        assert store.read(lambda r: r.evaluation_datasets.get("d-1")).experiment_ids == ("0",)
        assert store.read(lambda r: r.scorers.latest(gone) + r.scorers.online(["sc-1"])) == []


class BlobReferencesContract:
    def test_stages_are_remembered_newest_first_and_digests_are_found_in_documents(self, store: Any) -> None:
        def work(r: Any) -> Any:
            for number in (1, 2):
                r.stage_history.add(StageChange(str(number), "late", number, "None", "Staging", NOW, "ann", "why"))
            r.records.put("statistics", "t", "b", {"digest": "e" * 64}, NOW)
            a_run(r, RUN)

        store.write(work)
        assert [c.version for c in store.read(lambda r: r.stage_history.of("late"))] == [2, 1]
        assert store.read(lambda r: r.blob_references.documents()) == {"e" * 64}
        assert store.read(lambda r: r.blob_references.direct()) == {"d" * 64}


class RunTablesContract:
    def test_tables_hold_runs_points_and_nan(self, store: Any) -> None:
        store.write(lambda r: a_run(r, RUN))
        history = store.read(lambda r: r.run_tables.table("history", ["0"]))
        assert history.column("step").to_pylist() == [0, 1]
        assert [str(v) for v in history.column("value").to_pylist()] == ["0.5", "nan"]
        assert store.read(lambda r: r.run_tables.table("history", [])).num_rows == 0
        assert store.read(lambda r: r.run_tables.table("experiments")).column("name").to_pylist() == ["Default"]
