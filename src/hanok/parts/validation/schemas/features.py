"""Checks of one feature: what its schema says of itself, its presence, valency, shape, type and lineage."""

from __future__ import annotations

from math import prod

from hanok.parts.validation.schemas.comparators import compare_feature
from hanok.parts.validation.schemas.domains import check_domain
from hanok.parts.validation.schemas.findings import Finding, exact, in_environment, inactive, required
from hanok.parts.validation.schemas.views import DatasetView, FeatureView
from hanok.wire.tfdv import Message

ANY_TYPE = {"INT", "FLOAT", "BYTES", "STRUCT"}
DOMAIN_TYPES = {
    "domain": {"BYTES"},
    "bool_domain": {"INT", "BYTES", "FLOAT"},
    "int_domain": {"INT", "BYTES"},
    "float_domain": {"FLOAT", "BYTES"},
    "string_domain": {"BYTES"},
    "struct_domain": {"STRUCT"},
    "natural_language_domain": {"BYTES", "INT"},
    "image_domain": {"BYTES"},
    "audio_domain": {"BYTES"},
    "video_domain": {"BYTES"},
    "content_chunk_domain": {"BYTES"},
    "mid_domain": {"BYTES"},
    "url_domain": {"BYTES"},
    "time_domain": {"INT", "BYTES"},
    "time_of_day_domain": {"INT", "BYTES"},
}
RAW_BYTES_DOMAINS = ("", "natural_language_domain", "image_domain", "url_domain", "audio_domain", "video_domain")


def check_feature(
    finding: Finding,
    view: FeatureView,
    schema: Message,
    *,
    environment: str | None,
    previous: DatasetView | None,
    serving: DatasetView | None,
) -> dict[str, dict[str, float]]:
    """All checks of a feature that schema and data both have; returns the drift and skew that were measured."""
    feature = finding.feature
    check_specification(finding, schema)
    if inactive(feature):
        return {}
    if not view.present:
        if required(schema, feature, environment):
            finding.add("FEATURE_TYPE_NOT_PRESENT", "no example has a value", 0, "> 0")
            finding.deprecate()
        return {}
    if not in_environment(schema, feature, environment):
        finding.add("SCHEMA_NEW_COLUMN", f"it has values in the environment {environment} that it is not part of")
        feature.set("not_in_environment", [e for e in feature["not_in_environment"] if e != environment])
        if not in_environment(schema, feature, environment):
            feature.set("in_environment", [*feature["in_environment"], environment])
    _value_counts(finding, view)
    _shape(finding, view)
    _presence(finding, view)
    _type(finding, view)
    check_domain(finding, view, schema)
    if feature.has("unique_constraints"):
        _unique(finding, view)
    measured = {}
    for name, other in (("drift", previous), ("skew", serving)):
        if feature.has(f"{name}_comparator") and (found := compare_feature(finding, view, other, name)):
            measured[name] = found
    _derivation(finding, view)
    return measured


def check_specification(finding: Finding, schema: Message) -> None:
    """Whether the schema of a feature makes sense at all. What does not is mended in the proposal."""
    feature = finding.feature
    if inactive(feature):
        return
    if not feature.has("name"):
        finding.add("FEATURE_MISSING_NAME", "a feature of the schema has no name")
        finding.deprecate()
        return
    if not feature.has("type"):
        finding.add("FEATURE_MISSING_TYPE", "the schema does not say its type")
        if feature.which("domain_info") not in ("domain", "string_domain"):
            finding.deprecate()
            return
        feature.set("type", "BYTES")
    _specified_counts(finding)
    domain = feature.which("domain_info")
    if feature["type"] not in DOMAIN_TYPES.get(domain, ANY_TYPE):
        finding.add("DOMAIN_INVALID_FOR_TYPE", f"a {domain} does not fit its type", feature["type"], domain)
        feature.clear(domain)
    _specified_domain(finding, schema)


def _specified_counts(finding: Finding) -> None:
    feature, wrong = finding.feature, "INVALID_SCHEMA_SPECIFICATION"
    share = feature["presence"]["min_fraction"]
    if share < 0:
        finding.add(wrong, "presence.min_fraction is negative", share, "0 to 1")
        feature["presence"].clear("min_fraction")
    elif share > 1:
        finding.add(wrong, "presence.min_fraction is above 1", share, "0 to 1")
        feature["presence"].set("min_fraction", 1.0)
    for count in [feature["value_count"], *feature["value_counts"]["value_count"]]:
        if count["min"] < 0:
            finding.add(wrong, "value_count.min is negative", count["min"], ">= 0")
            count.clear("min")
        if count.has("max") and count["max"] < count["min"]:
            finding.add(wrong, "value_count.max is below min", count["max"], f">= {count['min']}")
            count.set("max", count["min"])
    if any(dim["size"] <= 0 for dim in feature["shape"]["dim"]):
        finding.add(wrong, "every size of a shape is at least 1")
        feature.clear("shape")


def _specified_domain(finding: Finding, schema: Message) -> None:
    feature = finding.feature
    domain = feature.which("domain_info")
    if domain == "domain":
        name = feature["domain"]
        if not any(d["name"] == name for d in schema["string_domain"]):
            finding.add("INVALID_DOMAIN_SPECIFICATION", f"the schema has no domain called {name!r}", name)
            feature.clear("domain")
    elif domain == "string_domain":
        values = feature["string_domain"]["value"]
        if repeated := sorted({v for v in values if values.count(v) > 1}):
            finding.add("INVALID_DOMAIN_SPECIFICATION", "its domain lists a value twice", ", ".join(repeated[:5]))
            feature["string_domain"].set("value", list(dict.fromkeys(values)))
    elif domain == "bool_domain":
        words = feature["bool_domain"]
        if words.has("true_value") and words.has("false_value") and words["true_value"] == words["false_value"]:
            finding.add("INVALID_DOMAIN_SPECIFICATION", "true and false are the same word", words["true_value"])
            words.clear("false_value")
    if feature.has("distribution_constraints") and domain not in ("domain", "string_domain"):
        what = f"on a {domain}" if domain else "without a domain"
        finding.add("INVALID_SCHEMA_SPECIFICATION", f"distribution_constraints {what} mean nothing", domain)
        feature.clear("distribution_constraints")


def _value_counts(finding: Finding, view: FeatureView) -> None:
    feature, levels = finding.feature, view.values_by_level
    if feature.has("value_count"):
        counts = [feature["value_count"]]
    elif feature.has("value_counts"):
        counts = feature["value_counts"]["value_count"]
    else:
        return
    if len(counts) != len(levels):
        finding.add("VALUE_NESTEDNESS_MISMATCH", "its values are nested differently", len(levels), len(counts))
        feature.clear("value_count")
        feature.set("value_counts", Message("ValueCountList"))
        for low, high in levels:
            feature["value_counts"].add("value_count", min=low, max=high)
        return
    for level, (count, (low, high)) in enumerate(zip(counts, levels, strict=True)):
        where = f" at level {level}" if len(levels) > 1 else ""
        if count.has("min") and low < count["min"]:
            finding.add(
                "FEATURE_TYPE_LOW_NUMBER_VALUES", f"some examples have too few values{where}", low, count["min"]
            )
            count.set("min", low)
        if count.has("max") and high > count["max"]:
            finding.add(
                "FEATURE_TYPE_HIGH_NUMBER_VALUES", f"some examples have too many values{where}", high, count["max"]
            )
            count.set("max", high)


def _shape(finding: Finding, view: FeatureView) -> None:
    feature = finding.feature
    if not feature.has("shape"):
        return
    expected = prod(dim["size"] for dim in feature["shape"]["dim"])
    levels = view.values_by_level
    fixed = all(low == high and low for low, high in levels)
    if any(view.missing_by_level):
        finding.add("INVALID_FEATURE_SHAPE", "it has a fixed shape and is missing in some examples", view.missing, 0)
    elif not fixed:
        finding.add("INVALID_FEATURE_SHAPE", "it has a fixed shape and its number of values varies", levels, expected)
    elif prod(low for low, _ in levels) != expected:
        finding.add(
            "INVALID_FEATURE_SHAPE", "its number of values does not fit its shape", prod(x for x, _ in levels), expected
        )
    else:
        return
    feature.clear("shape")


def _presence(finding: Finding, view: FeatureView) -> None:
    feature = finding.feature
    if not feature.has("presence"):
        return
    presence = feature["presence"]
    if presence.has("min_count") and view.present < presence["min_count"]:
        finding.add(
            "FEATURE_TYPE_LOW_NUMBER_PRESENT", "too few examples have it", view.present, f">= {presence['min_count']}"
        )
        presence.set("min_count", int(view.present))
    if not presence.has("min_fraction") or view.dataset.examples <= 0:
        return
    bound = presence["min_fraction"]
    share = exact(view.present) / exact(view.dataset.examples) if view.missing else exact(1)
    if share < exact(bound) or (bound == 1 and view.missing):
        finding.add(
            "FEATURE_TYPE_LOW_FRACTION_PRESENT",
            f"it is missing in {view.missing:g} of {view.dataset.examples:g} examples",
            float(share),
            f">= {bound:g}",
        )
        presence.set("min_fraction", min(float(share), 0.9999))


def _type(finding: Finding, view: FeatureView) -> None:
    feature = finding.feature
    if view.feature_type != feature["type"]:
        finding.add("UNEXPECTED_DATA_TYPE", "its data is of another type", view.type, feature["type"])
        finding.deprecate()
    domain = feature.which("domain_info")
    if view.type == "BYTES" and domain not in RAW_BYTES_DOMAINS:
        finding.add("DOMAIN_INVALID_FOR_TYPE", f"raw bytes have no {domain}", view.type, domain)
        feature.clear(domain)


def _unique(finding: Finding, view: FeatureView) -> None:
    feature, unique = finding.feature, view.unique
    bounds = feature["unique_constraints"]
    if unique is None:
        finding.add("FEATURE_TYPE_NO_UNIQUE", "distinct values are counted for text and categories only", view.type)
        feature.clear("unique_constraints")
        return
    if unique < bounds["min"]:
        finding.add("FEATURE_TYPE_LOW_UNIQUE", "it has too few distinct values", unique, f">= {bounds['min']}")
        bounds.set("min", unique)
    if unique > bounds["max"]:
        finding.add("FEATURE_TYPE_HIGH_UNIQUE", "it has too many distinct values", unique, f"<= {bounds['max']}")
        bounds.set("max", unique)


def _derivation(finding: Finding, view: FeatureView) -> None:
    feature = finding.feature
    if view.stats.has("validation_derived_source") and not feature.has("validation_derived_source"):
        finding.add("DERIVED_FEATURE_INVALID_SOURCE", "the data was derived and the schema does not say from what")
        feature.set("validation_derived_source", view.stats["validation_derived_source"].copy())
        feature.set("lifecycle_stage", "VALIDATION_DERIVED")
    if (
        feature.has("validation_derived_source")
        and feature["lifecycle_stage"] != "VALIDATION_DERIVED"
        and not inactive(feature)
    ):
        finding.add(
            "DERIVED_FEATURE_BAD_LIFECYCLE",
            "a derived feature has another stage of life",
            feature["lifecycle_stage"],
            "VALIDATION_DERIVED",
        )
        feature.set("lifecycle_stage", "VALIDATION_DERIVED")


def new_feature(view: FeatureView) -> Message:
    """What the schema would say of a feature that it does not have yet."""
    feature = Message("Feature", name=view.path[-1], type=view.feature_type)
    presence = feature.sub("presence")
    presence.set("min_count", int(view.present >= 1))
    if view.present and not view.missing:
        presence.set("min_fraction", 1.0)
    if view.present and view.type != "STRUCT":
        levels = view.values_by_level
        holders = [feature] if len(levels) == 1 else [feature.sub("value_counts")] * len(levels)
        for holder, (low, high) in zip(holders, levels, strict=True):
            bounds = {"min": low, "max": high} if low == high else {"min": 1}
            if len(levels) > 1:
                holder.add("value_count", **(bounds if low else {}))
            elif low:
                holder.set("value_count", Message("ValueCount", **bounds))
    return feature
