"""Which arm answers: the same for one row, for many, and in a batch."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.core.serving import Arm
from hanok.parts.serving.router import answering, answering_rows, beside, sticky
from tests.unit.parts.serving.conftest import Place, linear

shares = st.lists(st.integers(0, 40), max_size=2)
keys = st.dictionaries(st.sampled_from(["row", "store", "a b"]), st.text(max_size=8), min_size=1, max_size=3)


def arms_of(canaries, shadow):
    arms = [Arm(i + 2, "canary", share) for i, share in enumerate(canaries)]
    arms.insert(len(arms) // 2, Arm(1, "primary", 100 - sum(canaries)))
    return (*arms, Arm(9, "shadow")) if shadow else tuple(arms)


@given(shares, st.booleans(), st.lists(keys, min_size=1, max_size=30))
def test_a_row_falls_to_the_arm_that_it_falls_to_among_others(canaries, shadow, entities):
    arms, texts = arms_of(canaries, shadow), [sticky(e, "") for e in entities]
    assert answering_rows(arms, texts).tolist() == [answering(arms, t) for t in texts]


@given(shares, keys, st.permutations(range(3)))
def test_neither_the_order_of_keys_nor_of_shadows_moves_an_entity(canaries, entity, order):
    names = list(entity)
    turned = {names[i]: entity[names[i]] for i in order if i < len(names)}
    arms = arms_of(canaries, False)
    assert answering(arms, sticky(entity, "")) == answering((*arms, Arm(9, "shadow")), sticky(turned, "x"))


def test_many_rows_are_shared_out_as_said_and_no_shadow_answers():
    arms = (Arm(1, "primary", 70), Arm(2, "canary", 25), Arm(3, "canary", 5), Arm(4, "shadow"))
    places = answering_rows(arms, [sticky({"row": str(i)}, "") for i in range(200_000)])
    counts = np.bincount(places, minlength=4) / 2e5
    assert np.allclose(counts, [0.70, 0.25, 0.05, 0], atol=0.004)
    assert all(places[i] == answering(arms, sticky({"row": str(i)}, "")) for i in range(0, 200_000, 9973))


@given(shares, st.integers(0, 2))
def test_all_other_arms_stand_beside_the_one_that_answers(canaries, at):
    arms = arms_of(canaries, True)
    place = min(at, len(arms) - 1)
    assert set(beside(arms, place)) | {arms[place]} == set(arms) and arms[place] not in beside(arms, place)


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 99))
def test_an_entity_is_answered_by_the_same_version_online_and_in_a_batch(tmp_path_factory, share):
    place = Place(tmp_path_factory.mktemp("same"))
    place.deploy(place.version(linear(["x"])), canary=place.version(linear(["x", "y"])), share=share)
    rows = pa.table({"key__row": [f"r{i}" for i in range(30)], "x": [1.0] * 30, "y": [2.0] * 30})
    found = [place.serving.find(i) for i in place.serving.predict_batch("m", rows, key="b")]
    online = [
        place.serving.predict("m", {"x": [1.0], "y": [2.0]}, entity={"row": f"r{i}"})[0].version for i in range(30)
    ]
    assert [f.version for f in found] == online
    place.close()
