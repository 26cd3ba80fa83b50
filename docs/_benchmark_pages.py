"""Pages of what the benchmarks have measured, made of the files they wrote.

``benchmarks.md`` has the targets of ``targets.toml``, each beside the value in
``benchmarks/results``; every file there gets a page of its own under
``generated/benchmarks``. Nothing on them is typed by hand.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _links import ROOT, write
from _results import code, find, pivot, read_results, table, table_of_cells
from _targets import Target, read_targets
from sphinx.application import Sphinx

RESULTS = ROOT / "benchmarks" / "results"
TARGETS = Path(__file__).with_name("targets.toml")
PAGES = "generated/benchmarks"


def by_method(content: Any, page: "Page") -> str:
    """One line per table and k, one column per method."""
    rows = content["results"]
    return table_of_cells(pivot(rows, page.quantity, page.is_over_pca))


HIDDEN = {"section", "seed", "n_columns", "layers", "failure"}


def by_section(content: Any, page: "Page") -> str:
    """One table per section, or per method with a section of its own."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for row in content["results"]:
        name = row.get("section", row.get("method", ""))
        name = name if "section" in row or name in page.sections else ""
        sections.setdefault(name, []).append(row)
    parts = []
    for name, rows in sections.items():
        title = f"### {page.sections.get(name, name)}\n\n" if name else ""
        if name in page.quantities:
            parts.append(title + table_of_cells(pivot(rows, page.quantities[name])))
        else:
            parts.append(title + table_of_rows(rows))
    return "\n".join(parts)


def by_part(content: Any, page: "Page") -> str:
    """One table for each part of a file, with a column for every number."""
    parts = []
    for name, measured in content.items():
        rows = [flat(row) for row in measured["results"]]
        parts.append(f"### {page.sections.get(name, name)}\n\n{table_of_rows(rows)}")
    return "\n".join(parts)


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose values are numbers and words, from one that has more of them."""
    values: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            values |= {f"{key} of {part}": of_part for part, of_part in value.items()}
        elif isinstance(value, list):
            values[key] = max(value)
        else:
            values[key] = value
    return values


def table_of_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as they are, without what failed and what is no number to look at."""
    rows = [row for row in rows if "failure" not in row]
    keys = [k for k in dict.fromkeys(k for row in rows for k in row) if k not in HIDDEN]
    return table([*map(spaced, keys)], ([*map(row.get, keys)] for row in rows))


def by_variant(content: Any, page: "Page") -> str:
    """What a summary says of each variant."""
    summary = content["summary"]
    return table_of_dicts(
        "variant", {k: v for k, v in summary.items() if isinstance(v, dict)}
    )


def by_group(content: Any, page: "Page") -> str:
    """Faces: tables of the swaps, of the people and of the rest, for each group."""
    parts = []
    for group, measured in content.items():
        swaps = measured.get("swaps", {})
        people = {
            key: value
            for key, value in measured.items()
            if isinstance(value, dict) and key not in ("run", "swaps")
        }
        by_person: dict[str, dict[str, Any]] = {}
        for key, values in people.items():
            for person, value in values.items():
                by_person.setdefault(person, {})[key] = value
        rest = {k: v for k, v in measured.items() if not isinstance(v, dict)}
        parts += [
            f"### {spaced(group.replace(',', ', '))}\n",
            table_of_dicts("swap", swaps),
            table_of_dicts("person", by_person),
            table(["", ""], ([spaced(key), value] for key, value in rest.items())),
        ]
    return "\n".join(parts)


def table_of_dicts(first: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One line per key, under the key's heading."""
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    lines = [[spaced(name), *map(row.get, keys)] for name, row in rows.items()]
    return table([first, *map(spaced, keys)], lines)


def spaced(name: str) -> str:
    return name.replace("_", " ")


# Pages --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """How a file of results is shown."""

    title: str
    what: str = ""
    show: Callable[[Any, "Page"], str] = by_section
    quantity: str = ""
    is_over_pca: bool = False
    sections: Mapping[str, str] = field(default_factory=dict)  # and their titles
    quantities: Mapping[str, str] = field(default_factory=dict)  # one per section


RATIO = {"show": by_method, "quantity": "error", "is_over_pca": True}
LAYOUT = {
    "reconstruction": Page(
        "Reconstruction",
        "Held-out squared error over that of PCA, means over the splits.",
        **RATIO,
    ),
    "small_tables": Page(
        "Small tables",
        "Held-out squared error over that of PCA, means over the splits.",
        **RATIO,
    ),
    "anomaly": Page(
        "Other tables",
        "Held-out squared error over PCA's, on tables that no choice was made on.",
        **RATIO,
    ),
    "images_as_rows": Page(
        "Images as rows of pixels", "Held-out squared error over that of PCA.", **RATIO
    ),
    "absolute_error": Page(
        "Absolute error", "Held-out absolute error over that of PCA.", **RATIO
    ),
    "log_loss": Page(
        "Log loss", "Held-out log loss over that of PCA, clipped.", **RATIO
    ),
    "fit_times": Page(
        "Fit times", "Seconds of fits, side by side.", by_method, "fit_seconds"
    ),
    "likelihood": Page(
        "Likelihood",
        "Held-out log-likelihood in nats per row: more is better.",
        by_method,
        "log_likelihood",
    ),
    "path_gradient": Page(
        "Path gradients",
        "Held-out log-likelihood in nats per row, of version 0.1.0.",
        by_method,
        "log_likelihood",
    ),
    "recipe": Page("The recipe", "One choice changed at a time.", by_variant),
    "depth": Page("Depth", "Numbers of hidden layers.", by_variant),
    "depth_long": Page("Depth on a long table", "Numbers of layers.", by_variant),
    "images": Page(
        "Images",
        "MNIST and Fashion-MNIST, 60 000 images to learn from, 10 000 to judge on.",
        sections={
            "anomaly": "A boot among the digits",
            "denoising": "Noise of half the range of a pixel",
        },
    ),
    "segmentation": Page(
        "Segmentation", "Masks of MNIST's digits, which are drawn on stripes."
    ),
    "vae": Page(
        "Density of MNIST",
        "The variational autoencoder beside others.",
        sections={"mnist": "Negative log-likelihood of test digits, nats"},
    ),
    "samples": Page(
        "Samples",
        "How well gradient boosting tells samples from held-out rows.",
        sections={"samples": "Area under the ROC curve: 0.5 is not to be told"},
        quantities={"samples": "auc"},
    ),
    "detection": Page(
        "Anomalies",
        "How well scores tell anomalies from normal rows.",
        sections={"anomalies": "Area under the ROC curve: 1 is best"},
        quantities={"anomalies": "auroc"},
    ),
    "alternatives": Page(
        "Alternatives",
        "Other packages, and a loop written by hand, on short tables.",
    ),
    "faces": Page("Faces", "Swaps of held-out faces.", by_group),
    "scale": Page(
        "Several processes",
        "One process and several, of the same machine.",
        by_part,
        sections={
            "errors": "Held-out errors, by the number of processes",
            "steps": "Training steps: two processes, and one",
            "files": "A table larger than memory: of memory, what a process had most",
            "alone": "Fits in a group of one process, and without a group",
        },
    ),
    "speed": Page(
        "Speed and memory",
        "A training step over its bare matrix products, and more.",
        sections={
            "step": "Training steps",
            "fit": "Fits over their steps",
            "seconds": "Seconds of default fits",
            "throughput": "Many rows",
            "one_row": "One row",
            "projections": "Refined latents, microseconds",
            "memory": "Memory of a fit",
            "mapped": "A file larger than memory",
            "rows": "Time per row",
            "error": "Seconds until the error is below a share of PCA's",
            "grid": "Two processes",
            "threads": "Four threads",
        },
    ),
}


def runs_of(content: Any) -> list[dict[str, Any]]:
    """What was called, whether a file has its runs in one list or in its parts."""
    return content.get("runs") or find(content, ["*", "run"])


def describe_runs(runs: Sequence[Mapping[str, Any]]) -> str:
    commands = "\n".join(dict.fromkeys(run["command"] for run in runs))
    about = dict.fromkeys(
        f"- {run['date']}, {run['machine']}, threads: {run['threads']}; "
        + ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        for run in runs
    )
    return f"```sh\n{commands}\n```\n\n" + "\n".join(about) + "\n"


def result_page(name: str, content: Any) -> str:
    page = LAYOUT.get(name, Page(name.replace("_", " ").capitalize()))
    parts = [
        f"# {page.title}\n",
        f"{page.what} [How it is measured](methods.md).\n" if page.what else "",
        "## Measured by\n",
        describe_runs(runs_of(content)),
        "## Results\n",
        page.show(content, page),
        f"[All values](../../../benchmarks/results/{name}.json)\n",
    ]
    return "\n".join(part for part in parts if part)


def targets_page(targets: Sequence[Target], contents: Mapping[str, Any]) -> str:
    verdicts = [target.verdict.strip("*") for target in targets]
    parts = [
        "# Benchmarks\n",
        "This page is made of the files that the benchmarks write, whenever the site "
        f"is built. [How everything is measured]({PAGES}/methods.md).\n",
        "## Targets\n",
        f"Of {len(targets)} targets {verdicts.count('met')} are met, "
        f"{verdicts.count('not met')} are not, and {verdicts.count('not measured')} "
        "not measured yet. A value leads to the page of its measurement.\n",
    ]
    for group in dict.fromkeys(target.group for target in targets):
        lines = [target.cells(PAGES) for target in targets if target.group == group]
        heading = ["target", "wanted", "measured"]
        parts += [f"### {group}\n", table(heading, lines)]
    lines = []
    for name, content in contents.items():
        runs = runs_of(content)
        title = LAYOUT[name].title if name in LAYOUT else name
        modules = dict.fromkeys(run["command"].split()[2] for run in runs)
        last = max(run["date"] for run in runs)
        lines.append([f"[{title}]({PAGES}/{name}.md)", code(modules), last])
    parts += ["## Measurements\n", table(["", "module", "last run"], lines)]
    names = [f"How it is measured <{PAGES}/methods>"]
    names += [f"{PAGES}/{name}" for name in contents]
    parts.append("\n".join(["```{toctree}", ":hidden:", "", *names, "```\n"]))
    return "\n".join(parts)


def order(names: Iterable[str]) -> list[str]:
    """As in LAYOUT; what it does not know comes last."""
    known = list(LAYOUT)
    return sorted(names, key=lambda n: (known.index(n) if n in known else 99, n))


def make_pages(docs: Path, results: Path = RESULTS, targets: Path = TARGETS) -> None:
    names = order(path.stem for path in results.glob("*.json"))
    contents = {name: read_results(results / f"{name}.json") for name in names}
    for name, content in contents.items():
        write(docs / PAGES / f"{name}.md", result_page(name, content))
    for path in (docs / PAGES).glob("*.md"):  # of a file that is gone
        if path.stem not in (*names, "methods"):
            path.unlink()
    text = targets_page(read_targets(targets, results), contents)
    write(docs / "benchmarks.md", text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", lambda app: make_pages(Path(app.srcdir)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
