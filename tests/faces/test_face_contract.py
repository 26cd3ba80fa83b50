"""scikit-learn's own checks of the face swapper, in several settings."""

import pytest
from contract import with_checks
from scipy.special import expit

import sklearn_ae

# The checks' tables are short, and so are these trainings.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Fewer than 25 pictures:UserWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


class FaceSwapper(sklearn_ae.FaceSwapper):
    """Takes rows of any values and any number of columns.

    Faces have values in [0, 1], and sides that halve. scikit-learn's checks feed
    others, and no tag asks them for these. So rows are taken to (0, 1) right after
    their validation, and are pictures of a pixel's height. Everything behind that is
    left as it is, and so is the class's name, which the checks compare with the names
    of the latents.
    """

    def _to_unit_interval(self, X):
        return expit(X)

    def _find_image_shape(self, shape, n_features):
        return 1, n_features, 1


SMALL = {"width": 1, "max_iter": 2}


# Each setting leads through lines of code of its own.
@with_checks(
    [
        # Everything else is the default: both parts of the loss, all of augmentation.
        FaceSwapper(**SMALL),
        # Faces held out; one part of the loss alone, and the precision of the steps.
        FaceSwapper(
            ssim_weight=1.0, early_stopping=True, precision="bfloat16", **SMALL
        ),
        # Training goes on; the other part alone, other latents, no augmentation.
        FaceSwapper(
            3, ssim_weight=0.0, warm_start=True, color_jitter=0.0, warp=0.0, **SMALL
        ),
    ]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
