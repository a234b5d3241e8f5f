"""What counts, written down before the first measurement.

**Named**: a suspect names a fault when its kind is among those accepted for the fault, and what it points at (a
column, else a table, the labels, the traffic, a version) is where the fault was put in. Names that values cannot part
count as one: a column that is frozen or constant; labels that are flipped, scaled or mixed up and a concept that
changed; rows joined by a wrong key and values that are in no order.

**Harmful**: on the same rows with and without the fault, the loss of days 1 to 7 is at least 5 % worse, and by more
than three standard errors of the paired difference. Label and concept faults count when 300 labels are affected; a
fault of arrival of labels, of volume or of duplicates counts always, since it changes no loss. Nothing else is left
out; what is harmless is counted apart.
"""

from __future__ import annotations

import numpy as np

from bench.diagnosis.faults import table_of
from bench.diagnosis.sets import DataSet
from bench.diagnosis.world import Fault
from hanok.engine.diagnosed import Suspect

UNIT = ("unit", "skew")
JOIN = ("join",)
LABELS = ("labels", "concept")
FIXED = ("constant", "frozen", "clip")

ACCEPTED: dict[str, tuple[str, ...]] = {
    "null": ("null",),
    "constant": FIXED,
    "frozen": FIXED,
    "unit": UNIT,
    "affine": UNIT,
    "scale": UNIT,
    "shift": UNIT,
    "sign": ("sign", "unit"),
    "mirror": ("sign", "unit"),
    "clip": FIXED,
    "fill": ("fill", "constant"),
    "outliers": ("outliers", "unit"),
    "noise": ("moved", "noise", "unexplained"),  # no hypothesis is written for it
    "merged": ("moved", "codes", "fill", "unexplained", "constant"),  # no hypothesis is written for it
    "one source": ("outliers", "unit", "moved", "unexplained"),  # no hypothesis is written for it
    "shuffled": JOIN,
    "roll": JOIN,
    "join": JOIN,
    "codes": ("codes", "encoding"),
    "encoding": ("encoding", "codes"),
    "swap": ("swap",),
    "time": ("time",),
    "partial": ("partial", "volume"),
    "late": ("late", "missing"),
    "missing": ("missing", "late"),
    "renamed": ("schema", "null"),
    "duplicates": ("duplicates", "volume"),
    "volume": ("volume", "partial"),
    "label flip": LABELS,
    "label shuffle": LABELS,
    "label scale": LABELS,
    "concept": LABELS,
    "label delay": ("label delay", "missing", "late"),
    "mix": ("mix",),
    "skew": ("skew", "unit"),
    "version": ("version",),
}
ALWAYS = ("label delay", "duplicates", "volume")
LABELS_AFFECTED = 300


def places(of: DataSet, fault: Fault) -> set[str]:
    """Columns as the model knows them, tables, `labels`, `traffic`: any of them is the right place."""
    if fault.labels:
        return {"labels", "outcomes", "concept"}
    if fault.kind in ("mix", "volume", "duplicates"):
        return {"traffic", "asks", of.group}
    if fault.kind == "version":
        return {"version"}
    found: set[str] = set()
    for column in fault.column.split():
        if column in of.columns:
            found |= {column, f"facts__{column}"}
            if fault.kind == "renamed":
                found |= {"facts"}
        else:
            found |= {column} | {f"{column}__{c}" for c in of.facts}
    return found


def names(of: DataSet, fault: Fault, suspect: Suspect) -> bool:
    """Whether a suspect is the fault."""
    if suspect.kind not in ACCEPTED[fault.kind]:
        return False
    right = places(of, fault)
    if suspect.columns and suspect.kind != "mix":
        hit = set(suspect.columns) & right
        whole = fault.kind in ("roll", "join", "time", "partial", "late", "missing")  # a table: most of what is named
        return bool(hit) and (whole or len(suspect.columns) <= 2 or _one_table(of, suspect))
    return any(place in suspect.name for place in right)


def _one_table(of: DataSet, suspect: Suspect) -> bool:
    """A group of columns that one table brings: right while it is no more than three."""
    tables = {table_of(of, c.removeprefix("facts__")) for c in suspect.columns}
    return len(tables) == 1 and len(suspect.columns) <= 3


def harm(clean: dict[str, float], broken: dict[str, float]) -> tuple[bool, float]:
    """Whether the same rows lost more under the fault, and by which share."""
    both = sorted(set(clean) & set(broken))
    if len(both) < 2:
        return False, 0.0
    a, b = np.array([clean[k] for k in both]), np.array([broken[k] for k in both])
    worse, error = float((b - a).mean()), float((b - a).std(ddof=1) / len(both) ** 0.5)
    share = worse / float(a.mean()) if a.mean() > 0 else 0.0
    return share >= 0.05 and worse > 3 * error, share
