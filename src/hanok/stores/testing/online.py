"""Online feature values."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hanok.core.errors import NodeNotFound


class OnlineValuesContract:
    """Bytes by space and key."""

    def test_values_come_back_in_the_order_asked_for(self, store: Any) -> None:
        store.put("v", [(b"a", b"1"), (b"b", b"2")])
        assert store.get("v", [b"b", b"missing", b"a"]) == [b"2", None, b"1"]

    def test_spaces_do_not_see_each_other(self, store: Any) -> None:
        store.put("v", [(b"a", b"1")])
        store.put("v2", [(b"a", b"2")])
        store.put("v2/x", [(b"a", b"3")])
        assert store.spaces() == ["v", "v2", "v2/x"]
        store.clear("v2")
        assert store.get("v", [b"a"]) == [b"1"]
        assert (store.count("v"), store.count("v2"), store.count("v2/x")) == (1, 0, 1)
        assert store.spaces() == ["v", "v2/x"]

    def test_long_keys_and_many_values_fit_and_are_cleared(self, store: Any) -> None:
        store.put("v", [(b"k" * 2000, b"long"), *((str(i).encode(), b"x" * 200) for i in range(12_000))])
        assert store.get("v", [b"k" * 2000, b"4999"]) == [b"long", b"x" * 200]
        assert store.count("v") == 12_001
        store.clear("v")
        assert (store.count("v"), store.spaces()) == (0, [])

    def test_merges_of_many_writers_lose_nothing(self, store: Any) -> None:
        def one(i: int) -> None:
            store.merge("v", [b"a", str(i % 4).encode()], lambda key, found: (found or b"") + bytes([i]))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(200)))
        assert sorted(store.get("v", [b"a"])[0]) == list(range(200))
        assert sorted(store.get("v", [b"3"])[0]) == list(range(3, 200, 4))

    def test_a_merge_that_fails_changes_nothing(self, store: Any) -> None:
        store.put("v", [(b"a", b"1")])

        def merged(key: bytes, found: bytes | None) -> bytes:
            if key == b"b":
                raise NodeNotFound("no")
            return b"2"

        with pytest.raises(NodeNotFound):
            store.merge("v", [b"a", b"b"], merged)
        assert store.get("v", [b"a", b"b"]) == [b"1", None]

    def test_readers_are_not_disturbed_while_the_store_grows(self, store: Any) -> None:
        store.put("v", [(b"a", b"1")])
        over = threading.Event()

        def read() -> int:
            reads = 0
            while not over.is_set():
                assert store.get("v", [b"a", b"none"]) == [b"1", None]
                reads += 1
            return reads

        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                for i in range(8):
                    store.merge("w", [bytes([i, j]) for j in range(100)], lambda key, found: key * 2000)
            finally:
                over.set()
            assert all(r.result() > 0 for r in readers)
        assert store.count("w") == 800

    def test_the_last_value_put_counts_and_concurrent_writers_lose_nothing(self, store: Any) -> None:
        def put(i: int) -> None:
            store.put("v", [(str(i * 50 + j).encode(), b"%d" % i) for j in range(50)])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, range(8)))
        assert store.count("v") == 400
        store.put("v", [("é한".encode(), b"1"), ("é한".encode(), b"2")])
        assert store.get("v", ["é한".encode()]) == [b"2"]
