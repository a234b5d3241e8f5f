"""A run query as one SQL statement. Every lookup by name goes through a primary key of (run, key)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanok.core.errors import Invalid
from hanok.core.tracking import All, AnyOf, Comparison, Filter, Not, Order, RunQuery
from hanok.stores.sql.conditions import Bound
from hanok.stores.sql.tracking_experiments import as_key

ATTRIBUTES: Mapping[str, str] = {
    "run_id": "run.id",
    "run_name": "run.name",
    "status": "run.status",
    "user_id": "run.user_name",
    "artifact_uri": "run.artifact_uri",
    "lifecycle_stage": "run.lifecycle",
    "experiment_id": "CAST(run.experiment AS TEXT)",
    "start_time": "run.started",
    "end_time": "run.ended",
}
_INSTANTS = ("start_time", "end_time")
_KEY_OF = "(SELECT key FROM metric_key WHERE name = :{name})"


def search_statement(columns: str, query: RunQuery, dialect: str) -> tuple[str, dict[str, Any]]:
    """SQL text and its values. Raises Invalid for an attribute that runs do not have."""
    statement = _Statement(dialect)
    bound = statement.bound
    keys = [key for key in map(as_key, query.experiment_ids) if key is not None]
    conditions = [
        f"run.experiment IN ({bound.many(keys)})",
        f"run.lifecycle IN ({bound.many(list(query.lifecycles))})",
        statement.condition(query.filter),
    ]
    order = [term for wanted in query.order for term in statement.order(wanted)]
    order += ["run.started DESC", "run.id"]
    sql = (
        f"SELECT {columns} FROM run {' '.join(statement.joins)} WHERE {' AND '.join(conditions)} "
        f"ORDER BY {', '.join(order)} LIMIT {bound.one(query.limit)} OFFSET {bound.one(query.offset)}"
    )
    return sql, bound.values


class _Statement:
    def __init__(self, dialect: str) -> None:
        self.bound = Bound(dialect)
        self.joins: list[str] = []

    def condition(self, wanted: Filter) -> str:
        if isinstance(wanted, Comparison):
            return self._comparison(wanted)
        if isinstance(wanted, All):
            return "(" + (" AND ".join(self.condition(part) for part in wanted.parts) or "1 = 1") + ")"
        if isinstance(wanted, Not):  # IS NOT TRUE: a comparison with NULL does not hold, so its negation does
            return f"(({self.condition(wanted.part)}) IS NOT TRUE)"
        assert isinstance(wanted, AnyOf)
        return "(" + (" OR ".join(self.condition(part) for part in wanted.parts) or "1 = 0") + ")"

    def order(self, wanted: Order) -> list[str]:
        """Terms that put missing values and NaN last, whatever the direction."""
        direction = "ASC" if wanted.ascending else "DESC"
        if wanted.subject == "attribute":
            column = _column(wanted.key)
            return [f"CASE WHEN {column} IS NULL THEN 1 ELSE 0 END", f"{column} {direction}"]
        joined = f"o{len(self.joins)}"
        if wanted.subject == "metric":
            key = _KEY_OF.format(name=self.bound.one(wanted.key)[1:])
            self.joins.append(f"LEFT JOIN metric_latest {joined} ON {joined}.run = run.key AND {joined}.key = {key}")
            missing = f"CASE WHEN {joined}.value IS NULL THEN 2 ELSE {joined}.nan END"
            return [missing, f"{joined}.value {direction}"]
        table = _table(wanted.subject)
        name = self.bound.one(wanted.key)
        self.joins.append(f"LEFT JOIN {table} {joined} ON {joined}.run = run.key AND {joined}.key = {name}")
        return [f"CASE WHEN {joined}.value IS NULL THEN 1 ELSE 0 END", f"{joined}.value {direction}"]

    def _comparison(self, wanted: Comparison) -> str:
        if wanted.subject == "attribute":
            return self.bound.test(_column(wanted.key), wanted, scale=1000 if wanted.key in _INSTANTS else 1)
        if wanted.subject == "dataset":
            column = {"name": "d.name", "digest": "d.digest", "context": "i.context"}[wanted.key]
            return (
                "EXISTS (SELECT 1 FROM run_dataset i JOIN dataset d ON d.id = i.dataset "
                f"WHERE i.run = run.key AND {self.bound.test(column, wanted)})"
            )
        if wanted.subject == "metric":
            key = _KEY_OF.format(name=self.bound.one(wanted.key)[1:])
            found = f"metric_latest f WHERE f.run = run.key AND f.key = {key}"
        else:
            found = f"{_table(wanted.subject)} f WHERE f.run = run.key AND f.key = {self.bound.one(wanted.key)}"
        if wanted.operator == "IS NULL":
            return f"NOT EXISTS (SELECT 1 FROM {found})"
        if wanted.operator == "IS NOT NULL":
            return f"EXISTS (SELECT 1 FROM {found})"
        test = self.bound.test("f.value", wanted)
        if wanted.subject == "metric":  # NaN differs from every number and is in no other relation to one (IEEE 754)
            test = f"(f.nan = 1 OR {test})" if wanted.operator == "!=" else f"f.nan = 0 AND {test}"
        return f"EXISTS (SELECT 1 FROM {found} AND {test})"


def _column(attribute: str) -> str:
    if attribute not in ATTRIBUTES:
        raise Invalid(f"runs have no attribute {attribute!r}; there are: {', '.join(ATTRIBUTES)}")
    return ATTRIBUTES[attribute]


def _table(subject: str) -> str:
    if subject not in ("param", "tag"):
        raise Invalid(f"runs cannot be ordered by a {subject}")
    return f"run_{subject}"
