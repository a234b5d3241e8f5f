"""An MLflow store as a folder of files ("mlruns"), read only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from hanok.core.errors import BadData
from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.tracking import RUN_STATUSES, Experiment, LoggedModel, Metric, Run
from hanok.engine.mlflow_import.sources import Opener, local_files
from hanok.wire.mlflow.answers import instant, lifecycle

META, TRASH, MODELS = "meta.yaml", ".trash", "models"
_ENUM = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


class FileSource:
    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._folders: dict[str, Path] = {}  # of experiments, runs and logged models, as they were met
        if not any(self._root.glob(f"*/{META}")):
            raise BadData(f"{root} is no store of MLflow: no folder in it has a {META}")

    def experiments(self) -> Iterator[Experiment]:
        folders = [*self._root.glob(f"*/{META}"), *self._root.glob(f"{TRASH}/*/{META}")]
        for path in sorted(folders, key=lambda p: p.parent.name):
            meta = _yaml(path)
            if "experiment_id" not in meta:
                continue
            self._folders[str(meta["experiment_id"])] = path.parent
            yield Experiment(
                id=str(meta["experiment_id"]),
                name=str(meta["name"]),
                location=str(meta.get("artifact_location", "")),
                created=instant(meta.get("creation_time")),
                updated=instant(meta.get("last_update_time")),
                lifecycle=lifecycle(str(meta.get("lifecycle_stage", ""))),
                tags=_texts(path.parent / "tags"),
            )

    def runs(self, experiment_id: str) -> Iterator[Run]:
        found = [(path.parent, _yaml(path)) for path in self._folders[experiment_id].glob(f"*/{META}")]
        for folder, meta in sorted(found, key=lambda item: (item[1].get("start_time") or 0, item[0].name)):
            if "run_id" not in meta and "run_uuid" not in meta:
                continue
            run_id = str(meta.get("run_id") or meta["run_uuid"])
            self._folders[run_id] = folder
            tags = _texts(folder / "tags")
            status = meta.get("status", 3)
            yield Run(
                id=run_id,
                experiment_id=experiment_id,
                name=tags.get("mlflow.runName") or str(meta.get("run_name", "")),
                started=instant(meta.get("start_time")),
                ended=instant(meta["end_time"]) if meta.get("end_time") else None,
                artifact_uri=str(meta.get("artifact_uri", "")),
                status=status if status in RUN_STATUSES else _ENUM.get(status, "FINISHED"),
                user=str(meta.get("user_id", "")),
                lifecycle=lifecycle(str(meta.get("lifecycle_stage", ""))),
                metrics=tuple(self._latest(run_id, key) for key in _names(folder / "metrics")),
                params=_texts(folder / "params"),
                tags=tags,
            )

    def history(self, run_id: str, key: str) -> Iterator[Metric]:
        with (self._folders[run_id] / "metrics" / key).open(encoding="utf-8") as lines:
            for line in lines:
                parts = line.split()
                if len(parts) >= 2:  # files of MLflow before 1.0 have no steps
                    yield Metric(key, float(parts[1]), int(parts[0]), int(parts[2]) if len(parts) > 2 else 0)

    def logged_models(self, experiment_id: str) -> Iterator[LoggedModel]:
        for path in sorted((self._folders[experiment_id] / MODELS).glob(f"*/{META}")):
            meta = _yaml(path)
            if "model_id" not in meta:
                continue
            status = str(meta.get("status", "READY"))
            yield LoggedModel(
                id=str(meta["model_id"]),
                experiment_id=experiment_id,
                name=str(meta.get("name", "")),
                artifact_uri=str(meta.get("artifact_location") or path.parent / "artifacts"),
                created=instant(meta.get("creation_timestamp")),
                updated=instant(meta.get("last_updated_timestamp")),
                status={"1": "PENDING", "2": "READY", "3": "UPLOAD_FAILED"}.get(status, status),
                model_type=str(meta.get("model_type") or ""),
                source_run_id=str(meta.get("source_run_id") or ""),
                lifecycle=lifecycle(str(meta.get("lifecycle_stage", ""))),
                params=_texts(path.parent / "params"),
                tags=_texts(path.parent / "tags"),
            )

    def registered(self) -> Iterator[tuple[RegisteredModel, list[ModelVersion]]]:
        for path in sorted((self._root / MODELS).glob(f"*/{META}")):
            meta = _yaml(path)
            aliases = {name: int(text) for name, text in _texts(path.parent / "aliases").items()}
            model = RegisteredModel(
                name=str(meta["name"]),
                created=instant(meta.get("creation_timestamp")),
                updated=instant(meta.get("last_updated_timestamp")),
                description=str(meta.get("description") or ""),
                tags=_texts(path.parent / "tags"),
                aliases=aliases,
            )
            found = [_version(folder) for folder in path.parent.glob("version-*") if (folder / META).exists()]
            yield model, sorted((v for v in found if v.stage != "Deleted_Internal"), key=lambda v: v.version)

    def files(self, owner: Run | LoggedModel) -> Iterator[tuple[str, Opener]]:
        return local_files(owner.artifact_uri, self._root.parent, None)

    def _latest(self, run_id: str, key: str) -> Metric:
        return max(self.history(run_id, key), key=lambda p: (p.step, p.timestamp_ms, p.value))


def _version(folder: Path) -> ModelVersion:
    meta = _yaml(folder / META)
    source = str(meta.get("source") or "")
    logged = str(meta.get("model_id") or (source.removeprefix("models:/") if source.startswith("models:/m-") else ""))
    return ModelVersion(
        id="",
        model=str(meta["name"]),
        version=int(meta["version"]),
        created=instant(meta.get("creation_timestamp")),
        updated=instant(meta.get("last_updated_timestamp")),
        run_id=str(meta.get("run_id") or ""),
        source=source,
        description=str(meta.get("description") or ""),
        status=str(meta.get("status") or "READY"),
        stage=str(meta.get("current_stage") or "None"),
        tags=_texts(folder / "tags"),
        facts={
            "user": str(meta.get("user_id") or ""),
            "run_link": str(meta.get("run_link") or ""),
            **({"logged_model_id": logged} if logged else {}),
        },
    )


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def _names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else []


def _texts(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text(encoding="utf-8") for name in _names(folder)}
