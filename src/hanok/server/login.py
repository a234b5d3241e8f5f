"""The login page, the session cookie, and who one is."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import ANONYMOUS, Access, Actor, role_of
from hanok.core.errors import HanokError
from hanok.engine.app import App
from hanok.parts.access.service import SESSION_HOURS
from hanok.server.api import Json
from hanok.server.auth import COOKIE, Gatekeeper
from hanok.server.routes import Handler, Route, for_login
from hanok.ui.render import render
from hanok.ui.views.login import Login

FORM_MAX_BYTES = 16 << 10


def routes(app: App, gatekeeper: Gatekeeper) -> list[Route]:
    return [
        Route("GET", "/login", _page(app, gatekeeper), Access.PUBLIC),
        Route("POST", "/login", _log_in(app, gatekeeper), Access.PUBLIC, FORM_MAX_BYTES),
        Route("POST", "/logout", _log_out(gatekeeper), Access.READ, FORM_MAX_BYTES),
        Route("GET", "/api/v1/whoami", _who, Access.READ),
    ]


def _page(app: App, gatekeeper: Gatekeeper) -> Handler:
    async def handle(request: Request) -> Response:
        wanted = _local_path(request.query_params.get("next", "/"))
        if not gatekeeper.team:
            return Response(status_code=303, headers={"location": wanted})
        return _html(app, Login(app.clock.now(), "", wanted, ""), 200)

    return handle


def _log_in(app: App, gatekeeper: Gatekeeper) -> Handler:
    """POST of the form on the login page."""

    async def handle(request: Request) -> Response:
        gatekeeper.check_form(request.headers)
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
        user, password, wanted = (form.get(name, [""])[-1] for name in ("user", "password", "next"))
        address = request.client.host if request.client else ""
        if not user or not password:
            return _html(app, Login(app.clock.now(), user[:64], _local_path(wanted), "say user and password"), 400)
        try:
            secret = await for_login(gatekeeper.log_in, user.strip(), password, address)
        except HanokError as error:
            return _html(
                app, Login(app.clock.now(), user.strip()[:64], _local_path(wanted), error.message), error.status
            )
        secure = "; Secure" if request.url.scheme == "https" else ""
        cookie = f"{COOKIE}={secret}; Path=/; Max-Age={SESSION_HOURS * 3600}; HttpOnly; SameSite=Lax{secure}"
        return Response(status_code=303, headers={"location": _local_path(wanted), "set-cookie": cookie})

    return handle


def _log_out(gatekeeper: Gatekeeper) -> Handler:
    async def handle(request: Request) -> Response:
        await for_login(gatekeeper.log_out, request.headers)
        cookie = f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        return Response(status_code=303, headers={"location": "/login", "set-cookie": cookie})

    return handle


async def _who(request: Request) -> Response:
    actor: Actor = getattr(request.state, "actor", ANONYMOUS)
    grants = actor.grants if actor.grants is not None else {"*": actor.access}
    return Json({"user": actor.name, "token": actor.token, "roles": {p: role_of(a) for p, a in grants.items()}})


def _html(app: App, view: Login, status: int) -> Response:
    text = render("login.html", view, now=app.clock.now(), path="/login")
    return Response(text, status, headers={"cache-control": "no-store"}, media_type="text/html; charset=utf-8")


def _local_path(text: str) -> str:
    """A path of this server, whatever was asked for."""
    plain = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text
    return text if plain and text.isascii() else "/"
