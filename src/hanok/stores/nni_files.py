"""What NNI keeps of its experiments on disk: `~/nni-experiments/.experiment` and `<experiment>/db/nni.sqlite`.

The tables and the lock are those of NNI 3.0, so that `nnictl` reads what is written here, and NNI's own manager goes on
where this one stopped.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hanok.core.errors import Unavailable
from hanok.core.json import Json, JsonObject

STALE_S, TRIES = 2.0, 100
_TABLES = """
create table if not exists TrialJobEvent (timestamp integer, trialJobId text, event text, data text, logPath text,
    sequenceId integer, message text, environmentId text);
create index if not exists TrialJobEvent_trialJobId on TrialJobEvent(trialJobId);
create index if not exists TrialJobEvent_event on TrialJobEvent(event);
create table if not exists MetricData (timestamp integer, trialJobId text, parameterId text, type text,
    sequence integer, data text);
create index if not exists MetricData_trialJobId on MetricData(trialJobId);
create index if not exists MetricData_type on MetricData(type);
create table if not exists ExperimentProfile (params text, id text, execDuration integer, startTime integer,
    endTime integer, logDir text, nextSequenceId integer, revision integer);
create index if not exists ExperimentProfile_id on ExperimentProfile(id);
"""


class ExperimentFile:
    """`nni.sqlite` of one experiment. Each call is one commit; safe to use from any thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._c = sqlite3.connect(folder / "nni.sqlite", isolation_level=None, check_same_thread=False)
        self._c.row_factory = sqlite3.Row
        self._lock = threading.Lock()
        self._c.executescript(_TABLES)

    def put_profile(self, profile: Mapping[str, Any]) -> None:
        values = (
            json.dumps(profile["params"]),
            profile["id"],
            int(profile["execDuration"]),
            profile["startTime"],
            profile.get("endTime"),
            profile["logDir"],
            profile["nextSequenceId"],
            profile["revision"],
        )
        self._write("insert into ExperimentProfile values (?,?,?,?,?,?,?,?)", values)

    def profile(self, experiment: str) -> dict[str, Any] | None:
        """The newest."""
        rows = self._read("select * from ExperimentProfile where id=? order by revision desc limit 1", (experiment,))
        if not rows:
            return None
        found = {key: value for key, value in dict(rows[0]).items() if value is not None}
        return found | {"params": json.loads(rows[0]["params"])}

    def add_event(
        self,
        event: str,
        trial: str,
        at_ms: int,
        *,
        data: str | None = None,
        folder: str | None = None,
        sequence: int | None = None,
        message: str | None = None,
    ) -> None:
        values = (at_ms, trial, event, data, folder, sequence, message, None)
        self._write("insert into TrialJobEvent values (?,?,?,?,?,?,?,?)", values)

    def events(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._read("select * from TrialJobEvent order by rowid", ())]

    def add_metric(self, metric: Mapping[str, Any]) -> None:
        names = ("timestamp", "trialJobId", "parameterId", "type", "sequence", "data")
        self._write("insert into MetricData values (?,?,?,?,?,?)", tuple(metric[name] for name in names))

    def metrics(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._read("select * from MetricData order by rowid", ())]

    def close(self) -> None:
        with self._lock:
            self._c.close()

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            self._c.execute(statement, values)

    def _read(self, statement: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
        with self._lock:
            return self._c.execute(statement, values).fetchall()


class ExperimentList:
    """`.experiment`: all experiments of this user, with their port, process and status."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> list[JsonObject]:
        """Those whose process is gone are stopped."""
        with self._locked():
            found = self._load()
            gone = [e for e in found.values() if e.get("status") != "STOPPED" and not _alive(e.get("pid"))]
            for experiment in gone:
                experiment["status"] = "STOPPED"
                experiment.pop("port", None)
            if gone:
                self._save(found)
            return list(found.values())

    def set(self, experiment: str, **values: Json) -> bool:
        """False while nnictl has not listed the experiment yet."""
        with self._locked():
            found = self._load()
            if experiment not in found:
                return False
            found[experiment] |= values
            self._save(found)
            return True

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            found: dict[str, dict[str, Any]] = json.loads(self._path.read_text(encoding="utf-8") or "{}")
        except FileNotFoundError:
            return {}
        return found

    def _save(self, found: Mapping[str, JsonObject]) -> None:
        made = self._path.with_name(f"{self._path.name}.new.{os.getpid()}")
        made.write_text(json.dumps(found, indent=4), encoding="utf-8")
        made.replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """NNI's lock: a file named after the process; one that is older than two seconds counts no more."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        own = self._path.with_name(f"{self._path.name}.lock.{os.getpid()}-{threading.get_ident()}")
        for _ in range(TRIES):
            if not any(_young(other) for other in self._path.parent.glob(f"{self._path.name}.lock.*")):
                break
            time.sleep(0.05)
        else:
            raise Unavailable(f"{self._path} is locked by another process; remove {self._path}.lock.* if none runs")
        own.touch()
        try:
            yield
        finally:
            own.unlink(missing_ok=True)


def _young(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < STALE_S
    except FileNotFoundError:
        return False


def _alive(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except (TypeError, ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
