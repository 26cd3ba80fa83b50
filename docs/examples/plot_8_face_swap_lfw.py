"""
From photographs to a swapped photograph
========================================

The whole way: find faces in photographs, learn two people, and put the face of one into
a photograph of the other, in its colours and without a visible edge.

The photographs are those of Labeled Faces in the Wild. Set the environment variable
``SKLEARN_AE_LFW`` to a folder that has a folder of pictures per person, such as the
``lfw_funneled`` that :func:`sklearn.datasets.fetch_lfw_people` downloads, and take half
an hour. Otherwise one astronaut stands in for two people: as the photograph shows her,
and in a blue light.

Show no one doing what they did not do without their consent, and let no one take a
swapped picture for a photograph. Research and teaching on public data sets is what this
example is for.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import astronaut

from sklearn_ae import FaceSwapper
from sklearn_ae.faces import SwapDisplay, extract_faces

folder = os.environ.get("SKLEARN_AE_LFW")
if folder:
    people = ["Colin Powell", "Tony Blair"]
    paths = {
        name: sorted(Path(folder, name.replace(" ", "_")).glob("*.jpg"))
        for name in people
    }
    pictures = {name: [plt.imread(path) for path in paths[name]] for name in people}
    size, settings = 64, {}
else:
    people = ["plain", "blue"]
    views = [astronaut()[:220, shift : shift + 250] for shift in range(80, 120)]
    pictures = {
        "plain": views,
        "blue": [(view * [0.4, 0.6, 1.0]).astype(np.uint8) for view in views],
    }
    size, settings = 32, {"max_iter": 15, "width": 8, "color_jitter": 0.0}

# %%
# Faces
# -----
#
# The first fifth of the photographs is held out. Faces are found by a cascade that
# comes with scikit-image, and cut out with the same margin.

held_out = {name: pictures[name][: len(pictures[name]) // 5] for name in people}
faces = {
    name: extract_faces(pictures[name][len(held_out[name]) :], size) for name in people
}
X = np.concatenate([faces[name].faces for name in people])
y = np.repeat(people, [len(faces[name]) for name in people])
print({name: len(faces[name]) for name in people})

# %%
# Training
# --------

swapper = FaceSwapper(**settings, random_state=0).fit(X, y)
X_test = [extract_faces(held_out[name][:6], size).faces for name in people]
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

fig, axes = plt.subplots(2, 4, figsize=(10, 5), layout="constrained")
for line, source, target in zip(axes, people, people[::-1], strict=True):
    for number in range(2):
        photo = held_out[source][number]
        swapped = swapper.swap_photo(
            photo, target, color="lab" if folder else None, on_no_face="unchanged"
        )
        for ax, image in zip(line[2 * number :], (photo, swapped), strict=False):
            ax.imshow(image)
            ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(f"{source} as {target}")
plt.show()
