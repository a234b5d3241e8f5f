"""What the values of a feature view are now, of its entities: of the first `ENTITIES_MAX` by their keys where there
are more, and then `entities` is less than `of_entities`."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from duckdb import DuckDBPyConnection

from hanok.compute.duck import arrow, connect, quoted
from hanok.core.clock import Clock
from hanok.core.declare import FeatureView, view_columns
from hanok.core.errors import SourceNotFound
from hanok.core.json import Json, JsonObject
from hanok.core.wording import near
from hanok.parts.access import GuardedTables
from hanok.parts.features.joining import MICROS
from hanok.parts.features.service import Features

ENTITIES_MAX = 200_000
AT = "_asked"


@dataclass(frozen=True, slots=True)
class FeatureStats:
    """Counts over the values that an online read would give at this instant."""

    features: Features
    tables: GuardedTables
    clock: Clock

    def of(self, name: str) -> list[JsonObject]:
        """A row for each feature of a view, or of the views of a service. Raises FeatureViewNotFound, SourceNotFound
        for a view whose source has no rows."""
        return [row for view in self.features.named([name]) for row in self._of_view(view)]

    def _of_view(self, view: FeatureView) -> list[JsonObject]:
        table, stored = view.source.table, view.stored
        if not self.tables.size(table):
            raise SourceNotFound(
                f"feature view {view.name!r} reads table {table!r}, which has no rows{near(table, self.tables.names())}"
            )
        keys = ", ".join(map(quoted, stored.keys))
        with connect({"source": self.features.spines.scan(table)}) as duck:
            known = " AND ".join(f"{quoted(k)} IS NOT NULL" for k in stored.keys)
            entities = arrow(
                duck, f"SELECT DISTINCT {keys} FROM source WHERE {known} ORDER BY {keys} LIMIT {ENTITIES_MAX}"
            )
            every = arrow(duck, f"SELECT count(*) AS n FROM (SELECT DISTINCT {keys} FROM source WHERE {known})")
            event = f"CAST({quoted(view.source.event_time)} AS TIMESTAMPTZ)"
            newest = arrow(duck, f"SELECT max({event}) AS newest FROM source").column("newest")[0].as_py()
        asking = entities.append_column(AT, pa.repeat(self.clock.now(), entities.num_rows).cast(MICROS))
        made = self.features.join(asking, AT, [stored])
        with connect({"made": made}) as duck:
            return [
                {
                    "feature": f"{view.name}__{feature}",
                    "entities": made.num_rows,
                    "of_entities": every.column("n")[0].as_py(),
                    **_described(duck, column, made.schema.field(column).type),
                    "newest": newest.isoformat() if newest is not None else None,
                }
                for feature, column in zip(stored.feature_names, view_columns(stored), strict=True)
                if feature in view.feature_names
            ]


def _described(duck: DuckDBPyConnection, column: str, kind: pa.DataType) -> dict[str, Json]:
    name = quoted(column)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    real = f"CAST({name} AS DOUBLE)"
    wanted = {"nulls": f"count(*) - count({name})", "distinct": f"count(DISTINCT {name})"}
    if number:
        wanted |= {
            "mean": f"avg({real})",
            "std": f"stddev_samp({real})",
            "min": f"min({real})",
            "q25": f"quantile_cont({real}, 0.25)",
            "median": f"quantile_cont({real}, 0.5)",
            "q75": f"quantile_cont({real}, 0.75)",
            "max": f"max({real})",
        }
    chosen = ", ".join(f"{sql} AS {n}" for n, sql in wanted.items())
    where = f" WHERE {real} IS NULL OR isfinite({real})" if number else ""
    found: dict[str, Json] = arrow(duck, f"SELECT {chosen} FROM made{where}").to_pylist()[0]
    return found
