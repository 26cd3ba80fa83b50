"""``python -m sklearn_ae faces`` on pictures of an astronaut, plain and in blue."""

import csv

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from sklearn_ae.__main__ import main
from sklearn_ae.faces import load_face_swapper, write_picture
from sklearn_ae.faces._crops import default_detector
from sklearn_ae.faces._pictures import read_picture

LIGHTS = {"plain": [1.0, 1.0, 1.0], "blue": [0.4, 0.6, 1.0]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders with three pictures each, whose faces are found at once."""
    root = tmp_path_factory.mktemp("pictures")
    head = astronaut()[:220, 100:350]
    for name, light in LIGHTS.items():
        (root / name).mkdir()
        for number in range(3):
            image = head[:, 5 * number :] * light
            write_picture(root / name / f"{number}.png", image.astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def model(folders, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.pt"
    assert train(folders, path) == 0
    return path


def run(*arguments):
    return main(["faces", *map(str, arguments)])


def train(folders, path, *more):
    options = ("--size", 16, "--width", 2, "--max-iter", 2, "--every", 1)
    return run(
        *("train", folders / "plain", folders / "blue", "--model", path),
        *(*options, *more),
    )


def test_extracted_faces_and_their_table(folders, tmp_path, capsys):
    output = tmp_path / "faces"
    assert run("extract", folders / "plain", output, "--size", 32) == 0
    assert "3 faces are in" in capsys.readouterr().out
    with (output / "faces.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["00000.png", "00001.png", "00002.png"]
    assert rows[0]["source"].endswith("0.png")
    for row in rows:
        assert read_picture(output / row["file"]).shape == (32, 32, 3)
        assert 70 < float(row["width"]) < 130
    # once more it would mix with what is there
    assert run("extract", folders / "plain", output) == 2
    assert "not empty" in capsys.readouterr().err


def test_training_writes_a_model_and_a_preview(folders, tmp_path, capsys):
    path, preview = tmp_path / "model.pt", tmp_path / "preview.png"
    assert train(folders, path, "--preview", preview) == 0
    printed = capsys.readouterr()
    assert "plain: 3 faces" in printed.out
    assert "note: Fewer than 25 pictures" in printed.out
    assert "2 epochs" in printed.out
    assert "2/2" in printed.err  # the progress bar
    swapper = load_face_swapper(path)
    assert swapper.classes_.tolist() == ["blue", "plain"]
    assert swapper.image_shape_ == (16, 16, 3)
    assert swapper.detector == default_detector()  # and so will photos be searched
    with Image.open(preview) as image:
        assert "Synthetic" in image.text["Description"]


def test_training_on_crops(folders, tmp_path):
    for name in LIGHTS:
        run("extract", folders / name, tmp_path / name, "--size", 16)
    assert train(tmp_path, tmp_path / "model.pt", "--crops") == 0
    assert train(tmp_path, tmp_path / "other.pt", "--crops", "--size", 32) == 2
    assert not (tmp_path / "other.pt").exists()


def test_models_are_neither_replaced_nor_made_up(folders, model, tmp_path, capsys):
    before = model.read_bytes()
    assert train(folders, model) == 2
    told = capsys.readouterr().err
    assert "is there already" in told
    assert "--resume" in told
    missing = tmp_path / "missing.pt"
    assert train(folders, missing, "--resume") == 2
    assert "There is no file" in capsys.readouterr().err
    assert not missing.exists()
    assert train(folders, model, "--resume") == 2  # its epochs are done
    assert "there is nothing left" in capsys.readouterr().err
    assert model.read_bytes() == before


def test_training_goes_on(folders, model, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(model.read_bytes())
    assert train(folders, path, "--resume", "--max-iter", 4) == 0
    assert load_face_swapper(path).n_iter_ == 4


def test_swapped_photo(folders, model, tmp_path):
    output = tmp_path / "swapped.png"
    photo = folders / "plain" / "0.png"
    assert run("swap", photo, "blue", "--model", model, "--output", output) == 0
    with Image.open(output) as swapped, Image.open(photo) as image:
        assert "Synthetic" in swapped.text["Description"]
        changed = (np.asarray(swapped) != np.asarray(image)).any(axis=2)
    assert 0.05 < changed.mean() < 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["green"], "There is no 'green' in the model; it knows ['blue', 'plain']"),
        (["blue", "--which", "best"], "--which must be"),
        (["blue", "--which", "7"], "which=7"),
        (["blue", "--output", "a.bmp"], "--output must end in"),
        (["blue", "--model", "missing.pt"], "There is no file 'missing.pt'"),
    ],
)
def test_problems_are_told_in_a_line(
    folders, model, tmp_path, capsys, arguments, message
):
    output = tmp_path / "swapped.png"
    given = {"--model": model, "--output": output}
    options = [
        item for pair in given.items() for item in pair if pair[0] not in arguments
    ]
    photo = folders / "plain" / "0.png"
    assert run("swap", photo, *arguments, *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m sklearn_ae faces: error: ")
    assert message in error
    assert not output.exists()


def test_photo_without_a_face(model, tmp_path, capsys):
    photo, output = tmp_path / "dark.png", tmp_path / "swapped.png"
    write_picture(photo, np.zeros((80, 80, 3)))
    options = ("blue", "--model", model, "--output", output)
    assert run("swap", photo, *options) == 2
    assert "No face was found" in capsys.readouterr().err
    assert not output.exists()
    assert run("swap", photo, *options, "--on-no-face", "unchanged") == 0
    assert run("swap", photo, *options) == 2
    assert "is there already" in capsys.readouterr().err


def test_video(model, tmp_path, capsys):
    pytest.importorskip("av")
    from sklearn_ae.faces._films import read_frames, write_video

    video, output = tmp_path / "in.mp4", tmp_path / "out.mp4"
    head = astronaut()[:220, 100:350]
    write_video(video, [head, head], rate=5)
    assert run("swap", video, "blue", "--model", model, "--output", output) == 0
    assert "2 frames" in capsys.readouterr().out
    assert len(list(read_frames(output))) == 2


@pytest.mark.parametrize("names", [["plain"], ["plain", "plain"], ["plain", "no_one"]])
def test_folders_of_two_people_are_needed(folders, names, tmp_path, capsys):
    path = tmp_path / "model.pt"
    assert run("train", *[folders / name for name in names], "--model", path) == 2
    assert "error" in capsys.readouterr().err
    assert not path.exists()
