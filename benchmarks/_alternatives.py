"""What people use instead, each as little code as makes it a transformer.

A class has ``fit``, ``transform`` and ``inverse_transform``, as a Pipeline wants them,
and nothing else: `benchmarks.alternatives` counts its lines. All get rows that are
standardised.
"""

from tempfile import TemporaryDirectory
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[Any]


class LectureAutoencoder:
    """The usual autoencoder of courses and blog posts, written down by hand.

    Encoder with layers of 300, 300 and k, decoder with 300, 300 and d, leaky ReLU
    between them, torch's random start, Adam at 1e-3 on the mean squared error, 50
    epochs in batches of 128, and no early stopping.
    """

    def __init__(
        self,
        n_components: int,
        *,
        random_state: int = 0,
        hidden_width: int = 300,
        n_epochs: int = 50,
        batch_size: int = 128,
    ):
        self.n_components = n_components
        self.random_state = random_state
        self.hidden_width = hidden_width
        self.n_epochs = n_epochs
        self.batch_size = batch_size

    def fit(self, X: Array, y: object = None) -> "LectureAutoencoder":
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            self.encoder = self._network(X.shape[1], self.n_components)
            self.decoder = self._network(self.n_components, X.shape[1])
            self._train(self._tensor(X))
        return self

    def _network(self, n_inputs: int, n_outputs: int) -> nn.Sequential:
        width = self.hidden_width
        network = nn.Sequential(
            nn.Linear(n_inputs, width),
            nn.LeakyReLU(),
            nn.Linear(width, width),
            nn.LeakyReLU(),
            nn.Linear(width, n_outputs),
        )
        return network.to(self.device)

    def _tensor(self, X: Array) -> Tensor:
        return torch.tensor(X, dtype=torch.float32, device=self.device)

    def _train(self, x: Tensor) -> None:
        model = nn.Sequential(self.encoder, self.decoder)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        for _ in range(self.n_epochs):
            # Shuffled once, so that every batch is a slice and nothing is collected.
            shuffled = x[torch.randperm(len(x)).to(x.device)]  # (n, d)
            for batch in shuffled.split(self.batch_size):
                loss = nn.functional.mse_loss(model(batch), batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    @torch.no_grad()
    def transform(self, X: Array) -> Array:
        return self.encoder(self._tensor(X)).cpu().numpy()

    @torch.no_grad()
    def inverse_transform(self, Z: Array) -> Array:
        return self.decoder(self._tensor(Z)).cpu().numpy()


class PyodAutoEncoder:
    """pyod's AutoEncoder, whose narrowest layer has k units; its networks are used
    directly, as it has no methods for latents and reconstructions."""

    def __init__(self, n_components: int, random_state: int = 0, **settings: Any):
        from pyod.models.auto_encoder import AutoEncoder

        self.detector = AutoEncoder(
            preprocessing=False, random_state=random_state, verbose=0, **settings
        )
        self.detector.hidden_neuron_list = [
            *self.detector.hidden_neuron_list,
            n_components,
        ]

    def fit(self, X: Array, y: object = None) -> "PyodAutoEncoder":
        self.detector.fit(X)
        self.detector.model.eval()
        return self

    @torch.no_grad()
    def transform(self, X: Array) -> Array:
        x = torch.tensor(X, dtype=torch.float32, device=self.detector.device)
        return self.detector.model.encoder(x).cpu().numpy()

    @torch.no_grad()
    def inverse_transform(self, Z: Array) -> Array:
        z = torch.tensor(Z, dtype=torch.float32, device=self.detector.device)
        return self.detector.model.decoder(z).cpu().numpy()


# What makes of pyod's AutoEncoder the autoencoder of the lectures: their layers and
# their number of epochs, without batch normalisation and dropout. Batches stay at its
# 32: it leaves out the last one, and of a table shorter than a batch nothing is left.
PYOD_AS_IN_LECTURES: dict[str, Any] = {
    "hidden_neuron_list": [300, 300],
    "epoch_num": 50,
    "batch_norm": False,
    "dropout_rate": 0.0,
}


class PythaeAutoencoder:
    """pythae's AE or VAE with its own encoder and its trainer, at the rate of its
    README. Its decoder ends in a sigmoid, for pixels: tables need one of their own."""

    def __init__(self, n_components: int, random_state: int = 0, kind: str = "AE"):
        self.n_components = n_components
        self.random_state = random_state
        self.kind = kind

    def fit(self, X: Array, y: object = None) -> "PythaeAutoencoder":
        from pythae import models
        from pythae.data.datasets import BaseDataset
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder
        from pythae.trainers import BaseTrainer, BaseTrainerConfig

        class Decoder(BaseDecoder):
            def __init__(self, n_inputs: int, n_outputs: int):
                super().__init__()
                self.network = nn.Sequential(
                    nn.Linear(n_inputs, 512), nn.ReLU(), nn.Linear(512, n_outputs)
                )

            def forward(self, z: Tensor) -> Any:
                return ModelOutput(reconstruction=self.network(z))

        torch.manual_seed(self.random_state)
        n_features = X.shape[1]
        config = getattr(models, f"{self.kind}Config")(
            input_dim=(n_features,), latent_dim=self.n_components
        )
        decoder = Decoder(self.n_components, n_features)
        self.model = getattr(models, self.kind)(config, decoder=decoder)
        x = torch.tensor(X, dtype=torch.float32)
        with TemporaryDirectory() as folder:
            BaseTrainer(
                model=self.model,
                train_dataset=BaseDataset(x, torch.zeros(len(x))),
                training_config=BaseTrainerConfig(
                    output_dir=folder, learning_rate=1e-3, seed=self.random_state
                ),
            ).train()
        self.model = self.model.cpu().eval()
        return self

    @torch.no_grad()
    def transform(self, X: Array) -> Array:
        x = torch.tensor(X, dtype=torch.float32)
        return self.model.encoder(x).embedding.numpy()

    @torch.no_grad()
    def inverse_transform(self, Z: Array) -> Array:
        z = torch.tensor(Z, dtype=torch.float32)
        return self.model.decoder(z).reconstruction.numpy()
