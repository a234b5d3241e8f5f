"""Each action of several steps, killed at any moment: the next start is clean, nothing that was acknowledged is lost,
the action ends when it is asked for again, and nothing is left over."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from hanok.compute.duck import read
from hanok.engine.backup import backup
from hanok.engine.doctor import check_home
from hanok.engine.home import Home
from tests.loop.run import open_shop

GOLDEN = Path(__file__).parents[1] / "golden" / "home-0.1.tar.xz"
BEGIN = """
import sys
from pathlib import Path
root = Path(sys.argv[1])
from tests.loop.run import PROJECT, open_shop
"""
OPENED = "app = open_shop(root / 'home')\napp.clock.move_to(app.home.clock().now())\nprint('begun', flush=True)\n"
ACTIONS = {
    "apply": OPENED
    + """
from hanok.engine.project import load_project
changed = root / "changed" / "project.py"
changed.parent.mkdir(exist_ok=True)
changed.write_text(PROJECT.read_text().replace('windows=["3d", "7d"]', 'windows=["3d", "5d"]'))
for path in (changed, PROJECT, changed):
    app.declaring.apply(load_project(path))
""",
    "materialize": OPENED + "[app.features.materialize(v.name) for v in app.features.views()]\n",
    "compact": OPENED
    + """
columns = {c.name: [1.0 if c.datatype == "FP64" else "mug"] for c in app.serving.model("returns").signature.inputs}
for _ in range(3):
    ids = [app.serving.predict("returns", columns)[0].prediction_id for _ in range(200)]
    print("answered", *ids, flush=True)
    app.serving.compact(everything=True)
""",
    "ingest": OPENED
    + """
from hanok.stores.testing.tables import rows
for number in range(40):
    app.tables.append("plain", rows(*range(number * 10, number * 10 + 10)), key=f"b{number}")
    print("appended", number, flush=True)
""",
    "backup": OPENED
    + """
from hanok.engine.backup import backup
for number in range(3):
    backup(app.home, app.metadata, app.tables, app.log, root / f"b{number}-{len(list(root.iterdir()))}.tar")
""",
    "restore": """
print("begun", flush=True)
from hanok.engine.backup import restore
from hanok.engine.home import Home
restore(root / "kept.tar", Home(root / "again"))
""",
    "migration": """
print("begun", flush=True)
from tests.golden.make import open_home
open_home(root / "old").close()
""",
}


@pytest.fixture
def root(replayed_home, tmp_path):
    shutil.copytree(replayed_home, tmp_path / "home")
    return tmp_path


def run(root, action, kill_after=None):
    """What the action said; it is killed after some seconds of its work, where that is said."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + ACTIONS[action], str(root)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout.readline() == "begun\n"
    if kill_after is not None:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    said = process.stdout.read().splitlines()
    assert process.wait(60) in (0, -signal.SIGKILL) and (kill_after is not None or process.returncode == 0)
    return said


def rows_of(app):
    """All rows of all tables by their number. Of a row, what it had counts: a later batch may bring a column."""
    return {name: {row["_seq"]: row for row in read(app.tables.scan(name)).to_pylist()} for name in app.tables.names()}


def look(home, tables, said):
    """What was there, and what was acknowledged since, is there; the doctor finds nothing wrong."""
    app = open_shop(home)
    app.clock.move_to(app.home.clock().now())
    try:
        now = rows_of(app)
        for name, rows in tables.items():
            for number, row in rows.items():
                assert {n: now[name][number][n] for n in row} == row, (name, number)
        for line in said:
            kind, *words = line.split()
            if kind == "answered":
                assert all(app.serving.find(i).score is not None for i in words)
            if kind == "appended":
                assert set(range(int(words[0]) * 10, int(words[0]) * 10 + 10)) <= set(now["plain"])
        found = app.predicting.predict_entity("returns", {"order": "o00100"})
        assert found is not None
    finally:
        app.close()
    assert not [f for f in check_home(Home(home)) if not f.ok]


def live_through(root, action, seed, tables):
    rng = random.Random(seed)
    said = run(root, action, kill_after=rng.expovariate(1 / 0.3))
    home = root / "home"
    if action == "restore":
        assert not (root / "again").exists() or (root / "again" / "hanok.db").exists()
        time.sleep(1.1)
        if not (root / "again").exists():
            run(root, action)
        home = root / "again"
        assert not list(root.glob("hanok-restore-*"))
    elif action == "migration":
        run(root, action)
        assert not [f for f in check_home(Home(root / "old")) if not f.ok]
    else:
        look(home, tables, said)
        time.sleep(1.1)
        said += run(root, action)
        assert not list(root.glob("*.partial")) and not list((home / "hanok-work").glob("backup-*"))
    look(home, tables, said)


def prepared(root, action):
    app = open_shop(root / "home")
    tables = rows_of(app)
    if action == "restore":
        backup(app.home, app.metadata, app.tables, app.log, root / "kept.tar")
    app.close()
    if action == "migration":
        with tarfile.open(GOLDEN) as archive:
            archive.extractall(root / "golden", filter="data")
        (found,) = (p.parent for p in (root / "golden").rglob("hanok.db"))
        found.rename(root / "old")
    return tables


@pytest.mark.parametrize("action", list(ACTIONS))
def test_an_action_that_is_killed_leaves_a_home_that_is_whole(root, action):
    live_through(root, action, 1, prepared(root, action))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 16))
@pytest.mark.parametrize("action", list(ACTIONS))
def test_actions_killed_at_any_moment_leave_homes_that_are_whole(root, action, seed):
    live_through(root, action, seed, prepared(root, action))
