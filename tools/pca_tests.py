"""Run scikit-learn's own tests of PCA against AutoencoderTransformer.

python tools/pca_tests.py
python tools/pca_tests.py -k "not sparse"    those that pytest chooses so

The files of tests are those of the installed scikit-learn, for PCA, IncrementalPCA and
KernelPCA; the estimator of this package stands there under their names, with
``max_iter=0``, at which it is PCA. Parameters that say how PCA is computed are taken
and change nothing. Sparse tables are smaller than theirs, which take minutes. A test
that fails has to be among those that cannot hold, below with the reason. Another one
makes the exit status 1, and so does one that is listed and holds.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest
from sklearn.decomposition import tests as theirs

STAND_IN = '''
from inspect import Parameter, signature

import numpy as np
import pytest
from sklearn_ae import AutoencoderTransformer

OWN = signature(AutoencoderTransformer.__init__)


def taking(name, **ignored):
    """The estimator under another's name, with parameters of that one's besides."""
    defaults = {"n_components": None, "max_iter": 0}
    more = {key: value for key, value in ignored.items() if key not in OWN.parameters}

    def __init__(self, n_components=None, **given):
        own = {key: given.pop(key) for key in list(given) if key in OWN.parameters}
        # What stops a solver is nothing that stops a training of no epochs.
        AutoencoderTransformer.__init__(self, n_components, **{**own, "max_iter": 0})
        self.__dict__.update({**more, **given})

    __init__.__signature__ = OWN.replace(
        parameters=[
            *(
                parameter.replace(default=defaults.get(key, parameter.default))
                for key, parameter in OWN.parameters.items()
            ),
            *(
                Parameter(key, Parameter.KEYWORD_ONLY, default=value)
                for key, value in more.items()
            ),
        ]
    )
    return type(name, (AutoencoderTransformer,), {"__init__": __init__})


PCA = taking(
    "PCA",
    copy=True,
    whiten=False,
    svd_solver="auto",
    tol=0.0,
    iterated_power="auto",
    n_oversamples=10,
    power_iteration_normalizer="auto",
)
IncrementalPCA = taking("IncrementalPCA", whiten=False, copy=True, batch_size="auto")
KernelPCA = taking(
    "KernelPCA",
    kernel="linear",
    gamma=None,
    degree=3,
    coef0=1,
    kernel_params=None,
    alpha=1.0,
    fit_inverse_transform=False,
    eigen_solver="auto",
    tol=0,
    max_iter=None,
    iterated_power="auto",
    remove_zero_eig=False,
    copy_X=True,
    n_jobs=None,
)


# As scikit-learn's own.


@pytest.fixture
def global_random_seed():
    return 42


@pytest.fixture
def global_dtype():
    return np.float64
'''

# The estimator of each file that ours stands for; others of the file stay as they are.
FILES = {
    "test_pca": "PCA",
    "test_incremental_pca": "IncrementalPCA",
    "test_kernel_pca": "KernelPCA",
}

# Tables of theirs that take nearly all of the time, and smaller ones.
SPARSE_TABLES = "SPARSE_M, SPARSE_N = 1000, 300", "SPARSE_M, SPARSE_N = 100, 30"

# Why tests cannot hold, and the beginnings of their names (or patterns of these).
REASONS: dict[str, tuple[str, ...]] = {
    "a surface that bends has no components_, singular_values_, noise_variance_ or "
    "covariance; explained_variance_ and column_effects are what there is": (
        r"pca::test_pca\[",
        r"pca::test_pca_sparse(_fit_transform)?\[",
        r"pca::test_sparse_pca_auto_arpack_singular_values_consistency",
        r"pca::test_pca_solver_equivalence",
        r"pca::test_pca_singular_values",
        r"pca::test_pca_sanity_noise_variance",
        r"pca::test_pca_zero_noise_variance_edge_cases",
        r"pca::test_pca_svd_solver_auto",
        r"pca::test_pca_dtype_preservation",
        r"pca::test_pca_randomized_svd_n_oversamples",
        r"incremental_pca::test_incremental_pca$",
        r"incremental_pca::test_incremental_pca_sparse",
        r"incremental_pca::test_n_components_none",
        r"incremental_pca::test_incremental_pca_batch_",
        r"incremental_pca::test_incremental_pca_partial_fit",
        r"incremental_pca::test_incremental_pca_fit_overflow_error",
        r"incremental_pca::test_explained_variances",
        r"incremental_pca::test_singular_values",
        r"kernel_pca::test_kernel_pca_precomputed_non_symmetric",
        r"kernel_pca::test_kernel_conditioning",
    ),
    'n_components takes "auto" where PCA takes "mle"': (
        r"pca::test_n_components_mle\[",
        r"pca::test_pca_dim$",
        r"pca::test_mle_",
        r"pca::test_fit_mle_too_few_samples",
    ),
    "there are no solvers, whose limits are errors of their own": (
        r"pca::test_sparse_pca_solver_error",
        r"pca::test_n_components_mle_error",
        r"pca::test_n_components_none\[data0-arpack",
        r"pca::test_pca_validation",
        r"incremental_pca::test_incremental_pca_validation",
    ),
    "as many latents as rows are one more than centred rows have axes": (
        r"pca::test_n_components_none\[data1-(full|randomized)",
    ),
    "no latents at all are no estimator": (r"pca::test_pca_score3",),
    "score is minus the reconstruction error, not a log-likelihood, which is "
    "VAETransformer's": (r"pca::test_pca_score\[",),
    "the networks' weights are in single precision": (
        r"(incremental_)?pca::test_whitening",
        r"pca::test_pca_explained_variance_empirical\[\w+-random-wide",
    ),
    "a share of the variance is that of held-out rows": (
        r"pca::test_infer_dim_by_explained_variance\[X2",
    ),
    "there are no kernels, and no inverse that has to be asked for": (
        r"kernel_pca::test_gridsearch_pipeline$",
        r"kernel_pca::test_kernel_pca_inverse_correct_gamma",
        r"kernel_pca::test_kernel_pca_invalid_parameters",
        r"kernel_pca::test_kernel_pca_precomputed$",
        r"kernel_pca::test_kernel_pca_raise_not_fitted_error",
        r"kernel_pca::test_kernel_pca_sparse",
        r"kernel_pca::test_nested_circles",
        r"kernel_pca::test_precomputed_kernel_not_psd",
        r"kernel_pca::test_remove_zero_eig",
    ),
}


def write_tests(folder: Path) -> None:
    """The files of tests, with our estimator in place of theirs."""
    (folder / "ours.py").write_text(STAND_IN, encoding="utf-8")
    for file, name in FILES.items():
        path = Path(theirs.__path__[0]) / f"{file}.py"
        lines = path.read_text(encoding="utf-8").splitlines()
        last = max(
            i
            for i, line in enumerate(lines)
            if re.match(r"from sklearn\.decomposition import ", line)
        )
        lines.insert(
            last + 1, f"from ours import {name}, global_dtype, global_random_seed"
        )
        text = "\n".join(lines) + "\n"
        text = text.replace(*SPARSE_TABLES)
        (folder / path.name).write_text(text, encoding="utf-8")


class Outcomes:
    """What became of each test, and the last line of what it failed with."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.failed: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = str(report.longrepr).strip().splitlines()[-1]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = str(report.longrepr) if crash is None else crash.message
            self.failed[report.nodeid] = message.strip().partition("\n")[0]
        elif report.passed and report.when == "call":
            self.passed.append(report.nodeid)


def reason_of(test: str) -> str | None:
    test = re.sub(r".*test_(\w+)\.py", r"\1", test)
    for reason, patterns in REASONS.items():
        if any(re.match(pattern, test) for pattern in patterns):
            return reason
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", default="", help="which tests, as pytest has it")
    chosen = parser.parse_args().k
    outcomes = Outcomes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tests(folder)
        sys.path.insert(0, name)
        options = ["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider"]
        options += ["-W", "ignore", "--rootdir", name, "-c", "/dev/null", "-k", chosen]
        options += ["--tb=native"]  # others read all files of a traceback anew
        pytest.main([*options, *(str(folder / f"{f}.py") for f in FILES)], [outcomes])
    reasons = {test: reason_of(test) for test in outcomes.failed}
    n_tests = len(outcomes.passed) + len(outcomes.failed)
    print(
        f"scikit-learn {version('scikit-learn')}: {len(outcomes.passed)} of {n_tests} "
        "hold"
    )
    for reason, n_failed in Counter(filter(None, reasons.values())).items():
        print(f"{n_failed:4d} cannot hold: {reason}")
    unexplained = [test for test, reason in reasons.items() if reason is None]
    for test in unexplained:
        print(f"FAILED {test}: {outcomes.failed[test]}")
    holding = [test for test in outcomes.passed if reason_of(test) is not None]
    for test in holding:
        print(f"HOLDS though it is listed: {test}")
    return 1 if unexplained or holding else 0


if __name__ == "__main__":
    sys.exit(main())
