"""Numbers over traces, spans and assessments: counts, sums and extremes are grouped by the database."""

from __future__ import annotations

from sqlalchemy import Connection, text

from hanok.core.errors import Invalid
from hanok.core.traces import COSTS, NAME_TAG, TOKENS, Group, TraceQuery, TraceStatistic
from hanok.core.tracking import EVERYTHING, All, Comparison, Filter
from hanok.stores.sql.conditions import Bound
from hanok.stores.sql.traces_search import matching, pair

_LATENCY = "(s.ended_ns - s.started_ns) / 1000000.0"
_MEASURED = {
    "TRACES": {"trace_count": "1.0", "latency": "trace.duration_ms"},
    "SPANS": {"span_count": "1.0", "latency": _LATENCY},
    "ASSESSMENTS": {"assessment_count": "1.0", "assessment_value": "a.number"},
}
_NUMBERS = {"TRACES": TOKENS, "SPANS": COSTS, "ASSESSMENTS": ()}
_JOINS = {
    "TRACES": "",
    "SPANS": "JOIN span s ON s.trace = trace.key",
    "ASSESSMENTS": "JOIN assessment a ON a.trace = trace.key AND a.valid = 1",
}
_DIMENSIONS = {
    "TRACES": {"trace_status": "trace.state"},
    "SPANS": {
        "span_name": "s.name",
        "span_type": "s.kind",
        "span_status": "s.status",
        "span_model_name": "s.model",
        "span_model_provider": "s.provider",
    },
    "ASSESSMENTS": {"assessment_name": "a.name", "assessment_value": "a.value"},
}
_OWN = {
    "span": {"name": "s.name", "type": "s.kind", "status": "s.status"},
    "assessment": {"name": "a.name", "type": "a.kind"},
}
_STARTED = {"TRACES": "trace.started_ms", "SPANS": "s.started_ns / 1000000", "ASSESSMENTS": "a.created_ms"}


def _split(wanted: Filter, view: str) -> tuple[Filter, list[Comparison]]:
    """What chooses traces, and what chooses among the spans or assessments that are measured."""
    subject = {"SPANS": "span", "ASSESSMENTS": "assessment"}.get(view)
    if isinstance(wanted, Comparison) and wanted.subject == subject and wanted.key in _OWN[subject]:
        return EVERYTHING, [wanted]
    if isinstance(wanted, All):
        parts = [_split(part, view) for part in wanted.parts]
        return All(tuple(part for part, _ in parts)), [own for _, some in parts for own in some]
    return wanted, []


class SqlTraceStatistics:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def groups(self, wanted: TraceStatistic) -> list[Group]:
        columns = "COUNT(m), SUM(m), MIN(m), MAX(m)"
        inner, bound, names = self._measured(wanted)
        keys = ", ".join(names)
        grouped = f"GROUP BY {keys} ORDER BY {keys}" if names else ""
        sql = f"SELECT {', '.join([*names, columns])} FROM ({inner}) x {grouped} LIMIT {bound.one(wanted.limit)}"
        found = []
        for row in self._c.execute(text(sql), bound.values):
            *told, count, total, low, high = row
            if not count:
                continue
            bucket = told.pop(0) if wanted.bucket_ms else None
            dimensions = dict(zip(wanted.dimensions, told, strict=True))
            found.append(Group(bucket, dimensions, count, float(total), float(low), float(high)))
        return found

    def values(self, wanted: TraceStatistic, group: Group) -> list[float]:
        inner, bound, names = self._measured(wanted)
        told = ([group.bucket_ms] if wanted.bucket_ms else []) + list(group.dimensions.values())
        held = " AND ".join(f"{name} = {bound.one(value)}" for name, value in zip(names, told, strict=True)) or "1 = 1"
        sql = f"SELECT m FROM ({inner}) x WHERE m IS NOT NULL AND {held} ORDER BY m"
        return [float(row[0]) for row in self._c.execute(text(sql), bound.values)]

    def _measured(self, wanted: TraceStatistic) -> tuple[str, Bound, list[str]]:
        """One row for each thing measured: b (its bucket), d0, d1 ... (its dimensions), m (the number)."""
        bound, view = Bound(self._c.dialect.name), wanted.view
        joins, measured = _JOINS[view], _MEASURED[view].get(wanted.metric)
        if measured is None:
            if wanted.metric not in _NUMBERS[view]:
                known = ", ".join([*_MEASURED[view], *_NUMBERS[view]])
                raise Invalid(f"metric_name {wanted.metric[:80]!r} is none of {known}, which {view} have")
            table = "trace_number n ON n.trace = trace.key"
            if view == "SPANS":
                table = "span_number n ON n.trace = s.trace AND n.span = s.id"
            joins, measured = f"{joins} JOIN {table} AND n.name = {bound.one(wanted.metric)}", "n.value"
        columns, names, present = [], [], []
        if wanted.bucket_ms:
            started, size = _STARTED[view], bound.one(wanted.bucket_ms)
            columns.append(f"({started}) - ({started}) % {size} AS b")
            names.append("b")
        for place, dimension in enumerate(wanted.dimensions):
            column = self._dimension(wanted, dimension, bound)
            columns.append(f"{column} AS d{place}")
            present.append(f"{column} IS NOT NULL")
            names.append(f"d{place}")
        among, own = _split(wanted.filter, view)
        found = matching(TraceQuery(wanted.experiment_ids, among), bound)
        present += [bound.test(_OWN[part.subject][part.key], part) for part in own]
        where = found.removeprefix("FROM trace WHERE ")
        for comparison, instant in ((">=", wanted.start_ms), ("<=", wanted.end_ms)):
            if instant is not None:
                present.append(f"trace.started_ms {comparison} {bound.one(instant)}")
        tests = " AND ".join([where, *present])
        return f"SELECT {', '.join([*columns, f'{measured} AS m'])} FROM trace {joins} WHERE {tests}", bound, names

    @staticmethod
    def _dimension(wanted: TraceStatistic, dimension: str, bound: Bound) -> str:
        if wanted.view == "TRACES" and dimension == "trace_name":
            return pair("trace_tag", NAME_TAG, bound)
        known = _DIMENSIONS[wanted.view]
        if dimension not in known:
            raise Invalid(f"dimension {dimension[:80]!r} is none of {', '.join(known)}, which {wanted.view} have")
        return known[dimension]
