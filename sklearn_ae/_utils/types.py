"""Types that the public signatures share, by the names of their parameters."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import nn

Auto: TypeAlias = Literal["auto"]
Activation: TypeAlias = Literal[
    "identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu"
]
Callbacks: TypeAlias = list[Any] | tuple[Any, ...] | None
CorruptionName: TypeAlias = (
    Literal["gaussian", "masking", "salt_and_pepper", "swap", "block"]
    | Callable[..., Any]
)
DetectorName: TypeAlias = Literal["mtcnn", "lbp", "haar"] | Callable[..., Any] | None
Device: TypeAlias = str | torch.device
HiddenLayerSizes: TypeAlias = Auto | Sequence[int]
InferenceName: TypeAlias = Literal["auto", "refined", "encoder"]
Loss: TypeAlias = Literal["squared_error", "absolute_error", "log_loss"]
Metric: TypeAlias = Literal[
    "euclidean",
    "manhattan",
    "chebyshev",
    "cosine",
    "correlation",
    "braycurtis",
    "canberra",
    "precomputed",
]
Network: TypeAlias = nn.Module | Callable[..., nn.Module] | None
NumberOfLatents: TypeAlias = int | float | Auto | None
PathLike: TypeAlias = str | os.PathLike[str]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
RandomState: TypeAlias = int | np.random.RandomState | None
Shape: TypeAlias = Sequence[int] | None
