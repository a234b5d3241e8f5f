"""A folder that clients write artifacts into themselves: nothing leads out of it."""

import io

import pytest

from hanok.core.clock import SystemClock
from hanok.core.errors import ArtifactNotFound, ConfigError, Conflict, Invalid
from hanok.core.tracking import ARTIFACTS
from hanok.engine.stores import artifact_places
from hanok.parts.tracking import Tracking
from hanok.stores.blobs import LocalFolder, folder_of
from hanok.stores.memory.blobs import MemoryBlobs
from hanok.stores.sql import SqlMetadata


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root/run/model").mkdir(parents=True)
    (tmp_path / "root/run/model/MLmodel").write_text("flavors")
    (tmp_path / "secret").write_text("s")
    return tmp_path / "root"


def test_files_and_folders_are_listed_and_read(root):
    folder = LocalFolder(root)
    assert [(a.path, a.is_folder, a.size_bytes) for a in folder.children("run")] == [("run/model", True, 0)]
    (file,) = folder.children("run/model")
    artifact, stream = folder.open("run/model/MLmodel")
    with stream:
        assert (stream.read(), artifact, file.size_bytes) == (b"flavors", file, 7)
    assert folder.children("nothing") == [] and folder.children("run/model/MLmodel") == []


def test_links_are_neither_followed_nor_listed(root):
    (root / "run/up").symlink_to(root.parent)
    (root / "run/file").symlink_to(root.parent / "secret")
    folder = LocalFolder(root)
    for path in ("run/up/secret", "run/file", "run", "run/none"):
        with pytest.raises(ArtifactNotFound):
            folder.open(path)
    assert [a.path for a in folder.children("run")] == ["run/model"]
    with pytest.raises(Conflict):
        folder.put("run/up/new", io.BytesIO(b"x"))


def test_a_file_is_put_whole_and_replaces(root):
    folder = LocalFolder(root)
    for text in (b"one", b"two"):
        folder.put("new/deep/file", iter([text]))
    with folder.open("new/deep/file")[1] as file:
        assert file.read() == b"two"
    assert [a.path for a in folder.children("new/deep")] == ["new/deep/file"]
    for taken in ("new/deep", "new/deep/file/below"):
        with pytest.raises(Conflict):
            folder.put(taken, io.BytesIO(b"x"))


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b%20c", "/a/b c"),
        ("/a/../b", "/b"),
        ("file://localhost/a", "/a"),
        ("file://elsewhere/a", None),
        ("s3://bucket/a", None),
        ("a/b", None),
        ("file:a", None),
    ],
)
def test_what_a_uri_names_on_this_machine(uri, path):
    assert folder_of(uri) == path


def test_a_uri_is_inside_only_below_the_root(root):
    folder = LocalFolder(root)
    assert folder.inside(root.as_uri()) == "" and folder.inside(f"{root}/run") == "run"
    assert folder.inside(f"{root}/../secret") is None and folder.inside(f"{root}2/x") is None


def test_a_setting_says_where_new_artifacts_go(root):
    assert artifact_places("", root).root == ARTIFACTS
    assert artifact_places(str(root), root).root == f"{root.as_uri()}/"
    elsewhere = artifact_places("s3://bucket/runs/", root)
    assert (elsewhere.root, elsewhere.folder) == ("s3://bucket/runs/", None)
    for bad in ("runs", "file:runs", "file://host/runs"):
        with pytest.raises(ConfigError):
            artifact_places(bad, root)


def test_a_run_with_artifacts_in_the_folder_is_listed_and_one_elsewhere_is_not(root):
    metadata = SqlMetadata("sqlite://")
    tracking = Tracking(metadata, MemoryBlobs(), SystemClock(), artifact_places(str(root), root))
    inside = tracking.runs.create(tracking.experiments.create("in").id)
    assert inside.artifact_uri == f"{root.as_uri()}/1/{inside.id}/artifacts"
    tracking.artifacts.put_under(inside.artifact_uri, "a/b.txt", io.BytesIO(b"x"))
    assert [a.path for a in tracking.artifacts.children_under(inside.artifact_uri, "a")] == ["a/b.txt"]
    with tracking.artifacts.file_under(inside.artifact_uri, "a/b.txt")[1] as file:
        assert file.read() == b"x"
    relative = tracking.experiments.create("rel", location="mine")
    assert relative.location == str(root / "mine")
    outside = tracking.runs.create(tracking.experiments.create("out", location=str(root.parent)).id)
    with pytest.raises(Invalid):
        tracking.artifacts.children_under(outside.artifact_uri)
    metadata.close()
