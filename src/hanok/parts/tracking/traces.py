"""Traces: begun by a client, filled by the spans that arrive, linked to runs and prompts, searched and counted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hanok.core.clock import Clock
from hanok.core.errors import Invalid, TagNotFound, TraceNotFound
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Node, NodeKind
from hanok.core.traces import (
    COST,
    COSTS,
    ERROR,
    IN_PROGRESS,
    LOCATION_TAG,
    NAME_TAG,
    OK,
    PROMPTS_TAG,
    SESSION,
    SETTLED,
    SIZES,
    SOURCE_MODEL,
    SOURCE_RUN,
    SPANS_HERE,
    SPANS_TAG,
    TOKENS,
    UNSPECIFIED,
    USAGE,
    USER,
    Span,
    Trace,
    TraceQuery,
)
from hanok.core.tracking import ACTIVE, Page
from hanok.parts.tracking import checks
from hanok.parts.tracking.assessments import named
from hanok.parts.tracking.lineage import is_node
from hanok.stores.ports import Metadata, Repositories

ID_MAX, PREVIEW_MAX, SPANS_MAX, BATCH_MAX = 80, 1000, 10_000, 5_000
_INPUTS, _OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"


class TraceVerbs:
    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def start(self, trace: Trace) -> Trace:
        """Keep what a client tells of a trace; spans may have come before. Raises ExperimentNotFound, Invalid."""
        _check(trace)

        def work(r: Repositories) -> Trace:
            held = next(iter(r.traces.of([trace.id])), None)
            told = replace(
                trace,
                experiment_id=held.experiment_id if held else trace.experiment_id,
                request_preview=_first(trace.request_preview, held.request_preview if held else None),
                response_preview=_first(trace.response_preview, held.response_preview if held else None),
                metadata={**trace.metadata, SETTLED: "true"},
                tags={**trace.tags, LOCATION_TAG: _location(r, trace.experiment_id, trace.id)},
            )
            r.traces.put(told)
            for assessment in trace.assessments:
                r.assessments.put(named(assessment, self._clock))
            self._note(r, told)
            return r.traces.of([trace.id])[0]

        return self._metadata.write(work)

    def begin(
        self, experiment_id: str, *, started_ms: int, metadata: Mapping[str, str], tags: Mapping[str, str]
    ) -> Trace:
        """A trace under an id of ours, in progress until `end`."""
        trace = Trace(f"tr-{new_id(self._clock.now())}", experiment_id, started_ms, metadata=metadata, tags=tags)
        _check(trace)

        def work(r: Repositories) -> Trace:
            begun = replace(trace, tags={**tags, LOCATION_TAG: _location(r, experiment_id, trace.id)})
            r.traces.put(begun)
            self._note(r, begun)
            return begun

        return self._metadata.write(work)

    def end(
        self, trace_id: str, *, ended_ms: int, state: str, metadata: Mapping[str, str], tags: Mapping[str, str]
    ) -> Trace:
        """Raises TraceNotFound."""

        def work(r: Repositories) -> Trace:
            held = _held(r, trace_id)
            ended = replace(
                held,
                duration_ms=max(ended_ms - held.started_ms, 0),
                state=state,
                metadata={**held.metadata, **metadata},
                tags={**held.tags, **tags},
            )
            _check(ended)
            r.traces.put(ended)
            return ended

        return self._metadata.write(work)

    def log_spans(self, experiment_id: str, spans: Sequence[Span]) -> None:
        """All or nothing; a span that is sent again replaces itself. A trace nobody began is begun by its spans.

        Raises ExperimentNotFound, Invalid for more spans than a trace or a batch takes.
        """
        if len(spans) > BATCH_MAX:
            raise Invalid(f"{len(spans)} spans in one request; at most {BATCH_MAX} are taken")
        by_trace: dict[str, list[Span]] = {}
        for span in spans:
            by_trace.setdefault(span.trace_id, []).append(span)

        def work(r: Repositories) -> None:
            held = {trace.id: trace for trace in r.traces.of(list(by_trace))}
            for trace_id, of_trace in by_trace.items():
                trace = held.get(trace_id) or _begun(r, experiment_id, trace_id, of_trace)
                r.traces.put(trace)
                r.spans.put(trace_id, of_trace)
                if r.spans.count(trace_id) > SPANS_MAX:
                    raise Invalid(f"trace {trace_id} would have over {SPANS_MAX} spans; begin another trace")
                told = _told_by(r, trace, of_trace)
                r.traces.put(told)
                self._note(r, told)

        self._metadata.write(work)

    def get(self, trace_id: str) -> Trace:
        """Raises TraceNotFound."""
        return self._metadata.read(lambda r: _held(r, trace_id))

    def with_spans(self, trace_ids: Sequence[str]) -> list[tuple[Trace, list[Span]]]:
        """Those that are there, in the order asked for."""

        def work(r: Repositories) -> list[tuple[Trace, list[Span]]]:
            spans = r.spans.of(trace_ids)
            return [(trace, spans.get(trace.id, [])) for trace in r.traces.of(trace_ids)]

        return self._metadata.read(work)

    def many(self, trace_ids: Sequence[str]) -> list[Trace]:
        return self._metadata.read(lambda r: r.traces.of(trace_ids))

    def search(self, query: TraceQuery) -> Page[Trace]:
        found = self._metadata.read(lambda r: r.traces.search(replace(query, limit=query.limit + 1)))
        more = len(found) > query.limit
        return Page(tuple(found[: query.limit]), query.offset + query.limit if more else None)

    def delete(
        self,
        experiment_id: str,
        *,
        trace_ids: Sequence[str] = (),
        until_ms: int | None = None,
        limit: int | None = None,
    ) -> int:
        """By id, or the oldest that started by an instant; returns how many. Their nodes keep a tombstone."""
        if bool(trace_ids) == (until_ms is not None):
            raise Invalid("name the traces to delete, or the time by which they started: one of both")
        if limit is not None and (trace_ids or limit <= 0):
            raise Invalid(f"the most traces to delete is {limit}: it goes with a time, and is at least 1")

        def work(r: Repositories) -> int:
            chosen = trace_ids or r.traces.oldest(experiment_id, until_ms=until_ms or 0, limit=limit)
            gone = r.traces.delete(experiment_id, chosen)
            now = self._clock.now()
            for trace_id in gone:
                r.lineage.tombstone(trace_id, now)
            return len(gone)

        return self._metadata.write(work)

    def set_tag(self, trace_id: str, key: str, value: str) -> None:
        """Raises TraceNotFound."""
        checks.check_values("trace tag", {key: value}, checks.TAG_VALUE_MAX)
        self._metadata.write(lambda r: r.traces.put(replace(_held(r, trace_id), tags={key: value}, metadata={})))

    def delete_tag(self, trace_id: str, key: str) -> None:
        """Raises TraceNotFound, TagNotFound."""

        def work(r: Repositories) -> None:
            if not r.traces.delete_tag(trace_id, key):
                raise TagNotFound(f"trace {trace_id} has no tag {key[:80]!r}", key=key)

        self._metadata.write(work)

    def link_to_run(self, trace_ids: Sequence[str], run_id: str) -> None:
        """The run's search finds them then, also those that arrive later. Raises RunNotFound."""

        def work(r: Repositories) -> None:
            r.runs.get(run_id)
            r.trace_links.to_run(trace_ids, run_id)
            for trace in r.traces.of(trace_ids):
                self._note(r, trace)

        self._metadata.write(work)

    def link_prompts(self, trace_id: str, prompts: Sequence[tuple[str, str]]) -> None:
        """Name and version of each prompt that the trace used. Raises TraceNotFound."""

        def work(r: Repositories) -> None:
            trace = _held(r, trace_id)
            r.trace_links.to_prompts(trace_id, prompts)
            known = json.loads(trace.tags.get(PROMPTS_TAG, "[]"))
            known += [p for name, version in prompts if (p := {"name": name, "version": version}) not in known]
            r.traces.put(replace(trace, tags={PROMPTS_TAG: json.dumps(known)}, metadata={}))
            used = [v.id for name, version in prompts for v in r.registry.versions(name) if str(v.version) == version]
            self._note(r, trace, read=used)

        self._metadata.write(work)

    def _note(self, r: Repositories, trace: Trace, read: Sequence[str] = ()) -> None:
        """A trace that belongs to something is a node: its runs wrote it, it read the model and the prompts."""
        runs = dict.fromkeys([trace.metadata.get(SOURCE_RUN, ""), *r.trace_links.runs_of(trace.id)])
        targets = [*read, *([model] if is_node(r, model := trace.metadata.get(SOURCE_MODEL, "")) else [])]
        edges = [Edge(trace.id, EdgeKind.READ, target) for target in targets]
        edges += [Edge(run, EdgeKind.WROTE, trace.id) for run in runs if is_node(r, run)]
        if edges:
            name = trace.tags.get(NAME_TAG) or trace.id
            node = Node(trace.id, NodeKind.TRACE, name, self._clock.now(), {"experiment": trace.experiment_id})
            r.lineage.add([node], edges)


def is_whole(trace: Trace, spans: Sequence[Span]) -> bool:
    """Whether all spans that the client counted have arrived."""
    try:
        counted = json.loads(trace.metadata.get(SIZES, "{}")).get("num_spans", 0)
    except (ValueError, AttributeError):
        return True
    return not isinstance(counted, int) or len(spans) >= counted


def _held(r: Repositories, trace_id: str) -> Trace:
    found = r.traces.of([trace_id])
    if not found:
        raise TraceNotFound(f"Trace with ID '{trace_id[:80]}' is not found")
    return found[0]


def _check(trace: Trace) -> None:
    if not 0 < len(trace.id) <= ID_MAX or not trace.id.isascii() or not trace.id.isprintable() or "/" in trace.id:
        raise Invalid(f"trace id {trace.id[:80]!r} is not usable: plain characters without '/', {ID_MAX} at most")
    checks.check_values("trace tag", trace.tags, checks.TAG_VALUE_MAX)
    checks.check_values("trace metadata", trace.metadata, checks.TAG_VALUE_MAX)


def _location(r: Repositories, experiment_id: str, trace_id: str) -> str:
    experiment = r.experiments.get(experiment_id)
    if experiment.lifecycle != ACTIVE:
        raise Invalid(f"experiment {experiment_id} is deleted, not in its 'active' state; restore it first")
    return f"{experiment.location}/traces/{trace_id}/artifacts"


def _begun(r: Repositories, experiment_id: str, trace_id: str, spans: Sequence[Span]) -> Trace:
    started = min(span.started_ns for span in spans) // 1_000_000
    tags = {LOCATION_TAG: _location(r, experiment_id, trace_id)}
    return Trace(trace_id, experiment_id, started, tags=tags)


def _told_by(r: Repositories, trace: Trace, spans: Sequence[Span]) -> Trace:
    """The trace with what its spans tell and its client has not."""
    told = replace(trace, tags={**trace.tags, SPANS_TAG: SPANS_HERE})
    root = next((span for span in spans if not span.parent_id), None)
    if root is not None:
        told = replace(
            told,
            state=(ERROR if root.status == "ERROR" else OK) if told.state in (IN_PROGRESS, UNSPECIFIED) else told.state,
            request_preview=_first(told.request_preview, _preview(root.attributes.get(_INPUTS))),
            response_preview=_first(told.response_preview, _preview(root.attributes.get(_OUTPUTS))),
            tags={NAME_TAG: root.name, **told.tags},
        )
    settled = SETTLED in trace.metadata
    if not settled:
        told = _stretched(told, spans)
    usage = r.spans.usage(trace.id)
    metadata = dict(told.metadata)
    for key, names in ((USAGE, TOKENS), (COST, COSTS)):
        summed = {name: usage[name] for name in names if name in usage}
        if summed and not (settled and key in metadata):
            whole = {n: int(v) if key == USAGE and v.is_integer() else v for n, v in summed.items()}
            metadata[key] = json.dumps(whole)
    for key, attribute in ((SESSION, "session.id"), (USER, "user.id")):
        said = next((span.attributes[attribute] for span in spans if attribute in span.attributes), "")
        if said and not settled:
            metadata.setdefault(key, said.strip('"')[: checks.TAG_VALUE_MAX])
    return replace(told, metadata=metadata)


def _stretched(trace: Trace, spans: Sequence[Span]) -> Trace:
    started = min(trace.started_ms, min(span.started_ns for span in spans) // 1_000_000)
    ends = [span.ended_ns // 1_000_000 for span in spans if span.ended_ns is not None]
    if trace.duration_ms is not None:
        ends.append(trace.started_ms + trace.duration_ms)
    return replace(trace, started_ms=started, duration_ms=max(ends) - started if ends else None)


def _preview(value: str | None) -> str | None:
    return None if value is None else value if len(value) <= PREVIEW_MAX else f"{value[: PREVIEW_MAX - 3]}..."


def _first(one: str | None, other: str | None) -> str | None:
    return one if one is not None else other
