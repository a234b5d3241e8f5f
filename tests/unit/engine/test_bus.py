"""The bus: each reaction sees each event once and in order, however many threads drain at once."""

import threading
import time
from datetime import UTC, datetime

import pytest

from hanok.core.lineage import Event
from hanok.engine.bus import Bus
from hanok.stores.sql import SqlMetadata

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def metadata(tmp_path):
    return SqlMetadata.at(tmp_path / "home.db")


def happen(metadata, first, count):
    metadata.write(lambda r: [r.outbox.append(Event("came", str(n), NOW)) for n in range(first, first + count)])


def test_threads_that_drain_at_once_hand_each_event_to_each_reaction_once(metadata):
    bus, seen = Bus(metadata), {"fast": [], "slow": []}

    def react(name, rest):
        def work(event):
            time.sleep(rest)
            seen[name].append(event.subject)

        return work

    bus.on("fast", {"came"}, react("fast", 0))
    bus.on("slow", {"came"}, react("slow", 0.002))
    start, counts = threading.Barrier(6), []

    def drain(number):
        start.wait()
        happen(metadata, number * 10, 10)
        counts.append(bus.drain())

    threads = [threading.Thread(target=drain, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got in seen.values():
        assert len(got) == 60 and set(got) == {str(n) for n in range(60)}
    assert seen["fast"] == seen["slow"]
    assert sum(counts) >= 120 and bus.drain() == 0


def test_events_of_a_caller_are_done_when_his_drain_returns(metadata):
    """Whoever runs the drain: a caller that comes while another drains waits for his own events."""
    bus, entered, go, seen = Bus(metadata), threading.Event(), threading.Event(), []

    def react(event):
        entered.set()
        assert go.wait(30)
        seen.append(event.subject)

    bus.on("one", {"came"}, react)
    happen(metadata, 0, 1)
    first = threading.Thread(target=bus.drain)
    first.start()
    assert entered.wait(30)
    happen(metadata, 1, 1)
    done = []
    second = threading.Thread(target=lambda: (bus.drain(), done.append(list(seen))))
    second.start()
    assert not done
    go.set()
    first.join()
    second.join()
    assert done == [["0", "1"]]


def test_a_reaction_that_drains_does_not_wait_for_itself(metadata):
    bus, seen = Bus(metadata), []
    bus.on("one", {"came"}, lambda event: seen.append((event.subject, bus.drain())))
    happen(metadata, 0, 3)
    bus.drain()
    assert seen == [("0", 0), ("1", 0), ("2", 0)]


def test_what_fails_lets_the_next_drain_go_on(metadata):
    bus, seen = Bus(metadata), []

    def react(event):
        if not seen:
            seen.append("failed")
            raise OSError("the disk is gone")
        seen.append(event.subject)

    bus.on("one", {"came"}, react)
    happen(metadata, 0, 2)
    with pytest.raises(OSError, match="disk"):
        bus.drain()
    assert bus.drain() == 2 and seen == ["failed", "0", "1"]


def test_a_cursor_never_goes_back_when_two_processes_drain(metadata):
    """One read its events before the other had done them and more."""
    metadata.write(lambda r: r.outbox.advance("slow", 7))
    metadata.write(lambda r: r.outbox.advance("slow", 3))
    assert metadata.read(lambda r: r.outbox.cursor("slow")) == 7
    metadata.write(lambda r: r.outbox.advance("slow", 9))
    assert metadata.read(lambda r: r.outbox.cursor("slow")) == 9


def test_an_event_that_was_given_up_is_shown_and_done_once_it_is_replayed(metadata):
    bus, broken, seen = Bus(metadata), [True], []

    def react(event):
        if broken and event.subject == "1":
            raise OSError("no room")
        seen.append(event.subject)

    bus.on("copy", {"came"}, react)
    happen(metadata, 0, 3)
    for _ in range(2):
        with pytest.raises(OSError, match="no room"):
            bus.drain()
    bus.drain()
    assert seen == ["0", "2"]
    (aside,) = bus.set_aside()
    assert (aside.reaction, aside.event, aside.subject, aside.error) == ("copy", "came", "1", "OSError: no room")
    with pytest.raises(OSError, match="no room"):
        bus.replay(aside)
    assert len(bus.set_aside()) == 1
    broken.clear()
    bus.replay(aside)
    assert seen == ["0", "2", "1"]
    assert bus.set_aside() == []
