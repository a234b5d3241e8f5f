"""Anomalies beyond the shared cases: rarer types, weights, nesting, slices, and what is proposed."""

import pytest

from hanok.parts.validation.schemas import validate
from hanok.parts.validation.schemas.views import path_text
from hanok.wire.tfdv import from_text, to_text

TEN = "common_stats { num_non_missing: 10 min_num_values: 1 max_num_values: 1 tot_num_values: 10 }"


def number(name, low, high, kind="INT", more=""):
    return f'features {{ path {{ step: "{name}" }} type: {kind} num_stats {{ {TEN} min: {low} max: {high} }} {more} }}'


def words(name, *values, kind="STRING", more=""):
    buckets = " ".join(f'buckets {{ label: "{v}" sample_count: {10 / len(values)} }}' for v in values)
    return (
        f'features {{ path {{ step: "{name}" }} type: {kind} string_stats {{ {TEN} rank_histogram {{ {buckets} }} }} '
        f"{more} }}"
    )


def custom(name, value):
    return f'custom_stats {{ name: "{name}" {value} }}'


def check(features, schema, **options):
    stats = from_text("DatasetFeatureStatisticsList", f"datasets {{ num_examples: 10 {features} }}")
    return validate(stats, from_text("Schema", schema), **options)


NL = (
    "any { [type.googleapis.com/tensorflow.metadata.v0.NaturalLanguageStatistics] { token_statistics { "
    'string_token: "EOS" per_sequence_min_frequency: 0 } } }'
)


@pytest.mark.parametrize(
    ("features", "schema", "path", "types"),
    [
        (number("f", -1, 1), 'feature { name: "f" type: INT bool_domain {} }', "f", ["BOOL_TYPE_SMALL_INT"]),
        (
            number("f", "-inf", 1, "FLOAT"),
            'feature { name: "f" type: FLOAT float_domain { disallow_inf: true } }',
            "f",
            ["FLOAT_TYPE_HAS_INF"],
        ),
        (words("f", "1", "2.5"), 'feature { name: "f" type: BYTES int_domain {} }', "f", ["INT_TYPE_NOT_INT_STRING"]),
        (
            words("f", "9223372036854775808"),
            'feature { name: "f" type: BYTES int_domain {} }',
            "f",
            ["INT_TYPE_NOT_INT_STRING"],
        ),
        (
            words("t", "x", more=custom("nl_statistics", NL)),
            'feature { name: "t" type: BYTES natural_language_domain { token_constraints { string_value: "EOS" '
            "min_per_sequence: 1 } } }",
            "t",
            ["SEQUENCE_VALUE_TOO_FEW_OCCURRENCES"],
        ),
        (
            words("t", "x"),
            'feature { name: "t" type: BYTES natural_language_domain { coverage { min_coverage: 0.5 } } }',
            "t",
            ["STATS_NOT_AVAILABLE"],
        ),
        (
            number("d", 0, 9, more='validation_derived_source { deriver_name: "len" }'),
            'feature { name: "d" type: INT lifecycle_stage: PRODUCTION '
            'validation_derived_source { deriver_name: "len" } }',
            "d",
            ["DERIVED_FEATURE_BAD_LIFECYCLE"],
        ),
        ("", "feature { type: INT }", "''", ["FEATURE_MISSING_NAME"]),
        (
            'features { path { step: "s" } ' + custom("missing_value", "num: 3") + " }",
            'sparse_feature { name: "s" }',
            "s",
            ["SPARSE_FEATURE_MISSING_VALUE"],
        ),
        (
            'features { path { step: "s" } '
            + custom("missing_index", 'rank_histogram { buckets { label: "i" sample_count: 2 } }')
            + " }",
            'sparse_feature { name: "s" }',
            "s",
            ["SPARSE_FEATURE_MISSING_INDEX"],
        ),
        (
            'features { path { step: "w" } ' + custom("max_weight_length_diff", "num: 1") + " }",
            'weighted_feature { name: "w" }',
            "w",
            ["WEIGHTED_FEATURE_LENGTH_MISMATCH"],
        ),
        (
            number("w", 0, 9),
            'weighted_feature { name: "w" } feature { name: "w" type: INT }',
            "w",
            ["WEIGHTED_FEATURE_NAME_COLLISION"],
        ),
        (
            number("w", 0, 9),
            'weighted_feature { name: "w" } feature { name: "w" type: INT lifecycle_stage: DEPRECATED }',
            "w",
            [],
        ),
        (
            words("f", "a", "b", more=""),
            'feature { name: "f" type: BYTES bool_domain { true_value: "a" false_value: "a" } }',
            "f",
            ["INVALID_DOMAIN_SPECIFICATION", "BOOL_TYPE_UNEXPECTED_STRING"],
        ),
    ],
)
def test_rarer_anomalies(features, schema, path, types):
    report = check(features, schema)
    assert report.as_dict()["anomalies"] == ({path: types} if types else {})


def test_a_tenth_outside_a_domain_of_nine_tenths_is_let_through():
    domain = 'distribution_constraints { min_domain_mass: 0.9 } string_domain { value: "a" }'
    schema = f'feature {{ name: "f" type: BYTES {domain} }}'
    merged = words("f", "a", "z").replace("sample_count: 5.0", "sample_count: 9", 1).replace("5.0", "1")
    assert check(merged, schema).good


def test_the_proposed_schema_fits_the_data_that_it_was_proposed_for():
    schema = """
      feature { name: "age" type: INT presence { min_fraction: 1 min_count: 1 } int_domain { min: 0 max: 5 } }
      feature { name: "plan" type: BYTES domain: "plans" } string_domain { name: "plans" value: "free" }
      feature { name: "gone" type: INT presence { min_count: 1 } }"""
    features = number("age", -3, 200) + words("plan", "free", "vip") + number("new", 0, 1)
    report = check(features, schema)
    assert set(report.as_dict()["anomalies"]) == {"age", "plan", "new", "gone"}
    assert check(features, to_text(report.proposed)).good
    assert from_text("Schema", schema)["string_domain"][0]["value"] == ["free"]


def test_weights_count_where_all_features_have_them():
    weighted = "weighted_common_stats { num_non_missing: 2.5 num_missing: 7.5 }"
    plain = "common_stats { num_non_missing: 10 "
    features = number("f", 0, 9).replace(plain, plain + weighted + " ")
    schema = 'feature { name: "f" type: INT presence { min_fraction: 0.5 } }'
    assert check("weighted_num_examples: 10 " + features, schema).as_dict()["anomalies"] == {
        "f": ["FEATURE_TYPE_LOW_FRACTION_PRESENT"]
    }
    assert check("weighted_num_examples: 10 " + features + number("g", 0, 1), schema).as_dict()["anomalies"] == {
        "g": ["SCHEMA_NEW_COLUMN"]
    }


def test_nested_features_are_checked_below_their_struct():
    struct = f'features {{ path {{ step: "s" }} type: STRUCT struct_stats {{ {TEN} }} }}'
    inner = number("x", 0, 99).replace('step: "x"', 'step: "s" step: "x"')
    schema = (
        'feature { name: "s" type: STRUCT struct_domain { feature { name: "x" type: INT int_domain { max: 9 } } } }'
    )
    assert check(struct + inner, schema).as_dict()["anomalies"] == {"s.x": ["INT_TYPE_BIG_INT"]}
    assert check(struct + inner, "").as_dict()["anomalies"] == {"s": ["SCHEMA_NEW_COLUMN"]}


def test_the_whole_data_set_is_found_among_slices():
    stats = from_text(
        "DatasetFeatureStatisticsList",
        f'datasets {{ name: "country_KR" num_examples: 1 {number("f", 0, 99)} }} '
        f'datasets {{ name: "All Examples" num_examples: 10 {number("f", 0, 5)} }}',
    )
    assert validate(stats, from_text("Schema", 'feature { name: "f" type: INT int_domain { max: 9 } }')).good


def test_no_example_is_no_clean_bill():
    report = validate(
        from_text("DatasetFeatureStatisticsList", "datasets { }"),
        from_text("Schema", 'feature { name: "f" type: INT }'),
    )
    assert report.data_missing and not report.good


def test_steps_with_dots_are_quoted_in_paths():
    assert path_text(("a", "b.c", "d'e")) == "a.'b.c'.'d''e'"
