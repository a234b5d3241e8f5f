"""Reads a table to its end, every file of it, and says what is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hanok.core.errors import Corrupt
from hanok.core.tables import SEQUENCE
from hanok.stores.delta.log import DIGESTS, DeltaLog, LogFile, file_digest, read_digests
from hanok.stores.delta.tables import read_keys
from hanok.stores.delta.tail import SET_ASIDE, gaps, read_tail, span_of
from hanok.stores.frames import read_contents


def check_table(root: Path) -> Iterator[str]:
    """What is wrong with the table in a folder, one sentence each, with the rows that it costs.

    Others may write meanwhile. They write the tail, then the keys, then the log, and then they drop the tail: read in
    the order keys, tail, log, no row can be missed that was there. A key may have come with the log's newest rows, so
    keys are read once more. Files that the log names never change.
    """
    keys, lost = read_keys(root / "keys")
    for said in lost:
        yield f"keys is {said}: a batch whose key is lost would be taken again if it is sent again"
    tail = read_tail(root / "tail")
    for path, said in tail.damaged.items():
        yield f"tail/{path.name} is {said}; send these batches again"
    try:
        log = DeltaLog(root / "delta")
    except Corrupt as error:
        yield error.message
        return
    yield from (f"rows {_said(gap)} are in no file" for gap in gaps((b.span for b in tail.batches), log.rows))
    size = max([log.rows, *(b.span.stop for b in tail.batches)])
    told = [span_of(appended) for appended in keys.values()]
    if (end := max((span.stop for span in told), default=0)) > size:
        yield f"it holds {size} rows, and its batches had {end}: rows {size} to {end - 1} are lost"
    held = [span for f in log.files if (span := _span(f)) is not None]
    told = [span_of(appended) for appended in read_keys(root / "keys")[0].values()]
    unnamed = gaps([*told, range(log.rows, log.rows)], 0)
    for gap in (g for g in unnamed if any(f.start < g.stop and g.start < f.stop for f in held)):
        yield f"the keys of the batches with rows {_said(gap)} are lost: sent again, they would be taken again"
    yield from _log_files(root, log, sum(map(len, gaps(held, 0))) if len(held) == len(log.files) else log.rows)
    if (root / DIGESTS).exists():
        yield from (f"{DIGESTS} is {said}" for said in read_contents(root / DIGESTS).damage)


def set_aside_files(root: Path) -> dict[Path, str]:
    """Damaged files that were put out of the way, and why."""
    reasons = sorted((root / SET_ASIDE).glob("*.reason"))
    return {p.with_suffix(""): p.read_text(errors="replace") for p in reasons}


def _log_files(root: Path, log: DeltaLog, lost: int) -> Iterator[str]:
    """`lost` rows never came into a file: the tail lost them before."""
    known = read_digests(root / DIGESTS)
    rows = lost
    for file in log.files:
        path = Path(file.path)
        said, held = _file(path, known.get(path.name, ""))
        rows += held
        if said:
            span = _span(file)
            yield f"delta/{path.name} {said}: it holds rows {_said(span) if span else 'of unknown numbers'}"
    if rows < log.rows:
        yield f"its log names {log.rows} rows, and its files hold {rows - lost}"
    for path in sorted((root / "delta" / "_delta_log").glob("*.*")):
        if path.name in known and file_digest(path) != known[path.name]:
            yield f"delta/_delta_log/{path.name} is damaged (other bytes than were written)"


def _span(file: LogFile) -> range | None:
    """The numbers of a file's rows, by the log or by its own footer; None where neither says."""
    if file.first is not None and file.last is not None:
        return range(file.first, file.last + 1)
    from pyarrow import ArrowException
    from pyarrow import parquet as pq

    try:
        rows = pq.read_table(file.path, columns=[SEQUENCE]).column(SEQUENCE).to_pylist()
    except (OSError, ValueError, KeyError, ArrowException):
        return None
    return range(min(rows), max(rows) + 1) if rows else range(0)


def _said(numbers: range) -> str:
    return f"{numbers.start} to {numbers.stop - 1}"


def _file(path: Path, digest: str) -> tuple[str, int]:
    """What is wrong with a Parquet file, and how many rows its own footer names."""
    from pyarrow import ArrowException
    from pyarrow import parquet as pq

    if not path.exists():
        return "is gone", 1 << 62
    try:
        with pq.ParquetFile(path) as file:
            rows: int = file.metadata.num_rows
            if digest:
                return ("" if file_digest(path) == digest else "is damaged (other bytes than were written)"), rows
            for group in range(file.num_row_groups):
                file.read_row_group(group)
            return "", rows
    except (OSError, ValueError, ArrowException) as error:
        return f"is damaged ({str(error).splitlines()[0][:160]})", 1 << 62
