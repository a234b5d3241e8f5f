"""What `hanok init` makes of a file's types."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa

from hanok.engine import scaffold

N = 60
LEVELS = pa.DictionaryArray.from_arrays(pa.array([i % 2 for i in range(N)]), pa.array(["no", "yes", "maybe"]))


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
    made, left_out = scaffold.prepared(
        rows.set_column(1, "level", rows.column("level").take(list(range(N))[::-1])), "y"
    )
    assert [str(t) for t in made.schema.types] == ["string", "string", "double", "string"]
    assert list(left_out) == ["left out tags"]
    found = scaffold.guess(made.drop_columns(["level"]), "y")
    assert (found.task, found.key, found.features) == ("binary", "id", ("price",))


def test_a_target_that_is_not_a_number_is_not_known():
    y = [float("nan") if i % 9 == 0 else float(i % 2) for i in range(N)]
    made, _ = scaffold.prepared(
        pa.table({"id": [f"k{i}" for i in range(N)], "x": [i * 7 % 11 for i in range(N)], "y": y}), "y"
    )
    found = scaffold.guess(made, "y")
    _, labels = scaffold.split_tables(made, found, datetime.now(UTC))
    assert found.task == "binary" and labels.num_rows == N - len(range(0, N, 9))
