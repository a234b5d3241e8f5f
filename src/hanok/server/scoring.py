"""Where a prediction is computed: at once when it is small, else in a few threads, with a bound on what waits.

Bodies of megabytes are decoded in a process of their own, because a decoder holds the interpreter's lock from the first
byte to the last and nothing else would be answered meanwhile.
"""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

from hanok.core.errors import Unavailable
from hanok.server.decoding import start_worker

T = TypeVar("T")
INLINE_BYTES = 32 << 10  # decoding these takes less than a change of threads
FOREIGN_BYTES = 512 << 10  # decoding these would be felt by others
INLINE_S = 0.005
FORGETS = 1.02  # a model that became slow is seen as such within some dozens of calls
THREADS = 2
APART_THREADS = 8
WAITING_MAX = 64
HELD_BYTES = 256 << 20
RETRY_AFTER_S = 1
WORKER_TASKS = 200  # then a fresh process once none is read, so that memory of large bodies returns
FOREIGN_S = 120.0


class Costs:
    """How quick each model was of late, so that a slow one is not called where requests are read. The least of the last
    calls counts: on a busy machine most calls take longer than their own work."""

    def __init__(self) -> None:
        self._call: dict[str, float] = {}
        self._row: dict[str, float] = {}

    def expected_s(self, model: str, rows: int) -> float:
        """A model that nobody has called yet is taken for a slow one."""
        call = self._call.get(model)
        if call is None:
            return float("inf")
        return call + self._row.get(model, call) * (rows - 1)

    def took(self, model: str, rows: int, seconds: float) -> None:
        if rows == 1:
            self._call[model] = min(seconds, FORGETS * self._call.get(model, seconds))
        elif rows > 1:
            self._row[model] = min(seconds / rows, FORGETS * self._row.get(model, seconds))
            self._call.setdefault(model, seconds)


class Scoring:
    """Runs what one request asks for. Bodies held at once and requests that wait have a bound: beyond it the answer is
    503 with the time after which to try again."""

    def __init__(self, *, threads: int = THREADS, waiting_max: int = WAITING_MAX, held_bytes: int = HELD_BYTES) -> None:
        self.costs = Costs()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hanok-scoring")
        self._apart, self._apart_inside = ThreadPoolExecutor(APART_THREADS, thread_name_prefix="hanok-apart"), 0
        self._foreign: ProcessPoolExecutor | None = None
        self._reading = self._read = 0  # large bodies in the other process now, and since it started
        self._places, self._inside = threads + waiting_max, 0
        self._held_max, self._held = held_bytes, 0

    # -- bounds ------------------------------------------------------------------------------------------------------

    def hold(self, size: int) -> Held:
        """Room for a body, to be entered before it is read; it grows as it arrives.

        Raises Unavailable when too much is held already.
        """
        return Held(self, size)

    def take(self, size: int, own: int = 0) -> None:
        """Room for `size` bytes more of a body that holds `own`. One body alone is always let in."""
        if self._held > own and self._held + size > self._held_max:
            raise _full(f"bodies of {self._held >> 20} MB are being answered")
        self._held += size

    def give_back(self, size: int) -> None:
        self._held -= size

    # -- running -----------------------------------------------------------------------------------------------------

    async def beside(self, work: Callable[[], T]) -> T:
        """The result of work in another thread, on behalf of the same caller. Raises Unavailable when too many wait."""
        if self._inside >= self._places:
            raise _full(f"{self._inside} requests wait")
        self._inside += 1
        try:
            context = contextvars.copy_context()
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(context.run, work))
        finally:
            self._inside -= 1

    async def apart(self, work: Callable[[], T]) -> T:
        """As `beside`, for work that waits for a process which may hang: it holds up nothing but its kind."""
        if self._apart_inside >= APART_THREADS * 2:
            raise _full(f"{self._apart_inside} requests wait for models in processes of their own")
        self._apart_inside += 1
        try:
            context = contextvars.copy_context()
            return await asyncio.get_running_loop().run_in_executor(self._apart, partial(context.run, work))
        finally:
            self._apart_inside -= 1

    async def foreign(self, work: Callable[[], T]) -> T:
        """The result of picklable work in another process. Raises Unavailable when too many wait or it died."""
        if self._inside >= self._places:
            raise _full(f"{self._inside} requests wait")
        self._inside += 1
        if self._foreign is None:
            self._foreign, self._reading, self._read = _decoders(), 0, 0
        pool = self._foreign
        self._reading += 1
        try:
            future = pool.submit(work)
            return await asyncio.wait_for(asyncio.wrap_future(future), FOREIGN_S)
        except (BrokenProcessPool, TimeoutError) as error:
            if isinstance(error, BrokenProcessPool):
                self._replace(pool)
                why = "ended"
            else:
                if not future.cancelled():  # it does not only wait for others
                    self._replace(pool)
                why = f"had not read this one after {FOREIGN_S:.0f} s"
            raise Unavailable(
                f"the process that reads large bodies {why}; send the request again, or in smaller parts",
                retry_after_s=RETRY_AFTER_S,
            ) from None
        finally:
            self._inside -= 1
            if pool is self._foreign:
                self._reading, self._read = self._reading - 1, self._read + 1
                if not self._reading and self._read >= WORKER_TASKS:
                    self._replace(pool)

    def _replace(self, pool: ProcessPoolExecutor) -> None:
        """The next large body starts a process; this one ends, and what waits for it is refused."""
        if pool is self._foreign:
            self._foreign = None
        for process in list((pool._processes or {}).values()):  # a process that hangs ends by no other way
            process.terminate()
        pool.shutdown(wait=False)

    def timed(self, model: str, rows: int, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        self.costs.took(model, rows, time.perf_counter() - started)
        return result

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._apart.shutdown(wait=False, cancel_futures=True)
        if self._foreign is not None:
            self._replace(self._foreign)


class Held:
    """`size` bytes of body while the block runs; `grew` says how many have arrived by now."""

    __slots__ = ("_scoring", "_size")

    def __init__(self, scoring: Scoring, size: int) -> None:
        self._scoring, self._size = scoring, size

    def __enter__(self) -> Held:
        self._scoring.take(self._size)
        return self

    def grew(self, size: int) -> None:
        if size > self._size:
            self._scoring.take(size - self._size, self._size)
            self._size = size

    def __exit__(self, *_: object) -> None:
        self._scoring.give_back(self._size)


def _decoders() -> ProcessPoolExecutor:
    """One process. It is spawned, never forked after threads."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, initializer=start_worker)


def _full(why: str) -> Unavailable:
    return Unavailable(
        f"the server is busy: {why}; try again, or predict in bulk with 'hanok predict'", retry_after_s=RETRY_AFTER_S
    )
