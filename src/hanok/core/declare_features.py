"""The features of a model, in whatever way they are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hanok.core.declare_data import FeatureService, FeatureView, view_columns
from hanok.core.declare_transform import Transform


def flat(features: Sequence[object]) -> Iterator[FeatureView | Transform | str]:
    """The features of a model, those of services in the place of each."""
    for feature in features:
        if isinstance(feature, FeatureService):
            yield from feature.views
        elif isinstance(feature, FeatureView):
            yield feature.unsaid
        elif isinstance(feature, Transform | str):
            yield feature


def columns_of(feature: FeatureView | Transform | str) -> tuple[str, ...]:
    """The columns that a feature adds to a row."""
    if isinstance(feature, str):
        return (feature,)
    return feature.columns if isinstance(feature, Transform) else view_columns(feature)
