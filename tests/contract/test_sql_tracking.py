"""What the tracking repositories promise, on every engine of conftest.py."""

import json
import math
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from hanok.core.clock import micros
from hanok.core.errors import AlreadyExists, Conflict, ExperimentNotFound, RunDeleted, RunNotFound
from hanok.core.tracking import (
    DELETED,
    All,
    AnyOf,
    Artifact,
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
from hanok.stores.sql import SqlMetadata
from hanok.stores.sql.rows import driver

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_run(run_id, *, experiment="0", minutes=0, **more):
    started = NOW + timedelta(minutes=minutes)
    return Run(run_id, experiment, run_id, started, f"mlflow-artifacts:/{experiment}/{run_id}/artifacts", **more)


@pytest.fixture
def run(metadata):
    metadata.write(lambda r: r.runs.add(a_run("a" * 32)))
    return "a" * 32


def search(metadata, *parts, **more):
    query = RunQuery(["0"], filter=All(parts), **more)
    return [found.id for found in metadata.read(lambda r: r.runs.search(query))]


def test_a_new_home_has_the_default_experiment(metadata):
    found = metadata.read(lambda r: r.experiments.get("0"))
    assert (found.name, found.location) == ("Default", "mlflow-artifacts:/0")


def test_an_experiment_gets_the_next_number_and_a_place_for_artifacts(metadata):
    made = metadata.write(lambda r: r.experiments.add(Experiment("", "x", "", NOW, NOW, tags={"a": "b"})))
    assert (made.id, made.location) == ("1", "mlflow-artifacts:/1")
    assert metadata.read(lambda r: r.experiments.named("x")) == made


def test_a_name_is_taken_even_by_a_deleted_experiment(metadata):
    metadata.write(lambda r: r.experiments.add(Experiment("", "x", "", NOW, NOW, lifecycle=DELETED)))
    with pytest.raises(AlreadyExists):
        metadata.write(lambda r: r.experiments.add(Experiment("", "x", "", NOW, NOW)))


@pytest.mark.parametrize("experiment_id", ["7", "", "x", "-1", "9" * 30, "٣"])
def test_an_unknown_experiment_is_not_found(metadata, experiment_id):
    with pytest.raises(ExperimentNotFound):
        metadata.read(lambda r: r.experiments.get(experiment_id))


def test_a_repeated_batch_of_metrics_has_one_effect(metadata, run):
    points = [Metric("loss", 0.5, 1, 1), Metric("loss", math.nan, 1, 1), Metric("loss", math.inf, 2, 1)]
    for _ in range(3):
        metadata.write(lambda r: r.metrics.append(run, points))
    history = metadata.read(lambda r: r.metrics.history(run, "loss"))
    assert [repr(point.value) for point in history] == ["nan", "0.5", "inf"]


def test_the_latest_value_is_the_one_with_the_highest_step_then_time_whatever_the_order_of_arrival(metadata, run):
    for point in (Metric("m", 1.0, 5, 2), Metric("m", 2.0, 9, 1), Metric("m", 3.0, 6, 2), Metric("m", 0.0, 6, 2)):
        metadata.write(lambda r, point=point: r.metrics.append(run, [point]))
    assert metadata.read(lambda r: r.metrics.latest([run])) == {run: (Metric("m", 3.0, 6, 2),)}


def test_pages_of_a_history_join_to_the_whole(metadata, run):
    points = [Metric("m", float(i % 3), i // 4, i // 2) for i in range(40)]
    metadata.write(lambda r: r.metrics.append(run, points))
    whole, pages, after = metadata.read(lambda r: r.metrics.history(run, "m")), [], None
    while page := metadata.read(lambda r: r.metrics.history(run, "m", after=after, limit=7)):
        pages += page
        after = page[-1]
    assert pages == whole and len(whole) == 40


def test_a_deleted_metric_leaves_neither_points_nor_a_latest_value(metadata, run):
    metadata.write(lambda r: r.metrics.append(run, [Metric("m", 1.0, 1), Metric("n", 1.0, 1)]))
    metadata.write(lambda r: r.metrics.delete(run, "m"))
    assert metadata.read(lambda r: r.metrics.history(run, "m")) == []
    assert metadata.read(lambda r: r.runs.get(run)).latest == {"n": 1.0}


def test_a_param_keeps_its_first_value_and_says_so(metadata, run):
    assert metadata.write(lambda r: r.runs.add_params(run, {"p": "1"})) == {"p": "1"}
    assert metadata.write(lambda r: r.runs.add_params(run, {"p": "2", "q": "3"})) == {"p": "1", "q": "3"}


def test_nothing_is_written_to_a_deleted_or_an_unknown_run(metadata, run):
    metadata.write(lambda r: r.runs.put(a_run(run, lifecycle=DELETED)))
    for refusal, run_id in ((RunDeleted, run), (RunNotFound, "b" * 32)):
        for work in (
            lambda r, i=run_id: r.metrics.append(i, [Metric("m", 1.0, 1)]),
            lambda r, i=run_id: r.runs.add_params(i, {"p": "1"}),
            lambda r, i=run_id: r.runs.set_tags(i, {"t": "1"}),
            lambda r, i=run_id: r.run_links.add_models_read(i, ["m-1"]),
        ):
            with pytest.raises(refusal):
                metadata.write(work)


@pytest.fixture
def three(metadata):
    def work(r):
        for number, (run_id, loss) in enumerate((("a", 0.1), ("b", math.nan), ("c", 0.3))):
            r.runs.add(a_run(run_id, minutes=number, tags={"t": f"T{number}"}))
            r.metrics.append(run_id, [Metric("loss", loss, 1), Metric("only_" + run_id, 1.0, 1)])
            r.runs.add_params(run_id, {"p": str(number)})
        data = Dataset("d", "flights", "12", "local", "x")
        r.run_links.add_datasets("b", [DatasetInput(data, {"mlflow.data.context": "train"})])

    metadata.write(work)
    return metadata


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Comparison("metric", "loss", "<", 0.2), ["a"]),
        (Comparison("metric", "loss", "!=", 9), ["c", "a"]),
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
def test_runs_are_found_by_what_they_logged_newest_first(three, wanted, found):
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
def test_missing_values_and_nan_come_last_in_both_directions(three, order, found):
    assert search(three, order=[order]) == found


def test_a_search_is_paged_and_looks_only_where_it_is_told(three):
    assert search(three, limit=2) == ["c", "b"]
    assert search(three, limit=2, offset=2) == ["a"]
    assert search(three, lifecycles=[DELETED]) == []
    assert three.read(lambda r: r.runs.search(RunQuery(["1", "nonsense"]))) == []


def test_a_filter_value_is_never_read_as_sql(three):
    assert search(three, Comparison("tag", "t'); DROP TABLE run; --", "=", "' OR 1=1 --")) == []
    assert len(search(three)) == 3


def test_a_found_run_carries_everything_it_logged(three):
    found = three.read(lambda r: r.runs.search(RunQuery(["0"], filter=Comparison("param", "p", "=", "1"))))[0]
    assert found == three.read(lambda r: r.runs.get("b"))
    assert (found.params, found.tags, found.datasets[0].dataset.name) == ({"p": "1"}, {"t": "T1"}, "flights")


def test_the_search_for_a_metric_goes_through_primary_keys(tmp_path):
    SqlMetadata.at(tmp_path / "h.db").close()
    plan = sqlite3.connect(tmp_path / "h.db").execute(
        "EXPLAIN QUERY PLAN SELECT 1 FROM run WHERE run.experiment IN (1) AND run.lifecycle IN ('active') AND EXISTS "
        "(SELECT 1 FROM metric_latest f WHERE f.run = run.key AND f.key = (SELECT key FROM metric_key WHERE name = 'm')"
        " AND f.value > 1)"
    )
    steps = [row[3] for row in plan]
    assert not [step for step in steps if step.startswith("SCAN")], steps


def test_the_artifact_tree_lists_files_and_folders(metadata):
    def work(r):
        for path in ("1/a/x.txt", "1/a/m/MLmodel", "1/a/m/deep/er/f", "1/b/y", "10/z"):
            r.artifacts.put(Artifact(path, "d" * 64, 3), NOW)

    metadata.write(work)

    def children(folder):
        return [(a.path, a.is_folder) for a in metadata.read(lambda r: r.artifacts.children(folder))]

    assert children("1/a") == [("1/a/m", True), ("1/a/x.txt", False)]
    assert children("1/a/m") == [("1/a/m/MLmodel", False), ("1/a/m/deep", True)]
    assert children("") == [("1", True), ("10", True)]
    assert children("1/a/x.txt") == [] == children("nothing")


def test_a_file_cannot_lie_where_a_folder_is_nor_below_a_file(metadata):
    metadata.write(lambda r: r.artifacts.put(Artifact("1/a/f", "d" * 64, 3), NOW))
    for path in ("1/a", "1/a/f/g"):
        with pytest.raises(Conflict):
            metadata.write(lambda r, path=path: r.artifacts.put(Artifact(path, "e" * 64, 3), NOW))


def test_deleting_a_folder_takes_what_is_below_and_nothing_beside(metadata):
    def work(r):
        for path in ("1/a/f", "1/a/m/g", "1/ab"):
            r.artifacts.put(Artifact(path, "d" * 64, 3), NOW)
        return r.artifacts.delete("1/a")

    assert metadata.write(work) == 2
    assert metadata.read(lambda r: r.artifacts.get("1/ab")) is not None


def test_runs_are_counted_without_their_page(metadata):
    metadata.write(lambda r: [r.runs.add(a_run(f"{i:032x}")) for i in range(5)])
    query = RunQuery(["0"], filter=Comparison("attribute", "run_id", "!=", f"{0:032x}"), limit=2, offset=1)
    assert metadata.read(lambda r: r.run_overview.count(query)) == 4


def test_a_curve_is_thinned_to_its_smallest_largest_and_mean_values(metadata, run):
    points = [Metric("loss", float(i % 10), i, step=i) for i in range(1000)]
    metadata.write(
        lambda r: r.metrics.append(run, [*points, Metric("loss", math.nan, 0, 5), Metric("loss", math.inf, 0, 6)])
    )
    assert metadata.read(lambda r: r.run_overview.extent([run], "loss", "step")) == (0, 999)
    curves = metadata.read(lambda r: r.run_overview.curves([run, "f" * 32], "loss", "step", low=0, high=999, bins=100))
    assert list(curves) == [run] and len(curves[run].bins) == 100
    assert curves[run].bins[0] == CurveBin(4.5, 0.0, 9.0, 4.5)
    part = metadata.read(lambda r: r.run_overview.curves([run], "loss", "step", low=20, high=22, bins=100))
    assert [b.x for b in part[run].bins] == [20, 21, 22]


def test_a_curve_over_time_begins_where_its_run_began(metadata, run):
    began = int(NOW.timestamp() * 1000)
    points = [Metric("loss", 1.0, began + 1000 * i, step=-i) for i in range(3)]
    metadata.write(lambda r: r.metrics.append(run, points))
    assert metadata.read(lambda r: r.run_overview.extent([run], "loss", "time")) == (0, 2000)
    assert metadata.read(lambda r: r.run_overview.extent([run], "nothing", "time")) is None


def test_steps_may_be_as_far_apart_as_integers_go(metadata, run):
    metadata.write(lambda r: r.metrics.append(run, [Metric("m", 1.0, 0, s) for s in (-(2**62), 0, 2**62)]))
    low, high = metadata.read(lambda r: r.run_overview.extent([run], "m", "step"))
    found = metadata.read(lambda r: r.run_overview.curves([run], "m", "step", low=low, high=high, bins=50))
    assert len(found[run].bins) == 3


def test_a_listing_holds_what_the_found_runs_hold(three):
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


def _steps(metadata, work):
    """How many instructions SQLite's machine runs for a write: what it costs, whatever else the computer does."""
    counted = [0]

    def one(r):
        connection = driver(r.metrics._c)
        connection.set_progress_handler(lambda: counted.__setitem__(0, counted[0] + 1), 1)
        try:
            work(r)
        finally:
            connection.set_progress_handler(None, 1)

    metadata.write(one)
    return counted[0]


def test_a_retried_batch_costs_the_same_however_long_the_history_is(tmp_path):
    metadata = SqlMetadata.at(tmp_path / "h.db")
    metadata.write(lambda r: r.runs.add(a_run("a" * 32)))
    batch = [Metric("m", float(i), i, i) for i in range(1000)]
    metadata.write(lambda r: r.metrics.append("a" * 32, batch))
    short = _steps(metadata, lambda r: r.metrics.append("a" * 32, batch))
    for start in range(1000, 100_000, 1000):
        more = [Metric("m", float(i), i, i) for i in range(start, start + 1000)]
        metadata.write(lambda r: r.metrics.append("a" * 32, more))
    long = _steps(metadata, lambda r: r.metrics.append("a" * 32, batch))
    assert len(metadata.read(lambda r: r.metrics.history("a" * 32, "m"))) == 100_000
    assert long <= 1.05 * short
    metadata.close()


def test_a_page_of_runs_and_a_history_are_indexed_reads(tmp_path):
    metadata = SqlMetadata.at(tmp_path / "h.db")
    said = []

    def work(r):
        driver(r.runs._c).set_trace_callback(said.append)
        r.runs.add(a_run("a" * 32, tags={"t": "1"}))
        r.metrics.append("a" * 32, [Metric("m", 1.0, 1)])
        wanted = All((Comparison("metric", "m", ">", 0.0), Comparison("tag", "t", "=", "1")))
        r.run_listings.page(RunQuery(["0"], filter=wanted, order=[Order("metric", "m")]))
        r.run_listings.history("a" * 32, "m", after=Metric("m", 0.0, 0), limit=10)
        driver(r.runs._c).set_trace_callback(None)

    metadata.write(work)
    metadata.close()
    selects = [statement for statement in said if statement.startswith("SELECT")]
    assert len(selects) > 8
    connection = sqlite3.connect(tmp_path / "h.db")
    for statement in selects:
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement)]
        assert not [step for step in plan if step.startswith("SCAN") and "json_each" not in step], (statement, plan)
    connection.close()
