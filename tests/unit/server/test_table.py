"""The table of routes finds what trying one after the other would find."""

import random

from starlette.routing import Match
from starlette.routing import Route as StarletteRoute

from hanok.core.access import Access
from hanok.server.routes import Route
from hanok.server.table import RouteTable


async def handler(_):
    raise NotImplementedError


def a_route(method, path):
    return Route(method, path, handler, Access.READ)


ROUTES = [
    a_route("GET", "/"),
    a_route("GET", "/models/{name}"),
    a_route("GET", "/models/search"),  # hidden by the one above
    a_route("POST", "/models/search"),
    a_route("DELETE", "/models/{name}"),
    a_route("GET", "/models/{name}/versions/{version:int}"),
    a_route("GET", "/files/{path:path}"),
    a_route("PUT", "/files/{path:path}"),
    a_route("GET", "/m{rest}"),
    a_route("GET", "/{rest:path}"),
]


def one_after_the_other(method, path):
    scope = {"type": "http", "method": method, "path": path}
    for route in ROUTES:
        match, child = StarletteRoute(route.path, handler, methods=[route.method]).matches(scope)
        if match is Match.FULL:
            return route, child["path_params"]
    return None


def test_the_first_route_that_fits_wins():
    table, rng = RouteTable(ROUTES), random.Random(1)
    words = ["models", "search", "files", "versions", "3", "x", "", "m", "mm", "..", "a%2Fb"]
    for _ in range(3000):
        path = "/" + "/".join(rng.choice(words) for _ in range(rng.randrange(5)))
        method = rng.choice(["GET", "HEAD", "POST", "PUT", "DELETE"])
        found, expected = table.find(method, path), one_after_the_other(method, path)
        assert (found is None) == (expected is None), (method, path)
        if found and expected:
            assert (found[0], dict(found[1])) == (expected[0], expected[1]), (method, path)


def test_a_known_path_with_another_method_is_known():
    table = RouteTable(ROUTES[:-1])
    assert table.find("PATCH", "/models/x") is None and table.knows("/models/x")
    assert table.find("PATCH", "/models/search") is None and table.knows("/models/search")
    assert not table.knows("/nothing/here")
