"""What a route is: method, path, handler, and who may call it. The dispatcher authorises by this alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access

Handler = Callable[[Request], Awaitable[Response]]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is a Starlette path ("/runs/{run_id}"). `body_max_bytes` bounds the body before it is parsed."""

    method: str
    path: str
    handler: Handler
    access: Access
    body_max_bytes: int = 8 << 20


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking verb beside the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)
