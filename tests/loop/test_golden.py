"""A home that an earlier Hanok left behind opens, answers bit for bit as it did, and goes on."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.loop.run import open_shop

HOMES = sorted((Path(__file__).parents[1] / "golden").glob("home-*.tar.xz"))


@pytest.fixture(params=HOMES, ids=lambda p: p.name.removesuffix(".tar.xz"))
def kept(request, tmp_path):
    """The opened home, and what was written down when it was kept."""
    pytest.importorskip("lightgbm")
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    app = open_shop(tmp_path / "home")
    app.clock.move_to(app.home.clock().now())
    yield app, json.loads((tmp_path / "expected.json").read_text())
    app.close()


def test_every_version_answers_bit_for_bit_as_it_did(kept):
    app, expected = kept
    assert expected["versions"]
    for name, then in expected["versions"].items():
        model, version = name.split("/")
        loaded = app.packages.load(app.training.version(model, int(version)).package)
        rows = pa.Table.from_pylist(then["rows"])
        assert [s.hex() for s in loaded.score_table(rows).tolist()] == then["scores"]


def test_an_entity_is_predicted_online_as_it_was(kept):
    app, expected = kept
    assert (
        app.predicting.predict_entity("returns", expected["online"]["match"])["score"].hex()
        == expected["online"]["score"]
    )


def test_its_training_set_is_rebuilt_and_its_loop_goes_on(kept):
    app, _ = kept
    model = app.training.model("returns")
    version = app.training.version("returns", 1)
    made = app.metadata.read(lambda r: r.lineage.node(version.facts["training_set"])).facts
    rows = app.features.training_set(model, end=app.clock.now(), snapshots=made["snapshots"]).rows
    assert rows.num_rows == made["rows"]
    trained = app.training.train("returns", reason="the house is newer than its home", actor="test")
    assert trained.version == app.tracking.registry.versions("returns")[0].version > version.version
    assert "too few days to tell" in trained.verdict.why  # and version 2 was, when the home was kept
    assert app.training.rollouts()["returns"].challenger == 2
    assert np.isfinite(app.training.version("returns", trained.version).facts["metrics"]["log_loss"])
