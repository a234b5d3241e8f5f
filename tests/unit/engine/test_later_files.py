"""The second day: files in the shape of the first, rows that come again, corrections, labels however they come."""

import csv
import random
from datetime import UTC, datetime, timedelta

import pytest

from hanok.compute.duck import read
from hanok.core.clock import ReplayClock
from hanok.core.errors import BadData, NotFound, NotTrainable
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.files import read as read_file
from hanok.engine.guessing import dated, guess, prepared
from hanok.engine.project import load_project
from hanok.engine.scaffold import write_project
from hanok.engine.verbs import call

START = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = ["order", "sold", "seen_at", "row", "late"]


def rows(first, count, *, seed=1):
    rng = random.Random(seed)
    made = []
    for i in range(first, first + count):
        at = START + timedelta(hours=5 * i)
        made.append(
            [i, at.strftime("%d.%m.%Y %H:%M"), rng.randint(0, 300) / 10, rng.choice("abc"), rng.choice(["yes", "no"])]
        )
    return made


class Home:
    """A project that `hanok init` wrote for a first file, and later files."""

    def __init__(self, folder, header, first):
        self.folder, self.header = folder, header
        path = self.write("sales", first)
        given, declared = read_file(path), {}
        table, _ = prepared(given.rows, "late", declared)
        found = guess(table, "late", declared)
        write_project(folder, "sales", found, dated(table, found), "log_loss")
        self.app = open_app(
            Config(home=folder / "home", project=folder / "project.py"), clock=ReplayClock(START + timedelta(days=365))
        )
        self.ingest(path)
        self.model = load_project(folder / "project.py").models[0]

    def write(self, name, given, header=None):
        with (self.folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file, delimiter=";").writerows([header or self.header, *given])
        return self.folder / f"{name}.csv"

    def ingest(self, path, table="sales"):
        self.app.clock.move_to(self.app.clock.now() + timedelta(days=1))
        return call(self.app, "ingest", "me", {"table": table, "path": str(path)})

    def training_set(self):
        return self.app.features.training_set(self.model, end=self.app.clock.now() + timedelta(seconds=1)).rows

    def labels(self):
        rows = self.training_set()
        return dict(
            zip(
                rows.column("key__" + self.model.spine.keys[0]).to_pylist(),
                rows.column("_label").to_pylist(),
                strict=True,
            )
        )


@pytest.fixture
def sales(tmp_path):
    home = Home(tmp_path, HEADER, rows(0, 120))
    yield home
    home.app.close()


def test_the_columns_of_the_file_keep_their_names_and_nothing_of_hanoks_collides(sales):
    kept = sales.app.tables.scan("sales").schema.names
    assert [n for n in kept if not n.startswith("_")] == ["order", "sold", "seen_at", "row"]
    assert sales.model.features == ("seen_at", "row")


def test_the_next_file_is_ingested_as_it_is_and_the_same_rows_again_change_nothing(sales):
    known, new = rows(0, 120), rows(120, 60, seed=2)
    done = sales.ingest(sales.write("february", known[-40:] + new))
    assert (done["accepted"], done["unchanged"], done["corrected"], done["quarantined"]) == (60, 40, 0, 0)
    assert (done["labels"][0]["accepted"], done["labels"][0]["unchanged"]) == (60, 40)
    again = sales.ingest(sales.write("all", known + new))
    assert (again["accepted"], again["unchanged"]) == (0, 180) and again["labels"][0]["accepted"] == 0
    assert sales.training_set().num_rows == 180


def test_a_corrected_row_counts_in_place_of_the_earlier_one_and_the_change_is_said(sales):
    mended = rows(0, 5)
    mended[3][2], mended[4][4] = 99.5, {"yes": "no", "no": "yes"}[mended[4][4]]
    before = sales.training_set()
    done = sales.ingest(sales.write("mended", mended))
    assert (done["accepted"], done["corrected"], done["unchanged"]) == (1, 1, 4)
    assert "seen_at is corrected in 1 earlier row" in done["anomalies"][0]["message"]
    assert done["labels"][0]["corrected"] == 1
    now = sales.training_set()
    assert now.num_rows == before.num_rows == 120 and 99.5 in now.column("seen_at").to_pylist()
    assert sales.labels()[4] == mended[4][4]
    assert sales.app.tables.size("sales") == 121  # the earlier row stays beneath
    found = sales.app.features.find_spine_row(sales.model, {"order": 3})
    assert found["seen_at"] == 99.5
    earlier = sales.app.features.training_set(
        sales.model, end=sales.app.clock.now(), snapshots={"sales": 120, "sales-labels": 120}
    )
    assert earlier.rows.equals(before)


def test_a_correction_that_leaves_columns_out_keeps_their_values(sales):
    kept = {r[0]: r[3] for r in rows(0, 3)}
    done = sales.ingest(sales.write("part", [[r[0], r[1], 77.0] for r in rows(0, 3)], HEADER[:3]))
    assert done["corrected"] == 3
    table = read(sales.app.tables.scan("sales")).to_pylist()[-3:]
    assert {r["order"]: r["row"] for r in table} == kept and {r["seen_at"] for r in table} == {77.0}


def test_labels_come_in_the_file_in_a_file_of_their_own_or_one_by_one(sales):
    new = rows(120, 30, seed=3)
    done = sales.ingest(sales.write("march", [r[:-1] for r in new], HEADER[:-1]))
    assert done["accepted"] == 30 and "labels" not in done and not done["anomalies"]
    assert sales.training_set().num_rows == 120
    told = sales.ingest(sales.write("outcomes", [[r[0], "yes"] for r in new[:20]], ["order", "late"]), "sales-labels")
    assert told["accepted"] == 20 and not told["quarantined"]
    call(sales.app, "label.add", "me", {"model": "sales", "value": "no", "entity": {"order": 140}})
    late = sales.ingest(sales.write("march again", new))  # the whole month once more, labels in it
    assert (late["accepted"], late["unchanged"]) == (0, 30)
    assert sales.labels() == {r[0]: r[-1] for r in [*rows(0, 120), *new]}


def test_without_a_time_the_same_holds_and_rows_are_predicted_when_they_arrived(tmp_path):
    first = [[f"c{i}", i * 7 % 23 / 2, ["yes", "no"][i * 5 % 3 == 0]] for i in range(80)]
    home = Home(tmp_path, ["customer", "known_at", "late"], first)
    try:
        done = home.ingest(home.write("next", [["c79", 1.25, "no"], ["c80", 3.0, ""]]))
        assert (done["accepted"], done["corrected"]) == (2, 1) and not done["quarantined"]
        assert home.training_set().num_rows == 80 and "c80" not in home.labels()
        assert home.app.features.find_spine_row(home.model, {"customer": "c80"})["known_at"] == 3.0
    finally:
        home.app.close()


def test_rows_that_nothing_identifies_are_numbered_by_batch_and_place(tmp_path):
    first = [[i % 9 / 2, i % 4, ["yes", "no"][i * 5 % 3 == 0]] for i in range(80)]
    home = Home(tmp_path, ["a", "b", "late"], first)
    try:
        assert home.training_set().num_rows == 80
        again = home.ingest(home.write("sales", first))
        assert again["repeated"] or again["accepted"] == 80
        assert home.ingest(home.write("more", first[:7]))["accepted"] == 7
        with pytest.raises(BadData, match="told by the id of its prediction"):
            home.ingest(home.write("outcomes", [[1, "yes"]], ["b", "late"]), "sales-labels")
        keys = read(home.app.tables.scan("sales")).column("_row_id").to_pylist()
        assert len(set(keys)) == len(keys)
    finally:
        home.app.close()


def test_a_batch_that_was_cut_down_before_it_was_recorded_ends_as_if_it_had_not_been(sales, monkeypatch):
    path = sales.write("february", rows(100, 60))

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(sales.app.validation), "_record", cut)
        with pytest.raises(KeyboardInterrupt):
            sales.ingest(path)
    done = sales.ingest(path)
    assert done["accepted"] == 60 - done["unchanged"] and sales.training_set().num_rows == 160


@pytest.mark.parametrize("seed", range(2))
def test_whatever_comes_again_in_whatever_order_the_newest_row_of_each_key_counts(tmp_path, seed):
    rng = random.Random(seed)
    first = rows(0, 60, seed=seed)
    home, truth = Home(tmp_path, HEADER, first), {r[0]: r for r in first}
    try:
        for number in range(4):
            batch = rng.sample(list(truth.values()), 12) + rows(len(truth), rng.randint(0, 5), seed=seed + number)
            batch = [r if rng.random() < 0.6 else [*r[:2], rng.randint(0, 300) / 10, *r[3:]] for r in batch]
            truth |= {r[0]: r for r in batch}
            home.ingest(home.write(f"batch{number}", batch))
        made = home.training_set()
        values = dict(zip(made.column("key__order").to_pylist(), made.column("seen_at").to_pylist(), strict=True))
        assert values == {k: r[2] for k, r in truth.items()} and made.num_rows == len(truth)
    finally:
        home.app.close()


def test_an_alert_of_another_unit_is_open_until_the_rows_are_corrected(sales):
    new = rows(120, 40, seed=7)
    wrong = [[*r[:2], r[2] * 10, *r[3:]] for r in new]

    def raised():
        return [a.fingerprint for a in sales.app.alerts.list("sales", state="open")]

    sales.ingest(sales.write("wrong", wrong))
    assert raised() == ["FEATURE_TYPE_UNIT_CHANGED:seen_at"]
    sales.ingest(sales.write("later", rows(160, 40, seed=8)))
    sales.ingest(sales.write("half", new[:20]))
    assert raised() == ["FEATURE_TYPE_UNIT_CHANGED:seen_at"]
    sales.ingest(sales.write("mended", [*new[20:], *rows(200, 40, seed=9)]))
    assert raised() == []


@pytest.mark.parametrize(
    ("change", "raised"), [(lambda x: x * 10, True), (lambda x: x * 1.8 + 32, True), (lambda x: x, False)]
)
def test_a_later_file_in_another_unit_raises_an_alert_that_names_the_column(sales, change, raised):
    new = [[*r[:2], change(r[2]), *r[3:]] for r in rows(120, 80, seed=5)]
    done = sales.ingest(sales.write("april", new))
    found = [a for a in done["anomalies"] if a["type"] == "FEATURE_TYPE_UNIT_CHANGED"]
    assert bool(found) is raised and all(a["column"] == "seen_at" for a in found)
    assert any("another unit" in a.summary for a in sales.app.alerts.list()) is raised


def test_rows_outside_the_window_are_told_with_the_window_and_where_they_lie(sales):
    with pytest.raises(
        NotTrainable, match=r"until 2025-06-01 00:00, and all 120 rows .* from 2026-01-01 00:00 to 2026-01-25"
    ):
        sales.app.features.training_set(sales.model, end=datetime(2025, 6, 1, tzinfo=UTC))


def test_why_and_measure_say_what_can_be_asked(sales):
    with pytest.raises(NotFound, match=r"did you mean 'sales'.*hanok why MODEL --day.*models: sales"):
        call(sales.app, "why", "me", {"subject": "saels"})
    with pytest.raises(NotFound, match="nothing to measure: hanok deploy sales"):
        call(sales.app, "measure", "me", {"model": "sales"})


def test_a_model_that_was_deployed_and_not_asked_yet_is_no_failure(sales):
    sales.app.close()
    project = sales.folder / "project.py"
    project.write_text(project.read_text().replace('budget="60s"', "trials=0"))
    sales.app = open_app(Config(home=sales.folder / "home", project=project), clock=sales.app.clock)
    made = sales.app.training.train("sales", reason="first", actor="me", promote=False)
    sales.app.training.deploy("sales", made.version, actor="me", reason="first")
    sales.app.watching.measure_live()
    assert [a for a in sales.app.alerts.list() if a.kind == "measuring"] == []
    found = call(sales.app, "measure", "me", {"model": "sales"})
    assert not found["answered"] and found["days"] == []
    sales.app.alerts.raise_("sales", "measuring", "measuring-failed", "a disk was full")
    call(sales.app, "measure", "me", {"model": "sales"})
    assert [a for a in sales.app.alerts.list(state="open") if a.kind == "measuring"] == []
