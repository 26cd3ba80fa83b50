import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sklearn_ae import FaceSwapper
from sklearn_ae._training import checkpoints
from sklearn_ae._training.checkpoints import CheckpointFile
from sklearn_ae.faces import (
    Checkpoint,
    load_face_swapper,
    resume_training,
    save_face_swapper,
)

# Of the file of version 0.1.0, by that version.
FACE_ROW = [0.522975, 0.514162, 0.501605, 0.519957, 0.519461, 0.521318, 0.522341]
FACE_ROW += [0.519789]
# Of the file without eigenfaces, by the commit before there were any.
ROW_WITHOUT = [0.496979, 0.497751, 0.498388, 0.498675, 0.499184, 0.497853, 0.497961]
ROW_WITHOUT += [0.498057]


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(0)
    return rng.random((50, 8, 8, 3)), np.repeat(["ann", "bob"], 25)


@pytest.fixture(scope="module")
def fitted(faces):
    return FaceSwapper(3, width=2, max_iter=3, random_state=0).fit(*faces)


def quick(**params):
    return FaceSwapper(3, width=2, max_iter=6, random_state=0, **params)


def test_file_holds_the_whole_estimator(fitted, faces, tmp_path):
    save_face_swapper(fitted, tmp_path / "swapper.pt")
    loaded = load_face_swapper(tmp_path / "swapper.pt")
    assert loaded.get_params() == fitted.get_params()
    for name, value in vars(fitted).items():
        if name.endswith("_") and name != "module_":
            assert_array_equal(getattr(loaded, name), value, err_msg=name)
    assert_array_equal(loaded.swap(faces[0], "ann"), fitted.swap(faces[0], "ann"))
    assert_array_equal(loaded.sample(3, "bob"), fitted.sample(3, "bob"))
    # and it can be trained on, and written as a pickle
    pickle.loads(pickle.dumps(loaded)).partial_fit(*faces)


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_the_first_format_load_as_they_were(faces, tmp_path, version):
    # Those had neither the parameters nor the layers that came later.
    first = {"n_blocks": 0, "gradient_weight": 0, "focus": 0, "adversarial_weight": 0}
    first |= {"n_eigenfaces": 0}
    swapper = quick(**first).fit(*faces)
    path = tmp_path / "first.pt"
    params = swapper.get_params()
    for name in (*first, "detector", "callbacks", "device"):
        del params[name]
    numbers = ("n_features_in_", "n_components_", "n_iter_", "best_iter_", "_seed")
    curves = ("loss_curve_", "identity_loss_curves_", "validation_loss_curve_")
    content = {
        "format": "sklearn_ae.FaceSwapper",
        "version": version,
        "params": params,
        "classes": swapper.classes_.tolist(),
        "image_shape": tuple(swapper.image_shape_),
        "layout": tuple(swapper._layout),
        "numbers": {name: int(getattr(swapper, name)) for name in numbers},
        "curves": {name: getattr(swapper, name) for name in curves},
        "error": swapper.reconstruction_err_,
        "network": swapper.module_.state_dict(),
        "moments": swapper._moments,
        "latents": None,
    }
    torch.save(content, path)
    loaded = load_face_swapper(path)
    assert loaded.detector == "lbp"
    assert_array_equal(loaded.swap(faces[0], "ann"), swapper.swap(faces[0], "ann"))
    assert resume_training(path, *faces, max_iter=7).n_iter_ == 7


def test_loading_runs_no_code(tmp_path):
    class Harmful:
        def __reduce__(self):
            return open, (str(tmp_path / "harm"), "w")

    torch.save({"format": Harmful()}, tmp_path / "harmful.pt")
    with pytest.raises(ValueError, match="holds no FaceSwapper"):
        load_face_swapper(tmp_path / "harmful.pt")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"no torch file", pickle.dumps([1, 2])])
def test_other_files(content, tmp_path):
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"other.pt' holds no FaceSwapper"):
        load_face_swapper(path)
    assert path.read_bytes() == content


def test_files_of_a_later_release(fitted, tmp_path):
    path = tmp_path / "later.pt"
    torch.save({"format": "sklearn_ae.FaceSwapper", "version": 99}, path)
    with pytest.raises(ValueError, match="version 99"):
        load_face_swapper(path)


def test_file_is_written_whole_or_not_at_all(fitted, tmp_path, monkeypatch):
    path = tmp_path / "swapper.pt"
    save_face_swapper(fitted, path)
    before = path.read_bytes()

    def break_off(source, target):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", break_off)
    with pytest.raises(OSError, match="no space left"):
        save_face_swapper(fitted, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("seed", [0, None])
def test_resumed_training_reaches_the_weights_of_an_uninterrupted_one(
    faces, tmp_path, seed
):
    path = tmp_path / "training.pt"
    whole_path = tmp_path / "whole.pt"

    def interrupt(swapper, epoch):
        if epoch == 5:
            raise KeyboardInterrupt

    # The first run goes on undisturbed and keeps its state of epoch 4 as well.
    class Twice(Checkpoint):
        def __call__(self, swapper, epoch):
            if epoch == 4:
                super().__call__(swapper, epoch)

    whole = quick(callbacks=[Twice(whole_path, every=4)]).set_params(random_state=seed)
    whole.fit(*faces)
    resumed = resume_training(whole_path, *faces)
    assert resumed.n_iter_ == 6
    assert resumed.loss_curve_ == whole.loss_curve_
    for a, b in zip(
        resumed.module_.parameters(), whole.module_.parameters(), strict=True
    ):
        assert torch.equal(a, b)

    stopped = quick(callbacks=[Checkpoint(path, every=2), interrupt])
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(*faces)
    assert not hasattr(stopped, "module_")
    assert load_face_swapper(path).n_iter_ == 4
    assert resume_training(path, *faces).n_iter_ == 6
    assert load_face_swapper(path).n_iter_ == 6


def test_fit_that_was_killed_goes_on_to_the_same_bits(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(checkpoints, "COST_BETWEEN", 0.0)
    whole = quick(early_stopping=True).fit(*faces)
    swapper = quick(early_stopping=True, checkpoint=tmp_path / "fit.safetensors")
    write, n_writings = CheckpointFile.write, 0

    def write_and_end(self):
        nonlocal n_writings
        write(self)
        n_writings += 1
        if n_writings in (27, 35):  # after the seventh step of an epoch, and so on
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointFile, "write", write_and_end)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                swapper.fit(*faces)
    swapper.fit(*faces)
    assert swapper.identity_loss_curves_ == whole.identity_loss_curves_
    assert swapper.validation_loss_curve_ == whole.validation_loss_curve_
    assert_array_equal(swapper.swap(faces[0], "ann"), whole.swap(faces[0], "ann"))
    again = swapper.fit(*faces)  # with nothing left to do
    assert pickle.dumps(again) == pickle.dumps(whole)
    with pytest.raises(ValueError, match="of another fit: digest of cells of X was"):
        swapper.fit(faces[0][::-1], faces[1])


def test_resuming_from_nothing_trains_nothing(faces, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        resume_training(tmp_path / "missing.pt", *faces)
    assert not list(tmp_path.iterdir())


def test_resuming_with_other_faces_leaves_the_file(fitted, faces, tmp_path):
    path = tmp_path / "training.pt"
    fitted = pickle.loads(pickle.dumps(fitted)).set_params(max_iter=6)
    save_face_swapper(fitted, path)
    before = path.read_bytes()
    X, y = faces
    bad = [
        (X, np.where(y == "ann", "eve", y), "eve"),
        (X[:25], y[:25], "identities"),
        (np.zeros((50, 16, 16, 3)), y, r"\(8, 8, 3\)"),
        (2 * X, y, r"\[0, 1\]"),
    ]
    for X_bad, y_bad, message in bad:
        with pytest.raises(ValueError, match=message):
            resume_training(path, X_bad, y_bad)
        assert path.read_bytes() == before
    with pytest.raises(ValueError, match="nothing left"):
        resume_training(path, X, y, max_iter=3)


def test_checkpoints_do_not_replace_files_unasked(faces, tmp_path):
    path = tmp_path / "precious.pt"
    path.write_text("years of work")
    with pytest.raises(FileExistsError, match="is there already"):
        Checkpoint(path)
    assert path.read_text() == "years of work"
    quick(callbacks=[Checkpoint(path, overwrite=True)]).fit(*faces)
    assert load_face_swapper(path).n_iter_ == 6


def test_file_of_version_0_1_0_can_be_read():
    path = Path(__file__).parents[1] / "files" / "face_swapper_format_0.pt"
    X = np.linspace(0, 1, 8 * 8 * 8).reshape(8, 8, 8)
    swapper = load_face_swapper(path)
    assert swapper.classes_.tolist() == ["a", "b"]
    np.testing.assert_allclose(swapper.swap(X[:1], "b")[0, 0], FACE_ROW, atol=1e-5)


def test_file_of_before_there_were_eigenfaces_can_be_read_and_resumed(tmp_path):
    path = Path(__file__).parents[1] / "files" / "face_swapper_format_1.safetensors"
    X = np.linspace(0, 1, 8 * 8 * 8).reshape(8, 8, 8)
    swapper = load_face_swapper(path)
    np.testing.assert_allclose(swapper.swap(X[:1], "b")[0, 0], ROW_WITHOUT, atol=1e-5)
    assert swapper.n_eigenfaces == 0
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    y = np.repeat(["a", "b"], 25)
    X = np.random.default_rng(0).random((50, 8, 8))
    assert resume_training(copy, X, y, max_iter=3).n_iter_ == 3
