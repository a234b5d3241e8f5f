"""Tuning from code and from the command line: workers that ask a study for parameters and tell it results."""

from hanok.sdk.tuning.functions import Trial, Tuned, tune

__all__ = ["Trial", "Tuned", "tune"]
