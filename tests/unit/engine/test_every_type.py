"""Random frames over every Arrow type go through infer, check, suggest, profile, drift and ingest: equal, or said.

`HANOK_FRAMES=2000 pytest tests/unit/engine/test_every_type.py` tries more of them.
"""

import json
import math
import os
from decimal import Decimal

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet as pq

import hanok as hk
from hanok.cli import cli
from hanok.compute.duck import read
from hanok.compute.profiling import compare_tables, explore
from hanok.compute.unlike import unlike
from hanok.core.errors import BadData
from hanok.engine.checking import check_file, inferred, rows_of, suggested
from tests.unit.engine.frames import frame

FRAMES = int(os.environ.get("HANOK_FRAMES", 40))
PIECE = 10
CHECKS_OF = 10 if FRAMES <= 100 else 1  # checks are suggested of each so-manyth frame: that costs most


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with hk.open(str(tmp_path_factory.mktemp("types") / "home")) as opened:
        yield opened


@pytest.mark.parametrize("first", range(0, FRAMES, PIECE))
def test_a_frame_fits_what_is_made_of_it_and_no_column_is_left_out(tmp_path, client, first):
    for seed in range(first, first + PIECE):
        rows, kinds = frame(seed)
        path = tmp_path / f"{seed}.parquet"
        pq.write_table(rows, path)
        said = f"seed {seed}: {kinds}"
        _fits(path, said, checks=not seed % CHECKS_OF)
        _whole(rows, rows_of(path), said)
        _kept(client, f"t{seed}", rows, said)


def _fits(path, said, *, checks):
    schema, suite = path.with_suffix(".schema.yaml"), path.with_suffix(".checks.yaml")
    schema.write_text(inferred(path))
    if checks:
        suite.write_text(suggested(path))
    found = check_file(path, schema=schema, suite=suite if checks else None)
    assert [o for o in found.outcomes if o.status != "Success"] == [], said
    assert found.anomalies == (), said


def _whole(rows, again, said):
    """Each column, or the members of a struct, is in the profile, and in the drift or in what is said of it."""
    profiled = [c.name for c in explore(again).columns]
    moved = compare_tables(again, again)
    named = [d.column for d in moved] + [u.column for u in unlike(again, again)]
    assert all(d.psi == 0 for d in moved), said
    for name in rows.column_names:
        for found in (profiled, named):
            assert any(n == name or n.startswith(f"{name}.") for n in found), (said, name, found)


def _kept(client, table, rows, said):
    """What was ingested is what came; what is not is refused, set aside or told with its column."""
    try:
        result = client.app.validation.ingest(table, rows, key="1")
    except BadData as error:
        refused = [n for n in rows.column_names if n in error.message]
        assert refused, (said, error.message)
        return
    told = {a.column for a in result.anomalies}
    kept = read(client.app.tables.scan(table)).to_pylist() if result.accepted else []
    assert len(kept) == result.accepted == rows.num_rows - result.quarantined, said
    for name in rows.column_names:
        if pa.types.is_null(rows.schema.field(name).type):
            continue
        came = _cells(rows.column(name))
        for row in kept:
            one, other = came[row["row"]], row[name]
            assert _same(one, other) or name in told, (said, name, one, other)


def _cells(column):
    """Cells as plain values: instants as microseconds, durations as seconds, texts as texts."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind):
        storage = pa.chunked_array([c.view(pa.int32() if kind.bit_width == 32 else pa.int64()) for c in column.chunks])
        unit = {"s": 10**6, "ms": 10**3, "us": 1, "ns": None}[getattr(kind, "unit", "us")]
        if pa.types.is_date32(kind):
            unit = 86_400 * 10**6
        elif pa.types.is_date64(kind):
            unit = 10**3
        return [None if v is None else v // 1000 if unit is None else v * unit for v in storage.to_pylist()]
    if pa.types.is_time(kind):
        column = column.cast(pa.string())
    return column.to_pylist()


def _same(came, kept):
    if hasattr(kept, "timestamp"):
        since = kept.replace(tzinfo=None) - kept.replace(year=1970, month=1, day=1, hour=0, minute=0, second=0,
                                                         microsecond=0, tzinfo=None)  # fmt: skip
        return came == (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds
    if isinstance(came, bytes):
        return kept == came.decode("utf-8", "replace")
    if isinstance(came, float) and isinstance(kept, float):
        return came == kept or (math.isnan(came) and math.isnan(kept))
    if isinstance(came, Decimal) and isinstance(kept, float):
        return float(came) == kept
    if came is None or kept is None or isinstance(came, bool) or isinstance(kept, bool):
        return came is kept
    return came == kept or (not isinstance(came, int | float | str) and str(came) == str(kept))


@pytest.mark.parametrize("kind", ["uuid", "text view", "struct", "duration ns", "decimal256", "null", "bool8"])
def test_the_commands_take_a_file_of_this_type(tmp_path, kind):
    rows = next(f for f, k in map(frame, range(3000)) if kind in k.values() and f.num_rows > 20)
    path = tmp_path / "d.parquet"
    pq.write_table(rows, path)
    profile = CliRunner().invoke(cli, ["profile", str(path), "--json"])
    assert profile.exit_code == 0 and json.loads(profile.stdout)["rows"] == rows.num_rows
    drift = CliRunner().invoke(cli, ["drift", str(path), str(path)])
    assert drift.exit_code == 0, drift.output


def test_a_time_or_a_list_is_no_target():
    rows = pa.table({"t": pa.array([1, 2], pa.timestamp("us")), "l": [[1], [2]], "x": [1, 2]})
    for target in ("t", "l"):
        with pytest.raises(BadData, match="a target is a number"):
            explore(rows, target)
