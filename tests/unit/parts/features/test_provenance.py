"""The source rows that are shown behind a feature are those that the joins take."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

import hanok as hk
from hanok.parts.features.provenance import source_rows
from hanok.stores.memory.tables import MemoryTables

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = pa.timestamp("us", "UTC")
VIEW = hk.FeatureView("v", keys="who", features=["x"], source=hk.Source("t", event_time="at"))
SUMS = hk.FeatureView(
    "s", keys="who", windows=["3h"], aggregate={"n": hk.count()}, source=hk.Source("t", event_time="at")
)


def shown(arrivals, *, own=None, view=VIEW, when=NOON + HOUR):
    """What is shown of rows with one event time that arrived after so many minutes; None: nobody knows when."""
    tables = MemoryTables()
    arrived = [None if m is None else NOON + timedelta(minutes=m) for m in arrivals]
    rows = {"who": ["a"] * len(arrivals), "x": range(len(arrivals)), "at": pa.array([NOON] * len(arrivals), INSTANT)}
    tables.append("t", pa.table(rows | {"_arrived": pa.array(arrived, INSTANT)}), key="one")
    scan = lambda table, since: tables.scan(table)  # noqa: E731
    (found,) = source_rows([view], {"who": "a"}, when, scan, own)
    return found


@pytest.mark.parametrize(
    ("arrivals", "winner"), [([10, 5], 0), ([5, 10], 1), ([5, 5], 1), ([5, None], 0), ([None, None], 1), ([5, 90], 0)]
)
def test_of_one_event_time_the_row_that_arrived_last_is_shown(arrivals, winner):
    """Rows that nobody knows the arrival of are visible from their event on, and give way to any other."""
    assert shown(arrivals).row == winner


def test_a_row_is_not_shown_behind_its_own_features():
    assert shown([5, 5], own=("t", 1)).row == 0
    assert shown([5], own=("t", 0)).row is None
    assert shown([5, 5], own=("other", 1)).row == 1
    assert shown([5, 5, 6], own=("t", 2), view=SUMS).rows == 2
