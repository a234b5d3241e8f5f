"""Comparisons as SQL: every value is bound by name, every pattern in the form that the engine's own operator has."""

from __future__ import annotations

from typing import Any

from hanok.core.tracking import Comparison


class Bound:
    """The values of one statement. `condition` texts refer to them."""

    def __init__(self, dialect: str) -> None:
        self.values: dict[str, Any] = {}
        self.sqlite = dialect == "sqlite"

    def one(self, value: object) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def many(self, values: list[Any]) -> str:
        """For IN; nothing is in the empty list."""
        return ", ".join(self.one(value) for value in values) or "NULL"

    def test(self, column: str, wanted: Comparison, *, scale: int = 1) -> str:
        """The comparison on an SQL expression. LIKE minds the case, ILIKE does not. A number is multiplied by `scale`
        first, to the column's unit."""
        operator, value = wanted.operator, wanted.value
        if operator in ("IS NULL", "IS NOT NULL"):
            return f"{column} {operator}"
        if operator in ("IN", "NOT IN"):
            assert isinstance(value, tuple)
            return f"{column} {operator} ({self.many(list(value))})"
        if operator == "LIKE":
            if self.sqlite:  # SQLite's LIKE ignores case; its GLOB does not
                return f"{column} GLOB {self.one(_glob(str(value)))}"
            return f"{column} LIKE {self.one(value)}"
        if operator == "ILIKE":
            return f"lower({column}) LIKE lower({self.one(value)})"
        return f"{column} {operator} {self.one(value * scale if isinstance(value, float | int) else value)}"


def _glob(pattern: str) -> str:
    """A LIKE pattern as GLOB: % is any text, _ any character, the rest itself."""
    replaced = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(replaced.get(character, character) for character in pattern)
