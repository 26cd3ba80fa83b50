"""What a fitted VAETransformer is used for: latents, samples, scores and bounds."""

from collections.abc import Callable, Iterator, Mapping
from numbers import Integral
from typing import Any, Literal, cast

import numpy as np
from sklearn.utils import Bunch, check_scalar
from sklearn.utils.validation import check_is_fitted

from .._inference.conditioning import GivenSampler
from .._inference.latents import PATHS
from .._inference.posterior import (
    Draws,
    bound_and_kl,
    draw_latents,
    log_density,
    mean_and_factor,
    moments,
)
from .._inference.priors import (
    AggregatedPosterior,
    AutoregressivePosterior,
    Exemplars,
    Prior,
    StandardNormal,
)
from .._inference.sampling import Sampler
from .._networks.losses import NoiseScale, SquaredError
from .._networks.variational import VariationalAutoencoder
from .._tables.checks import validate_rows
from .._tables.condition_columns import ConditionColumns
from .._tables.conditions import Conditions, conditions_by_name
from .._tables.given import read_given
from .._tables.rows import Table, beside
from .._tables.table_kinds import TableKinds
from .._tables.weighing import mean_score
from .._utils.arrays import answers_in_kind, plain, read_stream
from .._utils.random import SEED_LIMIT, make_random_state
from .._utils.types import Auto, RandomState
from .autoencoders import latents_by_name
from .explaining import Truncating
from .imputing import Imputing
from .noise import Noise

# What latents are decoded to, and the scale of the noise there.
_Decoded = tuple[np.ndarray, NoiseScale]

# Draws of latents that tell the middle of what they are decoded to.
_DRAWS_FOR_MIDDLE = 32


class FittedVAE(Truncating, Imputing):
    """The methods of VAETransformer that follow a fit."""

    kl_per_component_: np.ndarray
    n_active_components_: int
    conditional: bool
    condition_columns: Any
    _conditions: Conditions | ConditionColumns | None
    _exemplars: Exemplars | None
    # None where the mixture of latents is as good, and in files of older versions.
    _autoregressive: AutoregressivePosterior | None = None

    @answers_in_kind
    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Encode the rows of X: their projection, or the encoder's mean of p(z | x).

        The projection is the mode of p(z | x) where all rows share the noise, and with
        noise that follows the latents the same: it does not depend on ``noise``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        y : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            The rows' conditions, where the model is conditional; ignored otherwise.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Latents, of the dtype of X (float64 unless X is float32).
        """
        return self._infer("transform", self._validate_new_rows(X, y))

    def fit_transform(  # type: ignore[override]
        self, X: Any, y: Any = None, sample_weight: Any = None
    ) -> np.ndarray:
        """Learn the networks from the rows of X, and encode these.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, in any units.

        y : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            With ``conditional=True`` what each row is conditioned on; ignored
            otherwise.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts. Whole numbers, up to a mean of 10, count copies
            of a row; all other weights matter up to a common factor. A row of weight 0
            is as if it were not there. None is 1 for each.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Latents, as `transform` gives them.
        """
        X = read_stream(X)
        return self.fit(X, y, sample_weight).transform(X, y)

    @answers_in_kind
    def inverse_transform(self, X: Any = None, y: Any = None, *, Z: Any = None) -> Any:
        """Decode latents.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Latents, as `transform` gives them.

        y : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            Conditions of the rows to be, where the model is conditional: one for each
            row or one for all. Where they had names in `fit` a dict of these will do,
            such as ``{"rooms": 3, "city": "Bern"}``. Ignored otherwise.

        Z : array-like of shape (n_samples, n_components)
            The latents by an old name.

            .. deprecated:: 0.2
               Use ``X``; this name will be gone in 0.4.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Mean of the likelihood for each row of latents, in the units of the training
            rows; with ``loss="log_loss"`` probabilities between 0 and 1.
        """
        Z, y = latents_by_name(X, Z), _conditions_to_be(self, y)
        return self._as_given(self._whole(self._decoded(Z, y), y), like=Z)

    @answers_in_kind
    def reconstruct(self, X: Any, y: Any = None) -> Any:
        """Encode and decode the rows of X: what the latents keep of them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        y : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            The rows' conditions, where the model is conditional; ignored otherwise.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            Equal to ``inverse_transform(transform(X))``.
        """
        numbers = self._infer("reconstruct", self._validate_new_rows(X, y))
        return self._as_given(self._whole(numbers, of=X), like=X)

    @answers_in_kind
    def impute(
        self,
        X: Any,
        y: Any = None,
        *,
        n_draws: int | None = None,
        random_state: RandomState = None,
    ) -> Any:
        """Fill the missing cells of X, once or several times.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        y : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            The rows' conditions, where the model is conditional; ignored otherwise.

        n_draws : int, default=None
            None fills each cell with one value, the best guess. A number gives as many
            tables, in each of which missing cells are drawn from the model given the
            others: how far they differ says how much is not known (multiple
            imputation [1]_). Numbers vary as in the model, and as much more as those
            did that `fit` had hidden to try it out.

        random_state : int, RandomState instance or None, default=None
            Seed of the draws; None takes the estimator's own ``random_state``.

        Returns
        -------
        X_imputed : array-like of shape (n_samples, n_features) or list of these
            X, a table of the same kind, with what was missing filled and nothing else
            changed. A column that was all missing in `fit` stays so in a table of
            several kinds, and is 0 among numbers.

        References
        ----------
        .. [1] D. B. Rubin, "Multiple imputation for nonresponse in surveys", Wiley,
           1987.
        """
        rows = self._validate_new_rows(X, y)
        if n_draws is None:
            return self._filled(X, self._whole(self._impute(rows), of=X))
        check_scalar(n_draws, "n_draws", Integral, min_val=1)
        random_state = self._generator(random_state)
        if isinstance(rows, Table):
            raise TypeError(
                "n_draws is for rows in memory; X is read in blocks. Give some of its "
                "rows at a time."
            )
        given = rows[:, : len(self.module_.center)]
        conditions, missing = rows[:, given.shape[1] :], np.isnan(given)
        mean, factor = self._mean_and_factor(rows)

        def decoded(n: int, random_state: np.random.RandomState) -> Iterator[_Decoded]:
            for Z in draw_latents(mean, factor, n, random_state):
                latents = beside(Z, conditions.astype(Z.dtype))
                made = self._compute("inverse_transform", latents)
                yield made, self._noise.scale(latents)

        fixed = np.random.RandomState(SEED_LIMIT)
        vary = self._draws_of_cells(decoded(_DRAWS_FOR_MIDDLE, fixed))
        tables = []
        for means, scale in decoded(n_draws, random_state):
            drawn = vary(means, scale, random_state)
            numbers = np.where(missing, drawn, given).astype(given.dtype)
            tables.append(self._filled(X, self._whole(numbers, of=X), random_state))
        return tables

    def _draws_of_cells(
        self, decoded: Iterator[_Decoded]
    ) -> Callable[[np.ndarray, NoiseScale, np.random.RandomState], np.ndarray]:
        """What makes draws of the rows' cells of what draws of latents decode to.

        They are as much further from the middle of all, of which some are given, as
        cells were that `fit` had hidden.
        """
        imputer, module, kinds = self._imputer, self.module_, self._own_kinds()
        if imputer.spread is None:
            return self._noise.add
        spread = imputer.spread.numpy()
        if kinds is not None:
            spread = np.where(kinds.is_share, 1.0, spread)
        total = sum(imputer.within_seen(module, made) for made, _ in decoded)
        middle = total / _DRAWS_FOR_MIDDLE

        def vary(
            means: np.ndarray, scale: NoiseScale, random_state: np.random.RandomState
        ) -> np.ndarray:
            means = imputer.within_seen(module, means)
            noisy = self._noise.add(means, scale, random_state)
            return middle + spread * (noisy - middle)

        return vary

    def posterior(
        self, X: Any, y: Any = None, *, return_cov: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of each row's posterior.

        With refined inference it is the normal distribution at the mode of
        p(z | x) with the curvature there; else what the encoder gives. Where the noise
        follows the latents, the mode is not what `transform` gives.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        y : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            The rows' conditions, where the model is conditional; ignored otherwise.

        return_cov : bool, default=False
            Whether to give covariances of the latents instead of their standard
            deviations.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components)
            Means.

        std : ndarray of shape (n_samples, n_components)
            Standard deviations; the prior's are 1.

        cov : ndarray of shape (n_samples, n_components, n_components)
            Covariances, with ``return_cov=True`` and in place of ``std``.
        """
        X = self._validate_new_rows(X, y)
        if return_cov:
            mean, factor = self._mean_and_factor(X)
            return mean, factor @ factor.swapaxes(1, 2)
        both = self._compute(moments, X, self._inference)  # (n, 2k)
        return both[:, : self.n_components_], both[:, self.n_components_ :]

    def _mean_and_factor(self, X: np.ndarray | Table) -> tuple[np.ndarray, np.ndarray]:
        both = self._compute(mean_and_factor, X, self._inference)  # (n, 1 + k, k)
        return both[:, 0], both[:, 1:]

    def sample_posterior(
        self,
        X: Any,
        n_samples: int = 1,
        random_state: RandomState = None,
        *,
        y: Any = None,
    ) -> np.ndarray:
        """Draw latents of each row from its posterior.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows in the units of the training rows.

        n_samples : int, default=1
            Draws for each row.

        random_state : int, RandomState instance or None, default=None
            Seed of the draws; None takes the estimator's own ``random_state``.

        y : array-like of shape (n_rows,) or (n_rows, n_conditions), default=None
            The rows' conditions, where the model is conditional; ignored otherwise.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_rows, n_components)
            One set of latents after the other; `inverse_transform` takes each.
        """
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        mean, factor = self._mean_and_factor(self._validate_new_rows(X, y))
        return draw_latents(mean, factor, n_samples, self._generator(random_state))

    def sample(
        self,
        n_samples: int = 1,
        random_state: RandomState = None,
        *,
        prior: Literal["auto", "standard", "aggregated", "exemplars"] = "auto",
        noise: bool | Auto = "auto",
        like: Any = None,
        y: Any = None,
        given: dict[Any, Any] | None = None,
    ) -> Any:
        """Draw new rows: latents from the prior, decoded.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        random_state : int, RandomState instance or None, default=None
            Seed of the draw; None takes the estimator's own ``random_state``: with an
            integer there, every call gives the same rows, as with scikit-learn's
            `GaussianMixture`. Give another integer for others, or a RandomState
            instance, which goes on from call to call.

        prior : {"auto", "standard", "aggregated", "exemplars"}, default="auto"
            Where latents come from: "standard" is N(0, I), the prior that the model
            was trained with. "aggregated" is a Gaussian mixture fitted to draws of the
            training rows' posteriors, or with ``column_maps`` an autoregressive density
            where rows held out prefer it: where posteriors do not fill N(0, I), rows
            are more like the training rows. "exemplars" takes the posterior of one
            training row, of those that the model remembers by ``n_exemplars`` [2]_:
            rows are then variations of training rows. "auto" is "aggregated" where the
            model was fitted with ``column_maps``, and else "standard".

        noise : bool or "auto", default="auto"
            Whether to draw from the likelihood around the decoder's output too. Rows
            with it have the density that `score_samples` gives for the same prior;
            without it, they are what is left when the noise is averaged out, as one
            likes to see of images. "auto" is True where the model was fitted with
            ``column_maps``, and else False.

        like : array-like of shape (n_rows, n_features), default=None
            Rows, as a rule those of `fit`, whose columns the new ones are to be like:
            a value becomes the one that has its rank in that column [1]_, or where
            values hardly repeat one between two of them. Numbers that are whole there
            are whole, none is beyond the least and the largest, and skewed columns are
            as skewed; how columns go together is the model's. The rows no longer have
            the density of `score_samples`, and they hold values of those given: they
            do not make them anonymous. For a conditional model these should be rows
            with the conditions in y.

        y : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            Conditions of the rows to be, where the model is conditional: one for each
            row, or a single one for all of them. Where they had names in `fit` a dict
            of these will do, such as ``{"rooms": 3, "city": "Bern"}``. Ignored
            otherwise.

        given : dict, default=None
            What columns of the new rows are to hold, by their names (of an array by
            their numbers): a level or several, a number, or a range ``(least, most)``
            with None for an open end, as in ``given={"sex": "female", "age": (30,
            40)}``. Times may be text by ISO 8601, and have a time zone where those of
            `fit` had one. All rows hold it, and their other columns are as the model
            has them given that. It takes a model that was fitted with
            ``column_maps``, noise, and one y for all rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            New rows in the units of the training rows. With ``loss="log_loss"`` they
            are probabilities between 0 and 1, and with ``noise=True`` 0 or 1.

        References
        ----------
        .. [1] R. L. Iman and W. J. Conover, "A distribution-free approach to inducing
           rank correlation among input variables", Communications in Statistics -
           Simulation and Computation 11, 311-334, 1982.

        .. [2] S. Norouzi, D. J. Fleet and M. Norouzi, "Exemplar VAE: linking generative
           models, nearest neighbor retrieval, and data augmentation", NeurIPS 2020.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        is_mapped = self._spec.column_maps is not None
        if prior == "auto":
            prior = "aggregated" if is_mapped else "standard"
        if isinstance(noise, str) and noise == "auto":
            noise = is_mapped

        def scale_at(Z: np.ndarray, y: Any) -> NoiseScale:
            latents = self._beside_conditions(self._validate_latents(Z), y)
            return self._noise.scale(latents)

        def add_noise(
            X: np.ndarray, Z: np.ndarray, y: Any, random_state: np.random.RandomState
        ) -> np.ndarray:
            return self._noise.add(X, scale_at(Z, y), random_state)

        rows = Sampler(self._prior(prior), self._decoded, add_noise if noise else None)
        random_state = self._generator(random_state)
        y = _conditions_to_be(self, y)
        draws_levels = random_state if noise else None
        if given is not None:
            _check_given(self, noise, like, y)
            kinds = cast(TableKinds, self._kinds)

            def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
                Z = rows.prior.sample(n, random_state)
                scale = np.where(kinds.is_share, 0.0, scale_at(Z, y))
                X = self._decoded(Z, y)
                return X, np.broadcast_to(scale, X.shape)

            sampler = GivenSampler(draw, read_given(given, kinds))
            return self._as_given(sampler.sample(n_samples, random_state), random_state)
        if like is None:
            drawn = rows.draw(n_samples, random_state, y)
            return self._as_given(self._whole(drawn, y), draws_levels)
        like = self._rows_to_be_like(like)
        known = self._conditions
        y_is_of_all = known is None or known.is_one_for_all(y)
        drawn = rows.draw_like(like, n_samples, random_state, y, y_is_of_all)
        return self._as_given(self._whole(drawn, y))

    def interpolate(
        self,
        X_start: Any,
        X_end: Any,
        n_steps: int = 10,
        *,
        path: Literal["linear", "spherical"] = "linear",
        y: Any = None,
    ) -> Any:
        """Decode the way between the latents of two rows.

        Parameters
        ----------
        X_start, X_end : array-like of shape (n_rows, n_features)
            Rows to start from and to arrive at, in the units of the training rows.

        n_steps : int, default=10
            Points on the way, both ends among them; at least 2.

        path : {"linear", "spherical"}, default="linear"
            "linear" is straight. "spherical" turns from one latent vector to the other
            at an even angle and changes its length evenly: with many latents the
            middle of a straight line is nearer to the origin than draws of the prior.

        y : array-like of shape (n_rows,) or (n_rows, n_conditions), default=None
            The rows' conditions, where the model is conditional; ignored otherwise.
            With ``condition_columns`` they are those of ``X_start``.

        Returns
        -------
        X : ndarray of shape (n_steps, n_rows, n_features)
            Decoded rows; the first and the last are the reconstructions of the ends.
        """
        check_scalar(n_steps, "n_steps", Integral, min_val=2)
        if path not in PATHS:
            raise ValueError(f"path must be 'linear' or 'spherical'; got {path!r}.")
        # Not by `transform`, which may have been told to give frames.
        start, end = (
            self._infer("transform", self._validate_new_rows(X, y))
            for X in (X_start, X_end)
        )
        if len(start) != len(end):
            raise ValueError(
                f"X_start has {len(start)} rows and X_end {len(end)}: as many are "
                "expected."
            )
        Z = PATHS[path](start, end, n_steps)  # (n_steps, n_rows, k)
        y = X_start if isinstance(self._conditions, ConditionColumns) else y
        steps = [self._whole(self._decoded(step, y), y) for step in Z]
        if self._kinds is not None:
            return [self._as_given(step) for step in steps]
        return np.stack(steps)

    @answers_in_kind
    def score_samples(
        self,
        X: Any,
        y: Any = None,
        *,
        n_samples: int = 100,
        random_state: RandomState = 0,
        prior: Literal["standard", "aggregated", "exemplars"] = "standard",
    ) -> np.ndarray:
        """Return the log-density of each row under the model, in nats.

        An importance-weighted estimate (Burda et al., 2016) from draws of the
        posterior: in expectation a lower bound on log p(x), which rises towards it with
        ``n_samples``. The same noise serves every row, so a row's score does not depend
        on the others.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows in the units of the training rows.

        y : array-like of shape (n_rows,) or (n_rows, n_conditions), default=None
            The rows' conditions, where the model is conditional: the density is that
            of the rows given these. Ignored otherwise.

        n_samples : int, default=100
            Draws from the posterior per row. Published tables take 5000.

        random_state : int, RandomState instance or None, default=0
            Seed of the draws.

        prior : {"standard", "aggregated", "exemplars"}, default="standard"
            The density of latents: that of N(0, I), or that which `sample` draws from
            with the same prior. "aggregated" is the one for a density of many rows as
            high as it can be, "exemplars" the one to find anomalies with: it is high
            only near training rows, and too high for the remembered ones themselves.
            Its estimates are less tight, and rise further with ``n_samples``. Both
            take longer than "standard".

        Returns
        -------
        scores : ndarray of shape (n_rows,)
            Log-density of each row in the units of X, comparable with
            ``PCA.score_samples``; with ``loss="log_loss"`` a log-probability.
        """
        X = self._validate_new_rows(X, y)
        by = self._prior(prior)
        draws = _draws_of(self, n_samples, random_state, by.width)
        return self._compute(log_density, X, self._inference, draws, by)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the mean of `score_samples`: higher is better, for model selection.

        As with PCA's `score`, one row that is far enough out rules the mean: compare
        medians of `score_samples` where there may be such rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        y : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            The rows' conditions, where the model is conditional; ignored otherwise.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts in the mean; None is 1 for each.

        Returns
        -------
        score : float
            Mean score of the rows.
        """
        return mean_score(self.score_samples(plain(X), y), sample_weight)

    def elbo(
        self,
        X: Any,
        y: Any = None,
        *,
        n_samples: int = 100,
        random_state: RandomState = 0,
    ) -> Any:
        """Return each row's evidence lower bound and its parts, in nats.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows in the units of the training rows.

        y : array-like of shape (n_rows,) or (n_rows, n_conditions), default=None
            The rows' conditions, where the model is conditional; ignored otherwise.

        n_samples : int, default=100
            Draws from the posterior per row, over which the reconstruction term is
            averaged.

        random_state : int, RandomState instance or None, default=0
            Seed of the draws, which are the same for every row.

        Returns
        -------
        parts : :class:`~sklearn.utils.Bunch`
            With the attributes

            elbo : ndarray of shape (n_rows,)
                ``reconstruction - kl.sum(axis=1)``, at most log p(x) in expectation.
                ``beta`` has no part in it.
            reconstruction : ndarray of shape (n_rows,)
                Expected log-likelihood of the row under its posterior, in the units
                of X.
            kl : ndarray of shape (n_rows, n_components)
                KL divergence of each latent's posterior from the prior.
        """
        X = self._validate_new_rows(X, y)
        draws = _draws_of(self, n_samples, random_state)
        parts = self._compute(bound_and_kl, X, self._inference, draws)  # (n, 1 + k)
        reconstruction, kl = parts[:, 0], parts[:, 1:]
        elbo = reconstruction - kl.sum(axis=1)
        return Bunch(elbo=elbo, reconstruction=reconstruction, kl=kl)

    @property
    def noise_variance_(self) -> NoiseScale:
        """What all rows share of the module's noise: of all columns, or of each."""
        check_is_fitted(self)
        return self._noise.shared_variance

    # What the methods share -----------------------------------------------------------

    def _beside_conditions(self, X: np.ndarray | Table, y: Any) -> np.ndarray | Table:
        """The rows with their conditions, if the model has any, as columns behind."""
        known = self._conditions
        if known is None:
            return X
        if isinstance(known, Conditions):
            y = required_conditions(y)
        return beside(X, known.encode(y, len(X), X.dtype))  # (n, d + m)

    def _with_conditions(self, X: np.ndarray | Table, y: Any) -> np.ndarray | Table:
        """Rows as numbers, with their conditions from y or from columns of X behind."""
        known = self._conditions
        if isinstance(known, ConditionColumns):
            return known.to_the_end(X)
        return self._beside_conditions(X, y)

    def _whole(self, numbers: np.ndarray, y: Any = None, of: Any = None) -> np.ndarray:
        """Rows (n, d) with the columns that are conditions, as y or rows have them."""
        known = self._conditions
        if not isinstance(known, ConditionColumns):
            return numbers
        if of is None:
            return known.whole(numbers, known.numbers(y, len(numbers)))
        return known.whole(numbers, known.of_rows(super()._validate_new_rows(of)))

    def _validate_rows(
        self, X: Any, reset: bool, loss: SquaredError | None = None
    ) -> np.ndarray | Table:
        has_columns = (
            self.condition_columns is not None
            if reset
            else isinstance(self._conditions, ConditionColumns)
        )
        if not has_columns:
            return super()._validate_rows(X, reset, loss)
        # The loss is of the other columns, which are checked without these.
        return validate_rows(self, X, reset, needs_unit_interval=False)

    def _validate_new_rows(self, X: Any, y: Any = None) -> np.ndarray | Table:
        return self._with_conditions(super()._validate_new_rows(X), y)

    def _decoded(self, Z: Any, y: Any) -> np.ndarray:
        """Means of the likelihood for latents Z, as numbers (n, d)."""
        return self._compute(
            "inverse_transform",
            self._beside_conditions(self._validate_latents(Z), y),
        )

    def _prior(self, name: Any) -> Prior:
        """The density of latents that a method is asked for by name."""
        if name == "standard":
            return StandardNormal(self.n_components_)
        if name == "aggregated":
            return self._autoregressive or AggregatedPosterior(self._latent_density)
        if name != "exemplars":
            raise ValueError(
                f"prior must be 'standard', 'aggregated' or 'exemplars'; got {name!r}."
            )
        if self._exemplars is None:
            raise ValueError(
                'prior="exemplars" needs training rows that the model remembers: fit '
                "with n_exemplars, for instance n_exemplars=2000; it was 0."
            )
        return self._exemplars

    def _generator(self, random_state: Any) -> np.random.RandomState:
        """The generator of a call, by default that of the estimator's own seed."""
        own = self.random_state
        return make_random_state(own if random_state is None else random_state)

    def _rows_to_be_like(self, like: Any) -> np.ndarray | Table:
        try:
            rows = super()._validate_new_rows(like)
            known = self._conditions
            if not isinstance(known, ConditionColumns):
                return rows
            own = known.to_the_end(rows)[:]
            return own[:, : len(self.module_.center)]
        except ValueError as error:
            raise ValueError(f"like must be rows as in fit: {error}") from error

    @property
    def _noise(self) -> Noise:
        module = cast(VariationalAutoencoder, self.module_)
        return Noise(module, self._own_kinds())

    def _own_kinds(self) -> TableKinds | None:
        known = self._conditions
        return known.of_own if isinstance(known, ConditionColumns) else self._kinds


def _conditions_to_be(estimator: FittedVAE, y: Any) -> Any:
    """Conditions of rows to be: where y is a dict of them, a row or rows."""
    if not isinstance(y, Mapping):
        return y
    check_is_fitted(estimator)
    known = estimator._conditions
    return y if known is None else conditions_by_name(y, known.names)


def required_conditions(y: Any) -> Any:
    """y, which a conditional model cannot do without."""
    if y is None:
        raise ValueError(
            "VAETransformer with conditional=True requires y to be passed, but the "
            "target y is None. It describes rows given their conditions: labels or a "
            "table, one row for each row of X."
        )
    return y


def _draws_of(
    estimator: FittedVAE, n_samples: int, random_state: Any, width: int = 0
) -> Draws:
    """Noise for draws of posteriors, of which each takes a row or the width."""
    check_scalar(n_samples, "n_samples", Integral, min_val=1)
    seed = int(make_random_state(random_state).randint(SEED_LIMIT))
    width = max(width, estimator.module_.row_size)
    return Draws(n_samples, estimator.n_components_, seed, width)


def _check_given(estimator: FittedVAE, noise: bool, like: Any, y: Any) -> None:
    if estimator._spec.column_maps is None:
        raise ValueError(
            "given takes probabilities of what cells hold, which a model has that "
            'was fitted with column_maps="quantile"; it was None.'
        )
    if isinstance(estimator._conditions, ConditionColumns):
        raise ValueError(
            "given says what cells of rows hold that are drawn whole; with "
            "condition_columns the model draws the other columns, for y."
        )
    if like is not None or not noise:
        raise ValueError(
            "given draws cells from their distributions, which goes without like "
            f"and with noise; got noise={noise!r} and like={type(like).__name__}."
        )
    if estimator._conditions is not None and not estimator._conditions.is_one_for_all(
        y
    ):
        raise ValueError("given takes one y for all rows; got one for each.")
