"""A VAE's conditions that are columns of X."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import VAETransformer, load, save
from sklearn_ae._tables import condition_columns
from sklearn_ae._tables.condition_columns import ConditionColumns
from sklearn_ae._tables.rows import Table

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, D = 60, 5
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 2, "early_stopping": False}
CHOSEN = [1, 4]
OWN = [0, 2, 3]


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    return rng.standard_normal((N, D)) @ rng.standard_normal((D, D)) + 3.0


@pytest.fixture(scope="module")
def frame(X):
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame["level"] = np.array(["x", "y", "z"])[np.arange(N) % 3]
    frame["count"] = np.arange(N) % 4
    return frame


@pytest.fixture(scope="module")
def vae(X):
    return VAETransformer(2, condition_columns=CHOSEN, **SMALL).fit(X)


@pytest.fixture(scope="module")
def mixed(frame):
    return VAETransformer(2, condition_columns=["level", "b"], **SMALL).fit(frame)


def test_columns_are_what_y_is(X, vae):
    told = VAETransformer(2, conditional=True, **SMALL).fit(X[:, OWN], X[:, CHOSEN])
    latents = told.transform(X[:, OWN], X[:, CHOSEN])
    np.testing.assert_allclose(vae.transform(X), latents, atol=1e-6)
    score = told.score(X[:, OWN], X[:, CHOSEN])
    assert vae.score(X) == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("chosen", [(1, 4), np.array([0, 1, 0, 0, 1], dtype=bool)])
def test_places_and_masks_name_columns(X, vae, chosen):
    other = VAETransformer(2, condition_columns=chosen, **SMALL).fit(X)
    np.testing.assert_array_equal(other.transform(X), vae.transform(X))


def test_a_pipeline_needs_no_y(X):
    pipeline = make_pipeline(
        StandardScaler(), VAETransformer(2, condition_columns=CHOSEN, **SMALL)
    ).fit(X)
    assert pipeline.transform(X).shape == (N, 2)
    assert np.isfinite(pipeline.score(X))


@pytest.mark.parametrize("kind", ["numbers", "mixed"])
def test_reconstructions_have_the_conditions_of_their_rows(X, frame, vae, mixed, kind):
    if kind == "numbers":
        made = vae.reconstruct(X)
        np.testing.assert_array_equal(made[:, CHOSEN], X[:, CHOSEN])
        assert made.shape == X.shape
    else:
        made = mixed.reconstruct(frame)
        names = ["level", "b"]
        pd.testing.assert_frame_equal(made[names], frame[names])
        assert (made.dtypes == frame.dtypes).all()


@pytest.mark.parametrize("as_rows", [True, False])
def test_latents_are_decoded_for_conditions(X, vae, as_rows):
    y = X[:5] if as_rows else X[:5, CHOSEN]
    made = vae.inverse_transform(vae.transform(X[:5]), y)
    np.testing.assert_allclose(made, vae.reconstruct(X[:5]))


def test_latents_are_decoded_for_a_frame_of_conditions(frame, mixed):
    Z = mixed.transform(frame[:5])
    wanted = mixed.reconstruct(frame[:5])
    for y in (frame[["b", "level"]][:5], frame[:5], frame[["b", "level"]][:5].values):
        made = mixed.inverse_transform(Z, y)
        pd.testing.assert_frame_equal(made, wanted, check_exact=False)


@pytest.mark.parametrize("options", [{}, {"noise": True}, {"prior": "aggregated"}])
def test_samples_have_their_conditions(mixed, options):
    y = pd.DataFrame({"level": ["x", "z"], "b": [0.5, 1.5]})
    drawn = mixed.sample(2, y=y, **options)
    pd.testing.assert_frame_equal(drawn[["level", "b"]], y)
    one_for_all = mixed.sample(3, y=[0.5, "z"], **options)
    assert one_for_all["level"].tolist() == ["z"] * 3
    assert one_for_all["b"].tolist() == [0.5] * 3


@pytest.mark.parametrize("level", [["x", "z"], "x"])
def test_conditions_are_a_dict_as_well(frame, mixed, level):
    y = {"level": level, "b": 0.5}
    rows = pd.DataFrame({"b": [0.5, 0.5], "level": level})
    pd.testing.assert_frame_equal(mixed.sample(2, y=y), mixed.sample(2, y=rows))
    Z = mixed.transform(frame[:2])
    back = mixed.inverse_transform(Z, y=y)
    pd.testing.assert_frame_equal(back, mixed.inverse_transform(Z, y=rows))


def test_samples_like_rows_have_their_conditions(frame, mixed):
    drawn = mixed.sample(4, y=[0.5, "z"], like=frame)
    assert drawn["level"].tolist() == ["z"] * 4
    assert set(drawn["count"]) <= set(frame["count"])


def test_one_column_is_given_alone(frame):
    vae = VAETransformer(2, condition_columns=["level"], **SMALL).fit(frame)
    assert vae.sample(2, y="z")["level"].tolist() == ["z", "z"]
    assert vae.sample(2, y=["z", "x"])["level"].tolist() == ["z", "x"]


@pytest.mark.parametrize("n_draws", [None, 2])
def test_conditions_help_to_impute_and_stay(frame, mixed, n_draws):
    holed = frame.copy()
    holed.loc[3, "a"] = np.nan
    made = mixed.impute(holed, n_draws=n_draws)
    for table in [made] if n_draws is None else made:
        assert not table.isna().any().any()
        pd.testing.assert_frame_equal(table.drop(3), frame.drop(3))


def test_a_way_between_rows_has_the_conditions_of_its_start(X, vae):
    way = vae.interpolate(X[:2], X[2:4], n_steps=3)
    np.testing.assert_array_equal(way[2][:, CHOSEN], X[:2, CHOSEN])
    np.testing.assert_allclose(way[0], vae.reconstruct(X[:2]))


@pytest.mark.parametrize("way", ["pickle", "file"])
def test_conditions_are_kept(frame, mixed, tmp_path, way):
    if way == "pickle":
        kept = pickle.loads(pickle.dumps(mixed))
    else:
        save(mixed, tmp_path / "vae.safetensors")
        kept = load(tmp_path / "vae.safetensors")
    np.testing.assert_array_equal(kept.transform(frame), mixed.transform(frame))
    drawn = [model.sample(1, y=[0.5, "z"]) for model in (kept, mixed)]
    pd.testing.assert_frame_equal(*drawn)


def test_sparse_rows_have_conditions_too(X, vae):
    np.testing.assert_array_equal(vae.transform(csr_array(X)), vae.transform(X))


def test_blocks_of_a_table_are_split(X):
    conditions = ConditionColumns(CHOSEN, list("abcde"), X, None)
    split = conditions.to_the_end(Table(X, lambda X: None))
    np.testing.assert_array_equal(split[3:9], conditions.to_the_end(X)[3:9])
    assert split.shape == (N, D)
    np.testing.assert_array_equal(conditions.of_rows(X), X[:, CHOSEN])


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["no"], "condition_columns names 'no', and the columns of X are"),
        ([7], "condition_columns has the index 7"),
        ([True], "condition_columns is a mask of shape"),
        ([], "condition_columns must leave columns of X to describe"),
        (list("abcde"), "condition_columns must leave columns of X to describe"),
    ],
)
def test_wrong_columns_are_refused(X, chosen, message):
    with pytest.raises(ValueError, match=message):
        ConditionColumns(chosen, list("abcde"), X, None)


def test_a_row_without_its_condition_is_refused(X, frame, vae, mixed):
    holed = X.copy()
    holed[7, 4] = np.nan
    with pytest.raises(ValueError, match=r"'column 4' is one of .* row 7 has no value"):
        vae.transform(holed)
    with pytest.raises(ValueError, match=r"'level' is one of .* row 0"):
        mixed.transform(frame.assign(level="other"))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "The conditions of rows to be are missing"),
        ([0.5, "other"], "no value of 'level' in row 0, .* it has 3 levels"),
        (np.zeros((2, 3)), r"y must have 2 column\(s\) of conditions"),
        (pd.DataFrame({"b": [0.5]}), r"lacks the conditions \['level'\]"),
        ([[0.5, "x"]] * 3, "for each of 2 rows; got 3"),
        ({"b": 0.5, "level": 3}, "Column 'level' holds whole numbers; in fit it held"),
        ({"b": 0.5}, r"lacks the conditions \['level'\]"),
        ({"b": [0.5] * 3, "level": ["x"] * 2}, r"different numbers of rows: \[2, 3\]"),
    ],
)
def test_wrong_conditions_of_rows_to_be_are_refused(mixed, y, message):
    with pytest.raises(ValueError, match=message):
        mixed.sample(2, y=y)


@pytest.mark.parametrize("kind", ["numbers", "mixed"])
def test_conditions_may_be_any_numbers_where_rows_are_shares(kind):
    rng = np.random.RandomState(0)
    shares = pd.DataFrame(rng.uniform(size=(30, 3)), columns=list("abc"))
    X = shares.assign(age=rng.normal(40, 10, 30))
    if kind == "mixed":
        X["sex"] = rng.choice(["f", "m"], 30)
    vae = VAETransformer(1, loss="log_loss", condition_columns=["age"], max_iter=0)
    assert np.isfinite(vae.fit(X).transform(X)).all()
    with pytest.raises(
        ValueError, match=r"expects values in \[0, 1\]; X has .* to 2\."
    ):
        vae.transform(X.assign(b=2.0))
    with pytest.raises(ValueError, match=r"expects values in \[0, 1\]"):
        vae.fit(X.assign(b=2.0))


def test_conditions_come_from_one_place(X):
    vae = VAETransformer(2, condition_columns=[0], conditional=True)
    with pytest.raises(
        ValueError, match=r"Conditions are either y, .* or columns of X"
    ):
        vae.fit(X, X[:, 0])


def test_networks_of_other_conditions_do_not_go_on(X):
    vae = VAETransformer(2, condition_columns=[0], warm_start=True, **SMALL).fit(X)
    with pytest.raises(ValueError, match="fitted with condition_columns="):
        vae.set_params(condition_columns=[1]).fit(X)


def test_the_name_is_that_of_the_parameter():
    assert condition_columns.PARAMETER in VAETransformer().get_params()
