"""The declaration that each version of a model was trained under: an answer is made by it, whatever is declared now."""

from __future__ import annotations

from hanok.core.declare import Model, digest, from_dict
from hanok.core.errors import ModelNotFound
from hanok.core.registry import ModelVersion
from hanok.parts.training.service import Training
from hanok.stores.ports import Metadata


class Declared:
    """Looks a version's declaration up once; versions never change theirs."""

    def __init__(self, *, training: Training, metadata: Metadata) -> None:
        self._training, self._metadata = training, metadata
        self._known: dict[tuple[str, int], Model | None] = {}

    def of(self, model: str, version: int) -> Model | None:
        """None for a version that was registered from outside. Raises ModelNotFound."""
        if (model, version) not in self._known:
            found = self._training.version(model, version)
            self._known[model, version] = self.of_version(found) if "declaration" in found.facts else None
        return self._known[model, version]

    def of_version(self, version: ModelVersion) -> Model:
        """The present declaration if it is the same, else the stored one. Raises ModelNotFound."""
        wanted = version.facts["declaration"]
        for model in self._training.models():
            if model.name == version.model and digest(model) == wanted:
                return model
        body = self._metadata.read(lambda r: r.lineage.node(wanted[:32])).facts.get("declaration")
        if body is None:
            raise ModelNotFound(
                f"the declaration of version {version.version} of {version.model!r} is not in the graph"
            )
        model = from_dict(body)
        assert isinstance(model, Model)
        return model
