"""What goes to a process that fits a model, and what comes back: files in a folder that both know.

In: the rows (Arrow), their instants, the signature, and what to fit: an AutoML search, a plan, or a user's function,
named by its digest beside the text of its file. Out: the files of the package and what was found, or the error.
Nothing is pickled: what a user's code leaves behind is read as data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

from hanok.compute.frames import Frame
from hanok.compute.runtimes import Package
from hanok.core import errors
from hanok.core.declare import AutoML, OwnCode, as_dict, from_dict
from hanok.core.errors import HanokError, TrainingFailed, words
from hanok.core.json import JsonObject
from hanok.core.records import IF_SET, from_body, to_body
from hanok.core.serving import Signature
from hanok.core.training import Line, Plan

OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class OwnWork:
    """A user's training function: its file as it was loaded, and the project file that named it ("": none)."""

    name: str
    code_digest: str
    source: str
    project: str = ""


@dataclass(frozen=True, slots=True)
class FitWork:
    """What to fit: one of the three; and where finished parts of searches are kept ("": nowhere)."""

    search: JsonObject | None = field(default=None, metadata=IF_SET)
    plan: Plan | None = field(default=None, metadata=IF_SET)
    own: OwnWork | None = field(default=None, metadata=IF_SET)
    searches: str = field(default="", metadata=IF_SET)


def of_search(settings: AutoML, searches: Path | None = None) -> FitWork:
    return FitWork(search=as_dict(settings), searches=str(searches or ""))


def of_own(own: OwnCode, project: Path | None) -> FitWork:
    return FitWork(own=OwnWork(own.name, own.code_digest, own.source, str(project or "")))


def settings_of(body: JsonObject) -> AutoML:
    found = from_dict(body)
    assert isinstance(found, AutoML)
    return found


@dataclass(frozen=True, slots=True)
class Fitted:
    """The outcome of a fit."""

    package: Package
    plan: Plan = field(default_factory=Plan)
    metric: str = ""
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class _Told:
    """`result.json`: what was found, or the error that ended it."""

    runtime: str = ""
    signature: JsonObject = field(default_factory=dict)
    files: tuple[str, ...] = ()
    notes: JsonObject = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    metric: str = ""
    lines: tuple[Line, ...] = ()
    error: str = ""
    message: str = ""


def write_work(folder: Path, frame: Frame, work: FitWork) -> None:
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, frame.table.schema) as writer:
        writer.write_table(frame.table)
    np.save(folder / "at.npy", frame.at, allow_pickle=False)
    if frame.groups is not None:
        np.save(folder / "groups.npy", frame.groups, allow_pickle=False)
    rows: JsonObject = {"gap_us": frame.gap_us, "at_random": frame.at_random}
    said: JsonObject = {"signature": frame.signature.as_dict(), "label": frame.label, "work": to_body(work), **rows}
    (folder / "work.json").write_bytes(orjson.dumps(said))


def read_work(folder: Path) -> tuple[Frame, FitWork]:
    with pa.OSFile(str(folder / "rows.arrow"), "rb") as source:
        table = pa.ipc.open_file(source).read_all()
    said = orjson.loads((folder / "work.json").read_bytes())
    at = np.load(folder / "at.npy", allow_pickle=False)
    groups = np.load(folder / "groups.npy", allow_pickle=False) if (folder / "groups.npy").exists() else None
    frame = Frame(
        table, Signature.from_dict(said["signature"]), said["label"], at, groups, said["gap_us"], said["at_random"]
    )
    return frame, from_body(FitWork, said["work"], what="work")


def write_fitted(folder: Path, fitted: Fitted) -> None:
    package = fitted.package
    names = tuple(package.files)
    for place, name in enumerate(names):
        (folder / f"file{place}").write_bytes(package.files[name])
    told = _Told(
        package.runtime,
        package.signature.as_dict(),
        names,
        orjson.loads(orjson.dumps(dict(package.notes), option=OPTIONS)),
        fitted.plan,
        fitted.metric,
        fitted.lines,
    )
    _tell(folder, told)


def write_error(folder: Path, error: BaseException) -> None:
    if isinstance(error, HanokError):
        _tell(folder, _Told(error=type(error).__name__, message=error.message))
    else:
        _tell(folder, _Told(error="TrainingFailed", message=words(error)))


def _tell(folder: Path, told: _Told) -> None:
    """Whole or not at all."""
    (folder / "result.new").write_bytes(orjson.dumps(to_body(told), option=OPTIONS))
    (folder / "result.new").replace(folder / "result.json")


def read_fitted(folder: Path) -> Fitted:
    """Raises what ended the fit: a HanokError as it was, anything else as TrainingFailed."""
    told = from_body(_Told, orjson.loads((folder / "result.json").read_bytes()), what="a fitted model")
    if told.error:
        kind = getattr(errors, told.error, TrainingFailed)
        raise (kind if isinstance(kind, type) and issubclass(kind, HanokError) else TrainingFailed)(told.message)
    files = {name: (folder / f"file{place}").read_bytes() for place, name in enumerate(told.files)}
    package = Package(told.runtime, Signature.from_dict(told.signature), files, told.notes)
    return Fitted(package, told.plan, told.metric, told.lines)
