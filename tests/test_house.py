"""What holds of the package's files: how large they are, and that no code is a copy."""

import ast
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1] / "sklearn_ae"
MOST_LINES, MOST_METHODS, SHORTEST_COPY = 500, 25, 6


class File(NamedTuple):
    """A file of the package, and numbers of its lines."""

    name: str
    lines: list[str]
    documentation: set[int]
    parameter_lists: set[int]  # signatures, calls, what stores parameters, imports
    n_methods: dict[str, int]  # of classes, without properties


def read(path):
    text = path.read_text()
    documentation, lists, n_methods = set(), set(), {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                documentation |= lines_of(first)
        if isinstance(node, ast.ClassDef):
            n_methods[node.name] = sum(map(is_method, node.body))
        elif isinstance(node, ast.FunctionDef):
            lists |= set(range(node.lineno, node.body[0].lineno))
        elif isinstance(node, ast.Import | ast.ImportFrom | ast.AnnAssign) or (
            isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
        ):
            lists |= lines_of(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            is_long = node.end_lineno > node.lineno
            lists |= lines_of(node) if is_long else set()
        elif isinstance(node, ast.Call | ast.Dict) and node.end_lineno > node.lineno:
            lists |= lines_of(node) - {node.lineno}
    name = str(path.relative_to(ROOT))
    return File(name, text.splitlines(), documentation, lists, n_methods)


def lines_of(node):
    return set(range(node.lineno, node.end_lineno + 1))


def is_method(node):
    return isinstance(node, ast.FunctionDef) and not any(
        "property" in ast.unparse(decorator) for decorator in node.decorator_list
    )


@pytest.fixture(scope="module")
def files():
    return list(map(read, sorted(ROOT.rglob("*.py"))))


def test_no_file_has_more_than_500_lines(files):
    sizes = {file.name: len(file.lines) - len(file.documentation) for file in files}
    assert not {name: n for name, n in sizes.items() if n > MOST_LINES}


def test_no_class_has_more_than_25_methods(files):
    numbers = {(f.name, cls): n for f in files for cls, n in f.n_methods.items()}
    assert not {name: n for name, n in numbers.items() if n > MOST_METHODS}


def test_no_six_lines_of_code_stand_twice(files):
    places = defaultdict(list)
    for file in files:
        left_out = file.documentation | file.parameter_lists
        code = [
            (number, line.strip())
            for number, line in enumerate(file.lines, 1)
            if number not in left_out and line.strip()
        ]
        for i in range(len(code) - SHORTEST_COPY + 1):
            run = tuple(line for _, line in code[i : i + SHORTEST_COPY])
            places[run].append((file.name, code[i][0]))
    assert not [where for where in places.values() if len(where) > 1]
