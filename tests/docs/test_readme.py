"""README.md: its table is that of the results, and its links lead somewhere."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks._ratios import error_ratios

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
METHODS = ["ours", "pca", "kernel_pca", "mlp", "lecture"]


@pytest.fixture(scope="module")
def results():
    path = ROOT / "benchmarks" / "results" / "reconstruction.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ratios(results):
    frame = pd.DataFrame(results["results"])
    if "failure" not in frame:
        frame["failure"] = np.nan
    return error_ratios(frame).cells


def line(start):
    (found,) = [text for text in README.splitlines() if text.startswith(f"| {start}")]
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_errors_are_those_measured(ratios):
    medians = ratios[METHODS].median()
    assert line("held-out squared error") == [
        f"{m:.2f}".replace("1.00", "1") for m in medians
    ]
    assert f"median of {len(ratios)} cells" in README
    assert f"{ratios.index.unique('set').size} tables" in README


def test_shares_are_those_measured(ratios):
    shares = (ratios[METHODS] <= 1.0005).mean()
    assert line("cells in which") == [
        f"{share:.0%}".replace("%", " %") for share in shares
    ]


def test_accuracies_are_those_measured(results):
    measured = results["summary"]["accuracy"]["knn_accuracy"]
    means = measured["means"]["2"]
    expected = [f"{means[name]:.2f}" if name in means else "-" for name in METHODS]
    assert line("5-NN accuracy") == expected
    assert f"mean of {measured['n_tables']['2']} tables" in README


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README))
def test_links_lead_to_files(link):
    assert (ROOT / link).exists()
