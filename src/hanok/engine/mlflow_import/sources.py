"""What an importer asks of an MLflow store, whichever kind it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.tracking import Experiment, LoggedModel, Metric, Run

Opener = Callable[[], BinaryIO]


class Source(Protocol):
    """An MLflow store. All ids, names and instants are as they stand there; deleted things are given too."""

    def experiments(self) -> Iterator[Experiment]: ...

    def runs(self, experiment_id: str) -> Iterator[Run]:
        """With latest metrics, params, tags and datasets, in order of start."""
        ...

    def history(self, run_id: str, key: str) -> Iterator[Metric]: ...

    def logged_models(self, experiment_id: str) -> Iterator[LoggedModel]: ...

    def registered(self) -> Iterator[tuple[RegisteredModel, list[ModelVersion]]]:
        """Models with their versions, by number."""
        ...

    def files(self, owner: Run | LoggedModel) -> Iterator[tuple[str, Opener]]:
        """Artifacts by path. Raises NotFound when they are out of reach."""
        ...


def local_files(uri: str, base: Path, proxied: Path | None) -> Iterator[tuple[str, Opener]]:
    """Artifacts at a URI that is on this disk; `proxied` is what the server kept under "mlflow-artifacts:"."""
    from hanok.core.errors import ArtifactNotFound

    scheme = urlsplit(uri).scheme
    if scheme == "mlflow-artifacts":
        if proxied is None:
            raise ArtifactNotFound(f"{uri[:120]} was kept by a server: say where with --artifacts FOLDER")
        folder = proxied / unquote(urlsplit(uri).path).lstrip("/")
    elif scheme in ("", "file"):
        folder = Path(unquote(urlsplit(uri).path))
        folder = folder if folder.is_absolute() else base / folder
    else:
        raise ArtifactNotFound(f"{uri[:120]} is not on this disk: import from the tracking server instead")
    for path in sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else ():
        yield path.relative_to(folder).as_posix(), _opener(path)


def _opener(path: Path) -> Opener:
    return lambda: path.open("rb")
