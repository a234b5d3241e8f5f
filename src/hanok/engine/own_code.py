"""Training functions of a project: found again by their digest, and kept with the versions that they trained.

What is kept is the text of the function's file. It is executed for the person who reproduces a version in a process of
their own, as the project file is, and never by a server for those who call it.
"""

from __future__ import annotations

import inspect
import io
import linecache
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from hanok.core.declare import PROJECT_MODULE, Model, OwnCode, own_code, with_train
from hanok.core.errors import Forbidden, NotTrainable, words
from hanok.core.lineage import Edge, EdgeKind, Node, NodeKind
from hanok.parts.training.service import Training
from hanok.stores.ports import Blobs, Metadata

SOURCE_MAX_BYTES = 1 << 20
log = logging.getLogger("hanok.training")
_ON_THIS_MACHINE: ContextVar[bool] = ContextVar("on_this_machine", default=False)


@contextmanager
def on_this_machine() -> Iterator[None]:
    """Within it, who asks is who opened the home in this process."""
    token = _ON_THIS_MACHINE.set(True)
    try:
        yield
    finally:
        _ON_THIS_MACHINE.reset(token)


def keep(metadata: Metadata, blobs: Blobs, own: OwnCode, training_set: str, now: datetime) -> None:
    """Keep the file of a training function with the training set that it is trained on: bytes first, then the node."""
    text = own.source.encode()
    if not text or len(text) > SOURCE_MAX_BYTES:
        log.warning("the code of %s is not kept: %s", own.name, "it is over 1 MiB" if text else "it is in no file")
        return
    address, _ = blobs.put(io.BytesIO(text))
    facts = {"code_digest": own.code_digest, "source": address}
    node_id = sha256(f"{own.name} {own.code_digest} {address}".encode()).hexdigest()[:32]
    node = Node(node_id, NodeKind.CODE, own.name, now, facts)
    metadata.write(lambda r: r.lineage.add([node], [Edge(training_set, EdgeKind.READ, node.id)]))


@dataclass(frozen=True, slots=True)
class OwnCodes:
    """Where the code of a version is found. `folder` is that of the project: what the code imports lies there."""

    metadata: Metadata
    blobs: Blobs
    training: Training
    folder: Callable[[], Path | None]

    def of(self, own: OwnCode, training_set: str, *, whose: str) -> OwnCode:
        """The function that can be called: the loaded one if its file is still the same, else the one that was kept,
        else a loaded one with this digest. Raises NotTrainable where there is none, Forbidden where a server would
        have to run it."""
        loaded, text = self._loaded(own.code_digest), self._kept(own.code_digest, training_set)
        allowed = _ON_THIS_MACHINE.get()
        if loaded is not None and (text is None or text == loaded.source or (loaded.source and not allowed)):
            return replace(own, function=loaded.function, source=loaded.source)
        what = f"{whose} was trained by {own.name} as it was then (its digest begins with {own.code_digest[:12]})"
        if text is None:
            raise NotTrainable(
                f"{what}; neither the project nor the home has that code: put the function back into the project file "
                "as it was, and reproduce it again"
            )
        if not allowed:
            raise Forbidden(
                f"{what}, which the project does not have any more. The home has kept it, and a server does not run "
                "kept code for those who call it: stop the server, and run hanok reproduce where the home is"
            )
        try:
            folder = self.folder() or Path()
            return replace(own, function=executed(own.name, own.code_digest, text, folder), source=text)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit() too
            if loaded is not None:
                return replace(own, function=loaded.function, source=loaded.source)
            raise NotTrainable(f"{what}; its kept file cannot be run: {words(error)}") from error

    def _loaded(self, digest: str) -> OwnCode | None:
        declared = [m.train for m in self.training.models() if isinstance(m.train, OwnCode)]
        modules = [m for n, m in list(sys.modules.items()) if n.startswith(PROJECT_MODULE) and self._is_project(m)]
        return next((c for c in (*declared, *codes(modules)) if c.code_digest == digest), None)

    def _is_project(self, module: ModuleType) -> bool:
        folder, file = self.folder(), module.__file__
        return folder is not None and file is not None and Path(file).resolve().parent == folder.resolve()

    def _kept(self, digest: str, training_set: str) -> str | None:
        near = self.metadata.read(lambda r: r.lineage.neighbours(training_set)).nodes
        facts = [n.facts for n in near if n.kind is NodeKind.CODE and n.facts.get("code_digest") == digest]
        if not facts:
            return None
        with self.blobs.open(facts[0]["source"]) as file:
            return file.read().decode()


def executed(name: str, code_digest: str, text: str, project: Path) -> Callable[..., object]:
    """The function of this name and digest, of the text of its file. What the file imports is taken as it is now, from
    the folder of the project. Raises NotTrainable, and whatever the text raises."""
    file, folder = f"{name.partition('.')[0]}.py", str(project.resolve())
    module = ModuleType(f"hanok_kept_{code_digest[:16]}")
    module.__file__ = f"{folder}/{file}"
    shown = f"<{file} as it was kept>"
    linecache.cache[shown] = len(text), None, text.splitlines(keepends=True), shown
    sys.modules[module.__name__] = module
    sys.path.insert(0, folder)
    try:
        exec(compile(text, shown, "exec"), vars(module))
    finally:
        sys.path.remove(folder)
        del sys.modules[module.__name__]
    found = next((c for c in codes([module]) if c.code_digest == code_digest), None)
    if found is None:
        raise NotTrainable(f"it does not define {name.rpartition('.')[2]!r} when it is run")
    return found.function


def codes(modules: list[ModuleType]) -> Iterator[OwnCode]:
    """The training functions that modules declare, and then every function that is defined in them."""
    values = [v for m in modules for v in list(vars(m).values())]
    yield from (v.train for v in values if isinstance(v, Model) and isinstance(v.train, OwnCode))
    yield from (own_code(v) for v in values if inspect.isfunction(v) and not v.__module__.startswith("hanok."))


def callable_model(codes: OwnCodes, model: Model, training_set: str, *, whose: str) -> Model:
    """A stored declaration whose own code, if it has any, can be called. Raises NotTrainable, Forbidden."""
    if not isinstance(model.train, OwnCode):
        return model
    return with_train(model, codes.of(model.train, training_set, whose=whose))
