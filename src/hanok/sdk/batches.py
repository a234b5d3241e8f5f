"""Files and tables answered in bulk from where the caller is: read in pieces, asked piece by piece, written whole.

What was answered lies beside the place of the answers until all of it is there, so that a run that was killed goes on
where it stood. The answers are put together from the same parts in the same order, however often that was interrupted.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanok.core.errors import BadData, Conflict, Invalid
from hanok.sdk.answers import WRITERS, storable

if TYPE_CHECKING:
    import pyarrow as pa

    from hanok.engine.pieces import Source
    from hanok.sdk.transports import Transport

FORMS = (".parquet", ".csv", ".jsonl")
MARK = ".hanok-batch"  # in a folder of answers: whose they are
Told = Callable[[int, int], None]  # rows answered, rows in all


@dataclass(frozen=True, slots=True)
class Bulk:
    """What is asked. `keys` say of an entity's key its column, or name columns that are called as it."""

    model: str
    source: str
    out: Path | None = None
    version: int = 0
    keys: Mapping[str, str] | Sequence[str] | None = None
    at: str = ""
    keep: Sequence[str] = ()
    piece_rows: int = 0
    nulls: Sequence[str] | None = None
    encoding: str = ""


def predict_bulk(transport: Transport, asked: Bulk, told: Told = lambda done, rows: None) -> Mapping[str, Any]:
    """Answer all rows of a file of this machine, or of a table of the home, and write the answers to `out`. Returns the
    batch. Raises BadData before anything is answered where the source cannot be read."""
    path = Path(asked.source)
    source = _source(transport, asked) if path.exists() or path.suffix or os.sep in asked.source else None
    if source is not None and not source.rows:
        raise BadData(f"{asked.source} has a header and no rows: there is nothing to answer")
    if asked.out is not None:
        _check_out(asked.out)
    batch = _begun(transport, asked, source)
    rows = source.rows if source is not None else batch["upto"]
    with _Parts(asked.out, batch["id"]) as parts:
        done = refused = failed = 0
        for place, piece in enumerate(_pieces(source, batch)):
            answers = parts.read(place)
            if answers is None:
                answers = transport.piece(asked.model, batch["id"], place, piece)
                parts.write(place, answers)
            done += answers.num_rows
            known = _counted(answers)
            refused, failed = refused + known[0], failed + known[1]
            told(done, rows)
        if source is not None and done != source.rows:
            raise BadData(f"{asked.source} had {source.rows} rows at first and has {done} now: ask again")
        parts.finish()
    counts = {"rows": done, "refused": refused, "failed": failed}
    finished: Mapping[str, Any] = transport.call(  # type: ignore[assignment]
        "predict.finish", {"model": asked.model, "batch": batch["id"], **counts}
    )
    return finished


def _source(transport: Transport, asked: Bulk) -> Source:
    """The file, read as files of the table that the model predicts for are, where nothing else is said."""
    from hanok.engine.delimited import NULLS, Options
    from hanok.engine.pieces import open_source

    path = Path(asked.source)
    if not path.is_file():
        return open_source(path)
    usual: Mapping[str, Any] = transport.call("predict.reading", {"model": asked.model})  # type: ignore[assignment]
    nulls = asked.nulls if asked.nulls is not None else usual["nulls"]
    encoding = asked.encoding or usual["encoding"] or Options().encoding
    return open_source(path, Options(NULLS if nulls is None else tuple(nulls), encoding), usual["numbers"])


def _begun(transport: Transport, asked: Bulk, source: Source | None) -> Mapping[str, Any]:
    keys = asked.keys or {}
    wanted = {
        "source": asked.source if source is None else source.name,
        "digest": "" if source is None else source.digest,
        "columns": [] if source is None else list(source.columns),
        "version": asked.version,
        "keys": dict(keys) if isinstance(keys, Mapping) else {n: n for n in keys},
        "at": asked.at,
        "keep": list(asked.keep),
        "piece_rows": asked.piece_rows,
        "out": "" if asked.out is None else asked.out.name,
        "rows": 0 if source is None else source.rows,
    }
    batch: Mapping[str, Any] = transport.call("predict.begin", {"model": asked.model, **wanted})  # type: ignore[assignment]
    return batch


def _pieces(source: Source | None, batch: Mapping[str, Any]) -> Iterator[pa.Table | None]:
    """The rows of a file; None for each piece that the server reads itself."""
    if source is not None:
        from hanok.wire.inference.columns import TYPED

        pieces = source.pieces(batch["columns"], batch["piece_rows"])
        return (p.replace_schema_metadata({TYPED: b"1"} if source.typed else None) for p in pieces)
    return iter([None] * -(-batch["upto"] // batch["piece_rows"]))


def _counted(answers: pa.Table) -> tuple[int, int]:
    """Rows that were refused, and that failed."""
    wrong = answers.num_rows - answers.column("error").null_count
    if "prediction_id" not in answers.column_names:
        return wrong, 0
    refused = answers.column("prediction_id").null_count
    return refused, wrong - refused


def _check_out(out: Path) -> None:
    if out.suffix and out.suffix.lower() not in FORMS:
        raise Invalid(f"answers are written as {', '.join(FORMS)}, or as a folder of Parquet files, not {out.suffix!r}")
    if not out.absolute().parent.is_dir():
        raise Invalid(f"there is no folder {out.absolute().parent} for {out.name}")
    if out.is_dir() and not (out / MARK).exists():
        raise Invalid(f"{out} is a folder that is there already: name another, or remove it")


class _Parts:
    """The answers of each piece, until they are put together."""

    def __init__(self, out: Path | None, batch: str) -> None:
        self._out, self._batch = out, batch
        self._folder = None if out is None else out.absolute().parent / f".{out.name}.{batch[:12]}"
        self._lock = -1

    def __enter__(self) -> _Parts:
        """Raises Conflict while another run writes the same answers there."""
        if self._finished():
            self._folder = self._out
        elif self._folder is not None:
            self._lock = _locked(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock >= 0:
            os.close(self._lock)

    def _finished(self) -> bool:
        """Whether the folder of answers is of this batch, and whole."""
        mark = None if self._out is None else self._out / MARK
        if mark is None or not mark.is_file():
            return False
        if mark.read_text() != self._batch:
            raise Invalid(f"{self._out} holds the answers of another batch: name another, or remove it")
        return True

    def read(self, place: int) -> pa.Table | None:
        from pyarrow import parquet as pq

        path = self._path(place)
        return pq.read_table(path) if path is not None and path.exists() else None

    def write(self, place: int, answers: pa.Table) -> None:
        from pyarrow import parquet as pq

        path = self._path(place)
        if path is not None:
            new = path.with_suffix(".new")
            pq.write_table(storable(answers), new, compression="zstd")
            _synced(new)
            new.replace(path)

    def finish(self) -> None:
        """Put the parts together in the place that was asked for: whole, or not at all."""
        if self._out is None or self._folder is None or self._folder == self._out:
            return
        paths = sorted(self._folder.glob("part-*.parquet"))
        if not self._out.suffix:
            (self._folder / MARK).write_text(self._batch)
            self._folder.replace(self._out)
            return
        new = self._folder / "whole.new"
        WRITERS[self._out.suffix.lower()](new, paths)
        _synced(new)
        new.replace(self._out)
        shutil.rmtree(self._folder)

    def _path(self, place: int) -> Path | None:
        return None if self._folder is None else self._folder / f"part-{place:06d}.parquet"


def _locked(folder: Path) -> int:
    """A folder made for one run alone: the descriptor that holds it, until it is closed or the run is killed."""
    folder.mkdir(exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(held).st_ino == folder.stat().st_ino:
            return held
    except (BlockingIOError, FileNotFoundError):  # not there: another run put it together just now
        pass
    os.close(held)
    raise Conflict(f"another run writes these answers now, in {folder}: wait for it, or name another file")


def _synced(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
