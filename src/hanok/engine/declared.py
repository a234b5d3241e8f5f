"""The declaration that each version of a model was trained under: an answer is made by it, whatever is declared now."""

from __future__ import annotations

from hanok.core.declare import Model, digest, from_dict
from hanok.core.errors import ModelNotFound, NodeNotFound
from hanok.core.registry import ModelVersion
from hanok.core.serving import Deployment
from hanok.parts.training.service import Training
from hanok.stores.ports import Metadata, Repositories


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

    def of_answer(self, model: str, version: int) -> Model | None:
        """The same for an answer that may have outlived its version: None where nobody knows what it was asked."""
        try:
            return self.of(model, version)
        except (ModelNotFound, NodeNotFound):
            return None

    def present(self, name: str) -> Model:
        """The declaration of a model; of one that the project has no more while a version of it answers, that of the
        version. Raises ModelNotFound."""
        declared = next((m for m in self._training.models() if m.name == name), None)
        if declared is None and (deployment := self._metadata.read(lambda r: r.deployments.get(name))) is not None:
            declared = self.of_answer(name, deployment.primary)
        return declared or self._training.model(name)

    def answering(self) -> list[Model]:
        """The declared models, and those that the project has no more while a version of them answers."""
        declared = self._training.models()
        names = {m.name for m in declared}
        others = [self.of_answer(name, version) for name, version in self.primaries() if name not in names]
        return declared + [m for m in others if m is not None]

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

    def primaries(self) -> list[tuple[str, int]]:
        """What answers: names and versions."""
        return [(d.name, d.primary) for d in self._metadata.read(lambda r: r.deployments.all())]

    def live(self) -> list[Model]:
        """The declarations of all versions that answer, and of those that a rollback would bring back."""
        return list(self.live_versions().values())

    def live_versions(self) -> dict[tuple[str, int], Model]:
        """The same, by name and version."""
        wanted: dict[tuple[str, int], None] = {}
        for deployment, before in self._metadata.read(_deployed):
            wanted |= {(deployment.name, arm.version): None for one in (deployment, *before) for arm in one.arms}
        found = dict[tuple[str, int], Model]()
        for name, version in wanted:
            try:
                model = self.of(name, version)
            except (ModelNotFound, NodeNotFound):  # a version that is gone asks for no features
                continue
            if model is not None:
                found[name, version] = model
        return found


def _deployed(repositories: Repositories) -> list[tuple[Deployment, list[Deployment]]]:
    """Each deployment, and the newest one before it with another primary."""
    histories = [(d, repositories.deployments.history(d.name)) for d in repositories.deployments.all()]
    return [(d, [h for h in history if h.primary != d.primary][:1]) for d, history in histories]
