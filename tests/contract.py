"""scikit-learn's checks, each for the settings that it can tell apart."""

from functools import partial

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

# In what containers and types tables come is seen to before settings count: these
# checks, of a dozen fits each, are of the first setting of each class. So are checks
# that are there a second time, with rows that nothing can write to: that a setting
# writes to none, check_readonly_memmap_input sees, and every test with the fixture X.
# Not so where the rows are of another type as well, or where it is the fitted estimator
# that nothing can write to: what it holds depends on the settings.
OF_CONTAINERS = {
    "check_dtype_object",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimators_dtypes",
    "check_regressor_data_not_an_array",
    "check_sample_weight_equivalence_on_sparse_data",
    "check_sample_weights_list",
    "check_sample_weights_not_an_array",
    "check_sample_weights_pandas_series",
    "check_sample_weights_shape",
    "check_transformer_data_not_an_array",
}
# A pipeline of one step does what the step does where a fit has the same bits again,
# which check_fit_idempotent sees for all settings, as check_fit_score_takes_y sees that
# score and fit_transform run.
OF_CLASSES = {"check_pipeline_consistency"}


def with_checks(*settings):
    """Parametrize a test by checks of estimators: a list of settings for each class."""
    first = parametrize_with_checks([estimators[0] for estimators in settings])
    others = parametrize_with_checks([e for es in settings for e in es[1:]])
    of_settings = (pair for pair in others.args[1] if not is_of_first(pair[1]))
    make_name, known = first.kwargs["ids"], {}

    def name(value):
        # Each setting comes with every check, and is shown in full in its name.
        if id(value) not in known:
            known[id(value)] = make_name(value), value
        return known[id(value)][0]

    pairs = [*first.args[1], *of_settings]
    return pytest.mark.parametrize(("estimator", "check"), pairs, ids=name)


def is_of_first(check):
    is_repeated = False
    while isinstance(check, partial):
        is_repeated |= check.keywords == {"readonly_memmap": True}
        check = check.func
    is_repeated &= check.__name__ != "check_estimators_pickle"
    return is_repeated or check.__name__ in OF_CONTAINERS | OF_CLASSES
