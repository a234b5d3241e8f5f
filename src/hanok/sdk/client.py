"""`hk.open()`: a home, or a running server, by the same verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hanok.core.errors import HomeLocked
from hanok.core.ids import checked_name
from hanok.sdk.notebook import shown

if TYPE_CHECKING:
    import pyarrow as pa

    from hanok.engine.app import App
    from hanok.sdk.frames import Features, TrainingSet
    from hanok.sdk.transports import Transport


LONG = ("train", "reproduce", "hindsight", "rehearse", "replay", "predict.batch")


class Client:
    """Calls verbs. Use as a context manager: a home stays locked while it is open in this process.

    `answering` lets other processes read a home of this process during the verbs that take long.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.answering: Callable[[App], AbstractContextManager[None]] | None = None

    @property
    def app(self) -> App | None:
        """The open home; None for a client of a server."""
        return getattr(self._transport, "app", None)

    @property
    def address(self) -> str:
        """Where the server answers; "" for a home in this process."""
        return getattr(self._transport, "address", "")

    def call(self, name: str, /, **arguments: Any) -> Any:
        """The verb's JSON result, a table in a notebook. Raises HanokError."""
        if name in LONG and self.app is not None and self.answering is not None:
            with self.answering(self.app):
                return shown(self._transport.call(name, arguments))
        return shown(self._transport.call(name, arguments))

    def train(self, model: str, **options: Any) -> Mapping[str, Any]:
        return self.call("train", model=model, **options)

    def predict(self, model: str, **match: Any) -> Mapping[str, Any]:
        """Predict the row whose columns have the given values."""
        return self.call("predict", model=model, match=match)

    def predict_bulk(
        self,
        model: str,
        source: str | Path,
        out: str | Path | None = None,
        *,
        version: int = 0,
        keys: Mapping[str, str] | Sequence[str] | None = None,
        at: str = "",
        keep: Sequence[str] = (),
        piece_rows: int = 0,
        nulls: Sequence[str] | None = None,
        encoding: str = "",
        told: Callable[[int, int], None] = lambda done, rows: None,
    ) -> Mapping[str, Any]:
        """Answer all rows of a file (CSV, JSON lines, Parquet, Arrow, a Delta table) or of a table of the home, in
        bounded memory, and write the answers to `out`. Asked again, also after a kill, it goes on where it stood.
        `nulls` (words that mean no value) and `encoding` are those of the table that the model predicts for, where they
        are not given."""
        from hanok.sdk.batches import Bulk, predict_bulk

        place = None if out is None else Path(out)
        asked = Bulk(model, str(source), place, version, keys, at, keep, piece_rows, nulls, encoding)
        return predict_bulk(self._transport, asked, told)

    def rollback(self, model: str, **options: Any) -> Mapping[str, Any]:
        return self.call("rollback", model=model, **options)

    def ingest(self, table: str, data: Any, **options: Any) -> Mapping[str, Any]:
        """Check and append a CSV or Parquet file, or an Arrow table, or a pandas or Polars frame."""
        checked_name("table", table)
        if isinstance(data, str | Path):
            return shown(self._transport.ingest(table, Path(data).resolve(), options))
        import tempfile

        from pyarrow import parquet as pq

        with tempfile.TemporaryDirectory(prefix="hanok-") as folder:
            path = Path(folder) / f"{table}.parquet"
            pq.write_table(_arrow(data), path)
            return shown(self._transport.ingest(table, path, options))

    def runs(
        self,
        *,
        experiment: str | Sequence[str] = (),
        filter: str = "",
        order_by: Sequence[str] = (),
        limit: int = 0,
        history: bool = False,
    ) -> pa.Table:
        """Runs as an Arrow table (`.to_pandas()` makes a frame of it): a row for each run, or with `history` for each
        point. `filter` is MLflow's language with OR, NOT and parentheses."""
        from hanok.sdk.transports import AskedRuns

        experiments = [experiment] if isinstance(experiment, str) else list(experiment)
        return self._transport.runs(AskedRuns(experiments, filter, order_by, limit, history))

    def sql(self, query: str) -> pa.Table:
        """The answer of one SELECT over experiments, runs, params, tags, metrics and history, as an Arrow table."""
        return self._transport.sql(query)

    def upload(self, of: str, identity: str, path: str, file: Path) -> None:
        """Store a file as an artifact. `of` is runs or logged-models, `path` where it goes among their artifacts."""
        self._transport.upload(of, identity, path, file)

    def download(self, artifact: str, file: Path) -> None:
        """Write an artifact, by its path in the tree, to a file."""
        self._transport.download(artifact, file)

    def training_set(
        self, spine: Any, features: Features | Sequence[Features], *, at: str = "", known_time: bool = True
    ) -> TrainingSet:
        """The rows of `spine` with features as they were known at each row's instant, recorded in the lineage graph.

        `spine` is an Arrow, Polars or pandas frame, a Path, or a text: a file, the name of a table, or one SELECT over
        tables. `features` is a service, a view, or a list of them and of names ("weather", "weather__temp"). `at` names
        the instant of a row, like "asked" or "scheduled - 2h".
        """
        from hanok.sdk.frames import TrainingSet, as_arrow, asked

        if isinstance(spine, Path):
            spine = as_arrow(spine)
        rows = spine if isinstance(spine, str) else as_arrow(spine)
        found = self._transport.training_set(rows, asked(features), at, known_time)
        return TrainingSet(found.id, found.rows, found.digest)

    def online(
        self, features: Features | Sequence[Features], entities: Any, *, defaults: Mapping[str, Any] | None = None
    ) -> list[Mapping[str, Any]]:
        """Features of entities as they stand now: for each one `values`, `statuses` (present, null, missing, stale) and
        `event_times`. `entities` are mappings of key and value, or a frame; `defaults` stand for absent values."""
        from hanok.sdk.frames import asked, entity_rows

        given = {"features": asked(features), "entities": entity_rows(entities), "defaults": defaults}
        return list(cast("Sequence[Mapping[str, Any]]", self._transport.call("feature.online", given)))

    def close(self) -> None:
        """Let go of the home. Closing twice is harmless."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open(
    where: str | Path | None = None, *, secret: str = "", project: str | Path | None = None, apply: bool = True
) -> Client:
    """A client for a directory with a project (the present one by default), a home, or a server's URL.

    A home that a running `hanok up` owns is reached through that server. `secret` is a token, or `HANOK_TOKEN`.
    The project is applied when a home is opened, unless `apply` is False: `call("apply")` then says what changes.
    """
    import os

    from hanok.sdk.transports import Http, InProcess

    secret = secret or os.environ.get("HANOK_TOKEN", "") or os.environ.get("HANOK_ADMIN_SECRET", "")
    where = where or os.environ.get("HANOK_URL") or None
    if isinstance(where, str) and where.startswith(("http://", "https://")):
        return Client(Http(where.rstrip("/"), secret))
    from dataclasses import replace

    from hanok.engine.app import open_app
    from hanok.engine.config import load_config

    config = load_config(Path.cwd())
    if where is not None:
        config = replace(config, home=Path(where))
    if project is not None:
        config = replace(config, project=Path(project))
    try:
        return Client(InProcess(open_app(config, apply=apply)))
    except HomeLocked:
        from hanok.engine.home import Home

        address = Home(config.home).address()
        if not address:
            raise
        return Client(Http(address, secret))


def _arrow(data: Any) -> pa.Table:
    """An Arrow table of what a user has."""
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    return pa.table(data) if hasattr(data, "__arrow_c_stream__") else pa.Table.from_pandas(data, preserve_index=False)
