"""Whatever a verb writes besides: for a caller it is done whole, or refused with nothing changed."""

import sqlite3

import pytest

from hanok.core.access import Access, Actor, acting
from hanok.core.errors import Forbidden, HanokError, NotFound
from hanok.core.records import needed_of
from hanok.engine.verbs.registry import VERBS, call, load_all
from hanok.server.auth import authorise
from tests.unit.engine.test_labelling import COLUMNS

load_all()
OWN_AFFAIRS = {name for name in VERBS if name.partition(".")[0] in ("user", "token", "role", "project")}
"""They ask who one is, and have tests of their own (tests/unit/server/test_team.py)."""
FILE = {"source": "more.csv", "digest": "a" * 64, "columns": list(COLUMNS), "keys": {}}


@pytest.fixture
def team(shop):
    """A shop with answers, labels and alerts that nobody has looked at yet, as a server with a login has it open."""
    shop.serving.compact(everything=True)
    shop.metadata.strict = True
    yield shop
    shop.metadata.strict = False


def arguments(shop):
    """For each verb that readers and users have: what asks for something that is there."""
    model, of, table = {"model": "returns"}, {"name": "returns"}, {"name": "orders"}
    with acting(Actor("ann", Access.OWN)):
        run = call(shop, "run.list", "ann", {"limit": 1})[0]["id"]
        asked = shop.serving.predict("returns", COLUMNS, entity={"order": "x"})[0].prediction_id
        begun = call(shop, "predict.begin", "ann", model | FILE)["id"]
        shop.serving.compact(everything=True)
    day = f"{shop.clock.now():%Y-%m-%d}"
    span = {"start": "2013-01-01", "end": "2013-01-02"}
    return {
        "experiment.list": {},
        "label.add": model | {"value": 1, "entity": {"order": "x"}},
        "label.show": model,
        "feature.list": {},
        "feature.show": {"name": "product"},
        "feature.online": {"entities": [{"product": "mug"}], "features": ["product:orders_3d"]},
        "feature.stats": {"name": "product"},
        "feature.reproduce": {"training_set": "none"},
        "table.list": {},
        "table.show": table,
        "job.list": {},
        "model.history": of,
        "predict.batch": model | span,
        "predict.reading": model,
        "predict.begin": model | FILE | {"digest": "b" * 64},
        "predict.finish": model | {"batch": begun, "rows": 0},
        "predict": model | {"match": {"order": "o1"}},
        "estimate": model,
        "model.files": model | {"version": 1},
        "run.list": {},
        "run.show": {"run": run},
        "run.compare": {"runs": [run, run]},
        "run.export": {},
        "sql": {"query": "SELECT count(*) AS n FROM runs"},
        "model.list": {},
        "model.show": of,
        "model.compare": of | {"versions": [1, 1]},
        "prediction.list": model,
        "prediction.batches": {},
        "prediction.show": {"prediction": asked},
        "alert.list": {},
        "alert.show": {"alert": "none"},
        "lineage": {"node": run},
        "study.list": {},
        "study.show": {"name": "none"},
        "study.trials": {"name": "none"},
        "study.export": {"name": "none"},
        "validation.statistics": {"statistics": "", "schema": ""},
        "quarantine.list": {"table": "orders"},
        "schema.show": {"table": "orders"},
        "schema.proposal": {"table": "orders"},
        "skew": model,
        "table.statistics": table,
        "table.history": table,
        "table.anomalies": table | {"metric": "Size"},
        "table.profile": table,
        "table.drift": table | {"between": ["2013-01", "2013-02"]},
        "why": {"subject": "returns", "day": day},
    }


class Written:
    """What stands in the stores: a number that moves with every commit of the metadata, and the sizes of the tables."""

    def __init__(self, shop):
        self._shop, self._db = shop, sqlite3.connect(shop.home.root / "hanok.db")

    def now(self):
        tables = self._shop.tables._inner
        (commits,) = self._db.execute("PRAGMA data_version").fetchone()
        return commits, {n: tables.size(n) for n in tables.names()}


def test_a_verb_is_done_whole_or_refused_with_nothing_changed(team):
    shop, odd = team, []
    given = arguments(shop)
    held = {v.name for v in VERBS.values() if v.access <= Access.USE} - OWN_AFFAIRS
    assert held == set(given), "a new verb for readers or users says here with what it is asked"
    written = Written(shop)
    for role in (Access.READ, Access.USE):
        somebody = Actor("eve", role, {"default": role})
        for name, verb in VERBS.items():
            if name in OWN_AFFAIRS:
                continue
            before = written.now()
            with acting(somebody):
                try:
                    authorise(somebody, verb.access, everywhere=bool(verb.everywhere))
                    call(shop, name, "eve", given.get(name, {}))
                    continue
                except Forbidden as error:
                    if verb.access <= role:
                        odd.append((role.name, name, error.message))
                except HanokError:
                    pass
            if written.now() != before:
                odd.append((role.name, name, "refused, and something is written"))
    assert odd == []


def test_a_label_of_a_user_is_joined_once_and_one_that_he_may_not_send_is_not_written(team):
    with acting(Actor("ann", Access.OWN)):
        asked = team.serving.predict("returns", COLUMNS, entity={"order": "mine"})[0].prediction_id
    label = {"model": "returns", "value": 1, "prediction": asked}
    size = team.tables._inner.size("returns")
    with acting(Actor("use", Access.USE, {"default": Access.USE})):
        assert call(team, "label.add", "use", label)["joined"] == 1
    assert team.tables._inner.size("returns") == size + 1
    for grants in ({"default": Access.READ}, {"other": Access.USE}):
        with acting(Actor("eve", max(grants.values()), grants)), pytest.raises((Forbidden, NotFound)):
            call(team, "label.add", "eve", label)
    assert team.tables._inner.size("returns") == size + 1


def test_a_record_asks_for_the_right_to_edit_unless_its_kind_says_otherwise():
    assert needed_of("prediction-batch") is Access.USE
    assert needed_of("drift") is needed_of("nobody's") is Access.EDIT
