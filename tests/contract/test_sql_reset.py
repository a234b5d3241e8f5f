"""Emptying the store, which conformance tests do before each test."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

from hanok.stores.sql import SqlMetadata


def test_emptying_again_and_again_keeps_no_connection(tmp_path):
    store = SqlMetadata.at(tmp_path / "hanok.db")
    gc.disable()  # a connection that only the collector would give back counts as kept
    try:
        for n in range(8):
            store.write(lambda r, n=n: r.experiments.named(str(n)))
            store.reset()
    finally:
        gc.enable()
        store.close()


def test_a_store_is_emptied_while_others_write(tmp_path):
    store, done = SqlMetadata.at(tmp_path / "hanok.db"), threading.Event()

    def write():
        while not done.is_set():
            store.write(lambda r: r.experiments.all())

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write) for _ in range(3)]
        for _ in range(10):
            store.reset()
        done.set()
    store.close()
    assert [writer.result() for writer in writers] == [None] * 3
