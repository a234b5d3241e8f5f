"""How files of a table are read where nobody says it, and the batches that came of one file read in several ways."""

from __future__ import annotations

from hanok.core.clock import Clock
from hanok.core.validation import CHECK, FILE_READINGS, READING, REPLAYED, FileReadings, Reading, Replayed
from hanok.stores.ports import Metadata, Repositories

NOW = "current"


class Readings:
    """The first file of a table says how later ones are read. Each reading of one file is a batch of its own."""

    def __init__(self, *, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def usual(self, table: str) -> Reading:
        """How its first file was read, as far as that was said."""
        return READING.open(self._metadata.read(lambda r: r.records.get(READING.name, table, NOW))) or Reading()

    def keep(self, table: str, reading: Reading) -> None:
        now = self._clock.now()
        self._metadata.write(lambda r: r.records.put(READING.name, table, NOW, READING.body(reading), now))

    def earlier(self, table: str, file: str, batch: str) -> list[str]:
        """Batches that are in already from other readings of the file; `batch` is noted as its newest one."""

        def note(repositories: Repositories) -> list[str]:
            records = repositories.records
            known = FILE_READINGS.open(records.get(FILE_READINGS.name, table, file)) or FileReadings((file,))
            if batch not in known.batches:
                known = FileReadings((*known.batches, batch))
                records.put(FILE_READINGS.name, table, file, FILE_READINGS.body(known), self._clock.now())
            before = known.batches[: known.batches.index(batch)]
            return [b for b in before if records.get(CHECK.name, table, b) is not None]

        return self._metadata.write(note)

    def replaced(self, table: str, rows: list[int], *, batch: str, actor: str) -> None:
        """Rows of the quarantine were tried again as rows of another reading."""
        body, now = REPLAYED.body(Replayed(batch, {}, actor)), self._clock.now()

        def note(repositories: Repositories) -> None:
            for row in rows:
                repositories.records.put(REPLAYED.name, table, str(row), body, now)

        self._metadata.write(note)
