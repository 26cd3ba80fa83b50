"""The command line's part on faces: from folders of pictures to a swapped photo."""

import argparse
import csv
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._utils.arguments import positive_integer
from .._utils.extras import import_extra
from .._utils.text import say
from ._crops import default_detector
from ._display import Preview
from ._extraction import FaceExtractor
from ._files import Checkpoint, load_face_swapper, resume_training
from ._films import (
    VIDEOS,
    count_frames,
    frame_rate,
    is_video,
    read_frames,
    write_video,
)
from ._pictures import (
    PICTURES,
    WRITTEN,
    import_pillow,
    list_pictures,
    read_picture,
    write_picture,
)
from ._swapper import FaceSwapper

EPILOG = """\
examples:
  python -m sklearn_ae faces train photos/ann photos/bob --model model.pt
  python -m sklearn_ae faces swap ann_at_the_sea.jpg bob --model model.pt \\
      --output swapped.png

Show nobody doing what they did not do without their consent. Pictures and videos that
are written here say in their metadata that they are synthetic: leave that in.
"""
DETECTORS = ("mtcnn", "lbp", "haar")
# Faces of each person that are looked at in previews, and not trained on, where a
# person has so many that they are not missed.
_N_SHOWN, _MANY = 4, 50


def add_faces_parser(commands: Any) -> None:
    """Add ``faces extract``, ``faces train`` and ``faces swap``."""
    faces = commands.add_parser(
        "faces",
        help="learn faces from folders of pictures, and swap them in photos and videos",
        description="Cut out faces, train a FaceSwapper, swap faces.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = faces.add_subparsers(dest="action", required=True, metavar="ACTION")

    extract = actions.add_parser("extract", help="cut faces out of pictures")
    add = extract.add_argument
    add("pictures", type=Path, help="folder of pictures, or a video")
    add("output", type=Path, help="folder for the faces, and for faces.csv")
    _add_extraction(extract)
    add("--which", choices=("largest", "all"), default="largest")
    extract.set_defaults(run=_extract)

    train = actions.add_parser("train", help="learn the faces of two people or more")
    add = train.add_argument
    add(
        "folders",
        metavar="FOLDER",
        type=Path,
        nargs="+",
        help="pictures of one person, who gets the folder's name",
    )
    add("--model", type=Path, required=True, help="file for the model")
    _add_extraction(train)
    add("--crops", action="store_true", help="the pictures are faces cut out already")
    add("--width", type=positive_integer, help="width of the network (default: 24)")
    add("--max-iter", type=positive_integer, help="number of epochs (default: 100)")
    add(
        "--every", type=positive_integer, default=20, help="epochs between two writings"
    )
    add("--preview", type=Path, help="picture of swaps, drawn anew every few epochs")
    add("--random-state", type=int, default=0)
    add("--resume", action="store_true", help="go on with the training in the model")
    add("--overwrite", action="store_true", help="replace a model that is there")
    train.set_defaults(run=_train)

    swap = actions.add_parser("swap", help="swap faces in a photo or a video")
    add = swap.add_argument
    add("photo", type=Path, help="photo or video")
    add("target", help="who is to be seen: one of the people of the model")
    add("--model", type=Path, required=True, help="file that `train` has written")
    add("--output", type=Path, required=True, help="file for the result")
    add("--which", default="largest", help='"largest", "all" or a number from 0')
    add("--color", choices=("lab", "mean", "hist", "none"), default="lab")
    add(
        "--sharpen",
        type=float,
        help="0 leaves faces as they are (default: as sharp as the photo)",
    )
    add("--blend", choices=("feather", "seamless"), default="feather")
    add("--on-no-face", choices=("raise", "unchanged"))
    add(
        "--detector",
        choices=DETECTORS,
        help="how the face is found (default: as for the model)",
    )
    add("--overwrite", action="store_true", help="replace a file that is there")
    swap.set_defaults(run=_swap)


def _add_extraction(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size",
        type=positive_integer,
        default=96,
        help="side of the faces in pixels (default: 96)",
    )
    parser.add_argument(
        "--detector",
        choices=DETECTORS,
        help='how faces are found (default: "mtcnn" where the extra landmarks is '
        'installed, else "lbp")',
    )


def run_faces(arguments: argparse.Namespace) -> int:
    """Do what was asked for; problems come as ValueError, OSError or ImportError."""
    run: Callable[[argparse.Namespace], None] = arguments.run
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _tell
        run(arguments)
    return 0


def _tell(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    say(f"note: {message}")


# Actions ------------------------------------------------------------------------------


def _extract(arguments: argparse.Namespace) -> None:
    _check_there(arguments.pictures)
    if arguments.output.exists() and any(arguments.output.iterdir()):
        raise FileExistsError(f"{str(arguments.output)!r} is not empty.")
    extractor = FaceExtractor(
        arguments.size,
        which=arguments.which,
        detector=arguments.detector,
        verbose=1,
    )
    extracted = extractor.extract(arguments.pictures)
    arguments.output.mkdir(parents=True, exist_ok=True)
    pillow = import_pillow()
    rows = []
    for number, (face, box, source) in enumerate(
        zip(extracted.faces, extracted.boxes, extracted.sources, strict=True)
    ):
        name = f"{number:05d}.png"
        pillow.fromarray(face).save(arguments.output / name)
        rows.append([name, source, *(round(float(value), 1) for value in box)])
    with (arguments.output / "faces.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "source", "left", "top", "width", "height"])
        writer.writerows(rows)
    print(f"{len(rows)} faces are in {str(arguments.output)!r}.")


def _train(arguments: argparse.Namespace) -> None:
    names = [folder.resolve().name for folder in arguments.folders]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            "Give the folders of at least two people, each of another name; got "
            f"{names}."
        )
    for folder in arguments.folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {str(folder)!r}.")
    if arguments.preview is not None:
        import_extra("matplotlib", user="A preview")
    size = arguments.size
    if arguments.resume:  # before pictures are read for nothing
        before = load_face_swapper(arguments.model)
        size = before.image_shape_[0]
        # Faces are cut out as they were.
        arguments.detector = arguments.detector or before.detector
        checkpoint = None
    else:
        if arguments.model.exists() and not arguments.overwrite:
            raise FileExistsError(
                f"{str(arguments.model)!r} is there already: give --resume to go on "
                "with it, --overwrite or another name."
            )
        checkpoint = Checkpoint(arguments.model, arguments.every, overwrite=True)
    X = []
    for folder, name in zip(arguments.folders, names, strict=True):
        faces = _read_faces(folder, size, arguments)
        say(f"{name}: {len(faces)} faces")
        X.append(faces)
    parts = []
    for faces, name in zip(X, names, strict=True):
        is_shown = _is_shown(len(faces))
        is_kept = ~is_shown if len(faces) >= _MANY else np.ones(len(faces), dtype=bool)
        parts.append((faces[is_shown], faces[is_kept], name))
    X_shown = np.concatenate([part[0] for part in parts])
    y_shown = np.repeat(names, [len(part[0]) for part in parts])
    X_train = np.concatenate([part[1] for part in parts])
    y_train = np.repeat(names, [len(part[1]) for part in parts])
    callbacks: list[Any] = []
    if arguments.preview is not None:
        callbacks.append(
            Preview(
                arguments.preview,
                X_shown,
                y_shown,
                every=arguments.every,
                n_samples=_N_SHOWN,
            )
        )
    if arguments.resume:
        swapper = resume_training(
            arguments.model,
            X_train,
            y_train,
            max_iter=arguments.max_iter,
            callbacks=callbacks,
            every=arguments.every,
        )
    else:
        given = {"width": arguments.width, "max_iter": arguments.max_iter}
        swapper = FaceSwapper(
            **{name: value for name, value in given.items() if value is not None},
            detector=arguments.detector or default_detector(),
            random_state=arguments.random_state,
            verbose=1,
            callbacks=[checkpoint, *callbacks],
        ).fit(X_train, y_train)
    error = -swapper.score(X_shown, y_shown)
    print(
        f"{swapper.n_iter_} epochs; mean absolute error of the faces in previews: "
        f"{error:.4f}; model: {str(arguments.model)!r}"
    )


def _is_shown(n_faces: int) -> NDArray[np.bool_]:
    """A few faces from all over a folder."""
    is_shown = np.zeros(n_faces, dtype=bool)
    is_shown[np.linspace(0, n_faces - 1, min(_N_SHOWN, n_faces)).astype(int)] = True
    return is_shown


def _read_faces(
    folder: Path, size: int, arguments: argparse.Namespace
) -> NDArray[np.uint8]:
    if not arguments.crops:
        extractor = FaceExtractor(size, detector=arguments.detector, verbose=1)
        return extractor.extract(folder).faces
    crops, unread = [], []
    for path in list_pictures(folder):
        try:
            crops.append(read_picture(path))
        except ValueError as error:
            unread.append(str(error))
    if unread:
        warnings.warn(
            f"{len(unread)} files were skipped. " + "; ".join(unread),
            UserWarning,
            stacklevel=2,
        )
    shapes = {crop.shape for crop in crops}
    if shapes != {(size, size, 3)}:
        raise ValueError(
            f"{str(folder)!r} should hold faces of {size} x {size} pixels, as `faces "
            f"extract` writes them; it holds {sorted(shapes) or 'no pictures'}."
        )
    return np.stack(crops)


def _swap(arguments: argparse.Namespace) -> None:
    _check_there(arguments.photo)
    suffix = arguments.photo.suffix.lower()
    has_frames = is_video(arguments.photo)
    if not has_frames and suffix not in PICTURES:
        raise ValueError(f"{str(arguments.photo)!r} is neither a picture nor a video.")
    written = VIDEOS if has_frames else WRITTEN
    if arguments.output.suffix.lower() not in written:
        raise ValueError(
            f"--output must end in one of {', '.join(written)}; got "
            f"{arguments.output.name!r}."
        )
    if arguments.output.exists() and not arguments.overwrite:
        raise FileExistsError(
            f"{str(arguments.output)!r} is there already: give --overwrite or another "
            "name."
        )
    which = arguments.which
    if which not in ("largest", "all"):
        try:
            which = int(which)
        except ValueError:
            raise ValueError(
                f'--which must be "largest", "all" or a number; got {which!r}.'
            ) from None
    swapper = load_face_swapper(arguments.model)
    target = _find_target(swapper, arguments.target)
    options = {
        "color": None if arguments.color == "none" else arguments.color,
        "sharpen": arguments.sharpen,
        "blend": arguments.blend,
        "detector": arguments.detector,
    }
    if has_frames:
        from tqdm.auto import tqdm

        frames = swapper.swap_video(
            tqdm(
                read_frames(arguments.photo),
                total=count_frames(arguments.photo),
                unit="frame",
            ),
            target,
            on_no_face=arguments.on_no_face or "unchanged",
            **options,
        )
        rate = frame_rate(arguments.photo)
        n = write_video(arguments.output, frames, rate, sound=arguments.photo)
        print(f"{n} frames are in {str(arguments.output)!r}.")
        return
    swapped = swapper.swap_photo(
        read_picture(arguments.photo),
        target,
        which=which,
        on_no_face=arguments.on_no_face or "raise",
        **options,
    )
    write_picture(arguments.output, swapped)
    print(f"The photo is in {str(arguments.output)!r}.")


def _find_target(swapper: FaceSwapper, name: str) -> Any:
    """The identity of that name, which may be a number."""
    for identity in swapper.classes_.tolist():
        if str(identity) == name:
            return identity
    raise ValueError(
        f"There is no {name!r} in the model; it knows {swapper.classes_.tolist()}."
    )


def _check_there(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"There is no {str(path)!r}.")
