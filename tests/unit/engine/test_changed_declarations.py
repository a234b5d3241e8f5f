"""What a version answered is labelled and shown, whatever became of its declaration meanwhile."""

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.errors import ModelNotFound

START = datetime(2026, 9, 1, tzinfo=UTC)
ASKS = [{"id": i, "shop": "ab"[i % 2], "x": random.Random(i).random(), "t": START} for i in range(120)]
ENDS = [{**a, "y": int(a["x"] > 0.5), "y30": int(a["x"] > 0.7), "k": START + timedelta(days=1)} for a in ASKS]
ENDS = [{n: v for n, v in e.items() if n in ("id", "shop", "y", "y30", "k")} for e in ENDS]

PROJECT = """
import hanok as hk
def fit(frame):
    import lightgbm
    kind = lightgbm.LGBMClassifier if "TASK" == "binary" else lightgbm.LGBMRegressor
    return kind(n_estimators=3, n_jobs=1, verbose=-1).fit(frame.X, frame.y)
ends = hk.Source("ends", row_key="id")
m = hk.Model("MODEL", task="TASK", spine=hk.Spine("asks", predict_at="t", keys=KEYS),
  label=hk.Label("ends", column="COLUMN", known_at="k"), features=["x"], train=fit, split=hk.at_random(test=0.3))
"""


def declare(tmp_path, *, model="m", keys=("id",), column="y", task="binary"):
    """The project file, written anew, opened on the same home."""
    text = PROJECT.replace("MODEL", model).replace("KEYS", str(list(keys))).replace("COLUMN", column)
    text = text.replace("TASK", task)
    (tmp_path / "hanok_project.py").write_text(text)
    return hk.open(tmp_path / "home", project=tmp_path / "hanok_project.py")


def begin(client):
    client.train("m")
    client.call("deploy", model="m", version=1)


@pytest.fixture
def home(tmp_path):
    """A home with 100 labelled rows."""
    with hk.open(tmp_path / "home") as client:
        client.ingest("asks", pa.Table.from_pylist(ASKS))
        client.ingest("ends", pa.Table.from_pylist(ENDS[:100]))
    return tmp_path


def shown(client, prediction):
    found = client.call("prediction.show", prediction=prediction)
    return found["entity"], found["label"]


def test_keys_that_are_narrowed_while_a_version_of_the_wider_ones_answers(home):
    """However it is asked, and with whichever keys: by a row, with the features sent, as a table; labels of both."""
    with declare(home, keys=("id", "shop")) as client:
        begin(client)
    with declare(home) as client:
        by_row = client.predict("m", id=100)["prediction_id"]
        serving = client.app.serving
        both = serving.predict("m", {"x": [0.2]}, entity={"id": 101, "shop": "b"})[0].prediction_id
        half = serving.predict("m", {"x": [0.2]}, entity={"id": 102})[0].prediction_id
        told = [serving.predict("m", {"x": [0.2]}, entity={"id": i})[0].prediction_id for i in (105, 106)]
        rows = pa.table({"x": [0.1, 0.2], "key__id": [103, 104], "key__shop": ["b", None]})
        bulk = list(serving.predict_batch("m", rows, key="bulk"))
        client.ingest("ends", pa.Table.from_pylist(ENDS[100:105]))
        assert shown(client, by_row) == ({"id": "100", "shop": "a"}, ENDS[100]["y"])
        for i, prediction in zip(range(101, 105), [both, half, *bulk], strict=True):
            assert shown(client, prediction)[1] == ENDS[i]["y"], i
        assert client.call("label.add", model="m", value=1, prediction=told[0])["joined"] == 1
        assert client.call("label.add", model="m", value=1, entity={"id": 106})["joined"] == 1
        assert [shown(client, p)[1] for p in told] == [1.0, 1.0]
        last = client.predict("m", id=107)["prediction_id"]  # it has both keys, the label has one
        assert client.call("label.add", model="m", value=1, entity={"id": 107})["joined"] == 1
        assert shown(client, last) == ({"id": "107", "shop": "b"}, 1.0)


def test_a_model_that_is_renamed_while_it_answers_is_asked_and_labelled_under_its_old_name(home):
    with declare(home) as client:
        begin(client)
        first = client.predict("m", id=100)["prediction_id"]
    with hk.open(home / "home", project=home / "hanok_project.py", apply=False) as client:
        path = home / "hanok_project.py"
        path.write_text(path.read_text().replace('hk.Model("m"', 'hk.Model("m2"'))
        (gone,) = [c for c in client.call("apply") if c["change"] == "removed"]
        assert gone["name"] == "m" and "version 1 still answers as 'm'" in gone["why"]
    with hk.open(home / "home", project=home / "hanok_project.py") as client:
        second, third = (client.predict("m", id=i)["prediction_id"] for i in (101, 102))
        client.ingest("ends", pa.Table.from_pylist(ENDS[100:102]))
        assert client.call("label.add", model="m", value=1, prediction=third)["joined"] == 1
        assert [shown(client, p)[1] for p in (first, second, third)] == [ENDS[100]["y"], ENDS[101]["y"], 1.0]
        assert client.call("label.show", model="m")["labelled"] == 3
        assert sum(d["rows"] for d in client.call("measure", model="m")["days"]) == 3
        with pytest.raises(ModelNotFound, match="declares no model 'm'"):
            client.train("m")


def test_a_label_row_that_is_corrected_or_taken_back_counts_no_more(home):
    """In training and in monitoring alike, with the correction known later, at the same time, earlier, or empty; and
    what was known before the correction came stays what it was."""
    with declare(home) as client:
        begin(client)
        answers = [client.predict("m", id=i)["prediction_id"] for i in range(6)]
        client.call("measure", model="m")
        assert [shown(client, p)[1] for p in answers] == [e["y"] for e in ENDS[:6]]
        before = client.app.clock.now()
        day, other = timedelta(days=1), [1 - e["y"] for e in ENDS[:4]]
        moved = zip(ENDS[:4], [day, 0 * day, -day / 2, day], [*other[:3], None], strict=True)
        fixed = [{**e, "k": e["k"] + by, "y": y} for e, by, y in moved]
        assert client.ingest("ends", pa.Table.from_pylist(fixed))["corrected"] == 4
        now = [*other[:3], None, ENDS[4]["y"], ENDS[5]["y"]]
        assert [shown(client, p)[1] for p in answers] == now
        again = [client.predict("m", id=i)["prediction_id"] for i in range(6)]
        client.call("measure", model="m")
        assert [shown(client, p)[1] for p in again] == now
        features, model = client.app.features, client.app.training.model("m")
        spine = features.spine_rows(model)
        assert features.labels(model, spine).to_pylist()[:6] == now
        assert features.labels(model, spine, as_of=before).to_pylist()[:6] == [e["y"] for e in ENDS[:6]]
        then = client.app.monitoring.outcomes("m", known_by=before)
        told = dict(zip(then.column("prediction_id").to_pylist(), then.column("label").to_pylist(), strict=True))
        assert [told.get(p) for p in answers] == [e["y"] for e in ENDS[:6]]
        later = client.app.clock.now() + 9 * day  # a correction of now that is known by then
        client.ingest("ends", pa.Table.from_pylist([{**ENDS[5], "y": 1 - ENDS[5]["y"], "k": later}]))
        last = client.predict("m", id=5)["prediction_id"]
        client.call("measure", model="m")
        assert [shown(client, p)[1] for p in (answers[5], again[5], last)] == [ENDS[5]["y"]] * 3
        assert features.labels(model, spine).to_pylist()[5] == ENDS[5]["y"]
        assert features.labels(model, spine, as_of=later).to_pylist()[5] == 1 - ENDS[5]["y"]
        then = client.app.monitoring.outcomes("m", known_by=later)
        told = dict(zip(then.column("prediction_id").to_pylist(), then.column("label").to_pylist(), strict=True))
        assert [told[p] for p in (answers[5], again[5], last)] == [1 - ENDS[5]["y"]] * 3


def test_labels_of_another_column_take_the_place_of_all_earlier_ones(home):
    """An answer that has no label in the new column has none."""
    with declare(home) as client:
        begin(client)
        answers = [client.predict("m", id=i)["prediction_id"] for i in range(100, 106)]
        late = [{**e, "y30": None if e["id"] % 2 else e["y30"]} for e in ENDS[100:106]]
        client.ingest("ends", pa.Table.from_pylist(late))
        assert [shown(client, p)[1] for p in answers] == [e["y"] for e in ENDS[100:106]]
    with declare(home, column="y30") as client:
        client.call("measure", model="m")
        assert [shown(client, p)[1] for p in answers] == [e["y30"] for e in late]


def test_a_look_back_compares_answers_of_one_task(home):
    with declare(home) as client:
        begin(client)
        answers = [client.predict("m", id=i)["prediction_id"] for i in range(6)]
        client.call("measure", model="m")
    with declare(home, task="regression") as client:
        client.train("m")
        client.call("deploy", model="m", version=2)
        answers += [client.predict("m", id=i)["prediction_id"] for i in range(6, 10)]
        client.call("measure", model="m")
        assert None not in [shown(client, p)[1] for p in answers]
        for version, rows, metric in ((1, 6, "log_loss"), (2, 4, "rmse")):
            (month,) = client.call("hindsight", model="m", version=version)["months"]
            assert month["rows"] == rows and metric in str(month)
