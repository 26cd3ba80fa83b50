"""Code blocks of README and docs: Python runs as a doctest, shell commands exist."""

import argparse
import importlib
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
# Programs that are no part of the package, whose options are their own matter.
PROGRAMS = {
    *("asv", "cd", "git", "source", "unzip"),
    *("lint-imports", "mypy", "pre-commit", "ruff", "sphinx-build"),
}
BLOCK = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def pages():
    """The files that people read, without those that are made of others."""
    names = ["*.md", "benchmarks/*.md", "docs/*.md"]
    names += [f"docs/{folder}/*.md" for folder in ("estimators", "guide")]
    paths = sorted(path for name in names for path in ROOT.glob(name))
    return [path for path in paths if path != ROOT / "docs" / "benchmarks.md"]


def blocks(path, *languages):
    for block in BLOCK.finditer(path.read_text(encoding="utf-8")):
        if block[2] in languages:
            yield block[3]


def commands(path):
    """The single commands of the blocks for a shell."""
    for block in blocks(path, "sh", "bash", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.split(r"&&|\|", re.sub(r"(^|\s)#.*", "", line)):
                if command.strip():
                    yield command.strip()


ALL_COMMANDS = sorted({(p.name, c) for p in pages() for c in commands(p)})


def names_of(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", pages(), ids=names_of(pages()))
def test_python_blocks_are_doctests(path):
    for block in blocks(path, "python", "py", "pycon", "python3"):
        assert block.lstrip().startswith(">>> "), f"is run by nobody:\n{block}"


@pytest.mark.parametrize("path", pages(), ids=names_of(pages()))
def test_blocks_say_what_they_are(path):
    for block in BLOCK.finditer(path.read_text(encoding="utf-8")):
        assert block[2], f"```python, ```sh or ```text, for:\n{block[3]}"


def test_doctests_of_all_pages_are_collected():
    collected = {
        path
        for name in PYPROJECT["tool"]["pytest"]["ini_options"]["testpaths"]
        for path in ROOT.glob(name)
    }
    with_doctests = {p for p in pages() if any(blocks(p, "python"))}
    assert with_doctests <= collected


# Commands -----------------------------------------------------------------------------


class ParsedError(Exception):
    """Raised once the arguments have been understood, before anything is done."""


@pytest.fixture
def parse(monkeypatch):
    """Let a module's `main` parse arguments, and no more."""
    original = argparse.ArgumentParser.parse_args

    def parse_args(self, *args, **kwargs):
        original(self, *args, **kwargs)
        raise ParsedError

    def parse(module, arguments):
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        with pytest.raises(ParsedError):
            importlib.import_module(module).main(arguments)

    return parse


@pytest.mark.parametrize(("page", "command"), ALL_COMMANDS)
def test_command_exists(page, command, parse):
    words = shlex.split(command)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        del words[0]  # a variable for the command's environment
    program, arguments = words[0], words[1:]
    if program in ("python", "python3") and arguments[0] == "-m":
        check_module(arguments[1], arguments[2:], parse)
    elif program in ("python", "python3"):
        assert (ROOT / arguments[0]).is_file()
    elif program == "pip":
        check_pip(arguments)
    elif program == "pytest":
        for argument in arguments:
            if argument.startswith("tests/"):
                assert (ROOT / argument.partition("::")[0]).is_file()
    elif program == ".ci/run":
        steps = re.findall(r"^(\w+)\(\)", (ROOT / ".ci/run").read_text(), re.MULTILINE)
        assert set(arguments) <= set(steps)
    else:
        assert program in PROGRAMS or shutil.which(program)


def check_module(module, arguments, parse):
    if module.startswith("benchmarks."):
        parse(module, arguments)
    elif module == "sklearn_ae":
        parse("sklearn_ae.__main__", arguments)
    else:
        assert module in ("pip", "venv")


def check_pip(arguments):
    for argument in arguments:
        extras = re.fullmatch(r"(?:\.|sklearn_ae)\[([\w,]+)\]", argument)
        if extras:
            assert set(extras[1].split(",")) <= set(EXTRAS)


@pytest.mark.parametrize(
    "command",
    [
        "python -m sklearn_ae compare digits --no-such-option",
        "python -m benchmarks.images --methods no_such_method",
        "python no/such/file.py",
        "pip install '.[no_such_extra]'",
        "pytest tests/test_no_such_file.py",
        ".ci/run no_such_step",
        "no_such_program",
    ],
)
def test_command_that_does_not_exist_is_noticed(command, parse):
    with pytest.raises((AssertionError, SystemExit)):
        test_command_exists("README.md", command, parse)
