"""A fit sets all attributes at once, and until then reads what was there before it."""

import copy
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    FaceSwapper,
    NeighborMapTransformer,
    VAETransformer,
)
from sklearn_ae._estimators import base
from sklearn_ae._estimators.fitted_state import FittedState
from sklearn_ae.faces import _swapper

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Fewer than 25 pictures:UserWarning",
)

X = np.random.default_rng(0).normal(size=(24, 6))
HOLES = np.where(X > 1.5, np.nan, X)
FRAME = pd.DataFrame(X[:, :3], columns=list("abc")).assign(k=["x", "y"] * 12)
LABELS = np.arange(24) % 2
QUICK = {"max_iter": 1, "hidden_layer_sizes": (4,), "early_stopping": False}
# With folds a training makes networks on its way.
FOLDED = {"max_iter": 1, "hidden_layer_sizes": (4,), "validation_fraction": 0.25}
MAP = {"max_iter": 1, "hidden_layer_sizes": (4,)}
IMAGES = {"image_shape": (2, 3), "hidden_layer_sizes": (2,)}

SETTINGS = {
    "folds": (AutoencoderTransformer(2, **FOLDED), X, None),
    "holes": (AutoencoderTransformer(2, **QUICK), HOLES, None),
    "categories": (AutoencoderTransformer(2, **QUICK), FRAME, None),
    "nested": (AutoencoderTransformer(3, nested=True, whiten=True, **QUICK), X, None),
    "images": (AutoencoderTransformer(2, **QUICK | IMAGES), X, None),
    "number": (AutoencoderTransformer("auto", **QUICK), X[:, :3], None),
    "denoising": (DenoisingAutoencoderTransformer(2, **FOLDED), X, None),
    "regressor": (EncoderDecoderRegressor(2, **FOLDED), X, X[:, 0]),
    "map": (NeighborMapTransformer(2, n_neighbors=5, **MAP), X, None),
    "vae": (VAETransformer(2, n_exemplars=5, **FOLDED), X, None),
    "conditional": (VAETransformer(2, conditional=True, **QUICK), X, LABELS),
    "columns": (VAETransformer(2, condition_columns=["k"], **QUICK), FRAME, None),
    "maps": (VAETransformer(2, column_maps="quantile", **QUICK), FRAME, None),
    "faces": (FaceSwapper(width=1, max_iter=1), np.tile(abs(X[:, :4]) % 1, 16), LABELS),
}


# What trains: functions of rooms below the estimators', and faces' own.
TRAININGS = [
    *((base, name) for name in ("find_weights", "pass_over")),
    (_swapper.FaceTraining, "run"),
]


class Reads(NamedTuple):
    """Attributes that are read in a fit, by their names."""

    early: set[str]  # of what was there before the fit
    between: set[str]  # while some are new and others are not
    training: set[str]  # whatever they are, by a training on its way


@pytest.fixture
def reads(monkeypatch):
    """What a method that fits an estimator reads of it."""

    def of_fit(estimator, method, *args):
        parameters = set(estimator.get_params(deep=False))
        seen, in_training, is_training = [], set(), []

        def attributes(known):
            return {name: known[name] for name in known if name not in parameters}

        def read(self, name):
            known = object.__getattribute__(self, "__dict__")
            if self is estimator and name in attributes(known):
                seen.append((name, attributes(known)))
            if is_training:  # of any estimator, such as those that a fit makes
                in_training.add(name)
            return object.__getattribute__(self, name)

        def watch(module, name):
            train = getattr(module, name)

            def watched(*args, **kwargs):
                is_training.append(name)
                try:
                    return train(*args, **kwargs)
                finally:
                    is_training.pop()

            monkeypatch.setattr(module, name, watched)

        before = attributes(vars(estimator))
        for module, name in TRAININGS:
            watch(module, name)
        monkeypatch.setattr(FittedState, "__getattribute__", read, raising=False)
        getattr(estimator, method)(*args)
        monkeypatch.undo()
        after = attributes(vars(estimator))

        def are_same(some, others):
            return some.keys() == others.keys() and all(
                value is others[name] for name, value in some.items()
            )

        early = {name for name, then in seen if are_same(then, before)}
        late = {name for name, then in seen if are_same(then, after)}
        return Reads(early, {name for name, _ in seen} - early - late, in_training)

    return of_fit


@pytest.fixture(scope="module")
def setting(request):
    estimator, X, y = SETTINGS[request.param]
    parameters = estimator.get_params(deep=False)
    return type(estimator)(**parameters).fit(X, y), X, y


@pytest.mark.parametrize("setting", SETTINGS, indirect=True)
def test_fit_reads_no_attribute_before_all_are_set(setting, reads):
    estimator, X, y = setting
    module = estimator.module_
    found = reads(estimator, "fit", X, y)
    assert not found.early
    assert not found.between
    assert not found.training
    assert estimator.module_ is not module


@pytest.mark.parametrize(
    "setting", [name for name in SETTINGS if name != "map"], indirect=True
)
def test_fit_that_goes_on_reads_what_was_there_and_sets_all_at_once(setting, reads):
    fitted, X, y = setting
    estimator = copy.deepcopy(fitted)
    for method in ("partial_fit", "fit"):
        found = reads(estimator, method, X, y)
        assert "module_" in found.early
        assert not found.between
        assert not found.training
        estimator.set_params(warm_start=True, max_iter=2)
