"""LightGBM's own library through ctypes: the text format, without importing the lightgbm package."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import threading
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hanok.compute.runtimes.lightgbm_text import check
from hanok.core.errors import Corrupt, MissingExtra, SignatureMismatch

_FLOAT64, _NORMAL, _CONTRIBUTIONS, _ROW_MAJOR = 1, 0, 3, 1
_UNCOUNTED = re.compile(
    rb"^internal_count=(?:.* )?0(?: |$)", re.MULTILINE
)  # trees of other libraries, as we write them
_PARAMETERS = b"num_threads=1"
BATCH_THREADED_ROWS = 20_000


@cache
def library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("lightgbm")
    roots = [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
    for root in roots:
        for name in ("lib/lib_lightgbm.so", "lib/lib_lightgbm.dylib", "bin/lib_lightgbm.dll"):
            if (root / name).exists():
                found = ctypes.CDLL(str(root / name))
                found.LGBM_GetLastError.restype = ctypes.c_char_p
                return found
    raise MissingExtra("this model needs LightGBM's library: pip install 'hanok[automl]'")


def checked(code: int) -> None:
    if code != 0:
        raise Corrupt(f"LightGBM: {library().LGBM_GetLastError().decode(errors='replace')}")


class LightGBM:
    """A booster loaded from its text format. One row goes through the single-row call, which one thread may use at a
    time. With `float32` values are rounded to 32 bits first, as other libraries do."""

    def __init__(self, text: bytes, width: int, *, float32: bool = False) -> None:
        check(text, width)
        calls = library()
        self._float32 = float32
        self._handle = ctypes.c_void_p()
        rounds = ctypes.c_int()
        checked(
            calls.LGBM_BoosterLoadModelFromString(
                ctypes.c_char_p(text), ctypes.byref(rounds), ctypes.byref(self._handle)
            )
        )
        features = ctypes.c_int()
        checked(calls.LGBM_BoosterGetNumFeature(self._handle, ctypes.byref(features)))
        if features.value != width:
            raise Corrupt(f"this LightGBM model takes {features.value} columns, its signature says {width}")
        classes = ctypes.c_int()
        checked(calls.LGBM_BoosterGetNumClasses(self._handle, ctypes.byref(classes)))
        self._classes, self._width = classes.value, width
        self._fast = ctypes.c_void_p()
        checked(
            calls.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._handle, _NORMAL, 0, -1, _FLOAT64, width, _PARAMETERS, ctypes.byref(self._fast)
            )
        )
        self._lock = threading.Lock()
        self._counted = _UNCOUNTED.search(text) is None
        self._length = ctypes.c_int64()

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = len(matrix)
        if matrix.ndim != 2 or matrix.shape[1] != self._width:  # the library reads memory by the width that it knows
            raise SignatureMismatch(f"the model takes {self._width} columns of numbers, not {matrix.shape}")
        if self._float32:
            with np.errstate(over="ignore"):
                matrix = matrix.astype(np.float32).astype(np.float64)
        data = np.ascontiguousarray(matrix, np.float64)
        out = np.empty(rows * self._classes)
        if rows == 1:
            with self._lock:
                checked(
                    library().LGBM_BoosterPredictForMatSingleRowFast(
                        self._fast,
                        data.ctypes.data_as(ctypes.c_void_p),
                        ctypes.byref(self._length),
                        out.ctypes.data_as(ctypes.c_void_p),
                    )
                )
        elif rows:
            length = ctypes.c_int64()
            checked(
                library().LGBM_BoosterPredictForMat(
                    self._handle,
                    data.ctypes.data_as(ctypes.c_void_p),
                    _FLOAT64,
                    ctypes.c_int32(rows),
                    ctypes.c_int32(self._width),
                    _ROW_MAJOR,
                    _NORMAL,
                    0,
                    -1,
                    _PARAMETERS if rows < BATCH_THREADED_ROWS else b"",
                    ctypes.byref(length),
                    out.ctypes.data_as(ctypes.c_void_p),
                )
            )
        return out.reshape(rows, self._classes) if self._classes > 1 else out

    def contributions(self, matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], str] | None:
        """TreeSHAP of the sums of the leaves: base (rows, outputs), values (rows, outputs, width). None for trees that
        do not say how many rows each of their nodes saw."""
        if not self._counted:
            return None
        if self._float32:
            matrix = matrix.astype(np.float32).astype(np.float64)
        data, rows = np.ascontiguousarray(matrix, np.float64), len(matrix)
        out = np.empty(rows * self._classes * (self._width + 1))
        length = ctypes.c_int64()
        checked(
            library().LGBM_BoosterPredictForMat(
                self._handle,
                data.ctypes.data_as(ctypes.c_void_p),
                _FLOAT64,
                ctypes.c_int32(rows),
                ctypes.c_int32(self._width),
                _ROW_MAJOR,
                _CONTRIBUTIONS,
                0,
                -1,
                _PARAMETERS,
                ctypes.byref(length),
                out.ctypes.data_as(ctypes.c_void_p),
            )
        )
        shaped = out.reshape(rows, self._classes, self._width + 1)
        return shaped[:, :, -1], shaped[:, :, :-1], "TreeSHAP"

    def __del__(self) -> None:
        if getattr(self, "_fast", None):
            library().LGBM_FastConfigFree(self._fast)
        if getattr(self, "_handle", None):
            library().LGBM_BoosterFree(self._handle)
