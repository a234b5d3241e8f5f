"""The forms of the pages: each is one verb, and afterwards the browser is sent to where its effect can be seen.

That a form comes from our own page is checked with every request (`auth.py`: the Origin must be this host's).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.core.errors import Invalid
from hanok.engine.app import App
from hanok.engine.verbs import call
from hanok.server.routes import Handler, Route, in_thread

FORM_MAX_BYTES = 16 << 10
REASON_MAX = 500
Fields = Mapping[str, str]


def routes(app: App) -> list[Route]:
    forms: list[tuple[str, Callable[[App, str, str, Fields], str]]] = [
        ("/models/{name}/rollback", _roll_back),
        ("/runs/{name}/fork", _fork),
        ("/runs/{name}/move", _move),
        ("/runs/{name}/delete", _delete),
        ("/runs/{name}/restore", _restore),
    ]
    return [Route("POST", path, _handler(app, act), Access.EDIT, FORM_MAX_BYTES) for path, act in forms]


def _handler(app: App, act: Callable[[App, str, str, Fields], str]) -> Handler:
    async def handle(request: Request) -> Response:
        sent = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=16)
        fields = {name: values[-1].strip() for name, values in sent.items()}
        target = await in_thread(act, app, request.state.actor.name, request.path_params["name"], fields)
        return Response(status_code=303, headers={"location": target})

    return handle


def _roll_back(app: App, actor: str, model: str, fields: Fields) -> str:
    """What serves, or an alias or a stage, back to an earlier version."""
    reason = fields.get("reason", "")[:REASON_MAX] or "rolled back on the model's page"
    arguments = {"model": model, "to": _number(fields, "to"), "reason": reason}
    arguments |= {name: fields[name] for name in ("alias", "stage") if fields.get(name)}
    proof = _done(app, "rollback", actor, arguments)
    place = "history" if "alias" in proof or "stage" in proof else f"proof-{proof['node']}"
    return f"/models/{quote(model, safe='')}#{place}"


def _done(app: App, verb: str, actor: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a verb answers that gives one object."""
    answer = call(app, verb, actor, arguments)
    assert isinstance(answer, Mapping)
    return answer


def _fork(app: App, actor: str, run: str, fields: Fields) -> str:
    arguments: dict[str, Any] = {"run": run, "name": fields.get("name", "")[:REASON_MAX]}
    if fields.get("step"):
        arguments["step"] = _number(fields, "step")
    return f"/runs/{quote(_done(app, 'run.fork', actor, arguments)['run'], safe='')}"


def _move(app: App, actor: str, run: str, fields: Fields) -> str:
    call(app, "run.move", actor, {"runs": [run], "experiment": fields.get("experiment", "")})
    return f"/runs/{quote(run, safe='')}"


def _delete(app: App, actor: str, run: str, fields: Fields) -> str:
    call(app, "run.delete", actor, {"runs": [run]})
    return f"/runs/{quote(run, safe='')}"


def _restore(app: App, actor: str, run: str, fields: Fields) -> str:
    call(app, "run.restore", actor, {"runs": [run]})
    return f"/runs/{quote(run, safe='')}"


def _number(fields: Fields, name: str) -> int:
    text = fields.get(name, "0")
    if not text.isdecimal() or len(text) > 9:
        raise Invalid(f"{name}={text[:20]!r} is not a whole number such as 3")
    return int(text)
