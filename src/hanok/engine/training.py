"""What training needs of features and of AutoML."""

from __future__ import annotations

from hanok.compute.frames import Frame
from hanok.core.declare import AutoML, Model
from hanok.core.training import Plan
from hanok.parts.automl import service as automl
from hanok.parts.features.service import Features, TrainingSet
from hanok.parts.training.needs import SetMade


class TrainingSets:
    """Training sets from features."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self.training_set = features.training_set

    def record_training_set(self, model: Model, made: SetMade, package: str, *, node_id: str = "") -> str:
        assert isinstance(made, TrainingSet)
        return self._features.record_training_set(model, made, package, node_id=node_id)


class Searcher:
    """The search for a model, from AutoML."""

    def search(self, frame: Frame, settings: AutoML) -> automl.Search:
        return automl.search(frame, settings)

    def run_plan(self, frame: Frame, plan: Plan) -> automl.Search:
        return automl.run_plan(frame, plan)
