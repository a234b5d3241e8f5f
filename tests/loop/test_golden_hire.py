"""A home in which much had happened, left behind by a process that died: it opens, answers as it did, and goes on.

What it holds and how it is made stands in tests/golden; `expected` is what the version that left it answered.
"""

import json
import sqlite3
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest

from hanok.core.records import owner_of
from tests.golden import asking
from tests.golden.make import open_home

HOMES = sorted((Path(__file__).parents[1] / "golden").glob("hire-*.tar.xz"))
MODELS = ("late", "payment", "damage")


@pytest.fixture(params=HOMES, ids=lambda p: p.name.removesuffix(".tar.xz"), scope="session")
def unpacked(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def left(unpacked, tmp_path):
    """A client of the home as it was left, and what was written down."""
    import shutil

    pytest.importorskip("lightgbm")
    shutil.copytree(unpacked / "home", tmp_path / "home")
    with open_home(tmp_path / "home") as client:
        yield client, json.loads((unpacked / "expected.json").read_text())


def within(then, now, where=""):
    """What was said then is still said; more may be said beside it."""
    if isinstance(then, dict):
        assert isinstance(now, dict), where
        for key, value in then.items():
            assert key in now, f"{where}.{key} is gone"
            within(value, now[key], f"{where}.{key}")
    elif isinstance(then, list) and then and isinstance(then[0], dict) and "id" in then[0] and isinstance(now, list):
        by_id = {item["id"]: item for item in now}
        for item in then:
            assert item["id"] in by_id, f"{where}: {item['id']} is gone"
            within(item, by_id[item["id"]], f"{where}[{item['id']}]")
    elif isinstance(then, list):
        assert len(then) == len(now), f"{where}: {len(then)} then, {len(now)} now"
        for place, (old, new) in enumerate(zip(then, now, strict=True)):
            within(old, new, f"{where}[{place}]")
    else:
        assert then == now, f"{where}: {then!r} then, {now!r} now"


def held_to(then, now):
    """Source rows that the version which left this home never found, those of views keyed by instants and booleans,
    are found now; the others are the same."""
    found = [place for place, row in enumerate(then["source_rows"]) if row["arrived"] is not None]
    return [{**shown, "source_rows": [shown["source_rows"][place] for place in found]} for shown in (then, now)]


def test_every_version_answers_fixed_rows_bit_for_bit(left):
    client, expected = left
    assert asking.ask_versions(client) == expected["versions"]


def test_every_answer_is_found_where_it_was_left(left):
    """In open segments, in compacted ones and in batches; those that were open also after they are compacted."""
    client, expected = left
    for prediction, then in expected["predictions"].items():
        within(*held_to(then, asking.ask_prediction(client, prediction)), prediction)
    client.app.serving.compact(everything=True)
    for prediction in expected["open"][::3]:
        then = expected["predictions"][prediction]
        within(*held_to(then, asking.ask_prediction(client, prediction)), prediction)
    for model, then in expected["logged"].items():
        now = asking.logged(client, model)
        within(then, now, model)
        assert set(now) - set(then) == {i for i in expected["open"] if i.startswith(f"{model}~")}


def test_entities_have_the_features_and_scores_they_had(left):
    """Weather is keyed by instants, which the version that left this home did not read online."""
    client, expected = left
    now = asking.ask_entities(client)
    for model, answers in expected["entities"].items():
        for then, answer in zip(answers, now[model], strict=True):
            said = {k: v for k, v in then["features"].items() if not k.startswith("weather__")}
            within({"features": said, "entity": then["entity"]}, answer, model)
            if answer["features"] == then["features"] and answer["version"] == then["version"]:
                within({k: then[k] for k in ("score", "scores", "label")}, answer, model)


def test_online_values_are_what_they_were(left):
    """An entity that a windowed view never saw is now answered as one that is idle: the values are the same."""
    client, expected = left
    now = asking.ask_online(client)
    for view in set(expected["online"]) - {"weather"}:
        for key, then, answer in zip(asking.ONLINE[view], expected["online"][view], now[view], strict=True):
            within({"values": then["values"]} if key == "nowhere" else then, answer, f"{view} {key}")


def test_lists_say_what_they_said(left):
    client, expected = left
    for verb, arguments, then in expected["lists"]:
        if verb == "estimate":  # answers and labels of the newest window are counted as they are now, not as measured
            then = {
                **then,
                "newest": {k: v for k, v in then["newest"].items() if k not in ("known", "labelled", "rows")},
            }
        within(then, client.call(verb, **arguments), f"{verb} {arguments}")


def test_performance_and_labels_are_kept(left):
    client, expected = left
    for model in MODELS:
        within(expected["performance"][model], asking.performance(client, model), model)
        assert asking.labels(client, model).items() >= expected["labels"][model].items()


def test_every_record_that_lies_there_has_an_owner(left):
    client, _ = left
    with sqlite3.connect(client.app.home.database) as connection:
        kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT kind FROM record")}
    assert len(kinds) > 15 and {kind for kind in kinds if owner_of(kind) is None} == set()


def test_labels_come_after_the_change_of_versions_too(left):
    """An answer in a segment that the dead process left open gets its label, and a correction counts."""
    client, expected = left
    prediction = next(i for i in expected["open"] if i.startswith("late~") and expected["predictions"][i]["entity"])
    for label in (1, 0):
        client.call("label.add", model="late", value=label, prediction=prediction)
        assert asking.ask_prediction(client, prediction)["label"] == label


def test_it_goes_on(left, tmp_path):
    """The rollout moves, the training that died is finished or closed, a batch is answered, the home is backed up."""
    from hanok.engine.backup import restore
    from hanok.engine.home import Home

    client, expected = left
    client.app.training.resume()
    assert not client.app.durable.unfinished("train")
    client.app.clock.move_to(client.app.clock.now() + timedelta(days=1))
    client.call("tick")
    again = client.call("predict.batch", model="late", start="2026-03-14", end="2026-03-16")
    assert again["predictions"] > 20
    assert asking.ask_prediction(client, again["last"])["features"]
    proof = client.call("rollback", model="late", reason="golden")
    assert proof["golden"]["bit_equal"] is True
    client.call("backup", path=str(tmp_path / "b.tar"))
    client.close()
    restore(tmp_path / "b.tar", Home(tmp_path / "again"))
    with open_home(tmp_path / "again") as restored:
        for model in MODELS:
            assert asking.logged(restored, model).items() >= expected["logged"][model].items()
        for prediction in expected["open"][:5]:
            assert asking.ask_prediction(restored, prediction)["id"] == prediction
