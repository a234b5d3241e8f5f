"""Names of columns: when two are the same to SQL, and which are taken."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from hanok.core.errors import BadData
from hanok.core.tables import OWN

TAKEN = frozenset((*OWN, "_at", "_known", "_label", "_row", "_broken", "file_row_number"))
TAKEN_PREFIXES = ("key__", "__hanok")


def folded(name: str) -> str:
    """Equal for names that SQL, or a reader's eye, takes for one: in case, blanks around, how accents are composed."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def in_any_spelling(name: str, names: Sequence[str]) -> str:
    """Which of `names` is this one, as it stands or in another spelling; itself where none is."""
    return name if name in names else next((n for n in names if folded(n) == folded(name)), name)


def twins(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that are the same but for their spelling."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(folded(name), name)) != name:
            return other, name
    return None


def checked_columns(where: str, names: Sequence[str], *, known: Sequence[str] = ()) -> None:
    """Raise BadData for names that cannot stand side by side in one table; `known` were let in earlier and stay."""
    if again := [n for i, n in enumerate(names) if n in names[:i]]:
        raise BadData(f"{where} has the column {again[0]!r} {names.count(again[0])} times: rename all but one")
    if blank := [i + 1 for i, name in enumerate(names) if not name.strip()]:
        raise BadData(f"column {blank[0]} of {where} has no name: give it one in the header, or remove it")
    if pair := twins(names):
        raise BadData(
            f"{where} has the columns {pair[0]!r} and {pair[1]!r}, which are one name to SQL (it looks at neither case "
            "nor blanks around): rename one"
        )
    for name in names:
        if "\0" in name:
            raise BadData(f"the column {name!r} of {where} has a NUL character in its name: rename it")
        if name not in known and (folded(name) in TAKEN or folded(name).startswith(TAKEN_PREFIXES)):
            raise BadData(f"{where} has a column {name!r}, a name that is Hanok's own: rename it")


def respelled(names: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Which names of a batch are those of the table in another spelling: {'Price': 'price'}. Names that the table has
    as they stand are not in it. Raises BadData where a name stands there both ways."""
    by_fold = {folded(k): k for k in known}
    found = {n: by_fold[folded(n)] for n in names if n not in known and folded(n) in by_fold}
    for mine, theirs in found.items():
        if theirs in names:
            raise BadData(
                f"the columns {theirs!r} and {mine!r} are one name to SQL, and the table has {theirs!r}: rename or "
                f"remove {mine!r}"
            )
    return found
