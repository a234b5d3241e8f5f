"""Answers as they are listed and explained: once each, and none that was refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from hanok.core.access import SYSTEM, acting
from hanok.core.clock import SystemClock
from hanok.core.errors import Invalid
from hanok.core.predictions import Looked
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.parts import find
from hanok.engine.predictions import _NO_LABELS, Predictions
from tests.unit.server.test_hidden_names import deployed
from tests.unit.server.test_team import Team


@pytest.fixture
def app(tmp_path):
    made = open_app(Config(home=tmp_path / "home"), clock=SystemClock())
    deployed(made, "m")
    yield made
    made.close()


class MovedMeanwhile(Predictions):
    """Answers go from the log into the table between the look at the one and at the other."""

    __slots__ = ()

    def _fresh(self, *given):
        found = Predictions._fresh(self, *given)
        self.serving.compact(everything=True)
        return found


def test_answers_that_move_into_the_table_while_they_are_looked_for_are_listed_once(app):
    app.serving.predict("m", {"x": [1.0, 2.0, 3.0], "y": [1.0, 1.0, 1.0]})
    parts = find(app, Predictions)
    moved = MovedMeanwhile(parts.serving, parts.tables, parts.monitoring, parts.log)
    ids = [one.id for one in moved.search("m", Looked())]
    assert len(ids) == len(set(ids)) == 3
    assert ids == [one.id for one in parts.search("m", Looked())]


def test_what_cannot_be_explained_is_refused_before_it_is_logged(app):
    admin, rows = Team(app).admin(), 5_001
    inputs = [{"name": n, "shape": [rows], "datatype": "FP64", "data": [1.0] * rows} for n in "xy"]
    reply = admin.post("/v2/models/m/infer?explain=true", json={"inputs": inputs})
    assert reply.status_code == Invalid.status and "5000 are at once" in reply.text
    with acting(SYSTEM):
        app.serving.compact(everything=True)
        assert app.tables.size("predictions--m") == 0


def test_answers_are_listed_newest_first_wherever_they_lie(app):
    """What a batch answered is in the table at once, and older answers of single rows still in the log."""
    parts = find(app, Predictions)
    found = []
    for _ in range(3):
        app.serving.predict("m", {"x": [1.0], "y": [1.0]})
        found.append(parts.search("m", Looked())[0].id)
        app.serving.compact(everything=True) if len(found) == 2 else None
    listed = parts.search("m", Looked())
    assert [one.id for one in listed] == found[::-1]
    assert [one.id for one in parts.search("m", Looked(limit=2))] == found[:0:-1]
    fresh = parts._fresh("m", Looked(), {}, "regression", _NO_LABELS)

    class Late(Predictions):
        __slots__ = ()

        def _fresh(self, *given):
            return [replace(one, id="older", at=listed[-1].at - timedelta(seconds=1)) for one in fresh]

    late = Late(parts.serving, parts.tables, parts.monitoring, parts.log)
    assert late.search("m", Looked())[-1].id == "older" != late.search("m", Looked(limit=1))[0].id
