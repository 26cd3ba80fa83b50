"""Figures of fitted autoencoders, as scikit-learn's displays.

``Display.from_estimator(...)`` computes and draws; the display keeps what it has
computed and drawn, and ``display.plot(ax=...)`` draws it again elsewhere. They take any
estimator with the methods they call, such as PCA or a Pipeline. They need matplotlib:
``pip install 'sklearn_ae[compare]'``.
"""

from ._column_effects import ColumnEffectsDisplay
from ._explained_variance import ExplainedVarianceDisplay
from ._latent_map import LatentMapDisplay
from ._latent_space import LatentSpaceDisplay
from ._latent_traversal import LatentTraversalDisplay
from ._reconstruction import ReconstructionDisplay
from ._samples import SamplesDisplay
from ._training_curve import TrainingCurveDisplay

__all__ = [
    "ColumnEffectsDisplay",
    "ExplainedVarianceDisplay",
    "LatentMapDisplay",
    "LatentSpaceDisplay",
    "LatentTraversalDisplay",
    "ReconstructionDisplay",
    "SamplesDisplay",
    "TrainingCurveDisplay",
]
