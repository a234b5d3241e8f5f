"""Training sets for any code: rows that somebody has, joined with features, kept with what they were made of.

The rows that were handed in and the rows that came out are kept as content, and the tables by their number of rows, so
that the same set is made again, bit by bit, whatever arrives later.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet as pq

from hanok.compute.duck import read
from hanok.compute.user_sql import Limits, is_query
from hanok.core.clock import Clock
from hanok.core.declare import FeatureView, as_dict, from_dict
from hanok.core.declare_rows import over_rows
from hanok.core.errors import Cancelled, Invalid, NodeNotFound, SourceNotFound
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind, snapshot_id
from hanok.core.tables import ARRIVED, SEQUENCE, Overlay
from hanok.core.wording import near
from hanok.engine.arguments import is_path
from hanok.engine.executors.asking import hanging_up
from hanok.engine.executors.inline import Executing
from hanok.engine.files import read_file
from hanok.parts.access import GuardedMetadata, GuardedTables
from hanok.parts.features.asking import united
from hanok.parts.features.service import Features, view_node
from hanok.stores.blobs import LocalBlobs
from hanok.stores.ports import Repositories

FILES = (".parquet", ".pq", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".arrow", ".feather", ".txt")
SQL_MEMORY, SQL_TIMEOUT_S, SQL_ROWS_MAX = "2GB", 600.0, 50_000_000


@dataclass(frozen=True, slots=True)
class AskedSet:
    """What a training set is made of: the names of services, views and features, or views as they are declared."""

    features: tuple[FeatureView | str, ...]
    at: str = ""
    known_time: bool = True


@dataclass(frozen=True, slots=True)
class SpineRows:
    """Rows that features are asked for. Those of `table` are the ones that count of its first `upto`, by `row_key`."""

    rows: pa.Table
    table: str = ""
    upto: int = 0
    row_key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MadeFeatures:
    """A training set: its node in the lineage graph, its rows, and the SHA-256 of its Parquet bytes."""

    id: str
    rows: pa.Table
    digest: str
    snapshots: dict[str, int]
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeatureSets:
    """Makes training sets from rows, and makes them again."""

    features: Features
    tables: GuardedTables
    metadata: GuardedMetadata
    blobs: LocalBlobs
    clock: Clock
    executing: Executing

    def make(self, spine: SpineRows, asked: AskedSet) -> MadeFeatures:
        """Join rows with features, as they were known at each row's instant, and record what was made of what. Raises
        Invalid, BadData, FeatureViewNotFound, SourceNotFound; Cancelled when its caller hung up, and then nothing is
        recorded."""
        views, rows, table, gone = self.views(asked.features), spine.rows, spine.table, hanging_up()
        for view in views:
            if not self.tables.size(view.source.table):
                raise SourceNotFound(
                    f"feature view {view.name!r} reads table {view.source.table!r}, which has no rows: "
                    f"hanok ingest {view.source.table} FILE"
                )
        snapshots = {t: self.tables.size(t) for t in dict.fromkeys(v.source.table for v in views)}
        if table:
            snapshots[table] = spine.upto
        made = self.features.join(rows, asked.at, views, known_time=asked.known_time, table=table, snapshots=snapshots)
        if gone():
            raise Cancelled("the training set was given up: its caller hung up")
        digest, source = self._keep(made), "" if table else self._keep(rows)
        return self._record(asked, views, made, snapshots, digest, source, spine)

    def views(self, features: Sequence[FeatureView | str]) -> tuple[FeatureView, ...]:
        """What is asked for, as views. Raises FeatureViewNotFound, Invalid for nothing."""
        if not features:
            raise Invalid("say which features: names of services, views or features")
        given = [self._over_rows(f) for f in features if isinstance(f, FeatureView)]
        return united((*self.features.named([f for f in features if isinstance(f, str)]), *given))

    def _over_rows(self, view: FeatureView) -> FeatureView:
        """A view that was sent, over its table as the project says that its rows are told apart."""
        overlay = self.features.spines.overlay(view.source.table)
        return over_rows(view, None if overlay is None else overlay.row_key)

    def rows_of(self, spine: str) -> SpineRows:
        """The rows that a text means: a file of this machine, or those of `of_tables`. Raises BadData, Invalid,
        SourceNotFound."""
        if not self._is_table(spine) and not is_query(spine) and is_path(spine):
            path = Path(spine)
            if path.suffix.lower() in FILES or path.exists():
                return SpineRows(read_file(path))
        return self.of_tables(spine)

    def of_tables(self, spine: str) -> SpineRows:
        """The rows of a table, each as it was corrected last, or the answer of one SELECT over tables. Raises Invalid,
        SourceNotFound."""
        if self._is_table(spine):
            scan = self.features.spines.scan(spine)
            key = scan.overlay.row_key if scan.overlay is not None else ()
            return SpineRows(read(scan), spine, scan.upto, key)
        if is_query(spine):
            return SpineRows(self._selected(spine))
        raise SourceNotFound(
            f"{spine[:80]!r} is no table, file or SELECT{near(spine, self.tables.names())}; tables: "
            f"{', '.join(n for n in self.tables.names() if '--' not in n) or 'none'}"
        )

    def _is_table(self, spine: str) -> bool:
        return spine in self.tables.names() and self.tables.size(spine) > 0

    def again(self, identity: str) -> MadeFeatures:
        """The same training set from what is kept. Raises NodeNotFound, Invalid for one that a model was trained on."""
        node = self.metadata.read(lambda r: r.lineage.node(identity))
        if node.kind is not NodeKind.TRAINING_SET:
            raise NodeNotFound(f"{identity!r} is a {node.kind.value.replace('_', ' ')}, not a training set")
        facts = node.facts
        if "asked" not in facts:
            raise Invalid(
                f"training set {identity!r} was made for model {facts.get('model')!r}: 'hanok reproduce MODEL@VERSION' "
                "makes it again with its model"
            )
        snapshots, table = dict(facts["snapshots"]), facts["table"]
        views = tuple(from_dict(v) for v in facts["asked"])
        if table:
            key = tuple(facts.get("row_key", ()))  # sets of earlier releases were made of all forms of a row
            scan = self.tables.scan(table, upto=snapshots[table])
            rows = read(replace(scan, overlay=Overlay(key) if key else None))
        else:
            with self.blobs.open(facts["source"]) as file:
                rows = pq.read_table(io.BytesIO(file.read()))
        made = self.features.join(
            rows, facts["at"], views, known_time=facts["known_time"], table=table, snapshots=snapshots
        )
        return MadeFeatures(node.id, made, sha256(_parquet(made)).hexdigest(), snapshots, tuple(facts["features"]))

    def digest_of(self, identity: str) -> str:
        """What the bytes of a training set were when it was made."""
        return str(self.metadata.read(lambda r: r.lineage.node(identity)).facts["digest"])

    def _selected(self, query: str) -> pa.Table:
        named = [n for n in self.tables.names() if n in query and self.tables.size(n)]
        relations = {n: self.features.spines.scan(n) for n in named}
        rows = self.executing.queries.select(query, relations, Limits(SQL_MEMORY, SQL_TIMEOUT_S, SQL_ROWS_MAX))
        return rows.drop_columns([n for n in (SEQUENCE, ARRIVED) if n in rows.column_names])

    def _keep(self, rows: pa.Table) -> str:
        return self.blobs.put(io.BytesIO(_parquet(rows)))[0]

    def _record(
        self,
        asked: AskedSet,
        views: Sequence[FeatureView],
        made: pa.Table,
        snapshots: dict[str, int],
        digest: str,
        source: str,
        spine: SpineRows,
    ) -> MadeFeatures:
        now: datetime = self.clock.now()
        names = tuple(made.column_names[len(made.column_names) - sum(len(v.feature_names) for v in views) :])
        facts = {
            "rows": made.num_rows,
            "asked": [as_dict(v) for v in views],
            "named": [f for f in asked.features if isinstance(f, str)],
            "at": asked.at,
            "known_time": asked.known_time,
            "as_of": now.isoformat(),
            "snapshots": snapshots,
            "digest": digest,
            "source": source,
            "table": spine.table,
            "row_key": list(spine.row_key),
            "features": list(names),
        }
        of = ", ".join(f if isinstance(f, str) else f.name for f in asked.features)
        node = Node(new_id(now), NodeKind.TRAINING_SET, f"features/{of[:80]} until {now:%Y-%m-%d}", now, facts)
        read_ = [
            Node(snapshot_id(t, n), NodeKind.SOURCE_SNAPSHOT, f"{t}[:{n}]", now, {"table": t, "rows": n})
            for t, n in snapshots.items()
        ]
        known = [
            Node(view_node(v), NodeKind.FEATURE_VIEW, v.stored.name, now, {"declaration": as_dict(v.stored)})
            for v in views
        ]
        edges = [Edge(node.id, EdgeKind.READ, n) for n in dict.fromkeys(n.id for n in (*read_, *known))]

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([*read_, *known, node], edges)
            repositories.outbox.append(Event("feature_set_made", node.id, now, {}))

        self.metadata.write(work)
        return MadeFeatures(node.id, made, digest, snapshots, names)


def _parquet(rows: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()
