"""Plan and apply: what a project declares, against what was declared before."""

from __future__ import annotations

from typing import Any

from hanok.core.declare import FeatureView, Model, Project, as_dict
from hanok.core.fitting import check_fit
from hanok.core.tables import BOOKKEEPING
from hanok.engine.declared import Declared
from hanok.parts.features.service import Features
from hanok.parts.tracking.service import Tracking
from hanok.parts.training.service import Training
from hanok.stores.ports import Metadata, Tables


class Declaring:
    """Records declarations and fills the online values of new views."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        tables: Tables,
        features: Features,
        training: Training,
        tracking: Tracking,
        declared: Declared,
    ) -> None:
        self._metadata, self._tables, self._declared = metadata, tables, declared
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
        """Record the project's declarations; returns what changed. Online values of views that a live version was
        trained with are kept beside those of the new ones. Raises DeclarationError and records nothing, also for one
        that is new or changed and names a column that its table does not have."""
        changes = self.plan(project)
        self._check_fit(project, {(c["kind"], c["name"]) for c in changes if c["change"] != "unchanged"})
        for model in project.models:
            self._features.check(model)
        for view in project.views:
            self._features.apply(view)
        for model in project.models:
            self._training.apply(model)
            self._tracking.registry.ensure_model(model.name)
        self._features.keep_online([*project.models, *self._declared.live()])
        return changes

    def _check_fit(self, project: Project, moved: set[tuple[str, str]]) -> None:
        views = [v for v in project.views if ("feature_view", v.name) in moved]
        models = [m for m in project.models if ("model", m.name) in moved]
        names = {t for m in models for t in m.tables} | {v.source.table for v in views}
        columns = {n: self._columns(n) for n in names if self._tables.size(n)}
        check_fit(Project((), tuple(views), tuple(models)), columns)

    def _columns(self, table: str) -> list[str]:
        return [c for c in self._tables.scan(table).schema.names if c not in BOOKKEEPING]
