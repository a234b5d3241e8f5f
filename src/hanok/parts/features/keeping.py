"""Online values of all uses of views, each by itself: a use that cannot be filled stops no other, is told by name, and
is tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import duckdb
import pyarrow as pa

from hanok.core.errors import HanokError, Unavailable, words
from hanok.parts.features.generations import Generations
from hanok.parts.features.online import OnlineRow, Own, Use

UNREADABLE = (
    *(ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError),
    *(pa.ArrowException, duckdb.Error, HanokError),
)
"""What comes of rows that a view cannot be made of; other errors are of the store, where trying again may help."""
log = logging.getLogger("hanok.features")


class Keeping:
    """The values of uses, and why some are not there."""

    def __init__(self, values: Generations) -> None:
        self._values = values
        self._failed: dict[str, tuple[Use, str]] = {}

    def keep(self, uses: Sequence[Use]) -> None:
        """Fill what is missing, and drop the values of all other uses."""
        for use in uses:
            self._tried(use, self._ensured)
        self._failed = {u.id: self._failed[u.id] for u in uses if u.id in self._failed}
        self._values.keep(uses)

    def push(self, uses: Iterable[Use], rows: pa.Table) -> int:
        """Merge newly arrived rows of the table that these uses read; returns how many entities they are of."""
        touched, broken = 0, list[Exception]()
        for use in uses:
            try:
                touched += self._pushed(use, rows)
            except Exception as error:  # noqa: BLE001 (the other views have their turn first)
                broken.append(error)
        if broken:
            raise broken[0]
        return touched

    def read(self, use: Use, keys: Sequence[bytes | None], without: Own | None = None) -> list[OnlineRow]:
        """The values of entities as they stand now. Raises Unavailable for a view that cannot be filled."""
        told = self._why(use)
        if not told:
            try:
                return self._values.read(use, keys, without)
            except UNREADABLE as error:
                if isinstance(error, HanokError) or self._values.answers(use):
                    raise
                told = self._note(use, error)
        raise Unavailable(
            f"feature view {use.view.name!r} has no online values, because they cannot be made of table "
            f"{use.view.source.table!r}: {told}. Mend the view or its rows, then: hanok feature materialize "
            f"{use.view.name}"
        )

    def fill(self, use: Use) -> int:
        """Build all values of a use again. Raises what stops that."""
        done = self._values.fill(use)
        self._failed.pop(use.id, None)
        return done

    def count(self, use: Use) -> int:
        return self._values.count(use)

    def failed(self) -> list[tuple[Use, str]]:
        """The uses that have no values, and why."""
        return [(use, why) for use, why in list(self._failed.values()) if self._why(use)]

    def _why(self, use: Use) -> str:
        """Why a use has no values; "" where it has, by whomever they were filled meanwhile."""
        if use.id in self._failed and self._values.answers(use):
            self._failed.pop(use.id, None)
        return self._failed[use.id][1] if use.id in self._failed else ""

    def _pushed(self, use: Use, rows: pa.Table) -> int:
        if self._why(use):
            return self._tried(use, self.fill)
        try:
            return self._values.push(use, rows)
        except UNREADABLE:
            self._values.withdraw(use)  # they lack these rows now
            return self._tried(use, self.fill)

    def _ensured(self, use: Use) -> int:
        self._values.ensure(use)
        self._failed.pop(use.id, None)
        return 0

    def _tried(self, use: Use, work: Callable[[Use], int]) -> int:
        try:
            return work(use)
        except Exception as error:  # noqa: BLE001 (one view: it is told, and tried again)
            self._note(use, error)
            return 0

    def _note(self, use: Use, error: Exception) -> str:
        told = (words(error).splitlines() or [""])[0]
        self._failed[use.id] = use, told
        log.error("feature view %s has no online values of table %s: %s", use.view.name, use.view.source.table, told)
        return told
