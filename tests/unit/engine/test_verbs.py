"""What can be called by name: each verb says what it takes, and whatever else is sent is refused before it runs."""

import inspect
import json
import os
import typing
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.core.errors import HanokError, Invalid
from hanok.core.json import Json, JsonObject
from hanok.engine.app import App, open_app
from hanok.engine.arguments import checked
from hanok.engine.config import Config
from hanok.engine.parts import find
from hanok.engine.verbs.registry import VERBS, call, load_all
from hanok.server.run import build
from tests.unit.server.conftest import Sync

EXAMPLES = int(os.environ.get("HANOK_EXAMPLES", "4"))
load_all()
ARGUMENTS = [(v, a) for v in VERBS.values() for a in v.arguments.values()]
HUGE = 10**400
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(HUGE)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
TEXTS = st.sampled_from(["", "x", "~", "a@1", "a@999999999999999999999", "no\nsuch", "é", "../x", "2013-13", "9" * 400])


def inside(kind):
    """All types that a type is made of; JSON is a word of its own."""
    if kind in (Json, JsonObject):
        return
    yield kind
    for one in get_args(kind) if get_origin(kind) not in (Literal, Annotated) else ():
        yield from inside(one)


def fits(kind, value):
    """Whether a value is one of a type, decided apart from the code under test."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind == Json:
        return value is None or isinstance(value, str | int | float | list | dict)
    if origin is Annotated:
        return fits(inner[0], value) and inner[1].least <= value <= inner[1].most
    if origin in (Union, UnionType):
        return any(fits(k, value) for k in inner)
    if origin is Literal:
        return value in inner
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(isinstance(k, str) and fits(inner[1], v) for k, v in value.items())
    if origin is not None and issubclass(origin, Sequence):
        return isinstance(value, tuple) and all(fits(inner[0], v) for v in value)
    return isinstance(value, Path) if kind is Path else type(value) is kind


def odd(kind):
    """Values of the right type that mean little."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind == Json:
        return st.sampled_from([None, "x", 1, -2.5, [], {}, [{"a": None}]])
    if origin is Annotated:
        return odd(inner[0]) | st.sampled_from([inner[1].least, inner[1].most])
    if origin in (Union, UnionType):
        return st.one_of([odd(k) for k in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(TEXTS, odd(inner[1]), max_size=2)
    if origin is not None and issubclass(origin, Sequence):
        return st.lists(odd(inner[0]), max_size=2)
    return {
        str: TEXTS,
        int: st.sampled_from([0, 1, -1, 2**31, 2**63 - 1, -(2**63)]),
        float: st.sampled_from([0.0, -1.0, 0.5, 1e308]),
        bool: st.booleans(),
        datetime: st.sampled_from([datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), "2013-02-01"]),
        Path: TEXTS.filter(lambda t: 0 < len(t) < 255),
        type(None): st.none(),
    }.get(kind, st.nothing())


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    made = open_app(Config(home=tmp_path_factory.mktemp("verbs") / "home"))
    yield made
    made.close()


def test_no_verb_takes_the_app_or_anything_at_all():
    for verb in VERBS.values():
        kinds = {k for hint in inspect.get_annotations(verb.function, eval_str=True).values() for k in inside(hint)}
        assert not kinds & {App, typing.Any, object, dict, list}, verb.name


def test_every_verb_finds_its_parts(app):
    for verb in VERBS.values():
        assert all(find(app, kind) is not None for kind in verb.parts)


@settings(max_examples=EXAMPLES * 50, deadline=None)
@given(st.sampled_from(ARGUMENTS), ANYTHING)
def test_an_argument_is_taken_as_declared_or_refused_by_name(which, value):
    verb, argument = which
    try:
        taken = checked(f"{verb.name}: {argument.name}", argument.kind, value)
    except Invalid as error:
        assert argument.name in error.message and "must be" in error.message and len(error.message) < 500
    else:
        assert fits(argument.kind, taken)


@pytest.mark.parametrize("name", sorted(VERBS))
def test_missing_and_unknown_arguments_are_named(name):
    verb = VERBS[name]
    if not verb.takes_others:
        with pytest.raises(Invalid, match="nonsense"):
            verb.bound({"nonsense": 1})
    for argument in verb.arguments.values():
        if argument.required:
            with pytest.raises(Invalid, match=argument.name):
                verb.bound({})
            break


@pytest.mark.parametrize("name", sorted(VERBS))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_values_that_mean_little_are_errors_of_the_caller(app, name, data, tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "inner")
    verb = VERBS[name]
    given_ = {a.name: data.draw(odd(a.kind)) for a in verb.arguments.values() if a.required or data.draw(st.booleans())}
    try:
        answer = call(app, name, "local", given_)
    except HanokError as error:
        assert 400 <= error.status < 500 and error.message
    else:
        json.dumps(answer, default=str)


@pytest.mark.parametrize("since", ["9w", "0001-01-01T00:00+20:00"])
def test_a_time_that_leaves_the_calendar_is_the_callers(app, since):
    with pytest.raises(Invalid, match="before year 1"):
        call(app, "replay", "local", {"model": "m", "version": 1, "since": since, "until": "0001-01-02"})


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (int, True, None),
        (int, 10**400, None),
        (float, 3, 3.0),
        (float, float("nan"), None),
        (str, "a\x00b", None),
        (str, "\ud800", None),
        (datetime, "2013-12-31", datetime(2013, 12, 31, tzinfo=UTC)),
        (datetime, "2013-12-31T01:00+01:00", datetime(2013, 12, 31, tzinfo=UTC)),
        (datetime, "0001-01-01T00:00+10:00", None),
        (datetime | None, "", None),
        (Sequence[str], "abc", None),
        (Sequence[str], ["a", 1], None),
        (Mapping[str, str], {"a": 1}, None),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
    ],
)
def test_what_a_type_takes(kind, value, wanted):
    if wanted is None and kind != datetime | None:
        with pytest.raises(Invalid):
            checked("it", kind, value)
    else:
        assert checked("it", kind, value) == wanted


def test_a_nested_fault_is_named_by_its_place():
    with pytest.raises(Invalid, match=r"entity\['k'\]\[1\] is true; it must be text"):
        checked("entity", Mapping[str, Sequence[str]], {"k": ["a", True]})


def test_wrong_arguments_are_refused_over_http_too(app):
    wrong = [None, True, -1.5, 10**18, "2013-13-45", [[]], {"a": {"b": [1]}}]
    with httpx.Client(transport=Sync(build(app)), base_url="http://127.0.0.1") as client:
        for verb, argument in ARGUMENTS:
            path = f"/api/v1/{verb.name.replace('.', '/')}"
            for value in wrong:
                try:
                    checked("it", argument.kind, value)
                except Invalid:
                    reply = client.post(path, json={argument.name: value})
                    assert reply.status_code == 400, (verb.name, argument.name, value, reply.text)
        assert client.post("/api/v1/train", content=b'{"model": 1' + b"0" * 400 + b"}").status_code == 400
        assert client.post("/api/v1/train", content=b"[" * 5000).status_code == 400
