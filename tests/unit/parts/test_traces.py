"""Traces and assessments: what the verbs promise."""

import json
import math
from datetime import UTC, datetime

import pytest

from hanok.core.clock import ReplayClock
from hanok.core.errors import AssessmentNotFound, ExperimentNotFound, Invalid, NodeNotFound, TagNotFound, TraceNotFound
from hanok.core.lineage import Edge, EdgeKind
from hanok.core.traces import SESSION, SOURCE_RUN, USAGE, Assessment, Span, Trace, TraceQuery, TraceStatistic
from hanok.core.tracking import Comparison
from hanok.parts.tracking import Tracking
from hanok.parts.tracking.trace_statistics import npmi, percentile
from hanok.parts.tracking.traces import is_whole
from hanok.stores.memory.blobs import MemoryBlobs
from hanok.stores.sql import SqlMetadata

START = datetime(2026, 1, 1, tzinfo=UTC)
ID = "tr-" + "a" * 32


@pytest.fixture
def metadata():
    made = SqlMetadata("sqlite://")
    yield made
    made.close()


@pytest.fixture
def tracking(metadata):
    return Tracking(metadata, MemoryBlobs(), ReplayClock(START))


def a_span(id="1" * 16, parent="", *, trace=ID, name="ask", started_ms=1000, ended_ms=1500, **more):
    plain = {"kind": "CHAIN", "status": "OK"} | more
    return Span(trace, id, parent, name, started_ns=started_ms * 10**6, ended_ns=ended_ms * 10**6, **plain)


def told(tokens):
    return {"mlflow.chat.tokenUsage": json.dumps({"input_tokens": tokens, "output_tokens": 1, "total_tokens": True})}


def test_spans_begin_a_trace_that_nobody_began(tracking):
    attributes = {"mlflow.spanInputs": '"q"', "mlflow.spanOutputs": '"' + "x" * 2000 + '"', "session.id": '"s1"'}
    tracking.traces.log_spans("0", [a_span(attributes=attributes)])
    found = tracking.traces.get(ID)
    assert (found.started_ms, found.duration_ms, found.state, found.request_preview) == (1000, 500, "OK", '"q"')
    assert len(found.response_preview) == 1000 and found.metadata[SESSION] == "s1"
    assert found.tags["mlflow.traceName"] == "ask"
    assert found.tags["mlflow.artifactLocation"] == f"mlflow-artifacts:/0/traces/{ID}/artifacts"


def test_a_root_that_failed_makes_the_trace_a_failure(tracking):
    tracking.traces.log_spans("0", [a_span("2" * 16, "1" * 16)])
    assert tracking.traces.get(ID).state == "IN_PROGRESS"
    tracking.traces.log_spans("0", [a_span(status="ERROR", started_ms=900, ended_ms=1600)])
    found = tracking.traces.get(ID)
    assert (found.state, found.started_ms, found.duration_ms) == ("ERROR", 900, 700)


def test_a_repeated_export_changes_nothing(tracking):
    spans = [a_span(attributes=told(2)), a_span("2" * 16, "1" * 16, attributes=told(3))]
    tracking.traces.log_spans("0", spans)
    once = tracking.traces.with_spans([ID])
    tracking.traces.log_spans("0", spans)
    assert tracking.traces.with_spans([ID]) == once
    assert json.loads(once[0][0].metadata[USAGE]) == {"input_tokens": 5, "output_tokens": 2}


def test_what_a_client_tells_is_not_changed_by_its_spans(tracking):
    metadata = {USAGE: '{"input_tokens": 9}'}
    tracking.traces.start(Trace(ID, "0", 1, 2, "OK", request_preview="mine", metadata=metadata))
    tracking.traces.log_spans("0", [a_span(attributes={"mlflow.spanInputs": '"q"', **told(2)})])
    found = tracking.traces.get(ID)
    assert (found.started_ms, found.duration_ms, found.request_preview) == (1, 2, "mine")
    assert json.loads(found.metadata[USAGE]) == {"input_tokens": 9}


def test_what_spans_told_stays_when_the_client_comes_later(tracking):
    tracking.traces.log_spans("0", [a_span(attributes={"mlflow.spanInputs": '"q"'})])
    kept = tracking.traces.start(Trace(ID, "0", 5, 6, "OK", tags={"a": "b"}))
    assert (kept.request_preview, kept.started_ms, kept.tags["mlflow.trace.spansLocation"]) == (
        '"q"',
        5,
        "TRACKING_STORE",
    )


def test_an_old_client_begins_and_ends(tracking):
    begun = tracking.traces.begin("0", started_ms=1000, metadata={"m": "1"}, tags={"t": "1"})
    ended = tracking.traces.end(begun.id, ended_ms=3000, state="OK", metadata={"m": "2"}, tags={"u": "1"})
    assert (ended.duration_ms, ended.metadata["m"]) == (2000, "2")
    assert {"t", "u"} <= tracking.traces.get(begun.id).tags.keys()


def test_bad_traces_and_too_many_spans_are_refused(tracking):
    with pytest.raises(ExperimentNotFound):
        tracking.traces.log_spans("77", [a_span()])
    for bad in ("", "a/b", "x" * 81, "a\nb"):
        with pytest.raises(Invalid):
            tracking.traces.start(Trace(bad, "0", 1))
    with pytest.raises(Invalid):
        tracking.traces.log_spans("0", [a_span()] * 5001)
    with pytest.raises(TraceNotFound):
        tracking.traces.get(ID)


def test_a_trace_takes_at_most_ten_thousand_spans(tracking):
    for batch in range(2):
        tracking.traces.log_spans("0", [a_span(f"{batch * 5000 + i:016x}", "f" * 16) for i in range(5000)])
    with pytest.raises(Invalid):
        tracking.traces.log_spans("0", [a_span()])
    assert len(tracking.traces.with_spans([ID])[0][1]) == 10_000


def test_a_trace_is_whole_when_all_counted_spans_are_there(tracking):
    trace = Trace(ID, "0", 1, metadata={"mlflow.trace.sizeStats": '{"num_spans": 2}'})
    assert not is_whole(trace, [a_span()]) and is_whole(trace, [a_span(), a_span("2" * 16)])
    assert is_whole(Trace(ID, "0", 1, metadata={"mlflow.trace.sizeStats": "?"}), [])


def test_a_trace_of_a_run_is_on_the_graph_whichever_came_first(tracking, metadata):
    run = tracking.runs.create("0").id
    model = tracking.logged_models.create("0", name="m").id
    tracking.traces.start(Trace(ID, "0", 1, metadata={SOURCE_RUN: run, "mlflow.modelId": model}))
    later = "tr-" + "b" * 32
    tracking.traces.link_to_run([later], run)
    tracking.traces.log_spans("0", [a_span(trace=later)])
    edges = set(metadata.read(lambda r: r.lineage.neighbours(ID)).edges)
    assert edges == {Edge(run, EdgeKind.WROTE, ID), Edge(ID, EdgeKind.READ, model)}
    assert Edge(run, EdgeKind.WROTE, later) in metadata.read(lambda r: r.lineage.neighbours(later)).edges


def test_a_trace_of_nothing_is_no_node(tracking, metadata):
    tracking.traces.log_spans("0", [a_span()])
    with pytest.raises(NodeNotFound):
        metadata.read(lambda r: r.lineage.node(ID))


def test_linked_prompts_are_told_by_a_tag_and_searched(tracking):
    tracking.traces.log_spans("0", [a_span()])
    for _ in range(2):
        tracking.traces.link_prompts(ID, [("greet", "1")])
    assert json.loads(tracking.traces.get(ID).tags["mlflow.linkedPrompts"]) == [{"name": "greet", "version": "1"}]
    wanted = Comparison("attribute", "prompt", "=", "greet/1")
    assert [t.id for t in tracking.traces.search(TraceQuery(["0"], wanted)).items] == [ID]


def test_tags_change_and_go(tracking):
    tracking.traces.log_spans("0", [a_span()])
    tracking.traces.set_tag(ID, "a", "b")
    assert tracking.traces.get(ID).tags["a"] == "b"
    tracking.traces.delete_tag(ID, "a")
    with pytest.raises(TagNotFound):
        tracking.traces.delete_tag(ID, "a")
    with pytest.raises(TraceNotFound):
        tracking.traces.set_tag("tr-none", "a", "b")


def test_deleting_is_by_ids_or_by_time_and_leaves_a_tombstone(tracking, metadata):
    run = tracking.runs.create("0").id
    ids = [f"tr-{i:032x}" for i in range(3)]
    for i, trace_id in enumerate(ids):
        tracking.traces.start(Trace(trace_id, "0", i, metadata={SOURCE_RUN: run}))
    for wrong in ({}, {"trace_ids": ids, "until_ms": 5}, {"until_ms": 5, "limit": 0}, {"trace_ids": ids, "limit": 1}):
        with pytest.raises(Invalid):
            tracking.traces.delete("0", **wrong)
    assert tracking.traces.delete("0", until_ms=5, limit=1) == 1
    assert metadata.read(lambda r: r.lineage.node(ids[0])).deleted is not None
    assert tracking.traces.delete("0", trace_ids=ids) == 2


def judged(**more):
    return Assessment("", ID, "good", "feedback", True, 1, 1, **more)


def test_what_an_assessment_overrides_holds_again_when_it_goes(tracking):
    tracking.traces.log_spans("0", [a_span()])
    first = tracking.assessments.create(judged())
    second = tracking.assessments.create(judged(overrides=first.id))
    assert not tracking.assessments.get(ID, first.id).valid and second.valid
    tracking.assessments.delete(ID, second.id)
    assert tracking.assessments.get(ID, first.id).valid
    tracking.assessments.delete(ID, second.id)
    with pytest.raises(AssessmentNotFound):
        tracking.assessments.get(ID, second.id)


def test_an_assessment_changes_in_what_is_named_and_keeps_its_kind(tracking):
    tracking.traces.log_spans("0", [a_span()])
    made = tracking.assessments.create(judged(metadata={"a": "1"}))
    changed = tracking.assessments.update(ID, made.id, {"value": 5, "kind": "feedback", "metadata": {"b": "2"}})
    assert (changed.value, changed.metadata, changed.name) == (5, {"a": "1", "b": "2"}, "good")
    assert changed.updated_ms == int(START.timestamp() * 1000)
    with pytest.raises(Invalid):
        tracking.assessments.update(ID, made.id, {"value": 5, "kind": "expectation"})
    with pytest.raises(TraceNotFound):
        tracking.assessments.create(Assessment("", "tr-none", "x", "feedback", 1, 1, 1))
    with pytest.raises(AssessmentNotFound):
        tracking.assessments.create(judged(overrides="a-none"))


def test_filters_that_go_together_have_npmi_one_and_never_minus_one():
    assert npmi(10, 10, 10, 10) == 1.0
    assert npmi(0, 5, 5, 10) == -1.0
    assert math.isnan(npmi(0, 0, 5, 10)) and math.isnan(npmi(0, 0, 0, 0))
    # by hand: p(xy) = .25, p(x) = p(y) = .5: ln 1 = 0
    assert npmi(25, 50, 50, 100) == pytest.approx(0.0)
    # by hand: p(xy) = .6, p(x) = .6, p(y) = .7: ln(1 / .7) / -ln .6
    assert npmi(6, 6, 7, 10) == pytest.approx(math.log(1 / 0.7) / -math.log(0.6))


def test_a_percentile_lies_between_the_closest_ranks():
    assert [percentile([1, 2, 3, 4], at) for at in (0, 50, 75, 100)] == [1, 2.5, 3.25, 4]


def test_numbers_over_traces_by_label(tracking):
    for i in range(4):
        tracking.traces.start(Trace(f"tr-{i}", "0", i, duration_ms=i * 10, state="OK"))
    wanted = TraceStatistic("TRACES", "latency", ["0"])
    labels = {"AVG": ("AVG", None), "P50.0": ("PERCENTILE", 50.0), "MAX": ("MAX", None)}
    (point,) = tracking.trace_statistics.query(wanted, labels)
    assert point.values == {"AVG": 15.0, "P50.0": 15.0, "MAX": 30.0}
    with pytest.raises(Invalid):
        tracking.trace_statistics.query(TraceStatistic("TRACES", "latency", ["0"], bucket_ms=10), labels)


def test_how_far_two_filters_go_together(tracking):
    for i in range(4):
        tracking.traces.start(Trace(f"tr-{i}", "0", i, state="OK" if i < 2 else "ERROR", tags={"env": str(i % 2)}))
    ok, env = Comparison("attribute", "status", "=", "OK"), Comparison("tag", "env", "=", "0")
    found = tracking.trace_statistics.correlation(["0"], ok, env)
    assert (found.total, found.first, found.second, found.both, found.npmi) == (4, 2, 2, 1, pytest.approx(0))
