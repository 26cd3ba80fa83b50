"""The site's own code: pages of benchmarks, targets, links; and what the site names."""

import ast
import importlib
import json
import re
import tomllib
from pathlib import Path

import pytest
from docutils import nodes
from sklearn.base import BaseEstimator
from test_docstrings import public_objects

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TARGETS = tomllib.loads((DOCS / "targets.toml").read_text())["targets"]


@pytest.fixture
def docs_module(monkeypatch):
    """Import a module of the folder docs."""
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module


@pytest.fixture
def results(docs_module):
    return docs_module("_results")


RUN = {
    "command": "python -m benchmarks.some --k 2",
    "date": "2026-01-02",
    "machine": "x86-64, 2 cores",
    "threads": 1,
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
}


# Values -------------------------------------------------------------------------------

CONTENT = {
    "summary": {"means": {"2": {"ours": 0.5, "pca": 0.4}, "4": {"ours": 0.7}}},
    "results": [
        {"set": "a", "k": 2, "error": 1.0},
        {"set": "a", "k": 4, "error": 2.0},
        {"set": "b", "k": 2, "error": None},
    ],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (["summary", "means", "2", "ours"], [0.5]),
        (["summary", "means", "*", "ours"], [0.5, 0.7]),
        (["summary", "means", "*", "pca"], [0.4]),
        (["results", 1, "error"], [2.0]),
        (["results", 7, "error"], []),
        (["results", {"set": "a"}, "error"], [1.0, 2.0]),
        (["results", {"set": "a", "k": 4}, "error"], [2.0]),
        (["results", {"set": "c"}, "error"], []),
        (["results", {"set": "b"}, "error"], [None]),
        (["no", "such", "key"], []),
        (["summary", "means", "8", "*"], []),
    ],
)
def test_values_are_found_by_their_path(results, path, found):
    assert results.find(CONTENT, path) == found


def test_nothing_is_found_where_nothing_was_measured(results):
    assert results.find(None, ["results", "*", "error"]) == []


def row(name, method, error, k=2, seed=0):
    return {"set": name, "k": k, "seed": seed, "method": method, "error": error}


def test_cells_are_means_over_the_seeds(results):
    rows = [row("a", "ours", 1.0), row("a", "ours", 4.0, seed=1)]
    assert results.pivot(rows, "error") == {("a", 2): {"ours": 2.5}}


def test_ratios_are_taken_before_the_mean(results):
    rows = [row("a", "ours", 1.0), row("a", "pca", 2.0)]
    rows += [row("a", "ours", 8.0, seed=1), row("a", "pca", 10.0, seed=1)]
    cells = results.pivot(rows, "error", is_over_pca=True)
    assert cells["a", 2] == pytest.approx({"ours": 0.65, "pca": 1.0})


def test_errors_that_are_rounding_count_as_equal(results):
    rows = [row("a", "ours", 3e-12), row("a", "pca", 1e-15)]
    cells = results.pivot(rows, "error", is_over_pca=True)
    assert cells["a", 2] == {"ours": 1.0, "pca": 1.0}


def test_table_of_numbers_and_words(results):
    text = results.table(["name", "n"], [["a|b", 0.123456], ["c", None]])
    assert text.splitlines() == [
        "| name | n |",
        "| --- | ---: |",
        r"| a\|b | 0.1235 |",
        "| c | - |",
    ]


def test_medians_are_of_methods_with_all_tables(results):
    cells = {("b", 2): {"pca": 1.0, "ours": 0.2}, ("a", 2): {"ours": 0.6}}
    assert results.table_of_cells(cells).splitlines()[2:] == [
        "| a | 2 | 0.6 | - |",
        "| b | 2 | 0.2 | 1 |",
        "| median | - | 0.4 | - |",
    ]


# Targets ------------------------------------------------------------------------------


@pytest.fixture
def measured(docs_module, tmp_path):
    """Make a target of an entry of targets.toml and of what a file holds."""
    targets = docs_module("_targets")

    def make(lines, content):
        file = tmp_path / "targets.toml"
        text = '[[targets]]\ngroup = "G"\nwhat = "W"\nfile = "some.json"\n'
        file.write_text(text + lines)
        if content is not None:
            (tmp_path / "some.json").write_text(json.dumps(content))
        return targets.read_targets(file, tmp_path)

    return make


VALUES = {"values": [0.5, 0.7, 0.6], "others": [0.4, 0.7, 0.3], "one": 0.65}


@pytest.mark.parametrize(
    ("lines", "cells"),
    [
        ('value = ["values", "*"]\nat_most = 0.7', ["at most 0.7", "0.7", "met"]),
        ('value = ["values", "*"]\nbelow = 0.7', ["below 0.7", "0.7", "**not met**"]),
        ('value = ["values", "*"]\nat_least = 0.5', ["at least 0.5", "0.5", "met"]),
        ('value = ["values", "*"]\nabove = 0.5', ["above 0.5", "0.5", "**not met**"]),
        ('value = ["one"]\nabove = ["values", 0]', ["above 0.5", "0.65", "met"]),
        # of several bounds the hardest
        (
            'value = ["one"]\nabove = ["values", "*"]',
            ["above 0.7", "0.65", "**not met**"],
        ),
        (
            'value = ["one"]\nbelow = ["values", "*"]',
            ["below 0.5", "0.65", "**not met**"],
        ),
        (
            'value = ["values", "*"]\nminus = ["others", "*"]\nat_least = 0',
            ["at least 0", "0", "met"],
        ),
        (
            'value = ["values", "*"]\nover = ["others", "*"]\nat_most = 2\ndigits = 2',
            ["at most 2.00", "2.00", "met"],
        ),
        # shown with one digit, judged with all
        (
            'value = ["values", 1]\nat_most = 0.6999\ndigits = 1',
            ["at most 0.7", "0.7", "**not met**"],
        ),
    ],
)
def test_targets_and_what_was_measured(measured, lines, cells):
    (target,) = measured(lines, VALUES)
    wanted, value, verdict = cells
    measured = f"[{value}](pages/some.md)<br>{verdict}"
    assert target.cells("pages") == ["W", wanted, measured]


@pytest.mark.parametrize("content", [None, {}, {"values": []}, {"values": {}}])
@pytest.mark.parametrize("bound", ["0.5", '["values", 0]'])
def test_what_is_not_there_has_not_been_measured(measured, content, bound):
    (target,) = measured(f'value = ["values", "*"]\nat_most = {bound}', content)
    assert target.cells("pages")[2] == "not measured"


def test_pairs_with_a_missing_part_have_not_been_measured(measured):
    lines = 'value = ["values", "*"]\nminus = ["others", "*"]\nabove = 0'
    (target,) = measured(lines, {"values": [1, 2], "others": [1]})
    assert target.verdict == "not measured"


def test_a_failure_is_no_success(measured):
    (target,) = measured(
        'value = ["values", "*"]\nat_most = 1', {"values": [0.1, None]}
    )
    assert target.cells("pages")[2] == "[failed](pages/some.md)<br>**not met**"


def test_targets_that_a_file_brings_along(measured):
    rows = [
        {"what": "A", "value": 1.0, "bound": "at most", "limit": 2.0, "met": True},
        {"what": "B", "value": 1.0, "bound": "at least", "limit": 2.0, "met": False},
    ]
    targets = measured(
        'each = ["summary", "targets", "*"]', {"summary": {"targets": rows}}
    )
    assert [t.what for t in targets] == ["A", "B"]
    assert [t.verdict for t in targets] == ["met", "**not met**"]


def test_a_file_of_targets_that_is_missing_is_one_target_not_measured(measured):
    (target,) = measured('each = ["summary", "targets", "*"]', None)
    assert target.verdict == "not measured"


def test_far_outliers(docs_module):
    errors = {"pca": 2.0, "ours": 1.2, "mlp": 0.8, "lecture": 3.0}
    rows = [row("spambase", method, error) for method, error in errors.items()]
    # where no random start is below half of PCA's error, and where no tail is heavy
    rows += [row("spambase", m, 1.0, k=4) for m in errors]
    rows += [row("iris", m, e) for m, e in (errors | {"ours": 9.0}).items()]
    measure = docs_module("_targets").share_of_pca_on_heavy_tails
    assert measure({"results": rows}) == pytest.approx([0.6])
    assert measure(None) == []


@pytest.mark.parametrize("entry", TARGETS, ids=lambda entry: entry["what"][:40])
def test_target_says_where_it_is_measured(entry, docs_module):
    targets = docs_module("_targets")
    assert {"group", "what"} < entry.keys()
    if "tests" in entry:
        for name in entry["tests"]:
            path, _, function = name.partition("::")
            tree = ast.parse((ROOT / path).read_text())
            assert function in {getattr(node, "name", "") for node in ast.walk(tree)}
    elif "each" not in entry:
        assert len(targets.BOUNDS.keys() & entry.keys()) == 1
        assert ("value" in entry) != ("measure" in entry)


def test_targets_are_found_in_files_that_are_measured_as_a_whole(docs_module):
    """A way that leads nowhere would read as "not measured"."""
    targets = docs_module("_targets").read_targets(
        DOCS / "targets.toml", ROOT / "benchmarks" / "results"
    )
    in_parts = ("vae.json", "faces.json")
    for target in targets:
        path = ROOT / "benchmarks" / "results" / target.file
        if target.file and path.exists() and target.file not in in_parts:
            assert target.verdict != "not measured", target.what


# Pages --------------------------------------------------------------------------------


@pytest.fixture
def pages(docs_module, tmp_path):
    """Make the pages of a folder of results; give their texts by name."""
    module = docs_module("_benchmark_pages")

    def make(contents):
        folder = tmp_path / "results"
        folder.mkdir(exist_ok=True)
        for name, content in contents.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        module.make_pages(tmp_path / "docs", folder, DOCS / "targets.toml")
        made = tmp_path / "docs" / "generated" / "benchmarks"
        texts = {path.stem: path.read_text() for path in made.glob("*.md")}
        return texts | {"benchmarks": (tmp_path / "docs/benchmarks.md").read_text()}

    return make


def test_page_of_a_file_says_how_it_was_measured(pages):
    content = {"runs": [RUN], "summary": {}, "results": [row("a", "ours", 0.5)]}
    text = pages({"reconstruction": content})["reconstruction"]
    assert f"```sh\n{RUN['command']}\n```" in text
    assert (
        "- 2026-01-02, x86-64, 2 cores, threads: 1; python 3.11.7, torch 2.13" in text
    )


def test_page_of_ratios(pages):
    rows = [row("iris", "pca", 2.0), row("iris", "ours", 0.5)]
    content = {"runs": [RUN], "summary": {}, "results": rows}
    text = pages({"reconstruction": content})["reconstruction"]
    assert "| table | k | ours | pca |" in text
    assert "| iris | 2 | 0.25 | 1 |" in text


def test_page_of_an_unknown_file_has_its_rows(pages):
    rows = [
        {"section": "quick", "what": "A", "some_seconds": 1.5},
        {"section": "slow", "what": "B", "some_seconds": 2.5},
        {"section": "slow", "what": "C", "failure": "ValueError: no"},
    ]
    texts = pages({"unheard_of": {"runs": [RUN], "summary": {}, "results": rows}})
    assert "# Unheard of" in texts["unheard_of"]
    assert "### quick\n\n| what | some seconds |" in texts["unheard_of"]
    assert "| B | 2.5 |" in texts["unheard_of"]
    assert "generated/benchmarks/unheard_of" in texts["benchmarks"]


def test_page_of_digits_samples_and_anomalies(pages):
    place = {"set": "t", "seed": 0, "k": 2, "n_columns": 3}
    rows = [
        place | {"section": "mnist", "method": "VAETransformer", "nll": 90.5},
        place | {"section": "samples", "method": "VAE", "auc": 0.75},
        place | {"section": "samples", "method": "Gaussian mixture", "auc": 0.875},
        place | {"section": "anomalies", "method": "PCA likelihood", "auroc": 0.5},
    ]
    sections = ("mnist", "samples", "anomalies")
    contents = {
        file: {
            "runs": [RUN],
            "summary": {},
            "results": [row for row in rows if row["section"] == section],
        }
        for file, section in zip(("vae", "samples", "detection"), sections, strict=True)
    }
    texts = pages(contents)
    assert "| t | 2 | VAETransformer | 90.5 |" in texts["vae"]
    assert "| table | k | VAE | Gaussian mixture |" in texts["samples"]
    assert "| t | 2 | 0.75 | 0.875 |" in texts["samples"]
    assert "| table | k | PCA likelihood |" in texts["detection"]


def test_page_of_faces(pages):
    of_group = {
        "run": RUN,
        "n_train": {"A_B": 3, "C": 4},
        "held_out_error": {"A_B": 0.05, "C": 0.06, "all": 0.055},
        "swaps": {"A_B as C": {"called_target": 0.9}},
        "step_seconds": 0.3,
    }
    text = pages({"faces": {"A_B,C": of_group}})["faces"]
    assert "### A B, C" in text
    assert "| A B as C | 0.9 |" in text
    assert "| A B | 3 | 0.05 |" in text
    assert "| step seconds | 0.3 |" in text
    assert RUN["command"] in text


def test_pages_of_files_that_are_gone_are_removed(pages, tmp_path):
    content = {"runs": [RUN], "summary": {}, "results": []}
    pages({"one": content, "two": content})
    (tmp_path / "results" / "one.json").unlink()
    assert set(pages({})) == {"two", "benchmarks"}


def test_page_of_targets_counts_them(pages):
    text = pages({})["benchmarks"]
    n_tests = sum("tests" in entry for entry in TARGETS)
    n_others = len(TARGETS) - n_tests
    assert (
        f"Of {len(TARGETS)} targets {n_tests} are met, 0 are not, and {n_others}"
        in text
    )


def test_pages_of_what_is_there_can_be_made(pages):
    folder = ROOT / "benchmarks" / "results"
    contents = {p.stem: json.loads(p.read_text()) for p in folder.glob("*.json")}
    texts = pages(contents)
    assert texts.keys() == contents.keys() | {"benchmarks"}
    assert all("## Results" in texts[name] for name in contents)


def test_table_of_the_page_of_alternatives_is_that_of_the_results(results):
    file = ROOT / "benchmarks" / "results" / "alternatives.json"
    summary = json.loads(file.read_text(encoding="utf-8"))["summary"]
    page = (DOCS / "alternatives.md").read_text(encoding="utf-8")
    assert results.alternatives_table(summary) in page


# Links --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "page", "rewritten"),
    [
        # an example is a page of the gallery
        (
            "../examples/plot_1_autoencoder.py",
            "guide/images.md",
            "/auto_examples/plot_1_autoencoder.rst",
        ),
        ("examples", "index.md", "/auto_examples/index.rst"),
        (
            "../benchmarks/README.md#images",
            "a.md",
            "/generated/benchmarks/methods.md#images",
        ),
        ("../../CHANGELOG.md", "guide/a.md", "/generated/changelog.md"),
        # all else stays
        ("default_recipe.md#latents", "a.md", "default_recipe.md#latents"),
        ("../default_recipe.md", "guide/a.md", "../default_recipe.md"),
        (
            "../../benchmarks/results/x.json",
            "guide/a.md",
            "../../benchmarks/results/x.json",
        ),
        ("#latents", "a.md", "#latents"),
        ("https://example.org/a.md", "a.md", "https://example.org/a.md"),
    ],
)
def test_links_of_a_page(docs_module, link, page, rewritten):
    links = docs_module("_links")
    folder = f"docs/{Path(page).parent}"
    assert (
        links.rewrite_links(f"[text]({link})", folder, page) == f"[text]({rewritten})"
    )


def test_links_of_a_copy(docs_module):
    links = docs_module("_links")
    text = "[a](results/x.json) [b](../docs/guide/images.md#networks) [c](../README.md)"
    assert links.rewrite_links(
        text, "benchmarks", "generated/benchmarks/methods.md"
    ) == (
        "[a](../../../benchmarks/results/x.json) [b](../../guide/images.md#networks) "
        "[c](/index.md)"
    )


# Formulas, and names of scikit-learn ----------------------------------------------


class Translator:
    def __init__(self):
        self.body = []

    def encode(self, text):
        return text.replace("<", "&lt;")


@pytest.mark.parametrize(
    ("node", "starts"),
    [
        (nodes.math("", r"\frac{1}{2}"), "<math"),
        (nodes.math_block("", r"\frac{1}{2}"), '<div class="formula"><math'),
    ],
)
def test_formulas_become_mathml(docs_module, node, starts):
    translator = Translator()
    with pytest.raises(nodes.SkipNode):
        docs_module("_math").write_mathml(translator, node)
    (written,) = translator.body
    assert written.startswith(starts)
    assert "<mfrac>" in written


@pytest.mark.parametrize(
    ("target", "page"),
    [
        ("sklearn.decomposition.PCA", "sklearn.decomposition.PCA.html"),
        ("sklearn.datasets.fetch_openml", "sklearn.datasets.fetch_openml.html"),
        ("sklearn", None),
        ("sklearn_ae.AutoencoderTransformer", None),
        ("numpy.ndarray", None),
    ],
)
def test_links_to_scikit_learn(docs_module, target, page):
    found = docs_module("_scikit_learn").resolve(
        None, None, {"reftarget": target}, nodes.Text(target)
    )
    assert (found and found["refuri"].rpartition("/")[2]) == page


def test_references_of_inherited_docstrings_become_text(docs_module):
    lines = ["See :ref:`User Guide <metadata_routing>` and :ref:`glossary`."]
    module = docs_module("_scikit_learn")
    module.shorten(None, "method", "get_params", BaseEstimator.get_params, None, lines)
    assert lines == ["See User Guide and glossary."]


# What the site names ------------------------------------------------------------------


def test_reference_has_every_public_object_once():
    module, listed = "", []
    for line in (DOCS / "api.rst").read_text().splitlines():
        if match := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif re.fullmatch(r"   [A-Za-z]\w+", line):
            listed.append(f"{module}.{line.strip()}")
    public = [name for name in public_objects() if not name.endswith("__version__")]
    assert sorted(listed) == sorted(public)
