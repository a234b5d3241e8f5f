"""What training needs of features."""

from __future__ import annotations

import pyarrow as pa

from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.frames import PREDICT_AT
from hanok.core.clock import Clock
from hanok.core.declare import Model, OwnCode, Project
from hanok.core.errors import NotTrainable
from hanok.core.fitting import check_fit
from hanok.core.tables import BOOKKEEPING
from hanok.core.training import MadeSet
from hanok.engine import own_code
from hanok.parts.features.service import KEY_PREFIX, Features, TrainingSet
from hanok.parts.training.needs import SetMade
from hanok.parts.training.splitting import Positions
from hanok.stores.ports import Blobs, Metadata, Tables


class TrainingSets:
    """Training sets from features, each with the code that is trained on it."""

    def __init__(self, features: Features, *, metadata: Metadata, tables: Tables, blobs: Blobs, clock: Clock) -> None:
        self._features, self._tables = features, tables
        self._metadata, self._blobs, self._clock = metadata, blobs, clock
        self.training_set = features.training_set

    def record_training_set(self, model: Model, made: SetMade, package: str, *, node_id: str = "") -> str:
        assert isinstance(made, TrainingSet)
        node = self._features.record_training_set(model, made, package, node_id=node_id)
        if isinstance(model.train, OwnCode):
            own_code.keep(self._metadata, self._blobs, model.train, node, self._clock.now())
        return node

    def same_rows(self, declared: Model, made: MadeSet, rows: pa.Table, positions: Positions) -> pa.Table:
        """Some rows of a training set with the features of another declaration of the same spine. Raises
        DeclarationError, SourceNotFound where its tables or columns are not there any more."""
        sizes = {t: made.snapshots.get(t) or self._tables.size(t) for t in declared.tables}
        names = {t: [c for c in self._tables.scan(t).schema.names if c not in BOOKKEEPING] for t in sizes}
        check_fit(Project((), declared.views, (declared,)), names)
        spine = self._features.spine_rows(declared, start=made.start, end=made.end, upto=sizes[declared.spine.table])
        found = places(spine, rows).take(pa.array(positions))
        if found.null_count:
            raise NotTrainable(f"{found.null_count} of these rows are not in table {declared.spine.table!r} any more")
        return self._features.historical(declared, spine.take(found), sizes)


def places(spine: pa.Table, rows: pa.Table) -> pa.ChunkedArray:
    """Where each row stands in a spine: told by its keys and its instant, and what is alike in both by its turn."""
    names = [n for n in rows.column_names if n.startswith(KEY_PREFIX)] + [PREDICT_AT]
    keys = ", ".join(quoted(n) for n in names)
    matched = " AND ".join(f"w.{quoted(n)} IS NOT DISTINCT FROM s.{quoted(n)}" for n in names)
    numbered = "SELECT *, row_number() OVER (PARTITION BY {keys} ORDER BY _place) AS _turn FROM {table}"
    sides = {
        table: side.select(names).append_column("_place", pa.array(range(side.num_rows), pa.int64()))
        for table, side in (("wanted", rows), ("spine", spine))
    }
    with connect(sides) as duck:
        return arrow(
            duck,
            f"SELECT s._place FROM ({numbered.format(keys=keys, table='wanted')}) w "
            f"LEFT JOIN ({numbered.format(keys=keys, table='spine')}) s ON {matched} AND w._turn = s._turn "
            "ORDER BY w._place",
        ).column("_place")
