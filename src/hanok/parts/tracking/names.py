"""Names for runs and models that were given none: two words and a number, derived from their id."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST: tuple[str, ...] = _words(
    "amber brisk calm clear deft early fair gentle honest keen level light lively mild neat open plain quick quiet "
    "ready sharp steady sunny swift true warm wide young bold"
)
_SECOND: tuple[str, ...] = _words(
    "beam bridge brook court crane eave field gate grove harbor heron hill lamp lantern magpie maple meadow mill "
    "path pine pond quill reed ridge roof sparrow stone tile trail"
)


def name_of(node_id: str) -> str:
    """Always the same for one id: its random bits choose the words."""
    bits = int(node_id[-16:], 16)
    return f"{_FIRST[bits % len(_FIRST)]}-{_SECOND[bits // 31 % len(_SECOND)]}-{bits // 961 % 1000}"
