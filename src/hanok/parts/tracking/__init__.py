"""Experiments, runs, logged models, the model registry and their artifacts."""

from hanok.parts.tracking.service import Tracking

__all__ = ["Tracking"]
