"""Plant one fault per check in a copy of the repository: that check alone must fail.

python tools/check_the_checks.py            every fault
python tools/check_the_checks.py mypy ...   the faults named

The steps of ``.ci/run`` are run on the copy, in a virtual environment of its own. Of
the tests only those are run that should notice the fault, or else a few. The comparison
is run only for the faults that concern the installed package, the site is built only
for those that concern it, and without its gallery.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = "tests/networks/test_losses.py"
STEPS = ["tests", "ruff", "format", "mypy", "imports"]
NO_GALLERY = "-D plot_gallery=0"
PLANTED_TEST = "tests/test_planted.py"
MYPY_CACHE = ".mypy_cache"  # of what is sound: it saves a minute each time


@dataclass
class Fault:
    name: str
    path: str
    edit: Callable[[str], str]  # the text of the file, "" where there is none
    fails: set[str]  # exactly these steps
    says: str  # in the output of each step that fails
    steps: list[str] | None = None  # STEPS, in the environment shared by all faults
    tests: str = TESTS
    sphinx_options: str = NO_GALLERY


def append(text: str) -> Callable[[str], str]:
    return lambda old: old + text


def replace(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        if text.count(old) != 1:
            raise SystemExit(f"expected once in the file: {old!r}")
        return text.replace(old, new)

    return edit


FAULTS = [
    Fault("ruff", "tools/planted.py", append("import json\n"), {"ruff"}, "F401"),
    Fault("format", "tools/planted.py", append("x = 'a'\n"), {"format"}, "planted.py"),
    Fault(
        "mypy",
        "sklearn_ae/_networks/losses.py",
        append('\n\ndef planted() -> int:\n    return "one"\n'),
        {"mypy"},
        "Incompatible return value",
    ),
    Fault(
        "user's types",
        "sklearn_ae/metrics.py",
        replace(
            "def reconstruction_r2(estimator: Any, X: Any, y: Any = None) -> float:",
            "def reconstruction_r2(estimator, X, y=None):",
        ),
        {"mypy"},
        "users_file.py",
    ),
    Fault(
        "layers",
        "sklearn_ae/_networks/losses.py",
        append(
            "\n\ndef planted():\n    from .._estimators import base\n\n"
            "    return base\n"
        ),
        {"imports"},
        "floors below its own BROKEN",
    ),
    Fault(
        "no-layer",
        "sklearn_ae/_planted.py",
        append('"""A room without a place in the layers."""\n'),
        {"imports"},
        "floors below its own BROKEN",
    ),
    Fault(
        "skorch",
        "sklearn_ae/_networks/modules.py",
        append("\n\ndef planted():\n    import skorch\n\n    return skorch\n"),
        {"imports"},
        "imports skorch BROKEN",
    ),
    Fault(
        "extras",
        "sklearn_ae/_networks/modules.py",
        append("\n\ndef planted():\n    import pandas\n\n    return pandas\n"),
        {"imports"},
        "installs BROKEN",
    ),
    Fault(
        "docstring",
        "sklearn_ae/__init__.py",
        append(
            '\n\ndef planted(x):\n    """Do nothing."""\n\n\n__all__ += ["planted"]\n'
        ),
        {"tests"},
        "test_docstrings.py::test_docstring[sklearn_ae.planted]",
        tests="tests/docs/test_docstrings.py",
    ),
    Fault(
        "test",
        PLANTED_TEST,
        append("def test_planted():\n    assert 1 + 1 == 3\n"),
        {"tests"},
        "test_planted.py::test_planted",
        tests=PLANTED_TEST,
    ),
    Fault(
        "warning",
        PLANTED_TEST,
        append(
            "import warnings\n\n\ndef test_planted():\n"
            '    warnings.warn("planted", stacklevel=1)\n'
        ),
        {"tests"},
        "test_planted.py::test_planted",
        tests=PLANTED_TEST,
    ),
    Fault(
        "xfail",
        PLANTED_TEST,
        append(
            "import pytest\n\n\n@pytest.mark.xfail(reason='it passes')\n"
            "def test_planted():\n    pass\n".replace("'", '"')
        ),
        {"tests"},
        "test_planted.py::test_planted",
        tests=PLANTED_TEST,
    ),
    Fault(
        "example",
        "sklearn_ae/_networks/losses.py",
        append(
            '\n\ndef planted():\n    """Do nothing.\n\n    >>> 1 + 1\n    3\n    """\n'
        ),
        {"tests"},
        "sklearn_ae._networks.losses.planted",
        tests="sklearn_ae/_networks/losses.py",
    ),
    Fault(
        "readme",
        "README.md",
        append("\n```python\n>>> 1 + 1\n3\n\n```\n"),
        {"tests"},
        "README.md::README.md",
        tests="README.md",
    ),
    Fault(
        "python-block",
        "README.md",
        append("\n```python\n1 + 1\n```\n"),
        {"tests"},
        "test_python_blocks_are_doctests[README.md]",
        tests="tests/docs/test_code_blocks.py",
    ),
    Fault(
        "shell-block",
        "README.md",
        append("\n```sh\npython -m sklearn_ae compare digits --planted\n```\n"),
        {"tests"},
        "test_command_exists[README.md-python -m sklearn_ae compare digits --planted]",
        tests="tests/docs/test_code_blocks.py",
    ),
    Fault(
        "reference",
        "docs/api.rst",
        replace("   to_npy\n", ""),
        {"tests"},
        "test_reference_has_every_public_object_once",
        tests="tests/docs/test_docs_site.py",
    ),
    Fault(
        "target",
        "docs/targets.toml",
        append(
            '\n[[targets]]\ngroup = "Speed"\nwhat = "Planted"\n'
            'tests = ["tests/test_main.py::test_planted"]\n'
        ),
        {"tests"},
        "test_target_says_where_it_is_measured[Planted]",
        tests="tests/docs/test_docs_site.py",
    ),
    Fault(
        "docs-link",
        "docs/default_recipe.md",
        append("\n[planted](planted.md)\n"),
        {"docs"},
        "target not found: 'planted.md'",
        steps=[*STEPS, "docs"],
    ),
    Fault(
        "docs-anchor",
        "docs/default_recipe.md",
        append('\n<a href="#planted">planted</a>\n'),
        {"docs"},
        "#planted: there is no such anchor",
        steps=[*STEPS, "docs"],
    ),
    Fault(
        "docs-page",
        "docs/guide/planted.md",
        append("# Planted\n"),
        {"docs"},
        "planted.md: WARNING: document isn't included in any toctree",
        steps=[*STEPS, "docs"],
    ),
    Fault(
        "docs-name",
        "sklearn_ae/plotting/__init__.py",
        replace("such as PCA or", "such as\n:class:`sklearn_ae.Planted` or"),
        {"docs"},
        "reference target not found: sklearn_ae.Planted",
        steps=[*STEPS, "docs"],
    ),
    Fault(
        "gallery",
        "docs/examples/plot_9_planted.py",
        append('"""\nPlanted\n=======\n"""\n\nraise ValueError("planted")\n'),
        {"docs"},
        "ValueError: planted",
        steps=[*STEPS, "docs"],
        sphinx_options="-D sphinx_gallery_conf.filename_pattern=plot_9_planted",
    ),
    Fault(
        "wheel",
        "pyproject.toml",
        replace(
            'packages = ["sklearn_ae"]',
            'packages = ["sklearn_ae"]\nexclude = ["sklearn_ae/comparison"]',
        ),
        {"compare"},
        "No module named 'sklearn_ae.comparison'",
        steps=[*STEPS, "compare"],
    ),
    Fault(
        "dependency",
        "pyproject.toml",
        lambda text: re.sub(r'^ *"skorch>=.*\n', "", text, flags=re.MULTILINE),
        {"compare", "docs", "tests"},
        "No module named 'skorch'",
        steps=[],  # all, in a fresh environment
        tests="README.md",
    ),
]


def copy_repository(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def ci(
    folder: Path,
    bin_folder: Path,
    *steps: str,
    tests: str = TESTS,
    sphinx_options: str = NO_GALLERY,
) -> tuple[set[str], str]:
    """Run steps on a copy; return the names of those that failed, and the output."""
    run = subprocess.run(
        [folder / ".ci" / "run", *steps],
        env={
            **os.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_ADDOPTS": f"-n 0 {tests}",
            "SPHINXOPTS": sphinx_options,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    failed = set(re.findall(r"^(\w+) +\d+ s  FAILED$", run.stdout, re.MULTILINE))
    if bool(run.returncode) != bool(failed):
        failed.add(f"exit status {run.returncode}")
    return failed, run.stdout


def verdict(fault: Fault, failed: set[str], output: str) -> str:
    if failed != fault.fails:
        return f"WRONG: failed {sorted(failed)}, expected {sorted(fault.fails)}"
    sections = dict(
        re.findall(
            r"^===== (\w+)\n(.*?)^===== \1 +\d+ s  ", output, re.MULTILINE | re.DOTALL
        )
    )
    for step in sorted(failed):
        if fault.says not in sections.get(step, ""):
            return f"WRONG: {step} does not say {fault.says!r}"
    if failed == {"tests"}:  # planted in one test: no other may fail
        named = re.findall(r"^(?:FAILED|ERROR) \S+::.*", output, re.MULTILINE)
        if others := [line for line in named if fault.says not in line]:
            return f"WRONG: failed too: {others}"
    return f"ok: failed {', '.join(sorted(failed))}"


def main(names: list[str]) -> int:
    if unknown := set(names) - {fault.name for fault in FAULTS}:
        raise SystemExit(f"no such fault: {', '.join(sorted(unknown))}")
    wrong = 0
    with tempfile.TemporaryDirectory() as tmp:
        environment = Path(tmp) / "venv"
        venv.create(environment, with_pip=True)
        bin_folder = environment / "bin"

        sound = Path(tmp) / "sound"
        copy_repository(sound)
        failed, output = ci(sound, bin_folder, "tools", *STEPS, "docs")
        if failed:
            print(output)
            print(f"without any fault, these fail: {', '.join(sorted(failed))}")
            return 1
        print(f"{'(none)':12} ok: all pass", flush=True)

        for fault in FAULTS:
            if names and fault.name not in names:
                continue
            folder = Path(tmp) / fault.name
            copy_repository(folder)
            shutil.copytree(sound / MYPY_CACHE, folder / MYPY_CACHE)
            path = folder / fault.path
            old = path.read_text() if path.exists() else ""
            new = fault.edit(old)
            assert new != old, f"{fault.name}: nothing planted"
            path.write_text(new)
            steps = STEPS if fault.steps is None else fault.steps
            failed, output = ci(
                folder,
                bin_folder,
                *steps,
                tests=fault.tests,
                sphinx_options=fault.sphinx_options,
            )
            text = verdict(fault, failed, output)
            print(f"{fault.name:12} {text}", flush=True)
            if text.startswith("WRONG"):
                wrong += 1
                print(output)
    print(f"{wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
