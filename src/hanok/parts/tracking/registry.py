"""The model registry: versions never change, aliases move and every move is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hanok.core.access import PROJECT_TAG, caller
from hanok.core.clock import Clock
from hanok.core.errors import AlreadyExists, Conflict, Invalid
from hanok.core.ids import checked_name, new_id
from hanok.core.json import JsonObject
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.registry import AliasChange, ModelVersion, RegisteredModel
from hanok.core.tracking import EVERYTHING, Filter, Order, Page
from hanok.parts.tracking import checks
from hanok.parts.tracking.matching import select
from hanok.parts.tracking.registry_records import (
    location_of,
    model_named,
    origins,
    prompt_mark,
    record_move,
    record_stage,
    run_behind,
    stage_named,
    tell_logged_model,
    touch,
    version_numbered,
    without,
)
from hanok.parts.tracking.registry_search import model_value, version_value
from hanok.stores.ports import Metadata, Repositories

WHEREVER = -1


class RegistryVerbs:
    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def create_model(
        self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None
    ) -> RegisteredModel:
        """Raises AlreadyExists, Invalid."""
        checks.check_model_name(name)
        checks.check_values("tag", tags or {}, checks.REGISTRY_TAG_VALUE_MAX)
        now = self._clock.now()
        project = checked_name("project", (tags or {}).get(PROJECT_TAG) or caller().home_project())

        def work(r: Repositories) -> RegisteredModel:
            if r.registry.models(name):
                raise AlreadyExists(f"Registered Model (name={name}) already exists")
            model = RegisteredModel(name, now, now, description, dict(tags or {}), project=project)
            r.registry.put_model(model)
            facts = {"description": description, "tags": model.tags, **prompt_mark(model.tags)}
            r.outbox.append(Event("model_created", name, now, facts))
            return model

        return self._metadata.write(work)

    def ensure_model(self, name: str) -> RegisteredModel:
        """The registered model of this name, made when there is none."""
        found = self._metadata.read(lambda r: r.registry.models(name))
        return found[0] if found else self.create_model(name)

    def model(self, name: str) -> RegisteredModel:
        """Raises ModelNotFound."""
        return self._metadata.read(lambda r: model_named(r, name))

    def describe_model(self, name: str, description: str) -> RegisteredModel:
        return self._change_model(name, lambda model: replace(model, description=description))

    def set_model_tag(self, name: str, key: str, value: str) -> RegisteredModel:
        checks.check_values("tag", {key: value}, checks.REGISTRY_TAG_VALUE_MAX)
        event = "model_tag_set", {"key": key, "value": value}
        return self._change_model(name, lambda model: replace(model, tags={**model.tags, key: value}), event)

    def delete_model_tag(self, name: str, key: str) -> RegisteredModel:
        event = "model_tag_deleted", {"key": key}
        return self._change_model(name, lambda model: replace(model, tags=without(model.tags, key)), event)

    def rename_model(self, name: str, new_name: str) -> RegisteredModel:
        """Versions, aliases and history follow. Raises ModelNotFound, AlreadyExists, and Conflict for a model that
        answers."""
        checks.check_model_name(new_name)

        def work(r: Repositories) -> RegisteredModel:
            model_named(r, name)
            if (live := r.deployments.get(name)) is not None:
                raise Conflict(
                    f"model {name!r} answers (version {live.primary}): its answers, labels and deployment stand under "
                    f"this name, so it keeps it. Copy the version to the new name (MLflow: copy_model_version("
                    f"'models:/{name}/{live.primary}', {new_name!r})) and deploy it there: hanok deploy {new_name}"
                )
            r.registry_upkeep.rename_model(name, new_name, self._clock.now())
            return model_named(r, new_name)

        return self._metadata.write(work)

    def delete_model(self, name: str) -> None:
        """With all versions; each leaves a tombstone in the graph. Raises Conflict for a model that answers."""

        def work(r: Repositories) -> None:
            model_named(r, name)
            if (live := r.deployments.get(name)) is not None:
                raise Conflict(
                    f"model {name!r} answers (version {live.primary}), and its answers and labels stand under this "
                    "name: it is not deleted. Versions that do not answer can be, one by one"
                )
            now = self._clock.now()
            for version in r.registry.versions(name):
                r.lineage.tombstone(version.id, now)
            r.registry_upkeep.remove_model(name)
            r.outbox.append(Event("model_deleted", name, now))

        self._metadata.write(work)

    def search_models(
        self, wanted: Filter = EVERYTHING, *, order: Sequence[Order] = (), limit: int = 100, offset: int = 0
    ) -> Page[RegisteredModel]:
        """By name unless `order` says otherwise."""
        found = self._metadata.read(lambda r: r.registry.models())
        return select(found, wanted, order, model_value, limit=limit, offset=offset)

    def register(
        self,
        model: str,
        *,
        source: str = "",
        run_id: str = "",
        package: str = "",
        description: str = "",
        tags: Mapping[str, str] | None = None,
        facts: JsonObject | None = None,
        trained_on: Sequence[str] = (),
        read: Sequence[str] = (),
        logged_model_id: str = "",
        actor: str = "local",
        node_id: str = "",
    ) -> ModelVersion:
        """Add the next version: a node that its run wrote, trained on `trained_on` and on what the run read; `read` are
        other nodes that it came from.

        `source` may be a URI, "models:/<name>/<version>" or "models:/m-<id>". Raises ModelNotFound when the model is
        not registered. With a `node_id` it is added once: the version that has it is returned.
        """
        checks.check_values("tag", tags or {}, checks.REGISTRY_TAG_VALUE_MAX)
        now = self._clock.now()

        def work(r: Repositories) -> ModelVersion:
            parent = model_named(r, model)
            for known in r.registry.versions(model) if node_id else ():
                if known.id == node_id:
                    return known
            kept = {**(facts or {}), "location": location_of(r, source), "user": actor}
            if logged_model_id:
                kept["logged_model_id"] = r.logged_models.get(logged_model_id).id
            made_by = run_id or run_behind(r, source, logged_model_id)
            version = r.registry.add_version(
                ModelVersion(
                    id=node_id or new_id(now),
                    model=model,
                    version=0,
                    created=now,
                    updated=now,
                    run_id=made_by,
                    source=source,
                    package=package,
                    description=description,
                    tags=dict(tags or {}),
                    facts=kept,
                )
            )
            node = Node(version.id, NodeKind.MODEL_VERSION, f"{model}/{version.version}", now, {"source": source})
            edges = [Edge(version.id, EdgeKind.READ, made_of) for made_of in read]
            r.lineage.add([node], [*origins(r, version, trained_on, logged_model_id), *edges])
            tell_logged_model(r, version, logged_model_id)
            r.registry.put_model(replace(parent, updated=now))
            about = {"source": source, "description": description, "tags": version.tags, **prompt_mark(parent.tags)}
            told = {"model": model, "version": version.version, "run": made_by, **about}
            r.outbox.append(Event("model_version_registered", version.id, now, told))
            return version

        return self._metadata.write(work)

    def version(self, model: str, version: int) -> ModelVersion:
        """Raises ModelNotFound."""
        return self._metadata.read(lambda r: version_numbered(r, model, version))

    def versions(self, model: str) -> list[ModelVersion]:
        """Newest first. Raises ModelNotFound."""

        def work(r: Repositories) -> list[ModelVersion]:
            model_named(r, model)
            return r.registry.versions(model)

        return self._metadata.read(work)

    def version_at(self, model: str, alias: str) -> ModelVersion:
        """The version that an alias stands at. Raises ModelNotFound, Invalid for an alias that is not set."""

        def work(r: Repositories) -> ModelVersion:
            number = model_named(r, model).aliases.get(alias)
            if number is None:
                raise Invalid(f"registered model {model!r} has no alias {alias!r}; set it, or ask for a version")
            return version_numbered(r, model, number)

        return self._metadata.read(work)

    def latest_versions(self, model: str, stages: Sequence[str] = ()) -> list[ModelVersion]:
        """The newest version of each stage, or of the stages asked for."""
        wanted = {stage_named(stage) for stage in stages}
        newest: dict[str, ModelVersion] = {}
        for version in self.versions(model):
            if not wanted or version.stage in wanted:
                newest.setdefault(version.stage, version)
        return list(newest.values())

    def describe_version(self, model: str, version: int, description: str) -> ModelVersion:
        return self._change_version(model, version, lambda v: replace(v, description=description))

    def set_version_tag(self, model: str, version: int, key: str, value: str) -> ModelVersion:
        checks.check_values("tag", {key: value}, checks.REGISTRY_TAG_VALUE_MAX)
        event = "model_version_tag_set", {"key": key, "value": value}
        return self._change_version(model, version, lambda v: replace(v, tags={**v.tags, key: value}), event)

    def delete_version_tag(self, model: str, version: int, key: str) -> ModelVersion:
        event = "model_version_tag_deleted", {"key": key}
        return self._change_version(model, version, lambda v: replace(v, tags=without(v.tags, key)), event)

    def move_to_stage(
        self,
        model: str,
        version: int,
        stage: str,
        *,
        archive_others: bool = False,
        actor: str = "local",
        reason: str = "",
    ) -> ModelVersion:
        """Stages are what aliases replaced; kept, with their history, for clients that still use them."""
        target = stage_named(stage)
        if archive_others and target not in ("Staging", "Production"):
            raise Invalid(f"archiving other versions goes with Staging or Production, not with {target!r}")

        def work(r: Repositories) -> ModelVersion:
            now = self._clock.now()
            for other in r.registry.versions(model) if archive_others else ():
                if other.stage == target and other.version != version:
                    record_stage(r, other, "Archived", now, actor, f"version {version} took its stage")
            moved = record_stage(r, version_numbered(r, model, version), target, now, actor, reason)
            touch(r, model, now)
            return moved

        return self._metadata.write(work)

    def delete_version(self, model: str, version: int, *, actor: str = "local") -> None:
        """Aliases that stand at it are unset first, with a record. Its number is not used again. Raises Conflict for
        one that answers, beside others too."""

        def work(r: Repositories) -> None:
            found, now = version_numbered(r, model, version), self._clock.now()
            live = r.deployments.get(model)
            for arm in live.arms if live is not None else ():
                if arm.version == version:
                    raise Conflict(
                        f"version {version} of {model!r} answers ({arm.mode}): let another one answer first, with "
                        f"hanok deploy {model}@VERSION or hanok rollback {model}"
                    )
            for alias in found.aliases:
                record_move(r, AliasChange(new_id(now), model, alias, version, None, now, actor, "version deleted"))
            r.registry_upkeep.remove_version(model, version)
            r.lineage.tombstone(found.id, now)
            touch(r, model, now)
            r.outbox.append(Event("model_version_deleted", found.id, now, {"model": model, "version": version}))

        self._metadata.write(work)

    def search_versions(
        self, wanted: Filter = EVERYTHING, *, order: Sequence[Order] = (), limit: int = 100, offset: int = 0
    ) -> Page[ModelVersion]:
        """The last changed first unless `order` says otherwise."""
        found = self._metadata.read(lambda r: r.registry_upkeep.all_versions())
        ties = [Order("attribute", "name"), Order("attribute", "version", ascending=False)] if order else []
        return select(found, wanted, [*order, *ties], version_value, limit=limit, offset=offset)

    def move_alias(
        self, model: str, alias: str, to: int | None, *, actor: str, reason: str = "", expected: int | None = WHEREVER
    ) -> AliasChange:
        """Point an alias at a version, or at none, keeping who, when and why.

        With `expected` (a version, or None for unset) it is a compare-and-set: StaleGeneration if it stands elsewhere.
        Moving it to where it stands changes nothing and adds no history.
        """
        checks.check_alias(alias)
        now = self._clock.now()

        def work(r: Repositories) -> AliasChange:
            stands = model_named(r, model).aliases.get(alias)
            if to is not None:
                version_numbered(r, model, to)
            before = stands if expected == WHEREVER else expected
            change = AliasChange(new_id(now), model, alias, before, to, now, actor, reason)
            if not (before == stands == to):
                record_move(r, change)
            return change

        return self._metadata.write(work)

    def alias_history(self, model: str, alias: str | None = None) -> list[AliasChange]:
        """Every move, newest first."""
        return self._metadata.read(lambda r: r.registry.alias_history(model, alias))

    def download_uri(self, model: str, version: int) -> str:
        found = self.version(model, version)
        return str(found.facts.get("location") or found.source)

    def _change_model(
        self,
        name: str,
        change: Callable[[RegisteredModel], RegisteredModel],
        told: tuple[str, Mapping[str, str]] | None = None,
    ) -> RegisteredModel:
        def work(r: Repositories) -> RegisteredModel:
            changed = replace(change(model_named(r, name)), updated=self._clock.now())
            r.registry.put_model(changed)
            if told is not None:
                facts = {"model": name, **told[1], **prompt_mark(changed.tags)}
                r.outbox.append(Event(told[0], name, changed.updated, facts))
            return changed

        return self._metadata.write(work)

    def _change_version(
        self,
        model: str,
        version: int,
        change: Callable[[ModelVersion], ModelVersion],
        told: tuple[str, Mapping[str, str]] | None = None,
    ) -> ModelVersion:
        def work(r: Repositories) -> ModelVersion:
            now = self._clock.now()
            changed = replace(change(version_numbered(r, model, version)), updated=now)
            r.registry.put_version(changed)
            if told is not None:
                mark = prompt_mark(model_named(r, model).tags)
                facts = {"model": model, "version": version, **told[1], **mark}
                r.outbox.append(Event(told[0], changed.id, now, facts))
            return changed

        return self._metadata.write(work)
