"""What each choice of the default recipe is worth: one changed at a time.

Run it from the repository's root as ``python -m benchmarks.recipe``; README.md, beside
this file, says what is measured and how.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from benchmarks._cells import Split, make_cells_parser, measure_cells, start
from benchmarks._command import describe_run, finish
from benchmarks._measuring import reconstruct, squared_error, timed
from benchmarks._ratios import error_ratios
from benchmarks._results import Row, by_method, finite, total_seconds
from benchmarks._text import format_number, format_table, percent
from sklearn_ae import AutoencoderTransformer
from sklearn_ae._estimators.base import BaseEncoderDecoder
from sklearn_ae._networks import sizes as _sizes
from sklearn_ae._training import engine as _training
from sklearn_ae._training import recipe as _recipe
from sklearn_ae._training import selection as _selection
from sklearn_ae._training.plans import Plan


@dataclass(frozen=True)
class Variant:
    """The default with something changed: parameters, or what no parameter changes."""

    what: str
    params: Mapping[str, Any] = field(default_factory=dict)
    patches: Sequence[tuple[Any, str, Any]] = ()  # owner, name, value


def _held_out(model: AutoencoderTransformer, n_samples: int, goes_on: bool) -> Plan:
    return Plan(_recipe.n_validation_rows(n_samples, model.validation_fraction))


VARIANTS = {
    "default": Variant("as it is"),
    "relu": Variant("ReLU", {"activation": "relu"}),
    "tanh": Variant("tanh", {"activation": "tanh"}),
    "gelu": Variant("GELU", {"activation": "gelu"}),
    "narrow": Variant("layers of 128, 64", {"hidden_layer_sizes": (128, 64)}),
    "wide": Variant("layers of 512, 256", {"hidden_layer_sizes": (512, 256)}),
    "one_layer": Variant("one layer of 256", {"hidden_layer_sizes": (256,)}),
    "two_layers": Variant(
        "layers of 256, 128 at every k", {"hidden_layer_sizes": (256, 128)}
    ),
    "three_layers": Variant(
        "three layers of 128 at every k", {"hidden_layer_sizes": (128,) * 3}
    ),
    "four_layers": Variant(
        "four layers of 128 at every k", {"hidden_layer_sizes": (128,) * 4}
    ),
    "random": Variant("random start", {"init": "random"}),
    "slow": Variant("learning rate 0.002", {"learning_rate_init": 2e-3}),
    "fast": Variant("learning rate 0.012", {"learning_rate_init": 12e-3}),
    "no_decay": Variant("no weight decay", {"alpha": 0.0}),
    "more_decay": Variant("alpha=3", {"alpha": 3.0}),
    "batch_64": Variant("batches of 64", {"batch_size": 64}),
    "batch_256": Variant("batches of 256", {"batch_size": 256}),
    "usual_steps": Variant(
        "batches of 128, beta_2 of 0.999",
        patches=[(_recipe, "LARGER_BATCHES", 1), (_recipe, "SHORT_MEMORY", 0.999)],
    ),
    "usual_layers": Variant(
        "layers as of short tables",
        patches=[(_sizes, "FEWEST_LATENTS", 0), (_sizes, "SOME_LATENTS", 4)],
    ),
    "short": Variant("40 epochs", patches=[(_recipe, "N_EPOCHS", 40)]),
    "long": Variant("150 epochs", patches=[(_recipe, "N_EPOCHS", 150)]),
    "held_out": Variant(
        "no training on all rows",
        patches=[(BaseEncoderDecoder, "_plan", _held_out)],
    ),
    "same_length": Variant(
        "all rows as long as the best epoch", patches=[(_recipe, "LENGTHENING", 1.0)]
    ),
    "twice_the_length": Variant(
        "all rows twice as long", patches=[(_recipe, "LENGTHENING", 2.0)]
    ),
    "any_gain": Variant(
        "any gain replaces PCA",
        patches=[
            (module, "is_clear_gain", lambda gains: True)
            for module in (_training, _selection)
        ],
    ),
}
METHODS = {"pca": "PCA", **{name: v.what for name, v in VARIANTS.items()}}
# Tables of all lengths and widths, with and without heavy tails.
SETS = ["wine", "diabetes", "breast_cancer", "digits", "adult", "california_housing"]
SETS += ["ames_housing", "credit_default", "gas_turbine", "higgs_subset", "letter"]
SETS += ["spambase", "optdigits", "isolet5"]


def measure(
    method: str, k: int, seed: int, split: Split, measured: dict[str, Row]
) -> Row:
    """Fit the variant and take the held-out squared error."""
    if method == "pca":
        model: Any = PCA(k, random_state=seed)
        patches: Sequence[tuple[Any, str, Any]] = ()
    else:
        variant = VARIANTS[method]
        params = {"precision": "float32", **variant.params}
        model = AutoencoderTransformer(k, random_state=seed, **params)
        patches = variant.patches
    with ExitStack() as stack:
        for change in patches:
            stack.enter_context(patch.object(*change))
        seconds = timed(lambda: model.fit(split.X_train)).wall
    error = squared_error(split.X_test, reconstruct(model, split.X_test))
    return {"error": error, "fit_seconds": round(seconds, 4)}


def summarize(frame: pd.DataFrame) -> Row:
    """Per variant: error over the default's and over PCA's, in geometric means."""
    errors = by_method(frame, "error", failed=np.inf)
    seconds = total_seconds(frame, METHODS)
    summary: Row = {"n_tables": int(frame["set"].nunique()), "n_runs": len(errors)}
    over_pca = error_ratios(frame).runs
    over_default = errors.div(errors["default"], axis=0)
    for name in VARIANTS:
        if name not in errors:
            continue
        ratio = over_default[name]
        by_k = {
            f"k={k}": finite(_geometric_mean(of_k))
            for k, of_k in ratio.groupby(level="k")
        }
        summary[name] = {
            "over_default": finite(_geometric_mean(ratio)),
            **by_k,
            "share_better_than_default": finite((ratio < 0.9995).mean()),
            "median_over_pca": finite(over_pca[name].median()),
            "worst_over_pca": finite(over_pca[name].max()),
            "seconds": seconds.get(name),
        }
    return summary


def _geometric_mean(ratios: pd.Series) -> float:
    return float(np.exp(np.log(ratios).mean()))


def report(frame: pd.DataFrame, summary: Row) -> str:
    names = [name for name in VARIANTS if name in summary]
    ks = [key for key in summary[names[0]] if key.startswith("k=")]
    header = ["", "error", *ks, "better", "median", "worst", "seconds"]
    lines = []
    for name in names:
        values = summary[name]
        numbers = [values[key] for key in ("over_default", *ks)]
        over_pca = [values[f"{key}_over_pca"] for key in ("median", "worst")]
        lines.append(
            [
                VARIANTS[name].what,
                *(format_number(number, 3) for number in numbers),
                percent(values["share_better_than_default"]),
                *(format_number(number, 3) for number in over_pca),
                format_number(values["seconds"], 0),
            ]
        )
    return (
        "One choice changed at a time. error: held-out squared error over that of the "
        "default,\ngeometric mean over tables and seeds, and the same per k; better: "
        "share of the runs in\nwhich the error is below the default's; median and "
        f"worst: over PCA's error.\n{summary['n_tables']} tables, "
        f"{summary['n_runs']} runs each.\n\n{format_table(header, lines)}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_cells_parser("recipe", __doc__, METHODS)
    parser.set_defaults(k=[2, 8], seeds=2, max_rows=4000, sets=SETS)
    args = parser.parse_args(argv)
    wanted = args.methods or list(METHODS)
    args.methods = [name for name in METHODS if name in {"pca", "default", *wanted}]
    results, names = start(parser, args, {"max_rows": args.max_rows})
    run = describe_run("benchmarks.recipe", argv)
    measure_cells(results, names, args, run, StandardScaler, measure)
    finish(results, results.frame("error", "fit_seconds"), summarize, report)


if __name__ == "__main__":
    main()
