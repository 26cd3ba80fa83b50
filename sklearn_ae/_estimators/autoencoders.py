"""What the estimators that reconstruct their rows share: the way there and back."""

from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils import check_array, check_scalar
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from .._inference.inference import MOST_PRODUCTS, Encoded, Inference, Refined
from .._inference.latents import LatentDensity
from .._networks.architecture import Architecture, NetworkSpec
from .._networks.losses import LOSSES
from .._networks.sizes import FEW_LATENTS, FEWEST_LATENTS
from .._networks.starts import PCAStart, RandomStart
from .._tables.columns import Columns
from .._tables.weighing import mean_score
from .._training import recipe
from .._utils.arrays import answers_in_kind, plain
from .._utils.random import make_random_state
from .._utils.types import RandomState
from .._utils.warnings import warn
from .base import BaseEncoderDecoder, FitTable
from .design import Design, MakeModule, Trained

# Units of a loss beyond which single precision may not hold its values.
_LEAST_UNIT, _LARGEST_UNIT = 1e-24, 1e24


class LearnsByParts(BaseEncoderDecoder):
    """Rows may come in parts: each is learned with a call of its own."""

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Go on learning with one pass over the rows of X.

        The first call lays out the networks and takes the centre, the scale and the
        linear start from the rows it is given, so these should be typical. Every
        call steps at ``learning_rate_init``, holds no rows out, and leaves the axes
        of the latent space as they are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, any number of them.

        y : None
            Ignored: here for scikit-learn's Pipeline.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts. Whole numbers, up to a mean of 10, count copies
            of a row; all other weights matter up to a common factor. A row of weight 0
            is as if it were not there. None is 1 for each.

        Returns
        -------
        self : object
            The estimator after the pass.
        """
        self._partial_fit(X, y, sample_weight)
        return self


class BaseAutoencoder(BaseEncoderDecoder):
    """Common part of the estimators that reconstruct the rows they are given."""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseEncoderDecoder._parameter_constraints,
        "inference": [StrOptions({"auto", "refined", "encoder"})],
    }

    reconstruction_err_: float
    _latent_density: LatentDensity

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn the networks from the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, in any units.

        y : None
            Ignored: here for scikit-learn's Pipeline.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts. Whole numbers, up to a mean of 10, count copies
            of a row; all other weights matter up to a common factor. A row of weight 0
            is as if it were not there. None is 1 for each.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._fit(X, y, sample_weight)
        return self

    def _architecture(self, table: FitTable, **changes: Any) -> Architecture:
        spec = NetworkSpec.of(self.get_params(deep=False))
        shape = spec.images_of(table.n_own)
        return Architecture(
            spec,
            n_inputs=table.X.shape[1],
            n_outputs=table.n_own,
            image_shape=shape,
            target_shape=shape,
            n_conditions=table.n_beside,
            **changes,
        )

    def _make_inference(self, architecture: Architecture, pays: bool) -> Inference:
        """What is asked for; "auto" refines where it pays and a row is quick."""
        n_products = self.n_components * architecture.n_products
        is_quick = architecture.is_dense and n_products <= MOST_PRODUCTS
        is_automatic = self.inference == "auto" and pays and is_quick
        if self.inference == "refined" or is_automatic:
            return Refined(self.n_components)
        return Encoded()

    def _reconstruction(
        self,
        table: FitTable,
        columns: Columns | None,
        make_module: MakeModule,
        refining_pays: bool,
        **changes: Any,
    ) -> Design:
        """The design of networks that reconstruct, and start as PCA where they can."""
        architecture = self._architecture(table)
        is_linear = architecture.spec.starts_linear
        # Absolute errors end higher with larger batches, as measured.
        is_of_squares = self.loss == "squared_error"
        is_of_cells = architecture.image_shape is None
        has_surer_steps = is_linear and is_of_squares and is_of_cells
        is_long = len(table.X) >= recipe.SMALL_TABLE
        architecture = replace(architecture, may_be_slim=has_surer_steps and is_long)
        rate = recipe.learning_rate(
            is_linear, architecture.widest_layer, architecture.is_slim
        )
        inference = self._make_inference(architecture, refining_pays)
        # Projections on a curve or surface follow its bends less than an encoder does.
        has_few = isinstance(inference, Refined) and self.n_components <= FEW_LATENTS
        changes_of_recipe: dict[str, Any] = (
            {"n_columns": 0, "least_alpha": recipe.ALPHA_OF_FEW_LATENTS}
            if has_few
            else {}
        )
        if architecture.is_slim and self.n_components <= FEWEST_LATENTS:
            changes_of_recipe["length"] = recipe.SLIM_LENGTH
        if is_of_cells:
            changes_of_recipe["trial_share"] = recipe.TRIAL_SHARE
            changes_of_recipe["has_surer_steps"] = has_surer_steps
        return Design(
            columns=self._columns(table) if columns is None else columns,
            architecture=architecture,
            loss=LOSSES[self.loss](),
            start=PCAStart(self.n_components) if is_linear else RandomStart(),
            make_module=make_module,
            recipe=self._recipe(architecture, rate, **changes_of_recipe),
            inference=inference,
            **changes,
        )

    def _columns(self, table: FitTable) -> Columns:
        """Column means and one global scale, or values that stay as they are."""
        kinds = table.kinds
        is_mapped = kinds is not None and kinds.has_maps
        if is_mapped or LOSSES[self.loss].needs_unit_interval:
            return Columns.as_they_are(table.X, table.n_own)
        if kinds is None or kinds.have_units:
            return Columns.of_one_scale(table.X, table.n_own, table.weights)
        is_indicator, weights = kinds.is_indicator, table.weights
        return Columns.of_kinds(table.X, table.n_own, is_indicator, weights)

    def _describe(self, trained: Trained) -> dict[str, Any]:
        # What `sample` draws latents from.
        Z = trained.rows.z.cpu().numpy().astype(np.float64)
        return {
            "reconstruction_err_": trained.error,
            "_latent_density": self._density_of(Z, trained, trained.random_state),
        }

    def _density_of(
        self,
        Z: np.ndarray,
        trained: Trained,
        random_state: np.random.RandomState,
        **options: Any,
    ) -> LatentDensity:
        """A density of the latents (n, k) of a fit, or of all passes up to this one."""
        density = LatentDensity(Z, trained.rows.n_samples)
        known: LatentDensity | None = self._of_earlier_rows("_latent_density", trained)
        if known is not None:
            return known.pooled_with(density)
        if not trained.is_one_pass:
            density.fit_mixture(Z, random_state, **options)
        return density

    def _of_earlier_rows(self, name: str, trained: Trained) -> Any:
        """What is kept of the rows before this pass; None in `fit`, which starts anew.

        The networks of a pass go on from those rows, so that its own rows add to them.
        """
        return getattr(self, name, None) if trained.is_one_pass else None

    def _draw_latents(
        self, n_samples: int, random_state: np.random.RandomState
    ) -> np.ndarray:
        Z = self._latent_density.sample(n_samples, random_state)  # networks' units
        return self._in_units(Z)

    def _in_units(self, Z: np.ndarray) -> np.ndarray:
        """Latents as users get them, from those in the networks' units."""
        return Z * self.module_.latent_scale.cpu().numpy()

    # Latents by their old name are no metadata that a Pipeline could hand on.
    __metadata_request__inverse_transform: ClassVar[dict[str, str]] = {"Z": UNUSED}

    @answers_in_kind
    def inverse_transform(self, X: Any = None, *, Z: Any = None) -> Any:
        """Decode latents.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Latents, as `transform` gives them.

        Z : array-like of shape (n_samples, n_components)
            The same by an old name.

            .. deprecated:: 0.2
               Use ``X``; this name will be gone in 0.4.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows in the units of the training rows; with ``loss="log_loss"``
            probabilities between 0 and 1.
        """
        given = latents_by_name(X, Z)
        numbers = self._compute("inverse_transform", self._validate_latents(given))
        return self._as_given(numbers, like=given)

    def _validate_latents(self, Z: Any) -> np.ndarray:
        check_is_fitted(self)
        Z = check_array(Z, dtype=[np.float64, np.float32], input_name="Z")
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but {type(self).__name__} was fitted "
                f"with n_components={self.n_components_}: one column per latent is "
                "expected."
            )
        return Z

    @answers_in_kind
    def reconstruct(self, X: Any) -> Any:
        """Encode and decode the rows of X: what the latents keep of them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            Equal to ``inverse_transform(transform(X))``.
        """
        numbers = self._infer("reconstruct", self._validate_new_rows(X))
        return self._as_given(numbers, like=X)

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Any:
        """Draw new rows: latents from their fitted density, decoded.

        The density is a Gaussian mixture, fitted to the latents of the training
        rows, with as many components as the BIC asks for.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        random_state : int, RandomState instance or None, default=None
            Seed of the draw; None takes the estimator's own ``random_state``: with an
            integer there, every call gives the same rows, as with scikit-learn's
            `GaussianMixture`. Give another integer for others, or a RandomState
            instance, which goes on from call to call.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            New rows in the units of the training rows.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        seed = self.random_state if random_state is None else random_state
        Z = self._draw_latents(n_samples, make_random_state(seed))
        return self._as_given(self._compute("inverse_transform", Z))

    @answers_in_kind
    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the reconstruction error of each row: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Minus the ``loss`` between the row and its reconstruction, averaged over
            the features: in squared units of X for "squared_error", in units of X
            for "absolute_error", in nats for "log_loss". Of the dtype of X; float64
            where float32 could not hold such units.
        """
        X = self._validate_new_rows(X)
        size = self.module_.loss_scale.item()
        if not _LEAST_UNIT < size < _LARGEST_UNIT:
            X = X.astype(np.float64)
        return self._infer("score_samples", X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the mean of `score_samples`: higher is better, for model selection.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        y : None
            Ignored: here for scikit-learn's Pipeline.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts in the mean; None is 1 for each.

        Returns
        -------
        score : float
            Mean score of the rows.
        """
        return mean_score(self.score_samples(plain(X)), sample_weight)


def latents_by_name(X: Any, Z: Any) -> Any:
    """Latents, whichever of the two names they were given by."""
    if Z is not None:
        if X is not None:
            raise TypeError("inverse_transform takes latents as X or as Z, not both.")
        warn(
            "inverse_transform(Z=...) is deprecated since 0.2 and will be an error in "
            "0.4. Use X=, as in scikit-learn.",
            FutureWarning,
        )
        return Z
    if X is None:
        raise TypeError("inverse_transform() is missing latents: give them as X.")
    return X
