"""Studies and trials: what is searched by is a column, the rest one document beside it."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.clock import micros
from hanok.core.errors import StudyExists, StudyNotFound, TrialNotFound
from hanok.core.json import Json
from hanok.core.records import from_body, to_body
from hanok.core.tuning import Point, Scope, Study, Trial, TrialState
from hanok.stores.sql.rows import instant

Attributes = dict[tuple[int, Scope], dict[str, Json]]
_STUDY_OWN = ("id", "name", "user_attrs", "system_attrs")
_TRIAL_OWN = ("id", "study_id", "number", "state", "revision", "run_id", "reports", "user_attrs", "system_attrs")


class SqlStudies:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, study: Study) -> Study:
        made = replace(study, id=_next(self._c, "study"))
        done = self._c.execute(
            text(
                "INSERT INTO study (id, name, created, experiment, state, next_number, content) "
                "VALUES (:id, :name, :created, :experiment, :state, 0, :content) ON CONFLICT (name) DO NOTHING"
            ),
            {"id": made.id, "name": made.name, "created": micros(made.created)} | _study_values(made),
        )
        if done.rowcount != 1:
            raise StudyExists(f"there is a study {study.name[:120]!r} already; load it, or choose another name")
        _set_attrs(self._c, "study", made.id, made.user_attrs, made.system_attrs)
        return made

    def get(self, study_id: int) -> Study:
        found = self._select("WHERE id = :id", {"id": study_id})
        if not found:
            raise StudyNotFound(f"there is no study number {study_id}; 'hanok study list' shows all")
        return found[0]

    def named(self, name: str) -> Study | None:
        return next(iter(self._select("WHERE name = :name", {"name": name})), None)

    def list(self) -> builtins.list[Study]:
        return self._select("ORDER BY id", {})

    def put(self, study: Study) -> None:
        done = self._c.execute(
            text("UPDATE study SET experiment = :experiment, state = :state, content = :content WHERE id = :id"),
            {"id": study.id} | _study_values(study),
        )
        if done.rowcount != 1:
            self.get(study.id)

    def set_attr(self, study_id: int, scope: Scope, key: str, value: Json) -> None:
        self.get(study_id)
        _set_attr(self._c, "study", study_id, scope, {key: value})

    def delete(self, study_id: int) -> None:
        self.get(study_id)
        mine = "(SELECT id FROM trial WHERE study = :id)"
        for statement in (
            f"DELETE FROM trial_report WHERE trial IN {mine}",
            f"DELETE FROM tuning_attribute WHERE owner = 'trial' AND id IN {mine}",
            "DELETE FROM tuning_attribute WHERE owner = 'study' AND id = :id",
            "DELETE FROM trial WHERE study = :id",
            "DELETE FROM study WHERE id = :id",
        ):
            self._c.execute(text(statement), {"id": study_id})

    def _select(self, rest: str, values: Mapping[str, Any]) -> builtins.list[Study]:
        rows = self._c.execute(text(f"SELECT id, name, content FROM study {rest}"), values).all()
        attrs = _attrs(self._c, "study", [row[0] for row in rows])
        return [
            from_body(
                Study,
                json.loads(row[2])
                | {"id": row[0], "name": row[1]}
                | {f"{scope}_attrs": attrs.get((row[0], scope), {}) for scope in ("user", "system")},
            )
            for row in rows
        ]


class SqlTrials:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, trial: Trial) -> Trial:
        number = self._c.execute(
            text("UPDATE study SET next_number = next_number + 1 WHERE id = :id RETURNING next_number - 1"),
            {"id": trial.study_id},
        ).scalar()
        if number is None:
            raise StudyNotFound(f"there is no study number {trial.study_id}; 'hanok study list' shows all")
        made = replace(trial, id=_next(self._c, "trial"), number=int(number), revision=_next(self._c, "revision"))
        self._c.execute(
            text(
                "INSERT INTO trial (id, study, number, state, revision, lease_until, run, content) "
                "VALUES (:id, :study, :number, :state, :revision, :lease_until, :run, :content)"
            ),
            {"id": made.id, "study": made.study_id, "number": made.number} | _trial_values(made),
        )
        for step, value in made.reports.items():
            self._report(made.id, step, value)
        _set_attrs(self._c, "trial", made.id, made.user_attrs, made.system_attrs)
        return made

    def get(self, trial_id: int) -> Trial:
        found = self._select("WHERE id = :id", {"id": trial_id})
        if not found:
            raise TrialNotFound(f"there is no trial with id {trial_id}; 'hanok study show NAME' lists a study's")
        return found[0]

    def put(self, trial: Trial, *, expected: Sequence[TrialState]) -> bool:
        states = ", ".join(f"'{state}'" for state in expected)
        done = self._c.execute(
            text(
                "UPDATE trial SET state = :state, revision = :revision, lease_until = :lease_until, run = :run, "
                f"content = :content WHERE id = :id AND state IN ({states})"
            ),
            {"id": trial.id} | _trial_values(replace(trial, revision=_next(self._c, "revision"))),
        )
        if done.rowcount != 1:
            self._check(trial.id)
        return done.rowcount == 1

    def report(self, trial_id: int, step: int, value: float) -> None:
        self._touch(trial_id)
        self._report(trial_id, step, value)

    def set_attr(self, trial_id: int, scope: Scope, key: str, value: Json) -> None:
        self._touch(trial_id)
        _set_attr(self._c, "trial", trial_id, scope, {key: value})

    def list(
        self, study_id: int, *, states: Sequence[TrialState] = (), after: int = 0, limit: int | None = None
    ) -> builtins.list[Trial]:
        # index: trial_revision where `after` is given, trial_state where states are, else trial_number
        conditions = ["study = :study"]
        if after:
            conditions.append("revision > :after")
        if states:
            conditions.append(f"state IN ({', '.join(repr(str(s)) for s in states)})")
        bound = "" if limit is None else f" LIMIT {int(limit)}"
        return self._select(
            f"WHERE {' AND '.join(conditions)} ORDER BY number{bound}", {"study": study_id, "after": after}
        )

    def count(self, study_id: int) -> dict[TrialState, int]:
        rows = self._c.execute(
            text("SELECT state, count(*) FROM trial WHERE study = :study GROUP BY state"), {"study": study_id}
        )
        return {row[0]: row[1] for row in rows}

    def _select(self, rest: str, values: Mapping[str, Any]) -> builtins.list[Trial]:
        rows = self._c.execute(
            text(f"SELECT id, study, number, state, revision, run, content FROM trial {rest}"), values
        ).all()
        ids = [row[0] for row in rows]
        attrs, reports = _attrs(self._c, "trial", ids), self._reports(ids)
        return [_trial(row, reports.get(row[0], {}), attrs) for row in rows]

    def _reports(self, ids: Sequence[int]) -> dict[int, dict[int, float]]:
        found: dict[int, dict[int, float]] = {}
        statement = text("SELECT trial, step, value FROM trial_report WHERE trial IN :ids ORDER BY trial, step")
        for row in _by_ids(self._c, statement, ids):
            found.setdefault(row[0], {})[row[1]] = float(row[2])
        return found

    def _report(self, trial_id: int, step: int, value: float) -> None:
        self._c.execute(
            text(
                "INSERT INTO trial_report (trial, step, value) VALUES (:trial, :step, :value) "
                "ON CONFLICT (trial, step) DO UPDATE SET value = excluded.value"
            ),
            {"trial": trial_id, "step": step, "value": repr(float(value))},
        )

    def _touch(self, trial_id: int) -> None:
        done = self._c.execute(
            text("UPDATE trial SET revision = :revision WHERE id = :id"),
            {"id": trial_id, "revision": _next(self._c, "revision")},
        )
        if done.rowcount != 1:
            self._check(trial_id)

    def _check(self, trial_id: int) -> None:
        self.get(trial_id)


def _study_values(study: Study) -> dict[str, Any]:
    body = {k: v for k, v in to_body(study).items() if k not in _STUDY_OWN}
    return {"experiment": study.experiment_id, "state": study.state, "content": json.dumps(body)}


def _trial_values(trial: Trial) -> dict[str, Any]:
    body: dict[str, Any] = {k: v for k, v in to_body(trial).items() if k not in _TRIAL_OWN}
    body["values"] = [repr(v) for v in trial.values]
    body["points"] = {name: [repr(p.value), p.distribution] for name, p in trial.points.items()}
    return {
        "state": trial.state,
        "revision": trial.revision,
        "lease_until": instant(trial.lease.until) if trial.lease else None,
        "run": trial.run_id,
        "content": json.dumps(body),
    }


def _trial(row: Any, reports: Mapping[int, float], attrs: Attributes) -> Trial:
    body = json.loads(row[6])
    points = {name: Point(float(value), kind) for name, (value, kind) in body.pop("points").items()}
    body["values"] = [float(v) for v in body["values"]]
    body |= {"id": row[0], "study_id": row[1], "number": row[2], "state": row[3], "revision": row[4], "run_id": row[5]}
    made = from_body(Trial, body)
    return replace(
        made,
        points=points,
        reports=reports,
        user_attrs=attrs.get((row[0], "user"), {}),
        system_attrs=attrs.get((row[0], "system"), {}),
    )


def _next(connection: Connection, name: str) -> int:
    return int(
        connection.execute(
            text("UPDATE tuning_counter SET value = value + 1 WHERE name = :name RETURNING value"), {"name": name}
        ).scalar_one()
    )


def _set_attrs(
    connection: Connection, owner: str, number: int, user: Mapping[str, Json], system: Mapping[str, Json]
) -> None:
    _set_attr(connection, owner, number, "user", user)
    _set_attr(connection, owner, number, "system", system)


def _set_attr(connection: Connection, owner: str, number: int, scope: Scope, values: Mapping[str, Json]) -> None:
    for key, value in values.items():
        connection.execute(
            text(
                "INSERT INTO tuning_attribute (owner, id, scope, key, value) VALUES (:owner, :id, :scope, :key, :value)"
                " ON CONFLICT (owner, id, scope, key) DO UPDATE SET value = excluded.value"
            ),
            {"owner": owner, "id": number, "scope": scope, "key": key, "value": json.dumps(value)},
        )


def _attrs(connection: Connection, owner: str, ids: Sequence[int]) -> Attributes:
    found: Attributes = {}
    statement = text(
        f"SELECT id, scope, key, value FROM tuning_attribute WHERE owner = '{owner}' AND id IN :ids ORDER BY id, key"
    )
    for row in _by_ids(connection, statement, ids):
        found.setdefault((row[0], row[1]), {})[row[2]] = json.loads(row[3])
    return found


def _by_ids(connection: Connection, statement: Any, ids: Sequence[int]) -> Iterable[Any]:
    """Rows of a statement with `IN :ids`, asked for in parts that every engine takes."""
    expanding = statement.bindparams(bindparam("ids", expanding=True))
    for start in range(0, len(ids), 500):
        yield from connection.execute(expanding, {"ids": list(ids[start : start + 500])})
