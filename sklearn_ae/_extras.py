"""Optional packages: imported where they are used, and missed with a clear word."""

import importlib
import importlib.util
import warnings
from types import ModuleType

# Import name -> name on the package index, where the two differ.
_DISTRIBUTIONS = {"umap": "umap-learn"}


def has_extra(module: str) -> bool:
    """Say whether an optional package is installed, without importing it."""
    return importlib.util.find_spec(module) is not None


def import_extra(module: str) -> ModuleType:
    """Import an optional package of the extra ``compare``.

    Parameters
    ----------
    module : str
        Name to import, such as "pandas" or "matplotlib.figure".

    Returns
    -------
    module : module
        The module named last.

    Raises
    ------
    ImportError
        Where the package is not installed; the message names the extra.
    """
    package = module.partition(".")[0]
    if not has_extra(package):
        raise ImportError(
            f"The comparison of reducers needs {_DISTRIBUTIONS.get(package, package)}, "
            "which is not installed: pip install 'sklearn_ae[compare]'"
        )
    with warnings.catch_warnings():
        # What a package says of its own optional parts while it is imported (umap
        # of a missing tensorflow) is of no use to someone comparing reducers.
        warnings.simplefilter("ignore")
        return importlib.import_module(module)
