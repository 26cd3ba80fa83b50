"""Autoencoders that work like the rest of scikit-learn.

Replace ``PCA(k)`` by ``AutoencoderTransformer(k)`` in a Pipeline and change nothing
else.
"""

from ._estimators.autoencoder import AutoencoderTransformer
from ._estimators.denoising import DenoisingAutoencoderTransformer
from ._estimators.detector import AutoencoderDetector
from ._estimators.files import load, save
from ._estimators.imputer import AutoencoderImputer
from ._estimators.neighbor_map import NeighborMapTransformer
from ._estimators.regressor import EncoderDecoderRegressor
from ._estimators.vae import VAETransformer
from ._utils.version import __version__
from .faces._swapper import FaceSwapper

__all__ = [
    "AutoencoderDetector",
    "AutoencoderImputer",
    "AutoencoderTransformer",
    "DenoisingAutoencoderTransformer",
    "EncoderDecoderRegressor",
    "FaceSwapper",
    "NeighborMapTransformer",
    "VAETransformer",
    "__version__",
    "load",
    "save",
]
