"""Images as a folder, and as a column of paths: their descriptors are ordinary columns."""

import json
import struct
import zlib

import pyarrow as pa
import pytest
from click.testing import CliRunner

from hanok.cli import cli
from hanok.core.errors import BadData
from hanok.engine.files import read_file, with_images


def png(width, height, grey, *, claimed=None):
    """A grey PNG, written by the format's own rules (W3C PNG, 2003)."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = claimed or (width, height)
    head = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes([grey]) * width for _ in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("PIL", reason="reading image files needs the extra images")
    (tmp_path / "in").mkdir()
    (tmp_path / "dark.png").write_bytes(png(4, 3, 51))
    (tmp_path / "in" / "light.png").write_bytes(png(8, 2, 204))
    (tmp_path / "torn.png").write_bytes(png(4, 3, 51)[:40])
    (tmp_path / "text.jpg").write_bytes(b"not an image")
    (tmp_path / "notes.txt").write_text("no image, and not listed")
    return tmp_path


def test_a_folder_is_a_table_of_its_images(folder):
    rows = {r["file"]: r for r in read_file(folder).to_pylist()}
    assert sorted(rows) == ["dark.png", "in/light.png", "text.jpg", "torn.png"]
    assert rows["dark.png"]["brightness"] == pytest.approx(0.2)
    assert (rows["in/light.png"]["width"], rows["in/light.png"]["height"]) == (8, 2)
    assert rows["in/light.png"]["sharpness"] == 0 and rows["in/light.png"]["contrast"] == pytest.approx(0, abs=1e-12)
    for broken in ("torn.png", "text.jpg"):
        assert rows[broken]["format"] == "UNKNOWN" and rows[broken]["brightness"] is None


def test_a_file_that_claims_to_be_enormous_is_not_decoded(folder):
    (folder / "bomb.png").write_bytes(png(1, 1, 0, claimed=(60_000, 60_000)))
    bomb = next(r for r in read_file(folder).to_pylist() if r["file"] == "bomb.png")
    assert bomb["format"] == "UNKNOWN" and bomb["brightness"] is None


def test_a_folder_without_images_is_said(tmp_path):
    with pytest.raises(BadData, match="without images"):
        read_file(tmp_path)


def test_a_column_of_paths_becomes_columns(folder):
    rows = pa.table({"photo": ["dark.png", "in/light.png", "gone.png", None], "y": [0, 1, 0, 1]})
    made = with_images(rows, "photo", folder)
    assert made.column("photo.width").to_pylist() == [4, 8, None, None]
    assert made.column("photo.format").to_pylist() == ["PNG", "PNG", None, None]
    with pytest.raises(BadData, match="no column 'picture'"):
        with_images(rows, "picture", folder)
    with pytest.raises(BadData, match="not paths"):
        with_images(rows, "y", folder)


def test_profile_reads_a_folder_and_a_column_of_paths(folder):
    found = CliRunner().invoke(cli, ["profile", str(folder), "--json"])
    columns = {c["name"]: c for c in json.loads(found.output)["columns"]}
    assert found.exit_code == 0 and columns["width"]["maximum"] == 8
    (folder / "labels.csv").write_text("photo,y\ndark.png,0\nin/light.png,1\n")
    page = folder / "page.html"
    arguments = ["profile", str(folder / "labels.csv"), "--images", "photo", "--target", "y", "--out", str(page)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert "photo.brightness" in page.read_text()
