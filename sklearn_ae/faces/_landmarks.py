"""Faces and their landmarks by MTCNN: needs the extra ``landmarks``.

Three small networks look at a picture one after the other (K. Zhang, Z. Zhang, Z. Li
and Y. Qiao, "Joint face detection and alignment using multitask cascaded convolutional
networks", IEEE Signal Processing Letters 23, 2016): one proposes boxes at every place
and size, the second looks at each again, the third at those that are left, and says
where eyes, nose and mouth are. Their weights are in the package `mtcnn` (MIT licence),
of which nothing else is used: its own code needs TensorFlow.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .._utils.extras import has_extra, import_extra
from ._pictures import in_colors

SMALLEST = 20  # pixels of the smallest face that is looked for
LONGEST = 1200  # pixels; larger pictures are made smaller, and faces with them
_WINDOW = 12  # pixels of the first network's window, which moves in steps of _STEP
_STEP = 2
_PYRAMID = 0.709  # each size of the picture over the one before
# Least probability of a face after each network, and the overlap of two finds of one.
_PROBABILITIES = (0.6, 0.7, 0.8)
_OVERLAP = 0.7


def has_mtcnn() -> bool:
    """Whether the weights are installed."""
    return has_extra("mtcnn") and has_extra("lz4")


def detect_mtcnn(
    image: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (n, 4), the largest first, and landmarks (n, 5, 2) of faces in a picture.

    Landmarks are the eyes, the nose and the corners of the mouth, those to the left in
    the picture first.
    """
    propose, refine, finish = _load_networks()
    x = torch.from_numpy(np.array(in_colors(image))).permute(2, 0, 1)[None]
    shrink = min(1.0, LONGEST / max(x.shape[-2:]))
    x = _resize(x.float(), shrink)
    x = (x - 127.5) / 128.0
    with torch.inference_mode():
        corners, scores = _propose(propose, x)
        corners, scores, _ = _look_again(refine, x, corners, 24, _PROBABILITIES[1])
        keep = _suppress(corners, scores)
        corners = _to_squares(corners[keep])
        corners, scores, points = _look_again(finish, x, corners, 48, _PROBABILITIES[2])
        keep = _suppress(corners, scores, of_smaller=True)
    # The middle of a pixel is half a pixel from its edge, whatever its size.
    edges = corners[keep].double().numpy() / shrink - 0.5
    landmarks = points[keep].double().numpy() / shrink - 0.5
    boxes = np.column_stack([edges[:, :2], edges[:, 2:] - edges[:, :2]])
    order = np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")
    return boxes[order], landmarks[order]


# Networks -----------------------------------------------------------------------------


class _Layers(nn.Sequential):
    """Convolutions (3 x 3, or as given) with PReLU and pooling between them.

    Pooling takes what is over at the right and below too, as Caffe does, in which these
    networks were trained.
    """

    def __init__(self, channels: list[int], sides: list[int], pools: list[int]):
        layers: list[nn.Module] = []
        for i, side in enumerate(sides):
            layers += [
                nn.Conv2d(channels[i], channels[i + 1], side),
                nn.PReLU(channels[i + 1]),
            ]
            if i < len(pools):
                layers += [nn.MaxPool2d(pools[i], 2, ceil_mode=True)]
        super().__init__(*layers)


class _Network(nn.Module):
    """What all three give: shifts of the corners, perhaps points, a probability."""

    def __init__(self, layers: nn.Module, heads: list[nn.Module]):
        super().__init__()
        self.layers = layers
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.layers(x)
        results = [head(x) for head in self.heads]
        return [*results[:-1], results[-1].softmax(dim=1)[:, 1]]


class _Mixed(nn.Sequential):
    """Layers, and a dense one that mixes all places: (n, c, h, w) -> (n, k)."""

    def __init__(self, layers: nn.Module, n_inputs: int, n_outputs: int):
        super().__init__(
            layers,
            _ColumnsFirst(),
            nn.Linear(n_inputs, n_outputs).float(),
            nn.PReLU(n_outputs),
        )


class _ColumnsFirst(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)


@lru_cache(maxsize=1)
def _load_networks() -> tuple[_Network, _Network, _Network]:
    import_extra("lz4", extra="landmarks", user="Finding landmarks")
    joblib = import_extra("joblib", extra="landmarks", user="Finding landmarks")
    spec = find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "Finding landmarks needs mtcnn, which is not installed: "
            "pip install 'sklearn_ae[landmarks]'"
        )
    folder = Path(spec.submodule_search_locations[0], "assets", "weights")
    networks = (
        _Network(
            _Layers([3, 10, 16, 32], [3, 3, 3], [2]),
            [nn.Conv2d(32, n, 1) for n in (4, 2)],
        ),
        _Network(
            _Mixed(_Layers([3, 28, 48, 64], [3, 3, 2], [3, 3]), 576, 128),
            [nn.Linear(128, n) for n in (4, 2)],
        ),
        _Network(
            _Mixed(_Layers([3, 32, 64, 64, 128], [3, 3, 3, 2], [3, 3, 2]), 1152, 256),
            [nn.Linear(256, n) for n in (4, 10, 2)],
        ),
    )
    for network, name in zip(networks, ("pnet", "rnet", "onet"), strict=True):
        weights = joblib.load(folder / f"{name}.lz4")
        for parameter, values in zip(network.parameters(), weights, strict=True):
            # Keras has the channels last, of the inputs before those of the outputs.
            axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(values.ndim)
            values = values.transpose(axes) if axes else values.reshape(-1)
            parameter.data = torch.from_numpy(np.ascontiguousarray(values)).float()
        network.eval().requires_grad_(False)
    return networks


# Stages -------------------------------------------------------------------------------


def _resize(x: Tensor, scale: float) -> Tensor:
    if scale == 1.0:
        return x
    size = [max(1, round(side * scale)) for side in x.shape[-2:]]
    # A pixel of a smaller picture is the mean of those that it stands for.
    if scale < 1.0:
        return F.interpolate(x, size=size, mode="area")
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _propose(network: _Network, x: Tensor) -> tuple[Tensor, Tensor]:
    """Corners (n, 4) of squares that may be faces, of all sizes, and probabilities."""
    all_corners, all_scores = [x.new_empty(0, 4)], [x.new_empty(0)]
    scale = _WINDOW / SMALLEST
    while scale * min(x.shape[-2:]) >= _WINDOW:
        shifts, scores = network(_resize(x, scale))
        rows, columns = torch.nonzero(scores[0] > _PROBABILITIES[0], as_tuple=True)
        found = shifts[0][:, rows, columns].T
        places = torch.stack([columns, rows], 1).float() * _STEP
        windows = torch.cat([places, places + _WINDOW], 1)
        corners = (windows + found * _WINDOW) / scale
        keep = _suppress(corners, scores[0, rows, columns], overlap=0.5)
        all_corners.append(corners[keep])
        all_scores.append(scores[0, rows, columns][keep])
        scale *= _PYRAMID
    corners, scores = torch.cat(all_corners), torch.cat(all_scores)
    keep = _suppress(corners, scores)
    return _to_squares(corners[keep]), scores[keep]


def _look_again(
    network: _Network, x: Tensor, corners: Tensor, side: int, least: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The squares that are faces to the network: better corners, scores, points."""
    if not len(corners):
        return corners, x.new_empty(0), x.new_empty(0, 5, 2)
    patches = torch.cat([_cut(x, square, side) for square in corners])
    shifts, *points, scores = network(patches)
    is_face = scores > least
    corners, scores = corners[is_face], scores[is_face]
    sizes = corners[:, 2:] - corners[:, :2]
    better = corners + shifts[is_face] * sizes.repeat(1, 2)
    if not points:
        return better, scores, x.new_empty(0)
    # Five places from the left, then five from the top, as shares of the square.
    shares = points[0][is_face].reshape(-1, 2, 5).transpose(1, 2)
    return better, scores, corners[:, None, :2] + shares * sizes[:, None]


def _cut(x: Tensor, square: Tensor, side: int) -> Tensor:
    """What is in a square, (1, 3, side, side); nothing, which is grey, over borders."""
    left, top, right, bottom = (round(value) for value in square.tolist())
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    height, width = x.shape[-2:]
    inside = x[:, :, max(top, 0) : bottom, max(left, 0) : right]
    over = [max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0)]
    if any(over):
        inside = F.pad(inside, over)
    if inside.shape[-1] < side:
        return F.interpolate(inside, (side, side), mode="bilinear", align_corners=False)
    return F.interpolate(inside, (side, side), mode="area")


def _to_squares(corners: Tensor) -> Tensor:
    middles = (corners[:, :2] + corners[:, 2:]) / 2.0
    half = (corners[:, 2:] - corners[:, :2]).amax(dim=1, keepdim=True) / 2.0
    return torch.cat([middles - half, middles + half], 1)


def _suppress(
    corners: Tensor, scores: Tensor, overlap: float = _OVERLAP, of_smaller: bool = False
) -> Tensor:
    """Numbers of the best boxes, without those that overlap a better one."""
    order = scores.argsort(descending=True, stable=True)
    areas = (corners[:, 2:] - corners[:, :2]).clamp(min=0.0).prod(dim=1)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(corners[best, :2], corners[rest, :2])
        high = torch.minimum(corners[best, 2:], corners[rest, 2:])
        common = (high - low).clamp(min=0.0).prod(dim=1)
        if of_smaller:
            whole = torch.minimum(areas[best], areas[rest])
        else:
            whole = areas[best] + areas[rest] - common
        order = rest[common <= overlap * whole]
    return torch.stack(kept) if kept else order
