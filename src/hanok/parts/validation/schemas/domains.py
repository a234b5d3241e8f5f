"""Checks of a feature's values against its domain."""

from __future__ import annotations

import math

from hanok.core.errors import Unreadable
from hanok.parts.validation.schemas.findings import Finding, exact
from hanok.parts.validation.schemas.views import FeatureView
from hanok.wire.tfdv import Message, from_text, unpacked
from hanok.wire.tfdv.messages import single

SHOWN = 5
UNSUPPORTED_IMAGE = "UNKNOWN"


def check_domain(finding: Finding, view: FeatureView, schema: Message) -> None:
    feature = finding.feature
    match feature.which("domain_info"):
        case "domain":
            name = feature["domain"]
            shared = next(d for d in schema["string_domain"] if d["name"] == name)
            own = shared.copy()
            _words(finding, view, own)
            if own != shared:  # the proposal gives the feature a domain of its own; the shared one stays as it is
                feature.set("string_domain", own)
        case "string_domain":
            _words(finding, view, feature["string_domain"])
        case "bool_domain":
            _bool(finding, view)
        case "int_domain":
            _int(finding, view)
        case "float_domain":
            _float(finding, view)
        case "natural_language_domain":
            _language(finding, view)
        case "image_domain":
            _image(finding, view)
        case "":
            _suggested(finding, view)


def _words(finding: Finding, view: FeatureView, domain: Message) -> None:
    if bad := view.stats["string_stats"]["invalid_utf8_count"]:
        finding.add("ENUM_TYPE_INVALID_UTF8", "some values are not valid UTF-8", bad, 0)
        finding.feature.clear(finding.feature.which("domain_info"))
        return
    known = set(domain["value"])
    strange = {v: n for v, n in view.value_counts.items() if v not in known}
    if not strange:
        return
    constraints = finding.feature["distribution_constraints"]
    allowed = 1 - exact(constraints["min_domain_mass"])
    total = view.total_values
    share = exact(sum(strange.values())) / exact(total) if total else exact(1)
    if share > allowed or not allowed:
        most = sorted(strange, key=lambda v: (-strange[v], v))
        finding.add(
            "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
            f"{float(share):.1%} of its values are not in its domain: {', '.join(map(repr, most[:SHOWN]))}",
            float(share),
            f"<= {float(allowed):g}",
        )
        domain.set("value", [*domain["value"], *sorted(strange)])


def _bool(finding: Finding, view: FeatureView) -> None:
    feature = finding.feature
    words = feature["bool_domain"]
    named = [words[n] for n in ("true_value", "false_value") if words.has(n)]
    if view.type in ("INT", "FLOAT") and named:
        finding.add("BOOL_TYPE_INVALID_CONFIG", "numbers have no words for true and false", ", ".join(named))
        feature.set("bool_domain", Message("BoolDomain"))
    elif view.type == "STRING" and not named:
        finding.add("BOOL_TYPE_INVALID_CONFIG", "text needs words for true and false")
        feature.clear("bool_domain")
        return
    if view.type == "INT":
        if view.low < 0:
            finding.add("BOOL_TYPE_SMALL_INT", "it is not 0 or 1", view.low, "0 or 1")
        if view.high > 1:
            finding.add("BOOL_TYPE_BIG_INT", "it is not 0 or 1", view.high, "0 or 1")
        if view.low < 0 or view.high > 1:
            feature.set("int_domain", Message("IntDomain", min=int(view.low), max=int(view.high)))
    elif view.type == "FLOAT":
        if (worst_text := _neither_zero_nor_one(view)) is not None:
            finding.add("BOOL_TYPE_UNEXPECTED_FLOAT", "it is not 0 or 1", worst_text, "0 or 1")
            feature.set("float_domain", Message("FloatDomain", min=view.low, max=view.high))
    else:
        strange = sorted(set(view.value_counts) - set(named))
        if strange:
            finding.add("BOOL_TYPE_UNEXPECTED_STRING", "it has another word", strange[0], " or ".join(named))
            feature.clear("bool_domain")


def _neither_zero_nor_one(view: FeatureView) -> str | None:
    """A value, or where one lies, that is no 0 and no 1."""
    for value in (view.low, view.high):
        if value not in (0.0, 1.0):
            return f"{value:g}"
    for histogram in view.histograms:
        if histogram["num_nan"]:
            return "NaN"
        for bucket in histogram["buckets"]:
            low, high = bucket["low_value"], bucket["high_value"]
            # An even bucket between 0 and 1 may hold an interpolated share of either end; a quantile's holds values.
            between = histogram["type"] == "QUANTILES" and low > 0 and high < 1
            if bucket["sample_count"] > 0 and (high < 0 or low > 1 or between):
                return f"between {low:g} and {high:g}"
    return None


def _int(finding: Finding, view: FeatureView) -> None:
    feature, domain = finding.feature, finding.feature["int_domain"]
    if view.type == "FLOAT" or view.type == "STRUCT":
        return
    if view.value_counts:
        try:
            numbers = [_whole(text) for text in view.value_counts]
        except ValueError as error:
            if view.feature_type == "BYTES":
                finding.add("INT_TYPE_NOT_INT_STRING", "some of its texts are no whole numbers", str(error))
                feature.clear("int_domain")
            elif domain.has("min") or domain.has("max"):
                finding.add("DOMAIN_INVALID_FOR_TYPE", "a category is no 64-bit whole number", str(error))
                feature.clear("int_domain")
            return
        low, high = min(numbers), max(numbers)
    elif view.type == "INT":
        low, high = int(view.low), int(view.high)
        if (domain.has("min") or domain.has("max")) and (low < -(1 << 63) or high > 1 << 63):
            beyond = low if low < -(1 << 63) else high
            finding.add("DOMAIN_INVALID_FOR_TYPE", "it has values that are no 64-bit whole numbers", beyond)
            feature.clear("int_domain")
            return
    else:
        return
    if domain.has("min") and low < domain["min"]:
        finding.add("INT_TYPE_SMALL_INT", "it has values below its range", low, f">= {domain['min']}")
        domain.set("min", low)
    if domain.has("max") and high > domain["max"]:
        finding.add("INT_TYPE_BIG_INT", "it has values above its range", high, f"<= {domain['max']}")
        domain.set("max", high)


def _whole(text: str) -> int:
    stripped = text.strip()
    digits = stripped[1:] if stripped[:1] in "+-" else stripped
    if not (digits.isascii() and digits.isdigit()) or not -(1 << 63) <= int(stripped) < 1 << 63:
        raise ValueError(text)
    return int(stripped)


def _float(finding: Finding, view: FeatureView) -> None:
    """Bounds are 32-bit floats in the schema, so values are rounded alike before they are compared."""
    feature, domain = finding.feature, finding.feature["float_domain"]
    bad = None
    if view.type == "FLOAT":
        low, high, nan = view.low, view.high, view.not_a_number > 0
    elif view.value_counts:
        bad = next((text for text in view.value_counts if not _reads_as_float(text)), None)
        numbers = [float(text) for text in view.value_counts if _reads_as_float(text)]
        real = [x for x in numbers if not math.isnan(x)]
        nan = len(real) < len(numbers)
        low, high = (min(real), max(real)) if real else (math.nan, math.nan)
    else:
        return
    if domain["disallow_nan"] and nan:
        finding.add("FLOAT_TYPE_HAS_NAN", "it has values that are not a number")
        domain.clear("disallow_nan")
    if bad is not None:
        finding.add("FLOAT_TYPE_STRING_NOT_FLOAT", "some of its texts are no numbers", bad)
        feature.clear("float_domain")
        return
    if domain.has("min") and single(low) < domain["min"]:
        finding.add("FLOAT_TYPE_SMALL_FLOAT", "it has values below its range", low, f">= {domain['min']:g}")
        domain.set("min", low)
    if domain.has("max") and single(high) > domain["max"]:
        finding.add("FLOAT_TYPE_BIG_FLOAT", "it has values above its range", high, f"<= {domain['max']:g}")
        domain.set("max", high)
    if domain["disallow_inf"] and (math.isinf(low) or math.isinf(high)):
        finding.add("FLOAT_TYPE_HAS_INF", "it has infinite values", low if math.isinf(low) else high, "finite")
        domain.clear("disallow_inf")


def _reads_as_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _image(finding: Finding, view: FeatureView) -> None:
    domain = finding.feature["image_domain"]
    formats = view.custom("image_format_histogram")
    if domain.has("minimum_supported_image_fraction") and formats is not None:
        counts = [(b["label"], b["sample_count"]) for b in formats["rank_histogram"]["buckets"]]
        total = sum(n for _, n in counts)
        share = sum(n for label, n in counts if label != UNSUPPORTED_IMAGE) / total if total else 1.0
        bound = domain["minimum_supported_image_fraction"]
        if single(share) < bound:
            finding.add("LOW_SUPPORTED_IMAGE_FRACTION", "too few images can be decoded", share, f">= {bound:g}")
            domain.set("minimum_supported_image_fraction", share)
    largest = view.stats["bytes_stats"]["max_num_bytes_int"]
    if domain.has("max_image_byte_size") and largest > domain["max_image_byte_size"]:
        finding.add(
            "MAX_IMAGE_BYTE_SIZE_EXCEEDED", "an image is too large", largest, f"<= {domain['max_image_byte_size']}"
        )
        domain.set("max_image_byte_size", largest)


def _language(finding: Finding, view: FeatureView) -> None:
    feature, domain = finding.feature, finding.feature["natural_language_domain"]
    coverage, constraints = domain["coverage"], domain["token_constraints"]
    custom = view.custom("nl_statistics")
    stats = unpacked(custom["any"]) if custom is not None else None
    if stats is not None and stats.kind.name != "NaturalLanguageStatistics":
        stats = None
    if stats is None:
        if coverage.has("min_coverage") or coverage.has("min_avg_token_length") or constraints:
            _no_language_statistics(finding)
        return
    if coverage.has("min_coverage") and single(stats["feature_coverage"]) < coverage["min_coverage"]:
        seen, bound = stats["feature_coverage"], coverage["min_coverage"]
        finding.add("FEATURE_COVERAGE_TOO_LOW", "the vocabulary covers too few of its tokens", seen, f">= {bound:g}")
        coverage.set("min_coverage", seen)
    if coverage.has("min_avg_token_length") and single(stats["avg_token_length"]) < coverage["min_avg_token_length"]:
        seen, bound = stats["avg_token_length"], coverage["min_avg_token_length"]
        finding.add(
            "FEATURE_COVERAGE_TOO_SHORT_AVG_TOKEN_LENGTH", "its tokens are too short on average", seen, f">= {bound:g}"
        )
        coverage.set("min_avg_token_length", seen)
    tokens = {t[t.which("token")]: t for t in stats["token_statistics"] if t.which("token")}
    for constraint in constraints:
        name = constraint.which("value")
        if name and constraint[name] not in tokens:
            _no_language_statistics(finding)
            return
        if name:
            _token(finding, constraint, tokens[constraint[name]], repr(constraint[name]))
    if feature["natural_language_domain"] != domain:
        feature.set("natural_language_domain", domain)


def _no_language_statistics(finding: Finding) -> None:
    finding.add("STATS_NOT_AVAILABLE", "the statistics of its language were not computed, so its bounds are unchecked")
    finding.feature.clear("natural_language_domain")


def _token(finding: Finding, constraint: Message, stats: Message, token: str) -> None:
    checks = (
        (
            "min_fraction_of_sequences",
            "fraction_of_sequences",
            -1,
            "SEQUENCE_VALUE_TOO_SMALL_FRACTION",
            "too few texts",
        ),
        (
            "max_fraction_of_sequences",
            "fraction_of_sequences",
            1,
            "SEQUENCE_VALUE_TOO_LARGE_FRACTION",
            "too many texts",
        ),
        (
            "min_per_sequence",
            "per_sequence_min_frequency",
            -1,
            "SEQUENCE_VALUE_TOO_FEW_OCCURRENCES",
            "a text too seldom",
        ),
        (
            "max_per_sequence",
            "per_sequence_max_frequency",
            1,
            "SEQUENCE_VALUE_TOO_MANY_OCCURRENCES",
            "a text too often",
        ),
    )
    for bound, measure, side, type_, words in checks:
        if not constraint.has(bound):
            continue
        seen = single(stats[measure])
        if (seen - constraint[bound]) * side > 0:
            limit = f"{'>=' if side < 0 else '<='} {constraint[bound]:g}"
            finding.add(type_, f"the token {token} is in {words}", stats[measure], limit)
            whole = constraint.kind.fields[bound].type == "int64"
            constraint.set(bound, int(seen) if whole else seen)


def _suggested(finding: Finding, view: FeatureView) -> None:
    """Statistics may suggest a domain in a `domain_info` of their own; it is proposed when it is but one domain."""
    suggestions = [c["str"] for c in view.stats["custom_stats"] if c["name"] == "domain_info"]
    if len(suggestions) != 1 or not suggestions[0]:
        return
    try:
        named = from_text("Feature", suggestions[0], name="domain_info")
    except Unreadable:
        return
    fields = list(named.fields())
    if len(fields) == 1 and fields[0][0].oneof == "domain_info":
        finding.add("SEMANTIC_DOMAIN_UPDATE", "the statistics suggest a domain for it", fields[0][0].name)
        finding.feature.set(fields[0][0].name, fields[0][1])
