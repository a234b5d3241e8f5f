"""What runs log: metrics, logged models, artifacts."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hanok.core.errors import Conflict, LoggedModelNotFound
from hanok.core.tracking import DELETED, Artifact, LoggedModel, Metric, ModelMetric
from hanok.stores.testing.shared import NOW
from hanok.stores.testing.tracking import logged_run


class MetricsContract:
    def test_a_repeated_batch_of_metrics_has_one_effect(self, store: Any) -> None:
        run = logged_run(store)
        points = [Metric("loss", 0.5, 1, 1), Metric("loss", math.nan, 1, 1), Metric("loss", math.inf, 2, 1)]
        for _ in range(3):
            store.write(lambda r: r.metrics.append(run, points))
        history = store.read(lambda r: r.metrics.history(run, "loss"))
        assert [repr(point.value) for point in history] == ["nan", "0.5", "inf"]

    def test_the_latest_value_is_the_one_with_the_highest_step_then_time_whatever_the_order_of_arrival(
        self, store: Any
    ) -> None:
        run = logged_run(store)
        for point in (Metric("m", 1.0, 5, 2), Metric("m", 2.0, 9, 1), Metric("m", 3.0, 6, 2), Metric("m", 0.0, 6, 2)):
            store.write(lambda r, point=point: r.metrics.append(run, [point]))
        assert store.read(lambda r: r.metrics.latest([run])) == {run: (Metric("m", 3.0, 6, 2),)}

    def test_pages_of_a_history_join_to_the_whole(self, store: Any) -> None:
        run = logged_run(store)
        points = [Metric("m", float(i % 3), i // 4, i // 2) for i in range(40)]
        store.write(lambda r: r.metrics.append(run, points))
        whole, pages, after = store.read(lambda r: r.metrics.history(run, "m")), [], None
        while page := store.read(lambda r, after=after: r.metrics.history(run, "m", after=after, limit=7)):
            pages += page
            after = page[-1]
        assert pages == whole and len(whole) == 40

    def test_a_deleted_metric_leaves_neither_points_nor_a_latest_value(self, store: Any) -> None:
        run = logged_run(store)
        store.write(lambda r: r.metrics.append(run, [Metric("m", 1.0, 1), Metric("n", 1.0, 1)]))
        store.write(lambda r: r.metrics.delete(run, "m"))
        assert store.read(lambda r: r.metrics.history(run, "m")) == []
        assert store.read(lambda r: r.runs.get(run)).latest == {"n": 1.0}

    def test_numbers_are_kept_exactly(self, store: Any) -> None:
        run = logged_run(store)
        values = [0.1, -0.0, 1e-308, 1.7976931348623157e308, 2.0**53 + 2, 5e-324]
        points = [Metric("é/한", v, 2**52 + i, -(2**62) + i) for i, v in enumerate(values)]
        store.write(lambda r: r.metrics.append(run, points))
        assert store.read(lambda r: r.metrics.history(run, "é/한")) == points

    def test_concurrent_writers_of_one_metric_lose_no_point(self, store: Any) -> None:
        run = logged_run(store)

        def append(i: Any) -> Any:
            store.write(
                lambda r: r.metrics.append(run, [Metric("m", float(j), j, j) for j in range(i * 50, i * 50 + 50)])
            )

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(append, range(8)))
        assert len(store.read(lambda r: r.metrics.history(run, "m"))) == 400
        assert store.read(lambda r: r.metrics.latest([run]))[run][0].value == 399.0


class LoggedModelsContract:
    def test_a_logged_model_comes_back_is_changed_and_carries_its_metrics(self, store: Any) -> None:
        def a_model(name: Any, seconds: Any = 0, **more: Any) -> Any:
            made = NOW + timedelta(seconds=seconds)
            return LoggedModel(f"m-{name}", "0", name, f"mlflow-artifacts:/0/models/{name}", made, made, **more)

        store.write(
            lambda r: [r.logged_models.add(a_model("a", params={"é": "한"})), r.logged_models.add(a_model("b", 1))]
        )
        measured = [
            ModelMetric("m-a", "r", Metric("auc", 0.5, 1, 2**40), "d", "1"),
            ModelMetric("m-a", "r", Metric("auc", math.nan, 2, 1)),
        ]
        for _ in range(2):
            store.write(lambda r: r.logged_models.add_metrics(measured))
        found = store.read(lambda r: r.logged_models.get("m-a"))
        assert found.params == {"é": "한"} and sorted(map(repr, found.metrics)) == sorted(map(repr, measured))
        assert [m.id for m in store.read(lambda r: r.logged_models.of_experiments(["0"]))] == ["m-b", "m-a"]
        store.write(
            lambda r: r.logged_models.put(replace(a_model("b", 1), status="READY", lifecycle=DELETED, tags={"t": "1"}))
        )
        assert store.read(lambda r: r.logged_models.get("m-b")).status == "READY"
        assert [m.id for m in store.read(lambda r: r.logged_models.of_experiments(["0", "7"]))] == ["m-a"]
        with pytest.raises(LoggedModelNotFound):
            store.read(lambda r: r.logged_models.get("m-none"))


class ArtifactsContract:
    def test_the_artifact_tree_lists_files_and_folders(self, store: Any) -> None:
        def work(r: Any) -> Any:
            for path in ("1/a/x.txt", "1/a/m/MLmodel", "1/a/m/deep/er/f", "1/b/y", "10/z"):
                r.artifacts.put(Artifact(path, "d" * 64, 3), NOW)

        store.write(work)

        def children(folder: Any) -> Any:
            return [(a.path, a.is_folder) for a in store.read(lambda r: r.artifacts.children(folder))]

        assert children("1/a") == [("1/a/m", True), ("1/a/x.txt", False)]
        assert children("1/a/m") == [("1/a/m/MLmodel", False), ("1/a/m/deep", True)]
        assert children("") == [("1", True), ("10", True)]
        assert children("1/a/x.txt") == [] == children("nothing")

    def test_a_file_cannot_lie_where_a_folder_is_nor_below_a_file(self, store: Any) -> None:
        store.write(lambda r: r.artifacts.put(Artifact("1/a/f", "d" * 64, 3), NOW))
        for path in ("1/a", "1/a/f/g"):
            with pytest.raises(Conflict):
                store.write(lambda r, path=path: r.artifacts.put(Artifact(path, "e" * 64, 3), NOW))

    def test_deleting_a_folder_takes_what_is_below_and_nothing_beside(self, store: Any) -> None:
        def work(r: Any) -> Any:
            for path in ("1/a/f", "1/a/m/g", "1/ab"):
                r.artifacts.put(Artifact(path, "d" * 64, 3), NOW)
            return r.artifacts.delete("1/a")

        assert store.write(work) == 2
        assert store.read(lambda r: r.artifacts.get("1/ab")) is not None

    def test_a_file_is_replaced_and_its_digest_told(self, store: Any) -> None:
        store.write(lambda r: r.artifacts.put(Artifact("1/é/한.txt", "d" * 64, 2**40), NOW))
        store.write(lambda r: r.artifacts.put(Artifact("1/é/한.txt", "e" * 64, 5), NOW))
        assert store.read(lambda r: r.artifacts.get("1/é/한.txt")) == Artifact("1/é/한.txt", "e" * 64, 5)
        assert store.read(lambda r: r.artifacts.digests()) == {"e" * 64}
        assert store.read(lambda r: r.artifacts.get("1/é")).is_folder
        assert store.read(lambda r: r.artifacts.get("1/none")) is None
        assert (
            store.write(lambda r: r.artifacts.delete("1/é")) == 1
            and store.write(lambda r: r.artifacts.delete("1/é")) == 0
        )
        store.read(lambda r: r.artifacts.check_free("1/é"))
