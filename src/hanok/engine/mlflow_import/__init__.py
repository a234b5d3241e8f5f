"""Bringing an MLflow store over: from a server, an SQLite file, or a folder of files."""

from hanok.engine.mlflow_import.choosing import source_of
from hanok.engine.mlflow_import.importer import Summary, import_mlflow

__all__ = ["Summary", "import_mlflow", "source_of"]
