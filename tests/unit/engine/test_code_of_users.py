"""Whatever a user's file or function does to end, it is told in words, and ends neither Hanok nor the telling."""

import json

import pytest

from hanok.compute.frames import Frame
from hanok.core.declare import own_code
from hanok.core.errors import DeclarationError, HanokError, TrainingFailed, words
from hanok.engine.executors.work import read_fitted, write_error
from hanok.engine.own_code import executed
from hanok.engine.project import load_project
from hanok.parts.training.own import own_package

ENDS = [
    "import sys; sys.exit()",
    "import sys; sys.exit('no')",
    "class E(BaseException): pass\nraise E('\\ud800')",
    "1/0",
]


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("text", ENDS)
def test_a_file_that_ends_early_is_a_declaration_that_cannot_work(tmp_path, text):
    (tmp_path / "project.py").write_text(text)
    with pytest.raises(DeclarationError, match=r"project.py, line \d cannot be loaded: \w+") as told:
        load_project(tmp_path / "project.py")
    json.dumps(told.value.as_dict(), ensure_ascii=False).encode()


def test_interrupting_is_for_who_sits_at_the_keyboard(tmp_path):
    (tmp_path / "project.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_project(tmp_path / "project.py")


@pytest.mark.parametrize("error", [SystemExit(0), ValueError("x\ud800"), Speechless(), GeneratorExit()])
def test_what_a_training_function_raises_is_a_failed_training_in_every_process(tmp_path, error):
    def fit(frame):
        raise error

    with pytest.raises(TrainingFailed, match=type(error).__name__) as here:
        own_package(own_code(fit), Frame.__new__(Frame))
    for raised in (here.value, error):
        write_error(tmp_path, raised)
        with pytest.raises(TrainingFailed, match=type(error).__name__) as there:
            read_fitted(tmp_path)
        there.value.message.encode()
    words(error).encode()


def test_every_message_of_ours_can_be_written():
    assert HanokError("x\ud800").message == "x\\ud800"


def test_kept_code_that_ends_early_raises_what_it_raises(tmp_path):
    with pytest.raises(SystemExit):
        executed("project.fit", "0" * 64, "import sys; sys.exit()", tmp_path)
