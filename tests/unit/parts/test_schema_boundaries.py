"""Where TFDV's own code draws the line: near each bound, and what the documentation leaves out."""

import pytest

from tests.unit.parts.test_schemas import TEN, check, number, words


def types(features, schema, path="f", **options):
    return [r.type for r in check(features, schema, **options).anomalies.get((path,), [])]


def floats(histogram, low=0, high=1):
    return (
        f'features {{ path {{ step: "f" }} type: FLOAT num_stats {{ {TEN} min: {low} max: {high} '
        f"histograms {{ {histogram} }} }} }}"
    )


BETWEEN = "buckets { low_value: 0.4 high_value: 0.5 sample_count: 0.01 }"


@pytest.mark.parametrize(
    ("histogram", "expected"),
    [
        (f"type: STANDARD {BETWEEN}", []),  # interpolation leaves a crumb in an even bucket
        (f"type: QUANTILES {BETWEEN}", ["BOOL_TYPE_UNEXPECTED_FLOAT"]),
        ("type: STANDARD buckets { low_value: 2 high_value: 3 sample_count: 1 }", ["BOOL_TYPE_UNEXPECTED_FLOAT"]),
        ("type: STANDARD num_nan: 1", ["BOOL_TYPE_UNEXPECTED_FLOAT"]),
    ],
)
def test_floats_that_stand_for_true_and_false(histogram, expected):
    assert types(floats(histogram), 'feature { name: "f" type: FLOAT bool_domain {} }') == expected


def test_texts_may_hide_a_nan_and_a_word():
    schema = 'feature { name: "f" type: BYTES float_domain { disallow_nan: true min: 0 } }'
    assert types(words("f", "nan", "1.5"), schema) == ["FLOAT_TYPE_HAS_NAN"]
    assert types(words("f", "nan", "x"), schema) == ["FLOAT_TYPE_HAS_NAN", "FLOAT_TYPE_STRING_NOT_FLOAT"]
    assert types(words("f", "-0.5", " 1e3 "), schema) == ["FLOAT_TYPE_SMALL_FLOAT"]


def test_categories_of_whole_numbers():
    feature = (
        f'features {{ path {{ step: "f" }} type: INT string_stats {{ {TEN} rank_histogram {{ '
        'buckets { label: "7" sample_count: 9 } buckets { label: "x" sample_count: 1 } } } }'
    )
    assert types(feature, 'feature { name: "f" type: INT int_domain { max: 9 } }') == ["DOMAIN_INVALID_FOR_TYPE"]
    assert types(feature, 'feature { name: "f" type: INT int_domain {} }') == []


def test_whole_numbers_beyond_64_bits():
    huge = number("f", 0, "1e19")
    assert types(huge, 'feature { name: "f" type: INT int_domain { min: 0 } }') == ["DOMAIN_INVALID_FOR_TYPE"]
    assert types(huge, 'feature { name: "f" type: INT int_domain {} }') == []


def test_a_feature_without_statistics_is_not_there():
    schema = 'feature { name: "f" type: INT presence { min_count: 1 } }'
    assert types('features { path { step: "f" } type: INT }', schema) == ["SCHEMA_MISSING_COLUMN"]


def test_features_with_names_lie_in_the_struct_that_their_name_begins_with():
    features = (
        f'features {{ name: "a" type: STRUCT struct_stats {{ {TEN} }} }} '
        f'features {{ name: "a.b" type: INT num_stats {{ {TEN} min: 0 max: 5 }} }} '
        f'features {{ name: "ab" type: INT num_stats {{ {TEN} min: 0 max: 5 }} }}'
    )
    schema = """feature { name: "a" type: STRUCT struct_domain {
      feature { name: "b" type: INT int_domain { max: 4 } } } } feature { name: "ab" type: INT }"""
    report = check(features, schema)
    assert {path: [r.type for r in found] for path, found in report.anomalies.items()} == {
        ("a", "b"): ["INT_TYPE_BIG_INT"]
    }


@pytest.mark.parametrize(
    ("bound", "missing", "expected"),
    [
        (0.9, 1, []),
        (0.91, 1, ["FEATURE_TYPE_LOW_FRACTION_PRESENT"]),
        (1.0, 0, []),
        (1.0, 1, ["FEATURE_TYPE_LOW_FRACTION_PRESENT"]),
    ],
)
def test_presence_at_its_bound(bound, missing, expected):
    stats = f"common_stats {{ num_non_missing: {10 - missing} num_missing: {missing} max_num_values: 1 }}"
    feature = f'features {{ path {{ step: "f" }} type: INT num_stats {{ {stats} }} }}'
    assert types(feature, f'feature {{ name: "f" type: INT presence {{ min_fraction: {bound} }} }}') == expected


@pytest.mark.parametrize(("low", "high", "expected"), [(1, 3, "min: 1"), (2, 2, "min: 2 max: 2"), (0, 3, "")])
def test_a_new_column_is_proposed_with_room_for_longer_rows(low, high, expected):
    stats = f"common_stats {{ num_non_missing: 10 min_num_values: {low} max_num_values: {high} }}"
    feature = f'features {{ path {{ step: "f" }} type: INT num_stats {{ {stats} min: 0 max: 1 }} }}'
    proposed = check(feature, "").proposed["feature"][0]
    count = proposed["value_count"]
    shown = " ".join(f"{name}: {count[name]}" for name in ("min", "max") if count.has(name))
    assert shown == expected
