"""What is held out: groups whole, copies together, each class on both sides, and a gap in time."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hanok as hk
from hanok.core.declare import as_dict, from_dict
from hanok.core.errors import DeclarationError, LabelGivenAway, NotTrainable
from hanok.engine.executors.work import FitWork, read_work, write_work
from hanok.parts.training.splitting import frame_of, judged_part, split
from hanok.parts.training.suspicion import stop_if_certain, suspicions

DAY = 86_400_000_000


def model(held_out, *, features=("x", "c"), task="binary", accept=None):
    spine, label = hk.Spine("t", predict_at="at", keys="id"), hk.Label("l", column="y")
    gate = hk.Gate(accept=accept)
    return hk.Model("m", task=task, spine=spine, label=label, features=list(features), split=held_out, gate=gate)


def rows_of(n, seed, *, groups=None, days=0, y=None, **more):
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, days * DAY, n)) if days else np.zeros(n, np.int64)
    columns = {
        "key__id": np.arange(n),
        "_at": pa.array(at, pa.timestamp("us", "UTC")),
        "x": rng.normal(size=n),
        "c": rng.choice(["a", "b"], n),
        **more,
        "_label": y if y is not None else rng.integers(0, 2, n),
    }
    return pa.table(columns | ({"_group": groups} if groups is not None else {}))


@settings(max_examples=15, deadline=None)
@given(n=st.integers(60, 200), seed=st.integers(0, 10**6), days=st.sampled_from([0, 40]), many=st.integers(8, 40))
def test_no_group_lies_on_both_sides_whatever_the_split(n, seed, days, many):
    groups = np.random.default_rng(seed).integers(0, many, n)
    rows = rows_of(n, seed, groups=groups, days=days)
    declared = model(hk.by_time("10d", group="g") if days else hk.at_random(0.3, group="g"))
    frame = frame_of(declared, rows)
    try:
        train, test = split(declared, frame, rows)
    except hk.HanokError as error:  # too few on one side
        assert "held out" in str(error)
        return
    assert not set(groups[train]) & set(groups[test])
    if days:
        newest = datetime.fromtimestamp(int(frame.at[train].max()) / 1e6, UTC)
        assert frame.at[train].max() < frame.at[test].min()
        assert np.array_equal(judged_part(declared, frame, rows, newest).at, frame.take(train).at)


@settings(max_examples=15, deadline=None)
@given(n=st.integers(60, 120), seed=st.integers(0, 10**6), rare=st.integers(2, 5))
def test_copies_stay_on_one_side_and_each_class_is_on_both(n, seed, rare):
    y = np.r_[np.ones(rare, int), np.zeros(n - rare, int)]
    once = rows_of(n, seed, y=y)
    twice = pa.concat_tables([once, once])
    twice = twice.set_column(0, "key__id", pa.array(range(2 * n)))
    declared = model(hk.at_random(0.2))
    frame = frame_of(declared, twice)
    train, test = split(declared, frame, twice)
    x = twice.column("x").to_numpy()
    assert not set(x[train]) & set(x[test]) and len(train) + len(test) == 2 * n
    assert set(frame.y[train]) == set(frame.y[test]) == {0, 1}


def test_rows_alike_of_few_levels_are_no_copies():
    rows = rows_of(200, 1).drop_columns(["x"])
    assert frame_of(model(hk.at_random(), features=["c"]), rows).groups is None


def test_the_rows_of_the_gap_are_neither_learnt_from_nor_held_out():
    rows = rows_of(400, 1, days=40)
    declared = model(hk.by_time("8d", gap="3d"))
    frame = frame_of(declared, rows)
    train, test = split(declared, frame, rows)
    assert (frame.at[test].min() - frame.at[train].max()) / DAY == pytest.approx(3, abs=0.5)
    newest = datetime.fromtimestamp(int(frame.at[train].max()) / 1e6, UTC)
    assert judged_part(declared, frame, rows, newest).rows == len(train)


def test_what_a_search_has_to_know_of_the_split_goes_with_the_rows_also_into_another_process(tmp_path):
    rows = rows_of(400, 1, days=40)
    for chosen, gap, random in ((hk.by_time("8d", gap="3d"), 3 * DAY, False), (hk.at_random(), 0, True)):
        frame = frame_of(model(chosen), rows)
        write_work(tmp_path, frame, FitWork())
        for found in (frame, frame.take(np.arange(50)), read_work(tmp_path)[0]):
            assert (found.gap_us, found.at_random) == (gap, random)


def test_a_split_is_a_declaration_that_comes_back_and_a_plain_one_is_written_as_before():
    for chosen in (hk.by_time("8d", gap="3d", group="g"), hk.at_random(0.2, group="g")):
        assert from_dict(as_dict(chosen)) == chosen
    assert set(as_dict(hk.by_time("8d"))) == {"kind", "test"} and set(as_dict(hk.at_random())) == {
        "kind",
        "test",
        "seed",
    }
    assert "accept" not in as_dict(hk.Gate())
    with pytest.raises(DeclarationError, match="by_time gap"):
        hk.by_time("8d", gap="soon")


LABELS = np.random.default_rng(3).integers(0, 2, 400)
PLANTED = {
    "copy": (LABELS, np.where(LABELS, "left", "stayed")),
    "filled afterwards": (LABELS, pa.array(np.where(LABELS, 1.5, np.nan), from_pandas=True)),
    "label aggregated": (
        LABELS,
        np.array([LABELS.reshape(100, 4).mean(axis=1)[i // 4] + 1e-9 * (i // 4) for i in range(400)]),
    ),
    "word": (LABELS, [f"case {i} of a kind was {'refunded' if v else 'kept'} then" for i, v in enumerate(LABELS)]),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_certain_to_give_the_label_away_ends_a_training_unless_it_is_accepted(kind):
    y, leak = PLANTED[kind]
    rows = rows_of(400, 2, y=y, leak=leak)
    declared = model(hk.at_random(), features=["x", "c", "leak"])
    notes = suspicions(declared, rows, frame_of(declared, rows), ())
    assert [(n.kind, n.column, n.certain) for n in notes] == [(kind, "leak", True)]
    with pytest.raises(LabelGivenAway, match=r"accept=\['leak'\]"):
        stop_if_certain(declared, notes)
    accepting = model(hk.at_random(), features=["x", "c", "leak"], accept=["leak"])
    (note,) = suspicions(accepting, rows, frame_of(accepting, rows), ())
    stop_if_certain(accepting, [note])
    assert note.accepted and "accepted in the declaration" in note.message


def test_rows_that_know_each_others_label_are_told_with_what_a_new_group_would_get():
    rng = np.random.default_rng(4)
    person = np.repeat(np.arange(80), 8)
    y = rng.integers(0, 2, 80)[person]
    marks = rng.normal(size=(80, 3))[person] + 0.01 * rng.normal(size=(640, 3))
    rows = rows_of(640, 4, y=y, person=person, **{f"m{i}": marks[:, i] for i in range(3)})
    declared = model(hk.at_random(), features=["person", "m0", "m1", "m2"])
    (note,) = [n for n in suspicions(declared, rows, frame_of(declared, rows), ()) if n.kind == "group"]
    assert not note.certain and "hk.at_random(group='person')" in note.message


def test_honest_columns_are_not_suspected():
    rng = np.random.default_rng(5)
    z = rng.normal(size=(600, 4))
    y = (z.sum(axis=1) + rng.normal(size=600) > 0).astype(int)
    rows = rows_of(600, 5, y=y, **{f"z{i}": z[:, i] for i in range(4)})
    declared = model(hk.at_random(), features=["x", "c", "z0", "z1", "z2", "z3"])
    assert suspicions(declared, rows, frame_of(declared, rows), ()) == ()


@pytest.mark.parametrize("sums, told", [([None] * 90, True), ([None] * 89 + [2.0], False)])
def test_a_view_that_gives_no_row_a_value_is_told_of_the_version(sums, told):
    """A count of nothing is 0, so it tells of a view only beside values that are not there."""
    source, aggregate = hk.Source("hubs", "seen"), {"n": hk.count(), "s": hk.sum("load")}
    view = hk.FeatureView("hub", keys="h", source=source, windows=["1d"], aggregate=aggregate)
    declared = model(hk.at_random(), features=("x", view))
    counted = pa.array([0.0 if s is None else 1.0 for s in sums])
    rows = rows_of(90, 1, hub__n_1d=counted, hub__s_1d=pa.array(sums, pa.float64()))
    notes = [n for n in suspicions(declared, rows, frame_of(declared, rows), ()) if n.kind == "unfilled"]
    assert [(n.column, n.certain) for n in notes] == ([("hub__s_1d", False)] if told else [])
    assert all("no value in any of the 90 rows" in n.message and "known_at" in n.message for n in notes)


def test_a_holdout_that_was_cut_says_by_what():
    rows = rows_of(40, 1, days=2)
    at = pa.array([*range(39), 40 * DAY], pa.timestamp("us", "UTC"))
    few = rows.set_column(rows.column_names.index("_at"), "_at", at)
    declared = model(hk.by_time("30d"))
    with pytest.raises(NotTrainable, match="the split asks for 30, and at most 25% of the time covered is held out"):
        split(declared, frame_of(declared, few), few)
