"""Plan and apply: what a project declares, against what was declared before."""

from __future__ import annotations

from typing import Any

from hanok.core.declare import FeatureView, Model, Project, as_dict
from hanok.parts.features.service import Features
from hanok.parts.tracking.service import Tracking
from hanok.parts.training.service import Training
from hanok.stores.ports import Metadata, Tables


class Declaring:
    """Records declarations and fills the online values of new views."""

    def __init__(
        self, *, metadata: Metadata, tables: Tables, features: Features, training: Training, tracking: Tracking
    ) -> None:
        self._metadata, self._tables = metadata, tables
        self._features, self._training, self._tracking = features, training, tracking

    def plan(self, project: Project) -> list[dict[str, Any]]:
        """What `apply` would change: kind, name, and new, changed or unchanged."""

        def change(kind: str, item: FeatureView | Model) -> str:
            newest = self._metadata.read(lambda r: r.declarations.newest(kind, item.name))
            if newest is None:
                return "new"
            return "unchanged" if newest[1] == as_dict(item) else "changed"

        return [
            {"kind": kind, "name": item.name, "change": change(kind, item)}
            for kind, items in (("feature_view", project.views), ("model", project.models))
            for item in items
        ]

    def apply(self, project: Project) -> list[dict[str, Any]]:
        """Record the project's declarations; returns what changed."""
        changes = self.plan(project)
        for view in project.views:
            self._features.apply(view)
        for model in project.models:
            self._training.apply(model)
            self._tracking.registry.ensure_model(model.name)
        for change in changes:
            if change["kind"] == "feature_view" and change["change"] != "unchanged":
                view = self._features.view(change["name"])
                if self._tables.size(view.source.table):
                    self._features.materialize(view.name)
        return changes
