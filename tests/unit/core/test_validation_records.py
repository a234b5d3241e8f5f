"""What validation kept in the homes of earlier versions opens as records, and is written as it was."""

import tarfile
from pathlib import Path

import pytest

from hanok.core.validation import CHECK, DECLARED, PROPOSED, REPLAYED, SCHEMA, STATE
from hanok.stores.sql import SqlMetadata

HOMES = sorted((Path(__file__).parents[2] / "golden").glob("*.tar.xz"))
WRITTEN = {  # as earlier versions wrote them
    "replayed": {"batch": "replay 3 4", "changes": {"wind": "99.99"}, "actor": "ann"},
    "proposed-schema": {"of": 2, "text": "feature { name: 'x' }", "diff": ["--- declared", "+++ proposed"]},
    "declared-schema": {
        "version": 1, "text": "", "environment": "TRAINING", "policy": "batch", "serving": "late", "actor": "ann",
    },
    "state": {"digest": "ab", "size": 7, "parts": [["2026-01-02", "town=Ulm", 4, 0, 7]], "sliced": ["town"], "upto": 9},
}  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """kind -> every body of that kind in the homes."""
    found = {}
    for home in HOMES:
        folder = tmp_path_factory.mktemp("home")
        with tarfile.open(home) as archive:
            archive.extractall(folder, [m for m in archive if "/hanok.db" in m.name], filter="data")
        metadata = SqlMetadata.at(folder / "home" / "hanok.db")
        for kind in (SCHEMA, CHECK, DECLARED, PROPOSED, REPLAYED, STATE):
            found.setdefault(kind.name, []).extend(metadata.read(lambda r, k=kind: r.records.list(k.name)))
        metadata.close()
    return found


@pytest.mark.parametrize("kind", [SCHEMA, CHECK, DECLARED, PROPOSED, REPLAYED, STATE], ids=lambda k: k.name)
def test_every_record_of_the_homes_opens_and_says_the_same(kept, kind):
    bodies = [{k: v for k, v in body.items() if not k.startswith("_")} for body in kept[kind.name]]
    bodies += [WRITTEN[kind.name]] if kind.name in WRITTEN else []
    assert bodies
    for body, record in zip(bodies, kind.all(bodies), strict=True):
        written = kind.body(record)
        assert kind.open(written) == record
        assert says(written, body)


def says(written, body):
    """Whether everything that stands in the earlier body is written; fields that are new may be there too."""
    if isinstance(body, dict):
        return isinstance(written, dict) and all(k in written and says(written[k], v) for k, v in body.items())
    if isinstance(body, list):
        return len(written) == len(body) and all(map(says, written, body))
    return written == body


def test_a_state_of_one_part_and_a_schema_without_slices_open():
    assert STATE.open({"digest": "ab", "size": 7}).places == (("", "", 0, 0, 7),)
    column = {"name": "x", "type": "INT", "presence": 1.0, "minimum": None, "maximum": None, "domain": None}
    body = {"table": "t", "columns": [column], "event_time": "", "keys": [], "rows_seen": 3}
    assert SCHEMA.open(body).slices == () and SCHEMA.open(body).column("x").domain is None


def test_the_place_in_the_lineage_is_kept_but_not_shown():
    body = {"table": "t", "batch": "b", "rows": 1, "accepted": 1, "quarantined": 0, "anomalies": [], "statistics": [],
            "unchanged": 0, "corrected": 0}  # fmt: skip
    result = CHECK.open(body | {"node": "n1"})
    assert result.node == "n1" and CHECK.body(result) == body | {"node": "n1"} and result.as_dict() == body
