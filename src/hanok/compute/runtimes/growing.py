"""Trees grown by LightGBM's own library through ctypes: the package takes three CPU seconds to import, this does not.

The trees are those that the package would grow: the same library, the same parameters, one thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hanok.compute.runtimes.lightgbm import checked, library

Floats = NDArray[np.float64]
_FLOAT32, _FLOAT64, _ROW_MAJOR, _GAIN, _TRANSFORMED = 0, 1, 1, 1, 0


class Rows:
    """Rows as the library bins them; `like`: with the bins of others."""

    def __init__(self, x: Floats, y: Floats, settings: str, like: Rows | None = None) -> None:
        data, label = np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.float32)
        self.handle, self.rows = ctypes.c_void_p(), len(data)
        checked(
            library().LGBM_DatasetCreateFromMat(
                data.ctypes.data_as(ctypes.c_void_p),
                _FLOAT64,
                ctypes.c_int32(data.shape[0]),
                ctypes.c_int32(data.shape[1]),
                _ROW_MAJOR,
                ctypes.c_char_p(settings.encode()),
                like.handle if like is not None else None,
                ctypes.byref(self.handle),
            )
        )
        checked(
            library().LGBM_DatasetSetField(
                self.handle, b"label", label.ctypes.data_as(ctypes.c_void_p), ctypes.c_int(len(label)), _FLOAT32
            )
        )

    def __del__(self) -> None:
        if self.handle:
            library().LGBM_DatasetFree(self.handle)


class Booster:
    """Trees that grow round by round. `outputs`: of a round."""

    def __init__(self, rows: Rows, settings: str, outputs: int, valid: Rows | None = None) -> None:
        self._handle, self._outputs, self._valid, self._rows = ctypes.c_void_p(), outputs, valid, rows
        checked(library().LGBM_BoosterCreate(rows.handle, settings.encode(), ctypes.byref(self._handle)))
        if valid is not None:
            checked(library().LGBM_BoosterAddValidData(self._handle, valid.handle))

    def grow(self) -> bool:
        """One round more. False when no tree can be grown any more."""
        finished = ctypes.c_int()
        checked(library().LGBM_BoosterUpdateOneIter(self._handle, ctypes.byref(finished)))
        return not finished.value

    def answers(self) -> Floats:
        """What the trees so far answer to the valid rows: (rows,) or (rows, outputs)."""
        assert self._valid is not None
        out, length = np.empty(self._valid.rows * self._outputs), ctypes.c_int64()
        checked(
            library().LGBM_BoosterGetPredict(
                self._handle, 1, ctypes.byref(length), out.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
            )
        )
        return out if self._outputs == 1 else out.reshape(self._outputs, self._valid.rows).T

    def text(self, rounds: int) -> bytes:
        """The model of the first `rounds` rounds."""
        size = 1 << 20
        while True:
            buffer, length = ctypes.create_string_buffer(size), ctypes.c_int64()
            checked(
                library().LGBM_BoosterSaveModelToString(
                    self._handle, 0, rounds, _GAIN, ctypes.c_int64(size), ctypes.byref(length), buffer
                )
            )
            if length.value <= size:
                return buffer.value
            size = length.value

    def gains(self, rounds: int, width: int) -> Floats:
        """What the splits of each column gained."""
        found = np.zeros(width)
        pointer = found.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        checked(library().LGBM_BoosterFeatureImportance(self._handle, rounds, _GAIN, pointer))
        return found

    def __del__(self) -> None:
        if self._handle:
            library().LGBM_BoosterFree(self._handle)


def settings_text(parameters: Mapping[str, str | int | float], categorical: Sequence[int] = ()) -> str:
    """Parameters as the library reads them."""
    said = " ".join(f"{k}={v}" for k, v in parameters.items())
    return said + (f" categorical_feature={','.join(map(str, categorical))}" if categorical else "")


def until_it_stops(
    booster: Booster, loss: Callable[[Floats], float], rounds: int, patience: int, go_on: Callable[[], bool]
) -> tuple[int, Floats]:
    """Grow until the loss on the valid rows has not fallen for `patience` rounds, or `go_on` says no. The best number
    of rounds, and what they answer."""
    best, kept, said = float("inf"), 1, np.empty(0)
    for number in range(1, rounds + 1):
        more = booster.grow()
        if number % STEP and more and number < rounds:
            continue
        now = booster.answers()
        if (value := loss(now)) < best - 1e-12:
            best, kept, said = value, number, now
        if not more or number - kept >= patience or not go_on():
            break
    return kept, said


STEP = 5  # rounds between two looks at the valid rows
