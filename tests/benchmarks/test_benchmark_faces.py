import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import faces as benchmark


def draw(n, bright, seed=0):
    """Faces (n, 64, 64, 3): a bar across that is bright or dark, light from a side."""
    rng = np.random.default_rng(seed)
    light = rng.uniform(-0.2, 0.2, size=(n, 1, 1)) * np.linspace(-1, 1, 64)
    face = 0.5 + np.zeros((n, 64, 64)) + light
    face[:, 24:34] += 0.25 if bright else -0.25
    noise = 0.02 * rng.standard_normal(face.shape)
    return np.clip(face + noise, 0, 1)[..., None].repeat(3, axis=3).astype(np.float32)


def test_probe_tells_who_is_seen():
    probe = benchmark.fit_probe([draw(60, True), draw(60, False)], ["ann", "bob"])
    for bright, name in ((True, "ann"), (False, "bob")):
        called = probe.predict(benchmark.tight_grey(draw(20, bright, seed=1)))
        assert (called == name).mean() > 0.95


def test_probe_sees_nothing_outside_of_the_middle():
    faces = draw(3, True)
    framed = faces.copy()
    framed[:, :5] = framed[:, -5:] = framed[:, :, :5] = framed[:, :, -5:] = 0.0
    np.testing.assert_array_equal(
        benchmark.tight_grey(faces), benchmark.tight_grey(framed)
    )


def test_tight_rows_do_not_know_brightness_and_contrast():
    faces = draw(3, True)
    darker = 0.5 * faces + 0.1
    rows = benchmark.tight_grey(faces)
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(rows.std(axis=1), 1)
    difference = rows - benchmark.tight_grey(darker)
    assert np.abs(difference).mean() < 0.03  # rounding to 255 levels


def test_shading_is_light_rather_than_detail():
    faces = draw(20, True)
    rows = benchmark.shading(faces)
    assert rows.shape == (20, 64)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    rng = np.random.default_rng(1)
    grainy = faces + 0.1 * rng.standard_normal(faces.shape).astype(np.float32)
    same = (rows * benchmark.shading(grainy)).sum(axis=1)
    assert same.min() > 0.98
    mirrored = (rows * benchmark.shading(faces[:, :, ::-1])).sum(axis=1)
    assert mirrored.mean() < same.min() - 0.1


def test_sharpness_of_a_blurred_face_is_less():
    faces = draw(5, True)
    blurred = (faces + np.roll(faces, 1, axis=1) + np.roll(faces, 1, axis=2)) / 3
    assert benchmark.sharpness(blurred) < 0.8 * benchmark.sharpness(faces)


@pytest.fixture
def lfw(tmp_path):
    """A folder as LFW has it, with pictures of 250 x 250 pixels."""
    for name, bright, n in (("Ann", True, 35), ("Bob", False, 30)):
        (tmp_path / "lfw" / name).mkdir(parents=True)
        for number, face in enumerate(draw(n, bright)):
            picture = Image.fromarray(np.rint(255 * face).astype(np.uint8))
            picture.resize((250, 250)).save(tmp_path / "lfw" / name / f"{number}.png")
    return tmp_path / "lfw"


@pytest.mark.filterwarnings("ignore:Fewer than 25 pictures:UserWarning")
def test_measurements_are_written_and_others_stay(lfw, tmp_path, capsys):
    output = tmp_path / "faces.json"
    output.write_text(json.dumps({"earlier": {}}))
    options = ["--groups", "Ann,Bob", "--max-iter", "2", "--width", "2"]
    options += ["--cut", "middle", "--size", "32"]
    grid = ["--grid", str(tmp_path / "look")]
    argv = ["--lfw-home", str(lfw), "--output", str(output), *options, *grid]
    assert benchmark.main(argv) == 0
    content = json.loads(output.read_text())
    assert content.keys() == {"earlier", "Ann,Bob"}
    result = content["Ann,Bob"]
    assert result["n_train"] == {"Ann": 28, "Bob": 24}
    assert result["n_test"] == {"Ann": 7, "Bob": 6}
    assert result["swaps"].keys() == {"Ann as Bob", "Bob as Ann"}
    for swap in result["swaps"].values():
        assert 0 <= swap["called_target"] <= 1
        assert swap["source_called_target"] == 0
    assert 0 < result["held_out_error"]["all"] < 0.5
    assert result["step_seconds"] > 0
    assert str(lfw) not in output.read_text()  # nothing that names a machine
    assert (tmp_path / "look" / "Ann,Bob.png").exists()
    # The model that was written says the same again.
    assert benchmark.main([*argv, "--again"]) == 0
    again = json.loads(output.read_text())["Ann,Bob"]
    assert again == result
    assert "held-out error" in capsys.readouterr().out


def test_summary_says_what_is_met_by_both_ways():
    swaps = {"a": {"sharpness_over_photo": 0.9}, "b": {"sharpness_over_photo": 1.3}}
    result = {"swaps": swaps, "held_out_error": {"all": 0.03}, "fit_cpu_seconds": 60}
    photo, error, minutes = benchmark.summary(result)
    assert photo.startswith("NOT ")
    assert "0.900, 1.300 (0.8 to 1.2)" in photo
    assert error.startswith("met ")
    assert "0.0300" in error
    assert minutes.startswith("met ")
    assert "1.0" in minutes


def test_a_folder_is_needed(capsys, monkeypatch):
    monkeypatch.delenv("SKLEARN_AE_LFW", raising=False)
    with pytest.raises(SystemExit):
        benchmark.main([])
    assert "--lfw-home" in capsys.readouterr().err
