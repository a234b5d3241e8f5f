"""Prediction over HTTP, without a framework on the path: read the body, score, log, answer."""

from __future__ import annotations

import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol as Protocol_

import orjson

from hanok.core.access import Access
from hanok.core.clock import wall_seconds
from hanok.core.errors import (
    Forbidden,
    HanokError,
    Invalid,
    ModelNotFound,
    NotFound,
    SignatureMismatch,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from hanok.core.json import Json
from hanok.core.records import to_body
from hanok.core.serving import Deployment, Signature
from hanok.core.version import VERSION
from hanok.parts.serving.service import Answer, Serving
from hanok.server import decoding
from hanok.server.decoding import Protocol, Request
from hanok.server.metrics import ServerMetrics
from hanok.server.scoring import FOREIGN_BYTES, INLINE_BYTES, INLINE_S, Scoring
from hanok.server.statistics import Statistics
from hanok.wire.inference import invocations, oip

BODY_MAX = 32 << 20
_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/ready|/infer|/config|/stats)?")
_REPOSITORY = re.compile(r"/v2/repository/models/([^/]+)/(load|unload)")
EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]
BINARY_HEADER = "inference-header-content-length"
PACKED_BYTES = 4 << 10  # replies from this size on are compressed for those who ask
_V1 = re.compile(r"/v1/models/([^/:]+)(:predict|:explain)?")
_JSON_TYPES = ("", "application/json", "text/json", "application/x-www-form-urlencoded", "application/octet-stream")
Header = tuple[bytes, bytes]
Reply = tuple[int, bytes, Sequence[Header]]
Read = Callable[[Callable[[int], None]], Awaitable[bytes]]  # it says how many bytes have arrived, as they arrive
Keys = Callable[[str], Sequence[Sequence[str]] | None]


def is_prediction(path: str) -> bool:
    return path.startswith(("/v2", "/v1/models")) or path in ("/invocations", "/ping")


def refused(path: str, status: int, message: str) -> bytes:
    """An error in the words of the protocol that a path belongs to."""
    if path.startswith(("/v2", "/v1")):
        return oip.error(message)
    code = "RESOURCE_DOES_NOT_EXIST" if status == 404 else "INTERNAL_ERROR" if status >= 500 else "BAD_REQUEST"
    return invocations.error(code, message)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request before its body is read."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    read: Read

    def allow(self, *methods: str) -> Reply | None:
        """The answer to another method than these: what is allowed, or a refusal."""
        if self.method in methods or (self.method == "HEAD" and "GET" in methods):
            return None
        allowed = ", ".join((*methods, *(("HEAD",) if "GET" in methods else ()), "OPTIONS"))
        header = [(b"allow", allowed.encode())]
        if self.method == "OPTIONS":
            return 200, b"", header
        message = f"{self.method[:20]} does not fit {self.path[:200]}: send {' or '.join(methods)}"
        return 405, refused(self.path, 405, message), header


@dataclass(frozen=True, slots=True)
class Target:
    """The models that may answer: their signatures, the one that speaks for them first."""

    name: str
    version: int | None
    arms: Sequence[Signature]
    primary: int
    loaded: bool
    away: bool = False  # a model of it runs in a process of its own


class Replies(Protocol_):
    """Makes the reply of a protocol; `explanations` are those of each answer where they were asked for."""

    def __call__(
        self,
        target: Target,
        request: Request,
        answers: Sequence[Answer],
        explanations: Sequence[Json] | None = None,
        /,
    ) -> Reply: ...


class Inference:
    """Answers /v2/..., /v1/models/... and /invocations. `require` raises unless the caller has an access to a model;
    `keys` gives the columns that say whose row is predicted, None where a model declares none here."""

    def __init__(
        self,
        serving: Serving,
        metrics: ServerMetrics,
        require: Callable[[str, Access], None] = lambda name, access: None,
        keys: Keys = lambda name: None,
        scoring: Scoring | None = None,
    ) -> None:
        self._serving, self._metrics, self._require, self._keys = serving, metrics, require, keys
        self.scoring = scoring or Scoring()
        self.statistics = Statistics()
        self._unloaded: set[str] = set()

    async def handle(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], read: Read
    ) -> Reply:
        asked = Asked(method, path, query, headers, read)
        reply = await self._answered(asked, path, method)
        if len(reply[1]) < PACKED_BYTES or reply[0] != 200:
            return reply
        plain, varies = reply[1], (*reply[2], (b"vary", b"accept-encoding"))
        encoding = accepted_encoding(headers.get("accept-encoding", ""))
        body = await self._packed(plain, encoding) if encoding else None
        if body is None:
            return 200, plain, varies
        return 200, body, (*varies, (b"content-encoding", encoding.encode()))

    async def _packed(self, body: bytes, encoding: str) -> bytes | None:
        """None where too many wait: these rows are scored and logged, so they are answered, as they are."""
        if len(body) <= INLINE_BYTES:
            return compressed(body, encoding)
        try:
            return await self.scoring.beside(partial(compressed, body, encoding))
        except Unavailable:
            return None

    async def _answered(self, asked: Asked, path: str, method: str) -> Reply:
        try:
            if path == "/invocations":
                return asked.allow("POST") or await self._invocations(asked)
            if path == "/ping":
                return asked.allow("GET") or (200, b"\n", ())
            if path.startswith("/v1"):
                return await self._v1(asked)
            return await self._v2(asked, path.rstrip("/"))
        except HanokError as error:
            wait = error.fields.get("retry_after_s")
            extra = [(b"retry-after", str(wait).encode())] if wait is not None else ()
            return error.status, refused(path, error.status, error.message), extra

    # -- protocols ---------------------------------------------------------------------------------------------------

    async def _v2(self, asked: Asked, path: str) -> Reply:
        if path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models"):
            if refusal := asked.allow("GET"):
                return refusal
            if path == "/v2":
                return _json({"name": "hanok", "version": VERSION, "extensions": list[Json](EXTENSIONS)})
            if path == "/v2/models":
                return _json({"models": [d.name for d in self._visible()]})
            return _json({path.rpartition("/")[2]: True})
        if path == "/v2/repository/index":
            return asked.allow("POST", "GET") or await self._index(asked)
        if repository := _REPOSITORY.fullmatch(path):
            return asked.allow("POST") or self._switch(repository[1], load=repository[2] == "load")
        if path == "/v2/models/stats":
            names = {d.name for d in self._visible()}
            return asked.allow("GET") or _json(self.statistics.told(lambda name, _: name in names))
        match = _MODEL.fullmatch(path)
        if match is None:
            raise NotFound(f"there is no {path[:200]}")
        if refusal := asked.allow("POST" if match[3] == "/infer" else "GET"):
            return refusal
        name, version = match[1], _version(match[1], match[2])
        if match[3] == "/infer":
            return await self._infer(asked, name, version)
        self._require(name, Access.READ)
        return await self.scoring.beside(partial(self._about, name, version, match[3]))

    def _about(self, name: str, version: int | None, what: str | None) -> Reply:
        self._check_loaded(name)
        loaded = self._serving.model(name, version)
        if what == "/stats":
            return _json(self.statistics.told(lambda n, v: n == name and version in (None, v)))
        if what == "/ready":
            return _json({"name": name, "ready": True})
        deployed = next(d for d in self._serving.deployments() if d.name == name)
        if what == "/config":
            return _json(oip.model_config(name, loaded.signature))
        return _json(oip.model_metadata(name, [a.version for a in deployed.arms], loaded.signature))

    async def _index(self, asked: Asked) -> Reply:
        """What is deployed, each version that answers; with `{"ready": true}` only what does."""
        body = await asked.read(lambda size: None)
        try:
            ready = bool(orjson.loads(body).get("ready")) if body.strip() else False
        except (orjson.JSONDecodeError, AttributeError):
            raise Invalid('the body is {} or {"ready": true}') from None
        rows: list[Json] = []
        for deployed in self._visible():
            out = deployed.name in self._unloaded
            state, reason = ("UNAVAILABLE", "unloaded") if out else ("READY", "")
            rows += [
                {"name": deployed.name, "version": str(arm.version), "state": state, "reason": reason}
                for arm in deployed.arms
                if not (ready and out)
            ]
        return _json(rows)

    def _switch(self, name: str, *, load: bool) -> Reply:
        """Let a deployed model answer in this process, or not, until it starts again. The deployment stays."""
        self._require(name, Access.EDIT)
        self._serving.model(name)
        if load:
            self._unloaded.discard(name)
        else:
            self._unloaded.add(name)
        return 200, b"", ()

    def _check_loaded(self, name: str) -> None:
        if name in self._unloaded:
            raise ModelNotFound(f"model {name!r} is unloaded; POST /v2/repository/models/{name}/load brings it back")

    async def _infer(self, asked: Asked, name: str, version: int | None) -> Reply:
        return await self._scored(asked, "oip", name, version, self._infer_reply)

    def _infer_reply(
        self, target: Target, request: Request, answers: Sequence[Answer], explanations: Sequence[Json] | None = None
    ) -> Reply:
        version = answers[0].version if answers else target.primary
        signature = self._answering(target, version)
        multi = signature.task == "multiclass"
        body, json_bytes = oip.encode(
            target.name,
            signature,
            request.outputs,
            request.id,
            version,
            [a.scores if multi else a.score for a in answers],
            [a.label for a in answers],
            [a.prediction_id for a in answers],
            request.binary,
            explanations,
        )
        if json_bytes is None:
            return 200, body, ()
        said = (b"content-type", b"application/octet-stream")
        return 200, body, (said, (BINARY_HEADER.encode(), str(json_bytes).encode()))

    def _answering(self, target: Target, version: int) -> Signature:
        """The signature of the version that answered, also where it was replaced since: its rows are logged."""
        if version == target.primary:
            return target.arms[0]
        return self._signature(target.name, version) or target.arms[0]

    async def _invocations(self, asked: Asked) -> Reply:
        name = asked.query.get("model") or self._only_model()
        return await self._scored(asked, "mlflow", name, None, _invocations_reply)

    async def _v1(self, asked: Asked) -> Reply:
        """KServe's first protocol: `instances` and `predictions`."""
        match = _V1.fullmatch(asked.path)
        if asked.path == "/v1/models":
            return asked.allow("GET") or _json({"models": [d.name for d in self._visible()]})
        if match is None:
            raise NotFound(f"there is no {asked.path[:200]}")
        if refusal := asked.allow("POST" if match[2] else "GET"):
            return refusal
        if match[2]:
            explain = match[2] == ":explain"
            return await self._scored(asked, "mlflow", match[1], None, _invocations_reply, explain=explain)
        self._require(match[1], Access.READ)
        self._serving.model(match[1])
        return _json({"name": match[1], "ready": True})

    # -- the way of a request ----------------------------------------------------------------------------------------

    async def _scored(
        self,
        asked: Asked,
        protocol: Protocol,
        name: str,
        version: int | None,
        reply: Replies,
        *,
        explain: bool = False,
    ) -> Reply:
        """Read, decode, predict and encode: at once when all of that is small, else beside the event loop."""
        self._require(name, Access.USE)
        self._check_loaded(name)
        content_type, encoding = _media(asked.headers, protocol)
        header = asked.headers.get(BINARY_HEADER, "") if protocol == "oip" else ""
        scoring, explain = self.scoring, explain or asked.query.get("explain", "").lower() in ("true", "1")
        with scoring.hold(
            0
        ) as held:  # what has arrived counts, whatever is announced: a silent connection holds nothing
            body = await asked.read(held.grew)
            if encoding:
                body = await scoring.beside(partial(_inflated, body))
            held.grew(len(body))
            target = self._target(name, version)
            if not target.loaded:
                target = await scoring.beside(partial(self._loaded, name, version))
            if len(body) > FOREIGN_BYTES or content_type == invocations.PARQUET:
                packed = await scoring.foreign(
                    partial(decoding.decode_packed, protocol, body, content_type, target.arms, header)
                )
                del body

                def work() -> Reply:
                    return self._finish(target, decoding.unpacked(packed), reply, explain)

                return await (scoring.apart(work) if target.away else scoring.beside(work))
            if target.away:
                return await scoring.apart(
                    lambda: self._finish(
                        target, decoding.decode(protocol, body, content_type, target.arms, header), reply, explain
                    )
                )
            if len(body) <= INLINE_BYTES:
                request = decoding.decode(protocol, body, content_type, target.arms, header)
                explain = explain or request.explain
                if not explain and scoring.costs.expected_s(name, request.rows) < INLINE_S:
                    return self._finish(target, request, reply)
                return await scoring.beside(partial(self._finish, target, request, reply, explain))
            return await scoring.beside(
                lambda: self._finish(
                    target, decoding.decode(protocol, body, content_type, target.arms, header), reply, explain
                )
            )

    def _finish(self, target: Target, request: Request, reply: Replies, explain: bool = False) -> Reply:
        name, entity = target.name, request.entity
        if entity:
            _check_keys(name, entity, self._keys(name))
        if explain or request.explain:
            self._serving.check_explainable(name, target.version, request.columns, request.rows)
        started = wall_seconds()
        try:
            answers = self.scoring.timed(
                name,
                request.rows,
                lambda: self._serving.predict(
                    name, request.columns, version=target.version, entity=entity or None, request_id=request.id
                ),
            )
        except HanokError:
            self.statistics.count(name, target.primary, request.rows, wall_seconds() - started, failed=True)
            raise
        answered_by = answers[0].version if answers else target.primary
        self.statistics.count(name, answered_by, request.rows, wall_seconds() - started)
        if answers:
            self._metrics.predictions.labels(name, str(answers[0].version)).inc(len(answers))
        if not (explain or request.explain):
            return reply(target, request, answers)
        found = self._serving.explain(name, answered_by, request.columns) if answers else []
        return reply(target, request, answers, [to_body(one) for one in found])

    def _target(self, name: str, version: int | None) -> Target:
        deployed = next((d for d in self._serving.deployments() if d.name == name), None)
        if version is not None and (deployed is None or all(a.version != version for a in deployed.arms)):
            return Target(name, version, (), version, loaded=False)
        speaks = self._serving.model(name, version)
        first, away = speaks.signature, self._away(deployed) or speaks.away
        assert deployed is not None
        if version is not None or len(deployed.arms) == 1:
            return Target(name, version, (first,), version or deployed.primary, loaded=True, away=away)
        others = [self._signature(name, a.version) for a in deployed.arms if a.version != deployed.primary]
        return Target(
            name, None, (first, *(s for s in others if s is not None)), deployed.primary, loaded=True, away=away
        )

    def _away(self, deployed: Deployment | None) -> bool:
        return deployed is not None and any(self._serving.runs_away(deployed.name, a.version) for a in deployed.arms)

    def _signature(self, name: str, version: int) -> Signature | None:
        """None for an arm whose model could not be loaded: what it takes is not known, and others answer."""
        try:
            return self._serving.model(name, version).signature
        except HanokError:
            return None

    def _loaded(self, name: str, version: int | None) -> Target:
        assert version is not None
        return Target(name, version, (self._serving.model(name, version).signature,), version, loaded=True)

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


def _json(body: Json) -> Reply:
    return 200, orjson.dumps(body), ()


def _invocations_reply(
    target: Target, request: Request, answers: Sequence[Answer], explanations: Sequence[Json] | None = None
) -> Reply:
    values: list[Json] = [a.score if a.label is None else list(a.scores) or a.score for a in answers]
    return 200, invocations.encode(values, [a.prediction_id for a in answers], explanations), ()


def _check_keys(model: str, entity: Mapping[str, object], known: Sequence[Sequence[str]] | None) -> None:
    """Refuse an entity that names the keys of no declaration in full, or something else."""
    if known is None:
        return
    keys = known[0]
    odd = [k for k in entity if not any(k in own for own in known)]
    if not odd and not any(set(own) <= set(entity) for own in known):
        odd = [k for k in keys if k not in entity]
    if odd:
        said = "is no key" if odd[0] in entity else "is missing: it is one of the keys"
        raise SignatureMismatch(
            f"parameters.entity: {odd[0][:200]!r} {said} of {model!r}, whose rows are told apart by {', '.join(keys)}"
        )


def _version(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    number = text.removeprefix("v")
    if not (number.isascii() and number.isdecimal() and len(number) <= 15):
        raise ModelNotFound(f"model {name!r} has no version {text[:40]!r}; versions are numbers")
    return int(number)


def _media(headers: Mapping[str, str], protocol: Protocol) -> tuple[str, str]:
    """(content type, content encoding or ""). Raises UnsupportedMedia before a body is read."""
    said, _, rest = headers.get("content-type", "").partition(";")
    content_type = said.strip().lower()
    parameters = (p.partition("=") for p in rest.lower().split(";"))
    charset = next((v.strip(' "') for k, _, v in parameters if k.strip() == "charset"), "utf-8")
    taken = (invocations.CSV, invocations.PARQUET) if protocol == "mlflow" else ()
    if content_type not in (*_JSON_TYPES, *taken):
        raise UnsupportedMedia(f"the body is {said[:80]!r}; send {' or '.join(('application/json', *taken))}")
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia(f"the body is in {charset[:40]!r}; send UTF-8")
    if BINARY_HEADER in headers and protocol != "oip":
        raise UnsupportedMedia("tensors as bytes are for /v2/models/NAME/infer: send JSON, CSV or Parquet here")
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise UnsupportedMedia(f"the body is encoded as {encoding[:40]!r}; send it plain, as gzip or as deflate")
    return content_type, "" if encoding == "identity" else encoding


def accepted_encoding(header: str) -> str:
    """gzip or deflate, whichever is accepted; "" for neither."""
    if not header:
        return ""
    accepted = [part.partition(";") for part in header.lower().split(",")]
    names = {name.strip() for name, _, rest in accepted if rest.replace(" ", "") not in ("q=0", "q=0.0")}
    return next((name for name in ("gzip", "deflate") if name in names), "")


def compressed(body: bytes, encoding: str) -> bytes:
    packer = zlib.compressobj(1, wbits=31 if encoding == "gzip" else 15)
    return packer.compress(body) + packer.flush()


def _inflated(body: bytes) -> bytes:
    """A gzip or zlib body, bounded. Raises Invalid, TooLarge."""
    inflater = zlib.decompressobj(wbits=47)
    try:
        found = inflater.decompress(body, BODY_MAX + 1)
    except zlib.error as error:
        raise Invalid(f"the body is not what its content-encoding says: {error}") from None
    if len(found) > BODY_MAX:
        raise TooLarge(f"the body unpacks to over {BODY_MAX} bytes, which is the most that this route takes")
    if not inflater.eof or inflater.unused_data:
        raise Invalid("the compressed body is cut off, or something follows it")
    return found
