"""Two servers on one PostgreSQL, and a PostgreSQL that goes away: what a store on SQLite never meets."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from hanok.core.errors import AlreadyExists, ConfigError, Conflict, StaleGeneration, Unavailable
from hanok.core.lineage import Event
from hanok.core.registry import AliasChange, ModelVersion, RegisteredModel
from hanok.core.serving import Arm, Deployment
from hanok.core.tracking import Experiment, Metric, Run
from hanok.core.workflows import Step, Workflow
from hanok.stores.sql import SqlMetadata
from tests.postgres import NoPostgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def two(postgres):
    """Two stores on one database."""
    url = postgres.database()
    stores = SqlMetadata(url), SqlMetadata(url)
    yield stores
    for store in stores:
        store.close()


def both(two, work, count=40):
    """What `work(store, number)` returned or raised, called `count` times on the two stores at once."""

    def one(number):
        try:
            return work(two[number % 2], number)
        except (Conflict, StaleGeneration) as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(count)))


def test_one_of_two_servers_wins_a_compare_and_set(two):
    def put(store, number):
        arms = (Arm(number, "primary", 100),)
        store.write(lambda r: r.deployments.put(Deployment("d", 0, arms, NOW, "me", "why"), expected=0))
        return number

    outcomes = both(two, put)
    won = [o for o in outcomes if isinstance(o, int)]
    assert len(won) == 1 and sum(isinstance(o, StaleGeneration) for o in outcomes) == 39
    assert [s.read(lambda r: r.deployments.get("d")).primary for s in two] == won * 2
    assert [s.read(lambda r: r.deployments.generation()) for s in two] == [1, 1]


def test_an_alias_moves_once_from_where_it_stood(two):
    two[0].write(lambda r: r.registry.put_model(RegisteredModel("m", NOW, NOW)))
    for i in "abc":
        two[0].write(lambda r, i=i: r.registry.add_version(ModelVersion(i, "m", 0, NOW)))

    def move(before, after):
        change = AliasChange(f"{before}{after}", "m", "champion", before, after, NOW, "me", "why")
        return lambda store, _: store.write(lambda r: r.registry.move_alias(change))

    assert sum(o is None for o in both(two, move(None, 1))) == 1
    assert sum(o is None for o in both(two, move(1, 2))) == 1
    assert len(two[1].read(lambda r: r.registry.alias_history("m"))) == 2


def test_versions_of_a_model_and_names_of_experiments_are_given_once(two):
    two[0].write(lambda r: r.registry.put_model(RegisteredModel("m", NOW, NOW)))
    made = both(two, lambda store, i: store.write(lambda r: r.registry.add_version(ModelVersion(str(i), "m", 0, NOW))))
    assert sorted(v.version for v in made) == list(range(1, 41))
    named = both(two, lambda store, i: store.write(lambda r: r.experiments.add(Experiment("", "x", "", NOW, NOW))))
    assert sum(isinstance(o, AlreadyExists) for o in named) == 39


def test_events_are_numbered_in_the_order_in_which_they_can_be_read(two):
    """A reader that keeps a cursor never passes an event that becomes visible later."""
    seen, cursor = [], 0

    def add(store, number):
        store.write(lambda r: r.outbox.append(Event("e", str(number), NOW)))

    with ThreadPoolExecutor(8) as pool:
        writing = [pool.submit(add, two[i % 2], i) for i in range(400)]
        while len(seen) < 400:
            done = all(w.done() for w in writing)
            for event in two[0].read(lambda r: r.outbox.after(cursor, limit=1000)):
                seen.append(event.subject)
                cursor = event.sequence
            if done:
                break
    seen += [e.subject for e in two[0].read(lambda r: r.outbox.after(cursor, limit=1000))]
    assert sorted(map(int, seen)) == list(range(400))


def test_a_batch_that_two_servers_were_sent_has_one_effect(two):
    run = Run("a" * 32, "0", "r", NOW, "mlflow-artifacts:/0/a/artifacts")
    two[0].write(lambda r: r.runs.add(run))
    points = [Metric(f"m{i % 7}", float(i), i, i) for i in range(500)]
    both(two, lambda store, _: store.write(lambda r: r.metrics.append(run.id, points)), count=10)
    histories = [two[1].read(lambda r, i=i: r.metrics.history(run.id, f"m{i}")) for i in range(7)]
    assert sum(map(len, histories)) == 500


def test_a_workflow_has_one_worker_and_a_dead_ones_work_is_taken_over(two):
    later = NOW + timedelta(seconds=30)
    both(two, lambda store, i: store.write(lambda r: r.workflows.start(Workflow(f"w{i}", "k", "key", NOW))))
    (workflow,) = two[0].read(lambda r: r.workflows.list(kind="k"))
    claims = both(
        two, lambda store, i: store.write(lambda r: r.workflows.claim(workflow.id, f"server {i}", NOW, later)), count=10
    )
    (first,) = [c for c in claims if isinstance(c, int)]
    two[0].write(lambda r: r.workflows.record(workflow.id, first, Step("s", {}, NOW)))
    after = later + timedelta(seconds=1)
    second = two[1].write(lambda r: r.workflows.claim(workflow.id, "other", after, after + timedelta(seconds=30)))
    assert second > first
    assert [s.name for s in two[1].read(lambda r: r.workflows.steps(workflow.id))] == ["s"]


def test_two_servers_that_start_at_once_migrate_once(postgres):
    url = postgres.empty_database()
    code = "import sys; from hanok.stores.sql import SqlMetadata; SqlMetadata(sys.argv[1]).close()"
    started = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(p.wait(timeout=60), p.stderr.read()) for p in started] == [(0, "")] * 3
    for process in started:
        process.stderr.close()


def test_a_store_goes_on_when_postgresql_comes_back(postgres):
    store = SqlMetadata(postgres.database())
    store.write(lambda r: r.records.put("k", "n", "1", {}, NOW))
    try:
        postgres.restart()
    except NoPostgres as error:
        store.close()
        pytest.skip(f"SKIPPED LOUDLY: {error}")
    assert store.read(lambda r: r.records.get("k", "n", "1")) == {}
    store.write(lambda r: r.records.put("k", "n", "2", {}, NOW))
    assert store.read(lambda r: r.records.get("k", "n", "2")) == {}
    store.close()


def test_a_postgresql_that_does_not_answer_is_said():
    with pytest.raises(Unavailable, match="PostgreSQL of the metadata store cannot be reached"):
        SqlMetadata("postgresql+psycopg://nobody@127.0.0.1:9/none")


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "nonsense", "oracle://"])
def test_a_url_of_another_kind_is_refused_and_keeps_its_password(url):
    with pytest.raises(ConfigError) as refused:
        SqlMetadata(url)
    assert "metadata_url" in refused.value.message and "secret" not in refused.value.message


def test_a_failing_work_takes_nobody_with_it(two):
    """Works that wait together are one transaction; each has its own fate all the same."""

    def work(store, number):
        def one(r):
            r.records.put("k", "n", str(number), {}, NOW)
            if number % 3 == 0:
                raise Conflict("no")

        store.write(one)

    outcomes = both(two, work, count=90)
    assert [isinstance(o, Conflict) for o in outcomes] == [n % 3 == 0 for n in range(90)]
    kept = {record["_key"] for record in two[0].read(lambda r: r.records.list("k", "n"))}
    assert kept == {str(n) for n in range(90) if n % 3}
