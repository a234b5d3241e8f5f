"""What one may not see is not there: each verb answers a hidden name as it answers one that does not exist."""

import re
import tempfile
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import pytest

from hanok.core.access import SYSTEM, acting
from hanok.core.clock import SystemClock
from hanok.core.ids import new_id
from hanok.core.lineage import Node, NodeKind
from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.serving import Arm
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.project import Project
from hanok.engine.verbs import VERBS
from hanok.engine.verbs.registry import load_all
from tests.loop import project as shop
from tests.unit.parts.serving.conftest import linear
from tests.unit.server.test_team import API, Team

load_all()
HIDDEN, ABSENT = "secretive", "nowherest"
"""Of one length, so that no answer differs by what is cut off."""


@pytest.fixture(scope="module")
def eve_and_names():
    """Eve owns `churn`. In `fraud` lies one of everything that has a name, of the name HIDDEN."""
    with tempfile.TemporaryDirectory() as folder:
        app = open_app(Config(home=Path(folder) / "home"), clock=SystemClock())
        team = Team(app)
        ann, eve = team.member("ann", {"fraud": "editor"}), team.member("eve", {"churn": "owner"})
        experiment = ann.post(f"{API}/experiments/create", json={"name": HIDDEN}).json()["experiment_id"]
        run = ann.post(f"{API}/runs/create", json={"experiment_id": experiment, "run_name": HIDDEN}).json()
        assert ann.post("/api/v1/study/create", json={"name": HIDDEN, "space": {}}).status_code in (200, 400)
        with acting(SYSTEM):
            version = deployed(app, HIDDEN)
            model = shop.returns.__class__(**{**_fields(shop.returns), "name": HIDDEN})
            app.declaring.apply(Project((), model.views, (model,)))
            answer = app.serving.predict(HIDDEN, {"x": [1.0], "y": [2.0]})
            app.serving.compact(everything=True)
            app.access.assign("fraud", models=[HIDDEN])
        names = {
            HIDDEN: ABSENT,
            f"{HIDDEN}@1": f"{ABSENT}@1",
            f"predictions--{HIDDEN}": f"predictions--{ABSENT}",
            run["run"]["info"]["run_id"]: "0" * 32,
            version: "1" * 32,
        }
        assert answer is not None
        yield eve, names
        team.server.close()
        app.close()


def _fields(declared):
    return {n: getattr(declared, n) for n in ("task", "spine", "label", "features", "train", "gate")}


def deployed(app, name):
    now, digest, node = app.clock.now(), app.packages.save(linear(["x", "y"])), new_id(app.clock.now())

    def work(r):
        r.registry.put_model(RegisteredModel(name, now, now))
        r.lineage.add([Node(node, NodeKind.MODEL_VERSION, name, now)])
        return r.registry.add_version(ModelVersion(node, name, 0, now, package=digest)).version

    app.serving.deploy(name, [Arm(app.metadata.write(work), "primary", 100)], actor="me", reason="test")
    return node


def _some(kind):
    """A value of an argument's kind."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _some(get_args(kind)[0])
    if origin is Literal:
        return get_args(kind)[0]
    for made, value in ((str, "x"), (int, 1), (float, 1.0), (bool, False)):
        if kind is made or made in get_args(kind):
            return value
    text = str(kind)
    return {} if "Mapping" in text.split("[")[0] else [] if "Sequence" in text.split("[")[0] else "2026-01-01"


def _of_text(kind):
    """How a name is put into an argument; None where it takes no text."""
    if kind is str or str in get_args(kind):
        return lambda name: name
    return (lambda name: [name]) if "Sequence" in str(kind) and "str" in str(kind) else None


WALKED = [
    (verb, name)
    for verb in VERBS.values()
    for name, argument in verb.arguments.items()
    if _of_text(argument.kind) is not None and not verb.on_this_machine
]


NAMED_BY_ID = {"experiment", "id", "model", "name", "node", "run", "runs", "subject", "table", "alert", "study"}


def test_each_verb_answers_a_hidden_name_as_one_that_does_not_exist(eve_and_names):
    eve, names = eve_and_names
    told = []
    for verb, argument in WALKED:
        put = _of_text(verb.arguments[argument].kind)
        others = {a.name: _some(a.kind) for a in verb.arguments.values() if a.required and a.name != argument}
        for hidden, absent in names.items() if argument in NAMED_BY_ID else [(HIDDEN, ABSENT)]:
            seen, unseen = (
                eve.post(f"/api/v1/{verb.name.replace('.', '/')}", json={**others, argument: put(name)})
                for name in (hidden, absent)
            )
            told += _told(verb.name, argument, (seen, hidden), (unseen, absent))
    assert len(WALKED) > 80 and not told, "\n".join(map(str, told))


def _told(verb, argument, *answered):
    """What two answers tell of what is hidden, once each name that was asked for is masked."""
    masked = [
        (r.status_code, re.sub(rf"{re.escape(name.partition('@')[0])}\b", "NAME", r.text)) for r, name in answered
    ]
    if masked[0] != masked[1]:
        return [(verb, argument, answered[0][1], *masked)]
    return [(verb, argument, "names what is hidden", masked[1])] if HIDDEN in masked[1][1] else []
