"""Reading a project file: its declarations are the module's values."""

from __future__ import annotations

import importlib.util
import sys
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from hanok.core.declare import PROJECT_MODULE, FeatureService, FeatureView, Model, Project, Source, digest
from hanok.core.errors import DeclarationError, HanokError, words


class _AsItStands(SourceFileLoader):
    """Compiles the file each time: kept bytecode is that of an earlier edit where both are of one second and size."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def load_module(path: Path) -> ModuleType:
    """Import a file by its path; its folder is importable for it. Raises DeclarationError with the place."""
    if not path.exists():
        raise DeclarationError(f"there is no project file {path}; 'hanok init' writes one")
    name = PROJECT_MODULE + sha256(str(path.resolve()).encode()).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(name, path, loader=_AsItStands(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except (HanokError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit() too: the file ends here, and not who reads it
        raise DeclarationError(f"{path}{_line_in(path, error)} cannot be loaded: {words(error)}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def load_project(path: Path) -> Project:
    """All sources, feature views, services and models that the file declares, and those that they use; none for a file
    that was just begun."""
    module = load_module(path)
    values = list(vars(module).values())
    models = [v for v in values if isinstance(v, Model)]
    services = list({digest(v): v for v in values if isinstance(v, FeatureService)}.values())
    used = [*(v for m in models for v in m.views), *(v for s in services for v in s.views)]
    views = {v.stored.name: v.stored for v in used}
    said = [v for v in values if isinstance(v, FeatureView)]
    views |= {v.stored.name: v.stored for v in said} | {v.name: v for v in said if v.unsaid == v.stored}
    if twice := sorted({m.name for m in models if sum(n.name == m.name for n in models) > 1}):
        raise DeclarationError(f"{path} declares the model {twice[0]!r} twice")
    sources = [*(v.source for v in views.values()), *(v for v in values if isinstance(v, Source))]
    return Project(tuple(sources), tuple(views.values()), tuple(models), tuple(services))


def _line_in(path: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f", line {trace.tb_lineno}"
        trace = trace.tb_next
    return line
