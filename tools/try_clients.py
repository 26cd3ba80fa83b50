"""Programs that take long to install, each tried with our estimators.

python tools/try_clients.py                  each in a virtual environment of its own
python tools/try_clients.py --here shap      in this one; what is missing is said

Those that install within seconds have a test in ``tests/clients``.
"""

import argparse
import datetime
import importlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]


def fitted() -> tuple[Any, np.ndarray]:
    from sklearn.datasets import load_iris

    from sklearn_ae import AutoencoderTransformer

    X = load_iris().data
    return AutoencoderTransformer(2, max_iter=5, early_stopping=False).fit(X), X


def category_encoders() -> None:
    import pandas as pd
    from category_encoders import TargetEncoder
    from sklearn.pipeline import make_pipeline

    estimator, X = fitted()
    frame = pd.DataFrame(X).assign(town=list("abc") * 50)
    frame.columns = frame.columns.astype(str)
    pipeline = make_pipeline(TargetEncoder(cols=["town"]), estimator)
    assert pipeline.fit_transform(frame, np.arange(150) % 2).shape == (150, 2)


def skrub() -> None:
    import pandas as pd
    from skrub import tabular_pipeline

    from sklearn_ae import EncoderDecoderRegressor

    _, X = fitted()
    frame = pd.DataFrame(X, columns=list("abcd")).assign(town=list("xyz") * 50)
    regressor = EncoderDecoderRegressor(2, max_iter=5, early_stopping=False)
    pipeline = tabular_pipeline(regressor).fit(frame, X[:, 0])
    assert pipeline.predict(frame).shape == (150,)


def shap() -> None:
    import shap

    estimator, X = fitted()
    explainer = shap.KernelExplainer(estimator.score_samples, X[:10])
    values = explainer.shap_values(X[:2], nsamples=50, silent=True)
    whole = explainer.expected_value + values.sum(axis=1)
    np.testing.assert_allclose(whole, estimator.score_samples(X[:2]), atol=1e-6)


def mlflow() -> None:
    import mlflow.sklearn

    estimator, X = fitted()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        kind = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
        mlflow.sklearn.save_model(estimator, path, skops_trusted_types=[kind])
        loaded = mlflow.sklearn.load_model(path)
    np.testing.assert_array_equal(loaded.transform(X), estimator.transform(X))


def dask_ml() -> None:
    import dask.array as da
    from dask_ml.wrappers import ParallelPostFit

    estimator, X = fitted()
    Z = ParallelPostFit(estimator).transform(da.from_array(X, chunks=(50, 4)))
    np.testing.assert_allclose(Z.compute(), estimator.transform(X), atol=1e-9)


def scanpy() -> None:
    import anndata
    import scanpy

    estimator, X = fitted()
    cells = anndata.AnnData(X)
    cells.obsm["X_ae"] = estimator.transform(cells.X)
    scanpy.pp.neighbors(cells, use_rep="X_ae")
    assert cells.obsp["distances"].shape == (150, 150)


def loky() -> None:
    import joblib

    estimator, X = fitted()
    with joblib.parallel_config("loky", n_jobs=2):
        parts = joblib.Parallel()(
            joblib.delayed(estimator.transform)(part) for part in (X[:70], X[70:])
        )
    np.testing.assert_array_equal(np.concatenate(parts), estimator.transform(X))


def notebook() -> None:
    import nbclient
    import nbformat

    code = (
        "from sklearn.datasets import load_iris\n"
        "from sklearn_ae import AutoencoderTransformer\n"
        "AutoencoderTransformer(2, max_iter=2).fit(load_iris().data)"
    )
    cells = [nbformat.v4.new_code_cell(code)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120).execute()
    (output,) = [o for o in notebook.cells[0].outputs if "data" in o]
    assert "AutoencoderTransformer" in output["data"]["text/html"]


def fastapi() -> None:
    from fastapi.testclient import TestClient

    sys.path.insert(0, str(ROOT))
    from sklearn.datasets import load_breast_cancer

    from benchmarks.serving import make_app

    client = TestClient(make_app())
    row = load_breast_cancer().data[0].tolist()
    assert len(client.post("/latents", json=row).json()) == 2
    assert client.post("/latents", json=row[:3]).status_code == 422


# By the name of the module that shows that it is there: what to install, and to try.
CLIENTS: dict[str, tuple[list[str], Callable[[], None]]] = {
    "category_encoders": (["category_encoders"], category_encoders),
    "dask_ml": (["dask-ml"], dask_ml),
    "fastapi": (["fastapi", "httpx", "sklearn_ae[onnx]"], fastapi),
    "loky": (["loky"], loky),
    "mlflow": (["mlflow", "skops"], mlflow),
    "nbclient": (["nbclient", "ipykernel"], notebook),
    "scanpy": (["scanpy"], scanpy),
    "shap": (["shap"], shap),
    "skrub": (["skrub"], skrub),
}


def tried_here(name: str) -> str:
    _, attempt = CLIENTS[name]
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        return f"not installed ({error})"
    try:
        attempt()
    except Exception as error:
        return f"FAILED {type(error).__name__}: {error}"
    return f"works ({name} {module.__version__})"


def tried_apart(name: str) -> str:
    """In an environment of its own, with this repository's package."""
    needs, _ = CLIENTS[name]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder, "bin", "python"))
        extras = [need.replace("sklearn_ae", str(ROOT)) for need in needs]
        install = [python, "-m", "pip", "install", "-q", f"{ROOT}[compare]", *extras]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"did not install: {done.stderr.strip().splitlines()[-1]}"
        command = [python, __file__, "--here", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip().partition(": ")[2] or done.stderr.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clients", nargs="*", metavar="NAME", default=list(CLIENTS))
    parser.add_argument("--here", action="store_true", help="in this environment")
    options = parser.parse_args()
    if unknown := set(options.clients) - set(CLIENTS):
        parser.error(f"no client {', '.join(sorted(unknown))}: {', '.join(CLIENTS)}")
    if not options.here:
        print(datetime.date.today().isoformat(), sys.version.split()[0])
    has_failed = False
    for name in options.clients:
        result = tried_here(name) if options.here else tried_apart(name)
        has_failed |= not result.startswith(("works", "not installed"))
        print(f"{name}: {result}", flush=True)
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
