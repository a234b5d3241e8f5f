"""A project file that is refused stops no home: what was applied last goes on, and says what is wrong."""

import json
import logging
import os
import shutil
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime

import pytest

from hanok.core.errors import DeclarationError
from hanok.engine.app import open_app
from hanok.engine.config import Config
from tests.loop import feeds

GOOD = """
import hanok as hk


def train(frame):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(frame.X, frame.y)


spine = hk.Spine("orders", predict_at="ordered", keys=["order"])
label = hk.Label("returns", column="returned", known_at="known")
price = hk.FeatureView(
    "price", keys="product", ttl="30d", features=["amount"], source=hk.Source("prices", event_time="changed")
)
mine = hk.Model("mine", task="binary", spine=spine, label=label, features=["size", price], train=hk.AutoML(trials=0))
other = hk.Model("other", task="binary", spine=spine, label=label, features=["size"], train=train)
"""
MINE, VIEW = 'features=["size", price]', 'features=["amount"]'
BROKEN = {
    "a column that is not there": (GOOD.replace(MINE, 'features=["sizes", price]'), "has no column 'sizes'"),
    "a view's column that is not there": (GOOD.replace(VIEW, 'features=["amounts"]'), "has no column 'amounts'"),
    "keys of another kind": (GOOD.replace('keys="product"', 'keys="changed"'), "'changed'"),
    "a rule that makes no sense": (
        GOOD.replace(MINE, MINE + ', rollout=hk.Rollout(rollback_if=["loss is bad"])'),
        "loss is bad",
    ),
    "a value that is refused": (GOOD.replace('task="binary"', 'task="guess"', 1), "guess"),
    "a syntax error": (GOOD + "def (:\n", "line 18"),
    "an error of its own": (GOOD + "1 / 0\n", "ZeroDivisionError"),
}
UNREADABLE = ("a rule that makes no sense", "a value that is refused", "a syntax error", "an error of its own")


@pytest.fixture(scope="module")
def applied(tmp_path_factory):
    """A home with a trained and deployed model, under the good file."""
    root = tmp_path_factory.mktemp("refused")
    (root / "project.py").write_text(GOOD)
    app = open_app(Config(home=root / "home", project=root / "project.py"))
    for feed in feeds.feeds(10):
        app.ingesting.ingest(
            feed.table, feed.rows, key="all", arrived=feed.arrived, keys=feed.keys, event_time=feed.event_time
        )
    app.home.note_time(datetime(2026, 1, 22, tzinfo=UTC))
    app.close()
    app = open_app(Config(home=root / "home"))
    app.training.train("mine")
    app.training.deploy("mine", 1, actor="me", reason="first")
    app.close()
    return root


@pytest.fixture
def root(applied, tmp_path):
    shutil.copytree(applied, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("kind", BROKEN)
def test_a_home_opens_with_what_was_applied_last_and_trains_what_is_not_concerned(root, kind, caplog):
    text, said = BROKEN[kind]
    (root / "project.py").write_text(text)
    with caplog.at_level(logging.ERROR, "hanok.project"):
        app = open_app(Config(home=root / "home", project=root / "project.py"))
    try:
        assert said in caplog.text and "project.py is not applied" in caplog.text
        assert {m.name: m.feature_columns for m in app.training.models()} == {
            "mine": ("size", "price__amount"),
            "other": ("size",),
        }
        answer = app.predicting.predict_entity("mine", {"order": "o00003"})
        assert set(answer["features"]) == {"size", "price__amount"}
        concerned = ["mine", "other"] if kind in UNREADABLE else ["mine"]
        assert sorted(a.subject for a in app.alerts.list(state="open")) == concerned
        assert all(said in a.summary for a in app.alerts.list(state="open"))
        for name in concerned:
            with pytest.raises(DeclarationError, match="is not trained") as refused:
                app.training.train(name)
            assert said in refused.value.message
        assert app.upkeep.retrain() == []
        if "other" not in concerned:
            assert app.training.train("other").version == 1
    finally:
        app.close()
    (root / "project.py").write_text(GOOD.replace(MINE, 'features=["size"]'))
    app = open_app(Config(home=root / "home", project=root / "project.py"))
    try:
        assert app.alerts.list(state="open") == []
        assert app.training.model("mine").feature_columns == ("size",)
        assert app.training.train("mine", promote=False).version == 2
    finally:
        app.close()


def command(root, *words):
    ran = subprocess.run(
        [sys.executable, "-m", "hanok", *words, "--home", str(root / "home")],
        env={**os.environ, "HANOK_PROJECT": str(root / "project.py")},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("kind", ["a column that is not there", "a syntax error"])
def test_commands_and_the_server_go_on_while_apply_and_train_refuse(root, kind):
    text, said = BROKEN[kind]
    (root / "project.py").write_text(text)
    (root / "more.csv").write_text("order,ordered,product,size\no99999,2026-01-21T00:00:00Z,mug,9.5\n")
    code, _, told = command(root, "ingest", "orders", str(root / "more.csv"))
    assert (code, said in told) == (0, True), told
    for words in (["apply"], ["train", "mine"]):
        code, _, told = command(root, *words)
        assert code != 0 and said in told
    server = subprocess.Popen(
        [sys.executable, "-m", "hanok", "up", "--port", "0", "--json", "--home", str(root / "home")],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = json.loads(server.stdout.readline())["address"]
        request = urllib.request.Request(
            f"{address}/api/v1/predict",
            json.dumps({"model": "mine", "match": {"order": "o99999"}}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert json.loads(reply.read())["version"] == 1
    finally:
        server.terminate()
        told = server.communicate()[1]
    assert said in told
