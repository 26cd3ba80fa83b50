import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.decomposition import PCA
from torch import nn

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
    load,
    save,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(60, 3)) * [3.0, 2.0, 1.0]
    return Z @ rng.normal(size=(3, 5)) + 0.3 * rng.normal(size=(60, 5)) + 7.0


@pytest.fixture(scope="module")
def linear(X):
    return AutoencoderTransformer(3, max_iter=0).fit(X)


@pytest.fixture(scope="module")
def nested(X):
    return AutoencoderTransformer(
        3, nested=True, max_iter=3, early_stopping=False, hidden_layer_sizes=(8,)
    ).fit(X)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    a = rng.normal(size=50)
    colour = np.where(a > 0.5, "red", np.where(a < -0.5, "blue", "green"))
    frame = pd.DataFrame(
        {"a": a, "colour": colour, "b": 2.0 * a}, index=range(100, 150)
    )
    frame.loc[103, "b"] = np.nan
    return frame


@pytest.fixture(scope="module")
def mixed(frame):
    return AutoencoderTransformer(2, max_iter=0).fit(frame)


# What latents explain -----------------------------------------------------------------


def test_start_explains_what_pca_does(X, linear):
    pca = PCA(3).fit(X)
    np.testing.assert_allclose(
        linear.explained_variance_ratio_, pca.explained_variance_ratio_, atol=1e-6
    )
    np.testing.assert_allclose(
        linear.explained_variance_, pca.explained_variance_, rtol=1e-5
    )
    np.testing.assert_allclose(linear.mean_, pca.mean_, rtol=1e-6)
    np.testing.assert_allclose(
        linear._explained.linear_ratios, pca.explained_variance_ratio_, atol=1e-6
    )


def test_variational_start_explains_less_than_its_principal_components(X):
    vae = VAETransformer(2, max_iter=0).fit(X)
    shares = vae.explained_variance_ratio_.cumsum()
    assert (shares <= PCA(2).fit(X).explained_variance_ratio_.cumsum() + 1e-6).all()
    assert shares[-1] > 0.8


def test_all_latents_explain_what_the_error_leaves(X, nested):
    explained = nested.explained_variance_ratio_.sum()
    left = nested.reconstruction_err_ / X.var(axis=0).mean()
    assert explained == pytest.approx(1.0 - left, abs=1e-5)


def test_many_latents_explain_what_as_many_principal_components_do():
    X = np.random.default_rng(0).normal(size=(40, 21)) * np.arange(1, 22)
    ae = AutoencoderTransformer(20, max_iter=0).fit(X)
    np.testing.assert_allclose(
        ae.explained_variance_ratio_,
        PCA(20).fit(X).explained_variance_ratio_,
        atol=1e-6,
    )


def test_rows_that_do_not_differ_have_nothing_to_explain():
    ae = AutoencoderTransformer(1, max_iter=0).fit(np.ones((6, 2)))
    assert ae.explained_variance_ratio_.tolist() == [0.0]


# What latents do ----------------------------------------------------------------------


def test_effects_of_the_start_are_loadings(X, linear):
    tables = linear.column_effects()
    np.testing.assert_allclose(tables.effects, PCA(3).fit(X).components_, atol=1e-6)
    assert (tables.nonlinearity == 0.0).all(axis=None)
    np.testing.assert_allclose(tables.shares.sum(), 1.0)
    assert tables.effects.index.tolist() == linear.get_feature_names_out().tolist()
    assert tables.effects.columns[0] == "column 0"


class Parabola(nn.Module):
    def forward(self, z):
        return torch.cat([z, z**2, 0.0 * z], dim=1)


def test_effects_are_the_derivatives_of_a_known_decoder(X):
    ae = AutoencoderTransformer(
        1, encoder=nn.Linear(3, 1), decoder=Parabola(), max_iter=0
    ).fit(X[:, :3])
    tables = ae.column_effects(X[:, :3])
    slopes = 2.0 * ae.transform(X[:, :3])[:, 0] / ae.module_.scale.item()
    np.testing.assert_allclose(tables.effects.iloc[0], [1.0, slopes.mean(), 0.0])
    bent = slopes.std() / np.sqrt((slopes**2).mean())
    np.testing.assert_allclose(tables.nonlinearity.iloc[0], [0.0, bent, 0.0])
    np.testing.assert_allclose(tables.shares.iloc[0], [1.0, 1.0, 0.0])


def test_levels_have_effects_on_their_probabilities(frame, mixed):
    effects = mixed.column_effects(frame).effects
    names = ["a", "colour_blue", "colour_green", "colour_red", "b"]
    assert effects.columns.tolist() == names
    levels = effects[names[1:4]]
    np.testing.assert_allclose(levels.sum(axis=1), 0.0, atol=1e-6)
    along = effects.iloc[0] * np.sign(effects.iloc[0]["a"])
    assert along["colour_red"] > 0.0 > along["colour_blue"]


def test_of_many_rows_some_are_looked_at(X, linear):
    effects = linear.column_effects(np.tile(X, (20, 1))).effects
    np.testing.assert_allclose(effects, linear.column_effects().effects, atol=1e-6)


@pytest.mark.parametrize("method", ["column_effects", "score_columns"])
def test_conditions_have_no_part_in_it(X, method):
    vae = VAETransformer(1, conditional=True, max_iter=0).fit(X, np.arange(60) % 2)
    with pytest.raises(ValueError, match=f"{method} is for models without cond"):
        getattr(vae, method)(X)


# Which columns are odd ----------------------------------------------------------------


def test_scores_of_columns_add_up_to_those_of_rows(X, nested):
    scores = nested.score_columns(X)
    assert scores.shape == X.shape
    np.testing.assert_allclose(scores.mean(axis=1), nested.score_samples(X))


def test_scores_of_a_frame_have_its_names(frame, mixed):
    scores = mixed.score_columns(frame)
    assert scores.columns.tolist() == ["a", "colour", "b"]
    assert scores.index.equals(frame.index)
    assert scores.isna().sum().sum() == 1
    assert np.isnan(scores.loc[103, "b"])
    sums = mixed.score_samples(frame) * 5  # numbers of a complete row
    complete = scores.index != 103
    np.testing.assert_allclose(scores.sum(axis=1)[complete], sums[complete])


@pytest.mark.parametrize(
    "names", [range(2020, 2025), pd.MultiIndex.from_product([[1], list("abcde")])]
)
def test_columns_have_their_names_though_these_are_no_text(X, names):
    frame = pd.DataFrame(X, columns=names)
    model = AutoencoderTransformer(2, max_iter=0).fit(frame)
    labels = [str(name) for name in frame.columns]
    for fitted in (model, pickle.loads(pickle.dumps(model))):
        assert [name for name, _ in fitted.columns_] == labels
        assert fitted.score_columns(frame).columns.tolist() == labels
        assert fitted.column_effects().effects.columns.tolist() == labels
    assert model.fit(X).columns_[0][0] == "column 0"


def test_scores_of_the_start_are_what_pca_leaves(X, linear):
    pca = PCA(3).fit(X)
    left = (pca.inverse_transform(pca.transform(X)) - X) ** 2
    np.testing.assert_allclose(-linear.score_columns(X), left, atol=1e-5)


# Cuts ---------------------------------------------------------------------------------


def test_truncated_start_is_pca(X, linear):
    truncated = linear.truncate(2)
    pca = PCA(2).fit(X)
    np.testing.assert_allclose(truncated.transform(X), pca.transform(X), atol=1e-5)
    assert truncated.n_components == truncated.n_components_ == 2
    assert truncated.get_feature_names_out().shape == (2,)


def test_truncated_estimator_knows_its_error(X, nested):
    truncated = nested.truncate(1)
    assert truncated.reconstruction_err_ == pytest.approx(-truncated.score(X), rel=1e-4)
    ratios = nested.explained_variance_ratio_[:1]
    assert truncated.explained_variance_ratio_.tolist() == ratios.tolist()


def test_truncation_leaves_the_estimator_as_it_was(X, nested):
    before = nested.transform(X)
    truncated = nested.truncate(2)
    with torch.no_grad():
        for parameter in truncated.module_.parameters():
            parameter.zero_()
    assert (nested.transform(X) == before).all()


def test_truncated_estimator_draws_imputes_and_goes_on(X, nested, tmp_path):
    truncated = nested.truncate(2)
    assert truncated.sample(4).shape == (4, 5)
    holes = X.copy()
    holes[::7, 1] = np.nan
    assert np.isfinite(truncated.impute(holes)).all()
    copied = pickle.loads(pickle.dumps(truncated))
    save(truncated, tmp_path / "truncated")
    for other in (copied, load(tmp_path / "truncated")):
        assert (other.transform(X) == truncated.transform(X)).all()
    truncated.set_params(warm_start=True, max_iter=4).fit(X)
    assert truncated.transform(X).shape == (60, 2)


def test_truncated_mixed_table(frame, mixed):
    rows = mixed.truncate(1).reconstruct(frame)
    assert rows.columns.tolist() == frame.columns.tolist()


def test_all_latents_are_a_copy(X, nested):
    assert (nested.truncate(3).transform(X) == nested.transform(X)).all()


@pytest.mark.parametrize("n_components", [0, 4, 1.0])
def test_number_to_keep_is_checked(nested, n_components):
    with pytest.raises((ValueError, TypeError), match="n_components"):
        nested.truncate(n_components)


def linear_vae(X, n_components, **params):
    return VAETransformer(n_components, max_iter=0, **params).fit(X)


@pytest.mark.parametrize("inference", ["refined", "encoder"])
def test_truncated_variational_start_is_about_probabilistic_pca(X, inference):
    truncated = linear_vae(X, 3, inference=inference).truncate(2)
    pca = PCA(2).fit(X)
    assert truncated.noise_variance_ == pytest.approx(pca.noise_variance_, rel=0.05)
    assert truncated.score(X) == pytest.approx(pca.score(X), abs=0.01)
    assert truncated.kl_per_component_.shape == (2,)


def test_truncated_variational_density_is_exact_where_it_is_linear(X):
    truncated = linear_vae(X, 3).truncate(1)
    W = np.diff(truncated.inverse_transform([[0.0], [1.0]]), axis=0)
    covariance = W.T @ W + truncated.noise_variance_ * np.eye(5)
    exact = multivariate_normal(X.mean(axis=0), covariance).logpdf(X)
    np.testing.assert_allclose(truncated.score_samples(X), exact, atol=1e-3)


def test_truncated_conditional_model_draws_and_goes_into_a_file(X, tmp_path):
    y = np.arange(60) % 2
    options = {"n_exemplars": 5, "loss": "absolute_error", "max_iter": 0}
    vae = VAETransformer(3, conditional=True, **options).fit(X, y)
    truncated = vae.truncate(2)
    assert truncated.noise_variance_ > vae.noise_variance_
    assert truncated.sample(4, y=0, prior="exemplars").shape == (4, 5)
    save(truncated, tmp_path / "truncated")
    Z = load(tmp_path / "truncated").transform(X, y)
    assert (truncated.transform(X, y) == Z).all()


def test_likelihoods_of_column_maps_cannot_be_truncated(X):
    vae = linear_vae(X, 2, column_maps="quantile")
    with pytest.raises(ValueError, match="column_maps='quantile'"):
        vae.truncate(1)


@pytest.mark.parametrize("method", ["truncate", "column_effects"])
def test_files_of_before_do_not_know_their_rows(method):
    path = Path(__file__).parents[1] / "files" / "autoencoder_format_1.safetensors"
    loaded = load(path)
    with pytest.raises(ValueError, match=f"{method}.*before.*fit it anew"):
        getattr(loaded, method)(*(1,) * (method == "truncate"))


# Latents of unit variance -------------------------------------------------------------


@pytest.fixture(scope="module")
def whitened(X, nested):
    return clone(nested).set_params(whiten=True).fit(X)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_whitened_start_is_whitened_pca(X, dtype):
    ae = AutoencoderTransformer(3, whiten=True, max_iter=0).fit(X.astype(dtype))
    pca = PCA(3, whiten=True).fit(X)
    Z = ae.transform(X.astype(dtype))
    np.testing.assert_allclose(Z, pca.transform(X), atol=1e-4)
    made = ae.inverse_transform(Z)
    np.testing.assert_allclose(made, pca.inverse_transform(Z), atol=1e-5)


def test_whitening_changes_the_latents_alone(X, nested, whitened):
    Z = whitened.transform(X)
    np.testing.assert_allclose(Z.std(axis=0, ddof=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(
        Z * nested.transform(X).std(axis=0, ddof=1), nested.transform(X), rtol=1e-5
    )
    np.testing.assert_allclose(whitened.reconstruct(X), nested.reconstruct(X))
    np.testing.assert_allclose(whitened.inverse_transform(Z), nested.reconstruct(X))
    np.testing.assert_allclose(whitened.sample(4), nested.sample(4))
    assert whitened.score(X) == nested.score(X)


def test_whitened_latents_have_effects_in_their_units(X, nested, whitened):
    spread = nested.transform(X).std(axis=0, ddof=1)
    effects = nested.column_effects(X).effects.mul(spread, axis=0)
    np.testing.assert_allclose(whitened.column_effects(X).effects, effects, rtol=1e-5)


def test_cuts_and_files_are_whitened(X, nested, whitened, tmp_path):
    save(whitened, tmp_path / "whitened")
    assert (load(tmp_path / "whitened").transform(X) == whitened.transform(X)).all()
    spread = nested.transform(X).std(axis=0, ddof=1)[:2]
    Z = whitened.truncate(2).transform(X)
    np.testing.assert_allclose(Z * spread, nested.truncate(2).transform(X), rtol=1e-5)


def test_latents_are_whitened_by_all_parts_and_as_the_parameter_says(X):
    ae = AutoencoderTransformer(2, whiten=True, hidden_layer_sizes=(4,))
    ae.partial_fit(X[:30]).partial_fit(X[30:])
    np.testing.assert_allclose(ae.transform(X).std(axis=0), 1.0, atol=0.1)
    ae.set_params(whiten=False).partial_fit(X)
    assert ae.module_.latent_scale == ae.module_.scale


def test_latents_that_do_not_vary_stay_finite():
    ae = AutoencoderTransformer(2, whiten=True, max_iter=0).fit(np.ones((6, 2)))
    assert np.isfinite(ae.transform(np.ones((2, 2)))).all()


# Nested latents -----------------------------------------------------------------------


def test_nested_latents_are_another_fit(X, nested):
    plain = AutoencoderTransformer(**{**nested.get_params(), "nested": False}).fit(X)
    assert not np.allclose(plain.transform(X), nested.transform(X))
    # Losses are means over all cuts, of which those of few latents leave more.
    assert plain.loss_curve_[0] < nested.loss_curve_[0]


def test_cuts_of_nested_latents_have_decoders_of_their_own(X, nested):
    module = nested.module_
    assert list(module.cut_decoders) == [1, 2]
    cut = nested.truncate(2).module_
    z = torch.randn(4, 2)
    assert (cut.decode(z) == module.cut_decoders[2](z)).all()
    assert list(cut.cut_decoders) == [1]


def test_nested_latents_go_on_or_stop_being_nested(X, nested):
    copied = pickle.loads(pickle.dumps(nested)).set_params(warm_start=True, max_iter=4)
    assert list(copied.fit(X).module_.cut_decoders) == [1, 2]
    copied.set_params(nested=False, max_iter=5).fit(X)
    assert not copied.module_.cut_decoders


@pytest.mark.parametrize("begins_nested", [False, True])
def test_passes_may_begin_or_cease_to_be_nested(X, begins_nested):
    autoencoder = AutoencoderTransformer(3, nested=begins_nested, random_state=0)
    autoencoder.partial_fit(X).set_params(nested=not begins_nested).partial_fit(X)
    assert list(autoencoder.module_.cut_decoders) == ([] if begins_nested else [1, 2])
    assert np.isfinite(autoencoder.loss_curve_).all()


def test_a_nested_fit_ignores_the_order_of_columns(X, nested):
    order = np.array([3, 0, 4, 1, 2])
    other = AutoencoderTransformer(**nested.get_params()).fit(X[:, order])
    for k in (1, 2, 3):
        made = other.truncate(k).reconstruct(X[:, order])
        expected = nested.truncate(k).reconstruct(X)[:, order]
        np.testing.assert_allclose(made, expected, rtol=1e-4)


def test_nested_latents_of_few_wide_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 2)) @ rng.normal(size=(2, 80)) + 5.0
    nested = AutoencoderTransformer(2, nested=True, max_iter=2).fit(X)
    assert nested.truncate(1).reconstruct(X).shape == X.shape
    linear = PCA(1).fit(X)
    left = np.square(linear.inverse_transform(linear.transform(X)) - X).mean()
    assert -nested.truncate(1).score(X) <= 1.01 * left


def test_nested_latents_have_signs(X, nested):
    Z = nested.transform(X)
    covariances = (Z - Z.mean(axis=0)).T @ (X - X.mean(axis=0))
    assert (np.abs(covariances).max(axis=1) == covariances.max(axis=1)).all()


def test_one_latent_is_nested_in_nothing(X):
    options = {"max_iter": 2, "early_stopping": False, "hidden_layer_sizes": (4,)}
    nested, plain = (
        DenoisingAutoencoderTransformer(1, nested=is_nested, **options).fit(X)
        for is_nested in (True, False)
    )
    assert (nested.transform(X) == plain.transform(X)).all()
