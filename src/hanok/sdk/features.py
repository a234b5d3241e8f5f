"""Features for any code: joins over frames, training sets, online values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanok.core.declare import FeatureService, FeatureView
from hanok.sdk.frames import Features, TrainingSet, as_arrow

if TYPE_CHECKING:
    import pyarrow as pa


def point_in_time_join(
    spine: Any,
    features: Features | Sequence[FeatureService | FeatureView],
    tables: Mapping[str, Any],
    *,
    at: str = "",
    known_time: bool = True,
) -> pa.Table:
    """The rows of `spine` with the features of views as they were known at each row's instant. No home is needed.

    `spine` and each of `tables` (by the name that the views' sources have) is an Arrow, Polars or pandas frame, or a
    path. `at` names the instant of a row, like "asked" or "scheduled - 2h"; it may be left out where only one column
    holds instants. A source's `known_at` says when its rows became known; with `known_time` a row that became known
    later than the instant is not seen. Rows are never dropped, doubled or moved. Raises Invalid, BadData.
    """
    from hanok.core.errors import Invalid
    from hanok.parts.features.asking import united
    from hanok.parts.features.joining import joined, scans_of

    given = [features] if isinstance(features, FeatureService | FeatureView | str) else list(features)
    if named := [f for f in given if isinstance(f, str)]:
        raise Invalid(f"{named[0]!r} is a name; point_in_time_join takes hk.FeatureView and hk.FeatureService values")
    asked = (f for f in given if not isinstance(f, str))
    views = united(v for f in asked for v in (f.views if isinstance(f, FeatureService) else (f,)))
    scans, over = scans_of({name: as_arrow(rows) for name, rows in tables.items()}, views)
    return joined(as_arrow(spine), at, over, lambda table: scans[table], known_time=known_time)


def training_set(
    spine: Any,
    features: Features | Sequence[Features],
    *,
    at: str = "",
    known_time: bool = True,
    where: str | Path | None = None,
) -> TrainingSet:
    """Rows with features, from the home or server of this directory (or `where`): see `Client.training_set`."""
    from hanok.sdk.client import open as open_client

    with open_client(where) as client:
        return client.training_set(spine, features, at=at, known_time=known_time)


def online(
    features: Features | Sequence[Features],
    entities: Any,
    *,
    defaults: Mapping[str, Any] | None = None,
    where: str | Path | None = None,
) -> list[Mapping[str, Any]]:
    """Features as they stand now, from the home or server of this directory (or `where`): see `Client.online`."""
    from hanok.sdk.client import open as open_client

    with open_client(where) as client:
        return client.online(features, entities, defaults=defaults)
