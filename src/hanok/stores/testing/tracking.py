"""Experiments, runs and what they log."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hanok.core.clock import micros
from hanok.core.errors import AlreadyExists, ExperimentNotFound, RunDeleted, RunNotFound
from hanok.core.tracking import (
    DELETED,
    All,
    AnyOf,
    Comparison,
    CurveBin,
    Dataset,
    DatasetInput,
    Experiment,
    Metric,
    ModelOutput,
    Order,
    Run,
    RunListing,
    RunQuery,
)
from hanok.stores.testing.shared import NOW


def a_run(run_id: Any, *, experiment: Any = "0", minutes: Any = 0, **more: Any) -> Any:
    started = NOW + timedelta(minutes=minutes)
    return Run(run_id, experiment, run_id, started, f"mlflow-artifacts:/{experiment}/{run_id}/artifacts", **more)


def logged_run(store: Any) -> Any:
    store.write(lambda r: r.runs.add(a_run("a" * 32)))
    return "a" * 32


def search(store: Any, *parts: Any, **more: Any) -> Any:
    query = RunQuery(["0"], filter=All(parts), **more)
    return [found.id for found in store.read(lambda r: r.runs.search(query))]


def three_runs(store: Any) -> Any:
    def work(r: Any) -> Any:
        for number, (run_id, loss) in enumerate((("a", 0.1), ("b", math.nan), ("c", 0.3))):
            r.runs.add(a_run(run_id, minutes=number, tags={"t": f"T{number}"}))
            r.metrics.append(run_id, [Metric("loss", loss, 1), Metric("only_" + run_id, 1.0, 1)])
            r.runs.add_params(run_id, {"p": str(number)})
        data = Dataset("d", "flights", "12", "local", "x")
        r.run_links.add_datasets("b", [DatasetInput(data, {"mlflow.data.context": "train"})])

    store.write(work)
    return store


class ExperimentsContract:
    def test_a_new_home_has_the_default_experiment(self, store: Any) -> None:
        found = store.read(lambda r: r.experiments.get("0"))
        assert (found.name, found.location) == ("Default", "mlflow-artifacts:/0")

    def test_an_experiment_gets_the_next_number_and_a_place_for_artifacts(self, store: Any) -> None:
        made = store.write(lambda r: r.experiments.add(Experiment("", "x", "", NOW, NOW, tags={"a": "b"})))
        assert (made.id, made.location) == ("1", "mlflow-artifacts:/1")
        assert store.read(lambda r: r.experiments.named("x")) == made

    def test_a_name_is_taken_even_by_a_deleted_experiment(self, store: Any) -> None:
        store.write(lambda r: r.experiments.add(Experiment("", "x", "", NOW, NOW, lifecycle=DELETED)))
        with pytest.raises(AlreadyExists):
            store.write(lambda r: r.experiments.add(Experiment("", "x", "", NOW, NOW)))

    @pytest.mark.parametrize("experiment_id", ["7", "", "x", "-1", "9" * 30, "٣"])
    def test_an_unknown_experiment_is_not_found(self, store: Any, experiment_id: Any) -> None:
        with pytest.raises(ExperimentNotFound):
            store.read(lambda r: r.experiments.get(experiment_id))

    def test_a_changed_experiment_keeps_its_id_and_gives_its_name_free(self, store: Any) -> None:
        made = store.write(lambda r: r.experiments.add(Experiment("", "é", "", NOW, NOW, tags={"a": "한"})))
        store.write(lambda r: r.experiments.put(replace(made, name="new", lifecycle=DELETED, tags={})))
        found = store.read(lambda r: r.experiments.get(made.id))
        assert (found.name, found.lifecycle, found.tags, found.location) == ("new", DELETED, {}, made.location)
        store.write(lambda r: r.experiments.add(Experiment("", "é", "", NOW, NOW)))
        with pytest.raises(AlreadyExists):
            store.write(lambda r: r.experiments.put(replace(made, name="Default")))
        listed = store.read(lambda r: r.experiments.all())
        assert {e.name for e in listed} == {"Default", "new", "é"}
        assert [e.created for e in listed] == sorted((e.created for e in listed), reverse=True)
        assert store.read(lambda r: r.experiments.named("none")) is None

    def test_numbers_of_experiments_are_given_once_to_concurrent_writers(self, store: Any) -> None:
        def add(i: Any) -> Any:
            return store.write(lambda r: r.experiments.add(Experiment("", f"x{i}", "", NOW, NOW))).id

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(add, range(24)))) == 24


class RunsContract:
    def test_a_param_keeps_its_first_value_and_says_so(self, store: Any) -> None:
        run = logged_run(store)
        assert store.write(lambda r: r.runs.add_params(run, {"p": "1"})) == {"p": "1"}
        assert store.write(lambda r: r.runs.add_params(run, {"p": "2", "q": "3"})) == {"p": "1", "q": "3"}

    def test_nothing_is_written_to_a_deleted_or_an_unknown_run(self, store: Any) -> None:
        run = logged_run(store)
        store.write(lambda r: r.runs.put(a_run(run, lifecycle=DELETED)))
        for refusal, run_id in ((RunDeleted, run), (RunNotFound, "b" * 32)):
            for work in (
                lambda r, i=run_id: r.metrics.append(i, [Metric("m", 1.0, 1)]),
                lambda r, i=run_id: r.runs.add_params(i, {"p": "1"}),
                lambda r, i=run_id: r.runs.set_tags(i, {"t": "1"}),
                lambda r, i=run_id: r.run_links.add_models_read(i, ["m-1"]),
            ):
                with pytest.raises(refusal):
                    store.write(work)

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (Comparison("metric", "loss", "<", 0.2), ["a"]),
            (Comparison("metric", "loss", "!=", 9), ["c", "b", "a"]),  # no number is unequal to every number
            (Comparison("metric", "only_b", "IS NULL"), ["c", "a"]),
            (Comparison("metric", "only_b", "IS NOT NULL"), ["b"]),
            (Comparison("param", "p", "=", "1"), ["b"]),
            (Comparison("param", "p", "!=", "1"), ["c", "a"]),
            (Comparison("param", "absent", "!=", "1"), []),
            (Comparison("tag", "t", "LIKE", "T%"), ["c", "b", "a"]),
            (Comparison("tag", "t", "LIKE", "t%"), []),
            (Comparison("tag", "t", "ILIKE", "t_"), ["c", "b", "a"]),
            (Comparison("tag", "t", "LIKE", "*"), []),
            (Comparison("attribute", "run_id", "IN", ("a", "c")), ["c", "a"]),
            (Comparison("attribute", "run_id", "NOT IN", ("a", "c")), ["b"]),
            (Comparison("attribute", "start_time", ">", NOW.timestamp() * 1000), ["c", "b"]),
            (Comparison("attribute", "end_time", "IS NULL"), ["c", "b", "a"]),
            (Comparison("dataset", "name", "=", "flights"), ["b"]),
            (Comparison("dataset", "context", "=", "test"), []),
            (AnyOf((Comparison("param", "p", "=", "0"), Comparison("param", "p", "=", "2"))), ["c", "a"]),
            (AnyOf(()), []),
        ],
    )
    def test_runs_are_found_by_what_they_logged_newest_first(self, store: Any, wanted: Any, found: Any) -> None:
        three = three_runs(store)
        assert search(three, wanted) == found

    @pytest.mark.parametrize(
        ("order", "found"),
        [
            (Order("metric", "loss"), ["a", "c", "b"]),
            (Order("metric", "loss", ascending=False), ["c", "a", "b"]),
            (Order("metric", "only_a", ascending=False), ["a", "c", "b"]),
            (Order("param", "p", ascending=False), ["c", "b", "a"]),
            (Order("attribute", "run_name"), ["a", "b", "c"]),
        ],
    )
    def test_missing_values_and_nan_come_last_in_both_directions(self, store: Any, order: Any, found: Any) -> None:
        three = three_runs(store)
        assert search(three, order=[order]) == found

    def test_a_search_is_paged_and_looks_only_where_it_is_told(self, store: Any) -> None:
        three = three_runs(store)
        assert search(three, limit=2) == ["c", "b"]
        assert search(three, limit=2, offset=2) == ["a"]
        assert search(three, lifecycles=[DELETED]) == []
        assert three.read(lambda r: r.runs.search(RunQuery(["1", "nonsense"]))) == []

    def test_a_filter_value_is_never_read_as_sql(self, store: Any) -> None:
        three = three_runs(store)
        assert search(three, Comparison("tag", "t'); DROP TABLE run; --", "=", "' OR 1=1 --")) == []
        assert len(search(three)) == 3

    def test_a_found_run_carries_everything_it_logged(self, store: Any) -> None:
        three = three_runs(store)
        found = three.read(lambda r: r.runs.search(RunQuery(["0"], filter=Comparison("param", "p", "=", "1"))))[0]
        assert found == three.read(lambda r: r.runs.get("b"))
        assert (found.params, found.tags, found.datasets[0].dataset.name) == ({"p": "1"}, {"t": "T1"}, "flights")

    def test_a_run_that_is_added_again_stays_as_it_is(self, store: Any) -> None:
        run = logged_run(store)
        store.write(lambda r: r.runs.add(a_run(run, tags={"other": "1"})))
        store.write(lambda r: r.runs.set_tags(run, {"é": "한", "b": "2"}))
        assert store.read(lambda r: r.runs.get(run)).tags == {"é": "한", "b": "2"}
        assert store.write(lambda r: r.runs.delete_tag(run, "b")) and not store.write(
            lambda r: r.runs.delete_tag(run, "b")
        )
        store.write(lambda r: r.runs.put(a_run(run, status="FINISHED", ended=NOW)))
        found = store.read(lambda r: r.runs.get(run))
        assert (found.status, found.ended, found.tags) == ("FINISHED", NOW, {"é": "한"})
        with pytest.raises(RunNotFound):
            store.read(lambda r: r.runs.get("f" * 32))

    def test_concurrent_writers_of_a_param_all_see_the_one_value_that_was_kept(self, store: Any) -> None:
        run = logged_run(store)
        with ThreadPoolExecutor(8) as pool:
            seen = list(
                pool.map(lambda i: store.write(lambda r: r.runs.add_params(run, {"p": str(i)}))["p"], range(16))
            )
        assert len(set(seen)) == 1 and store.read(lambda r: r.runs.get(run)).params == {"p": seen[0]}


class RunLinksContract:
    def test_datasets_and_models_of_a_run_are_kept_once(self, store: Any) -> None:
        run = logged_run(store)
        data = Dataset("d" * 32, "flights", "12", "local", "é", "{}", "{}")
        for _ in range(2):
            store.write(lambda r: r.run_links.add_datasets(run, [DatasetInput(data, {"mlflow.data.context": "train"})]))
            store.write(lambda r: r.run_links.add_models_read(run, ["m-1"]))
            store.write(lambda r: r.run_links.add_models_written(run, [ModelOutput("m-2", 2**40)]))
        found = store.read(lambda r: r.runs.get(run))
        assert (found.datasets, found.models_read) == (
            (DatasetInput(data, {"mlflow.data.context": "train"}),),
            ("m-1",),
        )
        assert found.models_written == (ModelOutput("m-2", 2**40),)
        expected = [("0", "flights", "12", "train")]
        assert store.read(lambda r: r.run_links.datasets_of(["0", "7"], limit=10)) == expected
        assert store.read(lambda r: r.run_links.datasets_of(["7"], limit=10)) == []
        with pytest.raises(RunNotFound):
            store.write(lambda r: r.run_links.add_datasets("f" * 32, [DatasetInput(data)]))


class RunListingsContract:
    def test_a_listing_holds_what_the_found_runs_hold(self, store: Any) -> None:
        three = three_runs(store)
        three.write(lambda r: r.run_links.add_models_read("a", ["m-1"]))
        three.write(lambda r: r.run_links.add_models_written("a", [ModelOutput("m-2", 3)]))
        three.write(lambda r: r.runs.add_params("c", {'quo"ted': "ö\n\t\\"}))
        query = RunQuery(["0"], order=[Order("metric", "loss")], limit=10)
        found, listed = three.read(lambda r: (r.runs.search(query), r.run_listings.page(query)))
        assert [row.id for row in listed.rows] == [run.id for run in found] == ["a", "c", "b"]
        for row, run in zip(listed.rows, found, strict=True):
            assert (row.name, row.status, row.lifecycle, row.artifact_uri) == (
                run.name,
                run.status,
                run.lifecycle,
                run.artifact_uri,
            )
            assert (row.started_us, row.ended_us) == (micros(run.started), None)
            assert sorted(map(repr, listed.metrics[row.key])) == sorted(repr(tuple(m)) for m in run.metrics)
            for pairs, held in ((listed.params, run.params), (listed.tags, run.tags)):
                assert {p["key"]: p["value"] for p in json.loads(pairs.get(row.key, "[]"))} == held
            assert tuple(listed.datasets.get(row.key, ())) == run.datasets
            assert tuple(m.model_id for m in listed.models_read.get(row.key, ())) == run.models_read
            assert tuple(listed.models_written.get(row.key, ())) == run.models_written
        assert three.read(lambda r: r.run_listings.page(RunQuery(["1"]))) == RunListing()

    def test_a_listed_history_holds_the_points_of_the_metric(self, store: Any) -> None:
        run = logged_run(store)
        points = [Metric("m", float(i), 10 + i, i) for i in range(5)] + [Metric("m", math.nan, 99, 9)]
        store.write(lambda r: r.metrics.append(run, points))
        rows = store.read(lambda r: r.run_listings.history(run, "m", after=points[2], limit=10))
        assert [tuple(row) for row in rows] == [(3, 13, 3.0), (4, 14, 4.0), (9, 99, None)]
        assert len(store.read(lambda r: r.run_listings.history(run, "m", after=None, limit=2))) == 2


class RunOverviewContract:
    def test_runs_are_counted_without_their_page(self, store: Any) -> None:
        store.write(lambda r: [r.runs.add(a_run(f"{i:032x}")) for i in range(5)])
        query = RunQuery(["0"], filter=Comparison("attribute", "run_id", "!=", f"{0:032x}"), limit=2, offset=1)
        assert store.read(lambda r: r.run_overview.count(query)) == 4

    def test_a_curve_is_thinned_to_its_smallest_largest_and_mean_values(self, store: Any) -> None:
        run = logged_run(store)
        points = [Metric("loss", float(i % 10), i, step=i) for i in range(1000)]
        store.write(
            lambda r: r.metrics.append(run, [*points, Metric("loss", math.nan, 0, 5), Metric("loss", math.inf, 0, 6)])
        )
        assert store.read(lambda r: r.run_overview.extent([run], "loss", "step")) == (0, 999)
        curves = store.read(lambda r: r.run_overview.curves([run, "f" * 32], "loss", "step", low=0, high=999, bins=100))
        assert list(curves) == [run] and len(curves[run].bins) == 100
        assert curves[run].bins[0] == CurveBin(4.5, 0.0, 9.0, 4.5)
        part = store.read(lambda r: r.run_overview.curves([run], "loss", "step", low=20, high=22, bins=100))
        assert [b.x for b in part[run].bins] == [20, 21, 22]

    def test_a_curve_over_time_begins_where_its_run_began(self, store: Any) -> None:
        run = logged_run(store)
        began = int(NOW.timestamp() * 1000)
        points = [Metric("loss", 1.0, began + 1000 * i, step=-i) for i in range(3)]
        store.write(lambda r: r.metrics.append(run, points))
        assert store.read(lambda r: r.run_overview.extent([run], "loss", "time")) == (0, 2000)
        assert store.read(lambda r: r.run_overview.extent([run], "nothing", "time")) is None

    def test_steps_may_be_as_far_apart_as_integers_go(self, store: Any) -> None:
        run = logged_run(store)
        store.write(lambda r: r.metrics.append(run, [Metric("m", 1.0, 0, s) for s in (-(2**62), 0, 2**62)]))
        low, high = store.read(lambda r: r.run_overview.extent([run], "m", "step"))
        found = store.read(lambda r: r.run_overview.curves([run], "m", "step", low=low, high=high, bins=50))
        assert len(found[run].bins) == 3
