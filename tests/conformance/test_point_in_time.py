"""The point-in-time cases of the shared conformance material (HANOK_PIT_CASES)."""

import json
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from hanok.compute.point_in_time import AsOf, point_in_time_join
from tests.conformance.material import cases

CASES = cases("HANOK_PIT_CASES", "point_in_time_cases.json")


def _instants(values):
    return pa.array([v and datetime.fromisoformat(v) for v in values], pa.timestamp("us", "UTC"))


def _view(view):
    keys, rows = view["keys"], view["rows"]
    columns = {}
    for i, key in enumerate(keys):
        columns[key] = pa.array([r[i] for r in rows])
    columns["event_time"] = _instants([r[len(keys)] for r in rows])
    if view["created"]:
        columns["created"] = _instants([r[len(keys) + 1] for r in rows])
    columns["value"] = pa.array([r[-1] for r in rows], pa.float64())
    columns["written"] = pa.array(range(len(rows)), pa.int64())
    return AsOf(
        pa.table(columns),
        tuple(keys),
        "event_time",
        "created" if view["created"] else None,
        "written",
        ("value",),
        timedelta(seconds=view["ttl_s"]) if view["ttl_s"] else None,
    )


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
@pytest.mark.parametrize("known_time", [False, True], ids=["default", "known-time"])
def test_point_in_time_join_gives_the_values_that_were_known(case, known_time):
    keys = sorted({k for v in case["views"].values() for k in v["keys"]}, key=lambda k: (k != "id", k))
    spine = {key: pa.array([r[i] for r in case["spine"]]) for i, key in enumerate(keys)}
    spine["t"] = _instants([r[len(keys)] for r in case["spine"]])
    spine = pa.table(spine)
    if spine.num_rows and pa.types.is_null(spine.column(0).type):
        spine = spine.set_column(0, keys[0], spine.column(0).cast(pa.int64()))
    tables = point_in_time_join(spine, "t", [_view(v) for v in case["views"].values()], known_time=known_time)
    got = [list(row) for row in zip(*(t.column("value").to_pylist() for t in tables), strict=True)]
    want = case["want_known"] if known_time else case["want"]
    assert json.dumps(got) == json.dumps(want), case["note"]
