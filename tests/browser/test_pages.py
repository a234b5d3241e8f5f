"""Pages in a real browser: no complaint, no other host, no sideways scrolling, readable without script."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hanok.core.clock import ReplayClock
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.server.run import bind, build
from tests.browser.chromium import Chromium, binary
from tests.unit.ui.test_pages import LISTS, filled

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(binary() is None, reason="NO CHROMIUM: the pages were not looked at; apt-get install chromium"),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address of a server over a filled home, and its paths."""
    import uvicorn

    app = open_app(Config(home=tmp_path_factory.mktemp("home")), clock=ReplayClock(datetime(2013, 3, 1, tzinfo=UTC)))
    ids = filled(app)
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(build(app), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    paths = [
        *LISTS,
        "/models/m",
        f"/runs/{ids['a']}",
        f"/lineage/{ids['version']}",
        f"/alerts/{ids['alert']}",
        "/compare?model=m&versions=1,2",
        f"/compare?runs={ids['a']},{ids['b']}",
        "/runs?view=settings",
        "/runs?view=groups",
    ]
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", paths
    server.should_exit = True
    thread.join(10)
    app.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    made = Chromium()
    yield made
    made.close()


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1440, True), (390, False), (390, True)])
def test_pages_are_quiet_local_and_fit(pages: tuple[str, list[str]], browser: Chromium, width: int, dark: bool) -> None:
    address, paths = pages
    for path in paths:
        browser.open(address + path, width=width, dark=dark)
        assert browser.complaints() == [], path
        assert {urlsplit(u).netloc for u in browser.requested()} == {urlsplit(address).netloc}, path
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, path
        assert browser.evaluate("document.querySelectorAll('h1').length") == 1, path


def test_the_first_key_leads_to_the_page_and_all_pictures_have_names(
    pages: tuple[str, list[str]], browser: Chromium
) -> None:
    address, paths = pages
    for path in paths:
        browser.open(address + path, width=1440)
        browser.send("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        assert browser.evaluate("document.activeElement.className") == "skip", path
        nameless = (
            "[...document.querySelectorAll('svg[role=img]')].filter(s => !s.querySelector('title')?.textContent).length"
        )
        assert browser.evaluate(nameless) == 0, path


def test_pictures_can_be_taken(pages: tuple[str, list[str]], browser: Chromium, tmp_path: Path) -> None:
    browser.open(pages[0], width=390)
    browser.screenshot(tmp_path / "today.png")
    assert (tmp_path / "today.png").stat().st_size > 5000
