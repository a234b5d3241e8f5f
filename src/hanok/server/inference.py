"""Prediction over HTTP, without a framework on the path: read the body, score, log, answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from hanok.core.access import Access
from hanok.core.errors import Forbidden, HanokError, Invalid, ModelNotFound, NotFound
from hanok.core.serving import Deployment
from hanok.core.version import VERSION
from hanok.parts.serving.service import Answer, Serving
from hanok.server.metrics import ServerMetrics
from hanok.wire.inference import invocations, oip

_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/ready|/infer)?")
Reply = tuple[int, bytes]
Read = Callable[[], Awaitable[bytes]]


class Inference:
    """Answers /v2/... and /invocations. `handle` gives None for paths that are not its own. `require` raises unless the
    caller has an access to a model."""

    def __init__(
        self,
        serving: Serving,
        metrics: ServerMetrics,
        require: Callable[[str, Access], None] = lambda name, access: None,
    ) -> None:
        self._serving, self._metrics, self._require = serving, metrics, require

    async def handle(self, method: str, path: str, query: Mapping[str, str], read: Read) -> Reply | None:
        if path in ("/invocations", "/ping"):
            return await self._invocations(method, path, query, read)
        if not path.startswith("/v2"):
            return None
        try:
            return await self._oip(method, path.rstrip("/"), read)
        except HanokError as error:
            return error.status, oip.error(error.message)

    async def _oip(self, method: str, path: str, read: Read) -> Reply:
        if path == "/v2":
            body = {"name": "hanok", "version": VERSION, "extensions": []}
            return 200, orjson.dumps(body)
        if path in ("/v2/health/live", "/v2/health/ready"):
            return 200, orjson.dumps({path.rpartition("/")[2]: True})
        if path == "/v2/repository/index":
            rows = [
                {"name": d.name, "version": str(d.primary), "state": "READY", "reason": ""} for d in self._visible()
            ]
            return 200, orjson.dumps(rows)
        match = _MODEL.fullmatch(path)
        if match is None:
            return 404, oip.error(f"there is no {path}")
        name, version = match[1], _version(match[1], match[2])
        self._require(name, Access.READ if method == "GET" else Access.USE)
        loaded = self._serving.model(name, version)
        if match[3] == "/ready":
            return 200, orjson.dumps({"name": name, "ready": True})
        if match[3] is None:
            deployed = next(d for d in self._serving.deployments() if d.name == name)
            return 200, orjson.dumps(oip.model_metadata(name, [a.version for a in deployed.arms], loaded.signature))
        if method != "POST":
            return 405, oip.error("inference is POST")
        request = oip.decode(await read(), loaded.signature)
        answers = self._answer(name, request.columns, version, request.entity, request.id)
        multi = loaded.signature.task == "multiclass"
        return 200, oip.encode(
            name,
            loaded.signature,
            request,
            answers[0].version if answers else loaded_version(self._serving, name, version),
            [a.scores if multi else a.score for a in answers],
            [a.label for a in answers],
            [a.prediction_id for a in answers],
        )

    async def _invocations(self, method: str, path: str, query: Mapping[str, str], read: Read) -> Reply:
        if path == "/ping":
            return 200, b"\n"
        if method != "POST":
            return 405, invocations.error("BAD_REQUEST", "/invocations is POST")
        try:
            name = query.get("model") or self._only_model()
            self._require(name, Access.USE)
            signature = self._serving.model(name).signature
            columns = invocations.checked(invocations.decode(await read(), signature), signature)
            answers = self._answer(name, columns, None, None, "")
        except HanokError as error:
            code = "RESOURCE_DOES_NOT_EXIST" if error.status == 404 else "BAD_REQUEST"
            return error.status, invocations.error(code, error.message)
        values = [a.score if a.label is None else list(a.scores) or a.score for a in answers]
        return 200, invocations.encode(values, [a.prediction_id for a in answers])

    def _answer(
        self,
        name: str,
        columns: Mapping[str, Any],
        version: int | None,
        entity: Mapping[str, Any] | None,
        request_id: str,
    ) -> list[Answer]:
        answers = self._serving.predict(name, columns, version=version, entity=entity, request_id=request_id)
        if answers:
            self._metrics.predictions.labels(name, str(answers[0].version)).inc(len(answers))
        return answers

    def _visible(self) -> list[Deployment]:
        return [d for d in self._serving.deployments() if self._may_read(d.name)]

    def _may_read(self, name: str) -> bool:
        try:
            self._require(name, Access.READ)
        except (NotFound, Forbidden):
            return False
        return True

    def _only_model(self) -> str:
        names = [d.name for d in self._visible()]
        if len(names) == 1:
            return names[0]
        if not names:
            raise ModelNotFound("no model is deployed; see 'hanok deploy --help'")
        raise Invalid(f"several models are deployed ({', '.join(names)}): say which with /invocations?model=NAME")


def loaded_version(serving: Serving, name: str, version: int | None) -> int:
    return version or next(d.primary for d in serving.deployments() if d.name == name)


def _version(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    number = text.removeprefix("v")
    if not number.isdigit():
        raise ModelNotFound(f"model {name!r} has no version {text[:40]!r}; versions are numbers")
    return int(number)
