"""Append-only tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from hanok.core.errors import Conflict, SchemaMismatch, SourceNotFound
from hanok.core.tables import ARRIVED, SEQUENCE, Scan
from hanok.stores.testing.shared import NOW


def rows(*values: int, at: datetime = NOW) -> pa.Table:
    """A batch with one column and its arrival."""
    return pa.table({"v": list(values), ARRIVED: pa.array([at] * len(values), pa.timestamp("us", "UTC"))})


def values(scan: Scan) -> list[int]:
    """The column of a snapshot, in order of row number, read file by file."""
    from pyarrow import parquet as pq

    parts = [pq.read_table(path, columns=["v", SEQUENCE]) for path in scan.files]
    parts += [scan.tail.select(["v", SEQUENCE])] if scan.tail is not None else []
    if not parts:
        return []
    both = pa.concat_tables(parts).sort_by(SEQUENCE)
    return [v for v, s in zip(*(both.column(c).to_pylist() for c in ("v", SEQUENCE)), strict=True) if s < scan.upto]


def flush(tables: Any, name: str) -> None:
    """Move what is durable into the columnar log now, which an engine does by itself when enough has gathered."""
    getattr(tables, "_inner", tables).flush(name)


class TablesContract:
    """Append-only tables, and `flush`, with which an engine moves what is durable to where it stays."""

    def test_rows_are_numbered_in_the_order_they_were_written(self, store: Any) -> None:
        assert store.append("t", rows(1, 2), key="a").first == 0
        assert store.append("t", rows(3), key="b").first == 2
        assert values(store.scan("t")) == [1, 2, 3]
        assert store.size("t") == 3

    def test_the_same_key_again_has_no_effect(self, store: Any) -> None:
        first = store.append("t", rows(1, 2), key="a")
        again = store.append("t", rows(9, 9), key="a")
        assert (again.first, again.rows, again.repeated) == (first.first, first.rows, True)
        store.flush("t")
        assert store.append("t", rows(9, 9), key="a").repeated
        assert values(store.scan("t")) == [1, 2]

    def test_it_knows_which_batches_it_holds(self, store: Any) -> None:
        assert not store.holds("t", "a")
        store.append("t", rows(1, 2), key="a")
        assert store.holds("t", "a") and not store.holds("t", "b")
        store.flush("t")
        assert store.holds("t", "a") and not store.holds("t", "b")

    def test_numbers_that_were_given_before_a_loss_are_not_given_again(self, store: Any) -> None:
        store.append("t", rows(1, 2), key="a")
        assert store.append("t", rows(3), key="b", first=5).first == 5
        assert store.append("t", rows(4), key="c", first=2).first == 6
        for _ in range(2):
            assert (values(store.scan("t")), values(store.scan("t", upto=6)), store.size("t")) == (
                [1, 2, 3, 4],
                [1, 2, 3],
                7,
            )
            store.flush("t")

    def test_the_same_key_with_other_rows_is_refused(self, store: Any) -> None:
        first = store.append("t", rows(1, 2), key="a", digest="x")
        for _ in range(2):
            assert store.append("t", rows(1, 2), key="a", digest="x").repeated
            with pytest.raises(Conflict):
                store.append("t", rows(3, 4), key="a", digest="y")
            store.flush("t")
        assert values(store.scan("t")) == [1, 2] and (first.first, store.size("t")) == (0, 2)

    def test_a_row_count_names_a_snapshot_for_ever(self, store: Any) -> None:
        store.append("t", rows(1, 2), key="a")
        store.flush("t")
        store.append("t", rows(3), key="b")
        assert values(store.scan("t", upto=2)) == [1, 2]
        store.flush("t")
        assert values(store.scan("t", upto=2)) == [1, 2]
        assert values(store.scan("t")) == [1, 2, 3]

    def test_columns_may_be_added_but_not_retyped(self, store: Any) -> None:
        store.append("t", rows(1), key="a")
        with pytest.raises(SchemaMismatch):
            store.append("t", rows(1).set_column(0, "v", pa.array(["text"])), key="b")
        store.append("t", rows(2).append_column("w", pa.array([5])), key="c")
        store.flush("t")
        assert "w" in store.scan("t").schema.names
        assert values(store.scan("t")) == [1, 2]

    def test_rows_need_their_arrival(self, store: Any) -> None:
        with pytest.raises(SchemaMismatch):
            store.append("t", pa.table({"v": [1]}), key="a")

    def test_since_never_hides_a_later_arrival(self, store: Any) -> None:
        store.append("t", rows(1), key="a")
        store.flush("t")
        store.append("t", rows(2, at=NOW + timedelta(days=2)), key="b")
        store.flush("t")
        assert 2 in values(store.scan("t", since=NOW + timedelta(days=1)))

    def test_first_never_hides_a_row_of_that_number_or_a_later_one(self, store: Any) -> None:
        for n in range(4):
            store.append("t", rows(n), key=f"{n}")
            if n % 2:
                store.flush("t")
            for first in range(n + 2):
                assert set(range(first, n + 1)) <= set(values(store.scan("t", first=first)))
                upto = store.scan("t", first=first, upto=n)
                assert upto.upto == n and set(range(first, n)) <= set(values(upto)) <= set(range(n))

    def test_a_table_that_is_not_there_is_said(self, store: Any) -> None:
        assert store.size("nope") == 0
        with pytest.raises(SourceNotFound):
            store.scan("nope")

    def test_concurrent_writers_lose_and_double_no_row(self, store: Any) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: store.append("t", rows(i, i + 100), key=f"{i % 12}"), range(24)))
        assert store.size("t") == 24 and len(values(store.scan("t"))) == 24

    def test_a_scan_is_a_snapshot(self, store: Any) -> None:
        store.append("t", rows(1), key="a")
        scan = store.scan("t")
        store.append("t", rows(2), key="b")
        assert values(scan) == [1] and scan.upto == 1

    def test_names_and_values_of_any_script_and_size_come_back(self, store: Any) -> None:
        store.append("t", rows(2**62, -(2**63)).append_column("é 한", pa.array(["", "\n\"'"])), key="k/é")
        store.flush("t")
        assert values(store.scan("t")) == [2**62, -(2**63)] and store.names() == ["t"]
        assert "é 한" in store.scan("t").schema.names

    def test_reading_goes_on_while_the_files_are_frozen(self, store: Any) -> None:
        store.append("t", rows(1), key="a")
        with store.frozen():
            assert values(store.scan("t")) == [1]
        assert store.append("t", rows(2), key="b").first == 1
