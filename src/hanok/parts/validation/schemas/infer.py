"""A first schema from statistics, in TFDV's way: types, presence, valency, small domains."""

from __future__ import annotations

from hanok.parts.validation.schemas.features import new_feature
from hanok.parts.validation.schemas.views import DatasetView, FeatureView, whole
from hanok.wire.tfdv import Message

DOMAIN_MAX = 100


def infer(statistics: Message, *, domain_max: int = DOMAIN_MAX) -> Message:
    """What the data looks like, for a person to review. Text with at most `domain_max` values gets a domain."""
    schema = Message("Schema")
    stats = whole(statistics)
    if stats is None:
        return schema
    view = DatasetView(stats)
    for feature in view.roots():
        _add(schema, view, feature, domain_max)
    return schema


def _is_category(view: FeatureView, domain_max: int) -> bool:
    """Text with few values, all of them known; bytes that are no text have no domain of words."""
    known = len(view.value_counts)
    broken = view.stats["string_stats"]["invalid_utf8_count"]
    return view.type == "STRING" and 0 < known <= domain_max and view.unique == known and not broken


def _add(holder: Message, dataset: DatasetView, view: FeatureView, domain_max: int) -> None:
    made = new_feature(view)
    holder.set("feature", [*holder["feature"], made])
    values = sorted(view.value_counts)
    if view.type == "INT" and view.low == 0 and view.high == 1:
        made.set("bool_domain", Message("BoolDomain"))
    elif _is_category(view, domain_max):
        made.set("string_domain", Message("StringDomain", value=values))
    for child in dataset.children(view.path):
        _add(made.sub("struct_domain"), dataset, child, domain_max)
