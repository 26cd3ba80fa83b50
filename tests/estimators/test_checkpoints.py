"""Fits that are stopped on their way, and go on to the same bits."""

import json
import os
import pickle
import signal
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochTimer
from torch import nn

import sklearn_ae
from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    NeighborMapTransformer,
    VAETransformer,
)
from sklearn_ae._estimators.checkpoints import in_words
from sklearn_ae._training import checkpoints, recipe
from sklearn_ae._training.checkpoints import CheckpointFile

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)) @ RNG.normal(size=(5, 5))
X_MISSING = np.where(RNG.uniform(size=X.shape) < 0.1, np.nan, X)
DIGITS = load_digits().data[:1100, :32]
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 3}


class Killed(BaseException):
    """Ends a fit where a checkpoint has just been written."""


@pytest.fixture
def stop(monkeypatch):
    """Let a fit write a checkpoint after so many steps, and end."""
    write = CheckpointFile.write

    def stop_after(n_steps):
        n_done = 0

        def is_due(self):
            nonlocal n_done
            n_done += 1
            return n_done == n_steps

        def write_and_end(self):
            write(self)
            if n_done == n_steps:
                raise Killed

        monkeypatch.setattr(CheckpointFile, "is_due", is_due)
        monkeypatch.setattr(CheckpointFile, "write", write_and_end)

    return stop_after


def assert_goes_on(make, X, path, stop, steps=(2, 3, 9), y=None, **of_rows):
    """A fit that is stopped again and again ends as one that is not."""
    undisturbed = make().fit(X, y, **of_rows)
    n_stopped = 0
    for n_steps in steps:
        stop(n_steps)
        try:
            make().set_params(checkpoint=path).fit(X, y, **of_rows)
        except Killed:
            n_stopped += 1
    assert n_stopped > 0 or not steps
    stop(-1)
    again = make().set_params(checkpoint=path).fit(X, y, **of_rows)
    assert pickle.dumps(again) == pickle.dumps(undisturbed)
    # What has ended is there at once.
    stop(1)
    at_once = make().set_params(checkpoint=path).fit(X, y, **of_rows)
    assert pickle.dumps(at_once) == pickle.dumps(undisturbed)


class OwnEncoder(nn.Sequential):
    """Draws from torch's global generator, and keeps more than parameters."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(
            nn.Linear(n_inputs, 4),
            nn.BatchNorm1d(4),
            nn.Dropout(0.2),
            nn.Linear(4, n_outputs),
        )


ESTIMATORS = {
    "cross-validated": (AutoencoderTransformer, X, {}),
    "side by side": (AutoencoderTransformer, X, {"n_iter_no_change": 2}),
    "missing cells": (DenoisingAutoencoderTransformer, X_MISSING, {}),
    "columns by their quantiles": (VAETransformer, X, {"column_maps": "quantile"}),
    "rows held out": (VAETransformer, DIGITS, {"batch_size": 300, "kl_warmup": 2}),
    "no rows held out": (AutoencoderTransformer, X, {"early_stopping": False}),
    "networks of one's own": (AutoencoderTransformer, X, {"encoder": OwnEncoder}),
    "images": (
        AutoencoderTransformer,
        DIGITS[:40],
        {"image_shape": (8, 4), "hidden_layer_sizes": (1,), "batch_size": 20},
    ),
    "wide rows": (VAETransformer, RNG.normal(size=(40, 200)), {}),
    "map": (NeighborMapTransformer, X, {"batch_size": 20}),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_fit_goes_on_to_the_same_bytes(name, tmp_path, stop):
    kind, X, parameters = ESTIMATORS[name]

    def make():
        return kind(2, **{**SMALL, **parameters})

    assert_goes_on(make, X, tmp_path / "fit.safetensors", stop)


def test_regressor_goes_on_to_the_same_bytes(tmp_path, stop):
    def make():
        return EncoderDecoderRegressor(2, **SMALL)

    path = tmp_path / "fit.safetensors"
    assert_goes_on(make, X[:, :3], path, stop, y=X[:, 3:])


def test_streamed_table_goes_on_to_the_same_bytes(tmp_path, stop):
    np.save(tmp_path / "rows.npy", np.tile(X, (10, 1)))
    table = np.load(tmp_path / "rows.npy", mmap_mode="r")

    def make():
        return AutoencoderTransformer(2, **SMALL, batch_size=50)

    assert_goes_on(make, table, tmp_path / "fit.safetensors", stop)


@pytest.mark.parametrize("fit", [{}, {"early_stopping": False}])
def test_rows_of_weights_go_on_to_the_same_bytes(fit, tmp_path, stop):
    def make():
        return AutoencoderTransformer(2, **{**SMALL, **fit})

    weights = np.linspace(0.1, 3.0, len(X))
    path = tmp_path / "fit.safetensors"
    assert_goes_on(make, X, path, stop, sample_weight=weights)


def test_warm_start_goes_on_to_the_same_bytes(tmp_path, stop):
    first = AutoencoderTransformer(2, **SMALL, early_stopping=False).fit(X)

    def make():
        loaded = pickle.loads(pickle.dumps(first))
        return loaded.set_params(warm_start=True, max_iter=20)

    assert_goes_on(make, X, tmp_path / "fit.safetensors", stop)


def test_generator_goes_on_to_the_same_bytes(tmp_path, stop):
    def make():
        random_state = np.random.RandomState(3)
        random_state.normal()
        return AutoencoderTransformer(2, **SMALL, random_state=random_state)

    assert_goes_on(make, X, tmp_path / "fit.safetensors", stop)


def test_lower_rate_goes_on_to_the_same_bytes(tmp_path, stop, monkeypatch, caplog):
    monkeypatch.setattr(recipe, "learning_rate", lambda *_: 300.0)
    caplog.set_level("INFO", "sklearn_ae")

    def make():
        random_state = np.random.RandomState(3)
        return AutoencoderTransformer(
            2, **SMALL, early_stopping=False, random_state=random_state
        )

    make().fit(X)
    assert "diverged" in caplog.text
    assert_goes_on(make, X, tmp_path / "fit.safetensors", stop, steps=(2, 2, 2))


# Real deaths --------------------------------------------------------------------------


DEATHS = """
import os, pickle, signal, sys, time
os.environ["OMP_NUM_THREADS"] = "1"  # other threads do not outlive a fork
from pathlib import Path
import numpy as np
from sklearn_ae import VAETransformer
from sklearn_ae._training import checkpoints
from sklearn_ae._training.trainer import Trainer

X, folder = np.load(sys.argv[1]), Path(sys.argv[1]).parent

def fit(name):
    path = folder / name
    vae = VAETransformer(2, hidden_layer_sizes=(6,), max_iter=3, checkpoint=path)
    path.with_suffix(".result").write_bytes(pickle.dumps(vae.fit(X)))

def begin(name):
    process = os.fork()
    if process == 0:
        fit(name)
        os._exit(0)
    return process

def end(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

fit("first")  # what is imported on the way is there for all

# Killed as soon as the file is another than before.
checkpoints.SECONDS_BETWEEN = checkpoints.COST_BETWEEN = 0.0
path, seen, codes = folder / "killed", None, []
for _ in range(3):
    process = begin("killed")
    while not path.exists() or path.stat().st_ino == seen:
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    codes.append(end(process))
    seen = path.stat().st_ino
codes.append(end(begin("killed")))

# Told to end when the second epoch begins.
checkpoints.SECONDS_BETWEEN = 1e6
run_epoch = Trainer.run_epoch

def run_and_ask(self, batches, schedule, epoch, start):
    if epoch == 2:
        os.kill(os.getpid(), signal.SIGTERM)
    return run_epoch(self, batches, schedule, epoch, start)

Trainer.run_epoch = run_and_ask
codes.append(end(begin("asked")))
print(codes)
"""


@pytest.fixture(scope="module")
def deaths(in_fresh_process, tmp_path_factory):
    """Codes by which processes ended, and the folder of what they left."""
    if os.name != "posix":
        pytest.skip("Signals.")
    folder = tmp_path_factory.mktemp("deaths")
    np.save(folder / "X.npy", X)
    return json.loads(in_fresh_process(DEATHS, folder / "X.npy")), folder


def make_vae():
    return VAETransformer(2, hidden_layer_sizes=(6,), max_iter=3)


def test_fit_that_is_killed_goes_on_to_the_same_bytes(deaths):
    codes, folder = deaths
    assert codes[:4] == [-signal.SIGKILL] * 3 + [0]
    result = (folder / "killed.result").read_bytes()
    assert result == pickle.dumps(make_vae().fit(X))


def test_sigterm_writes_a_checkpoint_and_ends_the_process(deaths):
    codes, folder = deaths
    assert codes[4] == -signal.SIGTERM
    assert_goes_on(make_vae, X, folder / "asked", lambda n_steps: None, steps=())


def test_handler_of_sigterm_is_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    AutoencoderTransformer(2, max_iter=0, checkpoint=tmp_path / "fit").fit(X)
    assert signal.getsignal(signal.SIGTERM) is before


# Files --------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """A checkpoint, and the estimator that wrote it."""
    path = tmp_path / "fit.safetensors"
    estimator = AutoencoderTransformer(
        2, **SMALL, early_stopping=False, checkpoint=path
    ).fit(X)
    return path, estimator


@pytest.mark.parametrize(
    ("parameters", "X", "message"),
    [
        ({"max_iter": 4}, X, "parameter max_iter was 3 and is 4"),
        ({"random_state": 1}, X, "parameter random_state was 0 and is 1"),
        ({}, X[:50], r"shape of X was \(60, 5\) and is \(50, 5\)"),
        ({}, X.astype(np.float32), "dtype of X was float64 and is float32"),
        ({}, np.where(X[7, 2] == X, 0.0, X), "digest of cells of X"),
    ],
)
def test_checkpoint_of_another_fit_is_refused_and_stays(kept, parameters, X, message):
    path, estimator = kept
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        clone(estimator).set_params(**parameters).fit(X)
    assert path.read_bytes() == before


def test_checkpoint_of_other_weights_is_refused(tmp_path):
    estimator = AutoencoderTransformer(2, **SMALL, checkpoint=tmp_path / "fit")
    weights = np.linspace(0.1, 3.0, len(X))
    estimator.fit(X, sample_weight=weights)
    with pytest.raises(ValueError, match="cells of weights"):
        clone(estimator).fit(X, sample_weight=weights[::-1])


def test_checkpoint_of_another_version_is_refused(kept, monkeypatch):
    _path, estimator = kept
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    with pytest.raises(ValueError, match=r"version of torch was .* and is 9\.9\.9"):
        clone(estimator).fit(X)


@pytest.mark.parametrize("content", [b"", b"something else"])
def test_other_file_is_refused_and_stays(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no checkpoint that can be read"):
        AutoencoderTransformer(checkpoint=path).fit(X)
    assert path.read_bytes() == content


def test_saved_estimator_is_no_checkpoint(kept, tmp_path):
    _, estimator = kept
    path = tmp_path / "model.safetensors"
    sklearn_ae.save(estimator, path)
    with pytest.raises(ValueError, match="it holds something else"):
        clone(estimator).set_params(checkpoint=path).fit(X)


@pytest.mark.parametrize("n_bytes", [7, 500, -3])
def test_checkpoint_that_is_cut_off_is_refused(kept, n_bytes):
    path, estimator = kept
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(ValueError, match="no checkpoint that can be read"):
        clone(estimator).fit(X)


def test_missing_folder_is_told_before_training(tmp_path):
    path = tmp_path / "none" / "fit.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        AutoencoderTransformer(checkpoint=path).fit(X)


def test_folder_that_cannot_be_written_is_told_before_training(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    with pytest.raises(PermissionError, match="cannot be written there: Permission"):
        AutoencoderTransformer(checkpoint=tmp_path / "fit").fit(X)


def test_full_disk_leaves_the_older_checkpoint_and_the_fit(kept, monkeypatch):
    path, estimator = kept
    path.unlink()
    fsync, n_done = os.fsync, []

    def fill(descriptor):
        n_done.append(descriptor)
        if len(n_done) > 2:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(checkpoints, "COST_BETWEEN", 0.0)
    monkeypatch.setattr(os, "fsync", fill)
    with pytest.warns(UserWarning, match="No space left on device") as warned:
        fitted = clone(estimator).set_params(batch_size=20).fit(X)
    assert len([w for w in warned if "No space" in str(w.message)]) == 1
    assert os.listdir(path.parent) == [path.name]
    monkeypatch.undo()
    again = clone(estimator).set_params(batch_size=20).fit(X)
    assert pickle.dumps(again) == pickle.dumps(fitted)


def test_what_killed_processes_left_is_removed(kept):
    path, estimator = kept
    old, new = (
        path.with_name(f"{path.name}.a.part"),
        path.with_name(f"{path.name}.part"),
    )
    for part in (old, new):
        part.touch()
    os.utime(old, (0, 0))
    clone(estimator).fit(X)
    assert new.exists()
    assert not old.exists()


# As a parameter -----------------------------------------------------------------------


def test_fit_with_a_checkpoint_equals_one_without(kept, tmp_path):
    _, estimator = kept
    without = clone(estimator).set_params(checkpoint=None).fit(X)
    assert joblib.hash(without) == joblib.hash(estimator)
    for name, fitted in (("a", without), ("b", estimator)):
        sklearn_ae.save(fitted, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_unfitted_estimator_keeps_its_checkpoint_in_a_copy(tmp_path):
    estimator = AutoencoderTransformer(checkpoint=tmp_path)
    assert pickle.loads(pickle.dumps(estimator)).checkpoint == tmp_path
    assert clone(estimator).checkpoint == tmp_path


def test_in_a_folder_each_fit_has_a_file(tmp_path):
    folder = f"{tmp_path / 'new'}{os.sep}"
    estimator = AutoencoderTransformer(**SMALL, checkpoint=folder)
    search = GridSearchCV(estimator, {"n_components": [1, 2]}, cv=2).fit(X)
    assert len(os.listdir(folder)) == 5
    GridSearchCV(estimator, {"n_components": [1, 2]}, cv=2).fit(X)
    assert len(os.listdir(folder)) == 5
    assert search.best_estimator_.checkpoint == folder


def test_pipeline_goes_on_with_metadata_routing(tmp_path, stop):
    def make():
        reduce = AutoencoderTransformer(**SMALL, checkpoint=tmp_path / "fit")
        return make_pipeline(StandardScaler(), reduce)

    with config_context(enable_metadata_routing=True):
        stop(4)
        with pytest.raises(Killed):
            make().fit_transform(X)
        stop(-1)
        Z = make().fit_transform(X)
    expected = make().set_params(autoencodertransformer__checkpoint=None)
    np.testing.assert_array_equal(Z, expected.fit_transform(X))


def test_partial_fit_keeps_nothing(tmp_path):
    AutoencoderTransformer(**SMALL, checkpoint=tmp_path / "fit").partial_fit(X)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"callbacks": [EpochTimer()]}, "callbacks= exclude each other"),
        ({"random_state": None}, "needs a random_state"),
        ({"checkpoint": 3}, "'checkpoint' parameter"),
        ({"checkpoint": ""}, "must name a file or a folder"),
    ],
)
def test_what_no_checkpoint_can_keep_is_refused(tmp_path, parameters, message):
    parameters = {"checkpoint": tmp_path / "fit", **parameters}
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(**parameters).fit(X)


def test_words_on_a_parameter_are_of_what_it_holds():
    def names(last):
        return np.array([*(f"column {i}" for i in range(29)), last], dtype=object)

    assert in_words(names("a")) == in_words(names("a"))
    assert in_words(names("a")) != in_words(names("b"))


class Wide:
    def __init__(self, width):
        self.width = width

    def __call__(self):
        return nn.Linear(4, self.width)


def of_width(width):
    return lambda: nn.Linear(4, width)


@pytest.mark.parametrize(
    "make",
    [
        lambda width: eval(f"lambda: nn.Linear(4, {width})"),
        lambda width: eval(f"lambda: [width for width in ({width}, 7)]"),
        of_width,
        lambda width: lambda width=width: nn.Linear(4, width),
        lambda width: partial(nn.Linear, 4, width),
        Wide,
    ],
    ids=["constant", "inner", "closure", "default", "partial", "object"],
)
def test_functions_of_one_name_are_told_apart(make):
    assert in_words(make(2)) == in_words(make(2))
    assert in_words(make(2)) != in_words(make(3))
