"""The script of the pages is what its sources say, and small."""

import gzip
import hashlib
from pathlib import Path

from hanok.ui.render import assets

SOURCES = Path(__file__).parents[3] / "web" / "src"


def test_the_shipped_script_was_built_from_the_sources_that_are_here():
    hashed = hashlib.sha256()
    for source in sorted(SOURCES.iterdir()):
        hashed.update(source.name.encode() + b"\0" + source.read_bytes())
    built = assets()["hanok.js"].content.decode()
    assert built.startswith(f"/* built from web/src, sha256 {hashed.hexdigest()} */"), "cd web && npm run build"


def test_the_script_is_small_and_reaches_no_other_host():
    built = assets()["hanok.js"].content
    assert len(gzip.compress(built)) < 10_000
    assert b"https://" not in built and b"eval(" not in built
