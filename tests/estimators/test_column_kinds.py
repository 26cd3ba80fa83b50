"""column_maps="quantile": rows that look real, conditions, densities."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sklearn_ae import VAETransformer, load, save

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training ended:sklearn.exceptions.ConvergenceWarning"
)


def people(n=400, seed=0):
    rng = np.random.RandomState(seed)
    size = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "income": np.round(np.exp(10 + size + 0.3 * rng.normal(size=n)), 2),
            "gain": np.where(size + rng.normal(size=n) > 1.2, rng.poisson(90, n), 0),
            "hours": rng.choice([20, 38, 40, 60], n, p=[0.1, 0.2, 0.6, 0.1]),
            "job": np.where(size > 0.5, "chief", rng.choice(["clerk", "cook"], n)),
            "owner": size + 0.5 * rng.normal(size=n) > 0,
            "since": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(np.round(300 * np.abs(size)).astype(int), unit="D"),
        }
    )
    frame["job"] = frame["job"].mask(rng.uniform(size=n) < 0.2)
    return frame


X = people()
SMALL = {"hidden_layer_sizes": (16,), "max_iter": 5, "early_stopping": False}


@pytest.fixture(scope="module")
def model():
    return VAETransformer(3, column_maps="quantile", batch_size=32, **SMALL).fit(X)


@pytest.fixture(scope="module")
def drawn(model):
    return model.sample(2000)


def test_samples_are_a_table_of_the_same_types(drawn):
    pd.testing.assert_series_equal(drawn.dtypes, X.dtypes)


def test_spikes_have_their_shares_and_discrete_values_no_others(drawn):
    assert (drawn["gain"] == 0).mean() == pytest.approx(
        (X["gain"] == 0).mean(), abs=0.1
    )
    assert set(drawn["hours"]) == {20, 38, 40, 60}


def test_missing_cells_are_sampled_too(drawn):
    assert drawn["job"].isna().mean() == pytest.approx(0.2, abs=0.07)
    assert not drawn.drop(columns="job").isna().any(axis=None)


def test_columns_go_together_in_samples(drawn):
    of_chiefs = drawn["income"][drawn["job"] == "chief"].median()
    assert of_chiefs > 1.5 * drawn["income"][drawn["job"] == "cook"].median()


def test_samples_do_not_depend_on_what_was_drawn_before(model):
    again = clone(model).fit(X)
    pd.testing.assert_frame_equal(again.sample(5), model.sample(5))


def test_noise_and_prior_by_default_are_those_of_rows_that_look_real(model):
    asked = model.sample(5, prior="aggregated", noise=True)
    pd.testing.assert_frame_equal(model.sample(5), asked)
    assert not model.sample(50, noise=False).isna().any(axis=None)


@pytest.mark.parametrize(
    "given",
    [
        {"job": "chief"},
        {"job": ["cook", "clerk"], "owner": True},
        {"hours": 40, "income": (2e4, 6e4)},
        {"since": (pd.Timestamp("2020-03-01"), None)},
        {"since": ("2020-03-01", "2020-06-30")},
        {"gain": (1, None)},
        {"hours": (39, None)},
        {"hours": (21, 39)},
        {"income": 31234.5},
    ],
)
def test_rows_hold_what_is_given(model, given):
    rows = model.sample(60, given=given)
    for name, wanted in given.items():
        assert rows[name].notna().all()
        if isinstance(wanted, tuple):
            least, most = wanted
            assert (rows[name] >= least).all()
            assert most is None or (rows[name] <= most).all()
        else:
            assert (
                rows[name].isin(wanted if isinstance(wanted, list) else [wanted]).all()
            )


def test_given_rows_are_those_of_all_samples_that_hold_it(model):
    everything = model.sample(20_000)
    kept = everything[everything["income"].between(3e4, 8e4)]
    rows = model.sample(4000, given={"income": (3e4, 8e4)})
    for name in ("owner", "hours"):
        share, expected = (part[name].astype(float).mean() for part in (rows, kept))
        assert share == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"salary": 3}, "names 'salary', and the columns"),
        ({"job": "pilot"}, "no level 'pilot'; it has"),
        ({"job": []}, "no level of column 'job'"),
        ({"income": (5, 3)}, "from the least to the most"),
        ({"income": "much"}, "holds numbers; got 'much'"),
        ({"income": (1, 2, 3)}, "takes a value, or a range"),
        ({"hours": 39}, "values that are 2 apart, from 20 on"),
        ({"hours": 42}, "fit saw no value of column 'hours' that 42 asks for"),
        ({"hours": (62, None)}, "fit saw no value of column 'hours'"),
        ({"hours": (None, 18)}, "fit saw no value of column 'hours'"),
        ({"income": np.nan}, "takes a value, or a range"),
        ({"income": {3, 5}}, "holds numbers; got {3, 5}"),
        ({"income": pd.Timestamp("2020-03-01")}, "holds numbers; got Timestamp"),
        ({"since": (18_000, None)}, "holds dates with times; got"),
        ({"since": ("spring", None)}, "holds dates with times; got"),
    ],
)
def test_conditions_that_make_no_sense_say_so(model, given, message):
    with pytest.raises(ValueError, match=message):
        model.sample(3, given=given)


def test_levels_may_stand_in_an_array(model):
    rows = model.sample(20, given={"job": np.array(["cook", "clerk"])})
    assert set(rows["job"]) <= {"cook", "clerk"}


def test_conditions_are_a_dict_and_go_without_like(model):
    with pytest.raises(TypeError, match="given must be a dict"):
        model.sample(3, given=["job"])
    with pytest.raises(ValueError, match="goes without like"):
        model.sample(3, given={"job": "cook"}, noise=False)


def test_conditions_need_probabilities_of_cells():
    plain = VAETransformer(2, hidden_layer_sizes=(), max_iter=0).fit(X)
    with pytest.raises(ValueError, match="fitted with column_maps"):
        plain.sample(3, given={"job": "cook"})


def test_densities_follow_the_units_of_a_column(model):
    scaled = X.assign(income=100.0 * X["income"])
    other = clone(model).fit(scaled)
    expected = model.score_samples(X[:20]) - np.log(100.0)
    np.testing.assert_allclose(other.score_samples(scaled[:20]), expected, atol=1e-3)


def test_imputed_and_reconstructed_rows_are_whole(model):
    assert not model.impute(X[:30]).isna().any(axis=None)
    pd.testing.assert_series_equal(model.reconstruct(X[:30]).dtypes, X.dtypes)
    assert all(not t.isna().any(axis=None) for t in model.impute(X[:30], n_draws=2))


def test_files_and_pickles_sample_the_same(model, tmp_path):
    save(model, tmp_path / "model.sklearn_ae")
    for other in (
        pickle.loads(pickle.dumps(model)),
        load(tmp_path / "model.sklearn_ae"),
    ):
        pd.testing.assert_frame_equal(other.sample(5), model.sample(5))


@pytest.fixture(scope="module")
def of_many_rows():
    """With an autoregressive density of latents, which takes more rows than X has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn_ae._training.latent_density._N_EPOCHS", 25)
        rows = people(1000)
        return VAETransformer(3, column_maps="quantile", **SMALL).fit(rows)


def test_rows_are_drawn_from_the_density_that_is_better(of_many_rows):
    assert of_many_rows._autoregressive is not None
    Z = of_many_rows.transform(people(1000))
    prior = of_many_rows._prior("aggregated")
    drawn = prior.sample(2000, np.random.RandomState(0))
    assert drawn.mean(axis=0) == pytest.approx(Z.mean(axis=0), abs=0.2)


def test_its_score_is_near_that_of_the_prior_of_the_training(of_many_rows):
    rows = people(200, seed=1)
    aggregated = of_many_rows.score_samples(rows, prior="aggregated").mean()
    assert aggregated == pytest.approx(of_many_rows.score_samples(rows).mean(), abs=1.0)


def test_it_is_in_files_and_not_of_passes_that_follow(of_many_rows, tmp_path):
    save(of_many_rows, tmp_path / "model.sklearn_ae")
    other = load(tmp_path / "model.sklearn_ae")
    pd.testing.assert_frame_equal(other.sample(5), of_many_rows.sample(5))
    other.partial_fit(people(1000, seed=1))
    assert other._autoregressive is None


def test_arrays_of_numbers_may_be_mapped_too():
    rows = np.exp(np.random.RandomState(0).normal(size=(100, 3)))
    model = VAETransformer(2, column_maps="quantile", **SMALL).fit(rows)
    assert (model.sample(200) > 0).mean() > 0.97
    assert (model.sample(20, given={1: (2.0, None)})[:, 1] >= 2.0).all()
    model.partial_fit(rows)
    assert model.transform(rows).shape == (100, 2)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "absolute_error"}, "goes with loss='squared_error'"),
        ({"image_shape": (2, 3)}, "goes with image_shape=None"),
        ({"inference": "refined"}, "latents of the encoder"),
    ],
)
def test_parameters_that_do_not_go_with_maps_say_so(parameters, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(2, column_maps="quantile", **parameters).fit(X)


def test_rows_that_are_read_in_blocks_are_refused(monkeypatch):
    monkeypatch.setattr("sklearn_ae._tables.checks.is_long", lambda X: True)
    rows = np.random.RandomState(0).normal(size=(20, 4))
    with pytest.raises(ValueError, match="takes rows in memory; X is read in blocks"):
        VAETransformer(2, column_maps="quantile").fit(rows)


def test_single_precision_stays_so():
    rows = np.random.RandomState(0).poisson(3.0, size=(60, 3)).astype(np.float32)
    model = VAETransformer(2, column_maps="quantile", **SMALL).fit(rows)
    assert model.transform(rows).dtype == np.float32
    assert model.sample(50).dtype == np.float32
    assert (model.sample(50) == model.sample(50).round()).all()
