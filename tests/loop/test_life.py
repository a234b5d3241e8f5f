"""One project through everything that changes in a life: after each step what was answered before is still there.

The steps build on each other, so they are one test; its failure names the step.
"""

import pytest

from tests.loop.life import FIRST, Life


@pytest.fixture
def life(tmp_path):
    pytest.importorskip("lightgbm")
    made = Life(tmp_path)
    made.begin()
    yield made
    made.close()


def test_a_life(life):
    first = life.train()
    life.answer()
    life.check()

    step("a label comes for an answer, one before its answer")
    life.label(life.known[-1], 1)
    life.arrive()
    life.label(life.known[-1], 0)
    life.answer()
    life.check()

    step("a new feature: its shadow runs beside the first version")
    life.arrive(colour=["red", "blue", "red", None])
    life.declare(features=[*FIRST["features"], '"colour"'])
    second = life.train()
    life.answer()
    life.pass_time(days=1, hours=1)
    life.arrive(colour=["red", "blue", "red", None])
    life.answer()
    life.check()
    life.client.call("promote", model="late", version=second, force=True, reason="now")

    step("a dropped feature")
    life.declare(features=[*FIRST["features"][:3], '"colour"'])
    third = life.train()
    life.client.call("deploy", model="late", version=third)
    life.arrive(colour=["red", "blue", "red", None])
    life.answer()
    life.check()

    step("kill -9 while it answers")
    life.killed_while("answering", lines=3)
    life.check()

    step("a feature comes in another type, from another table")
    life.declare(senders="contracts")
    fourth = life.train()
    life.client.call("deploy", model="late", version=fourth)
    life.pass_time(hours=5)
    life.arrive(colour=["red", "blue", "red", None])
    life.answer()
    life.check()

    step("a view is edited under its name")
    life.declare(depot={"late": 'hk.sum("late")', "parcels": "hk.count()"})
    life.check()
    fifth = life.train()
    life.client.call("deploy", model="late", version=fifth)
    life.arrive(colour=["red", "blue", "red", None])
    life.answer()
    life.check()

    step("a header in other case")
    header_in_other_case(life)
    life.answer()
    life.check()

    step("a bad version is forced, and rolled back twice")
    bad = life.train(promote=False)
    life.client.call("promote", model="late", version=bad, force=True, reason="we know better")
    life.answer()
    for _ in range(2):
        proof = life.client.call("rollback", model="late", reason="it was bad")
        assert proof["golden"]["bit_equal"] in (True, None), proof
        assert proof["to"] != bad and [a["version"] for a in life.served()["arms"]] == [proof["to"]]
        life.answer()
        life.check()

    step("labels are corrected, and corrected back")
    parcel = next(said["entity"]["parcel"] for said in reversed(life.said.values()))
    for value in (1, 0, 1):
        life.label(parcel, value)
        life.check()

    step("kill -9 while it materializes and trains")
    life.killed_while("training", lines=1, wait_s=1.5)
    life.app.training.resume()
    assert not life.app.durable.unfinished("train")
    life.arrive(colour=["red", "blue", "red", None])
    life.answer()
    life.check()
    life.app.serving.compact(everything=True)
    life.check()
    assert first < second < third < fourth < fifth < bad


def header_in_other_case(life):
    """The batch is refused with both names, or its columns are kept apart; the table can be read either way."""
    import hanok as hk

    rows = life.app.tables.size("parcels")
    try:
        life.arrive(Weight=[1.0, 2.0, 3.0, 4.0])
    except hk.HanokError as error:
        assert "weight" in str(error) and "Weight" in str(error), error
        assert life.app.tables.size("parcels") == rows
    life.client.call("table.show", name="parcels")


def step(name):
    """What is done next, for the report of a failure."""
    print(f"-- {name}")  # noqa: T201
