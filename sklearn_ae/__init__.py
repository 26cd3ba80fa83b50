"""Autoencoders that work like the rest of scikit-learn.

Replace ``PCA(k)`` by ``AutoencoderTransformer(k)`` in a Pipeline and change nothing
else.
"""

from ._autoencoder import AutoencoderTransformer
from ._denoising import DenoisingAutoencoderTransformer
from ._face_swapper import FaceSwapper
from ._regressor import EncoderDecoderRegressor
from ._vae import VAETransformer

__version__ = "0.1.0"

__all__ = [
    "AutoencoderTransformer",
    "DenoisingAutoencoderTransformer",
    "EncoderDecoderRegressor",
    "FaceSwapper",
    "VAETransformer",
    "__version__",
]
