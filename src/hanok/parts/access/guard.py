"""The metadata store and the tables as the present caller sees them.

Who calls is said once, by `acting` in the dispatcher, and every part reads through here: a verb, a page or a search
that never heard of projects shows and changes only what its caller may see and change.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from hanok.core.access import ANONYMOUS, SYSTEM, Access, Call, current_call
from hanok.core.errors import Forbidden, no_model, no_table
from hanok.parts.access.directory import Directory
from hanok.parts.access.gate import Gate
from hanok.parts.access.repositories import GuardedRepositories
from hanok.stores.ports import Metadata, Repositories, Tables

if TYPE_CHECKING:
    import pyarrow as pa

    from hanok.core.tables import Appended, Scan

T = TypeVar("T")


class GuardedMetadata:
    """`strict` is set for a server that asks for a login: work on nobody's behalf is then refused."""

    def __init__(self, inner: Metadata, directory: Directory) -> None:
        self.inner, self.directory = inner, directory
        self.strict = False

    def read(self, work: Callable[[Repositories], T]) -> T:
        return self.inner.read(self._guarded(work))

    def write(self, work: Callable[[Repositories], T]) -> T:
        return self.inner.write(self._guarded(work))

    def submit(self, work: Callable[[Repositories], T]) -> Future[T]:
        return self.inner.submit(self._guarded(work))

    def backup(self, path: str) -> None:
        self.inner.backup(path)

    def reset(self) -> None:
        """For conformance tests, which start from nothing each time."""
        self.directory.forget()
        self.inner.reset()

    def close(self) -> None:
        self.inner.close()

    def call(self) -> Call | None:
        """The call whose rights have to be looked at; None for work with all rights."""
        call = current_call()
        if call is None:
            if self.strict:
                raise Forbidden("this work runs on nobody's behalf, which a server with a login does not allow")
            return None
        if call.actor is SYSTEM or (not self.strict and call.actor.access_everywhere >= Access.OWN):
            return None
        return call

    def require_model(self, name: str, needed: Access) -> None:
        """Raises Forbidden unless the caller may do so in the project of a model, and ModelNotFound where he may not
        see it, in the words for one that is neither registered nor declared."""
        call = self.call()
        if call is None:
            return
        project = self.project_of_model(name)
        if project is None and self.inner.read(lambda r: r.declarations.newest("model", name)) is None:
            raise no_model(name)
        if project is not None and call.actor.access_in(project) < Access.READ:
            raise no_model(name)
        if project is not None and call.actor.access_in(project) < needed:
            self.inner.read(lambda r: _require(Gate(r, call, self.directory), name, needed))

    def project_of_model(self, name: str) -> str | None:
        """From memory where it is known."""
        known = self.directory.remembered_model(name)
        return known if known is not None else self.inner.read(lambda r: self.directory.of(r, "model", name))

    def _guarded(self, work: Callable[[Repositories], T]) -> Callable[[Repositories], T]:
        call = self.call()
        if call is None:
            return work
        directory = self.directory

        def guarded(r: Repositories) -> T:
            try:
                return work(GuardedRepositories(Gate(r, call, directory)))
            except BaseException:
                if call.touched:  # what was looked up may never be committed
                    directory.forget()
                raise

        return guarded


def _require(gate: Gate, name: str, needed: Access) -> None:
    gate.change(gate.model(name), needed=needed)


class GuardedTables:
    """Tables named "<use>--<name>" follow the model of that name; other tables belong to no project."""

    def __init__(self, inner: Tables, metadata: GuardedMetadata) -> None:
        self._inner, self._metadata = inner, metadata

    def append(self, name: str, rows: pa.Table, *, key: str, digest: str = "", first: int = 0) -> Appended:
        return self._inner.append(name, rows, key=key, digest=digest, first=first)

    def holds(self, name: str, key: str) -> bool:
        return self._visible(name) and self._inner.holds(name, key)

    def scan(self, name: str, *, upto: int | None = None, since: datetime | None = None, first: int = 0) -> Scan:
        if not self._visible(name):
            raise no_table(name)
        return self._inner.scan(name, upto=upto, since=since, first=first)

    def size(self, name: str) -> int:
        return self._inner.size(name) if self._visible(name) else 0

    def names(self) -> list[str]:
        return [name for name in self._inner.names() if self._visible(name)]

    def close(self) -> None:
        self._inner.close()

    def frozen(self) -> AbstractContextManager[None]:
        return self._inner.frozen()

    def _visible(self, name: str) -> bool:
        _, dashes, model = name.partition("--")
        call = self._metadata.call() if dashes else None
        if call is None or call.actor is ANONYMOUS:
            return call is None
        project = self._metadata.project_of_model(model)
        return project is None or call.actor.access_in(project) >= Access.READ
