"""Files of `save` and what `load` makes of them and of others."""

import json
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from torch import nn

import sklearn_ae
from sklearn_ae import (
    AutoencoderDetector,
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    FaceSwapper,
    NeighborMapTransformer,
    VAETransformer,
)
from sklearn_ae._utils.tensor_files import read_tensor_file, write_tensor_file

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Fewer than 25 pictures"
)
FILES = Path(__file__).parents[1] / "files"
X = load_iris().data[:60]
LABELS = np.array(["a", "b", "c"])[np.arange(60) % 3]
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 2, "early_stopping": False}


class UsersNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return torch.tanh(self.layer(x))


def pixels(n=20):
    return np.random.default_rng(0).random((n, 64))


FITS = {
    "autoencoder": lambda: AutoencoderTransformer(2, **QUICK).fit(X),
    "denoising": lambda: DenoisingAutoencoderTransformer(2, **QUICK).fit(X),
    "vae": lambda: VAETransformer(2, n_exemplars=3, **QUICK).fit(X),
    "conditional": lambda: VAETransformer(2, conditional=True, **QUICK).fit(X, LABELS),
    "regressor": lambda: EncoderDecoderRegressor(2, **QUICK).fit(X, X[:, 0]),
    "map": lambda: NeighborMapTransformer(2, max_iter=1).fit(X),
    "map by the encoder": lambda: NeighborMapTransformer(
        2, inference="encoder", max_iter=1
    ).fit(X),
    "streamed": lambda: AutoencoderTransformer(2, **QUICK).partial_fit(X),
    "images": lambda: EncoderDecoderRegressor(
        2, hidden_layer_sizes=(2, 3), max_iter=1, image_shape=(8, 8)
    ).fit(pixels(), pixels()),
    "layers": lambda: AutoencoderTransformer(
        2, encoder=nn.Linear, decoder=nn.Sequential(nn.Linear(2, 4)), max_iter=1
    ).fit(X),
    "faces": lambda: FaceSwapper(width=1, max_iter=1, n_components=2).fit(
        pixels(), np.repeat(["a", "b"], 10)
    ),
}


@pytest.fixture(scope="module", params=FITS)
def fitted(request):
    return FITS[request.param]()


@pytest.fixture(scope="module")
def autoencoder():
    return FITS["autoencoder"]()


def answers(estimator):
    if isinstance(estimator, FaceSwapper):
        return [estimator.transform(pixels()), estimator.swap(pixels(), "b")]
    rows = X if estimator.n_features_in_ == 4 else pixels()
    given = [LABELS] if getattr(estimator, "conditional", False) else []
    parts = [estimator.transform(rows, *given)]
    if isinstance(estimator, EncoderDecoderRegressor):
        return [*parts, estimator.predict(rows)]
    drawn = {"y": LABELS[:2]} if given else {}
    return [
        *parts,
        estimator.score_samples(rows, *given),
        estimator.sample(2, random_state=0, **drawn),
    ]


def test_loaded_estimator_answers_alike(fitted, tmp_path):
    sklearn_ae.save(fitted, tmp_path / "file")
    loaded = sklearn_ae.load(tmp_path / "file")
    assert type(loaded) is type(fitted)
    assert joblib.hash(answers(loaded)) == joblib.hash(answers(fitted))


def test_loaded_estimator_has_the_same_attributes(fitted, tmp_path):
    sklearn_ae.save(fitted, tmp_path / "file")
    assert vars(sklearn_ae.load(tmp_path / "file")).keys() == vars(fitted).keys()


def test_file_of_a_loaded_estimator_is_the_same(fitted, tmp_path):
    sklearn_ae.save(fitted, tmp_path / "file")
    sklearn_ae.save(sklearn_ae.load(tmp_path / "file"), tmp_path / "again")
    if callable(getattr(fitted, "encoder", None)):  # which the file has made a module
        pytest.skip("A class of the user's is not in the file.")
    assert (tmp_path / "file").read_bytes() == (tmp_path / "again").read_bytes()


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_file_of_a_second_fit_is_that_of_a_first(name, tmp_path):
    estimator = FITS[name]()
    sklearn_ae.save(estimator, tmp_path / "first")
    answers(estimator)  # some of which it remembers
    sklearn_ae.save(estimator.fit(X), tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_loaded_estimator_goes_on(autoencoder, tmp_path):
    sklearn_ae.save(autoencoder, tmp_path / "file")
    loaded = sklearn_ae.load(tmp_path / "file")
    loaded.set_params(warm_start=True, max_iter=4).fit(X)
    assert loaded.n_iter_ > autoencoder.n_iter_


FIT_ELSEWHERE = """
import sys
import warnings
import joblib
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
from test_files import FITS, X
import sklearn_ae
for name, fit in FITS.items():
    estimator = fit()
    sklearn_ae.save(estimator, f"{sys.argv[2]}/{name}")
    print(joblib.hash(estimator))
print(joblib.hash(sklearn_ae.AutoencoderDetector(FITS["autoencoder"]()).fit(X)))
"""


@pytest.fixture(scope="module")
def elsewhere(in_other_process, tmp_path_factory):
    """Hashes of the same fits in another process, and the folder of their files."""
    folder = tmp_path_factory.mktemp("elsewhere")
    output = in_other_process(FIT_ELSEWHERE, Path(__file__).parent, folder)
    return dict(zip([*FITS, "detector"], output.split(), strict=True)), folder


def test_equal_fits_have_equal_files_and_hashes(fitted, elsewhere, request, tmp_path):
    hashes, folder = elsewhere
    name = request.node.callspec.params["fitted"]
    if name == "layers":
        pytest.skip("The user's layers are drawn when they are made, from no seed.")
    assert joblib.hash(fitted) == hashes[name]
    sklearn_ae.save(fitted, tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == (folder / name).read_bytes()


def test_equal_fits_of_detectors_have_equal_hashes(elsewhere):
    detector = AutoencoderDetector(FITS["autoencoder"]()).fit(X)
    assert joblib.hash(detector) == elsewhere[0]["detector"]


def test_tables_of_several_kinds_come_back(tmp_path):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(
        {
            "length": X[:, 0],
            "count": np.arange(60) % 7,
            "is_wide": X[:, 1] > 3,
            "label": pd.Categorical(LABELS),
            "day": pd.date_range("2020-01-01", periods=60),
        }
    )
    fitted = AutoencoderTransformer(2, **QUICK).fit(table)
    sklearn_ae.save(fitted, tmp_path / "file")
    loaded = sklearn_ae.load(tmp_path / "file")
    Z = fitted.transform(table)
    assert_array_equal(loaded.transform(table), Z)
    given = loaded.inverse_transform(Z)
    pd.testing.assert_frame_equal(given, fitted.inverse_transform(Z))


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries_come_back_from_a_file(tmp_path, library):
    cells = {"length": X[:, 0], "label": LABELS, "is_wide": X[:, 1] > 3}
    module = pytest.importorskip(library)
    table = module.table(cells) if library == "pyarrow" else module.DataFrame(cells)
    fitted = AutoencoderTransformer(2, **QUICK).fit(table)
    sklearn_ae.save(fitted, tmp_path / "file")
    loaded = sklearn_ae.load(tmp_path / "file")
    Z = fitted.transform(table)
    assert loaded.inverse_transform(Z).equals(fitted.inverse_transform(Z))


# The user's own ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_own_network():
    return AutoencoderTransformer(2, encoder=UsersNetwork(), max_iter=1).fit(X)


@pytest.fixture
def path_of_own(with_own_network, tmp_path):
    sklearn_ae.save(with_own_network, tmp_path / "own")
    return tmp_path / "own"


def test_weights_of_own_networks_are_in_the_file(with_own_network, path_of_own):
    loaded = sklearn_ae.load(path_of_own, encoder=UsersNetwork())
    assert_array_equal(loaded.transform(X), with_own_network.transform(X))


def test_estimator_with_own_network_goes_on(path_of_own):
    loaded = sklearn_ae.load(path_of_own, encoder=UsersNetwork())
    loaded.set_params(warm_start=True, max_iter=2).fit(X)


def test_own_networks_are_asked_for(path_of_own):
    with pytest.raises(ValueError, match="give them as encoder="):
        sklearn_ae.load(path_of_own)


def test_own_networks_of_other_shapes_are_refused(path_of_own):
    with pytest.raises(ValueError, match="encoder does not fit"):
        sklearn_ae.load(path_of_own, encoder=nn.Linear(4, 3))


def test_networks_of_the_package_are_not_replaced(autoencoder, tmp_path):
    sklearn_ae.save(autoencoder, tmp_path / "file")
    with pytest.raises(ValueError, match="encoder= is for networks of your own"):
        sklearn_ae.load(tmp_path / "file", encoder=UsersNetwork())


def test_networks_are_modules(path_of_own):
    with pytest.raises(TypeError, match=r"encoder must be a torch.nn.Module"):
        sklearn_ae.load(path_of_own, encoder=UsersNetwork)


def test_what_a_file_cannot_hold_is_said(tmp_path):
    rng = np.random.RandomState(0)
    estimator = AutoencoderTransformer(2, random_state=rng, **QUICK).fit(X)
    sklearn_ae.save(estimator, tmp_path / "file")
    with pytest.warns(UserWarning, match="could not hold random_state"):
        loaded = sklearn_ae.load(tmp_path / "file")
    assert_array_equal(loaded.transform(X), estimator.transform(X))


# Other files --------------------------------------------------------------------------


def test_file_of_format_1_can_be_read():
    loaded = sklearn_ae.load(FILES / "autoencoder_format_1.safetensors")
    expected = [[-2.684126, 0.319397], [-2.714142, -0.177001]]
    assert_allclose(loaded.transform(X[:2]), expected, atol=1e-5)


def test_file_of_a_conditional_model_of_format_1_can_be_read():
    loaded = sklearn_ae.load(FILES / "conditional_vae_format_1.safetensors")
    expected = [[0.071718, 0.200643], [-3.618870, 3.551535]]
    assert_allclose(loaded.transform(X[:2], ["a", "b"]), expected, atol=1e-5)


def test_imputation_of_files_of_format_1_is_what_it_was():
    rows = X[:2].copy()
    rows[0, 2] = rows[1, 0] = rows[1, 3] = np.nan
    loaded = sklearn_ae.load(FILES / "autoencoder_format_1.safetensors")
    made = loaded.impute(rows)[[0, 1, 1], [2, 0, 3]]
    assert_allclose(made, [1.442615, 4.696402, 0.214345], atol=1e-5)
    loaded = sklearn_ae.load(FILES / "conditional_vae_format_1.safetensors")
    made = loaded.impute(rows, y=["a", "b"])[[0, 1, 1], [2, 0, 3]]
    assert_allclose(made, [1.498641, 4.069546, 0.785903], atol=1e-5)


def changed(path, change):
    arrays, text = read_tensor_file(path)
    content = json.loads(text)
    change(content)
    write_tensor_file(path, arrays, json.dumps(content))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(format="another"),
        lambda content: content.update(format_version=99),
        lambda content: content.update({"class": "load"}),
        lambda content: content.update({"class": ["a"]}),
        lambda content: content.update(state=[]),
        lambda content: content["state"].pop("module_"),
        lambda content: content["state"].update(n_components=-1),
        lambda content: content["state"].update(activation={}),
        lambda content: content["state"]["module_"].update({"class": "os._Environ"}),
        lambda content: content["state"]["module_"].update(parameters=3),
        lambda content: content["state"]["module_"]["children"].update(decoder=[]),
        lambda content: content["state"].update(n_iter_={"__sklearn_ae__": "array"}),
    ],
)
def test_files_with_other_content_are_refused(autoencoder, tmp_path, change):
    sklearn_ae.save(autoencoder, tmp_path / "file")
    path = changed(tmp_path / "file", change)
    with pytest.raises(ValueError, match=r"file' holds no estimator"):
        sklearn_ae.load(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=r"file' holds no estimator"):
        sklearn_ae.load(tmp_path / "file")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        sklearn_ae.load(tmp_path / "missing")


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(AutoencoderTransformer(2)),
        type("Subclass", (AutoencoderTransformer,), {})(2),
    ],
)
def test_other_estimators_are_not_saved(estimator, tmp_path):
    with pytest.raises(TypeError, match="save takes an estimator of sklearn_ae itself"):
        sklearn_ae.save(estimator, tmp_path / "file")


def test_unfitted_estimators_are_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        sklearn_ae.save(AutoencoderTransformer(2), tmp_path / "file")


def test_pickle_of_another_version_warns(autoencoder):
    state = autoencoder.__getstate__()
    state["_sklearn_ae_version"] = "0.0.1"
    loaded = AutoencoderTransformer()
    with pytest.warns(UserWarning, match=r"saved by version 0.0.1"):
        loaded.__setstate__(state)
    assert_array_equal(loaded.transform(X), autoencoder.transform(X))


def test_state_of_a_changed_file_is_refused(autoencoder):
    state = autoencoder.__getstate__()
    del state["module_"]["children"]
    with pytest.raises(ValueError, match="its AutoencoderTransformer makes no sense"):
        AutoencoderTransformer().__setstate__(state)
