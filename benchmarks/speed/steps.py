"""Training steps: ours, others' of the same layers, and bare products.

What is timed is a function that runs one epoch over the same standardised rows and goes
on from where it was. All minimise the squared error with Adam, without weight decay.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet
from torch import Tensor, nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._estimators.base import FitTable
from sklearn_ae._tables.rows import Batches
from sklearn_ae._training.engine import trainer_of
from sklearn_ae._training.optimizer import Schedule
from sklearn_ae._training.options import TrainingOptions
from sklearn_ae._training.skorch_net import make_net

from .sizes import Shape, Size
from .targets import Measured, Target
from .timing import Run, interleaved, make_table, median_ratio

LEARNING_RATE = 1e-3
HAS_PYOD = importlib.util.find_spec("pyod") is not None

# Everybody whose steps are timed, as the tables and the targets call them.
NAMES = {
    "ours": "ours, the same layers",
    "bfloat16": "ours, bfloat16 products",
    "default": "ours, default network",
    "loop": "hand-written loop",
    "fused": "the same with fused Adam",
    "mlp": "MLPRegressor",
    "skorch": "skorch as it comes",
    "pyod": "pyod's AutoEncoder",
}


def measure_steps(size: Size) -> Measured:
    """Cost of a training step, as ratios to the bare matrix products."""
    rows, targets = [], []
    for shape in size.shapes:
        X = make_table(shape.n_rows, shape.n_columns)
        X = StandardScaler().fit_transform(X)
        seconds = interleaved(make_epochs(shape, X), size.repeats)
        ratios = seconds.div(seconds["products"], axis=0).median()
        products = seconds.pop("products").median() / shape.n_steps
        row = {"shape": shape.name, "products_us": 1e6 * products}
        rows.append(row | {name: ratios[name] for name in seconds})
        what = f"step, {shape.name}: over the bare products"
        if np.isfinite(shape.limit):
            targets.append(Target(what, ratios["ours"], shape.limit))
        if shape.n_columns >= 784:
            what = f"step, {shape.name}, bfloat16: over the bare float32 products"
            targets.append(Target(what, ratios["bfloat16"], 0.6))
        for name in ("mlp", "fused"):
            ratio = median_ratio(seconds["ours"], seconds[name])
            what = f"step, {shape.name}: over {NAMES[name]}"
            targets.append(Target(what, ratio, 1.0))
    return rows, targets


def make_epochs(shape: Shape, X: NDArray[np.float32]) -> dict[str, Run]:
    """One epoch of everybody, by name; "products" are the bare matrix products."""
    x = torch.from_numpy(X)
    model = AutoencoderTransformer(
        shape.n_components,
        hidden_layer_sizes=shape.hidden,
        batch_size=shape.batch_size,
        learning_rate_init=LEARNING_RATE,
        alpha=0.0,
        device="cpu",
        precision="float32",
    )
    same = clone(model).set_params(init="random", activation="relu")
    loops = {
        name: HandWrittenLoop(shape.widths, shape.batch_size, fused=name == "fused")
        for name in ("loop", "fused")
    }
    epochs: dict[str, Run] = {
        "products": training_products(shape),
        "ours": our_epoch(same, X),
        "bfloat16": our_epoch(clone(same).set_params(precision="bfloat16"), X),
        "default": our_epoch(model, X),
        **{name: partial(loop.epoch, x) for name, loop in loops.items()},
        "mlp": mlp_epoch(shape.widths, shape.batch_size, X),
        "skorch": skorch_epoch(shape, X),
    }
    if HAS_PYOD:
        epochs["pyod"] = pyod_epoch(shape, X)
    return epochs


# Ours ---------------------------------------------------------------------------------


def untrained(model: AutoencoderTransformer, X: NDArray[Any]) -> AutoencoderTransformer:
    """The model before its first step, whatever its max_iter."""
    return clone(model).set_params(max_iter=0).fit(X)


def our_epoch(
    model: AutoencoderTransformer, X: NDArray[Any], n_rows: int | None = None
) -> Run:
    """An epoch over the first rows of X, as `fit` runs it between its validations."""
    module = untrained(model, X).module_
    x = module.standardize(torch.from_numpy(X))[:n_rows]
    design = model._make_design(FitTable(X, X.shape[1]), columns=None)
    return engine_epoch(module, x, design.recipe.options(len(x), module))


def engine_epoch(module: Any, x: Tensor, options: TrainingOptions) -> Run:
    # The schedule is to last longer than the measurements.
    options = replace(options, n_epochs=10_000)
    net = make_net(module, options)
    batches = Batches(x, options.batch_size, torch.Generator().manual_seed(0))
    schedule = Schedule(options.learning_rate, options.n_epochs * len(batches))

    def epoch() -> float:
        with trainer_of(net, options, torch.Generator()) as trainer:
            return trainer.run_epoch(batches, schedule)

    return epoch


# Others -------------------------------------------------------------------------------


def make_mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths; ReLU between them, but not at the latents."""
    layers: list[nn.Module] = []
    for n_inputs, n_outputs in pairwise(widths):
        layers += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
    latents = 2 * (len(widths) // 2) - 1
    return nn.Sequential(*layers[:latents], *layers[latents + 1 : -1])


class HandWrittenLoop:
    """What one writes by hand: autograd, batches as slices of one tensor, Adam."""

    def __init__(self, widths: Sequence[int], batch_size: int, *, fused: bool):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = make_mlp(widths)
        self.batch_size = batch_size
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=LEARNING_RATE, fused=fused
        )
        self.generator = torch.Generator().manual_seed(0)

    def epoch(self, x: Tensor) -> None:
        order = torch.randperm(len(x), generator=self.generator)
        for rows in order.split(self.batch_size):
            batch = x[rows]
            loss = nn.functional.mse_loss(self.network(batch), batch)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def predict(self, x: Tensor) -> NDArray[np.float32]:
        return self.network(x).numpy()


def make_regressor(widths: Sequence[int], batch_size: int) -> MLPRegressor:
    """MLPRegressor with these layers; partial_fit(X, X) is an epoch of it."""
    return MLPRegressor(
        hidden_layer_sizes=tuple(widths[1:-1]),
        batch_size=batch_size,
        learning_rate_init=LEARNING_RATE,
        alpha=0.0,
        random_state=0,
    )


def mlp_epoch(widths: Sequence[int], batch_size: int, X: NDArray[np.float32]) -> Run:
    regressor = make_regressor(widths, batch_size)
    return partial(regressor.partial_fit, X, X)


def skorch_epoch(shape: Shape, X: NDArray[np.float32]) -> Run:
    """A skorch net as it comes, with its data loader and its default callbacks."""
    net = NeuralNet(
        make_mlp(shape.widths),
        criterion=nn.MSELoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        max_epochs=1,
        batch_size=shape.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    return partial(net.partial_fit, X, X)


def pyod_epoch(shape: Shape, X: NDArray[np.float32]) -> Run:
    """Pyod's training loop, with its data set and loader; its latents pass a ReLU."""
    from pyod.models.auto_encoder import AutoEncoder
    from pyod.utils.torch_utility import TorchDataset

    detector = AutoEncoder(
        hidden_neuron_list=[*shape.hidden, shape.n_components],
        batch_size=shape.batch_size,
        lr=LEARNING_RATE,
        epoch_num=1,
        batch_norm=False,
        dropout_rate=0.0,
        optimizer_params={"weight_decay": 0.0},
        verbose=0,
    )
    detector.fit(X[: shape.batch_size])
    rows = TorchDataset(X=X, y=None, mean=detector.X_mean, std=detector.X_std)
    loader = torch.utils.data.DataLoader(
        rows, batch_size=shape.batch_size, shuffle=True, drop_last=True
    )
    return partial(detector.train, loader)


# Bare products ------------------------------------------------------------------------


def training_products(shape: Shape) -> Run:
    """The products of an epoch's steps, from and to memory that is there already.

    Per layer x @ W', and backward dy' @ x and dy @ W; the last not for the first
    layer, as nobody asks for the gradient of the data.
    """
    generator = torch.Generator().manual_seed(0)
    n = shape.batch_size

    def random(*size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    forward, backward = [], []
    for i, (n_in, n_out) in enumerate(pairwise(shape.widths)):
        x, dy, weight = random(n, n_in), random(n, n_out), random(n_out, n_in)
        forward.append((x, weight.t(), torch.empty_like(dy)))
        backward.append((dy.t(), x, torch.empty_like(weight)))
        if i > 0:
            backward.append((dy, weight, torch.empty_like(x)))
    products = forward + backward[::-1]

    def epoch() -> None:
        for _ in range(shape.n_steps):
            for a, b, out in products:
                torch.mm(a, b, out=out)

    return epoch
