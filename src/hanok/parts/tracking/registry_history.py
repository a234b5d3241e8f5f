"""What happened to a registered model, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hanok.core.clock import Clock
from hanok.core.errors import Conflict, ModelNotFound
from hanok.core.ids import new_id
from hanok.core.registry import AliasChange, StageChange
from hanok.parts.tracking.registry_records import model_named, record_move, record_stage, version_numbered
from hanok.stores.ports import Metadata, Repositories


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A registration, or a move of an alias (between versions) or of a version (between stages)."""

    at: datetime
    what: str
    before: int | str | None
    after: int | str | None
    actor: str
    reason: str


class RegistryHistory:
    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def of(self, model: str) -> list[HistoryRow]:
        """Registrations and moves of aliases and stages, newest first, with who, when and why. Raises ModelNotFound."""

        def work(r: Repositories) -> list[HistoryRow]:
            model_named(r, model)
            rows = [_alias_row(c) for c in r.registry.alias_history(model)]
            rows += [_stage_row(c) for c in r.stage_history.of(model)]
            rows += [
                HistoryRow(
                    v.created,
                    "registered",
                    None,
                    v.version,
                    str(v.facts.get("user", "")),
                    str(v.facts.get("reason", "") or v.description),
                )
                for v in r.registry.versions(model)
            ]
            return sorted(rows, key=lambda row: row.at, reverse=True)

        return self._metadata.read(work)

    def ways_back(self, model: str) -> dict[str, int]:
        """For each alias that has one, the version where `roll_back` would put it."""

        def work(r: Repositories) -> dict[str, int]:
            there = {v.version for v in r.registry.versions(model)}
            stands = model_named(r, model).aliases
            found = {a: _before(at, r.registry.alias_history(model, a), there) for a, at in stands.items()}
            return {alias: version for alias, version in found.items() if version is not None}

        return self._metadata.read(work)

    def roll_back(self, model: str, alias: str, *, to: int | None, actor: str, reason: str) -> AliasChange:
        """Move an alias to the version where it stood before, or to `to`. Again, it goes back one further.

        Raises Conflict when there is nothing to go back to, StaleGeneration when somebody moves it at the same time.
        """

        def look(r: Repositories) -> tuple[int | None, list[AliasChange]]:
            return model_named(r, model).aliases.get(alias), r.registry.alias_history(model, alias)

        stands, changes = self._metadata.read(look)
        if stands is None:
            raise ModelNotFound(f"alias {alias!r} of {model!r} stands at no version: there is nothing to go back from")

        def work(r: Repositories) -> AliasChange:
            there = {v.version for v in r.registry.versions(model)}
            target = to if to is not None else _before(stands, changes, there)
            if target is None:
                raise Conflict(
                    f"alias {alias!r} of {model!r} has never stood at another version that is still there than "
                    f"{stands}; name one: --to VERSION"
                )
            version_numbered(r, model, target)
            now = self._clock.now()
            change = AliasChange(new_id(now), model, alias, stands, target, now, actor, reason)
            if target == stands:
                raise Conflict(f"alias {alias!r} of {model!r} stands at version {target} already")
            record_move(r, change)
            return change

        return self._metadata.write(work)

    def roll_back_stage(self, model: str, stage: str, *, to: int | None, actor: str, reason: str) -> StageChange:
        """Put the version that was in a stage before (or `to`) back into it; the one that is in it is archived."""

        def work(r: Repositories) -> StageChange:
            versions = r.registry.versions(model)
            held = [v for v in versions if v.stage == stage]
            earlier = [c.version for c in r.stage_history.of(model) if c.after == stage]
            there = {v.version for v in versions}
            present = {v.version for v in held}
            target = to if to is not None else next((v for v in earlier if v in there and v not in present), None)
            if target is None:
                raise Conflict(f"no other version of {model!r} was in {stage} before; name one: --to VERSION")
            now = self._clock.now()
            for version in held:
                if version.version != target:
                    record_stage(r, version, "Archived", now, actor, reason)
            record_stage(r, version_numbered(r, model, target), stage, now, actor, reason)
            return r.stage_history.of(model)[0]

        return self._metadata.write(work)


def _before(stands: int, changes: Sequence[AliasChange], there: set[int]) -> int | None:
    """Where the alias stood before. A move to where it stood one step earlier is a way back, not a new step."""
    steps: list[int] = []
    for change in reversed(changes):
        if change.after is None:
            continue
        if len(steps) > 1 and steps[-2] == change.after:
            steps.pop()
        elif not steps or steps[-1] != change.after:
            steps.append(change.after)
    earlier = [v for v in steps[:-1] if v in there and v != stands]
    return earlier[-1] if earlier else None


def _alias_row(change: AliasChange) -> HistoryRow:
    return HistoryRow(change.at, f"alias {change.alias}", change.before, change.after, change.actor, change.reason)


def _stage_row(change: StageChange) -> HistoryRow:
    what = f"stage of version {change.version}"
    return HistoryRow(change.at, what, change.before, change.after, change.actor, change.reason)
