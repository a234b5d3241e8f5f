"""The verb that brings another store over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hanok.core.access import Access
from hanok.engine.mlflow_import import import_mlflow, source_of
from hanok.engine.verbs.registry import verb


@verb("import.mlflow", Access.OWN, on_this_machine=True)
def bring_mlflow(app: Any, actor: str, *, uri: str, artifacts: str = "", token: str = "") -> dict[str, Any]:
    """Bring an MLflow store over: experiments, runs, artifacts, models; what is there already stays."""
    source = source_of(uri, artifacts=Path(artifacts) if artifacts else None, token=token)
    return import_mlflow(app, source, uri, actor=actor).as_dict()
