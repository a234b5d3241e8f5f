"""Checks of sparse and weighted features, which are made of other columns."""

from __future__ import annotations

from hanok.parts.validation.schemas.findings import Finding
from hanok.parts.validation.schemas.views import FeatureView


def check_sparse(finding: Finding, view: FeatureView) -> None:
    """A sparse feature's value and index columns must be there together and be of equal length."""
    for stat in view.stats["custom_stats"]:
        name, buckets = stat["name"], stat["rank_histogram"]["buckets"]
        if name == "missing_value" and stat["num"]:
            finding.add("SPARSE_FEATURE_MISSING_VALUE", "examples lack its values", stat["num"], 0)
        elif name == "missing_index":
            for bucket in (b for b in buckets if b["sample_count"]):
                finding.add(
                    "SPARSE_FEATURE_MISSING_INDEX",
                    f"examples lack its index {bucket['label']!r}",
                    bucket["sample_count"],
                    0,
                )
        elif name in ("min_length_diff", "max_length_diff"):
            for bucket in (b for b in buckets if b["sample_count"]):
                finding.add(
                    "SPARSE_FEATURE_LENGTH_MISMATCH",
                    f"values and index {bucket['label']!r} differ in length ({name})",
                    bucket["sample_count"],
                    0,
                )
    if finding.reasons:
        finding.deprecate()


def check_weighted(finding: Finding, view: FeatureView) -> None:
    """A weighted feature's values and weights must be there together and be of equal length."""
    seen = {s["name"]: s["num"] for s in view.stats["custom_stats"]}
    if missing := seen.get("missing_value", 0):
        finding.add("WEIGHTED_FEATURE_MISSING_VALUE", "examples lack its values", missing, 0)
    if missing := seen.get("missing_weight", 0):
        finding.add("WEIGHTED_FEATURE_MISSING_WEIGHT", "examples lack its weights", missing, 0)
    low, high = seen.get("min_weight_length_diff", 0), seen.get("max_weight_length_diff", 0)
    if low or high:
        finding.add(
            "WEIGHTED_FEATURE_LENGTH_MISMATCH", "values and weights differ in length", f"{low:g} to {high:g}", 0
        )
    if finding.reasons:
        finding.deprecate()
