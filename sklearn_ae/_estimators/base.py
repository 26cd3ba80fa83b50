"""The one way from a table to fitted networks, and from rows to what they say.

table -> design -> rows and networks -> training -> axes of the latents -> attributes.
An estimator has its parameters, and says which objects its fit is made of: the table
(`_make_table`), the design (`_make_design`), and what is said of the result
(`_describe`). Each hands on values; `_set_fitted` sets all attributes at the end.
"""

import contextlib
import copy
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn import config_context
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._inference.compute import compute
from .._inference.described import describe
from .._inference.inference import Inference, usable
from .._networks.activations import ACTIVATIONS
from .._networks.architecture import Architecture, NetworkSpec, check_sizes
from .._networks.losses import LOSSES, SquaredError
from .._networks.modules import (
    Anchored,
    Autoencoder,
    UnitsDecoder,
    UnitsEncoder,
    draws_globally,
)
from .._tables.checks import check_rows_differ, validate_rows
from .._tables.columns import Columns
from .._tables.loading import Rows
from .._tables.rows import Table
from .._training.checkpoints import Checkpoints
from .._training.options import TrainingResult
from .._training.plans import Plan, TrainingState, find_weights, pass_over
from .._training.recipe import Recipe
from .._training.skorch_net import check_callbacks
from .._utils.arrays import answers_in_kind, plain, read_stream
from .._utils.device import (
    check_device,
    enable_gradients,
    isolated_generators,
    resolve_device,
    steady_convolutions,
)
from .._utils.processes import Processes, current, together
from .._utils.random import SEED_LIMIT
from .advice import warn_if_cut_short, warn_of_channels_first, warn_of_idle_latents
from .checkpoints import at_lower_rates, checkpoints_of
from .choosing import number_of_latents
from .column_display import ShowingColumns
from .design import Design, FitTable, Trained
from .fitted_state import unfitted
from .several import fit_together

# What happens in a fit, for programs that keep logs; `verbose` is for people.
_LOGGER = logging.getLogger("sklearn_ae")


class BaseEncoderDecoder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ShowingColumns
):
    """Common part of all estimators: an encoder, latents, a decoder and their fit."""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", StrOptions({"auto"})],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "loss": [StrOptions(set(LOSSES))],
        "init": [StrOptions({"auto", "pca", "random"})],
        "encoder": [None, nn.Module, callable],
        "decoder": [None, nn.Module, callable],
        "image_shape": [None, "array-like"],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "min_frequency": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "learning_rate_init": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "max_iter": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "device": [str, torch.device],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "callbacks": [None, list, tuple],
        "checkpoint": [None, str, os.PathLike],
    }

    n_components: Any
    module_: Autoencoder
    n_components_: int
    n_iter_: int
    best_iter_: int
    history_: Any
    loss_curve_: list[float]
    validation_loss_curve_: list[float] | None
    _inference: Inference
    # Whether several processes can fit it together.
    _can_be_shared = True
    _spec: NetworkSpec  # that the networks were made for
    _moments: tuple[dict[str, Any], Tensor] | None  # and the order of their columns

    # What an estimator is made of -----------------------------------------------------

    def _make_table(self, X: Any, y: Any, reset: bool) -> FitTable:
        """The rows of a fit, checked, with what y says of them beside."""
        X = self._validate_rows(X, reset)
        return FitTable(X, X.shape[1], self._kinds)

    def _validate_rows(
        self, X: Any, reset: bool, loss: SquaredError | None = None
    ) -> np.ndarray | Table:
        """Rows, checked for the loss of a fitted module or of the parameters."""
        needs_unit_interval = (loss or LOSSES[self.loss]()).needs_unit_interval
        return validate_rows(self, X, reset, needs_unit_interval)

    def _make_design(self, table: FitTable, columns: Columns | None) -> Design:
        """The objects of a fit; columns are those of networks that go on."""
        raise NotImplementedError

    def _describe(self, trained: Trained) -> dict[str, Any]:
        """Attributes of the estimator's own, by their names."""
        raise NotImplementedError

    # Fitting --------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any = None) -> None:
        X, y = plain(X), plain(y)
        with _fitting(self) as processes:
            goes_on = self.warm_start and hasattr(self, "module_")
            fit_table = partial(self._fit_table, goes_on=goes_on)
            fitted = fit_together(
                self, X, y, sample_weight, goes_on, fit_table, processes
            )
        self._set_fitted(fitted, goes_on)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        X, y = plain(X), plain(y)
        with _fitting(self) as processes:
            goes_on = hasattr(self, "module_")
            learn = partial(self._pass_over_table, goes_on=goes_on)
            fitted = fit_together(
                self, X, y, sample_weight, goes_on, learn, processes, False
            )
        self._set_fitted(fitted, goes_on)

    def _fit_table(self, table: FitTable, goes_on: bool) -> dict[str, Any]:
        with checkpoints_of(self, table, goes_on) as checkpoints:
            design = self._designed(table, goes_on)
            warn_of_idle_latents(design.architecture, len(table.X))
            warn_of_channels_first(design.architecture)
            train = partial(self._train, table, goes_on=goes_on)
            fitted = at_lower_rates(self, design, train, checkpoints)
        return fitted

    def _pass_over_table(self, table: FitTable, goes_on: bool) -> dict[str, Any]:
        if not goes_on:
            check_rows_differ(table.X, table.n_own)
        design = self._designed(table, goes_on)
        train = partial(self._train_one_pass, table, goes_on=goes_on)
        return at_lower_rates(self, design, train, Checkpoints())

    def _designed(self, table: FitTable, goes_on: bool) -> Design:
        # As if the number had been asked for that the table asks for.
        asking = unfitted(self, n_components=number_of_latents(self, table, goes_on))
        columns = None
        if goes_on:
            self._spec.check_equal(NetworkSpec.of(asking.get_params(deep=False)))
            columns = copy.deepcopy(self.module_.columns).cpu()
        return replace(asking._make_design(table, columns), weights=table.weights)

    def _train(self, table: FitTable, design: Design, goes_on: bool) -> dict[str, Any]:
        X = table.X
        random_state = current().random_state(self.random_state)
        seed = random_state.randint(SEED_LIMIT)
        plan = self._plan(len(X), goes_on)
        state, rows, inference, result = self._find(
            X, design, plan, goes_on, random_state, seed
        )
        module = state.module
        # Latents of the last fit, and those of PCA, have their axes already.
        is_start = goes_on or isinstance(module.encoder, Anchored)
        has_axes = result.best_epoch == 0 and is_start
        is_trained = not goes_on or result.n_epochs > 0
        if not is_trained:
            inference = inference.after(self._inference)
        described = describe(
            *(module, rows.x, inference, rows.n_samples),
            is_trained=is_trained,
            weights=rows.weights,
        )
        if module.is_own and not has_axes:
            axes = design.find_axes(module, described)
            described = described.turned(module, *axes)
        described = design.finish(module, described, seed)
        course = self._course(result, goes_on)
        described = replace(described, order=rows.order)
        trained = Trained(design, table, state, described, random_state, course)
        fitted = self._fitted(trained)
        _LOGGER.info(
            "%s: %d rows, %d epochs, the best was %d.",
            *(type(self).__name__, len(X), result.n_epochs, result.best_epoch),
        )
        n_epochs_usual = design.recipe.n_epochs(len(X))
        warn_if_cut_short(self.max_iter, result, n_epochs_usual, goes_on)
        return fitted

    def _find(
        self,
        X: np.ndarray | Table,
        design: Design,
        plan: Plan,
        goes_on: bool,
        random_state: np.random.RandomState,
        seed: int,
    ) -> tuple[TrainingState, Rows, Inference, TrainingResult]:
        """Networks trained as designed, their rows, and what finds the latents."""
        device = resolve_device(self.device)
        if goes_on:
            state, rows = design.resume(
                self.module_, X, random_state, device, seed, plan.n_valid
            )
            state.history = self.history_
        else:
            state, rows = design.begin(
                *(X, random_state, device, seed),
                n_valid=plan.n_valid,
                may_narrow=True,
            )
        inference = usable(design.inference, state.module, rows.x)
        objective = design.objective.judging_by(inference)
        with _generators(state.module, self.callbacks, seed, device):
            result = find_weights(state, rows, plan, design.recipe, objective, seed)
        return state, rows, inference, result

    def _train_one_pass(
        self, table: FitTable, design: Design, goes_on: bool
    ) -> dict[str, Any]:
        X = table.X
        random_state = current().random_state(self.random_state)
        n_passes = self.n_iter_ if goes_on else 0
        # Another seed on every pass, or chunk after chunk would meet the same noise.
        seed = (random_state.randint(SEED_LIMIT) + n_passes) % SEED_LIMIT
        device = resolve_device(self.device)
        if goes_on:
            moments, order = self._moments or (None, None)
            state, rows = design.resume(
                self.module_, X, random_state, device, seed, order=order
            )
            state.moments, state.history = moments, self.history_
        else:
            state, rows = design.begin(X, random_state, device, seed)
        inference = usable(design.inference, state.module, rows.x)
        objective = design.objective.judging_by(inference)
        with _generators(state.module, self.callbacks, seed, device):
            loss = pass_over(state, rows, design.recipe, objective, seed)
        if goes_on:
            inference = inference.after(self._inference)
        described = describe(
            *(state.module, rows.x, inference, rows.n_samples), weights=rows.weights
        )
        course = {
            "history_": state.history,
            "n_iter_": n_passes + 1,
            "best_iter_": n_passes + 1,
            "loss_curve_": [*(self.loss_curve_ if goes_on else []), loss],
            "validation_loss_curve_": None,
        }
        described = replace(described, order=rows.order)
        trained = Trained(design, table, state, described, random_state, course)
        return self._fitted(trained)

    def _plan(self, n_samples: int, goes_on: bool) -> Plan:
        if not self.early_stopping or self.max_iter == 0:
            return Plan()
        can_end_on_all = not self.callbacks and not goes_on
        return Plan.of(n_samples, self.validation_fraction, can_end_on_all)

    def _course(self, result: TrainingResult, goes_on: bool) -> dict[str, Any]:
        """Attributes that tell the course of all trainings, and what is kept of it."""
        course: dict[str, Any] = {
            "history_": result.history,
            "n_iter_": result.n_epochs,
            "best_iter_": result.best_epoch,
            "loss_curve_": result.loss_curve,
            "validation_loss_curve_": result.validation_loss_curve,
        }
        if not goes_on:
            return course
        course["n_iter_"] += self.n_iter_
        is_better = result.best_epoch > 0
        course["best_iter_"] += self.n_iter_ if is_better else self.best_iter_
        course["loss_curve_"] = self.loss_curve_ + result.loss_curve
        if result.validation_loss_curve is not None:
            before = self.validation_loss_curve_ or []
            course["validation_loss_curve_"] = before + result.validation_loss_curve
        return course

    def _fitted(self, trained: Trained) -> dict[str, Any]:
        """All attributes of a fit, by their names."""
        module, order = trained.module, trained.described.order
        assert order is not None  # of rows of a fit it is known
        with steady_convolutions(trained.described.x.device):
            own = self._describe(trained)
            module.put_columns_back(order)
        moments, spec = trained.state.moments, trained.design.architecture.spec
        return {
            **trained.table.attributes,
            **trained.course,
            "module_": module,
            "n_components_": spec.n_components,
            "_spec": spec,
            "_moments": None if moments is None else (moments, order),
            "_inference": trained.described.inference,
            **own,
        }

    def _recipe(
        self,
        architecture: Architecture,
        auto_learning_rate: float,
        *,
        kind: type[Recipe] = Recipe,
        **changes: Any,
    ) -> Recipe:
        """The recipe that the estimator's parameters ask for."""
        # It takes many pixels to make one column of a convolution.
        n_columns = architecture.n_inputs if architecture.image_shape is None else 0
        changes = {"n_columns": n_columns, **changes}
        return kind(
            learning_rate=self.learning_rate_init,
            alpha=self.alpha,
            batch_size=self.batch_size,
            max_iter=self.max_iter,
            auto_learning_rate=auto_learning_rate,
            is_anchored=architecture.spec.starts_linear,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            callbacks=tuple(self.callbacks or ()),
            verbose=self.verbose,
            precision=self.precision,
            **changes,
        )

    # Using a fitted estimator ---------------------------------------------------------

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Fit to the rows of X, and encode these.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.

        y : array-like or None, default=None
            What `fit` takes.

        **fit_params : dict
            Other parameters of `fit`.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Latents of the rows.
        """
        # A stream is read once, for both.
        return super().fit_transform(read_stream(X), y, **fit_params)

    @answers_in_kind
    def transform(self, X: Any) -> np.ndarray:
        """Encode the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Latents, of the dtype of X (float64 unless X is float32).
        """
        return self._infer("transform", self._validate_new_rows(X))

    def _infer(self, method: str, X: np.ndarray | Table) -> np.ndarray:
        """What the inference says of checked rows by one of its methods."""
        return self._compute(getattr(self._inference, method), X)

    def _validate_new_rows(self, X: Any) -> np.ndarray | Table:
        check_is_fitted(self)
        return self._validate_rows(X, False, self.module_.loss_function)

    def _compute(
        self,
        function: str | Callable[..., Tensor],
        X: np.ndarray | Table,
        *args: Any,
    ) -> np.ndarray:
        return compute(self.module_, function, X, *args)

    def _as_given(
        self,
        numbers: np.ndarray,
        random_state: np.random.RandomState | None = None,
        like: Any = None,
    ) -> Any:
        """Rows (n, d) as a table like that of `fit`, where it was more than numbers."""
        if self._kinds is None:
            return numbers
        return self._kinds.decode(numbers, random_state, like)

    @property
    def encoder_(self) -> nn.Module:
        """The encoder as a torch module: rows in the units of X to latents, at once."""
        check_is_fitted(self)
        return UnitsEncoder(self.module_)

    @property
    def decoder_(self) -> nn.Module:
        """The decoder as a torch module: latents to rows in the units of X."""
        check_is_fitted(self)
        return UnitsDecoder(self.module_)

    @property
    def _n_features_out(self) -> int:
        """Number of latents: ClassNamePrefixFeaturesOutMixin asks for it."""
        return self.n_components_

    def _validate_params(self) -> None:
        super()._validate_params()
        own = [
            name for name in ("encoder", "decoder") if getattr(self, name) is not None
        ]
        names_linear = self.init not in ("auto", "random")
        if names_linear and own:
            raise ValueError(
                f'init="{self.init}" starts the package\'s own networks; with '
                f'{own[0]}= use init="auto" or init="random".'
            )
        if names_linear and self.loss == "log_loss":
            raise ValueError(
                f'init="{self.init}" goes with loss="squared_error" or '
                '"absolute_error"; with loss="log_loss" use init="auto" or '
                'init="random".'
            )
        check_sizes(self.hidden_layer_sizes)
        NetworkSpec.of(self.get_params(deep=False))  # raises where shapes are no shapes
        check_callbacks(self.callbacks or ())
        check_device(self.device)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


@contextlib.contextmanager
def _fitting(estimator: BaseEncoderDecoder) -> Iterator[Processes]:
    """What surrounds a fit, of which the parameters have been checked."""
    with (
        config_context(array_api_dispatch=False),
        enable_gradients(),
        together() as processes,
    ):
        estimator._validate_params()
        yield processes


def _generators(
    module: Autoencoder, callbacks: Any, seed: int, device: torch.device
) -> contextlib.AbstractContextManager[None]:
    """What random numbers of a training come from, besides its own generators.

    Code of the user's draws as torch does by default: it gets seeded generators, and
    other trainings with such code wait.
    """
    if draws_globally(module) or callbacks:
        return isolated_generators(current().seed(seed), device)
    return steady_convolutions(device)
