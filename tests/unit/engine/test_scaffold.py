"""What `hanok init` makes of a file: types, the key, the time, the holdout, and what is left out and why."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from hanok.core.errors import BadData, NotTrainable
from hanok.core.tables import ROW
from hanok.engine.guessing import guess, prepared
from hanok.engine.project import load_project
from hanok.engine.scaffold import project_text

N = 60
LEVELS = pa.DictionaryArray.from_arrays(pa.array([i % 2 for i in range(N)]), pa.array(["no", "yes", "maybe"]))
Y = [i % 7 % 2 for i in range(N)]
X = [i * 37 % 23 / 2 for i in range(N)]
START = datetime(2026, 1, 1, tzinfo=UTC)


def test_categories_decimals_and_large_text_are_features_and_targets_as_ingestion_takes_them():
    rows = pa.table(
        {
            "id": pa.array([f"k{i}" for i in range(N)], pa.large_string()),
            "level": LEVELS,
            "price": pa.array([Decimal(i * 7 % 13) / 4 for i in range(N)], pa.decimal128(10, 2)),
            "tags": [["a"]] * N,
            "y": LEVELS,
        }
    )
    made, left_out = prepared(rows.set_column(1, "level", rows.column("level").take(list(range(N))[::-1])), "y")
    assert [str(t) for t in made.schema.types] == ["string", "string", "double", "string"]
    assert list(left_out) == ["left out tags"]
    found = guess(made.drop_columns(["level"]), "y")
    assert (found.task, found.keys, found.features) == ("binary", ("id",), ("price",))


def test_a_target_that_is_not_a_number_is_not_known():
    y = [float("nan") if i % 9 == 0 else float(i % 2) for i in range(N)]
    made, _ = prepared(pa.table({"id": [f"k{i}" for i in range(N)], "x": X, "y": y}), "y")
    assert guess(made, "y").task == "binary" and made.column("y").null_count == len(range(0, N, 9))


@pytest.mark.parametrize(
    ("column", "values", "is_key", "said"),
    [
        ("customer", [f"c{i}" for i in range(N)], True, "different in every row"),
        ("order", [1000 + i for i in range(N)], True, "runs through whole numbers"),
        ("order", random.Random(1).sample(range(500, 500 + N + 9), N), True, "runs through whole numbers"),
        ("ticket", sorted(random.Random(2).sample(range(10**6), N)), True, "only rises"),
        ("account_id", random.Random(3).sample(range(10**6), N), True, "different in every row"),
        ("customerId", [*range(N - 1), 0], True, "1 rows repeat one and are set aside"),
        ("metres", random.Random(4).sample(range(10**6), N), False, ""),
        ("note", [f"a note of several words {i}" for i in range(N)], False, ""),
    ],
)
def test_the_key_is_found_by_its_values_not_by_its_name_alone(column, values, is_key, said):
    found = guess(pa.table({"x": X, column: values, "y": Y}), "y")
    assert found.keys == ((column,) if is_key else (ROW,)) and said in found.reasons["key"]
    assert (column in found.features) is not is_key


@pytest.mark.parametrize("name", ["column_1", "Unnamed: 0", "index", "row"])
def test_a_count_of_the_rows_of_a_file_is_neither_a_key_nor_a_feature(name):
    found = guess(pa.table({name: list(range(N)), "x": X, "y": Y}), "y")
    assert (found.keys, found.features) == ((ROW,), ("x",)) and "numbers the rows" in found.reasons[f"left out {name}"]
    ids = [1000 + i for i in range(N)]
    assert guess(pa.table({name: list(range(N)), "person": ids, "x": X, "y": Y}), "y").keys == ("person",)


def test_numbers_that_were_given_out_evenly_are_a_key_and_measured_ones_are_not():
    rng = random.Random(5)
    ids, incomes = rng.sample(range(100_000, 1_000_000), 300), []
    while len(incomes) < 300:
        value = int(rng.lognormvariate(10.5, 0.4))
        incomes += [value] if 10_000 <= value < 100_000 and value not in incomes else []
    y = [i % 7 % 2 for i in range(300)]
    found = guess(
        pa.table({"income": incomes, "account": ids, "x": [i * 37 % 101 / 2 for i in range(300)], "y": y}), "y"
    )
    assert found.keys == ("account",) and found.features == ("income", "x")


def test_one_row_of_each_entity_at_a_time_is_told_apart_by_both_and_a_row_at_a_time_by_the_time():
    at = [START + timedelta(days=i // 3) for i in range(N)]
    rows = pa.table({"shop": [f"s{i % 3}" for i in range(N)], "day": at, "x": X, "y": Y})
    found = guess(rows, "y")
    assert found.keys == ("shop", "day") == found.row_key and found.features == ("x",)
    found = guess(rows.set_column(1, "day", pa.array([START + timedelta(hours=i) for i in range(N)])), "y")
    assert found.keys == ("day",) == found.row_key and found.features == ("shop", "x")


@pytest.mark.parametrize(
    ("texts", "spelling"),
    [
        ([f"{i % 28 + 1:02d}.02.2026" for i in range(N)], "date %d.%m.%Y"),
        ([f"02/{i % 28 + 1:02d}/2026" for i in range(N)], "date %m/%d/%Y"),
        ([f"{i % 28 + 1}-Mar-2026" for i in range(N)], "date %d-%b-%Y"),
        ([f"{i % 28 + 1:02d}.02.2026 {i % 24:02d}:30" for i in range(N)], "date %d.%m.%Y %H:%M"),
    ],
)
def test_dates_in_one_spelling_are_the_time_and_their_spelling_is_declared(texts, spelling):
    found = guess(pa.table({"when": texts, "id": [f"k{i}" for i in range(N)], "x": X, "y": Y}), "y")
    assert (found.event_time, found.columns) == ("when", {"when": spelling})


def test_dates_whose_day_may_be_the_month_are_not_guessed():
    texts = [f"{i % 12 + 1:02d}/{i % 11 + 1:02d}/2026" for i in range(N)]
    rows = pa.table({"when": texts, "id": [f"k{i}" for i in range(N)], "x": X, "y": Y})
    found = guess(rows, "y")
    assert found.event_time == "" and "cannot be told apart" in found.reasons["left out when"]
    made, _ = prepared(rows, "y", {"when": "date %d/%m/%Y"})
    assert guess(made, "y", {"when": "date %d/%m/%Y"}).event_time == "when"


def test_what_is_declared_is_not_guessed():
    rows = pa.table({"k": list(range(N)), "zip": [i % 5 for i in range(N)], "note": ["a", "b"] * 30, "x": X, "y": Y})
    declared = {"k": "number", "zip": "category", "note": "ignored"}
    made, left_out = prepared(rows, "y", declared)
    found = guess(made, "y", declared)
    assert made.schema.field("zip").type == pa.string() and list(left_out) == ["left out note"]
    assert (found.keys, found.features) == ((ROW,), ("k", "zip", "x"))
    with pytest.raises(BadData, match="no column 'zap'"):
        prepared(rows, "y", {"zap": "category"})


@pytest.mark.parametrize("days", [3, 60, 900])
def test_the_holdout_fits_the_span_and_holds_both_classes(days):
    at = [START + timedelta(days=days) * (i / 400) for i in range(400)]
    rows = pa.table({"id": [f"k{i}" for i in range(400)], "at": at, "x": [i % 17 / 2 for i in range(400)],
                     "y": [i % 10 == 0 for i in range(400)]})  # fmt: skip
    found = guess(rows, "y")
    span = found.holdout.span
    held = [i for i in range(400) if at[i] > at[-1] - span]
    assert 60 <= len(held) <= 100 and sum(i % 10 == 0 for i in held) >= 5


def test_a_class_that_the_newest_rows_lack_makes_the_holdout_random():
    at = [START + timedelta(days=i) for i in range(400)]
    rows = pa.table({"id": [f"k{i}" for i in range(400)], "at": at, "x": [i % 17 / 2 for i in range(400)],
                     "y": [i < 40 for i in range(400)]})  # fmt: skip
    found = guess(rows, "y")
    assert found.holdout.span is None and "too few of a class" in found.reasons["holdout"]


def test_a_project_is_what_was_guessed_and_its_columns_keep_their_names(tmp_path):
    names = ["seen_at", "known_at", "row", "label", "hk", "model"]
    values = {n: [(i * p) % 11 / 2 for i in range(N)] for n, p in zip(names, (3, 5, 7, 2, 9, 4), strict=True)}
    at = [START + timedelta(days=i // 2) for i in range(N)]
    rows = pa.table({"Order No": [f"k{i}" for i in range(N)], "Sold At": at, **values, "y": Y})
    found = guess(rows, "y")
    (tmp_path / "project.py").write_text(project_text("sales", found, rows, "log_loss"))
    project = load_project(tmp_path / "project.py")
    (model,) = project.models
    assert model.features == tuple(names) and model.spine.keys == ("Order No",)
    assert model.spine.predict_at.column == "Sold At"
    assert {s.table: s.row_key for s in project.sources} == {
        "sales": ("Order No", "Sold At"),
        "sales-labels": ("Order No",),
    }


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([*(f"1.{i:03d},5" for i in range(300)), "auf Anfrage"], "'auf Anfrage' is no number, as 300 of 301 cells are"),
        ([f"{i},50 EUR" for i in range(300)], "like '0,50 EUR'"),
    ],
)
def test_a_target_of_money_that_is_no_number_names_a_cell_and_the_way_out(cells, said):
    rows = pa.table({"price": cells, "x": range(len(cells))})
    with pytest.raises(NotTrainable, match=said):
        guess(rows, "price")


def test_rows_of_one_person_are_held_out_together_where_they_know_each_others_label():
    rng = random.Random(8)
    people = [(rng.random(), rng.random(), rng.random() < 0.5) for _ in range(60)]
    rows = [(i, *people[i], rng.random()) for i in range(60) for _ in range(6)]
    table = pa.table(
        {
            "patient": [f"p{r[0]}" for r in rows],
            "a": [r[1] + 0.01 * r[4] for r in rows],
            "b": [r[2] + 0.01 * r[4] for r in rows],
            "y": [int(r[3]) for r in rows],
        }
    )
    found = guess(table, "y")
    assert found.holdout.text == 'hk.at_random(test=0.2, group="patient")' and found.features == ("a", "b")
    assert "know each other's label" in found.reasons["holdout"]
    assert 'group="patient"' in project_text("people", found, table, "log_loss")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([None] * N, "empty in every row"),
        ([f"{i}.50 EUR" for i in range(N)], "without a unit"),
        ([1.5] * N, "one value"),
    ],
)
def test_a_target_that_nothing_can_be_learnt_from_is_said(values, said):
    with pytest.raises(NotTrainable, match=said):
        guess(pa.table({"x": X, "y": pa.array(values)}), "y")


def test_other_names_of_the_group_that_rows_are_held_out_by_are_left_out_with_it():
    random = np.random.default_rng(5)
    country = np.repeat(np.arange(40), 12)
    free = (random.normal(size=40)[country] + 0.4 * random.normal(size=480) > 0).astype(int)
    made = pa.table(
        {
            "country_id": pa.array(country * 7 + 100),
            "country": pa.array([f"land {c}" for c in country]),
            "polity": pa.array([None if i % 50 == 0 else int(c) * 3 + 2 for i, c in enumerate(country)]),
            "continent": pa.array([f"part {c % 5}" for c in country]),
            "years": pa.array(random.integers(1, 30, 480)),
            "free": pa.array(free),
        }
    )
    found = guess(made, "free")
    assert found.holdout.group in ("country_id", "country", "polity")
    assert found.features == ("continent", "years"), found.reasons
    assert sum("another name of" in why for why in found.reasons.values()) == 2
