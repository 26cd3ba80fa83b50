"""Two and three made-up people: discs that move, each with a spot of its own."""

import copy
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import EpochTimer

from sklearn_ae import AutoencoderTransformer, FaceSwapper
from sklearn_ae._inference import precision
from sklearn_ae.faces import Checkpoint, Preview

SIDE = 16
QUICK = {"width": 8, "max_iter": 30, "random_state": 0, "learning_rate_init": 3e-3}
QUICK |= {"focus": 0.0, "n_eigenfaces": 0}  # places are all over the pictures
BRIEF = {**QUICK, "width": 2, "max_iter": 2}  # where looks do not matter
LOOKS = {"ann": 0.9, "bob": 0.2, "cyd": 0.55}  # brightness of the spot


def draw_faces(name, n=40, seed=0):
    """Grey faces (n, 16, 16): a disc with a spot in it, and where it is."""
    rng = np.random.default_rng([seed, ord(name[0])])
    places = rng.uniform(5, 10, size=(n, 2))
    h, w = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(h - places[:, :1, None], w - places[:, 1:, None])
    disc, spot = (1 / (1 + np.exp(3 * (distance - radius))) for radius in (4.5, 1.8))
    return 0.1 + 0.6 * disc + (LOOKS[name] - 0.7) * spot, places


def people(*names, n=40, seed=0):
    X = np.concatenate([draw_faces(name, n, seed)[0] for name in names])
    return X, np.repeat(names, n)


@pytest.fixture(scope="module")
def fitted():
    X, y = people("ann", "bob")
    return FaceSwapper(**QUICK).fit(X, y)


def weights(swapper):
    return {k: v.numpy().copy() for k, v in swapper.module_.state_dict().items()}


def assert_same_weights(a, b):
    a, b = weights(a), weights(b)
    assert a.keys() == b.keys()
    for name in a:
        assert_array_equal(a[name], b[name])


def centre_of_disc(faces):
    """Where the faces are brighter than their surroundings."""
    h, w = np.mgrid[:SIDE, :SIDE]
    mass = np.clip(faces - 0.3, 0, None)
    total = mass.sum(axis=(1, 2))
    return (
        np.stack([(mass * h).sum((1, 2)), (mass * w).sum((1, 2))], axis=1)
        / (total[:, None])
    )


# Swapping -----------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), [("ann", "bob"), ("bob", "ann")])
def test_swap_looks_like_the_target_where_the_source_is(fitted, source, target):
    X, places = draw_faces(source, seed=1)  # not those of the training
    swapped = fitted.swap(X, target)
    looks = [
        face[round(h), round(w)] for face, (h, w) in zip(swapped, places, strict=True)
    ]
    middle = (LOOKS["ann"] + LOOKS["bob"]) / 2
    assert np.mean((np.array(looks) > middle) == (target == "ann")) > 0.9
    found = centre_of_disc(swapped)
    for axis in (0, 1):
        assert np.corrcoef(found[:, axis], places[:, axis])[0, 1] > 0.8


def test_reconstruction_of_held_out_faces(fitted):
    X, y = people("ann", "bob", seed=1)
    back = fitted.reconstruct(X, y)
    assert back.shape == X.shape
    by_mean = np.abs(X - X.mean(axis=0)).mean()
    assert np.abs(back - X).mean() < 0.5 * by_mean
    assert fitted.score(X, y) == pytest.approx(-np.abs(back - X).mean())


def test_swap_is_decode_of_encode(fitted):
    X, _ = people("ann", "bob", seed=1)
    Z = fitted.transform(X)
    assert Z.shape == (80, 64)
    assert_allclose(fitted.inverse_transform(Z, "bob"), fitted.swap(X, "bob"))


def test_each_face_may_have_its_own_target(fitted):
    X, _ = people("ann", "bob", n=3)
    targets = ["bob", "ann", "ann", "bob", "ann", "bob"]
    mixed = fitted.swap(X, targets)
    for face, target, x in zip(mixed, targets, X, strict=True):
        assert_allclose(face, fitted.swap(x[None], target)[0], atol=1e-12)


def test_three_identities():
    X, y = people("ann", "bob", "cyd", n=30)
    swapper = FaceSwapper(**BRIEF).fit(X, y)
    assert swapper.classes_.tolist() == ["ann", "bob", "cyd"]
    assert len(swapper.module_.decoders) == 3
    assert swapper.identity_loss_curves_.keys() == {"ann", "bob", "cyd"}
    assert swapper.swap(X, "cyd").shape == X.shape


# Shapes and types ---------------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [1, 3])
def test_rows_and_pictures_are_the_same_faces(n_channels):
    rng = np.random.default_rng(0)
    X = rng.random((50, 8, 8, n_channels))
    y = np.repeat([3, 7], 25)
    params = {**QUICK, "max_iter": 1, "width": 2}
    of_pictures = FaceSwapper(**params).fit(X, y)
    assert of_pictures.n_features_in_ == 64 * n_channels
    rows = X.reshape(50, -1)
    of_rows = FaceSwapper(**params).fit(rows, y)
    assert of_rows.image_shape_ == of_pictures.image_shape_ == (8, 8, n_channels)
    assert_same_weights(of_pictures, of_rows)
    swapped = of_rows.swap(rows, 7)
    assert swapped.shape == rows.shape
    assert_array_equal(of_pictures.swap(X, 7).reshape(50, -1), swapped)
    assert_array_equal(of_pictures.swap(rows, 7), swapped)
    Z = of_rows.transform(rows)
    assert of_rows.inverse_transform(Z, 3).shape == rows.shape
    layout = X.shape if n_channels == 3 else X.shape[:3]
    assert of_pictures.inverse_transform(Z, 3).shape == layout


def test_uint8_counts_to_255():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, size=(50, 8, 8), dtype=np.uint8)
    y = np.repeat([0, 1], 25)
    params = {**QUICK, "max_iter": 2, "width": 2}
    of_bytes = FaceSwapper(**params).fit(X, y)
    of_floats = FaceSwapper(**params).fit((X / 255).astype(np.float32), y)
    for a, b in zip(
        weights(of_bytes).values(), weights(of_floats).values(), strict=True
    ):
        assert_allclose(a, b, atol=1e-5)
    swapped = of_bytes.swap(X, 0)
    assert swapped.dtype == np.float32
    assert_allclose(swapped, of_bytes.swap((X / 255).astype(np.float32), 0), atol=1e-6)
    assert of_bytes.score(X, y) == pytest.approx(of_bytes.score(X / 255, y), abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_keep_their_precision(fitted, dtype):
    X = draw_faces("ann", n=2)[0].astype(dtype)
    assert fitted.swap(X, "ann").dtype == dtype
    assert fitted.transform(X).dtype == dtype


def test_image_shape_of_rows_that_are_no_squares():
    X = np.random.default_rng(0).random((50, 8 * 16 * 3))
    y = np.repeat([0, 1], 25)
    with pytest.raises(ValueError, match="give image_shape"):
        FaceSwapper().fit(X, y)
    swapper = FaceSwapper(image_shape=(8, 16, 3), max_iter=1, width=2).fit(X, y)
    assert swapper.image_shape_ == (8, 16, 3)


# Going on -----------------------------------------------------------------------------


def test_warm_start_goes_on_to_the_weights_of_one_training():
    X, y = people("ann", "bob", n=25)
    params = {**BRIEF, "max_iter": 6}
    at_once = FaceSwapper(**params).fit(X, y)

    stopped = FaceSwapper(**params, callbacks=[lambda swapper, epoch: epoch == 2])
    stopped.fit(X, y)
    assert stopped.n_iter_ == 2
    stopped.set_params(callbacks=None, warm_start=True).fit(X, y)
    assert stopped.n_iter_ == 6
    assert stopped.loss_curve_ == at_once.loss_curve_
    assert stopped.identity_loss_curves_ == at_once.identity_loss_curves_
    assert_same_weights(stopped, at_once)


def test_warm_start_without_an_epoch_left_is_told():
    X, y = people("ann", "bob", n=25)
    swapper = FaceSwapper(**BRIEF, early_stopping=True)
    swapper.fit(X, y)
    before = weights(swapper)
    with pytest.warns(ConvergenceWarning, match="have had max_iter=2 epochs"):
        swapper.set_params(warm_start=True).fit(X, y)
    for name, value in weights(swapper).items():
        assert_array_equal(value, before[name])
    swapper.set_params(max_iter=3).fit(X, y)
    assert len(swapper.validation_loss_curve_) == 3


def test_partial_fit_learns():
    X, y = people("ann", "bob", n=25)
    swapper = FaceSwapper(**{**QUICK, "width": 4})
    for _ in range(8):
        swapper.partial_fit(X, y)
    assert swapper.n_iter_ == 8
    assert swapper.loss_curve_[-1] < 0.8 * swapper.loss_curve_[0]


def test_partial_fit_takes_one_identity_at_a_time():
    X, y = people("ann", "bob", n=25)
    swapper = FaceSwapper(**BRIEF)
    swapper.partial_fit(X[:25], y[:25], classes=["ann", "bob"])
    before = weights(swapper)
    swapper.partial_fit(X[25:], y[25:])
    after = weights(swapper)
    for name in before:
        is_anns = name.startswith("decoders.0")
        assert np.array_equal(before[name], after[name]) == is_anns
    assert [len(c) for c in swapper.identity_loss_curves_.values()] == [1, 1]


def test_added_identity_leaves_the_others_as_they_are(fitted):
    swapper = pickle.loads(pickle.dumps(fitted))
    X_new, _ = draw_faces("cyd", 40)
    X, _ = people("ann", "bob", seed=1)
    before = swapper.swap(X, "ann")
    swapper.add_identity(X_new, "cyd", max_iter=20)
    assert swapper.classes_.tolist() == ["ann", "bob", "cyd"]
    assert_array_equal(swapper.swap(X, "ann"), before)
    X_test, _ = draw_faces("cyd", seed=1)
    errors = [np.abs(swapper.swap(X_test, name) - X_test).mean() for name in LOOKS]
    assert errors[2] < 0.7 * min(errors[:2])
    assert len(swapper.identity_loss_curves_["cyd"]) == 20
    assert swapper.n_iter_ == fitted.n_iter_
    # and the network can be trained as a whole again
    swapper.partial_fit(*people("ann", "bob", "cyd"))


def test_early_stopping_keeps_the_best_epoch():
    X, y = people("ann", "bob", n=30)
    swapper = FaceSwapper(**QUICK, early_stopping=True, n_iter_no_change=2, tol=0.2)
    swapper.fit(X, y)
    curve = swapper.validation_loss_curve_
    assert len(curve) == swapper.n_iter_ < QUICK["max_iter"]
    assert swapper.best_iter_ == 1 + int(np.argmin(curve))


def test_losses_fall_for_every_identity(fitted):
    for curve in fitted.identity_loss_curves_.values():
        assert len(curve) == fitted.n_iter_ == 30
        assert curve[-1] < 0.5 * curve[0]
    means = np.mean(list(fitted.identity_loss_curves_.values()), axis=0)
    assert_allclose(means, fitted.loss_curve_)


def test_identities_count_alike_however_many_pictures_there_are():
    X_many, _ = draw_faces("ann", 100)
    X_few, _ = draw_faces("bob", 25)
    seen = []

    class Counting(torch.nn.Module):
        def forward(self, x, generator):
            return x, x

    swapper = FaceSwapper(**{**BRIEF, "max_iter": 1, "batch_size": 10})
    swapper._augmentation = Counting
    original = swapper._make_network

    def make_network(known):
        network = original(known)
        make = network.seen_and_made
        network.seen_and_made = lambda parts, generator: (
            seen.append({i: len(x) for i, x in parts}) or make(parts, generator)
        )
        return network

    swapper._make_network = make_network
    swapper.fit(np.concatenate([X_many, X_few]), np.repeat(["ann", "bob"], [100, 25]))
    assert seen == [{0: 10, 1: 10}] * 10


# Determinism --------------------------------------------------------------------------


def test_same_seed_same_bits_and_other_generators_are_left_alone():
    X, y = people("ann", "bob", n=25)
    params = BRIEF
    torch.manual_seed(11)
    state = torch.get_rng_state()
    np_state = np.random.get_state()[1].copy()  # noqa: NPY002 - that it is left alone
    first = FaceSwapper(**params).fit(X, y)
    assert_array_equal(torch.get_rng_state(), state)
    assert_array_equal(np.random.get_state()[1], np_state)  # noqa: NPY002
    torch.manual_seed(12)
    second = clone(first).fit(X, y)
    assert_same_weights(first, second)
    other = FaceSwapper(**{**params, "random_state": 1}).fit(X, y)
    assert other.loss_curve_ != first.loss_curve_
    assert_array_equal(first.sample(3, "bob"), second.sample(3, "bob"))


def test_same_bits_in_a_new_process(in_other_process):
    code = (
        "import numpy as np\n"
        "from sklearn_ae import FaceSwapper\n"
        "X = np.random.default_rng(0).random((50, 8, 8))\n"
        "swapper = FaceSwapper(width=2, max_iter=2, random_state=0)\n"
        "Z = swapper.fit_transform(X, np.repeat([0, 1], 25))\n"
        "print(Z.tobytes().hex())"
    )
    X = np.random.default_rng(0).random((50, 8, 8))
    swapper = FaceSwapper(width=2, max_iter=2, random_state=0)
    Z = swapper.fit_transform(X, np.repeat([0, 1], 25))
    assert in_other_process(code).strip() == Z.tobytes().hex()


def test_fit_works_inside_no_grad():
    X, y = people("ann", "bob", n=25)
    with torch.inference_mode():
        swapper = FaceSwapper(**BRIEF).fit(X, y)
    assert swapper.loss_curve_[1] < swapper.loss_curve_[0]


def test_samples_are_faces_in_range(fitted):
    faces = fitted.sample(5, "bob", random_state=3)
    assert faces.shape == (5, SIDE, SIDE)
    assert faces.min() >= 0
    assert faces.max() <= 1
    assert np.ptp(faces, axis=0).max() > 0.05  # not one face five times
    assert_array_equal(faces, fitted.sample(5, "bob", random_state=3))


def test_pickle(fitted):
    X, _ = people("ann", n=3)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(loaded.swap(X, "bob"), fitted.swap(X, "bob"))
    assert loaded._moments is None


def test_grid_search():
    X, y = people("ann", "bob", n=80)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(X))
    search = GridSearchCV(FaceSwapper(**BRIEF), {"ssim_weight": [0.0, 0.5]}, cv=2).fit(
        X[order], y[order]
    )
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# Double precision ---------------------------------------------------------------------


def test_one_copy_in_double_precision_serves_until_the_weights_change(
    fitted, monkeypatch
):
    X, _ = draw_faces("ann", n=3)
    swapper = pickle.loads(pickle.dumps(fitted))
    copies = []

    def counted(module):
        copies.append(module)
        return copy.deepcopy(module)

    monkeypatch.setattr(precision, "copy", SimpleNamespace(deepcopy=counted))

    swapper.swap(X.astype(np.float32), "bob")
    assert not copies
    before = swapper.swap(X, "bob")
    assert_array_equal(swapper.swap(X, "bob"), before)
    swapper.transform(X)
    assert copies == [swapper.module_]
    with torch.no_grad():
        swapper.module_.encoder[0].weight.mul_(1.5)
    after = swapper.swap(X, "bob")
    assert np.abs(after - before).max() > 1e-3
    assert len(copies) == 2
    swapper.partial_fit(*people("ann", "bob", n=25))
    assert np.abs(swapper.swap(X, "bob") - after).max() > 1e-5
    assert copies[-1] is swapper.module_


def test_callbacks_see_the_weights_of_their_epoch_in_double_precision():
    X, y = people("ann", "bob", n=25)
    differences = []

    def look(swapper, epoch):
        exact, single = (swapper.swap(x, "bob") for x in (X, X.astype(np.float32)))
        differences.append(np.abs(exact - single).max())

    FaceSwapper(**{**BRIEF, "max_iter": 3}, callbacks=[look]).fit(X, y)
    assert len(differences) == 3
    assert max(differences) < 1e-4


# Errors -------------------------------------------------------------------------------


def bad_fits():
    X, y = people("ann", "bob", n=25)
    with_nan = X.copy()
    with_nan[3, 2, 1] = np.nan
    yield "no y", X, None, "requires y"
    yield "one identity", X[:25], y[:25], "at least two identities.*ann"
    yield "one picture", X[:26], y[:26], r"one picture.*\['bob'\]"
    yield "nan", with_nan, y, "NaN"
    yield "range", 255 * X, y, r"\[0, 1\].*Divide"
    yield "negative", X - 1, y, r"\[0, 1\]"
    yield "side", X[:, :15, :15], y, "halve.*15 x 15"
    yield "large side", np.zeros((50, 36, 36)), y, "halves to 9 x 9"
    yield "channels", np.zeros((50, 8, 8, 2)), y, "got 2 channels"
    yield "lengths", X, y[:-1], "inconsistent numbers"
    yield "dimensions", X[None, None], y, "must be faces of shape"
    yield "empty", X[:0], y[:0], "no faces"


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [case[1:] for case in bad_fits()],
    ids=[case[0] for case in bad_fits()],
)
def test_bad_input_says_what_is_wrong_and_changes_nothing(fitted, X, y, message):
    swapper = pickle.loads(pickle.dumps(fitted))
    before = swapper.__dict__.copy()
    with pytest.raises(ValueError, match=message):
        swapper.fit(X, y)
    assert swapper.__dict__ == before
    with pytest.raises(ValueError, match=message):
        clone(fitted).fit(X, y)


def test_few_pictures_are_warned_of():
    X, y = people("ann", "bob", n=25)
    with pytest.warns(UserWarning, match="25 pictures of {'bob': 24}"):
        FaceSwapper(**{**BRIEF, "max_iter": 1}).fit(X[:-1], y[:-1])


@pytest.mark.parametrize("method", ["swap", "reconstruct"])
def test_unknown_target_lists_the_known(fitted, method):
    X, _ = people("ann", n=2)
    with pytest.raises(ValueError, match=r"'eve'; classes_ holds \['ann', 'bob'\]"):
        getattr(fitted, method)(X, "eve")
    with pytest.raises(ValueError, match="one for each of 2 faces"):
        getattr(fitted, method)(X, ["ann", "bob", "ann"])


def test_other_shapes_than_the_fitted(fitted):
    with pytest.raises(ValueError, match=r"\(16, 16, 1\).*\(16, 16, 3\)"):
        fitted.swap(np.zeros((2, 16, 16, 3)), "ann")
    with pytest.raises(ValueError, match=r"\(8, 32, 1\)"):
        fitted.swap(np.zeros((2, 8, 32)), "ann")
    with pytest.raises(ValueError, match="columns"):
        fitted.inverse_transform(np.zeros((2, 5)), "ann")


def test_unknown_identities_when_going_on(fitted):
    swapper = pickle.loads(pickle.dumps(fitted)).set_params(warm_start=True)
    for method in (swapper.fit, swapper.partial_fit):
        with pytest.raises(ValueError, match=r"cyd.*add_identity"):
            method(*people("ann", "cyd", n=25))
    with pytest.raises(ValueError, match="cannot go on with width=4"):
        swapper.set_params(width=4, max_iter=31).fit(*people("ann", "bob"))


def test_bad_names_of_added_identities(fitted):
    swapper = pickle.loads(pickle.dumps(fitted))
    X, _ = draw_faces("cyd")
    with pytest.raises(ValueError, match="already"):
        swapper.add_identity(X, "ann")
    with pytest.raises(TypeError, match="name must be of the type"):
        swapper.add_identity(X, 5)


@pytest.mark.parametrize(
    "callback", ["no", EpochTimer(), EpochTimer, ("timer", EpochTimer()), Checkpoint]
)
def test_callbacks_are_callables_and_not_those_of_skorch(callback):
    with pytest.raises(TypeError, match=r"must be callables.*skorch are for.*tables"):
        FaceSwapper(callbacks=[callback]).fit(*people("ann", "bob"))


def test_callbacks_of_faces_are_refused_by_estimators_of_tables():
    X = np.random.default_rng(0).random((50, 4))
    for callback in (print, lambda swapper, epoch: True, Preview("p.png", X, X)):
        with pytest.raises(TypeError, match=r"must be skorch.*callbacks of FaceSw"):
            AutoencoderTransformer(2, callbacks=[callback]).fit(X)


def test_diverging_fit_raises_with_advice(fitted):
    X, y = people("ann", "bob", n=25)
    swapper = pickle.loads(pickle.dumps(fitted))
    before = swapper.__dict__.copy()
    with pytest.raises(ValueError, match="Lower learning_rate_init"):
        swapper.set_params(learning_rate_init=1e38, max_iter=3).fit(X, y)
    assert swapper.module_ is before["module_"]


def test_interrupted_fit_leaves_the_estimator_as_it_was(fitted):
    swapper = pickle.loads(pickle.dumps(fitted))

    def interrupt(estimator, epoch):
        assert estimator is swapper
        assert estimator.n_iter_ == epoch
        estimator.swap(people("ann", n=2)[0], "bob")  # it is whole
        raise KeyboardInterrupt

    swapper.set_params(callbacks=[interrupt])
    before = swapper.__dict__.copy()
    with pytest.raises(KeyboardInterrupt):
        swapper.fit(*people("ann", "bob"))
    assert swapper.__dict__ == before


def test_y_of_a_column_is_warned_of():
    X, y = people("ann", "bob", n=25)
    with pytest.warns(match="column-vector y"):
        FaceSwapper(**{**BRIEF, "max_iter": 1}).fit(X, y[:, None])


def test_nothing_warns_where_all_is_well():
    X, y = people("ann", "bob", n=25)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FaceSwapper(**{**BRIEF, "max_iter": 1}).fit(X, y)


@pytest.mark.parametrize("method", ["transform", "fit_transform"])
def test_set_output_rules_every_method_that_gives_latents(method):
    X, y = people("ann", "bob")
    swapper = FaceSwapper(**{**BRIEF, "max_iter": 1}).set_output(transform="pandas")
    swapper.fit(X, y)
    Z = getattr(swapper, method)(*((X, y) if method == "fit_transform" else (X,)))
    assert list(Z.columns) == list(swapper.get_feature_names_out())


# Photos -------------------------------------------------------------------------------


def test_photos_are_searched_by_the_models_detector(fitted):
    seen = []

    def detector(image):
        seen.append(image.shape)
        return [[10, 10, 30, 30]]

    swapper = copy.deepcopy(fitted).set_params(detector=detector)
    photo = np.full((60, 50), 0.5)
    swapper.swap_photo(photo, "ann")
    list(swapper.swap_video([photo], "ann"))
    assert seen == [(60, 50)] * 2
    swapper.swap_photo(photo, "ann", detector=lambda image: [[5, 5, 30, 30]])
    assert len(seen) == 2


def test_what_is_replaced_is_judged_by_the_decoder_that_knows_it_best(fitted):
    X, y = people("ann", "bob", n=6, seed=2)
    made = fitted._reconstruct_nearest(X)
    assert_allclose(made, fitted.reconstruct(X, y), rtol=1e-12)  # of other batches


def test_a_training_goes_on_with_the_layers_it_had(fitted):
    for change in ({"n_blocks": 2}, {"adversarial_weight": 0.1}):
        changes = {"max_iter": 31} | change
        swapper = copy.deepcopy(fitted).set_params(warm_start=True, **changes)
        with pytest.raises(ValueError, match="cannot go on with"):
            swapper.fit(*people("ann", "bob"))


def test_a_critic_is_learned_with_the_faces_and_their_training_goes_on():
    X, y = people("ann", "bob", n=25)
    params = BRIEF | {"max_iter": 3, "batch_size": 4, "adversarial_weight": 0.05}
    whole = FaceSwapper(**params).fit(X, y)
    stop = lambda swapper, epoch: epoch == 2  # noqa: E731
    half = FaceSwapper(**params, callbacks=[stop]).fit(X, y)
    critic = half.module_.critic.state_dict()
    assert half.n_iter_ == 2  # the critic has looked
    half.set_params(warm_start=True, callbacks=None).fit(X, y)
    assert_same_weights(half, whole)
    after = half.module_.critic.state_dict()
    changed = [
        not torch.equal(after[name], critic[name])
        for name in critic
        if name.endswith("weight")
    ]
    assert all(changed)
    # A new person's decoder is learned without it, and all go on with it.
    half.add_identity(draw_faces("cyd", 25)[0], "cyd", max_iter=1)
    X, y = people("ann", "bob", "cyd", n=25)
    half.set_params(max_iter=4).fit(X, y)
    assert half.classes_.tolist() == ["ann", "bob", "cyd"]
    pickle.loads(pickle.dumps(half)).swap(X[:2], "cyd")


def test_the_original_layers_can_be_had():
    X, y = people("ann", "bob", n=25)
    plain = {"n_blocks": 0, "gradient_weight": 0}
    swapper = FaceSwapper(**BRIEF | plain).fit(X, y)
    assert swapper.module_.critic is None
    assert not any("Residual" in type(m).__name__ for m in swapper.module_.modules())
