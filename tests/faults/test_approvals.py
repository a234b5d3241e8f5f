"""Approving a model that runs code of its own, and taking that back: in every process of the home, at once."""

import shlex
import sys
from pathlib import Path

import pytest

from hanok.core.clock import SystemClock
from hanok.core.errors import NotFound, Unavailable, Unsafe
from hanok.core.ids import new_id
from hanok.core.lineage import Node, NodeKind
from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.serving import Arm
from hanok.engine.app import open_app
from hanok.engine.approving import Approving, Asked
from hanok.engine.config import Config
from hanok.engine.executors.foreign import content_hash
from hanok.engine.parts import find
from hanok.engine.verbs import call
from tests.faults.test_foreign_models import PANDAS

ROOT = "1/models/m-1/artifacts"
LOADER = """
import os
def load_model(folder):
    named = {}
    exec(open(os.path.join(folder, "code.py")).read(), named)
    return named["Model"]()
"""
CODE = "class Model:\n    def predict(self, frame): return [2.0 * a for a in frame['a']]\n"
MLMODEL = """flavors: {python_function: {loader_module: x}}
signature: {inputs: '[{"name": "a", "type": "double"}]'}
"""


class Home:
    """An open home with version 1 of `m`, logged with code of its own."""

    def __init__(self, root):
        (root / "libraries" / "mlflow").mkdir(parents=True)
        (root / "libraries" / "mlflow" / "__init__.py").touch()
        (root / "libraries" / "mlflow" / "pyfunc.py").write_text(LOADER)
        (root / "libraries" / "pandas.py").write_text(PANDAS)
        python = root / "python"
        libraries = shlex.quote(str(root / "libraries"))
        python.write_text(f'#!/bin/sh\nshift\nPYTHONPATH={libraries} exec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        self.python, self.app = str(python), open_app(Config(home=root / "home"), clock=SystemClock())
        self.put("MLmodel", MLMODEL)
        self.put("code.py", CODE)
        now = self.app.clock.now()
        node = new_id(now)

        def work(r):
            r.registry.put_model(RegisteredModel("m", now, now))
            r.lineage.add([Node(node, NodeKind.MODEL_VERSION, "m", now)])
            r.registry.add_version(ModelVersion(node, "m", 0, now, source=f"mlflow-artifacts:/{ROOT}"))

        self.app.metadata.write(work)

    def put(self, name, text):
        self.app.tracking.artifacts.put(f"{ROOT}/{name}", iter([text.encode()]))

    def call(self, verb, **arguments):
        return call(self.app, verb, "ann", {"model": "m", "version": 1, **arguments})

    def approve(self):
        return self.call("model.approve", hash=self.call("model.approve")["hash"], python=self.python)

    def score(self):
        return self.app.serving.predict("m", {"a": [4.0]})[0].score

    @property
    def pids(self):
        return [m._called.pid for m in self.app.packages.foreign._running.values()]


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    yield made
    made.app.close()


def test_an_approval_that_is_taken_back_ends_the_process_and_says_so_until_it_is_given_again(home):
    with pytest.raises(NotFound, match="was not approved"):
        home.call("model.revoke")
    approved = home.approve()
    home.app.serving.deploy("m", [Arm(1, "primary", 100)], actor="ann", reason="test")
    assert home.score() == 8.0
    held, (pid,) = home.app.serving.model("m"), home.pids
    assert home.call("model.revoke")["answers"] == 100
    assert home.pids == [] and not Path(f"/proc/{pid}").exists()
    with pytest.raises(Unavailable, match=r"ann took back the approval of its files.*hanok rollback m"):
        home.score()
    assert "took back" in home.app.serving._versions.snapshot("m").broken[1]
    with pytest.raises(Unsafe, match="took back"):  # who had it in hand starts it no more
        held.score({"a": [4.0]})
    home.call("model.approve", hash=approved["hash"], python=home.python)
    home.app.serving._versions._mend_at = 0.0
    home.app.serving.refresh()
    assert home.score() == 8.0


def test_another_process_of_the_home_notices_that_an_approval_was_taken_back(home):
    home.approve()
    home.app.serving.deploy("m", [Arm(1, "primary", 100)], actor="ann", reason="test")
    assert home.score() == 8.0
    find(home.app, Approving).revoke("m", 1, "eve")  # as said to another process, which has the same records
    home.app.serving.refresh()  # which each server does every second
    with pytest.raises(Unavailable, match="eve took back"):
        home.score()
    assert home.pids == []


def test_what_replaced_a_file_since_its_hash_was_read_is_not_run(home, tmp_path):
    read = home.app.tracking.artifacts.get
    files = {name: read(f"{ROOT}/{name}").digest for name in ("MLmodel", "code.py")}
    home.put("code.py", f"open({str(tmp_path / 'ran')!r}, 'w')\n{CODE}")
    asked = Asked("m", 1, ROOT, files, content_hash(files), home.python, "", ())
    assert find(home.app, Approving).approve(asked, "ann").approved
    assert not (tmp_path / "ran").exists()
    with pytest.raises(Unsafe, match="nothing of it was run"):
        home.call("model.approve", hash=content_hash(files), python=home.python)
    assert not (tmp_path / "ran").exists()
