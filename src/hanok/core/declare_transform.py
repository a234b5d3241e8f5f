"""`hk.transform`: one pure function over columns, the same in training, in batches and for one row."""

from __future__ import annotations

import ast
import dis
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from hanok.core import wording
from hanok.core.errors import DeclarationError
from hanok.core.wording import give

RETURNS = ("number", "integer", "boolean", "text")
PLAIN = (str, int, float, bool, type(None))
_NOT_KEPT = (
    "its code is not kept with the versions that are trained, so they would answer otherwise once that file changes; "
    "put what it needs into the function, or install it as a package"
)


@dataclass(frozen=True, slots=True, init=False)
class Transform:
    """A function of columns, kept as its own text, so that a version answers by the code that it was trained with.

    It gets an Arrow array for each of `inputs`, which are features of views ("weather__temp") or columns of the spine,
    and gives an array of the same length for each of `returns`. Every row must depend on itself alone. The text may use
    modules that its file imports (`modules`) and plain constants of its file (`constants`), and nothing else of it. A
    module is one that is installed: those of the project's folder are not kept with the version.
    """

    name: str
    inputs: tuple[str, ...]
    returns: tuple[tuple[str, str], ...]
    source: str
    modules: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, str], ...]

    def __init__(self, function: Callable[..., Any], inputs: Sequence[str], returns: str | Mapping[str, str]) -> None:
        called = getattr(function, "__name__", "")
        if not called.isidentifier():
            raise DeclarationError(f"transform {called or type(function).__name__!r} is no function written with def")
        name = wording.name("transform name", "transform", called)
        title = f"transform {name!r}"
        give(self, "name", name)
        give(self, "inputs", wording.names(f"{title} inputs", inputs, alone=True))
        if not self.inputs:
            raise DeclarationError(f"{title} has no inputs; name columns, like inputs=['weather__temp', 'distance']")
        given = {name: returns} if isinstance(returns, str) else dict(returns)
        for column, kind in given.items():
            wording.one_of(f"{title} returns[{column!r}]", kind, RETURNS)
        named = given if isinstance(returns, str) else {f"{name}__{c}": k for c, k in given.items()}
        give(self, "returns", tuple(named.items()))
        tree, text = _text(title, function)
        wanted = len(tree.args.posonlyargs) + len(tree.args.args)
        if wanted != len(self.inputs) or tree.args.vararg or tree.args.kwonlyargs or tree.args.kwarg:
            raise DeclarationError(
                f"{title} has {len(self.inputs)} inputs, and its function takes {wanted} positional arguments: one each"
            )
        modules, constants = _used(title, function)
        _installed(title, function, [*modules.values(), *_imported(title, tree)])
        give(self, "source", text)
        give(self, "modules", tuple(sorted(modules.items())))
        give(self, "constants", tuple(sorted(constants.items())))

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature columns that it adds."""
        return tuple(name for name, _ in self.returns)


def transform(
    *, inputs: str | Sequence[str], returns: str | Mapping[str, str] = "number"
) -> Callable[[Callable[..., Any]], Transform]:
    """Decorator: a function of Arrow arrays, one for each of `inputs`, becomes a feature of its name.

    `returns` is number, integer, boolean or text, or a dict of several: `{"hot": "boolean", "c": "number"}` gives the
    features `name__hot` and `name__c`, and the function returns a dict of arrays. Raises DeclarationError.
    """

    def made(function: Callable[..., Any]) -> Transform:
        given = [inputs] if isinstance(inputs, str) else inputs
        return Transform(function, given, returns)

    return made


def _text(title: str, function: Callable[..., Any]) -> tuple[ast.FunctionDef, str]:
    """The function and its text, without decorators and comments."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        raise DeclarationError(
            f"{title}: the text of its function is in no file; write it with def in a file"
        ) from None
    found = tree.body[0]
    if not isinstance(found, ast.FunctionDef):
        raise DeclarationError(f"{title} is no function that is written with def")
    found.decorator_list = []
    return found, ast.unparse(found)


def _used(title: str, function: Callable[..., Any]) -> tuple[dict[str, str], dict[str, str]]:
    """What the function takes from its file: modules by their names, and constants as text."""
    if function.__closure__:
        raise DeclarationError(f"{title} uses variables of the function around it; write it at the top of its file")
    modules, constants = dict[str, str](), dict[str, str]()
    for name in sorted(_globals(function.__code__)):
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        if isinstance(value, ModuleType):
            modules[name] = value.__name__
        elif isinstance(value, PLAIN):
            constants[name] = repr(value)
        else:
            raise DeclarationError(
                f"{title} uses {name!r} of its file, which is a {type(value).__name__}: it may use modules and plain "
                "constants, so that the same code runs wherever the model does; put what it needs into the function"
            )
    return modules, constants


def _globals(code: CodeType) -> set[str]:
    """The names that code takes from its file, attributes and names of its own not among them."""
    found = {str(i.argval) for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return found.union(*(_globals(c) for c in code.co_consts if isinstance(c, CodeType)))


def _imported(title: str, tree: ast.FunctionDef) -> list[str]:
    """The modules that the function imports itself."""
    found = list[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise DeclarationError(f"{title} imports {'.' * node.level}{node.module or ''}: {_NOT_KEPT}")
            found.append(node.module)
    return found


def _installed(title: str, function: Callable[..., Any], modules: Sequence[str]) -> None:
    """Refuse modules that lie beside the function's own file, or below."""
    folder = Path(function.__code__.co_filename).resolve().parent
    for name in modules:
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names:
            continue
        for file in _files(top):
            beside = file.relative_to(folder).parts if file.is_relative_to(folder) else ("site-packages",)
            if not {"site-packages", "dist-packages"} & set(beside):
                raise DeclarationError(f"{title} uses the module {name!r} of its own folder: {_NOT_KEPT}")


def _files(module: str) -> list[Path]:
    """Where a module lies, without importing it."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    found = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return [Path(f).resolve() for f in found]
