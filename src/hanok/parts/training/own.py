"""A user's training function, called."""

from __future__ import annotations

import traceback
from pathlib import Path

from hanok.compute.frames import Frame
from hanok.compute.runtimes import Package
from hanok.compute.runtimes.convert import convert
from hanok.core.declare import OwnCode
from hanok.core.errors import HanokError, TrainingFailed, words


def own_package(own: OwnCode, frame: Frame) -> Package:
    """What the user's function returns, as a package. Raises TrainingFailed with its error and line."""
    try:
        made = own.function(frame)
    except (HanokError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit() too
        line = traceback.extract_tb(error.__traceback__)[-1]
        raise TrainingFailed(
            f"{own.name} raised {words(error)} ({Path(line.filename).name}, line {line.lineno})"
        ) from error
    return convert(made, frame)
