"""The command line's fit, transform, impute, sample and score."""

import io

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

import sklearn_ae
from sklearn_ae import AutoencoderTransformer, EncoderDecoderRegressor
from sklearn_ae.__main__ import main
from sklearn_ae._training.checkpoints import CheckpointFile

QUICK = ("--max-iter", 2, "--set", "hidden_layer_sizes=4,")


def run(*arguments):
    return main([*map(str, arguments)])


def made_table(n=60):
    rng = np.random.RandomState(0)
    size = rng.normal(size=n)
    return pd.DataFrame(
        {
            "id": np.arange(n),
            "size": size,
            "rooms": np.round(3 + size).astype(int),
            "price": 1e5 * (size + 0.1 * rng.normal(size=n)),
            "age": np.where(rng.uniform(size=n) < 0.2, np.nan, size**2),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of numbers, a mixed one, and models of both."""
    folder = tmp_path_factory.mktemp("tables")
    frame = made_table()
    frame.to_csv(folder / "numbers.csv", index=False)
    rng = np.random.RandomState(1)
    mixed = frame.assign(
        colour=rng.choice(["red", "green"], len(frame)),
        since=pd.date_range("2020-01-01", periods=len(frame), freq="11D"),
        note=[f"note {i}" for i in range(len(frame))],
    )
    mixed.loc[3:5, "colour"] = None
    mixed.to_parquet(folder / "mixed.parquet", index=False)
    for table, name in (("numbers.csv", "ae"), ("mixed.parquet", "vae")):
        model = folder / f"{name}.model"
        fit = ("fit", folder / table, "--model", model, "--estimator", name)
        assert run(*fit, *QUICK) == 0
    return folder


@pytest.fixture
def printed(capsys):
    """What a command prints, as a table."""

    def printed(*arguments):
        capsys.readouterr()
        assert run(*arguments) == 0
        return pd.read_csv(io.StringIO(capsys.readouterr().out))

    return printed


def test_fit_is_that_of_the_estimator_on_scaled_columns(folder, printed):
    frame = made_table().drop(columns="id")
    scaled = (frame - frame.mean()) / frame.std(ddof=0)
    expected = AutoencoderTransformer(hidden_layer_sizes=(4,), max_iter=2)
    with pytest.warns(ConvergenceWarning):
        Z = expected.fit_transform(scaled)
    latents = printed(
        "transform", folder / "numbers.csv", "--model", folder / "ae.model"
    )
    assert latents.columns.tolist() == expected.get_feature_names_out().tolist()
    np.testing.assert_allclose(latents, Z, rtol=1e-9)


def test_model_is_a_file_that_load_takes(folder):
    loaded = sklearn_ae.load(folder / "vae.model")
    names = loaded.feature_names_in_.tolist()
    assert names == ["size", "rooms", "price", "age", "colour", "since"]
    assert loaded.checkpoint is None


def test_model_that_save_has_written_is_taken(folder, tmp_path, printed):
    frame = made_table()[["size", "price"]]
    estimator = AutoencoderTransformer(1, max_iter=0).fit(frame)
    sklearn_ae.save(estimator, tmp_path / "model")
    latents = printed(
        "transform", folder / "numbers.csv", "--model", tmp_path / "model"
    )
    np.testing.assert_allclose(latents, estimator.transform(frame), rtol=1e-9)


def test_kept_columns_stand_before_the_latents(folder, printed):
    arguments = ("--model", folder / "ae.model", "--keep", "id", "price")
    latents = printed("transform", folder / "numbers.csv", *arguments)
    assert latents.columns.tolist()[:2] == ["id", "price"]
    assert latents["id"].tolist() == list(range(60))


def test_impute_fills_missing_cells_and_no_others(folder, printed):
    before = made_table()
    after = printed("impute", folder / "numbers.csv", "--model", folder / "ae.model")
    known = before.notna()
    assert not after.isna().any().any()
    assert after["rooms"].dtype.kind == "i"
    np.testing.assert_allclose(after[known], before[known], rtol=1e-12)
    assert 0 < after["age"][~known["age"]].mean() < 5


def test_untouched_cells_are_written_as_they_were(folder, tmp_path, capsys):
    frame = made_table().assign(since=pd.date_range("2020-01-01", periods=60))
    frame["size"] = frame["size"].map("{:.9f}0".format)
    frame["new"] = np.where(frame["rooms"] > 3, "yes", "no")
    frame["id"] = frame["id"].map("{:04d}".format)
    frame.loc[7, ["since", "new", "rooms"]] = None
    frame.to_csv(tmp_path / "t.csv", index=False, na_rep="NA", date_format="%Y-%m-%d")
    model = "--model", tmp_path / "model"
    assert run("fit", tmp_path / "t.csv", *model, "--drop", "id", *QUICK) == 0
    capsys.readouterr()
    assert run("impute", tmp_path / "t.csv", *model) == 0
    read = {"dtype": str, "keep_default_na": False}
    after = pd.read_csv(io.StringIO(capsys.readouterr().out), **read)
    before = pd.read_csv(tmp_path / "t.csv", **read)
    is_missing = before == "NA"
    assert (after.where(is_missing) == before.where(is_missing)).sum().sum() == 0
    pd.testing.assert_frame_equal(after.mask(is_missing), before.mask(is_missing))
    assert pd.to_datetime(after["since"], format="%Y-%m-%d").notna().all()
    assert set(after["new"]) == {"yes", "no"}


def test_infinite_values_count_as_missing(folder, tmp_path, printed, capsys):
    table = made_table()
    table.loc[7, "size"] = np.inf
    table.to_csv(tmp_path / "infinite.csv", index=False)
    model = ("--model", folder / "ae.model")
    scores = printed("score", tmp_path / "infinite.csv", *model)
    whole = printed("impute", tmp_path / "infinite.csv", *model)
    table.loc[7, "size"] = np.nan
    table.to_csv(tmp_path / "missing.csv", index=False)
    for command, made in (("score", scores), ("impute", whole)):
        expected = printed(command, tmp_path / "missing.csv", *model)
        pd.testing.assert_frame_equal(made, expected)
    capsys.readouterr()
    assert run("score", tmp_path / "infinite.csv", *model) == 0
    assert "size: 1 infinite values count as missing" in capsys.readouterr().err


def test_mixed_table_comes_back_with_its_types(folder, tmp_path):
    path, model = folder / "mixed.parquet", folder / "vae.model"
    assert (
        run("impute", path, "--model", model, "--output", tmp_path / "a.parquet") == 0
    )
    assert run("sample", 7, "--model", model, "--output", tmp_path / "b.parquet") == 0
    before = pd.read_parquet(path)
    whole, drawn = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in "ab")
    assert set(whole["colour"]) == {"red", "green"}
    assert whole["note"].tolist() == before["note"].tolist()
    assert len(drawn) == 7
    assert drawn["since"].dtype.kind == "M"


def test_samples_are_in_the_units_of_the_file(folder, printed):
    drawn = printed("sample", 200, "--model", folder / "ae.model")
    assert drawn["rooms"].dtype.kind == "i"
    names = ["size", "rooms", "price"]
    spread = made_table()[names].std()
    np.testing.assert_allclose(drawn[names].std() / spread, 1.0, atol=0.2)


@pytest.fixture(scope="module")
def mapped(folder):
    """A model of whole numbers and others by their column maps."""
    model = folder / "mapped.model"
    maps = ("--set", "column_maps=quantile", "hidden_layer_sizes=4,", "free_bits=1")
    fit = ("fit", folder / "numbers.csv", "--model", model, "--estimator", "vae")
    assert run(*fit, "--max-iter", 1, *maps) == 0
    return model


def test_samples_hold_what_is_given_in_the_units_of_the_file(mapped, printed):
    given = ("--given", "rooms=3..4", "price=0..")
    drawn = printed("sample", 20, "--model", mapped, *given)
    assert set(drawn["rooms"]) <= {3, 4}
    assert drawn["price"].min() >= 0.0
    assert drawn["price"].max() > 1e3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("rooms=many", "column 'rooms' holds whole numbers; got 'many'"),
        ("floors=3", "given names 'floors', and the columns of X are ['size', "),
        ("rooms", "--given takes COLUMN=VALUE, each column once; got 'rooms'"),
    ],
)
def test_what_cannot_be_given_is_told(mapped, capsys, given, message):
    assert run("sample", 2, "--model", mapped, "--given", given) == 2
    assert message in capsys.readouterr().err


def test_given_needs_a_model_with_column_maps(folder, capsys):
    assert run("sample", 2, "--model", folder / "vae.model", "--given", "rooms=3") == 2
    assert "--set column_maps=quantile; this VAE" in capsys.readouterr().err


def test_score_is_that_of_the_estimator(folder, printed):
    path, model = folder / "mixed.parquet", folder / "vae.model"
    scores = printed("score", path, "--model", model)
    loaded = sklearn_ae.load(model)
    expected = loaded.score_samples(pd.read_parquet(path)[loaded.feature_names_in_])
    np.testing.assert_allclose(scores["score"], expected, rtol=1e-6)


def test_what_columns_were_left_out_is_told(folder, tmp_path, capsys):
    fit = ("fit", folder / "mixed.parquet", "--model", tmp_path / "model", *QUICK)
    assert run(*fit, "--drop", "age") == 0
    told = capsys.readouterr().err
    for words in ("dropped, it numbers the rows: id", "note (60 different)", "age"):
        assert words in told


def test_interrupted_fit_goes_on(folder, tmp_path, monkeypatch, capsys):
    model = tmp_path / "model"
    fit = ("fit", folder / "numbers.csv", "--model", model, *QUICK)
    write = CheckpointFile.write

    def write_and_end(self):
        write(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointFile, "is_due", lambda self: True)
    monkeypatch.setattr(CheckpointFile, "write", write_and_end)
    assert run(*fit) == 130
    assert run(*fit) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    monkeypatch.undo()
    assert run(*fit, "--resume") == 0
    assert model.read_bytes() == (folder / "ae.model").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert run(*fit, "--resume") == 0
    assert "nothing is left to do" in capsys.readouterr().err


@pytest.mark.parametrize(("asked", "found"), [("3", 3), ("0.5", 1)])
def test_number_of_latents_is_given_or_found(folder, tmp_path, asked, found):
    model = tmp_path / "model"
    fit = ("fit", folder / "numbers.csv", "--model", model, "--n-components", asked)
    assert run(*fit, *QUICK) == 0
    assert sklearn_ae.load(model).n_components_ == found


def test_what_is_no_number_of_latents_is_told(folder, tmp_path, capsys):
    fit = ("fit", folder / "numbers.csv", "--model", tmp_path / "model")
    with pytest.raises(SystemExit):
        run(*fit, "--n-components", "few")
    assert "'few' is no number, no share such as 0.9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--n-components", "1.5"), "'n_components' parameter"),
        (("--set", "beta=2"), "--set takes NAME=VALUE, with one of activation"),
        (("--set", "alpha=often"), "'alpha' parameter"),
        (("--drop", "sise"), "did you mean 'size'"),
        (("--resume", "--overwrite"), "give one"),
        (("--model", "none/model"), "no folder 'none'"),
    ],
)
def test_fit_that_cannot_be_is_refused(folder, tmp_path, capsys, arguments, message):
    fit = ("fit", folder / "numbers.csv", "--model", tmp_path / "model")
    assert run(*fit, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_model_is_not_replaced_unasked(folder, capsys):
    fit = ("fit", folder / "numbers.csv", "--model", folder / "ae.model")
    assert run(*fit) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err


def test_columns_that_are_missing_are_named(folder, capsys):
    assert run("score", folder / "numbers.csv", "--model", folder / "vae.model") == 2
    assert "has no column colour, since" in capsys.readouterr().err


def test_words_where_numbers_were_are_named(folder, tmp_path, capsys):
    made_table().assign(price="much").to_csv(tmp_path / "t.csv", index=False)
    assert run("score", tmp_path / "t.csv", "--model", folder / "ae.model") == 2
    assert "were numbers in the fit: price" in capsys.readouterr().err


def test_output_of_another_kind_is_refused(folder, capsys):
    model = ("--model", folder / "ae.model")
    assert run("sample", 3, *model, "--output", "rows.docx") == 2
    assert "--output ends in .csv or .parquet" in capsys.readouterr().err


def test_what_is_no_model_is_refused(folder, tmp_path, capsys):
    assert run("sample", 3, "--model", folder / "numbers.csv") == 2
    assert "holds no estimator" in capsys.readouterr().err
    X = made_table()[["size"]]
    regressor = EncoderDecoderRegressor(1, max_iter=0).fit(X, X["size"])
    sklearn_ae.save(regressor, tmp_path / "model")
    assert run("sample", 3, "--model", tmp_path / "model") == 2
    assert "holds a EncoderDecoderRegressor" in capsys.readouterr().err
