"""How a client reaches a home: in this process, or over HTTP. Both do the same things with the same results."""

from __future__ import annotations

import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

import orjson

from hanok.core.errors import HanokError, Unavailable
from hanok.core.json import Json

if TYPE_CHECKING:
    import pyarrow as pa

    from hanok.engine.app import App

ARROW_STREAM = "application/vnd.apache.arrow.stream"
TIMEOUT_S = 3600


class Remote(HanokError):
    """An error that a server answered with."""

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code, self.status = code, status  # type: ignore[misc]

    @property
    def exit_status(self) -> int:
        return 2 if self.status == 400 else 1


@dataclass(frozen=True, slots=True)
class AskedRuns:
    """Which runs are wanted, in MLflow's language; `history` asks for a row for each point."""

    experiments: Sequence[str] = ()
    filter: str = ""
    order_by: Sequence[str] = ()
    limit: int = 0
    history: bool = False


@dataclass(frozen=True, slots=True)
class FoundSet:
    """A training set as it came: its node, its rows, the SHA-256 of its Parquet bytes."""

    id: str
    rows: pa.Table
    digest: str


class Transport(Protocol):
    """All methods raise HanokError."""

    def call(self, verb: str, arguments: Mapping[str, Any]) -> Json: ...

    def ingest(self, table: str, path: Path, options: Mapping[str, Any]) -> Json:
        """Check a file of this machine and append it to a table."""

    def runs(self, asked: AskedRuns) -> pa.Table: ...

    def sql(self, query: str) -> pa.Table: ...

    def piece(self, model: str, batch: str, place: int, rows: pa.Table | None) -> pa.Table:
        """The answers to a piece of a batch; `rows` are left out where the home has them."""

    def training_set(self, spine: pa.Table | str, features: Sequence[Json], at: str, known_time: bool) -> FoundSet:
        """Rows with features. `spine` as text is a table, a SELECT, or a file of the server's machine."""

    def upload(self, of: str, identity: str, path: str, file: Path) -> None:
        """Store a file at `path` among the artifacts of one of `of`: runs or logged-models."""

    def download(self, artifact: str, file: Path) -> None:
        """Write an artifact of the server's tree to a file."""

    def close(self) -> None: ...


class InProcess:
    """A home that is open in this process."""

    def __init__(self, app: App) -> None:
        self.app: App | None = app

    @property
    def _open(self) -> App:
        if self.app is None:
            raise Unavailable("this client is closed; open another with hk.open()")
        return self.app

    def call(self, verb: str, arguments: Mapping[str, Any]) -> Json:
        from hanok.engine.own_code import on_this_machine
        from hanok.engine.verbs import call

        options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
        with on_this_machine():
            found = call(self._open, verb, "local", arguments)
        answer: Json = orjson.loads(orjson.dumps(found, default=str, option=options))
        return answer

    def ingest(self, table: str, path: Path, options: Mapping[str, Any]) -> Json:
        return self.call("ingest", {"table": table, "path": str(path), **options})

    def runs(self, asked: AskedRuns) -> pa.Table:
        from hanok.engine.parts import find
        from hanok.engine.run_tables import RunTables

        tables = find(self._open, RunTables)
        make = tables.history if asked.history else tables.runs
        return make(experiments=asked.experiments, filter=asked.filter, order_by=asked.order_by, limit=asked.limit)

    def sql(self, query: str) -> pa.Table:
        from hanok.engine.parts import find
        from hanok.engine.run_tables import RunTables

        return find(self._open, RunTables).sql(query)

    def piece(self, model: str, batch: str, place: int, rows: pa.Table | None) -> pa.Table:
        from hanok.engine.batching import Batching
        from hanok.engine.parts import find

        return find(self._open, Batching).piece(model, batch, place, rows)

    def training_set(self, spine: pa.Table | str, features: Sequence[Json], at: str, known_time: bool) -> FoundSet:
        from hanok.engine.feature_sets import AskedSet, FeatureSets, SpineRows
        from hanok.engine.parts import find
        from hanok.engine.verbs.features import asked_features

        sets = find(self._open, FeatureSets)
        rows = sets.rows_of(spine) if isinstance(spine, str) else SpineRows(spine)
        made = sets.make(rows, AskedSet(asked_features(features), at, known_time))
        return FoundSet(made.id, made.rows, made.digest)

    def upload(self, of: str, identity: str, path: str, file: Path) -> None:
        from hanok.parts.tracking.artifacts import checked_path, in_tree

        tracking = self._open.tracking
        uri = (tracking.runs.get(identity) if of == "runs" else tracking.logged_models.get(identity)).artifact_uri
        with file.open("rb") as content:
            tracking.artifacts.put(f"{in_tree(uri)}/{checked_path(path)}", content)

    def download(self, artifact: str, file: Path) -> None:
        with self._open.tracking.artifacts.open(artifact) as content, file.open("wb") as target:
            shutil.copyfileobj(content, target)

    def close(self) -> None:
        if self.app is not None:
            self.app.close()
            self.app = None


class Http:
    """A running server. `secret` is a token, or the admin secret."""

    def __init__(self, address: str, secret: str = "") -> None:
        self.address, self._secret = address, secret

    def call(self, verb: str, arguments: Mapping[str, Any]) -> Json:
        path, headers = f"/api/v1/{verb.replace('.', '/')}", {"Content-Type": "application/json"}
        return _json(self._send("POST", path, orjson.dumps(arguments), headers))

    def ingest(self, table: str, path: Path, options: Mapping[str, Any]) -> Json:
        if not path.exists():  # perhaps it is a path of the server's machine
            return self.call("ingest", {"table": table, "path": str(path), **options})
        given = {k: v for k, v in options.items() if v or k == "nulls"}
        query = urlencode({k: ",".join(v) if isinstance(v, list | tuple) else v for k, v in given.items()})
        return _json(self._put_file(f"/api/v1/tables/{quote(table)}/batches/{quote(path.name)}?{query}", path))

    def runs(self, asked: AskedRuns) -> pa.Table:
        query = {
            "filter": asked.filter,
            "order_by": list(asked.order_by),
            "limit": asked.limit,
            "experiment": list(asked.experiments),
            "history": "1" if asked.history else "0",
        }
        return self._table("/api/v1/runs", query)

    def sql(self, query: str) -> pa.Table:
        return self._table("/api/v1/sql", {"query": query})

    def piece(self, model: str, batch: str, place: int, rows: pa.Table | None) -> pa.Table:
        import pyarrow as pa

        from hanok.engine.table_formats import encoded

        body = b"" if rows is None else encoded(rows, "arrow")
        path = f"/api/v1/predictions/{quote(model)}/batches/{batch}/{place}"
        return pa.ipc.open_stream(self._send("PUT", path, body, {"Content-Type": ARROW_STREAM})).read_all()

    def training_set(self, spine: pa.Table | str, features: Sequence[Json], at: str, known_time: bool) -> FoundSet:
        import io

        import pyarrow as pa

        from hanok.engine.arguments import is_path
        from hanok.sdk.frames import DIGEST, SET, as_arrow

        if (
            isinstance(spine, str) and is_path(spine) and Path(spine).exists()
        ):  # of this machine, which may be another than the server's
            spine = as_arrow(spine)
        given = [f if isinstance(f, str) else orjson.dumps(f).decode() for f in features]
        query = {"features": given, "at": at, "known_time": "1" if known_time else "0"}
        sink = io.BytesIO()
        if isinstance(spine, str):
            query["spine"] = spine
        else:
            with pa.ipc.new_stream(sink, spine.schema) as stream:
                stream.write_table(spine)
        headers = {"Content-Type": ARROW_STREAM, "Accept": ARROW_STREAM}
        path = f"/api/v1/feature/sets?{urlencode(query, doseq=True)}"
        rows = pa.ipc.open_stream(self._send("POST", path, sink.getvalue(), headers)).read_all()
        told = rows.schema.metadata or {}
        kept = {k: v for k, v in told.items() if k not in (SET, DIGEST)}
        return FoundSet(told[SET].decode(), rows.replace_schema_metadata(kept or None), told[DIGEST].decode())

    def upload(self, of: str, identity: str, path: str, file: Path) -> None:
        self._put_file(f"/api/v1/{of}/{quote(identity)}/artifacts/{quote(path)}", file)

    def download(self, artifact: str, file: Path) -> None:
        file.write_bytes(self._send("GET", f"/api/2.0/mlflow-artifacts/artifacts/{quote(artifact)}", None, {}))

    def close(self) -> None:
        """Nothing is held open between requests."""

    def _table(self, path: str, query: Mapping[str, Any]) -> pa.Table:
        import pyarrow as pa

        content = self._send("GET", f"{path}?{urlencode(query, doseq=True)}", None, {"Accept": ARROW_STREAM})
        return pa.ipc.open_stream(content).read_all()

    def _put_file(self, path: str, file: Path) -> bytes:
        with file.open("rb") as content:
            return self._send("PUT", path, content, {"Content-Length": str(file.stat().st_size)})

    def _send(self, method: str, path: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str]) -> bytes:
        secret = {"Authorization": f"Bearer {self._secret}"} if self._secret else {}
        request = urllib.request.Request(self.address + path, body, {**headers, **secret}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            raise _remote(error) from None
        except (OSError, http.client.HTTPException) as error:  # HTTPException: it went away within its answer
            raise Unavailable(f"no Hanok answers at {self.address}: {error}; start it with 'hanok up'") from None


def _json(content: bytes) -> Json:
    answer: Json = orjson.loads(content)
    return answer


def _remote(error: urllib.error.HTTPError) -> HanokError:
    try:
        body = orjson.loads(error.read())["error"]
        return Remote(body["message"], body["code"], error.code)
    except (orjson.JSONDecodeError, KeyError, TypeError, OSError, http.client.HTTPException):
        return Unavailable(f"the server answered {error.code}")
