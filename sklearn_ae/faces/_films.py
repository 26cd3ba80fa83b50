"""Videos in files, their frames and their sound, and all that pictures come from."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.extras import import_extra
from ._pictures import (
    PICTURES,
    SYNTHETIC,
    import_pillow,
    in_colors,
    list_pictures,
    read_picture,
    to_colors,
    write_atomically,
)

VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
_CODECS = {".webm": "libvpx-vp9"}  # others take H.264

# Reading ------------------------------------------------------------------------------


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file has frames: by its name, and a GIF where it has several."""
    suffix = Path(path).suffix.lower()
    if suffix != ".gif":
        return suffix in VIDEOS
    try:
        with import_pillow().open(path) as file:
            return bool(getattr(file, "n_frames", 1) > 1)
    except OSError:
        return False


def _read_gif(path: str | os.PathLike[str]) -> Iterator[NDArray[np.uint8]]:
    sequence = import_extra("PIL.ImageSequence", extra="faces", user="Reading pictures")
    with import_pillow().open(path) as file:
        for frame in sequence.Iterator(file):
            yield to_colors(frame)


def read_frames(path: str | os.PathLike[str]) -> Iterator[NDArray[np.uint8]]:
    """The frames of a video file, one after the other: needs the extra ``video``.

    Those of an animated GIF need nothing.
    """
    if Path(path).suffix.lower() == ".gif":
        yield from _read_gif(path)
        return
    imageio = import_extra("imageio.v3", extra="video", user="Reading videos")
    import_extra("av", extra="video", user="Reading videos")
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {os.fspath(path)!r}.")
    yield from imageio.imiter(path, plugin="pyav")


def count_frames(path: str | os.PathLike[str]) -> int | None:
    """How many frames a video says that it has, if it does."""
    if Path(path).suffix.lower() == ".gif":
        with import_pillow().open(path) as file:
            return int(file.n_frames)
    av = import_extra("av", extra="video", user="Reading videos")
    with av.open(os.fspath(path)) as container:
        return int(container.streams.video[0].frames) or None


def frame_rate(path: str | os.PathLike[str]) -> Fraction:
    """Frames of a video per second."""
    if Path(path).suffix.lower() == ".gif":
        with import_pillow().open(path) as file:
            return Fraction(1000, round(file.info.get("duration") or 100))
    av = import_extra("av", extra="video", user="Reading videos")
    with av.open(os.fspath(path)) as container:
        return Fraction(container.streams.video[0].average_rate or 25)


# Writing ------------------------------------------------------------------------------


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[Any],
    rate: float | Fraction,
    sound: str | os.PathLike[str] | None = None,
) -> int:
    """Write frames as a video that says it is synthetic; return how many.

    Needs the extra ``video``. Sides that are odd lose a pixel, as the codec wants it.
    The sound of another video is copied as it is, where there is some.
    """
    av = import_extra("av", extra="video", user="Writing videos")
    count = 0

    def write(temporary: Path) -> None:
        nonlocal count
        with av.open(str(temporary), "w") as container:
            container.metadata["comment"] = SYNTHETIC
            container.metadata["description"] = SYNTHETIC
            stream: Any = None
            packets: Iterator[Any] = iter(())
            for frame in frames:
                array = np.ascontiguousarray(_even(np.asarray(frame)))
                if stream is None:
                    # A film has 30000/1001 frames a second: rounded, sound runs away.
                    exact = Fraction(rate).limit_denominator(1001)
                    codec = _CODECS.get(Path(path).suffix.lower(), "libx264")
                    stream = container.add_stream(codec, rate=exact)
                    stream.height, stream.width = array.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    if sound is not None and Path(sound).suffix.lower() != ".gif":
                        packets = _sound_packets(av, sound, container)
                packed = av.VideoFrame.from_ndarray(array, format="rgb24")
                container.mux(stream.encode(packed))
                count += 1
            if stream is None:
                raise ValueError("There are no frames to write.")
            container.mux(stream.encode())
            for packet in packets:
                container.mux(packet)

    write_atomically(Path(path), write)
    return count


def _sound_packets(
    av: Any, path: str | os.PathLike[str], container: Any
) -> Iterator[Any]:
    """The sound of a file, packet by packet, for a stream of the container."""
    with av.open(os.fspath(path)) as source:
        if not source.streams.audio:
            return iter(())
        given = source.streams.audio[0]
        try:
            stream = container.add_stream_from_template(given)
        except ValueError as error:
            warnings.warn(
                f"The sound ({given.codec_context.name}) does not fit into such a "
                f"file, and is left out: {error}",
                UserWarning,
                stacklevel=2,
            )
            return iter(())

    def packets() -> Iterator[Any]:
        with av.open(os.fspath(path)) as source:
            for packet in source.demux(source.streams.audio[0]):
                if packet.dts is not None:  # the last has nothing in it
                    packet.stream = stream
                    yield packet

    return packets()


def _even(frame: NDArray[Any]) -> NDArray[Any]:
    frame = in_colors(frame)
    height, width = frame.shape[:2]
    return frame[: height - height % 2, : width - width % 2]


# All kinds of sources -----------------------------------------------------------------


def iterate_pictures(
    source: Any, skipped: dict[str, str]
) -> tuple[Iterator[tuple[Any, NDArray[Any]]], int | None]:
    """Names and pictures, one after the other, and how many there are, if known.

    Files that hold no picture are noted in ``skipped`` with the reason.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            paths = list_pictures(path)
            if not paths:
                raise FileNotFoundError(
                    f"There are no pictures in {str(path)!r}: files that end in "
                    f"{', '.join(PICTURES)} are looked for."
                )
            for film in sorted(path.iterdir()):
                if film.suffix.lower() in VIDEOS:
                    skipped[str(film)] = "a video; give it by itself"
            return _from_paths(paths, skipped), len(paths)
        if is_video(path):
            return enumerate(read_frames(path)), None
        return iter([(str(path), read_picture(path))]), 1
    if isinstance(source, np.ndarray):
        if source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (1, 3)):
            source = source[None]
        return enumerate(source), len(source)
    if isinstance(source, Sequence):
        are_paths = [isinstance(item, str | os.PathLike) for item in source]
        if source and all(are_paths):
            return _from_paths([Path(item) for item in source], skipped), len(source)
        return enumerate(np.asarray(item) for item in source), len(source)
    if isinstance(source, Iterable):
        return enumerate(source), None
    raise TypeError(
        "pictures must be a folder, a picture or video file, an array, or a sequence "
        f"of arrays or paths; got {type(source).__name__}."
    )


def _from_paths(
    paths: list[Path], skipped: dict[str, str]
) -> Iterator[tuple[str, NDArray[Any]]]:
    for path in paths:
        try:
            yield str(path), read_picture(path)
        except (ValueError, FileNotFoundError) as error:
            skipped[str(path)] = str(error)
