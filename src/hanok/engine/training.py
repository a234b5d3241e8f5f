"""What training needs of features and of AutoML."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.compute.frames import Frame
from hanok.core.declare import AutoML
from hanok.core.training import Line, Plan
from hanok.parts.automl import service as automl
from hanok.parts.features.service import Features


class TrainingSets:
    """Training sets from features."""

    def __init__(self, features: Features) -> None:
        self.training_set = features.training_set
        self.record_training_set = features.record_training_set


class Searcher:
    """The search for a model, from AutoML."""

    def search(self, frame: Frame, settings: AutoML) -> automl.Search:
        return automl.search(frame, settings)

    def run_plan(self, frame: Frame, plan: Plan) -> automl.Search:
        return automl.run_plan(frame, plan)

    def leaderboard(self, found: automl.Search) -> Sequence[Line]:
        return automl.leaderboard_rows(found)
