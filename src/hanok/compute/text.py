"""Free text as numbers: how often each term of a vocabulary occurs in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

WORDS_MIN = 3.0
DISTINCT_MIN = 0.2
SAMPLE = 2_000
TERMS_MAX = 1_000
CELLS_MAX = 40_000_000  # of the matrix: 320 MB as float64
DOCUMENTS_MIN = 3
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")


def words(text: str) -> list[str]:
    """Lower-cased runs of letters and digits."""
    return _WORD.findall(text.lower())


def is_free_text(column: pa.ChunkedArray) -> bool:
    """Whether a text column holds sentences, not names of categories: three words a value or more on average, and one
    value in five is its own."""
    present = column.drop_null()
    sample = present.slice(0, SAMPLE)
    if not len(sample) or pc.count_distinct(present).as_py() < DISTINCT_MIN * len(present):
        return False
    return float(np.mean([len(words(t)) for t in sample.to_pylist()])) >= WORDS_MIN


def vocabulary(column: pa.ChunkedArray) -> tuple[str, ...]:
    """The terms that occur in most texts (three at least), sorted; fewer of them the more rows there are."""
    documents: Counter[str] = Counter()
    for text in column.drop_null().to_pylist():
        documents.update(set(words(text)))
    limit = max(50, min(TERMS_MAX, CELLS_MAX // max(1, len(column))))
    common = sorted(documents.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return tuple(sorted(term for term, count in common if count >= DOCUMENTS_MIN))


def term_counts(terms: Sequence[str], texts: Sequence[str | None]) -> NDArray[np.float64]:
    """Array (texts, terms + 1): log(1 + occurrences) of each term, then log(1 + words), NaN for a null text."""
    place = {term: i for i, term in enumerate(terms)}
    counts = np.zeros((len(texts), len(terms) + 1))
    for row, text in enumerate(texts):
        if text is None:
            counts[row, -1] = np.nan
            continue
        found = words(text)
        counts[row, -1] = len(found)
        for word in found:
            at = place.get(word)
            if at is not None:
                counts[row, at] += 1
    return np.log1p(counts)
