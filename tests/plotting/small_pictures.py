"""Images of four features, and the images that a mosaic is made of."""

import numpy as np

IMAGE = {"image_shape": (2, 2)}


def tiles(image, n_lines, n_columns, height=2, width=2, gap=1):
    """Cut a mosaic into the rows that it shows, line by line."""
    canvas = np.asarray(image.get_array())
    step = height + gap, width + gap
    return np.array(
        [
            canvas[i * step[0] :][:height, j * step[1] :][:, :width].ravel()
            for i in range(n_lines)
            for j in range(n_columns)
        ]
    )
