"""Running checks: all metrics in one statement, then the rows that break them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import pyarrow as pa

from hanok.compute.analyzer_parts import filtered, matches
from hanok.compute.analyzers import NUMBERED, POSITION, Session, opened
from hanok.compute.duck import Relation, quoted
from hanok.compute.values import Cell
from hanok.core.checks import Assertion, Check, Combined, Constraint, Metric, Rule
from hanok.core.errors import MetricFailed
from hanok.core.json import Json

SUCCESS, FAILURE, ERROR = "Success", "Failure", "Error"
ROWS_SHOWN = 5
SHARES = ("Completeness", "Compliance", "PatternMatch", "Uniqueness")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One rule: `status` Success, Failure, or Error when its metric could not be computed. `rows` are the first rows
    that break it, `broken` how many do (None where a rule is not about single rows)."""

    check: str
    level: str
    rule: str
    status: str
    value: Json = None
    message: str = ""
    broken: int | None = None
    rows: tuple[Mapping[str, Cell], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """`status`: Success, Warning or Error, the worst of the failed checks' levels."""

    outcomes: tuple[Outcome, ...]

    @property
    def status(self) -> str:
        failed = {o.level for o in self.outcomes if o.status != SUCCESS}
        return "Error" if "error" in failed else "Warning" if failed else SUCCESS

    def as_dict(self) -> dict[str, Json]:
        return {"status": self.status, "outcomes": [asdict(o) for o in self.outcomes]}


def run(
    relation: Relation,
    checks: Sequence[Check],
    *,
    references: Mapping[str, Relation] | None = None,
    rows: int = ROWS_SHOWN,
) -> SuiteResult:
    """Evaluate all checks: one scan for the metrics, and one more for failing rules that are about single rows."""
    with opened(relation, references) as session:
        values = session.evaluate([m for check in checks for rule in check.rules for m in _metrics(rule)])
        judged = [_judge(check, rule, values) for check in checks for rule in check.rules]
        failing = [
            (i, condition)
            for i, rule in enumerate(r for check in checks for r in check.rules)
            if judged[i].status == FAILURE and (condition := row_condition(rule)) is not None
        ]
        shown = _rows_that_break(session, failing, rows) if rows and failing else {}
    outcomes = []
    for i, outcome in enumerate(judged):
        broken, examples = shown.get(i, (None, ()))
        body = {n: getattr(outcome, n) for n in ("check", "level", "rule", "status", "value", "message")}
        outcomes.append(Outcome(**body, broken=broken, rows=examples))
    return SuiteResult(tuple(outcomes))


def broken_rows(
    relation: Relation, checks: Sequence[Check], *, references: Mapping[str, Relation] | None = None
) -> pa.Table:
    """Every row that breaks a rule which fails, with `_row` (its position) and `_broken` (the rules, as texts): what
    goes to quarantine. Rules that hold, and those that are not about single rows, break none."""
    rules = [(r, c) for check in checks for r in check.rules if (c := row_condition(r)) is not None]
    with opened(relation, references) as session:
        values = session.evaluate([m for r, _ in rules for m in _metrics(r)])
        failed = [(r.text, c) for r, c in rules if _status(r, values)[0] == FAILURE]
        if not failed:
            return session.duck.sql(f"SELECT *, []::VARCHAR[] AS _broken FROM {NUMBERED} LIMIT 0").to_arrow_table()
        names = ", ".join(
            f"CASE WHEN NOT coalesce(({c}), FALSE) THEN '{t.replace(chr(39), chr(39) * 2)}' END" for t, c in failed
        )
        reasons = f"list_filter([{names}], lambda x: x IS NOT NULL)"
        return session.duck.sql(
            f"SELECT * FROM (SELECT *, {reasons} AS _broken FROM {NUMBERED}) WHERE len(_broken) > 0 ORDER BY {POSITION}"
        ).to_arrow_table()


def row_condition(rule: Rule) -> str | None:
    """The SQL condition that a good row meets, or None for a rule about the whole data."""
    if isinstance(rule, Combined):
        parts = [row_condition(r) for r in rule.rules]
        if any(p is None for p in parts):
            return None
        return f" {rule.op.upper()} ".join(f"({p})" for p in parts)
    m = rule.metric
    wants_most = isinstance(rule.must, Assertion) and rule.must.op in ("==", ">=", ">") and not rule.must.not_
    if m.name in SHARES and not wants_most:
        return None
    column = quoted(m.columns[0]) if m.columns else ""
    match m.name:
        case "Completeness":
            condition = f"{column} IS NOT NULL"
        case "Compliance":
            condition = m.option("predicate")
        case "PatternMatch":
            condition = matches(m.columns[0], m.option("pattern"))
        case "Minimum" | "Maximum" if isinstance(rule.must, Assertion) and rule.must.op in (">", ">=", "<", "<="):
            condition = f"{column} IS NULL OR {rule.must.sql(column)}"
        case "MinLength" | "MaxLength" if isinstance(rule.must, Assertion) and rule.must.op in (">", ">=", "<", "<="):
            condition = f"{column} IS NULL OR {rule.must.sql(f'length({column})')}"
        case "Uniqueness":
            listed = ", ".join(quoted(c) for c in m.columns)
            nothing = " AND ".join(f"{quoted(c)} IS NULL" for c in m.columns)  # such rows are in no group
            condition = f"({nothing}) OR count(*){filtered(m)} OVER (PARTITION BY {listed}) = 1"
        case _:
            return None
    return f"NOT coalesce(({m.where}), FALSE) OR coalesce(({condition}), FALSE)" if m.where else condition


def _metrics(rule: Rule) -> list[Metric]:
    return [m for r in rule.rules for m in _metrics(r)] if isinstance(rule, Combined) else [rule.metric]


def _judge(check: Check, rule: Rule, values: Mapping[Metric, Json | MetricFailed]) -> Outcome:
    status, value, message = _status(rule, values)
    return Outcome(check.name, check.level, rule.text, status, value, message)


def _status(rule: Rule, values: Mapping[Metric, Json | MetricFailed]) -> tuple[str, Json, str]:
    if isinstance(rule, Combined):
        parts = [_status(r, values) for r in rule.rules]
        good = [p[0] == SUCCESS for p in parts]
        held = all(good) if rule.op == "and" else any(good)
        return (SUCCESS if held else FAILURE), [p[1] for p in parts], "; ".join(p[2] for p in parts if p[2])
    value = values[rule.metric]
    if isinstance(value, MetricFailed):
        return ERROR, None, value.message
    judged = _comparable(rule, value)
    if rule.holds(judged):
        return SUCCESS, value, ""
    shown = f"{judged:.6g}" if isinstance(judged, int | float) else str(judged)[:80]
    return FAILURE, value, f"{rule.metric.name} is {shown}, must be {_must(rule)}"


def _must(rule: Constraint) -> str:
    return rule.must.text if isinstance(rule.must, Assertion) else "as asserted"


def _comparable(rule: Constraint, value: Json) -> Json:
    """A number for an assertion in text: of a histogram its number of bins. A function gets the whole value."""
    if callable(rule.must) or not isinstance(value, dict):
        return value
    return len(value["counts"]) if "counts" in value else len(value)


def _rows_that_break(
    session: Session, failing: Sequence[tuple[int, str]], limit: int
) -> dict[int, tuple[int, tuple[Mapping[str, Cell], ...]]]:
    """For each failing rule how many rows break it, and the first of them. Counting and finding positions read the
    columns of the rules alone; whole rows are fetched for the positions shown."""
    duck = session.duck
    columns = ", ".join(f"NOT coalesce(({condition}), FALSE) AS b{i}" for i, condition in failing)
    counts = ", ".join(f"count(*) FILTER (WHERE b{i})" for i, _ in failing)
    counted = duck.execute(f"SELECT {counts} FROM (SELECT {columns} FROM data)").fetchone()
    assert counted is not None
    places = {
        i: [
            int(p)
            for (p,) in duck.execute(
                f"SELECT {POSITION} FROM (SELECT {POSITION}, NOT coalesce(({condition}), FALSE) AS b FROM {NUMBERED}) "
                f"WHERE b ORDER BY {POSITION} LIMIT {int(limit)}"
            ).fetchall()
        ]
        for i, condition in failing
    }
    wanted = sorted({p for found in places.values() for p in found})
    if not wanted:
        return {}
    query = f"SELECT * FROM {NUMBERED} WHERE {POSITION} IN ({', '.join(map(str, wanted))})"
    rows = {r[POSITION]: r for r in duck.sql(query).to_arrow_table().to_pylist()}
    return {i: (int(n), tuple(rows[p] for p in places[i])) for (i, _), n in zip(failing, counted, strict=True)}
