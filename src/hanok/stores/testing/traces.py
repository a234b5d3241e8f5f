"""Traces, their spans and what is thought of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hanok.core.errors import Invalid, TraceNotFound
from hanok.core.traces import SOURCE_RUN, Assessment, Span, SpanEvent, Trace, TraceQuery, TraceStatistic
from hanok.core.tracking import All, AnyOf, Comparison, Order

TOKENS = '{"input_tokens": 3, "output_tokens": 4}'


def put(store: Any, *traces: Any) -> Any:
    store.write(lambda r: [r.traces.put(trace) for trace in traces])


def a_span(name: Any, *, trace: Any = "tr-1", parent: Any = "", started: Any = 0, **more: Any) -> Any:
    plain = {"kind": "LLM", "status": "OK", "ended_ns": started + 2_000_000} | more
    return Span(trace, f"{abs(hash(name)) % 16**16:016x}", parent, name, started_ns=started, **plain)


def spans(store: Any, trace_id: Any, *some: Any) -> Any:
    store.write(lambda r: r.spans.put(trace_id, some))


def search(store: Any, *parts: Any, **more: Any) -> Any:
    query = TraceQuery(["0"], All(parts), **more)
    return [found.id for found in store.read(lambda r: r.traces.search(query))]


def three_traces(store: Any) -> Any:
    put(
        store,
        Trace("tr-1", "0", 1000, 50, "OK", tags={"env": "prod", "mlflow.traceName": "ask"}, request_preview="hi"),
        Trace("tr-2", "0", 2000, 70, "ERROR", tags={"env": "dev"}, metadata={SOURCE_RUN: "r1"}),
        Trace("tr-3", "0", 3000, tags={"env": "Prod"}, client_request_id="c"),
    )
    return store


def groups(store: Any, *args: Any, **more: Any) -> Any:
    found = store.read(lambda r: r.trace_statistics.groups(TraceStatistic(*args, **more)))
    return [(g.bucket_ms, tuple(g.dimensions.values()), g.count, g.total) for g in found]


class TracesContract:
    def test_a_trace_comes_back_as_it_was_put(self, store: Any) -> None:
        three = three_traces(store)
        (first,) = three.read(lambda r: r.traces.of(["tr-1"]))
        assert (first.duration_ms, first.state, first.request_preview, first.tags["env"]) == (50, "OK", "hi", "prod")
        assert [t.id for t in three.read(lambda r: r.traces.of(["tr-3", "gone", "tr-1"]))] == ["tr-3", "tr-1"]

    def test_putting_again_replaces_what_was_measured_and_adds_tags(self, store: Any) -> None:
        three = three_traces(store)
        put(three, Trace("tr-1", "0", 900, 99, "ERROR", tags={"new": "x"}))
        (found,) = three.read(lambda r: r.traces.of(["tr-1"]))
        assert (found.started_ms, found.duration_ms, found.state) == (900, 99, "ERROR")
        assert found.tags == {"env": "prod", "mlflow.traceName": "ask", "new": "x"}

    def test_the_newest_start_comes_first_and_pages_go_on(self, store: Any) -> None:
        three = three_traces(store)
        assert search(three) == ["tr-3", "tr-2", "tr-1"]
        assert search(three, limit=2, offset=1) == ["tr-2", "tr-1"]
        assert search(three, order=[Order("attribute", "execution_time")]) == ["tr-1", "tr-2", "tr-3"]
        assert search(three, order=[Order("attribute", "execution_time", ascending=False)]) == ["tr-2", "tr-1", "tr-3"]

    @pytest.mark.parametrize(
        ("subject", "key", "operator", "value", "expected"),
        [
            ("attribute", "status", "=", "OK", ["tr-1"]),
            ("attribute", "status", "IN", ("OK", "ERROR"), ["tr-2", "tr-1"]),
            ("attribute", "timestamp_ms", ">", 1000, ["tr-3", "tr-2"]),
            ("attribute", "end_time", "<=", 1050, ["tr-1"]),
            ("attribute", "name", "=", "ask", ["tr-1"]),
            ("attribute", "client_request_id", "=", "c", ["tr-3"]),
            ("attribute", "run_id", "=", "r1", ["tr-2"]),
            ("tag", "env", "LIKE", "p%", ["tr-1"]),
            ("tag", "env", "ILIKE", "p%", ["tr-3", "tr-1"]),
            ("tag", "none", "IS NULL", None, ["tr-3", "tr-2", "tr-1"]),
            ("metadata", SOURCE_RUN, "IS NOT NULL", None, ["tr-2"]),
        ],
    )
    def test_traces_are_found_by(
        self, store: Any, subject: Any, key: Any, operator: Any, value: Any, expected: Any
    ) -> None:
        three = three_traces(store)
        assert search(three, Comparison(subject, key, operator, value)) == expected

    def test_either_of_two_filters_may_hold(self, store: Any) -> None:
        three = three_traces(store)
        either = AnyOf((Comparison("tag", "env", "=", "dev"), Comparison("attribute", "status", "=", "OK")))
        assert search(three, either) == ["tr-2", "tr-1"]
        assert three.read(lambda r: r.traces.count(TraceQuery(["0"], either, limit=1))) == 2

    def test_what_traces_cannot_be_searched_by_is_said(self, store: Any) -> None:
        three = three_traces(store)
        odd: list[Comparison] = [
            Comparison("attribute", "colour", "=", "x"),
            Comparison("metric", "loss", "=", "x"),
            Comparison("span", "colour", "=", "x"),
        ]
        for comparison in odd:
            with pytest.raises(Invalid):
                search(three, comparison)
        with pytest.raises(Invalid):
            search(three, order=[Order("tag", "env")])

    def test_deleting_takes_all_that_belongs_to_a_trace_and_only_in_its_experiment(self, store: Any) -> None:
        three = three_traces(store)
        spans(three, "tr-1", a_span("one", attributes={"mlflow.chat.tokenUsage": TOKENS}))
        three.write(lambda r: r.assessments.put(Assessment("a-1", "tr-1", "n", "feedback", 1, 0, 0)))
        three.write(lambda r: r.trace_links.to_run(["tr-1"], "r1"))
        assert three.write(lambda r: r.traces.delete("7", ["tr-1"])) == []
        assert three.write(lambda r: r.traces.delete("0", ["tr-1", "gone"])) == ["tr-1"]
        put(three, Trace("tr-1", "0", 1))
        (found,) = three.read(lambda r: r.traces.of(["tr-1"]))
        assert (found.tags, found.assessments, three.read(lambda r: r.spans.count("tr-1"))) == ({}, (), 0)
        assert three.read(lambda r: r.trace_links.runs_of("tr-1")) == []

    def test_the_oldest_are_named_first(self, store: Any) -> None:
        three = three_traces(store)
        assert three.read(lambda r: r.traces.oldest("0", until_ms=2500)) == ["tr-1", "tr-2"]
        assert three.read(lambda r: r.traces.oldest("0", until_ms=2500, limit=1)) == ["tr-1"]

    def test_a_deleted_tag_is_told(self, store: Any) -> None:
        three = three_traces(store)
        assert three.write(lambda r: r.traces.delete_tag("tr-1", "env"))
        assert not three.write(lambda r: r.traces.delete_tag("tr-1", "env"))


class SpansContract:
    def test_spans_come_back_whole_the_root_first(self, store: Any) -> None:
        three = three_traces(store)
        event = SpanEvent("said", 7, {"n": 1, "list": ["a", True, None]})
        child = a_span("child", parent="ab", started=1, message="no", attributes={"x": '"é"'}, events=(event,))
        spans(three, "tr-1", child, a_span("root", started=5))
        spans(three, "tr-1", child)
        found = three.read(lambda r: r.spans.of(["tr-1", "tr-2"]))
        assert [span.name for span in found["tr-1"]] == ["root", "child"]
        assert found["tr-1"][1] == child and "tr-2" not in found
        assert three.read(lambda r: r.spans.count("tr-1")) == 2
        with pytest.raises(TraceNotFound):
            spans(three, "gone", child)

    def test_traces_are_found_by_their_spans(self, store: Any) -> None:
        three = three_traces(store)
        spans(three, "tr-1", a_span("fetch", attributes={"city": '"Oslo"', "n": "5"}))
        spans(three, "tr-2", a_span("fetch", kind="TOOL", attributes={"city": '"Rome"'}))
        assert search(three, Comparison("span", "type", "=", "TOOL")) == ["tr-2"]
        assert search(three, Comparison("span", "name", "=", "fetch")) == ["tr-2", "tr-1"]
        assert search(three, Comparison("span", "attributes.city", "=", "Oslo")) == ["tr-1"]
        assert search(three, Comparison("span", "attributes.n", "=", "5")) == ["tr-1"]
        assert search(three, Comparison("attribute", "text", "LIKE", "%Rome%")) == ["tr-2"]
        assert search(three, Comparison("attribute", "text", "LIKE", "%rome%")) == []
        with pytest.raises(Invalid):
            search(three, Comparison("span", 'attributes.a"b', "=", "x"))

    def test_tokens_of_spans_add_up_and_a_repeated_span_counts_once(self, store: Any) -> None:
        three = three_traces(store)
        told = {"mlflow.chat.tokenUsage": TOKENS, "mlflow.llm.cost": '{"total_cost": 0.5}'}
        for _ in range(2):
            spans(three, "tr-1", a_span("one", attributes=told), a_span("two", attributes=told))
        usage = three.read(lambda r: r.spans.usage("tr-1"))
        assert usage == {"input_tokens": 6.0, "output_tokens": 8.0, "total_cost": 1.0}


class AssessmentsContract:
    def test_assessments_come_with_their_trace_and_are_searched_by_value(self, store: Any) -> None:
        three = three_traces(store)

        def judged(id: Any, name: Any, value: Any, kind: Any = "feedback") -> Any:
            return Assessment(id, "tr-1", name, kind, value, 5, 6, "HUMAN", "me", metadata={"a": "b"})

        some = [
            judged("a-1", "good", True),
            judged("a-2", "tone", "kind"),
            judged("a-3", "exp", {"x": [1]}, "expectation"),
        ]
        three.write(lambda r: [r.assessments.put(each) for each in some])
        assert list(three.read(lambda r: r.traces.of(["tr-1"]))[0].assessments) == some
        assert search(three, Comparison("feedback", "good", "=", "true")) == ["tr-1"]
        assert search(three, Comparison("feedback", "tone", "LIKE", "ki%")) == ["tr-1"]
        assert search(three, Comparison("expectation", "exp", "IS NOT NULL")) == ["tr-1"]
        assert search(three, Comparison("feedback", "exp", "IS NULL")) == ["tr-3", "tr-2", "tr-1"]
        assert three.read(lambda r: r.assessments.get("tr-2", "a-1")) is None
        three.write(lambda r: r.assessments.delete("tr-1", "a-1"))
        assert three.read(lambda r: r.assessments.get("tr-1", "a-1")) is None

    def test_an_assessment_is_replaced_by_its_id(self, store: Any) -> None:
        three = three_traces(store)
        value = {"text": "é한", "big": 2**53, "list": [None, True]}
        first = Assessment(
            "a-1", "tr-1", "é", "feedback", value, 1, 2, "HUMAN", "me", rationale="x", metadata={"a": "b"}
        )
        three.write(lambda r: r.assessments.put(first))
        assert three.read(lambda r: r.assessments.get("tr-1", "a-1")) == first
        changed = replace(first, value=1, updated_ms=9, valid=False)
        three.write(lambda r: r.assessments.put(changed))
        assert three.read(lambda r: r.traces.of(["tr-1"]))[0].assessments == (changed,)
        three.write(lambda r: r.assessments.delete("tr-1", "none"))


class TraceLinksContract:
    def test_a_linked_trace_is_found_by_its_run_also_when_it_arrives_later(self, store: Any) -> None:
        three = three_traces(store)
        three.write(lambda r: r.trace_links.to_run(["tr-1", "tr-9"], "r1"))
        three.write(lambda r: r.trace_links.to_run(["tr-1"], "r1"))
        put(three, Trace("tr-9", "0", 9000))
        assert search(three, Comparison("attribute", "run_id", "=", "r1")) == ["tr-9", "tr-2", "tr-1"]
        assert three.read(lambda r: r.trace_links.runs_of("tr-9")) == ["r1"]

    def test_a_trace_is_found_by_the_prompt_it_used(self, store: Any) -> None:
        three = three_traces(store)
        three.write(lambda r: r.trace_links.to_prompts("tr-1", [("greet/ing", "2")]))
        assert search(three, Comparison("attribute", "prompt", "=", "greet/ing/2")) == ["tr-1"]
        with pytest.raises(TraceNotFound):
            three.write(lambda r: r.trace_links.to_prompts("gone", [("x", "1")]))


class TraceStatisticsContract:
    def test_traces_are_counted_by_state_and_by_bucket_of_time(self, store: Any) -> None:
        three = three_traces(store)
        by_state = groups(three, "TRACES", "trace_count", ["0"], ["trace_status"])
        assert by_state == [(None, ("ERROR",), 1, 1), (None, ("IN_PROGRESS",), 1, 1), (None, ("OK",), 1, 1)]
        bucketed = groups(three, "TRACES", "latency", ["0"], bucket_ms=2000, start_ms=0, end_ms=2999)
        assert bucketed == [(0, (), 1, 50), (2000, (), 1, 70)]
        assert groups(three, "TRACES", "trace_count", ["0"], filter=Comparison("tag", "env", "=", "dev"))[0][2] == 1
        assert groups(three, "TRACES", "latency", ["7"]) == []

    def test_tokens_costs_and_latency_are_measured_of_spans_and_traces(self, store: Any) -> None:
        three = three_traces(store)
        told = {"mlflow.llm.model": '"m"', "mlflow.llm.cost": '{"total_cost": 0.5}'}
        spans(three, "tr-1", a_span("one", attributes=told), a_span("two", kind="TOOL", attributes=told))
        put(three, Trace("tr-1", "0", 1000, metadata={"mlflow.trace.tokenUsage": TOKENS}))
        assert groups(three, "TRACES", "input_tokens", ["0"]) == [(None, (), 1, 3)]
        assert groups(three, "SPANS", "total_cost", ["0"], ["span_model_name"]) == [(None, ("m",), 2, 1.0)]
        assert groups(three, "SPANS", "span_count", ["0"], ["span_type"]) == [
            (None, ("LLM",), 1, 1),
            (None, ("TOOL",), 1, 1),
        ]
        only = Comparison("span", "type", "=", "TOOL")
        assert groups(three, "SPANS", "latency", ["0"], filter=only) == [(None, (), 1, 2.0)]

    def test_values_of_a_group_come_in_order(self, store: Any) -> None:
        three = three_traces(store)
        wanted = TraceStatistic("TRACES", "latency", ["0"])
        (group,) = three.read(lambda r: r.trace_statistics.groups(wanted))
        assert three.read(lambda r: r.trace_statistics.values(wanted, group)) == [50.0, 70.0]

    def test_assessments_are_counted_and_averaged(self, store: Any) -> None:
        three = three_traces(store)
        for i, value in enumerate((1, 3, "word")):
            made = Assessment(f"a-{i}", "tr-1", "score", "feedback", value, 0, 0)
            three.write(lambda r, made=made: r.assessments.put(made))
        assert groups(three, "ASSESSMENTS", "assessment_count", ["0"], ["assessment_name"]) == [
            (None, ("score",), 3, 3)
        ]
        assert groups(three, "ASSESSMENTS", "assessment_value", ["0"]) == [(None, (), 2, 4)]

    def test_an_unknown_number_or_dimension_is_said(self, store: Any) -> None:
        three = three_traces(store)
        for args in (("TRACES", "span_count", ["0"]), ("SPANS", "span_count", ["0"], ["trace_status"])):
            with pytest.raises(Invalid):
                groups(three, *args)
