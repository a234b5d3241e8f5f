"""A user's training function, called."""

from __future__ import annotations

import traceback
from pathlib import Path

from hanok.compute.frames import Frame
from hanok.compute.runtimes import Package
from hanok.compute.runtimes.convert import convert
from hanok.core.declare import OwnCode
from hanok.core.errors import HanokError, TrainingFailed


def own_package(own: OwnCode, frame: Frame) -> Package:
    """What the user's function returns, as a package. Raises TrainingFailed with its error and line."""
    try:
        made = own.function(frame)
    except HanokError:
        raise
    except (Exception, SystemExit) as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        raise TrainingFailed(
            f"{own.name} raised {type(error).__name__}: {error} ({Path(line.filename).name}, line {line.lineno})"
        ) from error
    return convert(made, frame)
