"""What people use instead: a loop by hand, pyod, pythae, Parametric UMAP.

Run it from the repository's root as ``python -m benchmarks.alternatives``; README.md,
beside this file, says what is measured and how.
"""

import ast
import inspect
import random
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from benchmarks._alternatives import (
    PYOD_AS_IN_LECTURES,
    LectureAutoencoder,
    PyodAutoEncoder,
    PythaeAutoencoder,
)
from benchmarks._cells import Split, make_cells_parser, measure_cells, start
from benchmarks._command import describe_run, finish
from benchmarks._measuring import failure_of, reconstruct, squared_error, timed
from benchmarks._ratios import at_most_one, error_ratios
from benchmarks._results import Row, finite
from benchmarks._text import format_number, format_table
from sklearn_ae import AutoencoderTransformer, VAETransformer

Array = NDArray[Any]


class Alternative(NamedTuple):
    """A method: its name in tables, how it is made, what it needs."""

    label: str
    make: Callable[[int, int], Any]  # from k and a seed
    needs: tuple[str, ...] = ()  # modules
    # The class that makes a transformer of it; None: it is one.
    wrapper: type | None = None
    # What scikit-learn's checks get; None: there is no class for them.
    make_checked: Callable[[], Any] | None = None


def _pyod_detector() -> Any:
    from pyod.models.auto_encoder import AutoEncoder

    return AutoEncoder(verbose=0)


def _parametric_umap(k: int, seed: int) -> Any:
    from keras.losses import MeanSquaredError
    from umap.parametric_umap import ParametricUMAP

    return ParametricUMAP(
        n_components=k,
        parametric_reconstruction=True,
        parametric_reconstruction_loss_fcn=MeanSquaredError(),  # default: of pixels
        keras_fit_kwargs={"verbose": 0},
        random_state=seed,
    )


METHODS = {
    "ours": Alternative(
        "AutoencoderTransformer",
        lambda k, seed: AutoencoderTransformer(k, random_state=seed),
        make_checked=AutoencoderTransformer,
    ),
    "our_vae": Alternative(
        "VAETransformer",
        lambda k, seed: VAETransformer(k, random_state=seed),
        make_checked=VAETransformer,
    ),
    "pca": Alternative(
        "PCA", lambda k, seed: PCA(k, random_state=seed), make_checked=PCA
    ),
    "lecture": Alternative(
        "hand-written loop",
        lambda k, seed: LectureAutoencoder(k, random_state=seed),
        wrapper=LectureAutoencoder,
    ),
    "pyod": Alternative(
        "pyod AutoEncoder",
        PyodAutoEncoder,
        needs=("pyod",),
        wrapper=PyodAutoEncoder,
        make_checked=_pyod_detector,
    ),
    "pyod_as_lecture": Alternative(
        "pyod, settings of the loop",
        partial(PyodAutoEncoder, **PYOD_AS_IN_LECTURES),
        needs=("pyod",),
        wrapper=PyodAutoEncoder,
    ),
    "pythae_ae": Alternative(
        "pythae AE", PythaeAutoencoder, needs=("pythae",), wrapper=PythaeAutoencoder
    ),
    "pythae_vae": Alternative(
        "pythae VAE",
        partial(PythaeAutoencoder, kind="VAE"),
        needs=("pythae",),
        wrapper=PythaeAutoencoder,
    ),
    "parametric_umap": Alternative(
        "Parametric UMAP",
        _parametric_umap,
        needs=("umap", "tensorflow"),
        make_checked=lambda: _parametric_umap(2, 0),
    ),
}
OTHERS = ("pyod", "pythae", "umap-learn", "tensorflow")
BITS = ("same_on_refit", "same_when_made_anew", "leaves_generators")


def available() -> list[str]:
    """Methods whose packages are installed."""
    return [
        name for name, method in METHODS.items() if all(map(find_spec, method.needs))
    ]


# Measuring ----------------------------------------------------------------------------


def measure(
    method: str, k: int, seed: int, split: Split, measured: dict[str, Row]
) -> Row:
    """Fit a method twice, and measure it on the held-out rows."""
    make = METHODS[method].make
    before = _global_generators()
    model = make(k, seed)
    seconds = timed(lambda: model.fit(split.X_train)).cpu
    X_back = reconstruct(model, split.X_test)
    leaves_generators = _same(before, _global_generators())
    model.fit(split.X_train)  # the same object once more, as scikit-learn refits
    again = reconstruct(model, split.X_test)
    fresh = reconstruct(make(k, seed).fit(split.X_train), split.X_test)

    error = squared_error(split.X_test, X_back)
    if not np.isfinite(error):
        raise ValueError("its error is not finite")
    return {
        "error": error,
        "fit_seconds": round(seconds, 4),
        "same_on_refit": bool(np.array_equal(X_back, again)),
        "same_when_made_anew": bool(np.array_equal(X_back, fresh)),
        "leaves_generators": leaves_generators,
    }


def _global_generators() -> list[Any]:
    _, numbers, *rest = np.random.get_state()  # noqa: NPY002
    return [numbers.copy(), rest, random.getstate(), torch.get_rng_state().numpy()]


def _same(first: Iterable[Any], second: Iterable[Any]) -> bool:
    return all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
        for a, b in zip(first, second, strict=True)
    )


# Lines --------------------------------------------------------------------------------


def count_lines(source: str) -> int:
    """Lines with one statement or heading each, without comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return sum(bool(line.strip()) for line in ast.unparse(tree).splitlines())


def lines_of_code(method: str) -> int:
    """Lines of the class that makes a transformer of a method; 1 where it is one."""
    wrapper = METHODS[method].wrapper
    return 1 if wrapper is None else count_lines(inspect.getsource(wrapper))


# scikit-learn's checks ----------------------------------------------------------------


def run_checks(method: str) -> Row | None:
    """How many of scikit-learn's checks a method's own estimator passes."""
    make = METHODS[method].make_checked
    if make is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            outcomes = check_estimator(make(), on_skip=None, on_fail=None)
        except Exception as error:  # what is no estimator stops them
            return {"stopped": failure_of(error)}
    counts = pd.Series([outcome["status"] for outcome in outcomes]).value_counts()
    return {str(status): int(count) for status, count in counts.items()}


# Summary ------------------------------------------------------------------------------


def ratios_of_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Errors over PCA's, means over the seeds; a column per method."""
    cells = error_ratios(frame).cells
    return cells[[method for method in METHODS if method in cells]]


def summarize(frame: pd.DataFrame, checks: dict[str, Row | None]) -> Row:
    """Per method: its error over PCA's, seconds, bits, lines and checks."""
    cells = ratios_of_cells(frame)
    summary: Row = {"n_cells": len(cells), "methods": {}}
    for method in cells:
        own = frame[(frame["method"] == method) & frame["failure"].isna()]
        ratios = cells[method].dropna()
        summary["methods"][method] = {
            "label": METHODS[method].label,
            "n_cells": len(ratios),
            "median_ratio": finite(ratios.median()),
            "worst_ratio": finite(ratios.max()),
            "share_of_cells_at_most_pca": finite(at_most_one(ratios).mean(), 4),
            "median_seconds": finite(own["fit_seconds"].median(), 3),
            "all_seconds": finite(own["fit_seconds"].sum(), 2),
            **{name: bool(own[name].all()) for name in BITS},
            "lines": lines_of_code(method),
            "checks": checks.get(method),
        }
    return summary


def report(frame: pd.DataFrame, summary: Row) -> str:
    cells = ratios_of_cells(frame)
    heading = ["set", "k", *(METHODS[method].label for method in cells)]
    lines = [
        [name, str(k), *(f"{ratio:.3f}" for ratio in row)]
        for (name, k), row in zip(cells.index, cells.to_numpy(), strict=True)
    ]
    columns = ["method", "lines", "median", "worst", "seconds", "bits", "checks"]
    methods = [
        [
            method["label"],
            str(method["lines"]),
            format_number(method["median_ratio"], 3),
            format_number(method["worst_ratio"], 3),
            format_number(method["median_seconds"], 2),
            "".join("yes " if method[name] else "no " for name in BITS).rstrip(),
            format_checks(method["checks"]),
        ]
        for method in summary["methods"].values()
    ]
    return (
        "Held-out error divided by PCA's, mean over the seeds\n\n"
        f"{format_table(heading, lines)}\n\n"
        "Lines of code; that ratio, median and worst of the cells; median seconds of "
        "a fit;\nbits: the same on a refit, the same from a new object, global "
        "generators left\nalone; scikit-learn's checks passed\n\n"
        f"{format_table(columns, methods)}"
    )


def format_checks(checks: Row | None) -> str:
    if checks is None:
        return "no estimator"
    if "stopped" in checks:
        return "stopped"
    passed = checks.get("passed", 0)
    return f"{passed} of {passed + checks.get('failed', 0)}"  # others do not apply


# The command --------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_cells_parser("alternatives", __doc__, METHODS)
    parser.set_defaults(sets=["bundled"], k=[2, 8])
    args = parser.parse_args(argv)
    args.methods = args.methods or available()
    results, names = start(parser, args, {"max_rows": args.max_rows})
    run = describe_run("benchmarks.alternatives", argv)
    run["versions"] |= {
        name: version(name) for name in OTHERS if find_spec(name.split("-")[0])
    }
    measure_cells(results, names, args, run, StandardScaler, measure)
    frame = results.frame("error", "fit_seconds")
    checks: dict[str, Row | None] = {}
    for earlier in results.runs:
        checks |= earlier.get("checks", {})
    run["checks"] = {m: run_checks(m) for m in args.methods if m not in checks}
    checks |= run["checks"]
    finish(results, frame, partial(summarize, checks=checks), report)


if __name__ == "__main__":
    main()
