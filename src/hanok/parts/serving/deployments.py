"""Which versions answer under a name: loaded, swapped as a whole, with history."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from hanok.core.clock import Clock, wall_seconds
from hanok.core.errors import Conflict, HanokError, ModelNotFound, StaleGeneration, Unavailable, no_model, words
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.registry import ModelVersion
from hanok.core.serving import Arm, Deployment, Signature
from hanok.parts.serving.packages import Loaded, Packages
from hanok.stores.ports import Metadata, Repositories

MEND_S = 10.0
Along: TypeAlias = Callable[[Repositories], None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A deployment with its models loaded. Never changed: a request is routed, scored and logged by one snapshot.

    `broken` says of a version that could not be loaded why not.
    """

    deployment: Deployment
    models: Mapping[int, Loaded]
    broken: Mapping[int, str]

    def model(self, version: int) -> Loaded:
        """Raises Unavailable for a version that could not be loaded."""
        if version not in self.models:
            why = self.broken.get(version, "it was not loaded")
            raise Unavailable(f"version {version} of {self.deployment.name!r} cannot answer: {why}")
        return self.models[version]


class Deployments:
    """Holds what is deployed in memory; `refresh` follows changes that other processes made."""

    def __init__(self, *, metadata: Metadata, packages: Packages, clock: Clock) -> None:
        self._metadata, self._packages, self._clock = metadata, packages, clock
        self._live: dict[str, Snapshot] = {}
        self._lock = threading.Lock()  # held while `_live` is changed; readers take one snapshot without it
        self._generation = -1
        self._mend_at = 0.0
        self.refresh()

    def deploy(
        self,
        name: str,
        arms: Sequence[Arm],
        *,
        actor: str,
        reason: str,
        caused_by: str = "",
        expected: int | None = None,
        along: Along = lambda _: None,
    ) -> Deployment:
        """Let these versions answer under `name`. The new versions are loaded before the old ones stop answering.

        `expected` is the generation on which this was decided (0: none); when another one stands by now, nothing is
        done and StaleGeneration raised. What `along` writes is in the same commit.
        """
        models = {arm.version: self.load(name, arm.version) for arm in arms}
        before = self.current(name)
        now = self._clock.now()
        generation = expected if expected is not None else before.generation if before else 0
        deployment = Deployment(name, generation + 1, tuple(arms), now, actor, reason, new_id(now))

        def work(repositories: Repositories) -> None:
            _record(repositories, deployment, before, caused_by)
            along(repositories)

        self._metadata.write(work)
        with self._lock:
            kept = self._live[name].models if name in self._live else {}
            warm = {v: m for v, m in kept.items() if before and v == before.primary}
            self._swap(Snapshot(deployment, {**warm, **models}, {}))
        return deployment

    def current(self, name: str) -> Deployment | None:
        return self._metadata.read(lambda r: r.deployments.get(name))

    def all(self) -> list[Deployment]:
        return [snapshot.deployment for snapshot in list(self._live.values())]

    def snapshots(self) -> list[Snapshot]:
        return list(self._live.values())

    def history(self, name: str) -> list[Deployment]:
        """Newest first."""
        return self._metadata.read(lambda r: r.deployments.history(name))

    def last_primary_before(self, name: str) -> int:
        """The version that answered before the present primary. Raises Conflict when there was none."""
        history = self.history(name)
        if not history:
            raise ModelNotFound(f"{name!r} is not deployed; see 'hanok deploy --help'")
        current = history[0].primary
        for earlier in history[1:]:
            if earlier.primary != current:
                return earlier.primary
        raise Conflict(f"{name!r} has served version {current} only; there is nothing to go back to")

    def refresh(self) -> None:
        """Load what is deployed by now. An arm that cannot be loaded is broken and tried again after some seconds; the
        others answer. Cheap while nothing was deployed."""
        generation = self._metadata.read(lambda r: r.deployments.generation())
        if ended := self._packages.follow():
            self._mend_at = 0.0
            self._without(ended)
        self._mend()
        if generation == self._generation:
            return
        for deployment in self._metadata.read(lambda r: r.deployments.all()):
            known = self._live.get(deployment.name)
            if known is None or known.deployment.generation != deployment.generation:
                loaded = self._loaded(deployment)
                with self._lock:
                    self._swap(loaded)
        self._generation = generation

    def _without(self, ended: Set[str]) -> None:
        """Models whose processes were ended for good answer no more."""
        for snapshot in self.snapshots():
            held = {v: m for v, m in snapshot.models.items() if m.content not in ended}
            if len(held) < len(snapshot.models):
                broken = dict.fromkeys(snapshot.models.keys() - held.keys(), "it may not run any more")
                with self._lock:
                    self._swap(Snapshot(snapshot.deployment, held, {**snapshot.broken, **broken}))

    def _mend(self) -> None:
        """Load again the arms that could not be loaded."""
        broken = [s for s in self.snapshots() if s.broken]
        if not broken or wall_seconds() < self._mend_at:
            return
        for snapshot in broken:
            loaded = self._loaded(snapshot.deployment)
            with self._lock:
                self._swap(Snapshot(snapshot.deployment, {**snapshot.models, **loaded.models}, loaded.broken))
        self._mend_at = wall_seconds() + MEND_S

    def snapshot(self, name: str) -> Snapshot:
        """What answers under `name` now. Raises ModelNotFound."""
        found = self._live.get(name)
        if found is None:
            raise no_model(name)
        return found

    def pinned(self, deployment: Deployment) -> Snapshot:
        """A deployment of any generation with its models. Raises what loading its primary does."""
        loaded = self._loaded(deployment)
        if deployment.primary in loaded.broken:
            self.load(deployment.name, deployment.primary)
        return loaded

    def load(self, name: str, version: int) -> Loaded:
        """Any version of a model, deployed or not. Raises ModelNotFound, Conflict, Corrupt."""
        found = self._metadata.read(lambda r: r.registry.versions(name, version))
        if not found:
            versions = self._metadata.read(lambda r: r.registry.versions(name))
            if not versions:
                raise no_model(name)
            raise ModelNotFound(
                f"model {name!r} has no version {version}; the newest is {versions[0].version}. "
                f"See: hanok model show {name}"
            )
        return self._packages.load(_package(found[0]))

    def signature(self, name: str, version: int | None = None) -> Signature:
        """What a version takes and gives, though it cannot be loaded. Without `version`, that of the one that answers;
        where nothing is known of it, of the newest. Raises ModelNotFound, and Unavailable where no version says so."""
        snapshot = self.snapshot(name)
        asked = snapshot.deployment.primary if version is None else version
        if asked in snapshot.models:
            return snapshot.models[asked].signature
        known = self._metadata.read(lambda r: r.registry.versions(name, version))
        for one in sorted(known, key=lambda v: (v.version != asked, -v.version)):
            if one.package:
                with suppress(HanokError):
                    return self._packages.signature(one.package)
        if version is not None and not known:
            raise ModelNotFound(f"model {name!r} has no version {version}")
        return snapshot.model(asked).signature

    def _loaded(self, deployment: Deployment) -> Snapshot:
        models, broken = {}, {}
        for arm in deployment.arms:
            try:
                models[arm.version] = self.load(deployment.name, arm.version)
            except HanokError as error:
                broken[arm.version] = error.message
            except Exception as error:  # noqa: BLE001 (a model library's own: the arm ends here, the others answer)
                broken[arm.version] = f"it could not be loaded: {words(error)}"
        return Snapshot(deployment, models, broken)

    def _swap(self, snapshot: Snapshot) -> None:
        """Never back to an earlier generation, whichever thread comes last."""
        known = self._live.get(snapshot.deployment.name)
        if known is None or known.deployment.generation <= snapshot.deployment.generation:
            self._live[snapshot.deployment.name] = snapshot


def _record(r: Repositories, deployment: Deployment, before: Deployment | None, caused_by: str) -> None:
    name, now, node = deployment.name, deployment.at, deployment.node_id
    facts = {
        "generation": deployment.generation,
        "arms": [(a.version, a.mode, a.share) for a in deployment.arms],
        "actor": deployment.actor,
        "reason": deployment.reason,
    }
    r.deployments.put(deployment, expected=deployment.generation - 1)
    edges = [Edge(_node_of(r, name, arm.version), EdgeKind.DEPLOYED_AS, node) for arm in deployment.arms]
    if before is not None and before.node_id:
        edges.append(Edge(node, EdgeKind.SUPERSEDED, before.node_id))
    if caused_by:
        edges.append(Edge(node, EdgeKind.CAUSED_BY, caused_by))
    title = f"{name} g{deployment.generation}"
    r.lineage.add([Node(node, NodeKind.DEPLOYMENT, title, now, facts)], edges)
    r.outbox.append(Event("deployed", node, now, {"model": name, **facts}))


def _node_of(r: Repositories, name: str, version: int) -> str:
    found = r.registry.versions(name, version)
    if not found:
        raise StaleGeneration(f"version {version} of {name!r} was deleted meanwhile; nothing was deployed")
    return found[0].id


def _package(version: ModelVersion) -> str:
    if not version.package:
        raise Conflict(
            f"version {version.version} of {version.model!r} has no servable package: it was registered from outside. "
            f"Where its libraries are installed: hanok model import {version.model}@{version.version}"
        )
    return version.package
