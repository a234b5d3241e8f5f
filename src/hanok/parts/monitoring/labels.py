"""Labels and answers meet, whichever came first: each pair of an entity's label and its answer is joined once.

A join takes what is new on both sides: new labels with all answers so far, and new answers with the labels that came
before them. How far both sides are is kept; a step is noted before its rows are written, so that a restart finishes
exactly that step. Corrections are new rows beside the old: which one counts is decided at read (outcomes.py).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.labels import encoded, holds
from hanok.core.clock import Clock, micros
from hanok.core.errors import HanokError
from hanok.core.ids import new_id
from hanok.core.keys import KeyType
from hanok.core.labels import KeysOf, LabelSource
from hanok.core.lineage import Event, Node, NodeKind
from hanok.core.monitoring import LABELS, LabelState, LabelStep
from hanok.core.serving import Signature
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.label_pairs import UNTIL, pairs, taken_back
from hanok.parts.monitoring.outcomes import NEWEST, OUTCOMES, PREDICTIONS, counting, key_column, since_of
from hanok.parts.monitoring.spellings import Spellings, spelled
from hanok.stores.ports import Metadata, Repositories, Tables

NAMELESS_MAX = 1_000  # keys that name nothing, of one step
WORDS_SHOWN = 5
INSTANT = pa.timestamp("us", "UTC")
NOTHING = pa.schema([("outside", pa.bool_()), ("label", pa.float64()), ("at", INSTANT)])

SignatureOf = Callable[[int], Signature]
"""The signature of a version. May raise HanokError for one that is gone."""


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What became of a model's labels: rows of its label table, answers and those with a label, and what does not
    count."""

    model: str
    table: str
    window_s: float | None
    labels: int
    answers: int
    labelled: int
    outside: int
    strange: int
    words: tuple[str, ...]


class Labels:
    """Joins labels to the answers they are for."""

    def __init__(self, *, metadata: Metadata, tables: Tables, alerts: Alerts, clock: Clock) -> None:
        self._metadata, self._tables, self._alerts, self._clock = metadata, tables, alerts, clock
        self._spellings = Spellings(tables)
        self._joining = threading.RLock()

    def join(
        self,
        source: LabelSource,
        kinds: Sequence[KeyType],
        signature_of: SignatureOf,
        answering: Signature,
        otherwise: Sequence[KeysOf] = (),
    ) -> int:
        """Join what came since the last call; returns the number of pairs that count. `kinds` are the types of the
        keys, `answering` the signature of the version that answers now; `otherwise` are versions that answered by other
        keys than the present ones."""
        counted = 0
        with self._joining:
            while (state := self._step(source)).step is not None:  # one left over by a kill, then what came since
                counted += self._do(source, kinds, state, signature_of, answering, otherwise)
        return counted

    def _do(
        self,
        source: LabelSource,
        kinds: Sequence[KeyType],
        state: LabelState,
        signature_of: SignatureOf,
        answering: Signature,
        otherwise: Sequence[KeysOf],
    ) -> int:
        step = state.step
        assert step is not None
        rows, strange = self._pairs(source, kinds, state, step, signature_of, answering, otherwise)
        outside = int(pc.sum(rows.column("outside")).as_py() or 0)
        counted = int((np.isfinite(rows.column("label").to_numpy()) & ~rows.column("outside").to_numpy()).sum())
        if (gone := taken_back(self._tables, source, state, step, rows)) is not None and gone.num_rows:
            rows = pa.concat_tables([rows, gone], promote_options="permissive") if rows.num_rows else gone
        rows = rows.drop_columns([UNTIL]) if UNTIL in rows.column_names else rows
        if rows.num_rows:
            span = f"{state.labels}-{step.labels} answers {state.answers}-{step.answers}"
            key = f"labels {_short(source.identity)}.{state.generation} {span}"
            self._tables.append(OUTCOMES + source.model, rows, key=key)
        self._finish(source, state, step, rows, counted, outside, strange)
        self._tell(source, counted, outside, strange, step.labels - state.labels)
        return counted

    def outcomes(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        known_by: datetime | None = None,
    ) -> pa.Table:
        """Answers made in [start, end) with the label that counts among those known at `known_by`, now by default."""
        if not self._tables.size(OUTCOMES + model):
            return pa.table({})
        sides = ((">=", start), ("<", end))
        bounds = " AND ".join(f"\"at\" {op} TIMESTAMPTZ '{t.isoformat()}'" for op, t in sides if t is not None)
        scan = self._tables.scan(OUTCOMES + model, since=start)
        chosen = counting(
            scan, known_by=known_by or self._clock.now(), bounds=bounds or "true", since=since_of(self._metadata, model)
        )
        with connect({"outcomes": scan}) as duck:
            return arrow(duck, f"{chosen} ORDER BY {SEQUENCE}")

    def next_known(self, model: str, after: datetime) -> datetime | None:
        """When the next of the labels joined so far becomes known; None when all were known by then."""
        if not self._tables.size(OUTCOMES + model):
            return None
        with connect({"outcomes": self._tables.scan(OUTCOMES + model)}) as duck:
            text = f"SELECT min(known_at) FROM outcomes WHERE known_at > TIMESTAMPTZ '{after.isoformat()}'"
            found: datetime | None = arrow(duck, text).column(0)[0].as_py()
        return found

    def of_rows(self, model: str, first: int, end: int) -> tuple[int, int]:
        """For the label rows numbered [first, end): answers that they were joined to, and answers outside the window.
        What shadows answered beside is joined and not counted here."""
        if not self._tables.size(OUTCOMES + model):
            return 0, 0
        scan = self._tables.scan(OUTCOMES + model)
        if "label_row" not in scan.schema.names:
            return 0, 0
        stays = "AND NOT coalesce(superseded, false)" if "superseded" in scan.schema.names else ""
        with connect({"outcomes": scan}) as duck:
            found = duck.execute(
                "SELECT count(*) FILTER (NOT outside), count(*) FILTER (outside) FROM outcomes "
                f"WHERE arm <> 'shadow' AND label_row >= {int(first)} AND label_row < {int(end)} {stays}"
            ).fetchone()
        return (int(found[0]), int(found[1])) if found else (0, 0)

    def report(self, source: LabelSource) -> LabelReport:
        """What became of the labels of a model."""
        state = self._state(source.model) or LabelState(source.identity)
        answers = 0
        if self._tables.size(PREDICTIONS + source.model):
            with connect({"log": self._tables.scan(PREDICTIONS + source.model)}) as duck:
                found = duck.execute("SELECT count(*) FROM log WHERE arm <> 'shadow' AND score IS NOT NULL").fetchone()
                answers = int(found[0]) if found else 0
        outcomes = self.outcomes(source.model)
        labelled = int(pc.sum(pc.not_equal(outcomes.column("arm"), "shadow")).as_py() or 0) if outcomes.num_rows else 0
        return LabelReport(
            source.model,
            source.table,
            None if source.window is None else source.window.total_seconds(),
            self._tables.size(source.table),
            answers,
            labelled,
            state.outside,
            state.strange,
            state.words,
        )

    # -- steps -----------------------------------------------------------------------------------------------

    def _state(self, model: str) -> LabelState | None:
        return LABELS.open(self._metadata.read(lambda r: r.records.get(LABELS.name, model, NEWEST)))

    def _step(self, source: LabelSource) -> LabelState:
        """The state with the step to do: the one that was begun and not finished, or one over all that is new."""
        state = self._state(source.model) or LabelState(source.identity, origin=source.origin)
        labels, answers = self._tables.size(source.table), self._tables.size(PREDICTIONS + source.model)
        if state.identity != source.identity or labels < state.labels or answers < state.answers:
            generation = state.generation + 1
            since = state.since if _same_origin(state, source) else generation
            state = LabelState(
                source.identity, generation=generation, steps=state.steps, origin=source.origin, since=since
            )
        if state.step is not None or (labels, answers) == (state.labels, state.answers):
            return state
        state = replace(state, step=LabelStep(labels, answers, self._clock.now()))
        self._put(source.model, state)
        return state

    def _put(self, model: str, state: LabelState) -> None:
        now = self._clock.now()
        self._metadata.write(lambda r: r.records.put(LABELS.name, model, NEWEST, LABELS.body(state), now))

    def _finish(
        self,
        source: LabelSource,
        state: LabelState,
        step: LabelStep,
        rows: pa.Table,
        counted: int,
        outside: int,
        strange: Mapping[str, int],
    ) -> None:
        """Note in one commit that the step is done, and which days have to be measured again."""
        now = self._clock.now()
        words = tuple(dict.fromkeys((*strange, *state.words)))[:WORDS_SHOWN]
        done = replace(
            state,
            labels=step.labels,
            answers=step.answers,
            joined=state.joined + counted,
            outside=state.outside + outside,
            strange=state.strange + sum(strange.values()),
            words=words,
            step=None,
            steps=state.steps + 1,
        )
        name = f"{source.model} {source.table} {state.labels}-{step.labels}"
        facts = {"rows": counted, "outside": outside, "model": source.model}
        node = Node(new_id(now), NodeKind.LABEL_BATCH, name, now, facts)
        days = np.unique(rows.column("at").to_numpy().astype("datetime64[D]")).astype(str).tolist()

        def work(repositories: Repositories) -> None:
            if rows.num_rows:
                repositories.lineage.add([node])
                repositories.outbox.append(Event("labels_joined", node.id, now, facts))
            for day in days:
                repositories.records.put("labelled-day", source.model, day, {"step": done.steps}, now)
            repositories.records.put(LABELS.name, source.model, NEWEST, LABELS.body(done), now)

        self._metadata.write(work)

    # -- pairs -----------------------------------------------------------------------------------------------

    def _pairs(
        self,
        source: LabelSource,
        kinds: Sequence[KeyType],
        state: LabelState,
        step: LabelStep,
        signature_of: SignatureOf,
        answering: Signature,
        otherwise: Sequence[KeysOf],
    ) -> tuple[pa.Table, dict[str, int]]:
        """The pairs of a step as rows of the outcomes table, and the new labels that are none of the task."""
        log_name = PREDICTIONS + source.model
        have = self._tables.scan(log_name, upto=step.answers).schema.names if step.answers else []
        strange = self._strange(source, kinds, state, step, answering) if step.labels > state.labels else {}
        nothing = pa.table({"outside": [], "label": [], "at": []}, schema=NOTHING)
        if not step.labels or not step.answers:
            return nothing, strange
        told = self._tables.scan(source.table, upto=step.labels).schema.names
        found = []
        ways = list(_ways(KeysOf(frozenset(), source.keys, tuple(kinds)), otherwise, have, told))
        for way in ways:
            missing = [k for k in way.by.keys if key_column(have, k) is None or k not in told]
            if not missing:
                mine, by = replace(source, keys=way.by.keys), way.by.kinds
                found.append(pairs(self._tables, self._spellings, mine, by, state, step, way.answered, way.told))
            elif way is ways[-1] and not any(t.num_rows for t in found):
                self._unmatched(source.model, missing[0])
        if not found:
            return nothing, strange
        joined = pa.concat_tables(found, promote_options="permissive")
        truth = _truth(joined, signature_of, answering)
        arrived = np.maximum(joined.column("at").cast(INSTANT).cast(pa.int64()).to_numpy(), micros(step.at))
        rows = (
            joined.drop_columns(["_label", "_answer"])
            .append_column("label", pa.array(truth))
            .append_column("generation", pa.array(np.full(joined.num_rows, state.generation)))
            .append_column(ARRIVED, pa.array(arrived).cast(INSTANT))
        )
        return rows, strange

    def _strange(
        self,
        source: LabelSource,
        kinds: Sequence[KeyType],
        state: LabelState,
        step: LabelStep,
        answering: Signature,
    ) -> dict[str, int]:
        """New labels that are none of the task, or whose key names no single value (a float beyond 2^53, say), with how
        often each came; the most frequent first."""
        scan = self._tables.scan(source.table, upto=step.labels, first=state.labels)
        column, nameless = quoted(source.column), dict[str, int]()
        with connect({"labels": scan}) as duck:
            for key, kind in zip(source.keys, kinds, strict=True):
                name = quoted(key)
                one = spelled(name, scan.schema.field(key).type, kind) if key in scan.schema.names else name
                if one == name:  # text is compared as it stands
                    continue
                rows = duck.execute(
                    f"SELECT CAST({name} AS VARCHAR), count(*) FROM labels WHERE {SEQUENCE} >= {state.labels} "
                    f"AND {name} IS NOT NULL AND ({one}) IS NULL GROUP BY 1 "
                    f"ORDER BY 2 DESC, 1 LIMIT {NAMELESS_MAX}"
                ).fetchall()
                nameless |= {f"{key}={value}": int(n) for value, n in rows}
            values = arrow(
                duck,
                f"SELECT {column} AS value, count(*) AS n FROM labels WHERE {SEQUENCE} >= {state.labels} AND "
                f"{holds(source.column, scan.schema.field(source.column).type)} GROUP BY 1 ORDER BY n DESC, value",
            )
        none = np.isnan(encoded(answering, values.column("value")))
        found = values.filter(pa.array(none))
        words = map(str, found.column("value").to_pylist())
        return {**dict(zip(words, found.column("n").to_pylist(), strict=True)), **nameless}

    # -- alerts ----------------------------------------------------------------------------------------------

    def _unmatched(self, model: str, key: str) -> None:
        self._alerts.raise_(
            model,
            "labels",
            "labels-unmatched",
            f"labels of {model} arrive with {key!r}, which its predictions do not carry: they cannot be matched. "
            "Send the entity with each request, or predict through the spine",
        )

    def _tell(self, source: LabelSource, joined: int, outside: int, strange: Mapping[str, int], fresh: int) -> None:
        model = source.model
        if joined:
            self._alerts.resolve(model, "labels-unmatched", "labels are matched again")
        if outside and source.window is not None:
            self._alerts.raise_(
                model,
                "labels",
                "labels-outside",
                f"{outside} labels of {model} are dated more than {source.window.total_seconds() / 86400:g} days from "
                "the answer that they are for and do not count: widen hk.Label(window=...)",
                facts={"pairs": outside, "window_s": source.window.total_seconds()},
            )
        elif joined:
            self._alerts.resolve(model, "labels-outside", "labels lie within the window again")
        if strange:
            shown = ", ".join(repr(w) for w in list(strange)[:WORDS_SHOWN])
            self._alerts.raise_(
                model,
                "labels",
                "labels-strange",
                f"{sum(strange.values())} labels in {source.table} are no label of {model} and do not count: {shown}",
                facts={"rows": sum(strange.values()), "words": list(strange)[:WORDS_SHOWN]},
            )
        elif fresh:
            self._alerts.resolve(model, "labels-strange", "new labels are labels of the task again")


@dataclass(frozen=True, slots=True)
class _Way:
    """By which keys answers and labels meet, and the SQL that says which of them."""

    by: KeysOf
    answered: str
    told: str = "true"


def _ways(present: KeysOf, otherwise: Sequence[KeysOf], have: Sequence[str], told: Sequence[str]) -> Iterator[_Way]:
    """Versions of other keys first, then all the rest. Where an answer of such a version or a label lacks one of the
    version's keys, the two meet by the present keys."""
    for of in otherwise:
        versions = f"t.version IN ({', '.join(str(int(v)) for v in sorted(of.versions))})"
        in_log = [key_column(have, k) for k in of.keys]
        answer_lacks, label_lacks = _lacks(in_log), _lacks([k if k in told else None for k in of.keys])
        yield _Way(of, versions)
        yield _Way(present, f"{versions} AND {answer_lacks}")
        yield _Way(present, f"{versions} AND NOT {answer_lacks}", label_lacks)
    others = sorted({int(v) for of in otherwise for v in of.versions})
    yield _Way(present, f"t.version NOT IN ({', '.join(map(str, others))})" if others else "true")


def _lacks(columns: Sequence[str | None]) -> str:
    return f"({' OR '.join('true' if c is None else f't.{quoted(c)} IS NULL' for c in columns) or 'false'})"


def _same_origin(state: LabelState, source: LabelSource) -> bool:
    if state.origin:
        return state.origin == source.origin
    return not source.row_key and state.identity.startswith(f"{source.table}.{source.column} at ")  # an earlier release


def _truth(joined: pa.Table, signature_of: SignatureOf, answering: Signature) -> np.ndarray:
    """Each label as a number of the version that answered; NaN where that version has no such class."""
    versions = joined.column("version").to_numpy()
    truth = np.full(joined.num_rows, np.nan)
    for version in np.unique(versions):
        try:
            signature = signature_of(int(version))
        except HanokError:  # the version is gone: its answers are read as those of the one that answers
            signature = answering
        mine = versions == version
        truth[mine] = encoded(signature, joined.column("_label").filter(pa.array(mine)))
    return truth


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
