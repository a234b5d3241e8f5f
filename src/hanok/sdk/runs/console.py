"""What a run prints, kept as artifacts in pieces: a crash loses what came after the last piece."""

from __future__ import annotations

import sys
import threading
from typing import Any, TextIO

KEPT_MAX_CHARS, TAIL_CHARS = 4 << 20, 256 << 10


class Console:
    """Writes to stdout and stderr go on to where they went, and are remembered.

    Of a long output the first KEPT_MAX_CHARS are kept, and when the run ends the last TAIL_CHARS.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: list[str] = []
        self._kept = self._pieces_given = 0
        self._tail = ""
        self._before: tuple[TextIO, TextIO] = (sys.stdout, sys.stderr)
        self._tees = (_Tee(sys.stdout, self._note), _Tee(sys.stderr, self._note))
        sys.stdout, sys.stderr = self._tees

    def take(self) -> tuple[str, str]:
        """The name of the next piece and its text; "" when nothing came."""
        with self._lock:
            text, self._pieces = "".join(self._pieces), []
        if text:
            self._pieces_given += 1
        return f"console/{self._pieces_given:05d}.log", text

    def close(self) -> str:
        """Give the streams back, if nobody else has taken them since; the end of what was too long."""
        if sys.stdout is self._tees[0]:
            sys.stdout = self._before[0]
        if sys.stderr is self._tees[1]:
            sys.stderr = self._before[1]
        for tee in self._tees:
            tee.active = False
        return self._tail

    def _note(self, text: str) -> None:
        with self._lock:
            room = KEPT_MAX_CHARS - self._kept
            if room > 0:
                self._pieces.append(text[:room])
                self._kept += len(text[:room])
            if len(text) > room:
                self._tail = (self._tail + text[max(room, 0) :])[-TAIL_CHARS:]


class _Tee:
    def __init__(self, stream: TextIO, note: Any) -> None:
        self._stream, self._note = stream, note
        self.active = True

    def write(self, text: str) -> int:
        if self.active:
            self._note(text)
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
