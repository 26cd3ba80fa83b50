"""
From photographs to a swapped photograph
========================================

The whole way: find faces in photographs, learn two people, and put the face of one into
a photograph of the other, in its colours and without a visible edge.

The photographs are those of Labeled Faces in the Wild. Set the environment variable
``SKLEARN_AE_LFW`` to a folder that has a folder of pictures per person, such as the
``lfw_funneled`` that :func:`sklearn.datasets.fetch_lfw_people` downloads, and take half
an hour. Otherwise an astronaut and a cat stand in for two people, with one photograph
each, seen through a window that moves. A network learns those two photographs rather
than two faces, and half a minute is enough.

Show no one doing what they did not do without their consent, and let no one take a
swapped picture for a photograph. Research and teaching on public data sets is what this
example is for.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import astronaut, chelsea
from skimage.feature import match_template

from sklearn_ae import FaceSwapper
from sklearn_ae.faces import SwapDisplay, extract_faces

# Box of the cat's face, in every second pixel: the faces that are found by default are
# people's.
left, top, side = 46, 2, 142
cat = chelsea()[::2, ::2].mean(axis=2)[top : top + side, left : left + side]


def find_cat(picture):
    """Left, top, width and height of what looks most like the cat."""
    likeness = match_template(picture[::2, ::2].mean(axis=2), cat)
    y, x = np.unravel_index(likeness.argmax(), likeness.shape)
    return [[2 * x, 2 * y, 2 * side, 2 * side]]


folder = os.environ.get("SKLEARN_AE_LFW")
if folder:
    people = ["Colin Powell", "Tony Blair"]
    paths = {
        name: sorted(Path(folder, name.replace(" ", "_")).glob("*.jpg"))
        for name in people
    }
    pictures = {name: [plt.imread(path) for path in paths[name]] for name in people}
    size, settings = 96, {}
    detectors = dict.fromkeys(people)
else:
    people = ["astronaut", "cat"]
    pictures = {
        "astronaut": [astronaut()[:220, x : x + 250] for x in range(80, 120)],
        "cat": [chelsea()[:, x : x + 410] for x in range(40)],
    }
    detectors = {"astronaut": "lbp", "cat": find_cat}
    size = 48
    settings = {
        "width": 12,
        "max_iter": 60,
        "learning_rate_init": 3e-3,
        "n_eigenfaces": 0,  # one picture, moved: eyes are now here, now there
        "warp": 0.015,
        "color_jitter": 0.0,
        "flip_probability": 0.0,
    }

# %%
# Faces
# -----
#
# Every fifth photograph is held out. Faces are found by their landmarks where the extra
# ``landmarks`` is installed, else by a cascade of scikit-image, unless there
# is a ``detector``, and cut out alike.

held_out = {name: pictures[name][::5] for name in people}
faces = {
    name: extract_faces(
        [picture for i, picture in enumerate(pictures[name]) if i % 5],
        size,
        detector=detectors[name],
    )
    for name in people
}
X = np.concatenate([faces[name].faces for name in people])
y = np.repeat(people, [len(faces[name]) for name in people])
print({name: len(faces[name]) for name in people})

# %%
# Training
# --------

swapper = FaceSwapper(**settings, random_state=0).fit(X, y)
X_test = [
    extract_faces(held_out[name][:6], size, detector=detectors[name]).faces
    for name in people
]
y_test = np.repeat(people, [len(x) for x in X_test])
error = -swapper.score(np.concatenate(X_test), y_test)
print(f"held-out faces by their own decoders: mean absolute error {error:.3f}")
SwapDisplay.from_estimator(swapper, np.concatenate(X_test), y_test, n_samples=3)

# %%
# Photographs
# -----------
#
# Left the photograph, right the other person in it. To keep such a picture, write it
# with :func:`sklearn_ae.faces.write_picture`: its metadata say that it is synthetic.

fig, axes = plt.subplots(2, 2, figsize=(7, 6), layout="constrained")
for line, source, target in zip(axes, people, people[::-1], strict=True):
    photo = held_out[source][2]
    swapped = swapper.swap_photo(
        photo, target, detector=detectors[source], on_no_face="unchanged"
    )
    for ax, image, title in zip(
        line, (photo, swapped), (source, f"{source} as {target}"), strict=True
    ):
        ax.imshow(image)
        ax.set_title(title.replace("_", " "))
        ax.set_axis_off()
# sphinx_gallery_thumbnail_number = 2
plt.show()
