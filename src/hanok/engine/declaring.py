"""Plan and apply: what a project declares, against what was declared before."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from hanok.core.applied import APPLIED, Applied, Change, What
from hanok.core.clock import Clock
from hanok.core.declare import (
    FeatureService,
    FeatureView,
    Model,
    Project,
    Source,
    as_dict,
    as_recorded,
    digest,
    from_dict,
)
from hanok.core.declare_rows import says_more
from hanok.core.errors import Corrupt, HanokError
from hanok.core.fitting import check_fit
from hanok.core.json import Json
from hanok.core.tables import BOOKKEEPING
from hanok.engine.declared import Declared
from hanok.engine.project import load_project
from hanok.engine.sources import Sources, later_than
from hanok.parts.features.rows import check_numbers
from hanok.parts.features.service import Features
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.tracking.service import Tracking
from hanok.parts.training.service import Training
from hanok.stores.ports import Document, Metadata, Repositories, Tables

NEWEST = "newest"
MISSING = object()
NOT_APPLIED = "project-not-applied"
log = logging.getLogger("hanok.project")


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
        sources: Sources,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._metadata, self._tables, self._declared, self._clock = metadata, tables, declared, clock
        self._alerts, self._sources = alerts, sources
        self._features, self._training, self._tracking = features, training, tracking

    def plan(self, project: Project) -> list[Change]:
        """What `apply` would change, one line for each declaration that is there, or was when last applied."""
        project = self._as_recorded(project)
        applied = self._applied() or Applied()
        changes = [self._dated(source) for source in project.sources if says_more(source)]
        changes += [self._change("feature_view", view, users(project, view)) for view in project.views]
        changes += [self._change("feature_service", s, readers_of(project, s)) for s in project.services]
        changes += [self._change("model", model) for model in project.models]
        kept = self._kept(project)
        gone: list[tuple[What, str]] = [
            ("model", n) for n in applied.models if n not in {m.name for m in project.models}
        ]
        views = {v.name for v in project.views} | {c.name for c in kept}
        gone += [("feature_view", n) for n in applied.feature_views if n not in views]
        services = {s.name for s in project.services}
        gone += [("feature_service", n) for n in applied.feature_services if n not in services]
        why: dict[tuple[What, str], str] = {
            ("model", name): f"version {version} still answers as {name!r}: its answers are logged and labelled"
            for name, version in self._declared.primaries()
        }
        return [*changes, *kept, *(Change(*one, "removed", why=why.get(one, "")) for one in gone)]

    def told(self, project: Project, changes: Sequence[Change]) -> list[Change]:
        """Changes, with what keeps a view that stays as it is from being filled: a table that came later, say."""
        views = {v.name: v for v in project.views}
        found = []
        for change in changes:
            if change.kind == "feature_view" and change.change == "unchanged":
                try:
                    self._check_fit(Project((), (views[change.name],), ()), {("feature_view", change.name)})
                except HanokError as error:
                    change = replace(change, why=f"cannot be filled: {error.message}")
            found.append(change)
        return found

    def apply(self, project: Project) -> list[Change]:
        """Record the project's declarations; returns what changed. Online values of views that a live version was
        trained with are kept beside those of the new ones. Raises DeclarationError and records nothing, also for one
        that is new or changed and names a column that its table does not have."""
        project = self._as_recorded(project)
        changes = self.plan(project)
        self._check_fit(project, {(c.kind, c.name) for c in changes if c.change in ("new", "changed")})
        for model in project.models:
            self._check(model)
        self._declare(project.sources)
        for view in project.views:
            self._features.apply(view)
        self._features.apply_services(project.services)
        for model in project.models:
            self._training.apply(model)
            self._tracking.registry.ensure_model(model.name)
        self._features.keep_online([*project.models, *self._declared.live()])
        said = tuple(s.table for s in project.sources if says_more(s))
        views, models, services = (tuple(x.name for x in p) for p in (project.views, project.models, project.services))
        now = Applied(views, models, said, services)
        if now != self._applied():
            at = self._clock.now()
            self._metadata.write(lambda r: r.records.put(APPLIED.name, "", NEWEST, APPLIED.body(now), at))
        self._training.withhold("")
        for model in project.models:
            self._alerts.resolve(model.name, NOT_APPLIED, "the project is applied")
        return changes

    def _declare(self, sources: Sequence[Source]) -> None:
        said, now = [s for s in sources if says_more(s)], self._clock.now()

        def work(repositories: Repositories) -> None:
            for source in said:
                repositories.declarations.put("source", source.table, digest(source), as_dict(source), now)

        if said:
            self._metadata.write(work)
        self._sources.declare(said)

    def open(self, path: Path) -> bool:
        """Apply a project file; whether that was done. Where it is refused, go on with what was applied last, say so
        (log, and an alert for each model that is concerned), and refuse trainings of models that the file has otherwise
        or wrongly."""
        project = None
        try:
            project = load_project(path)
            self.apply(project)
        except HanokError as error:
            said = f"{path} is not applied, so what was applied last goes on: {error.message}"
            log.error("%s\nMend it, then: hanok apply", said)
            self._restore(project, said)
            return False
        return True

    def given(self, project: Project) -> None:
        """Apply a project that is at hand. Where a damaged table is in the way, go on with what was applied last, as
        `open` does: the rest of the home must be of use."""
        try:
            self.apply(project)
        except Corrupt as error:
            said = f"the project is not applied, so what was applied last goes on: {error.message}"
            log.error("%s", said)
            self._restore(project, said)

    def _restore(self, project: Project | None, said: str) -> None:
        """Declare what was applied last, and withhold the models that the project does not have just so."""
        now = self._as_recorded(project or Project((), (), (), ()))
        present, applied = {digest(m): m for m in now.models}, self._applied()
        views = self._newest("feature_view", applied.feature_views if applied else None)
        models = self._newest("model", applied.models if applied else None)
        same = [present.get(digest(m), m) for m in models if isinstance(m, Model)]  # with the code that trains
        services = self._newest("feature_service", applied.feature_services if applied else ())
        self._features.restore(
            [v for v in views if isinstance(v, FeatureView)], [s for s in services if isinstance(s, FeatureService)]
        )
        self._sources.declare(
            s for s in self._newest("source", applied.sources if applied else ()) if isinstance(s, Source)
        )
        self._training.restore(same)
        self._training.withhold(said, fit=[m.name for m in now.models if m in same and self._fits(m)])
        for model in same:
            if self._training.withheld(model.name):
                self._alerts.raise_(model.name, "project", NOT_APPLIED, said[:400], severity="critical")
        try:
            self._features.keep_online([*same, *self._declared.live()])
        except HanokError as error:
            log.error("online values are not kept up: %s", error.message)

    def _newest(self, kind: What, names: Sequence[str] | None) -> list[FeatureView | FeatureService | Model | Source]:
        """Declarations as they were applied last: of these names, or of all where nobody noted what was applied."""

        def work(repositories: Repositories) -> list[Document]:
            declared = repositories.declarations
            found = [declared.newest(kind, name) for name in (declared.names(kind) if names is None else names)]
            return [newest[1] for newest in found if newest is not None]

        return [from_dict(body) for body in self._metadata.read(work)]

    def _fits(self, model: Model) -> bool:
        try:
            self._check(model)
        except HanokError:
            return False
        return True

    def _check(self, model: Model) -> None:
        self._training.check(model)
        self._features.check(model)

    def _as_recorded(self, project: Project) -> Project:
        newest = {m.name: self._metadata.read(partial(_recorded, m.name)) for m in project.models}
        models = (as_recorded(m, found) if (found := newest[m.name]) else m for m in project.models)
        return Project(project.sources, project.views, tuple(models), project.services)

    def _check_fit(self, project: Project, moved: set[tuple[What, str]]) -> None:
        views = [v for v in project.views if ("feature_view", v.name) in moved]
        models = [m for m in project.models if ("model", m.name) in moved]
        names = {t for m in models for t in m.tables} | {v.source.table for v in views}
        columns = {n: self._columns(n) for n in names if self._tables.size(n)}
        check_fit(Project((), tuple(views), tuple(models)), columns)
        for view in {v.stored: None for v in (*views, *(v for m in models for v in m.views))}:
            if view.source.table in columns:
                check_numbers(view, self._tables.scan(view.source.table).schema)

    def _columns(self, table: str) -> list[str]:
        return [c for c in self._tables.scan(table).schema.names if c not in BOOKKEEPING]

    def _change(
        self, kind: What, item: FeatureView | FeatureService | Model | Source, used_by: Sequence[str] = ()
    ) -> Change:
        name = item.table if isinstance(item, Source) else item.name
        newest = self._metadata.read(lambda r: r.declarations.newest(kind, name))
        if newest is None:
            return Change(kind, name, "new")
        before, now = newest[1], as_dict(item)
        differs = tuple(sorted(n for n in {*before, *now} if before.get(n, MISSING) != now.get(n, MISSING)))
        why = f"used by {', '.join(used_by)}" if differs and used_by else ""
        return Change(kind, name, "changed" if differs else "unchanged", differs, why)

    def _dated(self, source: Source) -> Change:
        """The change of a source; where it gets its `known_at` after its rows, how many of them stay as they came."""
        change = self._change("source", source)
        if source.known_at is None or change.change == "unchanged" or not self._tables.size(source.table):
            return change
        try:
            late, rows = later_than(self._tables.scan(source.table), source)
        except Corrupt:  # a damaged table is told of where it is read
            return change
        if not late:
            return change
        first = "" if source.row_key else "declare row_key, which tells that they are the same rows, and "
        return replace(
            change,
            why=f"{late:,} of {rows:,} rows came before known_at was declared and count as known from their arrival "
            f"on: no earlier instant sees them. To change that, {first}ingest them again under another --key",
        )

    def _kept(self, project: Project) -> list[Change]:
        """Views as versions that answer read them, where the project has them otherwise or no more."""
        declared = {digest(v.stored) for v in project.views}
        readers: dict[str, tuple[str, list[str]]] = {}
        for (name, version), model in self._declared.live_versions().items():
            for view in model.views:
                if (key := digest(view.stored)) not in declared:
                    by = readers.setdefault(key, (view.stored.name, []))[1]
                    by += [said] if (said := f"version {version} of {name}") not in by else []
        return [
            Change("feature_view", view, "kept", why=f"{' and '.join(by)} read{'s' * (len(by) == 1)} it as it was")
            for view, by in readers.values()
        ]

    def _applied(self) -> Applied | None:
        return APPLIED.open(self._metadata.read(lambda r: r.records.get(APPLIED.name, "", NEWEST)))


def users(project: Project, view: FeatureView) -> list[str]:
    """The services and models of a project that read a view."""
    services = [f"service {s.name}" for s in project.services if any(v.stored == view.stored for v in s.views)]
    return services + [f"model {m.name}" for m in project.models if any(v.stored == view.stored for v in m.views)]


def readers_of(project: Project, service: FeatureService) -> list[str]:
    """The models of a project that take their features from a service."""
    return [f"model {m.name}" for m in project.models if service.name in (m.services or ())]


def _recorded(model: str, repositories: Repositories) -> Mapping[str, Json] | None:
    found = repositories.declarations.newest("model", model)
    return None if found is None else found[1]
