"""Swaps in frames: the face is followed, smoothed, and lost at cuts."""

import numpy as np
import pytest
from skimage.data import astronaut
from skimage.transform import AffineTransform, warp

from sklearn_ae.faces import NoFaceError
from sklearn_ae.faces._films import (
    count_frames,
    frame_rate,
    read_frames,
    write_video,
)
from sklearn_ae.faces._landmarks import has_mtcnn
from sklearn_ae.faces._photos import PhotoOptions
from sklearn_ae.faces._videos import swap_video

BOX = [175.0, 65.0, 100.0, 100.0]  # of the astronaut's face
SHAPE = (64, 64, 3)
# Eyes, nose and corners of the mouth.
POINTS = np.array([[203, 105], [247, 103], [225, 129], [202, 140], [245, 141]])


def same(crops):
    return crops


class Boxes:
    """A detector that finds what it is told."""

    def __init__(self, *of_frames):
        self.of_frames = iter(of_frames)

    def __call__(self, image):
        return next(self.of_frames)


def run_video(boxes, function=None, smoothing=0.0, max_gap=1, **options):
    frames = [np.full((100, 200, 3), 0.5)] * len(boxes)
    swapped = swap_video(
        function or (lambda crops: np.ones_like(crops)),
        SHAPE,
        frames,
        PhotoOptions(color=None, sharpen=0, detector=Boxes(*boxes), **options),
        smoothing,
        max_gap,
    )
    return list(swapped)


def centres(frames):
    """Horizontal centre of what is white in each frame; nan where nothing is."""
    columns = np.arange(frames[0].shape[1])
    mass = [(frame[:, :, 0] - 0.5).sum(axis=0) for frame in frames]
    return np.array([(m @ columns) / m.sum() if m.sum() > 1 else np.nan for m in mass])


def test_boxes_are_smoothed():
    at = [[40 + x, 30, 40, 40] for x in (0, 10, 0, 10, 0, 10)]
    rough, smooth = centres(run_video(at)), centres(run_video(at, smoothing=0.7))
    np.testing.assert_allclose(np.abs(np.diff(rough)), 10, atol=0.2)
    assert np.abs(np.diff(smooth)).max() < 4
    # exactly: the mean of the place before and the place found
    expected = [rough[0]]
    for place in rough[1:]:
        expected.append(0.7 * expected[-1] + 0.3 * place)
    np.testing.assert_allclose(smooth, expected, atol=0.2)


def test_a_new_scene_is_not_smoothed():
    at = [[10, 30, 40, 40], [140, 30, 40, 40]]
    np.testing.assert_allclose(
        centres(run_video(at, smoothing=0.9)), centres(run_video(at)), atol=0.1
    )


def test_the_face_of_the_frame_before_is_followed():
    at = [[[10, 30, 40, 40]], [[130, 20, 60, 60], [12, 30, 40, 40]]]
    assert np.ptp(centres(run_video(at))) < 4


def test_frames_without_a_face():
    box = [10, 30, 40, 40]
    found = centres(run_video([box, [], [], box, []], on_no_face="unchanged"))
    np.testing.assert_array_equal(np.isnan(found), [False, False, True, False, False])
    with pytest.raises(NoFaceError, match="frame 2"):
        run_video([box, [], []], on_no_face="raise")


def test_frames_are_read_one_at_a_time():
    n_read = 0

    def frames():
        nonlocal n_read
        for _ in range(5):
            n_read += 1
            yield np.full((100, 200, 3), 0.5)

    swapped = swap_video(
        same, SHAPE, frames(), PhotoOptions(detector=lambda x: BOX), 0.5, 1
    )
    next(swapped)
    next(swapped)
    assert n_read == 2


def test_landmarks_are_smoothed_with_the_face():
    rng = np.random.default_rng(0)
    frames = [astronaut()] * 12

    def run(smoothing):
        seen = []
        trembling = iter(POINTS + rng.normal(0, 2, (12, 5, 2)))
        detector = lambda image: ([BOX], [next(trembling)])  # noqa: E731
        options = PhotoOptions(color=None, sharpen=0, detector=detector)
        keep = lambda crops: seen.append(crops) or crops  # noqa: E731
        list(swap_video(keep, SHAPE, iter(frames), options, smoothing, 1))
        return np.abs(np.diff(np.stack(seen[4:]), axis=0)).mean()

    assert run(0.8) < 0.5 * run(0.0)


def test_a_cut_ends_what_was_followed():
    dark, bright = np.zeros((100, 200, 3)), np.full((100, 200, 3), 0.9)
    options = PhotoOptions(
        color=None,
        sharpen=0,
        on_no_face="unchanged",
        detector=Boxes([[40, 30, 40, 40]], [], [], []),
    )
    frames = iter([dark, dark, bright, bright])
    swapped = list(swap_video(lambda x: 1 - x, SHAPE, frames, options, 0.5, 5))
    assert [(frame != frame[0, 0]).any() for frame in swapped] == [True, True] + [
        False
    ] * 2


def test_a_face_that_moves_and_turns_is_followed():
    if not has_mtcnn():
        pytest.skip("needs the extra landmarks")
    head = astronaut()[:256, 96:352]
    frames = []
    for t in np.linspace(0, 2 * np.pi, 12):
        turn = AffineTransform(
            rotation=0.25 * np.sin(t), translation=(8 * np.cos(t), 0)
        )
        shift = AffineTransform(translation=(-128, -128))
        place = (shift + turn + AffineTransform(translation=(128, 128))).inverse
        frames.append(warp(head, place, mode="edge"))
    seen = []
    options = PhotoOptions(color=None, sharpen=0, detector="mtcnn")
    keep = lambda crops: seen.append(crops) or crops  # noqa: E731
    swapped = list(swap_video(keep, SHAPE, iter(frames), options, 0.3, 1))
    assert len(swapped) == len(seen) == 12
    # Cut out by landmarks, it is upright and in its place however it turns.
    inner = np.concatenate(seen)[:, 16:48, 16:48]
    assert np.abs(inner - inner.mean(axis=0)).mean() < 0.06
    still = np.stack(frames)[:, 96:160, 96:160]
    assert np.abs(still - still.mean(axis=0)).mean() > 0.08


def test_sound_is_copied(tmp_path):
    av = pytest.importorskip("av")
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    with av.open(str(first), "w") as container:
        video = container.add_stream("libx264", rate=12)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream("aac", rate=16000)
        audio.layout = "mono"
        for grey in range(0, 240, 20):
            picture = np.full((32, 32, 3), grey, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())
        wave = np.sin(np.arange(16000) / 6.0)[None].astype(np.float32)
        sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(audio.encode(sound))
        container.mux(audio.encode())

    def samples(path):
        with av.open(str(path)) as container:
            parts = [f.to_ndarray() for f in container.decode(audio=0)]
        return np.concatenate(parts, axis=1)

    n = write_video(second, read_frames(first), frame_rate(first), sound=first)
    assert n == count_frames(first) == count_frames(second) == 12
    np.testing.assert_array_equal(samples(second), samples(first))
    # A container that cannot hold it says so.
    with pytest.warns(UserWarning, match=r"sound \(aac\) does not fit"):
        write_video(tmp_path / "a.webm", read_frames(first), 12, sound=first)


def test_rates_of_films_stay_exact(tmp_path):
    pytest.importorskip("av")
    frames = [np.zeros((16, 16, 3), np.uint8)] * 3
    write_video(tmp_path / "a.mp4", frames, rate=30000 / 1001)
    assert frame_rate(tmp_path / "a.mp4").as_integer_ratio() == (30000, 1001)
