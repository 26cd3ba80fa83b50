from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from sklearn_ae.faces._films import (
    frame_rate,
    is_video,
    iterate_pictures,
    read_frames,
    write_video,
)
from sklearn_ae.faces._pictures import (
    SYNTHETIC,
    list_pictures,
    read_picture,
    write_atomically,
    write_picture,
)


@pytest.fixture
def image():
    return astronaut()[:64, :48]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "A.JPEG"])
def test_written_pictures_say_that_they_are_synthetic(image, name, tmp_path):
    path = tmp_path / name
    write_picture(path, image)
    with Image.open(path) as file:
        description = (
            file.text["Description"] if name == "a.png" else file.getexif()[270]
        )
        assert description == SYNTHETIC
        assert file.size == (48, 64)
    content = path.read_bytes()
    assert b"digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in content
    assert list(tmp_path.iterdir()) == [path]
    tolerance = 0 if name == "a.png" else 8
    assert np.abs(read_picture(path).astype(int) - image).mean() <= tolerance


def test_xmp_is_well_formed(image, tmp_path):
    text = "Ann <by the sea> & Bob"
    write_picture(tmp_path / "a.png", image, text)
    with Image.open(tmp_path / "a.png") as file:
        root = ElementTree.fromstring(file.text["XML:com.adobe.xmp"])
    assert text in "".join(root.itertext())
    assert "http://cv.iptc.org" in ElementTree.tostring(root, encoding="unicode")


def test_floats_and_grey_pictures(image, tmp_path):
    path = tmp_path / "a.png"
    write_picture(path, image / 255)
    np.testing.assert_array_equal(read_picture(path), image)
    write_picture(path, image[:, :, :1])
    np.testing.assert_array_equal(read_picture(path)[:, :, 2], image[:, :, 0])


def test_formats_that_cannot_say_it_are_not_written(image, tmp_path):
    with pytest.raises(ValueError, match=r"written as .jpeg, .jpg, .png"):
        write_picture(tmp_path / "a.bmp", image)
    assert not list(tmp_path.iterdir())


def test_nothing_half_written_is_left(tmp_path):
    path = tmp_path / "new" / "a.txt"

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)
    assert not list(path.parent.iterdir())
    write_atomically(path, lambda temporary: temporary.write_text("whole"))
    assert path.read_text() == "whole"


def test_pictures_are_turned_as_the_camera_was(image, tmp_path):
    turned = Image.fromarray(image)
    exif = turned.getexif()
    exif[0x0112] = 6  # a quarter to the right
    turned.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        read_picture(tmp_path / "a.png"), np.rot90(image, k=-1)
    )


def test_files_without_a_picture(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_picture(tmp_path / "missing.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(ValueError, match=r"broken.png' holds no picture"):
        read_picture(tmp_path / "broken.png")


def test_broken_files_of_a_folder_are_named(image, tmp_path):
    write_picture(tmp_path / "b.png", image)
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("no picture")
    assert [p.name for p in list_pictures(tmp_path)] == ["a.png", "b.png"]
    skipped = {}
    items, n = iterate_pictures(tmp_path, skipped)
    assert n == 2
    ((name, read),) = items
    assert name.endswith("b.png")
    np.testing.assert_array_equal(read, image)
    assert list(skipped) == [str(tmp_path / "a.png")]


def test_all_kinds_of_sources(image, tmp_path):
    path = tmp_path / "a.png"
    write_picture(path, image)
    for source, names in [
        (path, [str(path)]),
        (str(path), [str(path)]),
        ([path, path], [str(path)] * 2),
        (image, [0]),
        (image[None].repeat(2, axis=0), [0, 1]),
        ([image, image], [0, 1]),
        ((image for _ in range(2)), [0, 1]),
    ]:
        items, _ = iterate_pictures(source, {})
        items = list(items)
        assert [name for name, _ in items] == names
        for _, read in items:
            np.testing.assert_array_equal(read, image)
    with pytest.raises(TypeError, match="pictures must be"):
        iterate_pictures(5, {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no pictures in"):
        iterate_pictures(tmp_path / "empty", {})


def test_video_there_and_back(tmp_path):
    pytest.importorskip("av")
    frames = [np.full((33, 48, 3), grey, np.uint8) for grey in (50, 120, 200)]
    path = tmp_path / "a.mp4"
    assert write_video(path, iter(frames), rate=10) == 3
    assert frame_rate(path) == 10
    read = list(read_frames(path))
    assert [frame.shape for frame in read] == [(32, 48, 3)] * 3
    for frame, grey in zip(read, (50, 120, 200), strict=True):
        assert abs(frame.mean() - grey) < 4
    import av

    with av.open(str(path)) as container:
        assert container.metadata["comment"] == SYNTHETIC
    with pytest.raises(ValueError, match="no frames"):
        write_video(tmp_path / "b.mp4", [], rate=10)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        next(read_frames(tmp_path / "missing.mp4"))


# Files of all kinds -------------------------------------------------------------------


def _kinds():
    """Name of a file, what is written to it, and what should be read."""
    ramp = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)
    grey = np.repeat(ramp[:, :, None], 3, axis=2)
    wide = Image.fromarray(ramp.astype(np.uint16) * 257)
    clear = np.dstack([grey, np.where(ramp < 128, 0, 255).astype(np.uint8)])
    on_white = np.where(ramp[:, :, None] < 128, 255, grey)
    bits = np.where(grey < 128, 0, 255)
    colours = Image.fromarray(grey)
    return [
        ("grey16.png", wide, grey),
        ("grey16.tif", wide, grey),
        ("grey32.tif", Image.fromarray(ramp.astype(np.int32) * 257), grey),
        ("float.tif", Image.fromarray((ramp / 255).astype(np.float32)), grey),
        ("float255.tif", Image.fromarray(ramp.astype(np.float32)), grey),
        ("bits.png", Image.fromarray(ramp >= 128), bits),
        ("palette.png", colours.quantize(64, dither=Image.Dither.NONE), grey),
        ("palette.gif", Image.fromarray(ramp), grey),
        ("cmyk.tif", colours.convert("CMYK"), grey),
        ("alpha.png", Image.fromarray(clear), on_white),
        ("alpha.webp", Image.fromarray(clear), on_white),
        ("grey_alpha.png", Image.fromarray(clear[:, :, 2:]), on_white),
    ]


@pytest.mark.parametrize(
    ("name", "picture", "expected"), _kinds(), ids=[kind[0] for kind in _kinds()]
)
def test_pictures_of_all_modes(name, picture, expected, tmp_path):
    lossless = {"lossless": True} if name.endswith("webp") else {}
    picture.save(tmp_path / name, **lossless)
    read = read_picture(tmp_path / name)
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - expected).max() <= 1


def test_colours_of_16_bits(image, tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), image[:, :, ::-1].astype(np.uint16) * 257)
    np.testing.assert_allclose(read_picture(path), image, atol=1)


def test_values_that_are_no_brightness_are_refused(tmp_path):
    values = np.array([[-5.0, 1.0]], dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="values from -5 to 1 are no brightness"):
        read_picture(tmp_path / "a.tif")


def test_what_cannot_be_read_in_a_folder_is_named(image, tmp_path):
    write_picture(tmp_path / "whole.png", image)
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "film.mp4").write_bytes(b"film")
    skipped = {}
    items, _ = iterate_pictures(tmp_path, skipped)
    assert [name for name, _ in items] == [str(tmp_path / "whole.png")]
    assert "link to a file that is not there" in skipped[str(tmp_path / "dangling.png")]
    assert "folder.png' holds no picture" in skipped[str(tmp_path / "folder.png")]
    assert skipped[str(tmp_path / "film.mp4")] == "a video; give it by itself"
    skipped = {}
    items, _ = iterate_pictures([tmp_path / "no.png", tmp_path / "whole.png"], skipped)
    assert len(list(items)) == 1
    assert "There is no file" in skipped[str(tmp_path / "no.png")]


def test_files_without_permission_are_named(image, tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png", image)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("PIL.Image.open", refuse)
    skipped = {}
    items, _ = iterate_pictures(tmp_path, skipped)
    assert not list(items)
    assert "Permission denied" in skipped[str(tmp_path / "a.png")]


def test_animated_gifs_need_no_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sklearn_ae._utils.extras.has_extra", lambda name: name == "PIL"
    )
    frames = [Image.fromarray(np.full((8, 8), grey, np.uint8)) for grey in (0, 90, 200)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50)
    assert is_video(path)
    items, _ = iterate_pictures(path, {})
    assert [picture.mean().round() for _, picture in items] == [0, 90, 200]
    assert frame_rate(path) == 20
    frames[0].save(path)
    assert not is_video(path)
    items, _ = iterate_pictures(tmp_path, {})
    assert len(list(items)) == 1
