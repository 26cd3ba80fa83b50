"""Optional packages: imported where they are used, and missed with a clear word."""

import importlib
import importlib.util
import warnings
from types import ModuleType

# Import name -> name on the package index, where the two differ.
_DISTRIBUTIONS = {
    "PIL": "Pillow",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "umap": "umap-learn",
}


def has_extra(module: str) -> bool:
    """Say whether an optional package is installed, without importing it."""
    return importlib.util.find_spec(module) is not None


def import_extra(
    module: str, extra: str = "compare", user: str = "The comparison of reducers"
) -> ModuleType:
    """Import an optional package.

    Parameters
    ----------
    module : str
        Name to import, such as "pandas" or "matplotlib.figure".

    extra : str
        The extra that installs the package.

    user : str
        What needs it.

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
            f"{user} needs {_DISTRIBUTIONS.get(package, package)}, "
            f"which is not installed: pip install 'sklearn_ae[{extra}]'"
        )
    with warnings.catch_warnings():
        # What a package says of its own optional parts while it is imported (umap
        # of a missing tensorflow) is of no use to someone comparing reducers.
        warnings.simplefilter("ignore")
        return importlib.import_module(module)
