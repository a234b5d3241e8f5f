"""The shape of the code, counted: what is too much today may only fall."""

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "hanok"
LINES_MAX = 500
ANY_LINES = 57  # lines of engine and parts with `Any`: lower it with each that goes; the target is 109
TOO_LONG: dict[str, int] = {}


def files(*rooms):
    return [f for room in rooms or ("",) for f in sorted((SOURCE / room).rglob("*.py"))]


def lines_with_any(file):
    return [n for n, line in enumerate(file.read_text().splitlines(), 1) if re.search(r"\bAny\b", line)]


def imports():
    """module -> the modules of Hanok that it imports anywhere: late and type-only imports count."""
    found = {}
    for file in files():
        name = ".".join(("hanok", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        nodes = list(ast.walk(ast.parse(file.read_text())))
        named = {f"{n.module}.{a.name}" for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
        named |= {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        assert not [n for n in nodes if isinstance(n, ast.ImportFrom) and n.level], f"{name} has a relative import"
        found[name] = named
    modules = set(found)
    return {
        name: {d if d in modules else d.rpartition(".")[0] for d in named} & modules - {name}
        for name, named in found.items()
    }


def circles(graph):
    """Groups of modules that reach each other, by Tarjan's algorithm (Tarjan 1972, section 4), without recursion."""
    index, low, on, stack, groups = {}, {}, set(), [], []
    for root in sorted(graph):
        work = [] if root in index else [(root, iter(sorted(graph[root])))]
        while work:
            name, following = work[-1]
            if name not in index:
                index[name] = low[name] = len(index)
                stack.append(name)
                on.add(name)
            for other in following:
                if other not in index:
                    work.append((other, iter(sorted(graph[other]))))
                    break
                if other in on:
                    low[name] = min(low[name], low[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    group = stack[stack.index(name) :]
                    del stack[stack.index(name) :]
                    on -= set(group)
                    groups += [tuple(sorted(group))] if len(group) > 1 else []
    return groups


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}, "g": set()}
    assert sorted(circles(graph)) == [("a", "b", "c"), ("d", "e")]


def test_no_module_stands_in_an_import_circle():
    assert circles(imports()) == []


def test_no_file_is_longer_than_a_reader_bears():
    lengths = {str(f.relative_to(SOURCE)): len(f.read_text().splitlines()) for f in files()}
    assert {n: x for n, x in lengths.items() if x > TOO_LONG.get(n, LINES_MAX)} == {}


def test_any_only_falls_in_engine_and_parts():
    found = {str(f.relative_to(SOURCE)): len(lines_with_any(f)) for f in files("engine", "parts")}
    most = sorted(found.items(), key=lambda item: -item[1])[:10]
    assert sum(found.values()) <= ANY_LINES, f"most of it: {most}"
