"""The segmentation benchmark: the gallery's example as a measurement."""

import json
import os

import numpy as np
import pytest

from benchmarks import segmentation

TRUE = np.array([[True, True, False, False]])


class Linear:
    def predict(self, X):
        return 2.0 * X


def example(predicted):
    """What the gallery's example defines, for one image of four pixels."""

    def iou(masks):
        return np.sum(masks & TRUE) / np.sum(masks | TRUE)

    return {
        "X_train": np.zeros((5, 4)),
        "X_test": np.array([[0.9, 0.2, 0.3, 0.1]]),
        "Y_predicted": np.array([predicted]),
        "linear": Linear(),
        "iou": iou,
        "best_iou": lambda values: max(iou(values > t) for t in (0.05, 0.25, 0.8)),
    }


def test_overlap_with_the_true_masks():
    rows = segmentation.measure(example([True, False, True, False]))
    assert [row["method"] for row in rows] == [
        "EncoderDecoderRegressor",
        "linear regression",
        "threshold",
    ]
    assert [row["iou"] for row in rows] == [0.3333, 0.6667, 0.5]
    assert {(row["n_train"], row["n_test"]) for row in rows} == {(5, 1)}


@pytest.mark.parametrize("before", [None, "elsewhere"])
@pytest.mark.parametrize("data_home", [None, "here"])
def test_example_sees_the_folder_and_the_environment_stays(
    data_home, before, monkeypatch
):
    monkeypatch.delenv("SKLEARN_AE_MNIST", raising=False)
    if before is not None:
        monkeypatch.setenv("SKLEARN_AE_MNIST", before)
    monkeypatch.setattr(
        "runpy.run_path", lambda path: {"folder": os.environ.get("SKLEARN_AE_MNIST")}
    )
    assert segmentation.run_example(data_home) == {"folder": data_home}
    assert os.environ.get("SKLEARN_AE_MNIST") == before


def test_example_is_there():
    assert segmentation.EXAMPLE.is_file()


def test_results_are_written(monkeypatch, tmp_path, capsys):
    predicted = [True, True, False, False]
    monkeypatch.setattr(segmentation, "run_example", lambda folder: example(predicted))
    path = tmp_path / "segmentation.json"
    segmentation.main(["--data-home", "data", "--output", str(path)])
    content = json.loads(path.read_text())
    assert content["summary"]["iou"] == 1.0
    assert content["settings"] == {"data": "mnist"}
    assert content["runs"][0]["command"].startswith(
        "python -m benchmarks.segmentation --data-home data"
    )
    assert len(content["results"]) == 3
    assert "1.000" in capsys.readouterr().out


def test_results_are_not_replaced_unasked(tmp_path, capsys):
    path = tmp_path / "segmentation.json"
    path.write_text("kept")
    with pytest.raises(SystemExit):
        segmentation.main(["--output", str(path)])
    assert path.read_text() == "kept"
    assert "--overwrite" in capsys.readouterr().err
