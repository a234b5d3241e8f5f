"""Removal, the doctor and a backup have one idea of which content is named; the files of a model package are."""

import tarfile
from pathlib import Path

import pytest

from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.doctor import check_blobs, repair
from hanok.engine.verbs import call
from hanok.parts.tracking.named import addresses_of

HOME = Path(__file__).parents[2] / "golden" / "home-0.1.tar.xz"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("named")
    with tarfile.open(HOME) as archive:
        archive.extractall(tmp_path, filter="data")
    made = open_app(Config(home=tmp_path / "home"))
    yield made
    made.close()


def wrong(app):
    return [f.detail for f in check_blobs(app.metadata, app.blobs) if not f.ok]


def served(app):
    """A package, and the digests of its files."""
    package = app.training.version("returns", 1).package
    return package, list(app.packages.manifest(package)["files"].values())


def test_whatever_is_lost_or_damaged_is_missed_and_never_removed(app, tmp_path):
    package, files = served(app)
    facts = app.training.version("returns", 1).facts
    training_set = app.metadata.read(lambda r: r.lineage.node(facts["training_set"])).facts["digest"]
    assert wrong(app) == []
    assert "missing" not in call(app, "backup", "local", {"path": tmp_path / "whole.tar"})
    for digest in [*files, facts["reference"], training_set, package]:
        path = Path(app.blobs.path(digest))
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        assert wrong(app) == [f"damaged: {digest}"]
        list(repair(app.home, app.metadata, app.blobs, app.clock.now()))
        assert path.exists()
        path.unlink()
        assert digest in wrong(app)[0]
        assert wrong(app)[0].startswith("missing: ")
        path.write_bytes(content)
    path = Path(app.blobs.path(files[0]))
    content = path.read_bytes()
    path.unlink()
    assert call(app, "backup", "local", {"path": tmp_path / "less.tar"})["missing"] == [files[0]]
    path.write_bytes(content)


def test_content_that_nobody_names_goes_unless_a_package_cannot_be_read(app):
    package, _ = served(app)
    kept = set(app.blobs.digests())
    stray, _ = app.blobs.put(iter([b"nobody's"]))
    Path(app.blobs.path(stray)).write_bytes(b"nobodys")
    assert app.tracking.upkeep.unwanted() == {stray}
    assert "named by nothing" in wrong(app)[0]
    path = Path(app.blobs.path(package))
    path.rename(path.with_suffix(".aside"))
    assert app.tracking.upkeep.unwanted() == set()
    assert not any("named by nothing" in said for said in wrong(app))
    path.with_suffix(".aside").rename(path)
    list(repair(app.home, app.metadata, app.blobs, app.clock.now()))
    assert set(app.blobs.digests()) == kept
    assert package in app.metadata.read(addresses_of).packages
