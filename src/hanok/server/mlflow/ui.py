"""MLflow's own web UI over Hanok: the built pages of an installed `mlflow` package, served as they are at /mlflow/.

The pages ask for `ajax-api/...`, `graphql` and artifacts relative to where they lie, so those routes answer there too.
"""

from __future__ import annotations

import importlib.util
import mimetypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hanok.core.access import Access
from hanok.core.errors import ConfigError, NotFound
from hanok.server.files import FileResponse
from hanok.server.routes import Handler, Route, in_thread

AT = "/mlflow"
INSTALLED = "installed"
_BUILD = "server/js/build"
_TWINS = ("/ajax-api/", "/graphql", "/get-artifact", "/model-versions/get-artifact", "/version", "/health")
# The pages make styles and images at run time, run workers, and show previews in frames without rights.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; "
    "frame-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


def build_folder(place: str) -> Path:
    """Where the built pages are: `place` is "installed" (the mlflow package beside Hanok), or the path of a build
    folder, of an mlflow package, or of an environment that holds one. Raises ConfigError."""
    for folder in _candidates(place):
        if (folder / "index.html").is_file():
            return folder.resolve()
    raise ConfigError(
        f"no MLflow web UI is found at {place!r}: give the path of an environment with 'mlflow' installed "
        "(mlflow-skinny has no pages), or of its mlflow/server/js/build"
    )


def routes(folder: Path, others: Sequence[Route]) -> list[Route]:
    """The pages, and twins below them of those of the `others` that the pages ask for."""
    known = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    page = _file(known, lambda _: "index.html")
    static = _file(known, lambda request: request.path_params["path"])
    return [
        Route("GET", AT, _to_the_page, Access.READ),
        Route("GET", f"{AT}/", page, Access.READ),
        Route("GET", f"{AT}/static-files/{{path:path}}", static, Access.READ),
        *(replace(route, path=AT + route.path) for route in others if route.path.startswith(_TWINS)),
    ]


def _candidates(place: str) -> Iterator[Path]:
    if place == INSTALLED:
        found = importlib.util.find_spec("mlflow")
        homes = found.submodule_search_locations if found else None
        yield from (Path(home) / _BUILD for home in homes or ())
        return
    given = Path(place).expanduser()
    yield from (given, given / _BUILD, given / "mlflow" / _BUILD)
    yield from sorted(given.glob(f"lib/python*/site-packages/mlflow/{_BUILD}"))


def _files(folder: Path) -> Iterator[Path]:
    """Only these names are ever served, so no path of a request reaches the disk."""
    return (path for path in folder.rglob("*") if path.is_file() and path.resolve().is_relative_to(folder))


def _file(known: dict[str, Path], name_of: Callable[[Request], str]) -> Handler:
    def answer(name: str, request: Request) -> Response:
        path = known.get(name)
        if path is None:
            raise NotFound(f"MLflow's web UI has no file {name[:200]!r}")
        about = path.stat()
        headers = {
            "Content-Type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            "Content-Security-Policy": _POLICY,
            "X-Frame-Options": "SAMEORIGIN",
            "Cache-Control": "no-cache" if name == "index.html" else "public, max-age=31536000, immutable",
        }
        etag = f"{about.st_mtime_ns:x}-{about.st_size:x}"
        return FileResponse(path.open("rb"), about.st_size, etag=etag, headers=headers, asked=request.headers)

    async def handle(request: Request) -> Response:
        return await in_thread(answer, name_of(request), request)

    return handle


async def _to_the_page(request: Request) -> Response:
    return RedirectResponse(f"{AT}/", 308)
