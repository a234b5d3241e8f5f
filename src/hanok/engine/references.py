"""The reference distributions that a model version carries, read back from where training stored them."""

from __future__ import annotations

from hanok.compute.drift import Reference
from hanok.core.serving import Cell
from hanok.parts.serving.service import Serving
from hanok.parts.training.service import Training
from hanok.stores.ports import Blobs


class References:
    """`of` gives those of a version's digest, `live` those of the version that answers first."""

    def __init__(self, *, blobs: Blobs, serving: Serving, training: Training) -> None:
        self._blobs, self._serving, self._training = blobs, serving, training

    def of(self, digest: str) -> list[Reference]:
        """By the digest that a version's fact `reference` holds; none for ""."""
        import orjson

        if not digest:
            return []
        with self._blobs.open(digest) as file:
            return [Reference.from_dict(body) for body in orjson.loads(file.read())]

    def typical(self, model: str, version: int) -> dict[str, Cell] | None:
        """A row in the middle of what a version was trained on: of numbers the median, of text what is most frequent.
        None where nothing is known of that."""
        facts = self._training.version(model, version).facts
        known: dict[str, Cell] = {r.column: r.middle() for r in self.of(facts.get("reference", ""))}
        return known or None

    def live(self, model: str) -> list[Reference]:
        """Of the version that answers; none when nothing does."""
        deployment = self._serving.deployment(model)
        if deployment is None:
            return []
        return self.of(self._training.version(model, deployment.primary).facts.get("reference", ""))
