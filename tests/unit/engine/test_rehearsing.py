"""A rehearsal puts faults into copies of past days, and counts what `why` names of them; what cannot be restored is
proven by doing the same to good rows."""

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from hanok.compute.hypotheses import Believed, Proposal, Verdict, judged
from hanok.compute.rehearsal import FEED, INPUT, LABELS, TRAFFIC, faults
from hanok.core.clock import micros
from hanok.core.errors import NotFound, Unavailable
from hanok.core.rehearsal import REHEARSAL, Question, QuietDay, Rehearsal, RehearsedFault, by_kind
from hanok.engine.causes import change, suspects
from hanok.engine.incident import Incident
from hanok.engine.rehearsed import Rehearsing, run
from hanok.engine.reproduced import irreversible, reproduced
from hanok.server.rehearsing import RehearsalProcess
from tests.unit.compute.test_hypotheses import BROKEN, ROWS, case, put

DAY = timedelta(days=1)
END = datetime(2026, 1, 31, tzinfo=UTC)
STEPS = {"a": 0.0, "b": 0.8, "c": 1.6, "d": 2.4}
ORDER = ("size", "hue", "wide", "grade", "deep")


def nothing(columns, broken):
    pass


def score(columns):
    """The model of these rows, as `case` has it."""
    size, wide, hue = (np.nan_to_num(columns[n].cast("float64").to_numpy()) for n in ("size", "wide", "hue"))
    known = np.array([STEPS.get(g, 0.0) for g in columns["grade"].to_pylist()])
    return size * 1.5 + wide * 1.5 + known * 2 + 0.9 * hue


def day(back: int = 0, *, known: bool = True, of=None) -> Incident:
    made = of if of is not None else case(nothing, seed=1 + back)
    end = END - back * DAY
    at = micros(end - timedelta(hours=1)) if known else micros(end + DAY)
    return Incident(made, end, DAY, np.full(len(made.period), at, np.int64))


def work(*days: Incident, budget_s: float = 600.0) -> Rehearsing:
    return Rehearsing("regression", "mae", ORDER, days, budget_s)


def test_each_fault_changes_what_it_says_and_nothing_else():
    whole = case(nothing)
    hit = whole.period < BROKEN
    made = faults(whole, ORDER)
    assert {f.place for f in made} == {INPUT, FEED, TRAFFIC, LABELS} and len({f.kind for f in made}) >= 20
    for fault in made:
        broken = fault.put_into(whole, BROKEN)
        assert broken is not None, fault
        if fault.place == TRAFFIC:
            assert len(broken.period) != len(whole.period) and (broken.period >= BROKEN).sum() == (~hit).sum()
            assert broken.answered[BROKEN:] == whole.answered[BROKEN:] and broken.answered[0] != whole.answered[0]
            continue
        changed = {n for n in whole.columns if broken.columns[n] is not whole.columns[n]}
        assert changed <= set(fault.columns)
        for name in changed:
            before, after = whole.columns[name], broken.columns[name]
            assert all(a is b or a == b for a, b in zip(before[~hit], after[~hit], strict=True))
        relabelled = broken.label is not whole.label
        assert relabelled == (fault.place == LABELS)
        if relabelled:
            assert np.array_equal(broken.label[~hit], whole.label[~hit])


def test_what_changes_nothing_is_no_fault():
    """A column of zeros is not constant for the first time, and a sign that is turned round turns nothing."""
    still = case(put("hue", lambda v: v))
    still.columns["hue"][:] = np.where(np.arange(len(still.period)) % 500 == 0, 1.0, 0.0)
    for fault in faults(still, ("hue",)):
        if fault.kind in ("constant", "sign"):
            assert fault.put_into(still, 1) is None


def test_a_rehearsal_names_what_it_put_in_and_nothing_about_quiet_days():
    found = run(work(day(0), day(5), day(6)), score)
    assert found.left == 0 and [q.day for q in found.quiet] == ["2026-01-30", "2026-01-25", "2026-01-24"]
    assert not any(q.named for q in found.quiet)
    assert found.answers == 2 * ROWS
    hurt = [f for f in found.faults if f.harmful]
    asked = {(q.day, q.days) for f in found.faults for q in f.asked}
    assert asked == {(d, n) for d in ("2026-01-30", "2026-01-25") for n in (1, 3)}
    strong = {(f.kind, f.where): f for f in reversed(found.faults)}  # the greatest strength of each
    for place in (
        ("null", "wide"),
        ("constant", "size"),
        ("unit", "wide"),
        ("sign", "size"),
        ("swap", "size and hue"),
        ("outliers", "size"),
        ("join", "facts"),
        ("label flip", "labels"),
        ("volume", "asks"),
    ):
        assert strong[place].named, strong[place]
    assert sum(f.named for f in hurt) > 0.7 * len(hurt)


def test_harmless_faults_count_apart():
    """Nothing reads `deep`: what happens to it does no harm, named or not."""
    found = run(Rehearsing("regression", "mae", ("deep",), (day(),), 600.0), score)
    inputs = [f for f in found.faults if f.where == "deep"]
    assert inputs and not any(f.harmful for f in inputs)
    assert all(q.worse == pytest.approx(0.0) for f in inputs for q in f.asked)


def test_labels_that_come_later_than_the_question_show_no_fault_of_labels():
    found = run(work(day(known=False)), score)
    flips = [f for f in found.faults if f.kind == "label flip"]
    assert flips and all(f.unseen for f in flips)


def test_a_rehearsal_keeps_its_time_and_says_what_is_left():
    found = run(work(day(), budget_s=0.0), score)
    assert found.faults == () and found.left > 100 and found.quiet


def test_days_with_nothing_to_compare_with_are_refused():
    one = case(nothing)
    first = one.period == 0
    alone = day(of=type(one)(
        one.task, {n: v[first] for n, v in one.columns.items()}, one.period[first], one.score[first], one.label[first],
        one.loss[first], one.table, one.rolling, one.spine, one.labels, one.answered[:1],
    ))  # fmt: skip
    with pytest.raises(NotFound, match="too few answers"):
        run(work(alone), score)


# -- what nothing restores -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("null", lambda v: np.full(len(v), np.nan)),
        ("null", lambda v: np.where(np.arange(len(v)) % 2, np.nan, v)),
        ("constant", lambda v: np.zeros(len(v))),
        ("clip", lambda v: np.minimum(v, 2.0)),
        ("join", lambda v: np.random.default_rng(3).permutation(v)),
        ("outliers", lambda v: np.where(np.arange(len(v)) % 5 == 0, v * 100, v)),
    ],
)
def test_a_cause_without_an_inverse_is_proven_by_doing_the_same_to_good_rows(kind, broken):
    """Values drawn in place of lost ones belong to other rows and restore nothing; the same done to good rows shows
    the whole harm."""
    made = case(put("wide", broken))
    at = Incident(made, END, DAY, np.zeros(len(made.period), np.int64))
    loss = np.abs(made.label - score_of(made))
    made.loss[:] = loss
    verdict = judged(made)
    moved = change(at, verdict)
    assert moved.loss_rose
    found = suspects(at, verdict, moved, score, lambda label, scores: np.abs(label - scores))
    assert found and found[0].kind == kind and found[0].columns == ("wide",)
    assert found[0].explains > 0.5
    assert kind == "outliers" or found[0].proof["loss_reproduced"] > moved.usual.loss  # these are undone by leaving out


def score_of(made):
    from hanok.engine.causes import arrow_of

    return score(arrow_of(made.columns))


def test_good_values_keep_their_order_under_what_keeps_it():
    made = case(put("wide", lambda v: np.minimum(v, 2.0)))
    rows, good = np.flatnonzero(made.period < BROKEN), np.flatnonzero(made.period >= BROKEN)
    cut = Believed(
        Proposal("clip", "input wide", "", ("wide",), gone=frozenset({"wide"})),
        1.0,
        {"wide": made.columns["wide"][rows]},
    )
    verdict = Verdict(BROKEN, rows, good, (cut,))
    again = reproduced(made, verdict, cut)["wide"]
    before = made.columns["wide"][good]
    assert irreversible(cut)
    assert again.max() <= 2.0 and np.all(np.diff(again[np.argsort(before)]) >= 0)
    low = before < 1.5
    assert np.abs(again[low] - before[low]).max() < 0.5  # what was not cut off stands where it stood


def test_what_can_be_undone_is_not_done_again():
    made = case(put("wide", lambda v: v * 25.4))
    verdict = judged(made)
    assert verdict.causes[0].proposal.kind == "unit" and not irreversible(verdict.causes[0])


# -- as it is kept, and where it runs ------------------------------------------------------------------------------


def test_a_rehearsal_is_kept_and_told():
    faults_ = (
        RehearsedFault("null", "a", "all", INPUT, True, (Question("2026-01-30", 1, 1, "input a", 0.4),)),
        RehearsedFault("null", "b", "all", INPUT, True, (Question("2026-01-30", 1, 0), Question("2026-01-30", 3, 2))),
        RehearsedFault("volume", "asks", "10%", TRAFFIC, True, (Question("2026-01-30", 1, 0),)),
        RehearsedFault("null", "c", "all", INPUT, False, (Question("2026-01-30", 1, 0, worse=0.0),)),
    )
    made = Rehearsal("m", 3, END, 120, faults_, (QuietDay("2026-01-30"), QuietDay("2026-01-29", "input a")), 7)
    assert REHEARSAL.open(REHEARSAL.body(made)) == made
    assert [(k.kind, k.tried, k.harmful, k.first, k.named) for k in by_kind(made.faults)] == [
        ("null", 3, 2, 1, 1),
        ("volume", 1, 1, 0, 0),
    ]
    assert [f.where for f in made.blind] == ["asks", "b"]  # never named before sometimes named
    assert "Of the 3 that do harm, 1 were named first each time, 1 among the first three." in made.sentence
    assert made.about_quiet_days == "Of 2 days as they were, something is named about 1: 2026-01-29: input a."
    assert (faults_[1].times, faults_[0].harm, faults_[2].harm) == ("1 of 2", "+40%", "")


def test_a_rehearsal_runs_in_a_process_of_its_own(tmp_path: Path):
    from hanok.compute.frames import Frame
    from hanok.core.declare import AutoML
    from hanok.parts.automl.service import search
    from hanok.parts.serving.packages import Packages
    from hanok.stores.blobs import LocalBlobs

    pa = pytest.importorskip("pyarrow")
    made = case(nothing)
    columns = {n: pa.array(v.tolist()) for n, v in made.columns.items()}
    rows = pa.table(columns | {"y": pa.array(made.label), "_at": pa.array(-made.period * 86_400_000_000)})
    package = search(Frame.of(rows, list(made.columns), "regression", "y"), AutoML(metric="mae", trials=0)).package
    digest = Packages(LocalBlobs(tmp_path)).save(package)
    asked = work(day(), budget_s=3.0)
    assert pickle.loads(pickle.dumps(asked)).order == ORDER
    process = RehearsalProcess(tmp_path)
    found = process(asked, digest)
    assert found.quiet[0].day == "2026-01-30"
    with pytest.raises(NotFound):
        process(work(), digest)
    with pytest.raises(NotFound, match="no artifact"):
        process(asked, "0" * 64)
    with process._turn, pytest.raises(Unavailable, match="another rehearsal is under way"):
        process(asked, digest)
    process.close()
    with pytest.raises(Unavailable, match="the server is ending"):
        process(asked, digest)
