"""The gallery's examples run, on the bundled digits, and draw what they announce."""

import ast
import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

mpl.use("Agg")

EXAMPLES = sorted(Path(__file__).parents[2].glob("docs/examples/plot_*.py"))


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, monkeypatch, capsys):
    title, line = ast.get_docstring(ast.parse(path.read_text())).splitlines()[:2]
    assert line == "=" * len(title)  # or sphinx-gallery finds no heading

    for data in ("MNIST", "OLIVETTI", "LFW"):
        monkeypatch.delenv(f"SKLEARN_AE_{data}", raising=False)
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    runpy.run_path(str(path))  # warnings are errors, as in all tests
    assert shown
    for number in shown:
        figure = plt.figure(number)
        figure.draw_without_rendering()
        assert any(ax.has_data() for ax in figure.axes)
    printed = capsys.readouterr()
    assert printed.out
    assert not printed.err
