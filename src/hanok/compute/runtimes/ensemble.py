"""Several models as one: the columns that they share, each member's answer, their weighted mean, its temperature.

`ensemble.json` holds the steps and the members; beside it lie the members' own files (LightGBM's text, arrays).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import orjson

from hanok.compute import portable
from hanok.compute.feature_steps import Floats, Made, Step, products
from hanok.compute.runtimes.lightgbm import LightGBM
from hanok.compute.runtimes.linear import Design, Linear
from hanok.core.errors import Corrupt
from hanok.core.json import JsonObject
from hanok.core.records import from_body
from hanok.core.serving import Signature

TINY = 1e-15
NUMBER_MAX = 8.0  # standard deviations: beyond it a number is that far away


@dataclass(frozen=True, slots=True)
class MemberFile:
    """A member: its `kind` (trees, linear, net), the columns of the extended matrix that it takes, its weight. Where
    `log` is said it answers the logarithm of the value; a number is held between `low` and `high`."""

    kind: str
    file: str
    columns: tuple[int, ...]
    weight: float
    log: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Assembly:
    """`ensemble.json`."""

    members: tuple[MemberFile, ...]
    steps: tuple[Step, ...] = ()
    temperature: float = 1.0
    matrices: tuple[str, ...] = field(default=())


class Net:
    """`net.json`: how columns are expanded, as in a linear model, then layers of weights, with rectified sums between
    them; the last one is the link's: identity, logistic or softmax."""

    def __init__(self, content: bytes) -> None:
        body = orjson.loads(content)
        self._design, self._link = Design(body["shape"]), body["link"]
        self._scale, self._middle = float(body.get("scale", 1.0)), float(body.get("middle", 0.0))
        self._layers = [(np.array(w, float), np.array(b, float)) for w, b in body["layers"]]

    def score(self, matrix: Floats) -> Floats:
        hidden = np.clip(self._design.of(matrix), -NUMBER_MAX, NUMBER_MAX)
        for place, (weights, offsets) in enumerate(self._layers):
            hidden = products(hidden, weights) + offsets
            if place < len(self._layers) - 1:
                hidden = np.maximum(hidden, 0.0)
        return linked(hidden, self._link) if self._link != "identity" else hidden[:, 0] * self._scale + self._middle


def linked(raw: Floats, link: str) -> Floats:
    """Probabilities from raw sums."""
    if link == "logistic":
        return portable.logistic(np.clip(raw[:, 0], -500, 500))
    return portable.softmax(raw)


def tempered(scores: Floats, temperature: float) -> Floats:
    """Probabilities made bolder (below 1) or more careful (above 1)."""
    if temperature == 1.0:
        return scores
    if scores.ndim == 1:
        p = np.clip(scores, TINY, 1 - TINY)
        return portable.logistic(portable.log(p / (1 - p)) / temperature)
    return portable.softmax(portable.log(np.clip(scores, TINY, 1.0)) / temperature)


def member_of(said: MemberFile, content: bytes) -> Callable[[Floats], Floats]:
    """What one member answers to the extended matrix."""
    columns = np.array(said.columns, np.int64)
    if said.kind == "trees":
        model: LightGBM | Linear | Net = LightGBM(content, len(columns))
    elif said.kind in ("linear", "net"):
        model = Linear(content) if said.kind == "linear" else Net(content)
    else:
        raise Corrupt(f"an ensemble has a member of the unknown kind {said.kind!r}: was it written by a newer Hanok?")

    def answer(matrix: Floats) -> Floats:
        found = model.score(np.ascontiguousarray(matrix[:, columns]))
        if said.log:
            found = portable.exp(np.clip(found, -700, 700))
        return found if said.low is None else np.clip(found, said.low, said.high)

    return answer


class Ensemble:
    def __init__(self, read: Callable[[str], bytes], signature: Signature) -> None:
        body: JsonObject = orjson.loads(read("ensemble.json"))
        said = from_body(Assembly, body, what="an ensemble")
        if not said.members:
            raise Corrupt("an ensemble has no members")
        matrices: Mapping[str, Floats] = {n: np.load(io.BytesIO(read(n)), allow_pickle=False) for n in said.matrices}
        steps = tuple(replace(s, table=np.asarray(s.table, float), idf=np.asarray(s.idf, float)) for s in said.steps)
        self._made = Made(steps, dict(matrices))
        width = signature.width + sum(len(matrices[s.matrix]) if s.kind == "topics" else 1 for s in said.steps)
        if any(not 0 <= c < width for m in said.members for c in m.columns):
            raise Corrupt(f"a member of an ensemble takes a column that none of the {width} is")
        self._members = [(m.weight, member_of(m, read(m.file))) for m in said.members]
        self._temperature = said.temperature

    def score(self, matrix: Floats) -> Floats:
        wide = self._made.extended(matrix)
        parts = [weight * answer(wide) for weight, answer in self._members]
        return tempered(np.asarray(sum(parts[1:], parts[0])), self._temperature)
