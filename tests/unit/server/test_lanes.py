"""Each kind of work has threads of its own: however much of one is asked for, the others go on."""

import asyncio
import contextlib
import threading
from dataclasses import replace
from typing import get_args

import pytest

from hanok.core.access import LOCAL, Access, Actor, acting
from hanok.core.errors import Throttled, Unavailable
from hanok.core.work import VerbWork, Work
from hanok.engine.verbs.registry import VERBS, load_all
from hanok.parts.serving.deployments import Snapshot
from hanok.server.api import work_of
from hanok.server.lanes import BOUNDS, Bounds, Lane, Lanes, in_lane, use, while_asked
from tests.unit.parts.serving.conftest import Place, linear

load_all()
EVE, ANN = Actor("eve", Access.READ), Actor("ann", Access.READ)
WORK = sorted(get_args(Work))


def test_every_verb_says_which_kind_of_work_it_is_and_every_kind_has_a_bound():
    assert {v.name: v.work for v in VERBS.values() if v.work not in get_args(VerbWork)} == {}
    assert set(BOUNDS) == set(WORK)
    assert all(b.threads and b.waiting and b.wait_s and b.each < b.threads for b in BOUNDS.values())


def test_readers_hold_up_nothing_that_must_go_on():
    must = {"predict", "label.add", "rollback", "deploy", "token.revoke", "user.disable", "job.cancel"}
    assert {name for name in must if VERBS[name].work != "urgent"} == set()
    assert [v.name for v in VERBS.values() if v.work == "long" and v.access < Access.EDIT] == []
    assert {VERBS[n].work for n in ("sql", "why", "lineage", "table.profile", "reproduce")} == {"heavy"}


def test_whoever_asks_a_model_in_a_process_of_its_own_waits_with_its_kind_alone(tmp_path):
    place = Place(tmp_path)
    one, two = place.version(linear(["x"])), place.version(linear(["x"]), "foreign")
    place.deploy(one)
    place.deploy(two, model="foreign")
    live = place.serving._versions._live["foreign"]
    away = Snapshot(live.deployment, {two: replace(live.models[two], away=True)}, {})
    place.serving._versions._live["foreign"] = away
    asked = {(v, m): work_of(place.serving, VERBS[v], {"model": m})
        for v in ("predict", "predict.batch") for m in ("m", "foreign", "no")
    }  # fmt: skip
    assert asked == {
        ("predict", "m"): "urgent", ("predict", "foreign"): "away", ("predict", "no"): "urgent",
        ("predict.batch", "m"): "heavy", ("predict.batch", "foreign"): "away_bulk", ("predict.batch", "no"): "heavy",
    }  # fmt: skip
    assert work_of(place.serving, VERBS["rollback"], {"model": "foreign"}) == "urgent"
    assert work_of(place.serving, VERBS["predict"], {"model": ["foreign"]}) == "urgent"
    place.close()


@pytest.mark.parametrize("taken", WORK)
def test_while_one_kind_is_full_all_others_go_on_and_it_says_when_to_come_again(taken):
    async def asked():
        lanes, hold = Lanes({kind: Bounds(1, 1) for kind in WORK}), threading.Event()
        use(lanes)
        held = [asyncio.ensure_future(in_lane(taken, hold.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        try:
            for kind in WORK:
                if kind != taken:
                    assert await in_lane(kind, lambda: "done") == "done"
            with pytest.raises(Unavailable) as refused:
                await in_lane(taken, lambda: "done")
            assert refused.value.fields["retry_after_s"] > 0
        finally:
            hold.set()
        assert await asyncio.gather(*held) == [True, True]
        assert await in_lane(taken, lambda: "done") == "done"
        lanes.close()

    asyncio.run(asked())


def test_one_user_never_has_all_threads_of_a_kind():
    async def asked():
        lane, hold = Lane("heavy", Bounds(2, 8, each=1)), threading.Event()
        with acting(EVE):
            held = asyncio.ensure_future(lane.run(hold.wait))
            await asyncio.sleep(0)
            with pytest.raises(Throttled) as refused:
                await lane.run(lambda: "done")
        assert refused.value.fields["retry_after_s"] > 0
        with acting(ANN):
            assert await lane.run(lambda: "done") == "done"
        with acting(LOCAL):  # where nobody logs in, everybody is the same
            assert await asyncio.gather(*(lane.run(lambda: "done") for _ in range(3))) == ["done"] * 3
        hold.set()
        await held
        with acting(EVE):
            assert await lane.run(lambda: "done") == "done"
        lane.close()

    asyncio.run(asked())


def test_what_waited_too_long_is_refused_and_never_runs():
    async def asked():
        lane, hold, ran = Lane("read", Bounds(1, 8, wait_s=0.01)), threading.Event(), []
        held = asyncio.ensure_future(lane.run(hold.wait))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="waited"):
            await lane.run(lambda: ran.append("late"))
        hold.set()
        await held
        assert await lane.run(lambda: "done") == "done"
        assert ran == []
        lane.close()

    asyncio.run(asked())


def test_work_hears_that_its_caller_hung_up():
    async def asked():
        hung_up = asyncio.Event()

        async def receive():
            await hung_up.wait()
            return {"type": "http.disconnect"}

        heard, stop = threading.Event(), threading.Event()
        with acting(EVE) as call:

            def work():
                while not call.gone and not stop.is_set():
                    stop.wait(0.005)
                heard.set()

            use(Lanes())
            running = asyncio.ensure_future(while_asked("heavy", work, receive))
            await asyncio.sleep(0)
            hung_up.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(running), 5)
            stop.set()
            await running
        assert call.gone
        assert heard.is_set()

    asyncio.run(asked())
