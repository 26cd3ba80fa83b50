import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_pictures import IMAGE, tiles

from sklearn_ae import DenoisingAutoencoderTransformer
from sklearn_ae.plotting import ReconstructionDisplay, SamplesDisplay


def test_pictures_are_rows_and_reconstructions(pca, frame):
    display = ReconstructionDisplay.from_estimator(pca, frame, n_samples=3, **IMAGE)
    given = frame[:3]
    made = pca.inverse_transform(pca.transform(given))
    shown = tiles(display.image_, 2, 3)
    np.testing.assert_allclose(shown, np.concatenate([given, made]))


def test_corrupted_rows_are_what_is_reconstructed(dae, frame):
    noisy = frame + 0.5
    display = ReconstructionDisplay.from_estimator(
        dae, frame, X_corrupted=noisy, n_samples=2, **IMAGE
    )
    expected = np.concatenate([frame[:2], noisy[:2], dae.reconstruct(noisy[:2])])
    np.testing.assert_allclose(tiles(display.image_, 3, 2), expected)


def test_lines_of_pictures_are_named(dae, frame):
    display = ReconstructionDisplay.from_estimator(
        dae, frame, X_corrupted="draw", **IMAGE
    )
    names = [text.get_text() for text in display.axes_[0].get_yticklabels()]
    assert names == ["original", "corrupted", "reconstruction"]


def test_corruption_is_that_of_the_estimator(frame):
    X = frame.to_numpy()
    dae = DenoisingAutoencoderTransformer(
        2, corruption="masking", corruption_level=0.5, max_iter=0
    ).fit(X)
    display = ReconstructionDisplay.from_estimator(
        dae, X, X_corrupted="draw", n_samples=150, **IMAGE
    )
    is_masked = np.isclose(display.corrupted, X.mean(axis=0), atol=1e-6)
    assert is_masked.mean() == pytest.approx(0.5, abs=0.1)  # five standard deviations
    np.testing.assert_allclose(display.corrupted[~is_masked], X[~is_masked], rtol=1e-5)


def test_corruption_in_a_pipeline_is_in_the_units_of_the_rows(frame):
    def add_one(x):
        return x + 1.0

    dae = DenoisingAutoencoderTransformer(2, corruption=add_one, max_iter=0)
    pipeline = make_pipeline(StandardScaler(), dae).fit(frame)
    display = ReconstructionDisplay.from_estimator(pipeline, frame, X_corrupted="draw")
    expected = frame[:4] + frame.std(ddof=0)
    np.testing.assert_allclose(display.corrupted, expected, rtol=1e-5)


def test_corruption_follows_its_seed(dae, frame):
    def draw(**seed):
        return ReconstructionDisplay.from_estimator(
            dae, frame, X_corrupted="draw", **seed
        ).corrupted

    np.testing.assert_array_equal(draw(), draw(random_state=dae.random_state))
    assert (draw(random_state=1) != draw()).all()


def test_bars_and_dots_are_in_standard_deviations(pca, frame):
    display = ReconstructionDisplay.from_estimator(pca, frame)
    scaler = StandardScaler().fit(frame)
    made = pd.DataFrame(
        pca.inverse_transform(pca.transform(frame)), columns=frame.columns
    )
    for row in range(4):
        bars = [bar.get_width() for bar in display.bars_[row]]
        np.testing.assert_allclose(bars, scaler.transform(frame)[row])
        dots = display.points_["reconstruction"][row].get_xdata()
        np.testing.assert_allclose(dots, scaler.transform(made)[row])


def test_bars_are_named_after_the_columns(pca, frame):
    display = ReconstructionDisplay.from_estimator(pca, frame)
    names = [text.get_text() for text in display.axes_[0].get_yticklabels()]
    assert names == list(frame.columns)


def test_values_are_drawn_as_they_are_without_a_scale(frame):
    rows = frame.to_numpy()[:2]
    display = ReconstructionDisplay(original=rows, reconstruction=rows).plot()
    assert [bar.get_width() for bar in display.bars_[1]] == rows[1].tolist()


def test_constant_column_is_drawn(frame):
    frame = frame.assign(same=1.0)
    display = ReconstructionDisplay.from_estimator(PCA(2).fit(frame), frame)
    assert display.bars_[0][-1].get_width() == 0.0


def test_original_sets_the_brightness_of_all_pictures(frame):
    rows = frame.to_numpy()[:3]
    display = ReconstructionDisplay(
        original=rows, reconstruction=3 * rows, corrupted=-rows, **IMAGE
    ).plot()
    assert display.image_.get_clim() == (rows.min(), rows.max())


@pytest.mark.parametrize("unit", [1.0, 255.0])
def test_colour_pictures_keep_their_colours(unit):
    rows = np.random.default_rng(0).uniform(0, unit, size=(2, 12))
    display = ReconstructionDisplay(
        original=rows, reconstruction=5 * rows, image_shape=(2, 2, 3)
    ).plot()
    first = np.asarray(display.image_.get_array())[:2, :2]
    np.testing.assert_allclose(first[..., :3].ravel(), rows[0] / unit)
    assert (first[..., 3] == 1.0).all()


def test_single_channel_is_grey(frame):
    rows = frame.to_numpy()[:2]
    display = ReconstructionDisplay(
        original=rows, reconstruction=rows, image_shape=(2, 2, 1)
    ).plot()
    assert display.image_.get_array().ndim == 2


def test_corruption_of_an_estimator_without_one(pca, vae, frame):
    for estimator in (pca, vae):
        with pytest.raises(ValueError, match="has no corruption: give the corrupted"):
            ReconstructionDisplay.from_estimator(estimator, frame, X_corrupted="draw")


def test_corruption_by_an_unknown_word(dae, frame):
    with pytest.raises(ValueError, match="rows, \"draw\" or None; got 'own'"):
        ReconstructionDisplay.from_estimator(dae, frame, X_corrupted="own")


def test_corrupted_rows_of_another_shape(dae, frame):
    with pytest.raises(ValueError, match=r"shape of X, \(150, 4\); got \(3, 4\)"):
        ReconstructionDisplay.from_estimator(dae, frame, X_corrupted=frame[:3])


@pytest.mark.parametrize("Display", [ReconstructionDisplay, SamplesDisplay])
def test_no_rows_at_all(Display, vae, frame):
    with pytest.raises(ValueError, match="n_samples == 0, must be >= 1"):
        Display.from_estimator(vae, frame, n_samples=0)


def test_rows_of_different_shapes():
    display = ReconstructionDisplay(original=np.ones((2, 3)), reconstruction=[[1.0]])
    with pytest.raises(ValueError, match=r"original \(2, 3\), reconstruction \(1, 1\)"):
        display.plot()


def test_no_way_back_from_the_latents(frame):
    with pytest.raises(TypeError, match="TSNE has no transform and no inverse_transf"):
        ReconstructionDisplay.from_estimator(TSNE(), frame)


def test_columns_of_numbers_are_drawn_in_units_of_their_known_cells(of_mixed, mixed):
    display = ReconstructionDisplay.from_estimator(of_mixed, mixed, n_samples=2)
    names = [text.get_text() for text in display.axes_[0].get_yticklabels()]
    assert names == ["sepal length (cm)", "last"]
    widths = [bar.get_width() for bar in display.bars_[1]]
    numbers = mixed[names]
    expected = (numbers.iloc[1] - numbers.mean()) / numbers.std(ddof=0)
    np.testing.assert_allclose(widths, expected)


def test_numbers_of_rows_in_lists_are_drawn(mixed):
    rows = mixed.iloc[:2, :2].to_numpy().tolist()
    display = ReconstructionDisplay(original=rows, reconstruction=rows).plot()
    widths = [bars[0].get_width() for bars in display.bars_]
    np.testing.assert_array_equal(widths, mixed.iloc[:2, 0])


def test_a_table_without_numbers_cannot_be_drawn(mixed):
    words = mixed[["kind"]].to_numpy()
    display = ReconstructionDisplay(original=words, reconstruction=words)
    with pytest.raises(ValueError, match="no column of numbers"):
        display.plot()


def test_corruption_of_words_has_to_be_given(dae, mixed):
    with pytest.raises(ValueError, match="takes tables of numbers alone"):
        ReconstructionDisplay.from_estimator(dae, mixed, X_corrupted="draw")
