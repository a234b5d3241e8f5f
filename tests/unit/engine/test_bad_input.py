"""What a user gets wrong, said plainly, with nothing half done."""

import re

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from hanok.core.errors import BadData, ConfigError, DeclarationError, Invalid, NotFound, NotTrainable
from hanok.engine.config import load_config
from hanok.engine.files import read_file
from hanok.engine.guessing import guess
from hanok.engine.project import load_project
from hanok.engine.scaffold import project_text


def orders(**changes):
    rows = {
        "order": ["a", "b"],
        "ordered": ["2026-01-20T10:00:00Z"] * 2,
        "product": ["mug", "vase"],
        "size": [9.0, 11.0],
    }
    rows |= changes
    table = pa.table(rows)
    return table.set_column(1, "ordered", table.column("ordered").cast(pa.timestamp("us", "UTC")))


def test_a_missing_file_an_empty_one_and_a_broken_one(empty_shop, tmp_path):
    from hanok.engine.verbs import call

    with pytest.raises(BadData, match="no file"):
        call(empty_shop, "ingest", "me", {"table": "t", "path": str(tmp_path / "no.csv")})
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(BadData, match=r"empty"):
        call(empty_shop, "ingest", "me", {"table": "t", "path": str(tmp_path / "empty.csv")})
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(BadData, match=r"bad.csv.*3"):
        call(empty_shop, "ingest", "me", {"table": "t", "path": str(tmp_path / "bad.csv")})
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(BadData, match=r"cut\.parquet"):
        call(empty_shop, "ingest", "me", {"table": "t", "path": str(tmp_path / "cut.parquet")})
    assert empty_shop.tables.names() == []


def test_the_same_file_twice_has_one_effect(empty_shop, tmp_path):
    from hanok.engine.verbs import call

    (tmp_path / "p.csv").write_text("product,changed,amount\nmug,2026-01-01T00:00:00Z,20\n")
    first = call(empty_shop, "ingest", "me", {"table": "prices", "path": str(tmp_path / "p.csv")})
    again = call(empty_shop, "ingest", "me", {"table": "prices", "path": str(tmp_path / "p.csv")})
    assert (first["accepted"], first["repeated"], again["repeated"]) == (1, False, True)
    assert empty_shop.tables.size("prices") == 1


def test_a_batch_without_its_key_is_refused_whole(shop):
    size = shop.tables.size("orders")
    with pytest.raises(BadData, match="order"):
        shop.ingesting.ingest("orders", orders().drop_columns(["order"]), key="x")
    assert shop.tables.size("orders") == size


def test_wrong_types_duplicates_and_nulls_go_to_quarantine_with_their_reasons(shop):
    result = shop.ingesting.ingest("orders", orders(size=["9.5", "huge"]), key="x")
    assert (result.accepted, result.quarantined) == (1, 1)
    assert shop.ingesting.ingest("orders", orders(order=["c", "c"]), key="y").quarantined == 1
    assert shop.ingesting.ingest("orders", orders(order=["d", None]), key="z").quarantined == 1
    reasons = [row.reason for row in shop.validation.quarantined("orders")]
    assert any("size is FLOAT" in r for r in reasons) and any("second row" in r for r in reasons)
    assert shop.validation.quarantined("orders")[-1].row["size"] == "huge"


def test_an_empty_batch_is_no_error_and_changes_nothing(shop):
    size = shop.tables.size("orders")
    result = shop.ingesting.ingest("orders", orders().slice(0, 0), key="x")
    assert result.accepted == 0 and result.anomalies[0].type == "DATASET_LOW_NUM_EXAMPLES"
    assert shop.tables.size("orders") == size


def test_a_category_never_seen_is_predicted_all_the_same_and_reported(shop):
    assert shop.ingesting.ingest("orders", orders(product=["teapot", "mug"]), key="x").accepted == 2
    assert 0 <= shop.predicting.predict_entity("returns", {"order": "a"})["score"] <= 1


def test_a_label_that_comes_before_its_prediction_is_joined_when_it_is_made(shop):
    from datetime import timedelta

    now = shop.clock.now()
    instant = pa.array([now, now], pa.timestamp("us", "UTC"))
    shop.ingesting.ingest("orders", orders().set_column(1, "ordered", instant), key="x")
    labels = pa.table({"order": ["a", "b"], "product": ["mug", "vase"], "returned": [0, 1], "known": instant})
    shop.ingesting.ingest("returns", labels, key="early")
    shop.bus.drain()
    shop.predicting.predict_window("returns", now, now + timedelta(hours=1), key="late")
    shop.bus.drain()
    found = [r for r in shop.monitoring.outcomes("returns", start=now).to_pylist() if r["arm"] != "shadow"]
    assert sorted(r["label"] for r in found) == [0.0, 1.0]


def test_a_label_for_something_never_predicted_is_kept(shop):
    labels = pa.table(
        {
            "order": ["zzz"],
            "product": ["mug"],
            "returned": [1],
            "known": pa.array([shop.clock.now()], pa.timestamp("us", "UTC")),
        }
    )
    assert shop.ingesting.ingest("returns", labels, key="x").accepted == 1
    shop.bus.drain()


def test_training_without_data_says_what_is_missing(empty_shop):
    with pytest.raises((NotTrainable, NotFound), match="orders"):
        empty_shop.training.train("returns")
    assert empty_shop.tracking.registry.versions("returns") == []


def test_a_model_that_reads_a_column_that_is_not_there(shop):
    import hanok as hk

    model = shop.training.model("returns")
    wrong = hk.Model("wrong", task="binary", spine=model.spine, label=model.label, features=["colour"])
    shop.training.apply(wrong)
    with pytest.raises(DeclarationError, match=r"colour.*orders"):
        shop.training.train("wrong")
    assert "wrong" not in {m.name for m in shop.metadata.read(lambda r: r.registry.models())}


def test_a_broken_setting_is_named_with_its_place(tmp_path):
    (tmp_path / "hanok.toml").write_text("home = \n")
    with pytest.raises(ConfigError, match=r"hanok.toml.*line 1"):
        load_config(tmp_path, {})
    (tmp_path / "hanok.toml").write_text('hoem = "x"\n')
    with pytest.raises(ConfigError, match="hoem"):
        load_config(tmp_path, {})
    (tmp_path / "hanok.toml").write_text("home = 3\n")
    with pytest.raises(ConfigError, match="home"):
        load_config(tmp_path, {})


def test_a_broken_project_file_is_named_with_its_line(tmp_path):
    (tmp_path / "project.py").write_text("import hanok as hk\n\nx = hk.FeatureVieww()\n")
    with pytest.raises(DeclarationError, match="line 3"):
        load_project(tmp_path / "project.py")
    (tmp_path / "project.py").write_text("def (:\n")
    with pytest.raises(DeclarationError, match="line 1"):
        load_project(tmp_path / "project.py")
    (tmp_path / "project.py").write_text("x = 1\n")
    assert load_project(tmp_path / "project.py").models == ()  # a project that was just begun


@pytest.mark.parametrize(
    ("rows", "target", "said"),
    [
        ({"a": list(range(50)), "y": [1] * 50}, "y", "one value"),
        ({"a": [1, 2, 3], "y": [0, 1, 0]}, "y", "at least 30"),
        ({"a": list(range(50))}, "y", "no column 'y'"),
        ({"y": [0, 1] * 25}, "y", "no column is left"),
        ({"a": [1.0, 2.0] * 250, "y": [f"text {i}" for i in range(500)]}, "y", "target"),
    ],
)
def test_a_file_that_cannot_be_learned_from_is_said(rows, target, said):
    with pytest.raises((BadData, NotTrainable), match=said):
        guess(pa.table(rows), target)


def test_init_trains_and_predicts_from_a_csv(tmp_path, monkeypatch):
    import json
    import random

    rng = random.Random(1)
    lines = ["name,age,plan,churned"]
    for i in range(300):
        age, plan = rng.randint(18, 80), rng.choice(["free", "pro"])
        lines.append(f"n{i},{age},{plan},{'yes' if age + 30 * (plan == 'free') + rng.gauss(0, 8) > 65 else 'no'}")
    (tmp_path / "people.csv").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    from hanok.cli import cli

    run = CliRunner().invoke
    started = run(cli, ["init", "--from", "people.csv", "--target", "churned", "--json"])
    assert started.exit_code == 0, started.output
    project = (tmp_path / "project.py").read_text()
    (tmp_path / "project.py").write_text(project.replace('budget="60s"', 'trials=3, mode="quality"'))
    trained = run(cli, ["train", "people", "--json"])
    assert trained.exit_code == 0, trained.output
    shown = json.loads(run(cli, ["run", "show", json.loads(trained.stdout)["run_id"], "--json"]).stdout)
    assert [line["name"] for line in shown["leaderboard"]][-1] == "baseline" and shown["leaderboard"][0]["why"]
    answer = json.loads(run(cli, ["predict", "people", "name=n7", "--json"]).stdout)
    assert answer["label"] in ("yes", "no")
    assert run(cli, ["init", "--from", "people.csv", "--target", "churned"]).exit_code != 0  # nothing is overwritten
    for command in (
        ["model", "list"],
        ["run", "list"],
        ["table", "list"],
        ["feature", "list"],
        ["alert", "list"],
        ["doctor"],
    ):
        done = run(cli, [*command, "--json"])
        assert done.exit_code == 0 and json.loads(done.stdout) is not None


def test_own_code_trains_like_automl(tmp_path):
    import hanok as hk
    from hanok.core.declare import Project
    from tests.loop.run import open_shop

    def train(frame):
        import lightgbm as lgb

        return lgb.LGBMClassifier(n_estimators=10, verbose=-1, num_threads=1).fit(frame.X, frame.y)

    app = open_shop(tmp_path / "home")
    try:
        base = app.training.model("returns")
        mine = hk.Model(
            "mine", task="binary", spine=base.spine, label=base.label, features=["size", "product"], train=train
        )
        app.declaring.apply(Project((), (), (mine,)))
        from tests.loop.feeds import feeds

        for feed in feeds():
            app.ingesting.ingest(
                feed.table, feed.rows, key="all", arrived=feed.arrived, keys=feed.keys, event_time=feed.event_time
            )
        from datetime import UTC, datetime

        app.clock.move_to(datetime(2026, 1, 22, tzinfo=UTC))
        result = app.training.train("mine")
        version = app.tracking.registry.version("mine", result.version)
        assert app.packages.manifest(version.package)["runtime"] == "lightgbm"
        assert app.serving.predict("mine", {"size": [9.0], "product": ["vase"]})[0].score > 0
    finally:
        app.close()


def test_what_is_no_verb_or_no_argument_is_said(empty_shop):
    from hanok.engine.verbs import call

    with pytest.raises(NotFound, match="there is no verb"):
        call(empty_shop, "fly", "me", {})
    with pytest.raises(Invalid):
        call(empty_shop, "train", "me", {"speed": 1})


def test_a_fresh_project_opens_and_apply_says_that_it_declares_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from hanok.cli import cli

    run = CliRunner().invoke
    assert run(cli, ["init"]).exit_code == 0
    assert run(cli, ["doctor", "--json"]).exit_code == 0
    assert "neither" in str(run(cli, ["apply"]).exception)


def test_own_code_that_raises_is_said_with_its_line_and_the_home_goes_on(shop):
    import hanok as hk
    from hanok.core.declare import Project
    from hanok.core.errors import TrainingFailed

    def train(frame):
        raise ValueError("I have a bug")

    base = shop.training.model("returns")
    shop.declaring.apply(
        Project(
            (),
            (),
            (hk.Model("buggy", task="binary", spine=base.spine, label=base.label, features=["size"], train=train),),
        )
    )
    with pytest.raises(TrainingFailed, match=r"I have a bug.*test_bad_input.py, line"):
        shop.training.train("buggy")
    assert shop.training.resume() == 0
    assert shop.durable.unfinished("train") == []


def test_history_brought_in_later_is_known_from_the_instant_that_a_column_names(empty_shop, tmp_path):
    from hanok.compute.duck import read
    from hanok.engine.verbs import call

    (tmp_path / "p.csv").write_text("product,changed,amount\nmug,2025-12-01T00:00:00Z,20\n")
    call(empty_shop, "ingest", "me", {"table": "prices", "path": str(tmp_path / "p.csv"), "arrived": "changed"})
    row = read(empty_shop.tables.scan("prices")).to_pylist()[0]
    assert row["_arrived"] == row["changed"]
    with pytest.raises(BadData, match="amount"):
        call(
            empty_shop,
            "ingest",
            "me",
            {"table": "prices", "path": str(tmp_path / "p.csv"), "key": "2", "arrived": "amount"},
        )


def test_a_small_first_batch_does_not_bind_the_next_ones(empty_shop):
    for number, values in enumerate([[1.0, 2.0], list(range(1, 499))]):
        rows = pa.table(
            {"product": [f"p{number}-{i}" for i in range(len(values))], "amount": pa.array(values, pa.float64())}
        )
        assert empty_shop.ingesting.ingest("other", rows, key=str(number)).quarantined == 0


def test_a_reaction_that_fails_is_set_aside_and_holds_up_nobody(shop):
    seen = []

    def broken(event):
        raise KeyError("oops")

    shop.bus.on("broken", {"probe"}, broken)
    shop.bus.on("fine", {"probe"}, lambda event: seen.append(event.subject))
    from hanok.core.lineage import Event

    for subject in ("a", "b"):
        shop.metadata.write(lambda r, s=subject: r.outbox.append(Event("probe", s, shop.clock.now())))
    for _ in range(6):
        try:
            shop.bus.drain()
        except KeyError:
            pass
    assert seen == ["a", "b"]
    aside = shop.metadata.read(lambda r: r.records.list("event-set-aside", "broken"))
    assert sorted(b["subject"] for b in aside) == ["a", "b"]


NUMBERS = [f"{i},{i * 7 % 13}" for i in range(60)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,x,y\n" + "".join(f"{n},{i % 2}\n" for i, n in enumerate(NUMBERS)) + "1,2,3,4\n", "line 62 .* 4 values"),
        ("x,x,y\n" + "".join(f"{n},{i % 2}\n" for i, n in enumerate(NUMBERS)), "column 'x' 2 times"),
        ("x,z,y\n" + "".join(f"{n},1\n" for n in NUMBERS), "one value only"),
        ("x,z,y\n1,2,0\n1,3,1\n", "2 rows"),
        ("x,z,y\n" + "".join(f"{n},word {i}\n" * 5 for i, n in enumerate(NUMBERS * 4)), "text with 240 values"),
        ("x,z,w\n" + "".join(f"{n},{i % 2}\n" for i, n in enumerate(NUMBERS)), "no column 'y'"),
        ("c,y\n" + "".join(f"1,{i % 2}\n" for i in range(60)), "no column is left"),
    ],
)
def test_a_file_that_no_model_can_come_from_leaves_nothing_behind(content, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text(content)
    from hanok.cli import cli

    result = CliRunner().invoke(cli, ["init", "--from", "data.csv", "--target", "y"])
    assert isinstance(result.exception, BadData | NotTrainable), result.output
    assert re.search(said, result.exception.message), result.exception.message
    assert [p.name for p in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.parametrize(
    ("encoded", "said"), [("caf\xe9".encode("latin-1"), "not UTF-8"), ("\ufeffcaf\xe9".encode("utf-16"), "UTF-16")]
)
def test_a_file_in_another_encoding_says_how_to_convert_it(encoded, said, tmp_path):
    start = encoded if encoded[:1] == b"\xff" else b"x,y\n1," + encoded + b"\n"
    (tmp_path / "data.csv").write_bytes(start)
    with pytest.raises(BadData, match=said):
        read_file(tmp_path / "data.csv")


def test_a_guess_leaves_out_what_would_mislead_and_says_why():
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 400)
    rows = pa.table(
        {
            "customer_id": pa.array(np.arange(400) % 150),
            "when": [f"{i % 28 + 1} Jan 2024" for i in range(400)],
            "mixed": [str(i) if i % 3 else "unknown" for i in rng.integers(0, 9, 400)],
            "review": [" ".join(rng.choice(["good", "bad", "film", "plot"], 6)) + f" {i}" for i in range(400)],
            "copy": y * 2 + 1,
            "x": rng.normal(size=400),
            "y": y,
        }
    )  # fmt: skip
    found = guess(rows, "y")
    assert found.features == ("mixed", "review", "x")
    assert found.keys == ("customer_id", "when") and "one row at a time" in found.reasons["key"]
    assert found.event_time == "when" and found.columns["when"] == "date %d %b %Y"
    assert "numbers" in found.reasons["mixed"] and "free text" in found.reasons["review"]
    assert "under another name" in found.reasons["left out copy"]


def test_names_with_quotes_and_newlines_make_a_project_that_can_be_read(tmp_path):
    name, target = 'the "x"\nof it \\', 'y """ is'
    rows = pa.table({name: np.arange(60.0), "plain": ['a"""', "b\n"] * 30, target: ["yes", 'no"""'] * 30})
    found = guess(rows, target)
    (tmp_path / "project.py").write_text(project_text("odd", found, rows, "log_loss"))
    (model,) = load_project(tmp_path / "project.py").models
    assert set(model.spine_columns) <= {name, "plain"} and model.label.column == target
