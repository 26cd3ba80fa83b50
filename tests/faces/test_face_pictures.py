from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from sklearn_ae.faces._pictures import (
    SYNTHETIC,
    frame_rate,
    iterate_pictures,
    list_pictures,
    read_frames,
    read_picture,
    write_atomically,
    write_picture,
    write_video,
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
