"""What a route is: method, path, handler, and who may call it. The dispatcher authorises by this alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.server.lanes import in_lane

Handler = Callable[[Request], Awaitable[Response]]
ReadBody = Callable[[], Awaitable[bytes]]
PlainHandler = Callable[[MutableMapping[str, Any], ReadBody], Awaitable[tuple[int, bytes]]]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is a Starlette path ("/runs/{run_id}"). `body_max_bytes` bounds the body before it is parsed. `plain` is
    the handler without request and response objects, from scope and body to status and JSON: taken where there is one.

    The dispatcher asks that the caller holds `access` in some project, or, with `everywhere` (what asks for an owner
    has it unless it says otherwise), in all of them. What a handler then may see and change in which project is judged
    where it reaches for it, in parts/access/rules.py.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    body_max_bytes: int = 8 << 20
    plain: PlainHandler | None = None
    everywhere: bool | None = None

    @property
    def needed_everywhere(self) -> bool:
        return self.access >= Access.OWN if self.everywhere is None else self.everywhere


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what blocks for a moment beside the event loop: it reads, or changes a few rows."""
    return await in_lane("read", partial(function, *args, **kwargs))


async def for_login(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for what finds out who somebody is."""
    return await in_lane("login", partial(function, *args, **kwargs))


async def uploading(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for what waits for bytes of a client."""
    return await in_lane("upload", partial(function, *args, **kwargs))


async def done(future: Future[T]) -> T:
    """The result of work in another thread, awaited without a thread of its own."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[T] = loop.create_future()

    def settle() -> None:
        if waiter.cancelled():
            return
        error = future.exception()
        if error is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(future.result())

    future.add_done_callback(lambda _: loop.call_soon_threadsafe(settle))
    return await waiter
