"""Files and tables answered in pieces: each row once, by the arms that answered when it began, however it is cut."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.compute.duck import read
from hanok.core.batches import DONE, RUNNING, Wanted
from hanok.core.errors import Conflict, Invalid, NotFound, Unavailable
from hanok.parts.serving.bulk import answers_logged
from tests.unit.parts.serving.conftest import linear

NUMBERS = st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=1, max_size=30)


def wanted(digest="d" * 64, **more):
    return Wanted("rows.csv", digest, ("x", "y", "customer"), **more)


def rows(values):
    return pa.table({"x": pa.array(values, pa.float64()), "y": pa.array([1.0] * len(values))})


def begin(place, digest="d" * 64, **more):
    return place.serving.batches.begin("m", wanted(digest, **more), upto=0, actor="me")


def answered(place, batch, number, values):
    return place.serving.batches.answer(batch, number, rows(values), {}).to_pylist()


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=NUMBERS, cut=st.integers(1, 30), model=st.sampled_from(["regression", "binary", "multiclass"]))
def test_pieces_of_any_size_answer_each_row_as_one_request_does_and_say_so_again(place, values, cut, model):
    classes = {"regression": (), "binary": ("no", "yes"), "multiclass": ("a", "b", "c")}[model]
    name = f"m{len(place.serving.deployments())}"
    place.deploy(place.version(linear(["x", "y"], task=model, classes=classes, refuses_nulls=True), name), model=name)
    batch = place.serving.batches.begin(name, wanted(piece_rows=cut), upto=0, actor="me")
    found, again = [], []
    for number, start in enumerate(range(0, len(values), cut)):
        piece = rows(values[start : start + cut])
        found += place.serving.batches.answer(batch, number, piece, {}).to_pylist()
        again += place.serving.batches.answer(batch, number, piece, {}).to_pylist()
    assert again == found
    assert len({f["prediction_id"] for f in found}) == len(values)
    for value, answer in zip(values, found, strict=True):
        if value is None:
            assert answer["score"] is None and answer["label"] is None and "takes no missing values" in answer["error"]
            continue
        (alone,) = place.serving.predict(name, {"x": [float(value)], "y": [1.0]})
        assert (answer["score"], answer["label"], answer["error"]) == (alone.score, alone.label, None)
        assert model != "multiclass" or tuple(answer["scores"]) == alone.scores
        logged = place.serving.find(answer["prediction_id"])
        assert (logged.score, logged.features) == (alone.score, {"x": float(value), "y": 1.0})


def test_a_row_that_a_model_cannot_take_fails_no_other(place):
    class Picky:
        def score(self, matrix):
            if (matrix[:, 0] == 3).any():
                raise ValueError("three")
            return matrix.sum(axis=1)

    one = place.version(linear(["x", "y"]))
    place.deploy(one)
    place.swap_model(one, Picky())
    found = answered(place, begin(place), 0, [float(i % 50) for i in range(400)])
    wrong = [i for i, f in enumerate(found) if f["error"]]
    assert wrong == list(range(3, 400, 50))
    assert all("three" in found[i]["error"] and found[i]["score"] is None for i in wrong)
    assert found[4]["score"] == 5.0


def test_a_batch_keeps_its_arms_and_its_instant_whatever_is_deployed_meanwhile(place):
    one, two = place.version(linear(["x", "y"])), place.version(linear(["x"]))
    place.deploy(one)
    batch = begin(place)
    first = answered(place, batch, 0, [1.0])
    place.deploy(two)
    assert begin(place).id == batch.id, "what has not ended goes on"
    assert answered(place, batch, 1, [1.0])[0]["version"] == one
    place.clock.move_to(place.clock.now().replace(year=2027))
    assert answered(place, batch, 0, [1.0]) == first
    done = place.serving.batches.finish(batch, rows=2, refused=0, failed=0)
    assert (done.state, batch.state) == (DONE, RUNNING)
    later = begin(place)
    assert later.id != batch.id and later.arms[0].version == two, "what has ended is asked anew by what serves now"
    assert begin(place, version=one).id not in (batch.id, later.id)


def test_the_same_file_answered_by_what_still_serves_is_answered_once(place):
    place.deploy(place.version(linear(["x", "y"])))
    batch = begin(place)
    answered(place, batch, 0, [1.0, 2.0])
    place.serving.batches.finish(batch, rows=2, refused=0, failed=0)
    assert begin(place).id == batch.id
    answered(place, begin(place), 0, [1.0, 2.0])
    assert len(place.logged()) == 2
    with pytest.raises(Conflict, match="other rows"):
        answered(place, batch, 0, [1.0, 3.0])
    assert begin(place, digest="e" * 64).id != batch.id


def test_a_batch_ends_once_the_log_has_every_answer_of_it(place):
    place.deploy(place.version(linear(["x", "y"])))
    batch = place.serving.batches.begin("m", wanted(), upto=3, actor="me")
    answered(place, batch, 0, [1.0])
    for rows, said in ((3, "the log has 1"), (1, "had 3 rows"), (4, "had 3 rows")):
        with pytest.raises(Conflict, match=said):
            place.serving.batches.finish(batch, rows=rows, refused=0, failed=0)
    answered(place, batch, 1, [2.0])
    assert place.serving.batches.finish(batch, rows=3, refused=1, failed=0).state == DONE


def test_shadows_and_canaries_score_a_batch_as_they_score_requests(place):
    one, two, three = (place.version(linear(n)) for n in (["x", "y"], ["y", "x"], ["x", "nowhere"]))
    place.deploy(one, canary=two, shadow=three, share=50)
    found = answered(place, begin(place), 0, [float(i) for i in range(60)])
    assert {f["version"] for f in found} == {one, two}
    assert all(f["error"] is None for f in found)
    logged = place.logged()
    assert len(logged) == 180
    charged = [r for r in logged if r["version"] == three]
    assert all("nowhere" in r["error"] and r["arm"] == "shadow" for r in charged)
    table = read(place.tables.scan("predictions--m"))
    assert answers_logged(table.slice(0, 1), {}).column_names == ["prediction_id", "version", "score", "label", "error"]


def test_a_row_falls_to_the_same_arm_in_a_batch_and_online_also_where_the_canary_cannot_take_it(place):
    one, two = place.version(linear(["x"])), place.version(linear(["x", "y"], refuses_nulls=True))
    place.deploy(one, canary=two, share=60)
    people = [f"p{i}" for i in range(40)]
    whole = pa.table({"x": [float(i) for i in range(40)], "y": pa.array([None, 1.0] * 20), "key__who": people})
    for table in (whole, whole.drop_columns(["y"])):
        by_batch = place.serving.predict_batch("m", table, key=f"all {table.num_columns}")
        assert not by_batch.failed
        for row, ident in zip(table.to_pylist(), by_batch, strict=True):
            columns = {n: [row[n]] for n in ("x", "y") if n in row}
            (online,) = place.serving.predict("m", columns, entity={"who": row["key__who"]})
            logged = place.serving.find(ident)
            assert (logged.version, logged.score) == (online.version, online.score)
    of_canary = [r for r in place.logged() if r["version"] == two]
    assert len(of_canary) == 160 and sum(bool(r["error"]) for r in of_canary) == 120


def test_what_is_missing_is_said_before_anything_is_answered(place):
    place.deploy(place.version(linear(["x", "y"])))
    with pytest.raises(Invalid, match="no column 'y'"):
        place.serving.batches.begin("m", Wanted("rows.csv", "d", ("x",)), upto=0, actor="me")
    with pytest.raises(Invalid, match="no column 'when'"):
        begin(place, at="when")
    with pytest.raises(NotFound, match="no batch"):
        place.serving.batches.get("m", "0" * 32)
    assert place.serving.batches.list() == []


def test_a_batch_is_in_the_lineage_from_its_source_to_what_answered(place):
    deployed = place.deploy(place.version(linear(["x", "y"])))
    batch = begin(place)
    graph = place.metadata.read(lambda r: r.lineage.walk(batch.node, depth=3))
    assert {e.target for e in graph.edges if e.source == batch.node} == {deployed.node_id, "d" * 32}
    assert np.all([n.kind for n in graph.nodes if n.id == "d" * 32] == ["source_snapshot"])


def test_a_fault_that_passes_is_nobodys_answer_and_the_rows_are_answered_when_they_are_asked_for_again(place):
    class Away:
        down, asked = True, 0

        def score(self, matrix):
            self.asked += 1
            if self.down:
                raise Unavailable("the process of this model ended")
            return matrix.sum(axis=1)

    version, model = place.version(linear(["x", "y"])), Away()
    place.deploy(version)
    place.swap_model(version, model)
    batch = begin(place)
    with pytest.raises(Unavailable):
        answered(place, batch, 0, [1.0, 2.0, 3.0])
    assert model.asked == 2 + 3, "it is asked again, then for rows alone, and no more"
    assert begin(place).state == RUNNING
    model.down = False
    place.swap_model(version, model)
    assert [a["score"] for a in answered(place, begin(place), 0, [1.0, 2.0, 3.0])] == [2.0, 3.0, 4.0]


class Dying:
    """A model in a process of its own, which ends over some rows, and over all while it is away."""

    def __init__(self, over, away_after=10**9):
        self.over, self.away_after, self.asked = set(over), away_after, 0

    def score(self, matrix):
        self.asked += 1
        if self.asked > self.away_after or self.over & set(matrix[:, 0].tolist()):
            raise Unavailable(
                f"the process of this model ended over {len(matrix)} rows; the next request starts it again"
            )
        return matrix.sum(axis=1)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(2, 40), over=st.sets(st.integers(0, 39), max_size=3), away_after=st.integers(0, 120))
def test_a_row_over_which_the_process_ends_is_that_rows_error_unless_it_is_away(place, count, over, away_after):
    over = {row for row in over if row < count}
    name = f"m{len(place.serving.deployments())}"
    version = place.version(linear(["x", "y"]), name)
    place.deploy(version, model=name)
    batch = place.serving.batches.begin(name, wanted(), upto=0, actor="me")
    values = [float(i) for i in range(count)]
    for model in (Dying(over, away_after), Dying(over)):
        place.swap_model(version, model, name)
        try:
            found = place.serving.batches.answer(batch, 0, rows(values), {}).to_pylist()
        except Unavailable:
            some = {0, count // 4, count // 2, 3 * count // 4, count - 1}
            assert model.asked > away_after or len(over & some) > 1
            continue
        assert {i for i, f in enumerate(found) if f["error"]} == over
        assert all("it is this row" in found[i]["error"] for i in over)
        assert [f["score"] for i, f in enumerate(found) if i not in over] == [
            v + 1 for i, v in enumerate(values) if i not in over
        ]
        break


def test_when_most_rows_end_the_process_the_tries_are_bounded_and_the_others_keep_their_answers(place):
    version = place.version(linear(["x", "y"]))
    place.deploy(version)
    model = Dying(range(1, 3000, 2))
    place.swap_model(version, model)
    found = answered(place, begin(place), 0, [float(i) for i in range(3000)])
    assert model.asked < 150
    assert found[0]["score"] == 1.0 and "were not tried alone" in found[1]["error"]


def test_two_that_begin_the_same_at_once_have_one_batch(place):
    place.deploy(place.version(linear(["x", "y"])))
    read, batches = place.serving.batches.list, place.serving.batches
    batches.list = lambda model=None: []  # what the other began came after it was looked for
    first = begin(place)
    place.clock.move_to(place.clock.now().replace(year=2027))
    second = begin(place)
    batches.list = read
    assert second == first and batches.list("m") == [first]
