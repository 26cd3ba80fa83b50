"""The command line's part on tables: a model of one, and what it makes of others."""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.distributed as dist
from sklearn.exceptions import ConvergenceWarning

from ._estimators.autoencoder import AutoencoderTransformer
from ._estimators.denoising import DenoisingAutoencoderTransformer
from ._estimators.files import load, read_beside, write_estimator
from ._estimators.neighbor_map import NeighborMapTransformer
from ._estimators.vae import VAETransformer
from ._tables.given import from_words
from ._utils.arguments import add_random_state, parameter_value, positive_integer
from ._utils.extras import import_extra
from ._utils.text import say
from .comparison._files import ReadTable, TableError, read_table, spelled_again
from .comparison._reading import (
    UsageError,
    add_drop,
    add_reading_arguments,
    read_options,
)
from .comparison._report import format_columns, listed, wrap
from .comparison._scaling import find_scaler, scaled
from .comparison._tables import prepare_table

if TYPE_CHECKING:
    import pandas as pd

COMMANDS = ("fit", "transform", "impute", "sample", "score")
# By the names that `compare` has for them.
ESTIMATORS: dict[str, type] = {
    "ae": AutoencoderTransformer,
    "dae": DenoisingAutoencoderTransformer,
    "vae": VAETransformer,
    "map": NeighborMapTransformer,
}
EPILOG = """\
examples:
  python -m sklearn_ae fit houses.csv --model houses.model --estimator vae
  python -m sklearn_ae transform houses.csv --model houses.model --output latents.csv
  python -m sklearn_ae impute holes.csv --model houses.model --output whole.parquet
  python -m sklearn_ae sample 1000 --model houses.model > drawn.csv
  python -m sklearn_ae sample 50 --model houses.model --given city=Rome rooms=3..5
  python -m sklearn_ae score new.csv --model houses.model --keep address
"""
_WRITTEN = (".csv", ".parquet")


def add_table_parsers(commands: Any) -> None:
    """Add ``fit``, ``transform``, ``impute``, ``sample`` and ``score``."""
    fit = _add_parser(commands, "fit", "fit an estimator to a table, and save it", _fit)
    add = fit.add_argument
    _add_table(fit)
    add("--model", metavar="FILE", type=Path, required=True, help="file for the model")
    add(
        "--estimator",
        choices=[*ESTIMATORS],
        default="ae",
        help="autoencoder, denoising or variational autoencoder, map of neighbours "
        "(default: %(default)s)",
    )
    add(
        "--n-components",
        metavar="K",
        type=_number_of_latents,
        default=2,
        help="number of latents, a share of the variance that they are to explain, or "
        "auto (default: %(default)s)",
    )
    add(
        "--max-iter",
        metavar="N",
        type=positive_integer,
        help="epochs at most (default: by the table's length)",
    )
    add(
        "--set",
        metavar="NAME=VALUE",
        nargs="+",
        default=[],
        help="other parameters of the estimator, such as beta=2 or "
        "hidden_layer_sizes=64,32",
    )
    add_drop(fit)
    add(
        "--scaler",
        choices=("standard", "none"),
        default="standard",
        help="scaling of the columns, where all of them are numbers "
        "(default: %(default)s)",
    )
    add_random_state(fit, "seeds all that is random")
    add(
        "--resume",
        action="store_true",
        help="go on with a fit that did not end, which left FILE.checkpoint; what is "
        "finished already is left as it is",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace the model, and a checkpoint that was left",
    )

    transform = _add_parser(commands, "transform", "latents of rows", _transform)
    impute = _add_parser(commands, "impute", "fill the missing cells of rows", _impute)
    score = _add_parser(
        commands, "score", "scores of rows: low for those unlike the others", _score
    )
    for parser in (transform, impute, score):
        _add_table(parser)
        _add_model_and_output(parser)
    for parser in (transform, score):
        parser.add_argument(
            "--keep",
            metavar="COLUMN",
            nargs="+",
            default=[],
            help="columns of the file to write beside",
        )
    sample = _add_parser(commands, "sample", "rows such as those of the fit", _sample)
    sample.add_argument("n_rows", metavar="N", type=positive_integer, help="rows")
    _add_model_and_output(sample)
    sample.add_argument(
        "--given",
        metavar="COLUMN=VALUE",
        nargs="+",
        default=[],
        help="what columns of all rows are to hold: levels (city=Rome,Oslo),"
        " a number or time, or a range (age=30..40, age=30..); of models that were "
        "fitted with --set column_maps=quantile",
    )
    add_random_state(sample, "seeds what is drawn")


def _number_of_latents(text: str) -> int | float | str:
    if text == "auto":
        return text
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number, no share such as 0.9, and not auto"
        ) from None
    return number if "." in text else positive_integer(text)


def _add_parser(
    commands: Any, name: str, text: str, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "table",
        metavar="TABLE",
        help="a file: CSV and other text, Parquet (also a folder of parts), Feather, "
        "Excel, JSON lines",
    )
    add_reading_arguments(parser)


def _add_model_and_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", metavar="FILE", required=True, help="file that fit has written")
    add(
        "--output",
        metavar="FILE",
        type=Path,
        help="CSV or Parquet to write (default: CSV, to the terminal)",
    )


def run_on_table(arguments: argparse.Namespace) -> int:
    """Run one of the commands; what the user can mend becomes a UsageError."""
    import_extra("pandas")
    output = getattr(arguments, "output", None)
    if output is not None:
        if not output.name.lower().endswith(_WRITTEN):
            raise UsageError(f"--output ends in {' or '.join(_WRITTEN)}; got {output}")
        if not output.absolute().parent.is_dir():
            raise UsageError(f"there is no folder {str(output.parent)!r} for --output")
    try:
        arguments.run(arguments)
    except (UsageError, TableError):
        raise
    except (ValueError, TypeError, OSError) as error:
        raise UsageError(str(error)) from error
    return 0


# Fitting ------------------------------------------------------------------------------


@contextlib.contextmanager
def _processes() -> Iterator[tuple[int, int]]:
    """Rank and number of the processes that torchrun has started, of one else 0, 1."""
    can_begin = dist.is_available() and not dist.is_initialized()
    begins = can_begin and dist.is_torchelastic_launched()
    if begins:
        dist.init_process_group("gloo")
    try:
        yield (dist.get_rank(), dist.get_world_size()) if _is_group() else (0, 1)
    finally:
        if begins:
            dist.destroy_process_group()


def _is_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def _fit(arguments: argparse.Namespace) -> None:
    with _processes() as (rank, n):
        _fit_part(arguments, rank, n)


def _fit_part(arguments: argparse.Namespace, rank: int, n: int) -> None:
    """Fit with the rows of this process, of n; the first writes the model."""
    model: Path = arguments.model
    checkpoint = Path(f"{model}.checkpoint")
    if not model.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {str(model.parent)!r} for --model")
    if arguments.resume and arguments.overwrite:
        raise UsageError("--resume goes on, and --overwrite starts anew: give one")
    if arguments.resume and model.exists() and not checkpoint.exists():
        _tell(f"{model} is finished: nothing is left to do.")
        return
    for path, advice in (
        (checkpoint, "of a fit that did not end: --resume goes on with it"),
        (model, "already"),
    ):
        if path.exists() and not (arguments.overwrite or arguments.resume):
            raise UsageError(
                f"{str(path)!r} is there {advice}; --overwrite replaces it"
            )
    estimator = ESTIMATORS[arguments.estimator](
        arguments.n_components,
        random_state=arguments.random_state,
        verbose=1,
        checkpoint=checkpoint,
    )
    _set(estimator, arguments.set)
    if arguments.max_iter is not None:
        estimator.set_params(max_iter=arguments.max_iter)
    if arguments.overwrite:
        checkpoint.unlink(missing_ok=True)
    X = _read_columns(arguments)
    # Maps of columns have no use for units, and keep what they are.
    is_scaled = arguments.scaler == "standard" and not _has_maps(estimator)
    beside = find_scaler(X) if is_scaled else {}
    with warnings.catch_warnings():
        if arguments.max_iter is not None:  # who asks for few epochs knows
            warnings.simplefilter("ignore", ConvergenceWarning)
        own = X.iloc[len(X) * rank // n : len(X) * (rank + 1) // n]
        estimator.fit(scaled(own, beside))
    if rank > 0:
        return
    write_estimator(estimator, model, beside=beside)
    checkpoint.unlink(missing_ok=True)
    _tell(
        f"{type(estimator).__name__}: {len(X)} rows, {X.shape[1]} columns, "
        f"{estimator.n_components_} latents; {estimator.n_iter_} epochs, the best was "
        f"{estimator.best_iter_}; reconstruction error "
        f"{estimator.reconstruction_err_:.4g} per column",
        f"written: {model}",
    )


def _set(estimator: Any, settings: list[str]) -> None:
    """Set parameters that are written as name=value."""
    known = [
        name
        for name in estimator.get_params(deep=False)
        if name not in ("callbacks", "checkpoint", "decoder", "encoder")
    ]
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in known:
            raise UsageError(
                f"--set takes NAME=VALUE, with one of {listed(known)}; got {setting!r}"
            )
        estimator.set_params(**{name: parameter_value(name, text)})


def _read_columns(arguments: argparse.Namespace) -> "pd.DataFrame":
    """The columns of the file that can be learned from, and a word on the others."""
    options = read_options(arguments.table, arguments, arguments.drop)
    table = read_table(arguments.table, options)
    prepared = prepare_table(table.frame, drop=arguments.drop, spelled=table.spelled)
    dropped = {
        action: columns
        for action, columns in prepared.actions.items()
        if action.startswith("dropped")
    }
    frame, of_infinite = _without_infinite(table.frame, prepared.X.columns)
    n_rows, n_columns = table.frame.shape
    _tell(
        f"{Path(arguments.table).name}: {n_rows} rows, {n_columns} columns",
        *_as_list([*table.remarks, *of_infinite]),
        *format_columns(dropped),
    )
    return frame[[*prepared.X.columns]]


def _without_infinite(
    frame: "pd.DataFrame", names: Iterable[str]
) -> tuple["pd.DataFrame", list[str]]:
    """The table with no infinite values in these columns, and a word on each."""
    frame, remarks = frame.copy(deep=False), []
    for name in names:
        if frame[name].dtype.kind != "f":
            continue
        is_infinite = np.isinf(frame[name].to_numpy(np.float64, na_value=np.nan))
        if is_infinite.any():
            frame[name] = frame[name].mask(is_infinite)
            n_infinite = int(is_infinite.sum())
            remarks.append(f"{name}: {n_infinite} infinite values count as missing")
    return frame, remarks


def _as_list(remarks: list[str]) -> list[str]:
    return [line for text in remarks for line in wrap(text, "  - ")]


# Using a model ------------------------------------------------------------------------


def _transform(arguments: argparse.Namespace) -> None:
    estimator, beside, table = _load(arguments)
    Z = estimator.transform(_of_fit(estimator, table.frame, beside))
    _write(arguments, _kept(arguments, table, estimator.get_feature_names_out(), Z))


def _score(arguments: argparse.Namespace) -> None:
    estimator, beside, table = _load(arguments)
    scores = estimator.score_samples(_of_fit(estimator, table.frame, beside))
    _tell(f"mean score: {scores.mean():.6g}")
    _write(arguments, _kept(arguments, table, ["score"], scores[:, None]))


def _impute(arguments: argparse.Namespace) -> None:
    estimator, beside, table = _load(arguments)
    frame = table.frame
    if not hasattr(estimator, "impute"):
        raise UsageError(f"{type(estimator).__name__} does not fill missing cells")
    X = _of_fit(estimator, frame, beside)
    filled = _in_units(estimator.impute(X), beside, X)
    is_missing = frame[X.columns].isna()
    for name in X.columns[is_missing.any()]:
        frame[name] = frame[name].where(~is_missing[name], filled[name])
    _tell(f"{int(is_missing.to_numpy().sum())} missing cells were filled")
    _write(arguments, spelled_again(frame, table.words, is_missing))


def _sample(arguments: argparse.Namespace) -> None:
    estimator, beside = _load_model(arguments)
    told = {"given": _given(estimator, arguments.given)} if arguments.given else {}
    drawn = estimator.sample(
        arguments.n_rows, random_state=arguments.random_state, **told
    )
    _write(arguments, _in_units(drawn, beside, estimator))


def _has_maps(estimator: Any) -> bool:
    return getattr(estimator, "column_maps", None) is not None


def _given(estimator: Any, settings: list[str]) -> dict[str, Any]:
    """What cells of columns are to hold, from settings COLUMN=VALUE."""
    if not _has_maps(estimator):
        raise UsageError(
            "--given takes a model that was fitted with --estimator vae --set "
            f"column_maps=quantile; this {type(estimator).__name__} was not"
        )
    texts: dict[str, str] = {}
    for setting in settings:
        # A name may hold the sign itself: the longest counts.
        names = [n for n in _names_of(estimator) if setting.startswith(f"{n}=")]
        name = max(names, key=len, default=setting.partition("=")[0])
        if "=" not in setting or name in texts:
            raise UsageError(
                f"--given takes COLUMN=VALUE, each column once; got {setting!r}"
            )
        texts[name] = setting[len(name) + 1 :]
    return from_words(texts, estimator._kinds)


def _load_model(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    estimator = load(arguments.model)
    if not isinstance(estimator, tuple(ESTIMATORS.values())):
        raise UsageError(
            f"{arguments.model!r} holds a {type(estimator).__name__}, and these "
            f"commands are for {listed(kind.__name__ for kind in ESTIMATORS.values())}"
        )
    return estimator, read_beside(arguments.model)


def _load(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any], ReadTable]:
    estimator, beside = _load_model(arguments)
    wanted = [*_names_of(estimator), *getattr(arguments, "keep", [])]
    options = read_options(arguments.table, arguments, wanted)
    table = read_table(arguments.table, options)
    _tell(*_as_list(table.remarks))
    missing = [name for name in wanted if name not in table.frame.columns]
    if missing:
        raise UsageError(
            f"{Path(arguments.table).name} has no column {listed(missing)}; its "
            f"columns are: {listed(table.frame.columns)}"
        )
    frame, of_infinite = _without_infinite(table.frame, _names_of(estimator))
    _tell(*_as_list(of_infinite))
    table.frame = frame
    if arguments.output is not None and _is_parquet(arguments.output):
        table.words = {}  # types are kept there, not words
    return estimator, beside, table


def _names_of(estimator: Any) -> list[str]:
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        raise UsageError(
            "the model was fitted to rows without names of columns, by which those of "
            "a file are found"
        )
    return names.tolist()


def _of_fit(estimator: Any, frame: "pd.DataFrame", beside: dict) -> "pd.DataFrame":
    return scaled(frame[_names_of(estimator)], beside)


def _in_units(rows: Any, scaler: dict[str, Any], like: Any) -> "pd.DataFrame":
    """Rows of the estimator as a table in the units of the file."""
    pandas = import_extra("pandas")
    if not isinstance(rows, pandas.DataFrame):
        is_frame = isinstance(like, pandas.DataFrame)
        names = like.columns if is_frame else _names_of(like)
        rows = pandas.DataFrame(rows, columns=names)
    if scaler:
        rows = rows * scaler["scale"] + scaler["center"]
        for name, is_whole in zip(rows.columns, scaler["is_whole"], strict=True):
            if is_whole:
                rows[name] = rows[name].round().astype(np.int64)
    return rows


def _kept(
    arguments: argparse.Namespace, table: ReadTable, names: Any, numbers: Any
) -> "pd.DataFrame":
    """Columns of numbers, with those of the file that are to stand before them."""
    pandas = import_extra("pandas")
    made = pandas.DataFrame(numbers, columns=names, index=table.frame.index)
    kept = spelled_again(table.frame[arguments.keep], table.words)
    return pandas.concat([kept, made], axis=1)


def _write(arguments: argparse.Namespace, frame: "pd.DataFrame") -> None:
    path = arguments.output
    if path is None:
        try:
            frame.to_csv(sys.stdout, index=False)
            sys.stdout.flush()
        except BrokenPipeError:  # head has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if _is_parquet(path):
        import_extra("pyarrow")
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    _tell(f"written: {path}")


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


def _tell(*lines: str) -> None:
    """Say something beside the table, which may go on in a pipe."""
    if lines and not (_is_group() and dist.get_rank() > 0):
        say(*lines, file=sys.stderr)
