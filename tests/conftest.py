"""Small tables, quick estimators, and a second Python process."""

import gc
import json
import os
import select
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from sklearn.exceptions import ConvergenceWarning

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)

# Fixtures hold no examples to try, and two files of one name could not be collected.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]

# The same examples on every run, on machines of any speed, and no folder of examples.
settings.register_profile("tests", derandomize=True, deadline=None, database=None)
settings.load_profile("tests")

ESTIMATORS = {
    "AE": AutoencoderTransformer,
    "DAE": DenoisingAutoencoderTransformer,
    "VAE": VAETransformer,
}

# About 100 steps, a tenth of a second, and weights that are no longer those of PCA.
# Nothing here is the default recipe, which the tests leave free to change.
QUICK = {
    "hidden_layer_sizes": (16,),
    "max_iter": 20,
    "batch_size": 16,
    "learning_rate_init": 3e-3,
    "early_stopping": False,
}

GALLERY = "tests/docs/test_examples.py::test_example"


def bent_table(n_samples=80, seed=0):
    """A curved surface of dimension 2 in 5 columns of different units."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1.0, 1.0, size=(n_samples, 2))
    columns = [t[:, 0], t[:, 1], t[:, 0] ** 2, t[:, 0] * t[:, 1], np.sin(3 * t[:, 1])]
    X = np.column_stack(columns) + 0.01 * rng.standard_normal((n_samples, 5))
    return X * [1.0, 2.0, 3.0, 1.0, 0.5] + [0.0, 10.0, -5.0, 50.0, 1.0]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Let a plain `pytest` use the cores, file by file, and what is chosen just one.

    It leaves out the gallery's examples, minutes of full fits: the documentation's
    build runs them, and `pytest tests/docs/test_examples.py` does.
    """
    option = config.option
    is_watched = option.usepdb or option.trace or option.capture == "no"
    is_plain = config.args_source is config.ArgsSource.TESTPATHS and not (
        option.keyword or option.markexpr or is_watched
    )
    if not is_plain:
        return
    option.deselect = [*(option.deselect or []), GALLERY]
    is_worker = hasattr(config, "workerinput")
    if is_worker or getattr(option, "numprocesses", 0) is not None:
        return
    option.numprocesses = min(os.cpu_count() or 1, 4)  # a gigabyte each
    option.dist = "loadscope"  # what a file's tests share is fitted once
    # More threads would only wait for each other. The processes are yet to start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the thousands of tests out of sight of the garbage collector."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def close_figures():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(params=ESTIMATORS.values(), ids=ESTIMATORS)
def Estimator(request):
    """Each of the three classes in turn."""
    return request.param


@pytest.fixture(scope="session")
def X():
    """Rows (80, 5) that no test may write to."""
    X = bent_table()
    X.flags.writeable = False
    return X


@pytest.fixture(scope="session")
def X_unit(X):
    """The same with every column between 0 and 1."""
    X_unit = (X - X.min(axis=0)) / np.ptp(X, axis=0)
    X_unit = np.clip(X_unit, 0.0, 1.0)
    X_unit.flags.writeable = False
    return X_unit


@pytest.fixture(scope="session")
def more_rows():
    """Rows of the same kind, as many as asked for."""
    return bent_table


@pytest.fixture(scope="session")
def quick():
    """Make an estimator that trains in a tenth of a second."""

    def make(Estimator, **params):
        if Estimator is DenoisingAutoencoderTransformer:
            # At more noise, so short a training does not get past the start.
            params = {"corruption_level": 0.05, **params}
        return Estimator(**{**QUICK, **params})

    return make


@pytest.fixture(scope="session", params=ESTIMATORS.values(), ids=ESTIMATORS)
def fitted(request, quick, X):
    """Each of the three estimators, trained on X. Not to be changed: copy it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = quick(request.param).fit(X)
    assert estimator.best_iter_ > 0, "the tests need weights that training changed"
    return estimator


ROOT = Path(__file__).parents[1]
TIME_LIMIT = 300  # seconds


@pytest.fixture(scope="session")
def in_fresh_process():
    """Run Python code, with arguments, in a process of its own."""

    def run(code, *args):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, args)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIME_LIMIT,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


FORKING = """
import json, os, sys, traceback
import sklearn_ae

for line in sys.stdin:
    code, args, path = json.loads(line)
    child = os.fork()
    if child == 0:
        for stream, name in ((1, "output"), (2, "errors")):
            os.dup2(os.open(f"{path}/{name}", os.O_WRONLY | os.O_CREAT), stream)
        sys.argv = ["-c", *args]
        status = 1
        try:
            exec(code, {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitpid(child, 0)[1], flush=True)
os._exit(0)  # at once: what was imported takes long to tidy up
"""


@pytest.fixture(scope="session")
def in_other_process(in_fresh_process, tmp_path_factory):
    """The same in a process that has imported the package, which takes seconds.

    It is forked from one that has done nothing else.
    """
    if not hasattr(os, "fork"):
        yield in_fresh_process
        return
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(code, *args):
        path = tmp_path_factory.mktemp("process")
        print(
            json.dumps([code, [*map(str, args)], str(path)]),
            file=process.stdin,
            flush=True,
        )
        assert select.select([process.stdout], [], [], TIME_LIMIT)[0], "no answer"
        assert process.stdout.readline() == "0\n", (path / "errors").read_text()
        return (path / "output").read_text()

    with process:  # which ends with its input
        yield run
