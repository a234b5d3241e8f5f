"""A damaged table is its own matter: the others take batches and are listed."""

import json

import pytest

import hanok as hk
from hanok.core.errors import Corrupt
from hanok.stores.testing.tables import flush

PROJECT = """
import hanok as hk

late = hk.Model(
    "late", task="binary", spine=hk.Spine("orders", predict_at="due", keys=["order"]),
    label=hk.Label("outcomes", column="late", known_at="known"), features=["qty"],
)
"""


def rows(tmp_path, name, *made):
    path = tmp_path / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, made)))
    return path


def test_whoever_needs_no_row_of_a_damaged_table_goes_on(tmp_path):
    (tmp_path / "project.py").write_text(PROJECT)
    order = {"order": 1, "due": "2026-01-01T00:00:00Z", "qty": 1}
    label = {"order": 1, "known": "2026-01-02T00:00:00Z", "late": 1}
    with hk.open(tmp_path / "home", project=tmp_path / "project.py") as client:
        client.ingest("orders", rows(tmp_path, "a", order))
        client.ingest("outcomes", rows(tmp_path, "b", label))
        for name in ("orders", "outcomes"):
            flush(client.app.tables, name)
    min((tmp_path / "home" / "tables" / "outcomes" / "delta" / "_delta_log").glob("*.json")).unlink()
    with hk.open(tmp_path / "home", project=tmp_path / "project.py") as client:
        client.ingest("orders", rows(tmp_path, "c", order | {"order": 2}))
        kept, damaged = client.call("table.list")
        assert (kept["name"], kept["rows"], "damage" in kept) == ("orders", 2, False)
        assert damaged["name"] == "outcomes"
        assert damaged["rows"] is None
        assert "outcomes" in damaged["damage"]
        both = rows(tmp_path, "d", order | {"order": 3, "known": "2026-01-02T00:00:00Z", "late": 0})
        with pytest.raises(Corrupt):
            client.ingest("orders", both)
        assert client.app.tables.size("orders") == 2
