"""Recording runs from a training process, with a server, without one, or without any home at hand."""

from hanok.sdk.runs.run import Run, run
from hanok.sdk.runs.sync import sync

__all__ = ["Run", "run", "sync"]
