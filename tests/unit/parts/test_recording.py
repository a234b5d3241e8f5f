"""Entries of a training process: each has one effect, however often it is sent."""

import math
from datetime import UTC, datetime

import pytest

from hanok.core.clock import ReplayClock
from hanok.core.errors import Invalid, ParamChanged, RunNotFound
from hanok.parts.tracking import Tracking
from hanok.stores.memory.blobs import MemoryBlobs
from hanok.stores.sql import SqlMetadata
from hanok.wire.recording import decode, encode

START = datetime(2026, 1, 1, tzinfo=UTC)
RUN = "0" * 31 + "1"
ENTRIES = [
    {"number": 1, "kind": "start", "at_ms": 1000, "experiment": "churn", "name": "first", "tags": {"t": "1"}},
    {"number": 2, "kind": "log", "metrics": [["loss", 0.5, 1000, 0], ["loss", "nan", 1001, 1]], "params": {"a": "1"}},
    {"number": 3, "kind": "dataset", "dataset": {"name": "d", "digest": "1", "context": "training"}},
    {"number": 4, "kind": "log", "tags": {"t": "2"}},
    {"number": 5, "kind": "model", "model": {"id": "m-" + "a" * 32, "name": "tree", "params": {"depth": "3"}}},
    {"number": 6, "kind": "end", "status": "FINISHED", "at_ms": 5000},
]


@pytest.fixture
def tracking():
    metadata = SqlMetadata("sqlite://")
    yield Tracking(metadata, MemoryBlobs(), ReplayClock(START))
    metadata.close()


def test_entries_become_a_run(tracking):
    assert tracking.recording.apply(RUN, "w", decode(ENTRIES)) == 6
    run = tracking.runs.get(RUN)
    assert (run.name, run.status, run.params, run.tags["t"]) == ("first", "FINISHED", {"a": "1"}, "2")
    assert (run.started.timestamp(), run.ended.timestamp()) == (1, 5)
    assert [d.dataset.name for d in run.datasets] == ["d"]
    assert tracking.experiments.get(run.experiment_id).name == "churn"
    history = tracking.runs.history(RUN, "loss")
    assert history[0].value == 0.5 and math.isnan(history[1].value)
    assert tracking.logged_models.get("m-" + "a" * 32).source_run_id == RUN


@pytest.mark.parametrize("cut", range(7))
def test_entries_sent_again_after_any_part_of_them_have_one_effect(tracking, cut):
    tracking.recording.apply(RUN, "w", decode(ENTRIES[:cut]))
    if cut >= 4:
        tracking.runs.log(RUN, tags={"t": "set by a person"})
    tracking.recording.apply(RUN, "w", decode(ENTRIES))
    tracking.recording.apply(RUN, "w", decode(ENTRIES))
    assert tracking.runs.get(RUN).tags["t"] == ("set by a person" if cut >= 4 else "2")
    assert len(tracking.runs.history(RUN, "loss")) == 2
    events = tracking.recording._metadata.read(lambda r: [e.kind for e in r.outbox.after(0)])
    assert sorted(events) == ["experiment_created", "model_logged", "run_created", "run_ended"]


def test_another_process_may_go_on_with_the_run(tracking):
    tracking.recording.apply(RUN, "w", decode(ENTRIES))
    tracking.recording.apply(RUN, "v", decode([ENTRIES[0], {"number": 2, "kind": "log", "tags": {"u": "1"}}]))
    assert tracking.runs.get(RUN).tags["u"] == "1"


def test_entries_with_a_bad_one_have_no_effect(tracking):
    bad = {"number": 3, "kind": "log", "params": {"a": "other"}}
    with pytest.raises(ParamChanged):
        tracking.recording.apply(RUN, "w", decode([*ENTRIES[:2], bad]))
    with pytest.raises(RunNotFound):
        tracking.runs.get(RUN)


@pytest.mark.parametrize(
    "entry",
    [
        {"number": 0, "kind": "log"},
        {"number": 1, "kind": "other"},
        {"number": 1, "kind": "dataset"},
        {"number": 1, "kind": "log", "metrics": [["a", "x", 1, 1]]},
        {"number": 1, "kind": "log", "metrics": [["a", 1.0, 2**70, 1]]},
        {"number": 1, "kind": "model", "model": {"id": "../x"}},
        {"number": 1, "kind": "start", "at_ms": 10**30},
    ],
)
def test_an_entry_that_cannot_be_read_is_refused(entry):
    with pytest.raises(Invalid):
        decode([entry])


def test_entries_travel_unchanged():
    assert encode(decode(ENTRIES)[0]) == ENTRIES[0]
    for entry in decode(ENTRIES):
        assert repr(decode([encode(entry)])) == repr([entry])


@pytest.mark.parametrize(("run", "writer"), [("x", "w"), (RUN, ""), (RUN, "a/b")])
def test_names_of_runs_and_writers_are_checked(tracking, run, writer):
    with pytest.raises(Invalid):
        tracking.recording.apply(run, writer, decode(ENTRIES))
