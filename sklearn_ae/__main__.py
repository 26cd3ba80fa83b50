"""The command line: ``python -m sklearn_ae compare digits`` and other commands."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.exceptions import FitFailedWarning

from ._commands import COMMANDS, add_table_parsers, run_on_table
from ._utils.arguments import add_random_state, positive_integer
from ._utils.extras import has_extra, import_extra
from ._utils.text import printable, say
from .comparison import compare_reducers
from .comparison._figures import comparison_figure, save_png
from .comparison._files import (
    TableError,
    is_table_path,
    is_text_path,
    names_look_like_values,
    read_table,
)
from .comparison._reading import (
    SPELLINGS,
    UsageError,
    add_drop,
    add_reading_arguments,
    read_options,
)
from .comparison._reducers import DEFAULT_REDUCERS, REDUCERS, find_reducer
from .comparison._report import (
    format_best,
    format_columns,
    format_legend,
    format_table,
    listed,
    to_json,
    wrap,
)
from .comparison._tables import named_as_ids, prepare_table
from .faces._command import add_faces_parser, run_faces

PROGRAM = "python -m sklearn_ae"
BUILT_IN = {
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
}
EPILOG = """\
examples:
  python -m sklearn_ae compare digits
  python -m sklearn_ae compare digits --n-components 2 4 8 16 --output results
  python -m sklearn_ae compare houses.csv --target price --drop seller_name
  python -m sklearn_ae compare haus.csv --target Preis --decimal , --encoding cp1252
  python -m sklearn_ae compare table.parquet --reducers pca ae vae
"""


@dataclass
class _Input:
    """What is compared on, and what was done with it."""

    title: str
    X: Any
    y: NDArray[Any] | None
    scaler: Any
    n_columns: int  # of numbers, those of levels among them
    target: str = "y"
    remarks: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments; None takes those of the process.

    Returns
    -------
    code : int
        0 for success, 1 where every reducer failed, 2 where the arguments or the
        data cannot be used, 130 where the user interrupted.
    """
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "faces":
            return run_faces(arguments)
        if arguments.command in COMMANDS:
            return run_on_table(arguments)
        return _compare(arguments)
    except (UsageError, TableError, ImportError) as error:
        say(
            _one_line(f"{PROGRAM} {arguments.command}: error: {error}"), file=sys.stderr
        )
        return 2
    except (ValueError, OSError) as error:
        if arguments.command != "faces":
            raise
        say(_one_line(f"{PROGRAM} faces: error: {error}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def _one_line(text: str) -> str:
    """Return a message in which a name from outside starts no line of its own."""
    return printable(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Autoencoders for scikit-learn."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    compare = commands.add_parser(
        "compare",
        help="compare PCA, kernel PCA, t-SNE, UMAP and the autoencoders on a table",
        description="Fit every reducer to the same rows of a table, measure all of\n"
        "them on the same held-out rows, and print the result as a table.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = compare.add_argument
    add(
        "data",
        metavar="DATA",
        help=f"{', '.join(BUILT_IN)}, or a file: CSV and "
        "other text, Parquet (also a folder of parts), Feather, Excel, JSON lines",
    )
    add(
        "--target",
        metavar="COLUMN",
        help="column of the file that holds the classes or the quantity to predict: "
        "scores the latents by nearest neighbours and colours the maps",
    )
    add(
        "--target-type",
        choices=("auto", "discrete", "continuous"),
        default="auto",
        help="whether the target is classes or a quantity (default: %(default)s)",
    )
    add_drop(compare)
    add_reading_arguments(compare)
    add(
        "--n-components",
        metavar="K",
        type=positive_integer,
        nargs="+",
        help="numbers of latents (default: 2 and 8, or fewer than there are columns)",
    )
    add(
        "--reducers",
        metavar="NAME",
        nargs="+",
        help="any of "
        + ", ".join(_argument(name) for name in REDUCERS)
        + " (default: all but map that are installed)",
    )
    add(
        "--output",
        metavar="DIR",
        type=Path,
        help="write comparison.csv, comparison.json and comparison.png there",
    )
    add(
        "--test-size",
        metavar="FRACTION",
        type=_fraction,
        default=0.25,
        help="held-out part of the rows (default: %(default)s)",
    )
    add(
        "--max-rows",
        metavar="N",
        type=positive_integer,
        default=5000,
        help="use at most N rows of a file, drawn at random (default: %(default)s); "
        "kernel PCA and t-SNE are skipped above 10000",
    )
    add(
        "--scaler",
        choices=("standard", "minmax", "none"),
        help="scaling of the columns, fitted to the training rows (default: standard; "
        "digits: none, its pixels share one unit)",
    )
    add(
        "--n-neighbors",
        metavar="N",
        type=positive_integer,
        default=5,
        help="neighbours in the k-NN score, trustworthiness and continuity "
        "(default: %(default)s)",
    )
    add_random_state(compare, "decides the split and seeds the reducers")
    add_table_parsers(commands)
    add_faces_parser(commands)
    return parser


def _version() -> str:
    try:
        return f"sklearn_ae {version('sklearn_ae')}"
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "sklearn_ae (not installed)"


def _argument(name: str) -> str:
    return name.lower().replace("-", "").replace(" ", "_")


def _fraction(text: str) -> float:
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def _compare(arguments: argparse.Namespace) -> int:
    for package in ("pandas", "matplotlib", "tqdm"):  # now, not after minutes of work
        import_extra(package)
    reducers, missing = _reducers(arguments.reducers)
    if arguments.output is not None:
        _make_directory(arguments.output)
    data = _load(arguments)
    sizes = arguments.n_components or _default_sizes(data.n_columns)
    if max(sizes) >= data.n_columns:
        missing += wrap(
            f"A row is {data.n_columns} numbers: so many latents reduce nothing."
        )
    say(data.title, *data.remarks, *missing, "")

    with warnings.catch_warnings():
        # The errors are told below the table, where no progress bar is in the way.
        warnings.simplefilter("ignore", FitFailedWarning)
        # Rare levels of text may all be held out: they are encoded as the rare ones.
        warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
        try:
            table, latents = compare_reducers(
                data.X,
                data.y,
                reducers=reducers,
                n_components=sizes,
                test_size=arguments.test_size,
                scaler=data.scaler,
                n_neighbors=arguments.n_neighbors,
                target_type=arguments.target_type,
                return_latents=True,
                random_state=arguments.random_state,
                verbose=1,
            )
        except ValueError as error:  # a split that leaves no row, for one
            raise UsageError(str(error)) from error
    table.attrs["data"] = str(arguments.data)

    say(_headline(table, data.target))
    for block in (format_table(table), format_legend(table), format_best(table)):
        if block:
            say(f"\n{block}")
    if arguments.output is not None:
        _write(arguments.output, table, latents, data)
    return 1 if table["error"].ne("").all() else 0


def _reducers(names: list[str] | None) -> tuple[list[str], list[str]]:
    """Return the reducers to run, and a line on those that cannot be."""
    if names is not None:
        try:
            return list(dict.fromkeys(map(find_reducer, names))), []
        except ValueError as error:
            known = listed(map(_argument, REDUCERS))
            raise UsageError(
                f"{str(error).split('.')[0]}; choose from {known}"
            ) from None
    if has_extra("umap"):
        return list(DEFAULT_REDUCERS), []
    found = [name for name in DEFAULT_REDUCERS if name != "UMAP"]
    return found, ["UMAP is left out: umap-learn is not installed."]


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {str(path)!r}: {error}") from None


def _default_sizes(n_columns: int) -> list[int]:
    """Return 2 and 8 latents, or fewer where there are not more columns than that."""
    most = max(1, n_columns - 1)
    return sorted({min(2, most), min(8, most)})


def _load(arguments: argparse.Namespace) -> _Input:
    name = arguments.data
    if name in BUILT_IN:
        return _load_built_in(name, arguments)
    if is_table_path(name) or Path(name).exists() or "/" in name:
        return _load_file(name, arguments)
    raise UsageError(
        f"there is no data set {name!r}; choose from {listed(BUILT_IN)}, or give the "
        "path of a file (CSV, Parquet, Feather, Excel, JSON lines)"
    )


def _load_built_in(name: str, arguments: argparse.Namespace) -> _Input:
    if arguments.target is not None or arguments.drop or arguments.no_header:
        raise UsageError(
            f"--target, --drop and --no-header are for files; {name!r} has its own"
        )
    asked = [flag for flag in SPELLINGS if getattr(arguments, flag) is not None]
    if asked:
        flags = listed(f"--{flag.replace('_', '-')}" for flag in asked)
        raise UsageError(f"{flags}: this is for files, and {name!r} is none")
    bunch = BUILT_IN[name]()
    X, y = bunch.data, bunch.target
    scaler = arguments.scaler or ("none" if name == "digits" else "standard")
    scaling = f"scaling: {scaler}"
    if name == "digits":
        X = X / 16
        scaling = f"grey levels divided by 16, so that they lie in [0, 1]; {scaling}"
    else:
        y = bunch.target_names[y]
    return _Input(
        title=f"{name}: {X.shape[0]} rows, {X.shape[1]} columns, "
        f"{len(np.unique(y))} classes",
        X=X,
        y=y,
        scaler=None if scaler == "none" else scaler,
        n_columns=X.shape[1],
        target="digit" if name == "digits" else "class",
        remarks=wrap(scaling),
    )


def _load_file(path: str, arguments: argparse.Namespace) -> _Input:
    scaler = arguments.scaler or "standard"
    wanted = [*arguments.drop, arguments.target]
    table = read_table(path, read_options(path, arguments, wanted))
    frame = table.frame
    prepared = prepare_table(
        frame,
        arguments.target,
        drop=arguments.drop,
        spelled=table.spelled,
        scaler=None if scaler == "none" else scaler,
        max_rows=arguments.max_rows,
        random_state=arguments.random_state,
    )
    n_columns = prepared.preprocessor.fit_transform(prepared.X).shape[1]
    remarks = []
    for text in (*table.remarks, *prepared.rows):
        remarks += wrap(text, "  - ")
    remarks += format_columns(prepared.actions)
    ids = named_as_ids(prepared)
    if ids:
        remarks += wrap(
            f"Kept, though named as an id: {listed(ids)}. If it only tells the rows "
            "apart, leave it out with --drop."
        )
    if scaler == "standard":
        remarks += wrap(
            "scaling: standard; on these numbers PCA is factor analysis of mixed data"
        )
    else:
        remarks += wrap(f"scaling of all columns that are not one-hot: {scaler}")
    has_names = is_text_path(path) and not arguments.no_header
    if has_names and names_look_like_values(frame.columns):
        remarks += wrap(
            "The first line, of numbers, was taken as the names of the columns; if it "
            "is a row like the others, add --no-header."
        )
    if arguments.target is None:
        remarks += wrap("No --target is given: k-NN scores and colours are left out.")
    return _Input(
        title=f"{Path(path).name}: {frame.shape[0]} rows, {frame.shape[1]} columns",
        X=prepared.X,
        y=prepared.y,
        scaler=prepared.preprocessor,
        n_columns=n_columns,
        target=arguments.target or "y",
        remarks=remarks,
    )


def _headline(table: Any, target: str) -> str:
    settings = table.attrs
    text = (
        f"{settings['n_train']} training rows, {settings['n_test']} held-out rows"
        f"{' (split by class)' if settings['stratified'] else ''} of "
        f"{settings['n_scaled_columns']} numbers each"
    )
    kinds = {"discrete": "classes", "continuous": "a quantity"}
    if settings["target_type"]:
        text += f"; {target!r} holds {kinds[settings['target_type']]}"
    return "\n".join(wrap(text))


def _write(directory: Path, table: Any, latents: Any, data: _Input) -> None:
    try:
        table.to_csv(directory / "comparison.csv", index=False)
        text = to_json(table)
        (directory / "comparison.json").write_text(text, encoding="utf-8")
        figure = comparison_figure(
            table, latents, data.y, title=data.title, target=data.target
        )
        save_png(figure, directory / "comparison.png")
    except OSError as error:
        raise UsageError(f"cannot write to {str(directory)!r}: {error}") from None
    names = ("comparison.csv", "comparison.json", "comparison.png")
    say("", f"written: {listed(directory / name for name in names)}")


if __name__ == "__main__":
    sys.exit(main())
