"""Versions whose inputs mean the same: what one of them was asked may be held against what another was trained on."""

from __future__ import annotations

from collections.abc import Mapping

from hanok.core.declare import Model
from hanok.core.errors import HanokError
from hanok.engine.declared import Declared
from hanok.parts.serving.service import Serving


class Alike:
    """Looks each version up once; versions never change."""

    def __init__(self, *, serving: Serving, declared: Declared) -> None:
        self._serving, self._declared = serving, declared
        self._known: dict[tuple[str, int], tuple[Mapping[str, str], Model | None]] = {}

    def of(self, model: str, version: int) -> frozenset[int]:
        """The version, and those that ever answered under the name and take the same features, declared alike, in the
        same types. One that is gone is like none."""
        answered = {arm.version for d in self._serving.history(model) for arm in d.arms}
        return frozenset({version, *(n for n in answered if self.same(model, version, n))})

    def same(self, model: str, version: int, other: int) -> bool:
        if version == other:
            return True
        try:
            (inputs, declared), (others, theirs) = self._of(model, version), self._of(model, other)
        except HanokError:
            return False
        return inputs == others and (declared and declared.features) == (theirs and theirs.features)

    def inputs(self, model: str, version: int) -> Mapping[str, str]:
        """The type of each input of a version; empty for one that is gone."""
        try:
            return self._of(model, version)[0]
        except HanokError:
            return {}

    def _of(self, model: str, version: int) -> tuple[Mapping[str, str], Model | None]:
        if (model, version) not in self._known:
            signature = self._serving.model(model, version).signature
            kinds = {c.name: c.datatype for c in signature.inputs}
            self._known[model, version] = kinds, self._declared.of_answer(model, version)
        return self._known[model, version]
