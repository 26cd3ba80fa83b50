"""Swapped faces of people from Labeled Faces in the Wild: who is seen, in what pose.

Run it from the repository's root as ``python -m benchmarks.faces``; README.md, beside
this file, says what is measured and how. The pictures are a folder per person, as
`sklearn.datasets.fetch_lfw_people` lays them out, and no part of this repository.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks._command import RESULTS, describe_run
from benchmarks._measuring import timed
from sklearn_ae import FaceSwapper
from sklearn_ae.faces._crops import cut_face, face_matrix
from sklearn_ae.faces._files import load_face_swapper, save_face_swapper
from sklearn_ae.faces._landmarks import detect_mtcnn
from sklearn_ae.faces._pictures import (
    list_pictures,
    read_picture,
    write_picture,
)

TEST_SHARE = 0.2
CROP = 116  # pixels of the 250: a detector's box is about 113 wide
TIGHT = 96  # of CROP, for the probe: without hair, ears and background
MOUTH = slice(0.64, 0.86), slice(0.34, 0.66)  # of an aligned crop
PROBE_SIDE = 32
POSE_SIDE = 8
CUT = 5  # pixels at the left and above
Faces = NDArray[np.float32]  # (n, side, side, 3) in [0, 1]


@dataclass
class Person:
    """One person's pictures: to learn from, and held out."""

    train: Faces
    test: Faces
    photos: list[NDArray[np.uint8]]  # those of `test`, whole
    landmarks: list[NDArray[np.float64]]


def load_person(folder: Path, size: int, cut: str, seed: int) -> Person:
    """The faces of one person's pictures, by their landmarks or out of their middle."""
    photos, faces, landmarks = [], [], []
    for path in list_pictures(folder):
        photo = read_picture(path)
        if cut == "middle":
            edge = (len(photo) - CROP) // 2
            face = photo[edge : edge + CROP, edge : edge + CROP]
            points = np.empty((0, 2))
        else:
            boxes, found = detect_mtcnn(photo)
            if not len(boxes):
                continue
            # Who a picture of LFW is of stands in its middle.
            middles = boxes[:, :2] + boxes[:, 2:] / 2.0
            off = np.abs(middles - np.array(photo.shape[1::-1]) / 2.0).sum(axis=1)
            points = found[off.argmin()]
            matrix = face_matrix(boxes[off.argmin()], points, size)
            face = np.clip(cut_face(photo, matrix, size), 0, 255)
        faces.append(_resize(face, size) if len(face) != size else face)
        photos.append(photo)
        landmarks.append(points)
    order = np.random.RandomState(seed).permutation(len(faces))
    n_test = round(TEST_SHARE * len(faces))
    crops = np.stack(faces).astype(np.float32) / 255.0
    return Person(
        crops[order[n_test:]],
        crops[order[:n_test]],
        [photos[i] for i in order[:n_test]],
        [landmarks[i] for i in order[:n_test]],
    )


def _resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    resized = Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(resized)


# Who is seen --------------------------------------------------------------------------


def tight_grey(faces: Faces, shift: tuple[int, int] = (0, 0)) -> NDArray[np.float64]:
    """Rows of grey values of the middle, each with mean 0 and variance 1."""
    side = faces.shape[1]
    inner = round(side * TIGHT / CROP)
    top, left = ((side - inner) // 2 + s for s in shift)
    grey = faces[:, top : top + inner, left : left + inner].mean(axis=3)
    rows = np.stack(
        [
            _resize(np.rint(255.0 * face).astype(np.uint8), PROBE_SIDE).ravel()
            for face in grey
        ]
    ).astype(float)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / rows.std(axis=1, keepdims=True)


def fit_probe(faces: Sequence[Faces], names: Sequence[str]) -> Any:
    """PCA and logistic regression on real faces, mirrored and shifted by a few pixels.

    It knows nothing of the swaps: what it calls a face is what a real face would be
    called that looks like it.
    """
    X, y = [], []
    for name, of_person in zip(names, faces, strict=True):
        for shift in ((0, 0), (-2, 0), (2, 0), (0, -2), (0, 2)):
            for mirrored in (of_person, of_person[:, :, ::-1]):
                X.append(tight_grey(mirrored, shift))
                y += [name] * len(of_person)
    probe = make_pipeline(
        PCA(100, whiten=True, random_state=0),
        LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000),
    )
    return probe.fit(np.concatenate(X), y)


# In what pose -------------------------------------------------------------------------


def shading(faces: Faces) -> NDArray[np.float64]:
    """The face's coarse grey values (n, 64), each row of mean 0 and length 1.

    Where light and dark lie, in 8 x 8 fields of the middle three quarters: pose and
    light rather than the features of a person.
    """
    edge = faces.shape[1] // 8
    grey = faces[:, edge:-edge, edge:-edge].mean(axis=3).astype(np.float64)
    fields = np.array_split(np.arange(grey.shape[1]), POSE_SIDE)
    rows = np.stack(
        [
            grey[:, rows][:, :, columns].mean(axis=(1, 2))
            for rows in fields
            for columns in fields
        ],
        axis=1,
    )
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sharpness(faces: Faces) -> float:
    """Mean difference of neighbours in the tight middle."""
    edge = faces.shape[1] // 8
    grey = faces[:, edge:-edge, edge:-edge].mean(axis=3)
    return float(np.mean([np.abs(np.diff(grey, axis=axis)).mean() for axis in (1, 2)]))


def mouth_contrast(faces: Faces) -> NDArray[np.float64]:
    """How far the mouth's grey values spread from top to bottom: (n,).

    A closed one is all lips; an open one has teeth and a dark inside.
    """
    rows, columns = (
        slice(round(part.start * faces.shape[1]), round(part.stop * faces.shape[1]))
        for part in MOUTH
    )
    profile = faces[:, rows, columns].mean(axis=(2, 3)).astype(np.float64)
    return profile.std(axis=1) / profile.mean(axis=1)


def eyes_found_again(photo: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> float:
    """How far the eyes found in a photo are from where they were, at most.

    In distances of the eyes; infinite where there is no face any more.
    """
    boxes, found = detect_mtcnn(photo)
    if not len(boxes):
        return np.inf
    off = np.linalg.norm(found[:, :2] - landmarks[:2], axis=2).max(axis=1).min()
    return float(off / np.linalg.norm(landmarks[0] - landmarks[1]))


def eyes_found_in_cut(
    photo: NDArray[np.uint8], landmarks: NDArray[np.float64]
) -> float:
    """The same of the photo as it is, less a few pixels: how exact finding is."""
    return eyes_found_again(photo[CUT:, CUT:], landmarks - CUT)


# Measuring ----------------------------------------------------------------------------


def measure(people: dict[str, Person], swapper: FaceSwapper) -> dict[str, Any]:
    """Fit to the training faces, and measure swaps of the held-out ones."""
    names = list(people)
    train = [people[name].train for name in names]
    y = np.repeat(names, [len(faces) for faces in train])
    X = np.concatenate(train)
    seconds = timed(lambda: swapper.fit(X, y))
    return {
        "n_train": {name: len(people[name].train) for name in names},
        "n_test": {name: len(people[name].test) for name in names},
        "fit_seconds": round(seconds.wall, 1),
        "fit_cpu_seconds": round(seconds.cpu, 1),
        **evaluate(people, swapper),
    }


def evaluate(people: dict[str, Person], swapper: FaceSwapper) -> dict[str, Any]:
    """What a fitted swapper makes of the held-out faces."""
    names = list(people)
    probe = fit_probe([people[name].train for name in names], names)
    result: dict[str, Any] = {"probe_on_real_faces": {}, "held_out_error": {}}
    errors = []
    for name in names:
        test = people[name].test
        called = probe.predict(tight_grey(test))
        result["probe_on_real_faces"][name] = _share(called == name)
        back = swapper.reconstruct(test, name)
        errors.append(np.abs(back - test).mean(axis=(1, 2, 3)))
        result["held_out_error"][name] = round(float(errors[-1].mean()), 4)
    result["held_out_error"]["all"] = round(float(np.concatenate(errors).mean()), 4)
    result["swaps"] = {}
    for source in names:
        for target in names:
            if source != target:
                of_pair = _measure_swap(people, swapper, probe, source, target)
                result["swaps"][f"{source} as {target}"] = of_pair
    return result


def _measure_swap(
    people: dict[str, Person],
    swapper: FaceSwapper,
    probe: Any,
    source: str,
    target: str,
) -> dict[str, float]:
    faces, real = people[source].test, people[target].test
    swapped = swapper.swap(faces, target)
    of_faces, of_swapped = shading(faces), shading(swapped)
    return {
        "called_target": _share(probe.predict(tight_grey(swapped)) == target),
        "source_called_target": _share(probe.predict(tight_grey(faces)) == target),
        "pose_with_source": round(float((of_faces * of_swapped).sum(axis=1).mean()), 3),
        "pose_of_random_target": round(float((of_faces @ shading(real).T).mean()), 3),
        "sharpness_over_real": round(sharpness(swapped) / sharpness(real), 3),
        "mouth_with_source": _agreement(mouth_contrast(faces), mouth_contrast(swapped)),
        **_measure_photos(people[source], swapper, target),
    }


def _agreement(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Share of those above or below their median in both."""
    return _share((a > np.median(a)) == (b > np.median(b)))


def _measure_photos(
    person: Person, swapper: FaceSwapper, target: str
) -> dict[str, float]:
    """The held-out photos with the face put back, where landmarks are known."""
    if not all(map(len, person.landmarks)):
        return {}
    off, sharp, of_photos = [], [], []
    for photo, landmarks in zip(person.photos, person.landmarks, strict=True):
        swapped = swapper.swap_photo(photo, target, landmarks=[landmarks])
        off.append(eyes_found_again(swapped, landmarks))
        of_photos.append(eyes_found_in_cut(photo, landmarks))
        matrix = face_matrix(np.zeros(4), landmarks, 128)
        before, after = (
            cut_face(x.astype(np.float32), matrix, 128)[None] for x in (photo, swapped)
        )
        sharp.append(sharpness(after) / sharpness(before))
    return {
        "eyes_within_5_percent": _share(np.array(off) < 0.05),
        "eyes_within_10_percent": _share(np.array(off) < 0.1),
        "eyes_of_photo_within_5_percent": _share(np.array(of_photos) < 0.05),
        "sharpness_over_photo": round(float(np.median(sharp)), 3),
    }


def _share(hits: NDArray[np.bool_]) -> float:
    return round(float(np.mean(hits)), 4)


def time_step(swapper: FaceSwapper, size: int, n_steps: int = 20) -> dict[str, float]:
    """Median time of a training step on noise, of 16 faces of each of two people."""
    rng = np.random.default_rng(0)
    X = rng.random((64, size, size, 3), dtype=np.float32)
    seconds = []
    quick = clone(swapper).set_params(
        max_iter=1 + n_steps // 10, verbose=0, callbacks=[_Clock(seconds)]
    )
    quick.fit(X, np.repeat([0, 1], 32))
    epochs = np.diff(seconds)
    return {
        "step_seconds": round(float(np.median(epochs)) / 10, 4),
        "n_threads": torch.get_num_threads(),
    }


# What is to hold of photographs that are looked at: the number, what it is, and limits.
WANTED = {
    "called_target": ("swaps called the target", 0.95, None),
    "pose_with_source": ("pose with the source", 0.93, None),
    "mouth_with_source": ("mouth open or closed as the source's", 0.85, None),
    "sharpness_over_real": ("sharpness over the target's real faces", 0.85, None),
    "sharpness_over_photo": ("sharpness over the photo's own face", 0.8, 1.2),
    "eyes_within_5_percent": ("eyes within 5 % of where they were", 0.9, None),
}


def summary(result: dict[str, Any]) -> list[str]:
    """A line for each number that is wanted: of every direction, and whether met."""
    lines = []
    for name, (what, low, high) in WANTED.items():
        values = [swap[name] for swap in result["swaps"].values() if name in swap]
        if values:
            is_met = min(values) >= low and (high is None or max(values) <= high)
            found = ", ".join(f"{value:.3f}" for value in values)
            wanted = f"{low:g}" if high is None else f"{low:g} to {high:g}"
            lines.append(f"{'met' if is_met else 'NOT':4}{what}: {found} ({wanted})")
    error, minutes = result["held_out_error"]["all"], result["fit_cpu_seconds"] / 60.0
    lines += [
        f"{'met' if error <= 0.04 else 'NOT':4}held-out error: {error:.4f} (0.04)",
        f"{'met' if minutes <= 30 else 'NOT':4}minutes of a core: {minutes:.1f} (30)",
    ]
    return lines


def draw_photos(people: dict[str, Person], swapper: FaceSwapper, stem: Path) -> None:
    """Twelve held-out photos of each person, each above what is made of it."""
    for source, person in people.items():
        if not all(map(len, person.landmarks)):
            continue
        for target in (name for name in people if name != source):
            pairs = [
                np.concatenate(
                    [photo, swapper.swap_photo(photo, target, landmarks=[points])]
                )
                for photo, points in zip(
                    person.photos[:12], person.landmarks[:12], strict=True
                )
            ]
            lines = [
                np.concatenate(pairs[start : start + 6], axis=1)
                for start in range(0, len(pairs) - len(pairs) % 6, 6)
            ]
            if lines:
                write_picture(
                    stem.with_name(f"{stem.name}_{source}_as_{target}.png"),
                    np.concatenate(lines),
                )


class _Clock:
    """Notes when an epoch ends."""

    def __init__(self, seconds: list[float]):
        self.seconds = seconds

    def __call__(self, swapper: FaceSwapper, epoch: int) -> None:
        self.seconds.append(time.perf_counter())


class _Grid:
    """Draws held-out faces, each above its reconstruction and its swaps."""

    def __init__(self, path: Path, people: dict[str, Person]):
        self.path = path
        self.people = people

    def __call__(self, swapper: FaceSwapper, epoch: int) -> None:
        if epoch % 10 and epoch != swapper.max_iter:
            return
        lines = []
        n_columns = min(12, *(len(person.test) for person in self.people.values()))
        for name in self.people:
            faces = self.people[name].test[:n_columns]
            lines += [faces, swapper.reconstruct(faces, name)]
            lines += [swapper.swap(faces, n) for n in self.people if n != name]
        grid = np.concatenate([np.concatenate(list(line), axis=1) for line in lines])
        write_picture(self.path, grid)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each group of people, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--lfw-home", type=Path, default=os.environ.get("SKLEARN_AE_LFW"))
    add(
        "--groups",
        nargs="+",
        default=[
            "Colin_Powell,Tony_Blair",
            "Colin_Powell,Serena_Williams",
            "Tony_Blair,Serena_Williams",
        ],
    )
    add("--size", type=int, default=96)
    add("--cut", choices=("landmarks", "middle"), default="landmarks")
    add("--width", type=int, default=FaceSwapper().width)
    add("--max-iter", type=int, default=FaceSwapper().max_iter)
    add("--n-train", type=int, help="pictures of each person to learn from, at most")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=1)
    add("--grid", type=Path, help="folder for pictures of swaps, to look at")
    add(
        "--again",
        action="store_true",
        help="measure the models in --grid again, without training",
    )
    add("--output", type=Path, default=RESULTS / "faces.json")
    arguments = parser.parse_args(argv)
    if arguments.lfw_home is None or not arguments.lfw_home.is_dir():
        parser.error("give --lfw-home, a folder of LFW with a folder per person")
    if arguments.again and arguments.grid is None:
        parser.error("--again needs --grid, the folder that has the models")
    torch.set_num_threads(arguments.threads)

    # Groups that were measured before stay, each with its own command.
    content: dict[str, Any] = {}
    if arguments.output.exists():
        content = json.loads(arguments.output.read_text(encoding="utf-8"))
    for group in arguments.groups:
        people = {
            name: load_person(
                arguments.lfw_home / name, arguments.size, arguments.cut, arguments.seed
            )
            for name in group.split(",")
        }
        for person in people.values():
            person.train = person.train[: arguments.n_train]
        if arguments.again:
            swapper = load_face_swapper(arguments.grid / f"{group}.pt")
            result = content.get(group, {}) | evaluate(people, swapper)
        else:
            swapper = FaceSwapper(
                width=arguments.width,
                max_iter=arguments.max_iter,
                random_state=arguments.seed,
                verbose=1,
            )
            if arguments.grid is not None:
                arguments.grid.mkdir(parents=True, exist_ok=True)
                swapper.set_params(
                    callbacks=[_Grid(arguments.grid / f"{group}.png", people)]
                )
            result = measure(people, swapper) | time_step(swapper, arguments.size)
            result = {"run": describe_run("benchmarks.faces", argv)} | result
            if arguments.grid is not None:
                save_face_swapper(swapper, arguments.grid / f"{group}.pt")
        content[group] = result
        print(group, json.dumps(result, indent=2))
        print("\n".join(summary(result)), flush=True)
        if arguments.grid is not None:
            draw_photos(people, swapper, arguments.grid / group)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=2) + "\n"
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
