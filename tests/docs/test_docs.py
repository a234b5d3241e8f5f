"""The documentation is true: marked blocks run, commands exist, links lead somewhere, tables are complete."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import click
import pytest

from hanok.cli import COMMANDS, cli
from hanok.core import errors
from hanok.engine.config import Config
from hanok.engine.verbs.registry import VERBS, load_all

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OURS = [page for page in PAGES if "decisions" not in page.parts]
REFERENCE = ROOT / "docs" / "reference"
FENCE = re.compile(r"(?:^<!-- test: (?P<test>[\w-]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
INLINE = re.compile(r"`(hanok [^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block. `test` names the directory that it runs in; without it the block is only read."""

    page: Path
    test: str
    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    return [Block(page, m["test"] or "", m["language"], m["code"]) for m in FENCE.finditer(page.read_text())]


def sequences() -> list[tuple[str, list[Block]]]:
    """The marked blocks of each page and name, in order: they share a directory."""
    found: dict[str, list[Block]] = {}
    for page in PAGES:
        for block in blocks(page):
            if block.test:
                found.setdefault(f"{page.relative_to(ROOT)}:{block.test}", []).append(block)
    return list(found.items())


def commands() -> dict[str, click.Command]:
    """Every command by its words, without groups."""
    found: dict[str, click.Command] = {}

    def walk(command: click.Command, words: tuple[str, ...]) -> None:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None, name
                walk(child, (*words, name))
        else:
            found[" ".join(words)] = command

    walk(cli, ())
    return found


def mentioned() -> list[tuple[str, str]]:
    """Each use of `hanok ...` in the documentation, in bash blocks and in the text: where it is, and its words."""
    found = []
    for page in OURS:
        where = str(page.relative_to(ROOT))
        lines = [line for b in blocks(page) if b.language == "bash" for line in b.code.splitlines()]
        found += [(where, line.split("  #")[0].strip()) for line in lines if line.startswith("hanok ")]
        found += [(where, m[1]) for m in INLINE.finditer(FENCE.sub("", page.read_text()))]
    return found


SELDOM = ("profile", "tune", "autolog", "offline", "back-alias", "clean-up", "configuration")  # with `make conformance`
RUN = [
    pytest.param(
        name, steps, id=name, marks=[pytest.mark.conformance] if name.endswith(tuple(f":{s}" for s in SELDOM)) else []
    )
    for name, steps in sequences()
]


@pytest.mark.parametrize(("name", "steps"), RUN)
def test_marked_blocks_run(name, steps, tmp_path, replayed_home):
    """A name that begins with `shop` finds the home of the replayed shop in `.hanok`."""
    if name.partition(":")[2].startswith("shop"):
        shutil.copytree(replayed_home, tmp_path / ".hanok")
        (tmp_path / "hanok.toml").write_text(f'project = "{ROOT}/tests/loop/project.py"\n')
    tools = tmp_path / ".tools"
    tools.mkdir()
    command = tools / "hanok"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m hanok "$@"\n')
    command.chmod(0o755)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("HANOK_", "MLFLOW_"))},
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    for number, step in enumerate(steps):
        if step.language == "python":
            script = tmp_path / f"block{number}.py"
            script.write_text(step.code)
            words = [sys.executable, str(script)]
        else:
            assert step.language == "bash", step.language
            words = ["bash", "-euo", "pipefail", "-c", step.code]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        if (project := tmp_path / "project.py").exists():  # a search of a minute is cut to seconds
            project.write_text(project.read_text().replace('budget="60s"', 'budget="4s"'))
        assert done.returncode == 0, f"{name}, block {number + 1}:\n{step.code}\n{done.stdout}\n{done.stderr}"


def test_python_blocks_are_python():
    for page in OURS:
        for block in blocks(page):
            if block.language == "python":
                text = block.code if "=hk." not in block.code.split("(")[0] else f"dict({block.code})"
                compile(text, str(page.relative_to(ROOT)), "exec")


def test_every_command_and_option_in_the_documentation_exists():
    known = commands()
    groups = {words.split()[0] for words in known if " " in words}
    for where, line in mentioned():
        words = line.split()[1:]
        if words[0].startswith("-"):
            assert words[0] in ("--help", "--version"), f"{where}: {line}"
            continue
        depth = 2 if words[0] in groups else 1
        if depth == 2 and len(words) == 1:
            continue
        name = " ".join(words[:depth])
        assert name in known, f"{where}: there is no command {name!r}, in {line!r}"
        options = {o for p in known[name].params for o in p.opts} | {"--help"}
        for option in (w for w in words if w.startswith("--")):
            assert option in options, f"{where}: {name!r} has no {option}, in {line!r}"


def test_every_command_line_in_a_block_is_taken_by_its_command():
    """With its arguments: as many as the command takes, and of their types."""
    known = commands()
    for page in OURS:
        lines = [line for b in blocks(page) if b.language == "bash" for line in b.code.splitlines()]
        for line in (text for text in lines if text.startswith("hanok ")):
            words = shlex.split(re.split(r" [|>&] ?", line)[0], comments=True)[1:]
            name = next(" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in known or n == 1)
            if name.startswith("-"):
                continue
            given = words[len(name.split()) :]
            try:
                known[name].make_context(name, list(given))
            except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):
                continue
            except click.UsageError as error:
                if "does not exist" in error.message:  # a file of the reader's
                    continue
                raise AssertionError(f"{page.relative_to(ROOT)}: {line!r}: {error.message}") from None


def test_every_command_option_and_default_is_in_the_reference():
    page = (REFERENCE / "cli.md").read_text()
    lines = {m[1]: line for line in page.splitlines() if (m := re.match(r"\| `hanok ([a-z -]+)` \|", line))}
    known = commands()
    assert set(lines) == set(known)
    assert {words.split()[0] for words in lines} == set(COMMANDS)
    for name, command in known.items():
        for option in (p for p in command.params if isinstance(p, click.Option)):
            if option.name not in ("home", "as_json"):
                assert f"`{option.opts[0]}" in lines[name], f"{name}: {option.opts[0]}"
            if option.show_default and option.name not in ("home", "as_json"):
                assert f"(default {option.default})" in lines[name], f"{name}: default of {option.opts[0]}"


def test_every_setting_is_in_the_reference():
    page = (REFERENCE / "configuration.md").read_text()
    for setting in fields(Config):
        assert f"| `{setting.name}` |" in page, setting.name


def test_every_environment_variable_that_is_read_is_in_the_reference():
    page = (REFERENCE / "configuration.md").read_text()
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for variable in set(re.findall(r'environ(?:ment)?\.get\("(\w+)"|env\.get\("(\w+)"', source)):
        name = next(filter(None, variable))
        assert f"`{name}`" in page, name


def test_every_declaration_is_in_the_reference():
    import hanok as hk

    page = (REFERENCE / "configuration.md").read_text()
    for name in hk.__all__:
        if hk._WHERE.get(name, ("",))[0] == "hanok.core.declare" and name != "Aggregate":
            assert f"`hk.{name}" in page, name


def test_every_error_is_in_the_reference_with_its_statuses():
    page = (REFERENCE / "errors.md").read_text()
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.HanokError):
            assert f"| `{error.code}` | {error.status} | {error.exit_code} |" in page, error.__name__


def test_every_verb_is_in_the_reference_with_its_access_and_arguments():
    load_all()
    lines = (REFERENCE / "http-api.md").read_text().splitlines()
    for name, verb in VERBS.items():
        start = f"| `/api/v1/{name.replace('.', '/')}` | {verb.access.name.lower()} |"
        found = next((line for line in lines if line.startswith(start)), None)
        assert found is not None, start
        for argument in verb.arguments:
            assert f"`{argument}`" in found, f"{name}: {argument}"


def test_every_page_is_reached_from_the_map():
    page = ROOT / "docs" / "index.md"
    linked = {(page.parent / m["target"].partition("#")[0]).resolve() for m in LINK.finditer(page.read_text())}
    for other in OURS:
        assert other in linked or other in (page, ROOT / "README.md"), other.relative_to(ROOT)


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_links_and_pictures_lead_somewhere(page):
    for match in LINK.finditer(FENCE.sub("", page.read_text())):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{target} does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings}, anchor


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").glob("*.png"):
        assert picture.stat().st_size < 150_000, picture.name
