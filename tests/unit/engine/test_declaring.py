"""`hanok apply` says what changes: by opening the home it changes nothing, and a second time there is nothing left."""

import pytest

import hanok as hk
from hanok.core.applied import Change
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.project import load_project
from tests.loop.run import PROJECT

FILE = """
import hanok as hk

price = hk.FeatureView("price", keys="product", ttl="{ttl}", features=["amount"], source=hk.Source("p", event_time="t"))
"""
MORE = 'size = hk.FeatureView("size", keys="product", features=["cm"], source=hk.Source("s", event_time="t"))\n'


@pytest.fixture
def told(tmp_path):
    """What `hanok apply` answers for a project file of this text."""

    def apply(text, **arguments):
        (tmp_path / "project.py").write_text(text)
        with hk.open(tmp_path / "home", project=tmp_path / "project.py", apply=False) as client:
            return [(c["name"], c["change"], c["fields"]) for c in client.call("apply", **arguments)]

    return apply


def test_new_changed_unchanged_and_removed_are_told_apart(told):
    first = FILE.format(ttl="1d") + MORE
    assert told(first, dry_run=True) == [("price", "new", []), ("size", "new", [])]
    assert told(first) == [("price", "new", []), ("size", "new", [])]
    assert told(first) == [("price", "unchanged", []), ("size", "unchanged", [])]
    assert told(FILE.format(ttl="2d")) == [("price", "changed", ["ttl"]), ("size", "removed", [])]
    assert told(FILE.format(ttl="2d")) == [("price", "unchanged", [])]


def test_a_home_opened_for_anything_else_applies_its_project(told, tmp_path):
    told(FILE.format(ttl="1d"))
    app = open_app(Config(home=tmp_path / "home"))
    assert [v.name for v in app.features.views()] == ["price"]
    app.close()


def test_a_view_that_a_live_version_reads_is_kept_and_says_for_whom(shop, tmp_path):
    assert not any(c.change == "kept" for c in shop.declaring.plan(load_project(PROJECT)))
    (tmp_path / "longer.py").write_text(PROJECT.read_text().replace('ttl="30d"', 'ttl="60d"'))
    lines = {(c.name, c.change): c for c in shop.declaring.plan(load_project(tmp_path / "longer.py"))}
    assert lines["price", "changed"].fields == ("ttl",)
    version = shop.serving.deployment("returns").primary
    assert f"version {version} of returns" in lines["price", "kept"].why
    assert lines["product", "unchanged"] == Change("feature_view", "product", "unchanged")
