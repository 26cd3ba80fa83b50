"""A user's file that ``mypy --strict`` has nothing to say about.

``.ci/run mypy`` looks at it as it would in a project that has this package installed.
Calls that are wrong carry the error that they have to give: one that gives none fails.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import torch
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from torch import nn

from sklearn_ae import (
    AutoencoderDetector,
    AutoencoderImputer,
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    FaceSwapper,
    NeighborMapTransformer,
    VAETransformer,
    load,
    save,
)
from sklearn_ae.comparison import compare_reducers, latent_agreement, map_quality
from sklearn_ae.data import ParquetTable, to_npy
from sklearn_ae.datasets import load_mnist
from sklearn_ae.distributed import fit
from sklearn_ae.export import OnnxMismatchError, to_onnx
from sklearn_ae.faces import (
    ExtractedFaces,
    FaceExtractor,
    load_face_swapper,
    resume_training,
)
from sklearn_ae.metrics import distance_to_closest_record, reconstruction_r2
from sklearn_ae.plotting import LatentSpaceDisplay, TrainingCurveDisplay
from sklearn_ae.serving import PreparedMethod, prepare


def latents_of(X: np.ndarray) -> np.ndarray:
    return AutoencoderTransformer(3, activation="relu").fit_transform(X)


def reduce(X: np.ndarray, folder: Path) -> float:
    autoencoder = AutoencoderTransformer(
        n_components=0.9,
        hidden_layer_sizes=(64, 32),
        categorical_features=["town"],
        random_state=np.random.RandomState(0),
        device=torch.device("cpu"),
        checkpoint=folder,
    )
    assert_type(autoencoder.fit(X), AutoencoderTransformer)
    assert_type(autoencoder.partial_fit(X), AutoencoderTransformer)
    assert_type(autoencoder.transform(X), np.ndarray)
    assert_type(autoencoder.score_samples(X), np.ndarray)
    assert_type(autoencoder.get_params(), dict[str, Any])
    assert_type(autoencoder.set_params(alpha=0.5), AutoencoderTransformer)
    assert_type(autoencoder.set_output(transform="pandas"), AutoencoderTransformer)
    assert_type(autoencoder.get_feature_names_out(), np.ndarray)
    assert_type(autoencoder.truncate(1), AutoencoderTransformer)
    assert_type(autoencoder.explained_variance_ratio_, np.ndarray)
    assert_type(autoencoder.n_iter_, int)
    assert_type(autoencoder.loss_curve_, list[float])
    assert_type(autoencoder.encoder_, nn.Module)
    # An array, or a frame where `fit` was given one.
    assert_type(autoencoder.inverse_transform(autoencoder.transform(X)), Any)
    assert_type(autoencoder.column_effects().effects, Any)
    pipeline = make_pipeline(autoencoder).fit(X)
    save(autoencoder, folder / "model.safetensors")
    assert_type(load(folder / "model.safetensors"), Any)
    assert_type(reconstruction_r2(pipeline, X), float)
    return autoencoder.score(X)


def learn_a_density(X: np.ndarray, y: np.ndarray) -> None:
    vae = VAETransformer(2, conditional=True, beta=0.5).fit(X, y)
    assert_type(vae, VAETransformer)
    assert_type(vae.fit_transform(X, y), np.ndarray)
    assert_type(vae.noise_variance_, float | np.ndarray)
    assert_type(vae.posterior(X, y), tuple[np.ndarray, np.ndarray])
    vae.sample(10, prior="aggregated", y=y[:10])
    assert_type(distance_to_closest_record(X, X), np.ndarray)


def do_the_rest(X: np.ndarray, y: np.ndarray, folder: Path) -> None:
    denoiser = DenoisingAutoencoderTransformer(8, corruption="masking").fit(X)
    map_of_rows = NeighborMapTransformer(metric="cosine").fit_transform(X)
    regressor = EncoderDecoderRegressor(4, skip_connections="auto").fit(X, y)
    assert_type(regressor.predict(X), np.ndarray)
    assert_type(regressor.score(X, y), float)
    detector = AutoencoderDetector(denoiser, contamination=0.05).fit(X)
    assert_type(detector.fit_predict(X), np.ndarray)
    assert_type(detector.offset_, float)
    imputer = AutoencoderImputer(8, estimator=denoiser, add_indicator=True).fit(X)
    assert_type(imputer.indicator_features_, np.ndarray)
    assert_type(imputer.set_output(transform="pandas"), AutoencoderImputer)
    assert_type(prepare(denoiser, dtype=np.float32), PreparedMethod)
    assert_type(prepare(denoiser)(X), np.ndarray)
    with suppress(OnnxMismatchError):
        assert_type(to_onnx(denoiser, folder / "denoiser.onnx", X), Path)
    LatentSpaceDisplay.from_estimator(denoiser, X, y).plot()
    display = TrainingCurveDisplay.from_estimator(denoiser)
    assert_type(display, TrainingCurveDisplay)
    map_quality(X, map_of_rows)
    latent_agreement(map_of_rows, denoiser.transform(X))
    compare_reducers(X, y, n_components=[2, 4])
    assert_type(load_mnist(split="test"), tuple[np.ndarray, np.ndarray])
    fit(denoiser, to_npy(ParquetTable("table.parquet"), folder / "table.npy"))


def swap_faces(X: np.ndarray, y: np.ndarray, folder: Path) -> np.ndarray:
    swapper = FaceSwapper(max_iter=10, image_shape=(64, 64, 3)).fit(X, y)
    assert_type(swapper, FaceSwapper)
    assert_type(load_face_swapper(folder / "faces.safetensors"), FaceSwapper)
    resume_training(folder / "faces.safetensors", X, y, max_iter=20)
    assert_type(FaceExtractor(64).extract("photos"), ExtractedFaces)
    return swapper.swap(X, target="b")


def be_wrong(X: np.ndarray) -> None:
    AutoencoderTransformer(activation="swish")  # type: ignore[arg-type]
    AutoencoderTransformer(n_component=2)  # type: ignore[call-arg]
    VAETransformer().sample("ten")  # type: ignore[arg-type]
    prepare(AutoencoderTransformer(), "encode")  # type: ignore[arg-type]
