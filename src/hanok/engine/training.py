"""What training needs of features, of the prediction log and of AutoML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hanok.compute.frames import Frame
from hanok.core.declare import AutoML
from hanok.engine.predicting import Answers
from hanok.parts.automl import service as automl
from hanok.parts.features.service import Features


class TrainingSets:
    """Training sets from features, golden rows from the prediction log."""

    def __init__(self, features: Features, answers: Answers) -> None:
        self.training_set = features.training_set
        self.record_training_set = features.record_training_set
        self.logged_answers = answers.logged_answers


class Searcher:
    """The search for a model, from AutoML."""

    def search(self, frame: Frame, settings: AutoML) -> automl.Search:
        return automl.search(frame, settings)

    def run_plan(self, frame: Frame, plan: Mapping[str, Any]) -> automl.Search:
        return automl.run_plan(frame, plan)

    def leaderboard(self, searched: automl.Search) -> Sequence[Mapping[str, Any]]:
        return automl.leaderboard_rows(searched)
