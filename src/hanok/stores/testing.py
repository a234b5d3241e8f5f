"""The contracts of the stores as test classes. An engine's test subclasses one and gives it an empty store.

class TestMyBlobs(BlobsContract):
    @pytest.fixture
    def store(self, tmp_path): return MyBlobs(tmp_path)
"""

from __future__ import annotations

import hashlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from hanok.core.access import Access, AuditEntry, Role, Token, User
from hanok.core.errors import (
    ArtifactNotFound,
    Conflict,
    LeaseLost,
    NodeNotFound,
    SchemaMismatch,
    SourceNotFound,
    StaleGeneration,
)
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.registry import AliasChange, ModelVersion, RegisteredModel
from hanok.core.serving import Arm, Deployment
from hanok.core.tables import ARRIVED, SEQUENCE, Scan
from hanok.core.tracking import Experiment, Run
from hanok.core.workflows import DONE, Step, Workflow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class BlobsContract:
    """Content-addressed bytes."""

    def test_content_comes_back_under_its_sha256(self, store: Any) -> None:
        digest, size = store.put(io.BytesIO(b"hello"))
        assert (digest, size) == (hashlib.sha256(b"hello").hexdigest(), 5)
        assert store.open(digest).read() == b"hello"
        assert store.verify(digest)

    def test_equal_content_is_kept_once(self, store: Any) -> None:
        assert store.put(io.BytesIO(b"x"))[0] == store.put(iter([b"x"]))[0]
        assert len(list(store.digests())) == 1

    def test_what_is_not_there_is_said(self, store: Any) -> None:
        with pytest.raises(ArtifactNotFound):
            store.open("0" * 64)
        with pytest.raises(ArtifactNotFound):
            store.open("../../etc/passwd")

    def test_content_that_was_put_again_is_not_discarded(self, store: Any) -> None:
        digest, size = store.put(io.BytesIO(b"wanted"))
        before = datetime.now(UTC) - timedelta(minutes=5)
        store.put(io.BytesIO(b"wanted"))
        assert store.discard(digest, before) is None
        assert store.open(digest).read() == b"wanted"
        assert store.discard(digest, datetime.now(UTC) + timedelta(minutes=5)) == size
        assert store.discard(digest, datetime.now(UTC) + timedelta(minutes=5)) is None
        assert list(store.digests()) == []

    def test_deleted_content_is_gone_and_deleting_again_is_no_error(self, store: Any) -> None:
        digest, _ = store.put(io.BytesIO(b"x"))
        store.delete(digest)
        store.delete(digest)
        assert list(store.digests()) == []


def rows(*values: int, at: datetime = NOW) -> pa.Table:
    """A batch with one column and its arrival."""
    return pa.table({"v": list(values), ARRIVED: pa.array([at] * len(values), pa.timestamp("us", "UTC"))})


def values(scan: Scan) -> list[int]:
    """The column of a snapshot, in order of row number, read file by file."""
    from pyarrow import parquet as pq

    parts = [pq.read_table(path, columns=["v", SEQUENCE]) for path in scan.files]
    parts += [scan.tail.select(["v", SEQUENCE])] if scan.tail is not None else []
    both = pa.concat_tables(parts).sort_by(SEQUENCE)
    return [v for v, s in zip(*(both.column(c).to_pylist() for c in ("v", SEQUENCE)), strict=True) if s < scan.upto]


class TablesContract:
    """Append-only tables."""

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

    def test_a_table_that_is_not_there_is_said(self, store: Any) -> None:
        assert store.size("nope") == 0
        with pytest.raises(SourceNotFound):
            store.scan("nope")


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


class MetadataContract:
    """The metadata store with its aggregates."""

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

    def test_a_reaction_keeps_its_cursor(self, store: Any) -> None:
        store.write(lambda r: r.outbox.advance("x", 5))
        store.write(lambda r: r.outbox.advance("x", 7))
        assert store.read(lambda r: (r.outbox.cursor("x"), r.outbox.cursor("y"))) == (7, 0)

    def test_an_equal_declaration_adds_no_version(self, store: Any) -> None:
        def put(digest: str) -> int:
            return int(store.write(lambda r: r.declarations.put("model", "m", digest, {"d": digest}, NOW)))

        assert [put("a"), put("a"), put("b"), put("a")] == [1, 1, 2, 3]
        assert store.read(lambda r: r.declarations.at_version("model", "m", 2)) == {"d": "b"}

    def test_versions_count_up_and_aliases_are_compare_and_set(self, store: Any) -> None:
        def version(i: str) -> ModelVersion:
            return ModelVersion(i, "m", 0, NOW)

        store.write(lambda r: r.registry.put_model(RegisteredModel("m", NOW, NOW)))
        made = [store.write(lambda r, i=i: r.registry.add_version(version(i))).version for i in "abc"]
        assert made == [1, 2, 3]

        def move(before: int | None, after: int | None) -> None:
            change = AliasChange(str(after), "m", "champion", before, after, NOW, "me", "why")
            store.write(lambda r: r.registry.move_alias(change))

        move(None, 1)
        move(1, 3)
        with pytest.raises(StaleGeneration):
            move(1, 2)
        assert store.read(lambda r: r.registry.models("m"))[0].aliases == {"champion": 3}
        assert [c.after for c in store.read(lambda r: r.registry.alias_history("m"))] == [3, 1]

    def test_a_deployment_changes_only_from_the_generation_that_was_seen(self, store: Any) -> None:
        def put(expected: int, version: int) -> None:
            arms = (Arm(version, "primary", 100),)
            store.write(lambda r: r.deployments.put(Deployment("d", 0, arms, NOW, "me", "why"), expected=expected))

        put(0, 1)
        put(1, 2)
        with pytest.raises(StaleGeneration):
            put(1, 3)
        assert store.read(lambda r: r.deployments.get("d")).primary == 2
        assert [d.generation for d in store.read(lambda r: r.deployments.history("d"))] == [2, 1]

    def test_a_finished_step_is_recorded_once_and_a_stale_holder_is_refused(self, store: Any) -> None:
        workflow = store.write(lambda r: r.workflows.start(Workflow("w", "k", "key", NOW)))
        assert store.write(lambda r: r.workflows.start(Workflow("w2", "k", "key", NOW))).id == workflow.id
        later = NOW + timedelta(seconds=30)
        first = store.write(lambda r: r.workflows.claim("w", "one", NOW, later))
        with pytest.raises(Conflict):
            store.write(lambda r: r.workflows.claim("w", "two", NOW, later))
        store.write(lambda r: r.workflows.record("w", first, Step("s", {"x": 1}, NOW)))
        second = store.write(
            lambda r: r.workflows.claim("w", "two", later + timedelta(seconds=1), later + timedelta(minutes=1))
        )
        assert second > first
        with pytest.raises(LeaseLost):
            store.write(lambda r: r.workflows.record("w", first, Step("t", {}, NOW)))
        store.write(lambda r: r.workflows.finish("w", second, DONE, {"ok": True}, NOW))
        assert [s.name for s in store.read(lambda r: r.workflows.steps("w"))] == ["s"]
        assert store.read(lambda r: r.workflows.get("w")).result == {"ok": True}

    def test_records_are_replaced_by_key_and_listed_newest_first(self, store: Any) -> None:
        for i, key in enumerate(["a", "b", "a"]):
            at = NOW + timedelta(seconds=i)
            store.write(lambda r, i=i, key=key, at=at: r.records.put("k", "n", key, {"i": i}, at))
        assert [b["i"] for b in store.read(lambda r: r.records.list("k", "n"))] == [2, 1]


class AccessContract:
    """Users, tokens, roles, projects and the audit record."""

    def test_users_keep_their_password_when_they_are_disabled(self, store: Any) -> None:
        user = User("ann", NOW)
        store.write(lambda r: (r.users.put(user), r.users.set_password("ann", "derived")))
        store.write(lambda r: r.users.put(replace(user, disabled=NOW)))
        found, password, nobody = store.read(
            lambda r: (r.users.get("ann"), r.users.password("ann"), r.users.get("bob"))
        )
        assert found == User("ann", NOW, NOW) and password == "derived" and nobody is None
        assert store.read(lambda r: r.users.all()) == [found]

    def test_tokens_are_found_by_digest_and_revoked_once(self, store: Any) -> None:
        token = Token("t1", "ann", "laptop", "api", Access.EDIT, "", NOW, NOW + timedelta(days=1))
        session = Token("t2", "ann", "browser", "session", Access.OWN, "", NOW, NOW - timedelta(days=1))
        store.write(lambda r: (r.tokens.add(token, "d1"), r.tokens.add(session, "d2")))
        assert store.read(lambda r: r.tokens.find("d1")) == token
        assert store.read(lambda r: r.tokens.find("d")) is None
        store.write(lambda r: r.tokens.used({"t1": NOW}))
        assert store.write(lambda r: r.tokens.revoke("t1", NOW))
        assert not store.write(lambda r: r.tokens.revoke("t1", NOW))
        assert store.read(lambda r: r.tokens.find("d1")) == replace(token, last_used=NOW, revoked=NOW)
        assert store.write(lambda r: r.tokens.remove_expired("session", NOW)) == 1
        assert [t.id for t in store.read(lambda r: r.tokens.list("ann"))] == ["t1"]
        assert store.write(lambda r: r.tokens.revoke_of("ann", "session", NOW)) == 0

    def test_a_role_is_replaced_and_taken_away_and_changes_move_the_generation(self, store: Any) -> None:
        for level in (Access.READ, Access.OWN):
            store.write(lambda r, level=level: r.roles.grant(Role("ann", "*", level, NOW, "local")))
        assert store.read(lambda r: r.roles.of("ann")) == [Role("ann", "*", Access.OWN, NOW, "local")]
        before = store.read(lambda r: r.roles.generation())
        store.write(lambda r: r.roles.changed())
        assert store.read(lambda r: r.roles.generation()) > before
        assert store.write(lambda r: r.roles.revoke("ann", "*"))
        assert not store.write(lambda r: r.roles.revoke("ann", "*"))
        assert store.read(lambda r: r.roles.all()) == []

    def test_things_belong_to_the_project_of_their_experiment_or_model(self, store: Any) -> None:
        def work(r: Any) -> tuple[str, str]:
            made = r.experiments.add(Experiment("", "e", "mlflow-artifacts:/own", NOW, NOW, project="fraud"))
            r.runs.add(Run("r" * 32, made.id, "run", NOW, "mlflow-artifacts:/own/r"))
            r.registry.put_model(RegisteredModel("m", NOW, NOW, project="fraud"))
            version = r.registry.add_version(ModelVersion("v" * 32, "m", 0, NOW))
            return made.id, version.id

        experiment, version = store.write(work)
        of = {"experiment": experiment, "run": "r" * 32, "model": "m", "version": version}
        for kind, thing in of.items():
            assert store.read(lambda r, k=kind, t=thing: r.projects.of(k, t)) == "fraud", kind
        for kind in (*of, "trace", "logged model"):
            assert store.read(lambda r, k=kind: r.projects.of(k, "none")) is None, kind
        assert store.read(lambda r: r.projects.own_places()) == [("mlflow-artifacts:/own", "fraud")]
        assert store.read(lambda r: r.projects.counts()) == {"default": (1, 0), "fraud": (1, 1)}

    def test_the_audit_record_is_read_newest_first_and_by_page(self, store: Any) -> None:
        def entry(i: int) -> AuditEntry:
            return AuditEntry(NOW, f"u{i % 2}", "", "::1", "POST", "/x", "p", f"r{i}", 403 if i == 3 else 200, i + 1)

        store.write(lambda r: r.audit.append([entry(i) for i in range(5)]))
        newest = store.read(lambda r: r.audit.list(limit=2))
        assert [e.resource for e in newest] == ["r4", "r3"]
        older = store.read(lambda r: r.audit.list(before=newest[-1].sequence))
        assert [e.resource for e in older] == ["r2", "r1", "r0"]
        assert [e.times for e in store.read(lambda r: r.audit.list(actor="u0"))] == [5, 3, 1]
        assert [e.resource for e in store.read(lambda r: r.audit.list(denied=True, project="p"))] == ["r3"]
