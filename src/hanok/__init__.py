"""Hanok: one MLOps system on one lineage graph. The public API, loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hanok.core.version import VERSION as __version__

if TYPE_CHECKING:
    from hanok.compute.frames import Frame as Frame
    from hanok.compute.runtimes import Package as Package
    from hanok.core.checks import Check as Check
    from hanok.core.clock import ReplayClock as ReplayClock
    from hanok.core.clock import SystemClock as SystemClock
    from hanok.core.declare import (
        Aggregate as Aggregate,
    )
    from hanok.core.declare import (
        AutoML as AutoML,
    )
    from hanok.core.declare import (
        FeatureService as FeatureService,
    )
    from hanok.core.declare import (
        FeatureView as FeatureView,
    )
    from hanok.core.declare import (
        Gate as Gate,
    )
    from hanok.core.declare import (
        Label as Label,
    )
    from hanok.core.declare import (
        Model as Model,
    )
    from hanok.core.declare import (
        Retrain as Retrain,
    )
    from hanok.core.declare import (
        Rollout as Rollout,
    )
    from hanok.core.declare import (
        Source as Source,
    )
    from hanok.core.declare import (
        Spine as Spine,
    )
    from hanok.core.declare import (
        Webhook as Webhook,
    )
    from hanok.core.declare import (
        at_random as at_random,
    )
    from hanok.core.declare import (
        by_time as by_time,
    )
    from hanok.core.declare import (
        count as count,
    )
    from hanok.core.declare import first as first
    from hanok.core.declare import last as last
    from hanok.core.declare import max_ as max
    from hanok.core.declare import (
        mean as mean,
    )
    from hanok.core.declare import min_ as min
    from hanok.core.declare import ratio as ratio
    from hanok.core.declare import std as std
    from hanok.core.declare import sum_ as sum
    from hanok.core.declare import transform as transform
    from hanok.core.errors import HanokError as HanokError
    from hanok.engine.replay import Feed as Feed
    from hanok.sdk.autolog import autolog as autolog
    from hanok.sdk.features import online as online
    from hanok.sdk.features import point_in_time_join as point_in_time_join
    from hanok.sdk.features import training_set as training_set
    from hanok.sdk.runs import run as run
    from hanok.sdk.tuning import tune as tune
    from hanok.server.embedded import open as open
    from hanok.ui.report import profile as profile
    from hanok.ui.story import drift as drift


_DECLARE = "hanok.core.declare"
_WHERE = {
    "Aggregate": (_DECLARE, "Aggregate"),
    "AutoML": (_DECLARE, "AutoML"),
    "Check": ("hanok.core.checks", "Check"),
    "Feed": ("hanok.engine.replay", "Feed"),
    "FeatureService": (_DECLARE, "FeatureService"),
    "FeatureView": (_DECLARE, "FeatureView"),
    "Frame": ("hanok.compute.frames", "Frame"),
    "Gate": (_DECLARE, "Gate"),
    "HanokError": ("hanok.core.errors", "HanokError"),
    "Label": (_DECLARE, "Label"),
    "Model": (_DECLARE, "Model"),
    "Package": ("hanok.compute.runtimes", "Package"),
    "ReplayClock": ("hanok.core.clock", "ReplayClock"),
    "Retrain": (_DECLARE, "Retrain"),
    "Rollout": (_DECLARE, "Rollout"),
    "Source": (_DECLARE, "Source"),
    "Spine": (_DECLARE, "Spine"),
    "SystemClock": ("hanok.core.clock", "SystemClock"),
    "Webhook": (_DECLARE, "Webhook"),
    "autolog": ("hanok.sdk.autolog", "autolog"),
    "at_random": (_DECLARE, "at_random"),
    "by_time": (_DECLARE, "by_time"),
    "count": (_DECLARE, "count"),
    "drift": ("hanok.ui.story", "drift"),
    "first": (_DECLARE, "first"),
    "last": (_DECLARE, "last"),
    "max": (_DECLARE, "max_"),
    "mean": (_DECLARE, "mean"),
    "min": (_DECLARE, "min_"),
    "online": ("hanok.sdk.features", "online"),
    "open": ("hanok.server.embedded", "open"),
    "point_in_time_join": ("hanok.sdk.features", "point_in_time_join"),
    "profile": ("hanok.ui.report", "profile"),
    "ratio": (_DECLARE, "ratio"),
    "run": ("hanok.sdk.runs", "run"),
    "std": (_DECLARE, "std"),
    "sum": (_DECLARE, "sum_"),
    "training_set": ("hanok.sdk.features", "training_set"),
    "transform": (_DECLARE, "transform"),
    "tune": ("hanok.sdk.tuning", "tune"),
}

__all__ = [*sorted(_WHERE), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'hanok' has no attribute {name!r}; it has {', '.join(sorted(_WHERE))}")
    module, attribute = _WHERE[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
