"""Making a version servable that was logged through an MLflow client: converted here, where its libraries are."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanok.compute.runtimes import mlflow_files
from hanok.compute.runtimes.convert import convert
from hanok.core.errors import Corrupt, MissingExtra
from hanok.sdk.runs.values import table_of

if TYPE_CHECKING:
    from hanok.sdk.client import Client


def import_model(client: Client, model: str, version: int, *, data: Any = None, approve: str = "") -> dict[str, Any]:
    """Convert what an MLflow client logged as a version, prove it, and keep the package with the version.

    `data`: rows of the model's inputs to prove it on; without them rows are made around the input example. `approve` is
    the SHA-256 of a pickle that may be loaded in this process. Raises Unsafe, ConversionFailed, MissingExtra.
    """
    found = client.call("model.files", model=model, version=version)
    with tempfile.TemporaryDirectory(prefix="hanok-import-") as name:
        folder = Path(name)
        for file in found["files"]:
            target = (folder / file["path"]).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise Corrupt(f"the file {file['path'][:200]!r} of this model lies outside its folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download(file["artifact"], target)
        logged = mlflow_files.read(folder)
        trained = mlflow_files.load(logged, approve)
        try:
            frame = mlflow_files.frame_of(trained, logged, None if data is None else table_of(data))
            package = convert(trained, frame)
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"converting this {logged.flavor} model needs {error.name}: pip install {error.name}"
            ) from None
        for file_name, content in package.files.items():
            path = folder / "package"
            path.write_bytes(content)
            client.upload(found["of"], found["id"], f"{found['place']}/{file_name}", path)
    made: dict[str, Any] = client.call(
        "model.package",
        model=model,
        version=version,
        runtime=package.runtime,
        signature=package.signature.as_dict(),
        notes=dict(package.notes),
        files=sorted(package.files),
    )
    return made | {"parity": package.notes["parity"]}
