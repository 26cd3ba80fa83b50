import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA

from sklearn_ae.comparison import _figures as _figures
from sklearn_ae.comparison import compare_reducers
from sklearn_ae.comparison._figures import (
    _Colors,
    comparison_figure,
    find_fonts,
    save_png,
)


def draw(X, y, *, reducers=("PCA", "kernel PCA"), n_components=(1, 2, 3), **options):
    table, latents = compare_reducers(
        X, y, reducers=reducers, n_components=n_components, return_latents=True
    )
    return table, latents, comparison_figure(table, latents, y, **options)


def find(figure, title):
    (ax,) = [
        ax for ax in all_axes(figure) if title in (ax.get_title(), ax.get_title("left"))
    ]
    return ax


def all_axes(figure):
    return [ax for sub in figure.subfigs for ax in sub.axes]


def texts(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(Text)]


def test_maps_show_the_held_out_rows_in_two_latents(iris):
    _, latents, figure = draw(*iris)
    shown = find(figure, "PCA").collections[0].get_offsets()
    np.testing.assert_array_equal(shown, latents["PCA", 2])


def test_maps_are_coloured_by_class(iris):
    X, y = iris
    _, latents, figure = draw(X, y)
    colors = find(figure, "PCA").collections[0].get_facecolors()
    classes = y[latents["PCA", 2].index]
    per_class = [np.unique(colors[classes == c], axis=0) for c in range(3)]
    assert [len(c) for c in per_class] == [1, 1, 1]
    assert len(np.unique(np.concatenate(per_class), axis=0)) == 3


def test_classes_are_named_in_the_key(iris):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    _, _, figure = draw(X, names, target="kind of iris")
    assert {"kind of iris", "setosa", "versicolor", "virginica"} <= set(texts(figure))


def test_quantity_has_a_colour_bar(iris):
    X = iris[0]
    _, _, figure = draw(X[:, :3], X[:, 3] + 0.05, target="petal width")
    assert "petal width" in texts(figure)


def test_lines_show_the_scores_by_k(iris):
    table, _, figure = draw(*iris)
    lines = find(figure, "Held-out reconstruction error").lines
    for line, name in zip(lines, ("PCA", "kernel PCA"), strict=True):
        errors = table.loc[table["reducer"] == name, "reconstruction_error"]
        assert line.get_ydata().tolist() == errors.tolist()


def test_numbers_of_latents_are_in_order(iris):
    _, _, figure = draw(*iris, n_components=(3, 1, 2))
    line, _ = find(figure, "Held-out reconstruction error").lines
    assert (np.diff(line.get_ydata()) < 0).all()  # more latents, less error


def test_without_two_latents_the_first_two_of_more_are_drawn(iris):
    _, latents, figure = draw(*iris, n_components=(1, 3))
    shown = find(figure, "PCA").collections[0].get_offsets()
    np.testing.assert_array_equal(shown, latents["PCA", 3].iloc[:, :2])
    assert "38 held-out rows in the first 2 of 3 latents" in texts(figure)


def test_single_latents_make_no_map(iris):
    _, _, figure = draw(*iris, n_components=1)
    assert not any(ax.collections for ax in all_axes(figure))
    assert find(figure, "Held-out reconstruction error").lines


def test_no_target_makes_no_key(iris):
    _, _, figure = draw(iris[0], None)
    assert find(figure, "PCA").collections
    assert not any("k-NN" in text for text in texts(figure))


def test_failed_and_skipped_reducers_are_left_out(iris):
    _, _, figure = draw(*iris, reducers=["PCA", "t-SNE"], n_components=4)
    assert "t-SNE" not in texts(figure)


def test_reducer_without_transform_is_marked(iris):
    class Guest(BaseEstimator):
        def __init__(self, n_components=2):
            self.n_components = n_components

        def fit(self, X, y=None):
            return self

        def fit_transform(self, X, y=None):
            return X[:, : self.n_components]

    _, _, figure = draw(*iris, reducers={"guest": Guest()}, n_components=2)
    found = texts(figure)
    assert found.count("guest*") == 2  # the map and the lines
    assert "* fitted to the held-out rows too" in found


def test_many_classes_share_a_colour_beyond_the_most_frequent():
    y = np.repeat(np.arange(30), np.arange(1, 31))
    colors = _Colors(y, discrete=True)
    assert colors.handles[-1][0] == "11 others"
    assert len(colors.handles) == 20
    assert len({str(c) for c in colors.of(np.arange(len(y)))}) == 20


def test_nothing_overlaps_the_edges(iris):
    names = {f"a name of some length {i}": PCA() for i in range(9)}
    y = np.array([f"class with a rather long name {i}" for i in iris[1]])
    _, _, figure = draw(iris[0], y, reducers=names, n_components=2, title="t" * 60)
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    for ax in all_axes(figure):
        box = ax.get_tightbbox()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1


@pytest.mark.parametrize("limit", [0, 10**9])
def test_file_is_a_png_with_or_without_a_palette(iris, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(_figures, "_MAX_BYTES", limit)
    _, _, figure = draw(*iris, n_components=2)
    save_png(figure, tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as image:
        assert image.format == "PNG"
        assert image.mode == ("RGBA" if limit else "P")
        assert image.size == tuple(figure.bbox.size.astype(int))


def test_file_is_small_whatever_the_number_of_rows(tmp_path):
    Z = np.random.RandomState(0).normal(size=(12_000, 2))
    reducers = {f"{i}": "PCA" for i in range(7)}
    _, _, figure = draw(Z, np.arange(12_000) % 10, reducers=reducers, n_components=2)
    save_png(figure, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size < 300_000


def test_names_from_outside_are_no_commands_and_no_formulas(iris):
    X, y = iris
    names = np.array(["$5-$10", "a\x1b[31mred", "x_$"])[y]
    _, _, figure = draw(X, names, target="price\x07 in $", title="$a$.csv")
    shown = texts(figure)
    for text in (r"\$5-\$10", r"a\x1b[31mred", r"price\x07 in \$", r"\$a\$.csv"):
        assert text in shown
    assert not any("\x1b" in text or "\x07" in text for text in shown)


def test_letters_that_no_font_has_are_no_matter(iris, tmp_path, capfd):
    X, y = iris
    names = np.array(["東京", "नमस्ते", "plain"])[y]
    _, _, figure = draw(X, names, target="都市")
    save_png(figure, tmp_path / "figure.png")  # warnings are errors here
    assert capfd.readouterr().err == ""


def test_fonts_are_found_for_the_letters_that_the_first_lacks():
    first, *others = find_fonts("aЖ", "cmr10")
    assert first == "cmr10"
    assert others
    assert find_fonts("a", "cmr10") == ["cmr10"]
