"""Models that run as they were logged: each in a process of its own, which a person has allowed by the hash of its
files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hanok.compute.runtimes.encoded import ByColumn, Raw, Scored, Scores
from hanok.core.errors import Corrupt, MissingExtra, ScoringFailed, Unavailable, Unsafe
from hanok.core.foreign import Approval
from hanok.core.json import JsonObject
from hanok.core.serving import Signature
from hanok.engine.executors.called import Called, Ended

CHILD = Path(__file__).with_name("foreign_child.py")
ANSWER_S, START_S = 10.0, 120.0
MEMORY_BYTES = 4 << 30
VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "OMP_NUM_THREADS", "LD_LIBRARY_PATH")


def content_hash(files: Mapping[str, str]) -> str:
    """Of the files of a model, by path and digest: what a person approves."""
    said = "".join(f"{path} {digest}\n" for path, digest in sorted(files.items()))
    return hashlib.sha256(said.encode()).hexdigest()


class ForeignModels:
    """Opens packages of the runtime `foreign`. `approved` gives what was said of a content hash, None where nobody did.
    `folder` is emptied when it begins: what lies there is left over from a kill."""

    def __init__(self, folder: Path, approved: Callable[[str], Approval | None]) -> None:
        self._folder, self._approved = folder, approved
        self._running: dict[str, ForeignModel] = {}
        self._lock = threading.Lock()
        shutil.rmtree(folder, ignore_errors=True)

    def open(self, signature: Signature, files: Mapping[str, str], read: Callable[[str], bytes]) -> Scored:
        """Raises Unsafe for files that nobody approved. The process starts with the first row."""
        content = content_hash(files)
        approval = self._approved(content)
        if (why := refusal(content, approval)) or approval is None:
            raise Unsafe(why)
        with self._lock:
            model = self._running.get(content)
            if model is None:
                model = self._running[content] = ForeignModel(self._laid_out(files, read), approval.python)
            else:
                model.run_by(approval.python)
        return ByColumn(Answering(model, signature), signature)

    def follow(self) -> frozenset[str]:
        """End what is not approved any more, by whichever process of the home that was said, and start by another
        interpreter what was approved anew. Gives the content hashes of what was ended."""
        ended = set()
        for content, model in list(self._running.items()):
            approval = self._approved(content)
            if (why := refusal(content, approval)) or approval is None:
                with self._lock:
                    self._running.pop(content, None)
                model.forbid(why)
                ended.add(content)
            else:
                model.run_by(approval.python)
        return frozenset(ended)

    def close(self) -> None:
        with self._lock:
            running, self._running = list(self._running.values()), {}
        for model in running:
            model.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _laid_out(self, files: Mapping[str, str], read: Callable[[str], bytes]) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        root = Path(tempfile.mkdtemp(dir=self._folder))
        for name in files:
            target = (root / name).resolve()
            if not target.is_relative_to(root.resolve()):
                raise Corrupt(f"the file {name[:200]!r} of this model lies outside its folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(read(name))
        return root


def refusal(content: str, approval: Approval | None) -> str:
    """Why files may not run; "" for those that may."""
    if approval is None:
        return (
            "this model runs code of its own, and nobody approved its files: hanok model approve "
            f"MODEL@VERSION --hash {content}"
        )
    if approval.revoked:
        return (
            f"{approval.revoked} took back the approval of its files: let another version answer (hanok rollback "
            f"{approval.model}), or approve it again: hanok model approve {approval.model}@{approval.version} "
            f"--hash {content}"
        )
    return ""


class ForeignModel:
    """One process for one model. A crash or a hang ends it, and the next row starts it again."""

    def __init__(self, folder: Path, python: str) -> None:
        self._python, self._forbidden, self._folder = python or sys.executable, "", folder
        self.start_s, self.memory_bytes, self._turns = 0.0, 0, count()
        self._called = Called(
            lambda descriptor: [self._python, "-I", str(CHILD), str(descriptor), str(folder), str(MEMORY_BYTES)],
            answer_s=ANSWER_S,
            environment=lambda: {n: os.environ[n] for n in VARIABLES if n in os.environ},
            started=self._heard,
        )

    def ask(self, columns: list[tuple[str, str, list[object]]], rows: int) -> JsonObject:
        """What it says to these rows. Raises Unavailable when it ended, ScoringFailed for what it raised, Unsafe once
        it is forbidden."""
        turn = next(self._turns)
        try:
            reply = self._called(json.dumps({"turn": turn, "columns": columns}).encode())
        except Ended as ended:
            if self._forbidden:
                raise Unsafe(self._forbidden) from None
            raise Unavailable(
                f"the process of this model {ended} over {rows} rows; the next request starts it again"
            ) from None
        said: JsonObject = json.loads(reply)
        if said.get("turn") != turn:  # a process that it forked answers too: what comes next is of another request
            self._called.close()
            raise Unavailable(
                f"the process of this model answered another request than the one of {rows} rows (does its code "
                "fork?); the next request starts it again"
            )
        if "error" in said:
            raise ScoringFailed(f"the model raised {said['error']}")
        if isinstance(memory := said.get("memory"), int):
            self.memory_bytes = memory
        return said

    def run_by(self, python: str) -> None:
        """The interpreter from the next start on; a process of another one is ended."""
        python = python or sys.executable
        if python != self._python:
            self._python = python
            self._called.close()

    def forbid(self, why: str) -> None:
        """End it for good: who still holds it and asks is told why."""
        self._forbidden = why
        self._called.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        self._called.close()

    def _heard(self, connection: Connection) -> None:
        """Wait until it is loaded. Raises MissingExtra where a library is not there, Corrupt where it cannot be."""
        if self._forbidden:
            raise Unsafe(self._forbidden)
        if not connection.poll(START_S):
            raise Unavailable(f"the process of this model had not loaded it after {START_S:.0f} s")
        said = json.loads(connection.recv_bytes())
        if "error" not in said:
            self.start_s = float(said["seconds"])
            return
        if said["error"].startswith(("ModuleNotFoundError", "ImportError")):
            raise MissingExtra(
                f"{self._python} cannot load this model: {said['error']}. Install what it needs there, or approve it "
                "with --python PATH of an environment that has it and mlflow"
            )
        raise Corrupt(f"this model cannot be loaded: {said['error']}")


class Answering:
    """A `ColumnModel` over the process."""

    away = True

    def __init__(self, model: ForeignModel, signature: Signature) -> None:
        self.process, self._signature = model, signature

    def score(self, rows: Raw) -> Scores:
        columns = [
            (c.name, c.datatype, [None if v is None or v != v else v for v in rows[:, i].tolist()])
            for i, c in enumerate(self._signature.inputs)
        ]
        return scores_of(self.process.ask(columns, len(rows)), self._signature)


def scores_of(said: JsonObject, signature: Signature) -> Scores:
    """What a model answers as scores of its signature. Raises ScoringFailed."""
    if "labels" in said:
        place = {name: i for i, name in enumerate(signature.classes)}
        labels = said["labels"]
        assert isinstance(labels, list)
        if odd := [label for label in labels if label not in place]:
            known = ", ".join(signature.classes) or "none, it gives numbers"
            raise ScoringFailed(f"the model answered {str(odd[0])[:80]!r}; its classes are {known}")
        sure = np.eye(len(place))[[place[str(label)] for label in labels]]
        return sure[:, 1] if signature.task == "binary" else sure
    scores: NDArray[np.float64] = np.array(said["scores"], float)
    if signature.task == "binary" and scores.ndim == 2 and scores.shape[1] == 2:
        scores = scores[:, 1]
    if signature.task != "regression" and (outside := scores[(scores < 0) | (scores > 1)]).size:
        raise ScoringFailed(f"the model answered {outside[0]:g} where a probability lies from 0 to 1")
    return scores
