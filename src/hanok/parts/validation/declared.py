"""Schemas of TFDV that a person declared for a table: every batch is held to them from then on."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import numpy as np
import pyarrow as pa

from hanok.compute.schemas import Checked
from hanok.compute.states import ColumnState, TableState
from hanok.compute.values import Cell, cells
from hanok.core.clock import Clock
from hanok.core.errors import Invalid
from hanok.core.tables import BOOKKEEPING
from hanok.core.validation import DECLARED, PROPOSED, Anomaly, DeclaredVersion, Proposal, TableSchema
from hanok.parts.validation.kept import EVERYTHING, KeptStates
from hanok.parts.validation.schemas import validate
from hanok.parts.validation.schemas.findings import known_environment
from hanok.parts.validation.schemas.rows import INTEGRITY, faulty
from hanok.parts.validation.schemas.statistics import statistics_of
from hanok.parts.validation.schemas.validate import Report
from hanok.parts.validation.slices import slice_anomalies
from hanok.stores.ports import Metadata, Repositories
from hanok.wire.tfdv import Message, from_text, to_text
from hanok.wire.tfdv.yaml import to_yaml

ROWS_SHOWN = 3
BATCHES_BACK = 30
Policy = Literal["rows", "batch", "report"]


@dataclass(frozen=True, slots=True)
class Declared:
    """`policy`: rows at fault go to quarantine, or the whole batch does when it has an integrity fault, or nothing does
    and it is only said. `serving` names the model whose answers skew is measured against."""

    table: str
    version: int
    schema: Message
    environment: str = ""
    policy: Policy = "rows"
    serving: str = ""
    actor: str = ""

    @property
    def columns(self) -> set[str]:
        return {f["name"] for f in self.schema["feature"]}


@dataclass(frozen=True, slots=True)
class Held:
    """A batch after its declared schema was applied; `proposal` is the record of the change that would let it pass."""

    checked: Checked
    proposal: Proposal | None = None


class DeclaredSchemas:
    def __init__(self, *, metadata: Metadata, kept: KeptStates, clock: Clock) -> None:
        self._metadata, self._kept, self._clock = metadata, kept, clock
        self.serving_state: Callable[[str], TableState | None] = lambda _: None  # given by whoever knows what serves

    def current(self, table: str) -> Declared | None:
        versions = DECLARED.all(self._metadata.read(lambda r: r.records.list(DECLARED.name, table, limit=EVERYTHING)))
        return _declared(table, max(versions, key=lambda v: v.version)) if versions else None

    def declare(
        self,
        table: str,
        schema: Message,
        *,
        environment: str | None = None,
        policy: str | None = None,
        serving: str | None = None,
        actor: str = "local",
    ) -> Declared:
        """Hold every batch of the table to `schema` from now on; what is not given stays as it was."""
        before = self.current(table)
        if policy is not None and policy not in get_args(Policy):
            raise Invalid(f"on_error is one of {', '.join(get_args(Policy))}; got {policy!r}")
        if environment:
            known_environment(schema, environment, f"the schema of {table!r}")
        kept = before or Declared(table, 0, schema)
        made = replace(
            kept,
            version=kept.version + 1,
            schema=schema,
            environment=kept.environment if environment is None else environment,
            policy=kept.policy if policy is None else cast(Policy, policy),
            serving=kept.serving if serving is None else serving,
            actor=actor,
        )
        body = DECLARED.body(
            DeclaredVersion(made.version, to_text(schema), made.environment, made.policy, made.serving, actor)
        )
        now = self._clock.now()
        self._metadata.write(lambda r: r.records.put(DECLARED.name, table, f"{made.version:06d}", body, now))
        return made

    def proposal(self, table: str, batch: str = "") -> Proposal:
        """What a batch (the newest with anomalies without a name) would change. Raises Invalid when there is none."""
        bodies = self._metadata.read(lambda r: r.records.list(PROPOSED.name, table, limit=EVERYTHING))
        body = next((b for b in bodies if not batch or b["_key"] == batch), None)
        chosen = PROPOSED.open(body)
        if chosen is None:
            which = f"batch {batch!r} of {table!r}" if batch else repr(table)
            raise Invalid(f"nothing is proposed for {which}: its schema fits, or none is declared")
        return chosen if body is None else replace(chosen, batch=body["_key"])

    def accept(self, table: str, batch: str = "", *, actor: str = "local") -> Declared:
        """Make a proposal the declared schema. Raises Invalid where that has changed since it was made."""
        chosen = self.proposal(table, batch)
        current = self.current(table)
        if current is None or current.version != chosen.of:
            at = current.version if current else 0
            raise Invalid(
                f"the proposal of batch {chosen.batch!r} was made for version {chosen.of} of the schema of "
                f"{table!r}, which is at version {at} now: look at the newest batch's proposal instead"
            )
        return self.declare(table, from_text("Schema", chosen.text, name="proposal"), actor=actor)

    def hold(
        self,
        declared: Declared,
        rows: pa.Table,
        state: TableState,
        checked: Checked,
        untyped: Sequence[str],
        slices: Sequence[str] = (),
        partial: bool = False,
    ) -> Held:
        """Validate a batch as it came, and each of its slices; `checked` is what the table's own schema said of it. Of
        `partial` rows only the columns that they have are held to the schema."""
        whole = TableState(
            state.rows, {**state.columns, **{n: ColumnState(n, "NULL", state.rows, state.rows) for n in untyped}}
        )
        if not state.rows:
            return Held(checked)
        report = validate(
            statistics_of(whole),
            declared.schema,
            environment=declared.environment or None,
            previous=self._previous(declared),
            serving=self._serving(declared),
        )
        if partial:
            came = {path: found for path, found in report.anomalies.items() if path and path[0] in whole.columns}
            report = replace(report, anomalies=came, dataset=[])
        plain = rows.drop_columns([n for n in BOOKKEEPING if n in rows.column_names])
        if report.good:
            hidden = slice_anomalies(plain, slices, declared.schema, declared.environment, checked.anomalies)
            return Held(replace(checked, anomalies=(*checked.anomalies, *hidden)))
        diff = _diff(declared.schema, report.proposed)
        proposal = Proposal(declared.version, to_text(report.proposed), tuple(diff))
        checked = _set_aside(declared, report, rows, checked)
        hidden = slice_anomalies(plain, slices, declared.schema, declared.environment, checked.anomalies)
        return Held(replace(checked, anomalies=(*checked.anomalies, *hidden)), None if partial else proposal)

    def note(self, repositories: Repositories, table: str, batch: str, held: Held) -> None:
        if held.proposal is not None:
            repositories.records.put(PROPOSED.name, table, batch, PROPOSED.body(held.proposal), self._clock.now())

    def _previous(self, declared: Declared) -> Message | None:
        """Statistics of the batch before, where something is to be compared with them."""
        if "drift_comparator" not in to_text(declared.schema):
            return None
        for batch, _ in self._kept.of(declared.table, limit=BATCHES_BACK):
            state = self._kept.select(declared.table, batch=batch).merged
            if state.rows:  # a batch that was set aside whole is no base
                return statistics_of(state)
        return None

    def _serving(self, declared: Declared) -> Message | None:
        if not declared.serving:
            return None
        state = self.serving_state(declared.serving)
        return None if state is None else statistics_of(state)


def free(schema: TableSchema, declared: Declared) -> TableSchema:
    """The table's own schema without what it learned of columns that somebody declared: their word counts."""
    columns = tuple(
        replace(c, minimum=None, maximum=None, domain=None, presence=0.0) if c.name in declared.columns else c
        for c in schema.columns
    )
    return replace(schema, columns=columns)


def _set_aside(declared: Declared, report: Report, rows: pa.Table, checked: Checked) -> Checked:
    bad, reasons, found = checked.bad.copy(), list(checked.reasons), list(checked.anomalies)
    features = {f["name"]: f for f in declared.schema["feature"]}
    known = {(a.type, a.column) for a in found}
    grave = []
    for path, of_path in [*report.anomalies.items(), ((), report.dataset)]:
        name = ".".join(path)
        for reason in of_path:
            mask = None
            if len(path) == 1 and path[0] in rows.column_names and path[0] in features:
                mask = faulty(rows.column(path[0]), features[path[0]], declared.schema, reason.type)
            hit = np.flatnonzero(mask) if mask is not None else np.empty(0, np.int64)
            integrity = reason.type in INTEGRITY
            shown = rows.take(pa.array(hit[:ROWS_SHOWN])).drop_columns(
                [n for n in BOOKKEEPING if n in rows.column_names]
            )
            examples = tuple({k: _plain(v) for k, v in r.items()} for r in cells(shown))
            set_aside = (declared.policy == "rows" and len(hit) > 0) or (declared.policy == "batch" and integrity)
            anomaly = Anomaly(
                reason.type, name, "error" if set_aside else "warning",
                f"{name}: {reason.message}" if name else reason.message,
                reason.observed, reason.bound, len(hit), examples=examples,
            )  # fmt: skip
            if (anomaly.type, name) not in known:  # the table's own schema has said it already
                found.append(anomaly)
            grave += [anomaly] if integrity else []
            if declared.policy == "rows":
                for i in hit:
                    bad[i] = True
                    reasons[i] = reasons[i] or f"{reason.type}: {anomaly.message}"
    if declared.policy == "batch" and grave:
        said = f"{grave[0].type}: {grave[0].message} (the whole batch)"
        bad[:], reasons = True, [r or said for r in reasons]
    return replace(checked, bad=bad, reasons=reasons, anomalies=tuple(found))


def _plain(value: Cell) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _declared(table: str, kept: DeclaredVersion) -> Declared:
    schema = from_text("Schema", kept.text, name=f"schema of {table}")
    return Declared(table, kept.version, schema, kept.environment, kept.policy, kept.serving, kept.actor)


def _diff(before: Message, after: Message) -> list[str]:
    return list(
        difflib.unified_diff(
            to_yaml(before).splitlines(), to_yaml(after).splitlines(), "declared", "proposed", lineterm="", n=2
        )
    )
