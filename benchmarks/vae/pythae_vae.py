"""pythae's VAE with the networks of a model of ours, trained by pythae's trainer."""

import itertools
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklearn_ae import VAETransformer

LEARNING_RATE = 1e-3


def train_pythae(
    X: NDArray[np.float32],
    hidden: tuple[int, ...],
    activation: type[nn.Module],
    n_latents: int,
    n_epochs: int,
    batch_size: int,
    seed: int,
) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder after so many epochs with Adam at a constant rate."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    def mlp(*sizes: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for n_inputs, n_outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(n_inputs, n_outputs), activation()]
        return nn.Sequential(*layers[:-1])

    class Encoder(BaseEncoder):
        def __init__(self, network: nn.Module):
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Any:
            mean, log_var = self.network(x).chunk(2, dim=-1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self, network: nn.Module):
            super().__init__()
            self.network = network

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.network(z).sigmoid())

    n_features = X.shape[1]
    config = VAEConfig(
        input_dim=(n_features,), latent_dim=n_latents, reconstruction_loss="bce"
    )
    encoder = mlp(n_features, *hidden, 2 * n_latents)
    decoder = mlp(n_latents, *hidden[::-1], n_features)
    with TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            model=VAE(config, encoder=Encoder(encoder), decoder=Decoder(decoder)),
            train_dataset=BaseDataset(torch.from_numpy(X), torch.zeros(len(X))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=n_epochs,
                per_device_train_batch_size=batch_size,
                learning_rate=LEARNING_RATE,
                no_cuda=True,
                seed=seed,
            ),
        )
        trainer.train()
    return encoder, decoder


def as_transformer(
    encoder: nn.Module, decoder: nn.Module, n_latents: int, X: NDArray[np.float32]
) -> VAETransformer:
    """The two networks as they are, to be scored as ours are."""
    return VAETransformer(
        n_latents, encoder=encoder, decoder=decoder, loss="log_loss", max_iter=0
    ).fit(X)
