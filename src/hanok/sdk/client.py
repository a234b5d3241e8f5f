"""`hk.open()`: a home, or a running server, by the same verbs."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from hanok.core.errors import HanokError, HomeLocked, Unavailable
from hanok.sdk.notebook import shown


class Remote(HanokError):
    """An error that a server answered with."""

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code, self.status = code, status  # type: ignore[misc]

    @property
    def exit_status(self) -> int:
        return 2 if self.status == 400 else 1


class Client:
    """Calls verbs. Use as a context manager: a home stays locked while it is open in this process."""

    def __init__(self, app: Any = None, address: str = "", secret: str = "") -> None:
        self.app, self.address, self._secret = app, address, secret

    def call(self, name: str, /, **arguments: Any) -> Any:
        """The verb's JSON result, a table in a notebook. Raises HanokError."""
        if self.app is not None:
            from hanok.engine.verbs import call

            content = orjson.dumps(
                call(self.app, name, "local", arguments),
                default=str,
                option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS,
            )
            return shown(orjson.loads(content))
        return shown(self._post(f"/api/v1/{name.replace('.', '/')}", arguments))

    def train(self, model: str, **options: Any) -> Mapping[str, Any]:
        return self.call("train", model=model, **options)

    def predict(self, model: str, **match: Any) -> Mapping[str, Any]:
        """Predict the row whose columns have the given values."""
        return self.call("predict", model=model, match=match)

    def ingest(self, table: str, data: Any, **options: Any) -> Mapping[str, Any]:
        """Check and append a CSV or Parquet file, or an Arrow table, or a pandas or Polars frame."""
        if isinstance(data, str | Path):
            return self._ingest_file(table, Path(data).resolve(), options)
        import tempfile

        from pyarrow import parquet as pq

        with tempfile.TemporaryDirectory(prefix="hanok-") as folder:
            path = Path(folder) / f"{table}.parquet"
            pq.write_table(_arrow(data), path)
            return self._ingest_file(table, path, options)

    def _ingest_file(self, table: str, path: Path, options: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.app is not None or not path.exists():
            return self.call("ingest", table=table, path=str(path), **options)
        from urllib.parse import quote, urlencode

        query = urlencode({k: ",".join(v) if isinstance(v, list | tuple) else v for k, v in options.items() if v})
        with path.open("rb") as file:
            size = {"Content-Length": str(path.stat().st_size)}
            return self._send("PUT", f"/api/v1/tables/{quote(table)}/batches/{quote(path.name)}?{query}", file, size)

    def runs(
        self,
        *,
        experiment: str | Sequence[str] = (),
        filter: str = "",
        order_by: Sequence[str] = (),
        limit: int = 0,
        history: bool = False,
    ) -> Any:
        """Runs as an Arrow table (`.to_pandas()` makes a frame of it): a row for each run, or with `history` for each
        point. `filter` is MLflow's language with OR, NOT and parentheses."""
        experiments = [experiment] if isinstance(experiment, str) else list(experiment)
        asked: dict[str, Any] = {"filter": filter, "order_by": list(order_by), "limit": limit}
        if self.app is not None:
            from hanok.engine.run_tables import history_table, runs_table

            return (history_table if history else runs_table)(self.app, experiments=experiments, **asked)
        return self._table("/api/v1/runs", {**asked, "experiment": experiments, "history": "1" if history else "0"})

    def sql(self, query: str) -> Any:
        """The answer of one SELECT over experiments, runs, params, tags, metrics and history, as an Arrow table."""
        if self.app is not None:
            from hanok.engine.run_tables import sql_table

            return sql_table(self.app, query)
        return self._table("/api/v1/sql", {"query": query})

    def _table(self, path: str, query: Mapping[str, Any]) -> Any:
        from urllib.parse import urlencode

        import pyarrow as pa

        accept = {"Accept": "application/vnd.apache.arrow.stream"}
        content = self._bytes("GET", f"{path}?{urlencode(query, doseq=True)}", None, accept)
        return pa.ipc.open_stream(content).read_all()

    def upload(self, of: str, identity: str, path: str, file: Path) -> None:
        """Store a file as an artifact. `of` is runs or logged-models, `path` where it goes among their artifacts."""
        if self.app is None:
            from urllib.parse import quote

            with file.open("rb") as content:
                size = {"Content-Length": str(file.stat().st_size)}
                self._send("PUT", f"/api/v1/{of}/{quote(identity)}/artifacts/{quote(path)}", content, size)
            return
        from hanok.parts.tracking.artifacts import checked_path, in_tree

        tracking = self.app.tracking
        owner = tracking.runs.get(identity) if of == "runs" else tracking.logged_models.get(identity)
        with file.open("rb") as content:
            tracking.artifacts.put(f"{in_tree(owner.artifact_uri)}/{checked_path(path)}", content)

    def rollback(self, model: str, **options: Any) -> Mapping[str, Any]:
        return self.call("rollback", model=model, **options)

    def close(self) -> None:
        if self.app is not None:
            self.app.close()
            self.app = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send("POST", path, orjson.dumps(body), {"Content-Type": "application/json"})

    def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        return orjson.loads(self._bytes(method, path, body, headers))

    def _bytes(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> bytes:
        secret = {"Authorization": f"Bearer {self._secret}"} if self._secret else {}
        request = urllib.request.Request(self.address + path, body, {**headers, **secret}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=3600) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            raise _remote(error) from None
        except OSError as error:
            raise Unavailable(f"no Hanok answers at {self.address}: {error}; start it with 'hanok up'") from None


def _arrow(data: Any) -> Any:
    """An Arrow table of what a user has."""
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    return pa.table(data) if hasattr(data, "__arrow_c_stream__") else pa.Table.from_pandas(data, preserve_index=False)


def _remote(error: urllib.error.HTTPError) -> HanokError:
    try:
        body = orjson.loads(error.read())["error"]
        return Remote(body["message"], body["code"], error.code)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Unavailable(f"the server answered {error.code}")


def open(where: str | Path | None = None, *, secret: str = "", project: str | Path | None = None) -> Client:
    """A client for a directory with a project (the present one by default), a home, or a server's URL.

    A home that a running `hanok up` owns is reached through that server. `secret` is a token, or `HANOK_TOKEN`.
    """
    import os

    secret = secret or os.environ.get("HANOK_TOKEN", "") or os.environ.get("HANOK_ADMIN_SECRET", "")
    where = where or os.environ.get("HANOK_URL") or None
    if isinstance(where, str) and where.startswith(("http://", "https://")):
        return Client(address=where.rstrip("/"), secret=secret)
    from dataclasses import replace

    from hanok.engine.app import open_app
    from hanok.engine.config import load_config

    config = load_config(Path.cwd())
    if where is not None:
        config = replace(config, home=Path(where))
    if project is not None:
        config = replace(config, project=Path(project))
    try:
        return Client(open_app(config))
    except HomeLocked:
        from hanok.engine.home import Home

        address = Home(config.home).address()
        if not address:
            raise
        return Client(address=address, secret=secret)
