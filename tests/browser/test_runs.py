"""The islands of the pages of runs, in a real browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from hanok.core.clock import ReplayClock
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.server.run import bind, build
from tests.browser.chromium import Chromium, binary
from tests.unit.ui.test_runs import sweep

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(binary() is None, reason="NO CHROMIUM: the pages were not looked at; apt-get install chromium"),
]
COUNT = 220


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address of a server over 220 runs, and their ids, the newest first."""
    import uvicorn

    app = open_app(Config(home=tmp_path_factory.mktemp("home")), clock=ReplayClock(datetime(2026, 1, 1, tzinfo=UTC)))
    ids = sweep(app, COUNT)
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(build(app), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", ids
    server.should_exit = True
    thread.join(10)
    app.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    made = Chromium()
    yield made
    made.close()


def until(browser: Chromium, condition: str) -> None:
    """Wait in the page, frame by frame, until the condition holds there."""
    look = f"const look = n => ({condition}) ? done(true) : n ? requestAnimationFrame(() => look(n - 1)) : done(false)"
    script = f"new Promise(done => {{ {look}; look(600); }})"
    assert browser.evaluate(script), condition


def press(browser: Chromium, *keys: str) -> None:
    for key in keys:
        text = {"text": key} if len(key) == 1 else {"windowsVirtualKeyCode": 27}  # all others here are Escape
        browser.send("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        browser.send("Input.dispatchKeyEvent", type="keyUp", key=key)


def test_rows_far_down_come_as_one_scrolls_and_few_are_in_the_page(served, browser):
    address, ids = served
    browser.open(f"{address}/runs", width=1440)
    browser.evaluate("document.querySelector('.tall').scrollTop = 1e9")
    until(browser, f"document.querySelector('[data-id=\"{ids[-1]}\"]')")
    assert browser.evaluate("document.querySelectorAll('tr[data-id]').length") <= 150
    assert browser.evaluate("document.querySelector('.tall').scrollHeight") > COUNT * 25
    until(browser, "location.search.includes('offset=200')")
    assert browser.complaints() == []
    browser.open(f"{address}/runs?offset=150", width=1440)
    until(browser, f"document.querySelector('[data-id=\"{ids[150]}\"]')")
    seen = f"document.querySelector('[data-id=\"{ids[150]}\"]').getBoundingClientRect().top"
    frame = "document.querySelector('.tall').getBoundingClientRect().top"
    assert 0 <= browser.evaluate(f"{seen} - {frame}") <= 120


def test_ticked_rows_stay_ticked_out_of_sight_and_are_compared(served, browser):
    address, ids = served
    browser.open(f"{address}/runs", width=1440)
    browser.evaluate(f"document.querySelector('input[value=\"{ids[0]}\"]').click()")
    browser.evaluate("document.querySelector('.tall').scrollTop = 1e9")
    until(
        browser,
        f"document.querySelector('input[value=\"{ids[-1]}\"]') && !document.querySelector('tr[data-id=\"{ids[0]}\"]')",
    )
    browser.evaluate(f"document.querySelector('input[value=\"{ids[-1]}\"]').click()")
    assert browser.evaluate("location.search").count("run=") == 2
    browser.evaluate("document.querySelector('.tall').scrollTop = 0")
    until(browser, f"document.querySelector('input[value=\"{ids[0]}\"]')?.checked")
    browser.events = []
    browser.evaluate("document.querySelector('button[data-key=c]').click()")
    browser.loaded()
    assert browser.evaluate("location.pathname") == "/compare"
    assert browser.evaluate("location.search").count("runs=") == 2


def test_the_keyboard_moves_ticks_filters_and_explains_itself(served, browser):
    address, ids = served
    browser.open(f"{address}/runs", width=1440)
    press(browser, "j", "j", "k", "x")
    assert browser.evaluate("document.querySelector('tr.here').dataset.id") == ids[0]
    assert browser.evaluate("document.querySelector('tr.here input').checked") is True
    press(browser, "/")
    assert browser.evaluate("document.activeElement.name") == "q"
    press(browser, "Escape", "?")
    assert browser.evaluate("document.querySelector('dialog[open]') !== null")
    press(browser, "Escape")
    until(browser, "!document.querySelector('dialog')")
    browser.events = []
    press(browser, "g", "d")
    browser.loaded()
    assert browser.evaluate("location.pathname") == "/data"


def test_a_control_redraws_the_curves_and_the_url_follows(served, browser):
    address, ids = served
    browser.open(f"{address}/runs/{ids[0]}", width=1440)
    browser.evaluate("document.querySelector('select[name=axis]').value = 'time'")
    browser.evaluate("document.querySelector('form.swap').dispatchEvent(new Event('input', {bubbles: true}))")
    until(browser, "document.querySelector('svg.plot').dataset.axis === 'time'")
    assert "axis=time" in browser.evaluate("location.search")
    place = browser.evaluate(
        "(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector('path.curve').getBoundingClientRect())"
    )
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    until(browser, "document.querySelector('svg.plot .reading text')?.textContent.includes(' s')")


def test_dragging_over_a_plot_shows_that_part_of_it(served, browser):
    address, ids = served
    browser.open(f"{address}/runs?view=curves&run={ids[0]}&run={ids[1]}", width=1440)
    box = browser.evaluate(
        "(r => [r.x, r.y, r.width, r.height])(document.querySelector('svg.plot').getBoundingClientRect())"
    )
    across = [(box[0] + box[2] * share, box[1] + box[3] / 2) for share in (0.35, 0.5, 0.65)]
    for kind, (x, y) in zip(("mousePressed", "mouseMoved", "mouseReleased"), across, strict=True):
        browser.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    until(browser, "location.search.includes('from=')")
    until(browser, "Number(document.querySelector('svg.plot').dataset.x.split(' ')[0]) >= 2")
