"""The metadata store itself, and its floor: lineage, events, declarations, records."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from hanok.core.errors import NodeNotFound
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.stores.testing.shared import NOW


class MetadataContract:
    def test_a_write_is_all_or_nothing(self, store: Any) -> None:
        def broken(repositories: Any) -> None:
            repositories.records.put("k", "n", "1", {}, NOW)
            raise NodeNotFound("no")

        with pytest.raises(NodeNotFound):
            store.write(broken)
        assert store.read(lambda r: r.records.get("k", "n", "1")) is None

    def test_many_writers_lose_nothing(self, store: Any) -> None:
        def one(i: int) -> None:
            store.write(lambda r: r.outbox.append(Event("e", str(i), NOW)))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(200)))
        events = store.read(lambda r: r.outbox.after(0, limit=1000))
        assert sorted(int(e.subject) for e in events) == list(range(200))
        assert [e.sequence for e in events] == sorted({e.sequence for e in events})

    def test_a_failed_write_takes_nobody_with_it(self, store: Any) -> None:
        def one(number: Any) -> Any:
            def work(r: Any) -> Any:
                r.records.put("k", "n", str(number), {}, NOW)
                if number % 3 == 0:
                    raise NodeNotFound("no")

            try:
                store.write(work)
            except NodeNotFound:
                return number
            return None

        with ThreadPoolExecutor(8) as pool:
            refused = [n for n in pool.map(one, range(60)) if n is not None]
        kept = {int(body["_key"]) for body in store.read(lambda r: r.records.list("k"))}
        assert kept == set(range(60)) - set(refused) and refused == list(range(0, 60, 3))

    def test_a_read_sees_one_moment(self, store: Any) -> None:
        def write(i: Any) -> Any:
            def work(r: Any) -> Any:
                r.records.put("left", "n", "1", {"i": i}, NOW)
                r.records.put("right", "n", "1", {"i": i}, NOW)

            store.write(work)

        def both(r: Any) -> Any:
            return r.records.get("left", "n", "1")["i"], r.records.get("right", "n", "1")["i"]

        write(0)
        with ThreadPoolExecutor(2) as pool:
            writing = pool.submit(lambda: [write(i) for i in range(50)])
            seen = [store.read(both) for _ in range(50)]
            writing.result()
        assert all(left == right for left, right in seen)

    def test_what_was_submitted_is_there_when_its_future_is_done(self, store: Any) -> None:
        futures = [store.submit(lambda r, i=i: r.records.put("k", "n", str(i), {"i": i}, NOW)) for i in range(20)]
        for future in futures:
            future.result(timeout=60)
        assert len(store.read(lambda r: r.records.list("k", "n"))) == 20

    def test_a_reset_store_is_as_new(self, store: Any) -> None:
        store.write(lambda r: r.records.put("k", "n", "1", {}, NOW))
        store.reset()
        assert store.read(lambda r: r.records.list("k")) == []
        assert store.read(lambda r: r.experiments.get("0")).name == "Default"


class LineageContract:
    def test_a_node_keeps_its_first_facts_and_is_walked_both_ways(self, store: Any) -> None:
        nodes = [Node(i, NodeKind.RUN, i, NOW, {"n": i}) for i in "abc"]
        edges = [Edge("b", EdgeKind.READ, "a"), Edge("c", EdgeKind.TRAINED_ON, "b")]
        store.write(lambda r: r.lineage.add(nodes, edges))
        store.write(lambda r: r.lineage.add([Node("a", NodeKind.RUN, "other", NOW)], edges))
        assert store.read(lambda r: r.lineage.node("a")).facts == {"n": "a"}
        graph = store.read(lambda r: r.lineage.walk("b"))
        assert ({n.id for n in graph.nodes}, set(graph.edges)) == ({"a", "b", "c"}, set(edges))
        with pytest.raises(NodeNotFound):
            store.read(lambda r: r.lineage.node("zzz"))

    def test_nodes_of_a_kind_are_found_newest_first_within_the_limit(self, store: Any) -> None:
        nodes = [
            Node(f"n{i}", NodeKind.DECISION, "답/é", NOW + timedelta(seconds=i), {"big": 2**60 + i}) for i in range(5)
        ]
        store.write(lambda r: r.lineage.add(nodes))
        assert [n.id for n in store.read(lambda r: r.lineage.find(NodeKind.DECISION, "답/é", limit=2))] == ["n4", "n3"]
        assert store.read(lambda r: r.lineage.find(NodeKind.RUN)) == []
        assert store.read(lambda r: r.lineage.node("n4")) == nodes[4]

    def test_a_tombstone_is_set_and_taken_away_and_edges_stay(self, store: Any) -> None:
        nodes = [Node(i, NodeKind.RUN, i, NOW) for i in "ab"]
        store.write(lambda r: r.lineage.add(nodes, [Edge("b", EdgeKind.READ, "a")]))
        store.write(lambda r: r.lineage.tombstone("a", NOW))
        assert store.read(lambda r: r.lineage.node("a")).deleted == NOW
        assert len(store.read(lambda r: r.lineage.neighbours("b")).edges) == 1
        store.write(lambda r: r.lineage.tombstone("a", None))
        assert store.read(lambda r: r.lineage.node("a")).deleted is None

    def test_a_walk_ends_at_its_depth_and_in_circles(self, store: Any) -> None:
        nodes = [Node(str(i), NodeKind.RUN, str(i), NOW) for i in range(6)]
        edges = [Edge(str(i), EdgeKind.READ, str((i + 1) % 6)) for i in range(6)]
        store.write(lambda r: r.lineage.add(nodes, edges))
        assert len(store.read(lambda r: r.lineage.walk("0")).nodes) == 6
        assert len(store.read(lambda r: r.lineage.walk("0", depth=1)).nodes) < 6
        assert len(store.read(lambda r: r.lineage.walk("0", depth=2**31 - 1)).nodes) == 6  # at once, too

    def test_a_node_may_have_thousands_beside_it(self, store: Any) -> None:
        nodes = [Node(str(i), NodeKind.RUN, str(i), NOW) for i in range(1202)]
        edges = [Edge("0", EdgeKind.READ, str(i)) for i in range(1, 1201)]
        store.write(lambda r: r.lineage.add(nodes, [*edges, Edge("1200", EdgeKind.READ, "1201")]))
        assert len(store.read(lambda r: r.lineage.walk("0", depth=3)).nodes) == 1202


class OutboxContract:
    def test_a_reaction_keeps_its_cursor(self, store: Any) -> None:
        store.write(lambda r: r.outbox.advance("x", 5))
        store.write(lambda r: r.outbox.advance("x", 7))
        assert store.read(lambda r: (r.outbox.cursor("x"), r.outbox.cursor("y"))) == (7, 0)

    def test_events_are_read_in_their_order_after_a_place_and_within_the_limit(self, store: Any) -> None:
        for i in range(5):
            store.write(lambda r, i=i: r.outbox.append(Event("é", str(i), NOW, {"n": 2**53 + i})))
        first = store.read(lambda r: r.outbox.after(0, limit=2))
        rest = store.read(lambda r: r.outbox.after(first[-1].sequence))
        assert [e.subject for e in (*first, *rest)] == list("01234")
        assert rest[-1].facts == {"n": 2**53 + 4} and rest[-1].at == NOW


class DeclarationsContract:
    def test_an_equal_declaration_adds_no_version(self, store: Any) -> None:
        def put(digest: str) -> int:
            return int(store.write(lambda r: r.declarations.put("model", "m", digest, {"d": digest}, NOW)))

        assert [put("a"), put("a"), put("b"), put("a")] == [1, 1, 2, 3]
        assert store.read(lambda r: r.declarations.at_version("model", "m", 2)) == {"d": "b"}

    def test_the_newest_declaration_and_all_names_are_told(self, store: Any) -> None:
        store.write(lambda r: r.declarations.put("model", "b", "1", {"x": "é"}, NOW))
        store.write(lambda r: r.declarations.put("model", "a", "1", {}, NOW))
        store.write(lambda r: r.declarations.put("model", "b", "2", {"x": 2**60}, NOW))
        assert sorted(store.read(lambda r: r.declarations.names("model"))) == ["a", "b"]
        assert store.read(lambda r: r.declarations.newest("model", "b")) == (2, {"x": 2**60})
        assert store.read(lambda r: r.declarations.newest("feature_view", "b")) is None
        assert store.read(lambda r: r.declarations.at_version("model", "b", 7)) is None


class RecordsContract:
    def test_records_are_replaced_by_key_and_listed_newest_first(self, store: Any) -> None:
        for i, key in enumerate(["a", "b", "a"]):
            at = NOW + timedelta(seconds=i)
            store.write(lambda r, i=i, key=key, at=at: r.records.put("k", "n", key, {"i": i}, at))
        assert [b["i"] for b in store.read(lambda r: r.records.list("k", "n"))] == [2, 1]

    def test_records_are_listed_by_name_since_an_instant_and_within_the_limit(self, store: Any) -> None:
        for i in range(4):
            at = NOW + timedelta(seconds=i)
            store.write(lambda r, i=i, at=at: r.records.put("k", f"n{i % 2}", f"k{i}", {"i": i}, at))

        def listed(*args: Any, **more: Any) -> Any:
            return [b["i"] for b in store.read(lambda r: r.records.list(*args, **more))]

        assert listed("k") == [3, 2, 1, 0] and listed("k", "n1") == [3, 1] and listed("k", limit=2) == [3, 2]
        assert listed("k", since=NOW + timedelta(seconds=2)) == [3, 2] and listed("other") == []
        assert store.read(lambda r: r.records.list("k", "n1"))[0]["_key"] == "k3"

    def test_a_body_comes_back_as_it_was(self, store: Any) -> None:
        body = {
            "text": "é\n\"'\\ 한",
            "big": 2**60,
            "none": None,
            "list": [1, {"a": [True, 0.1]}],
            "": 0,
            "float": 1e300,
        }
        store.write(lambda r: r.records.put("k", "n/é", "a|b", body, NOW))
        assert store.read(lambda r: r.records.get("k", "n/é", "a|b")) == body
