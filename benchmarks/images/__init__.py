"""Published figures on MNIST and Fashion-MNIST, beside what is measured here.

Run it from the repository's root as ``python -m benchmarks.images``; README.md, in the
folder above, says what is measured and how.
"""

from collections.abc import Iterator, Sequence

from benchmarks._command import describe_run, finish, make_parser, open_results
from benchmarks._measuring import failure_of, without_convergence_warnings
from benchmarks._results import Row
from sklearn_ae.datasets import ENVIRONMENT_VARIABLE

from .methods import (
    IMAGE_SHAPE,
    LOADERS,
    METHODS,
    first_rows,
    load,
    load_boots,
    measure,
)
from .published import QUANTITIES, report, summarize

LATENTS = (2, 8, 16, 64)


def cells(
    methods: Sequence[str], names: Sequence[str], ks: Sequence[int]
) -> Iterator[tuple[str, int, str]]:
    """Set, number of latents and method of everything there is to measure."""
    for name in names:
        for method in methods:
            if method == "pixels":
                yield name, IMAGE_SHAPE[0] * IMAGE_SHAPE[1], method
            elif method in ("anomaly", "denoising"):
                if method == "denoising" or name == "mnist":
                    yield name, 64, method
            else:
                # UMAP and t-SNE are for maps.
                yield from (
                    (name, k, method)
                    for k in ks
                    if k == 2 or method not in ("umap", "tsne")
                )


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser("images", __doc__, METHODS)
    add = parser.add_argument
    add(
        "--data-home",
        help="folder with the folders mnist and fashion_mnist (default: "
        f"{ENVIRONMENT_VARIABLE}, else the images come from OpenML)",
    )
    add("--sets", nargs="+", choices=LOADERS, default=list(LOADERS))
    add("--k", nargs="+", type=int, choices=LATENTS, default=list(LATENTS))
    add("--seed", type=int, default=0)
    add("--max-rows", type=int, help="use the first images only, for a trial")
    args = parser.parse_args(argv)
    methods = args.methods or list(METHODS)
    results = open_results(parser, args, {"max_rows": args.max_rows})
    results.runs.append(describe_run("benchmarks.images", argv))
    for name, k, method in cells(methods, args.sets, args.k):
        if results.has(name, k, args.seed, method):
            continue
        images = first_rows(load(name, args.data_home), args.max_rows)
        row: Row = {"set": name, "k": k, "seed": args.seed, "method": method}
        row["n_columns"] = images.X_train.shape[1]
        try:
            with without_convergence_warnings():
                boots = load_boots(args.data_home) if method == "anomaly" else None
                row |= measure(method, k, args.seed, images, boots)
        except Exception as error:
            row["failure"] = failure_of(error)
        results.add(row)
        results.save()
    frame = results.frame(
        *QUANTITIES,
        *("cpu_seconds", "psnr", "psnr_noisy", "psnr_pca", "pca_components"),
        *("lowest_boot_ratio", "share_of_boots_first"),
    )
    finish(results, frame, summarize, report)
