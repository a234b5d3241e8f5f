"""What a project changes when it is applied, and what was applied last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hanok.core.records import Kind

What = Literal["feature_view", "feature_service", "model", "source"]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan. `fields` names what differs in a changed declaration; `why` says who uses a view or service
    that is changed, and what keeps online values of a view that is changed or gone: a version that answers, or would
    after a rollback, reads them; of a view that stays as it is what keeps it from being filled; and of a source how
    many of its rows came without the `known_at` that it has now."""

    kind: What
    name: str
    change: Literal["new", "changed", "unchanged", "removed", "kept"]
    fields: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """The names that the project declared when it was applied last."""

    feature_views: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    feature_services: tuple[str, ...] = ()


APPLIED = Kind("applied", Applied, owner="home")
