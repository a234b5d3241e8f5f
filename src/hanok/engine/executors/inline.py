"""Models fitted in this process: for a command or a notebook, whose own code it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from hanok.compute.frames import Frame
from hanok.compute.runtimes import Package
from hanok.core.declare import AutoML, OwnCode
from hanok.core.training import Plan
from hanok.engine.executors.asking import InlineQueries, Queries
from hanok.engine.executors.finished import Finished
from hanok.parts.automl import service as automl
from hanok.parts.training.needs import Executor, Fitter
from hanok.parts.training.own import own_package


class InlineFitter:
    """`searches` is where finished parts of searches are kept, for one that is cut down."""

    def __init__(self, searches: Path | None = None) -> None:
        self._searches = searches

    def search(self, frame: Frame, settings: AutoML) -> automl.Search:
        return automl.search(frame, settings, Finished(self._searches, automl.search_key(frame, settings)))

    def run_plan(self, frame: Frame, plan: Plan) -> automl.Search:
        return automl.run_plan(frame, plan)

    def own(self, frame: Frame, own: OwnCode) -> Package:
        return own_package(own, frame)


class Inline:
    def __init__(self, searches: Path | None = None) -> None:
        self._searches = searches

    @contextmanager
    def fitting(self, of: str, go_on: Callable[[], None]) -> Iterator[Fitter]:
        yield InlineFitter(self._searches)

    def close(self) -> None:
        pass

    def says(self, of: str) -> str:
        return ""


class Executing:
    """The executor of an open home: inline, until a server puts one in its place whose work may die.
    `queries` is where users' SQL runs, likewise."""

    def __init__(self, searches: Path | None = None) -> None:
        self.executor: Executor = Inline(searches)
        self.queries: Queries = InlineQueries()

    def fitting(self, of: str, go_on: Callable[[], None]) -> AbstractContextManager[Fitter]:
        return self.executor.fitting(of, go_on)

    def close(self) -> None:
        self.executor.close()
        self.queries.close()

    def says(self, of: str) -> str:
        """The last line that what fits this model wrote; "" where nobody listens."""
        return self.executor.says(of)
