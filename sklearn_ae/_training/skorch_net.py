"""skorch's net, its callbacks and its history, around a training of ours.

The only file that knows skorch. A net holds the module, the optimizer, the history and
the callbacks; the loop is the trainer's, since batches are slices of a tensor and need
no collation.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochScoring, EpochTimer, LRScheduler
from skorch.history import History
from torch import Tensor, nn

from .._networks.modules import Autoencoder
from .._utils.packing import CONVERTERS, Converter
from .objectives import Objective
from .optimizer import make_adam
from .options import TrainingOptions
from .trainer import Observer, StopTraining


class Net(NeuralNet):
    """A skorch net whose prediction is the loss that its objective steps by.

    Only documented extension points are replaced: what a batch's loss is, and how
    callbacks end the training.
    """

    objective = Objective()
    generator: torch.Generator | None = None

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [("epoch_timer", EpochTimer())]

    def infer(self, x: Tensor, **fit_params: Any) -> Tensor:
        if self.objective.is_of_rows:  # which callbacks may look at one by one
            return self.module_.loss(x, self.generator)
        return self.objective.step_loss(self.module_, x, self.generator)

    def get_loss(
        self, y_pred: Tensor, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        return y_pred.mean()

    def notify(self, method_name: str, **kwargs: Any) -> None:
        # skorch's callbacks stop the training by raising KeyboardInterrupt; the
        # user's Ctrl-C, which comes from anywhere else, must not look like that.
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as stop:
            raise StopTraining from stop

    def train_on(self, x: Tensor) -> Tensor:
        """A step on a batch with skorch's whole protocol, which callbacks expect."""
        self.notify("on_batch_begin", batch=(x, x), training=True)
        result = self.train_step((x, x))
        loss = result["loss"].detach()
        self.history.record_batch("train_loss", loss.item())
        self.history.record_batch("train_batch_size", len(x))
        self.notify("on_batch_end", batch=(x, x), training=True, **result)
        return loss


def make_net(
    module: Autoencoder,
    options: TrainingOptions,
    objective: Objective | None = None,
) -> Net:
    """A skorch net around the module, with Adam or AdamW."""
    net = Net(
        module,
        criterion=nn.Identity,  # the loss is the objective's
        optimizer=make_adam,
        optimizer__module=module,
        optimizer__weight_decay=options.weight_decay,
        optimizer__beta_2=options.beta_2,
        optimizer__is_watched=bool(options.callbacks),
        lr=options.learning_rate,
        train_split=None,
        callbacks=list(options.callbacks),
        device=options.device,
        verbose=0,
    )
    net.initialize()
    if objective is not None:
        net.objective = objective
    for group in net.optimizer_.param_groups:
        group["initial_lr"] = group["lr"]  # torch's schedulers ask, when they resume
    return net


def schedules_itself(net: Net) -> bool:
    """Whether a callback of the user's sets the learning rate."""
    return any(isinstance(callback, LRScheduler) for _, callback in net.callbacks_)


class SkorchObserver(Observer):
    """Tells a net's callbacks what they expect to be told."""

    def __init__(self, net: Net, x: Tensor, x_valid: Tensor | None = None):
        self.net = net
        self.x = x
        self.data = {"dataset_train": x, "dataset_valid": x_valid}
        self.n_before = len(net.history)

    def train_begin(self) -> None:
        self.net.notify("on_train_begin", X=self.x, y=None)

    def epoch_begin(self) -> None:
        self.net.notify("on_epoch_begin", **self.data)

    def epoch_end(self) -> None:
        self._tell_scorers()
        self.net.notify("on_epoch_end", **self.data)

    def _tell_scorers(self) -> None:
        """What skorch's scores are of: rows and their reconstructions.

        A scorer gathers these as batches pass, and here a batch is its loss.
        """
        for _, callback in self.net.callbacks_:
            if not isinstance(callback, EpochScoring):
                continue
            name = "dataset_train" if callback.on_train else "dataset_valid"
            x = self.data[name]
            if not isinstance(x, Tensor):
                continue
            module = self.net.module_
            was_training = module.training
            module.eval()
            with torch.no_grad():
                answer = module.answer(x)
            module.train(was_training)
            callback.use_caching = True
            callback._initialize_cache()
            wanted = module.columns.wanted(x)
            callback.on_batch_end(
                self.net, (x, wanted), answer, training=callback.on_train
            )

    def train_end(self) -> None:
        with contextlib.suppress(StopTraining):
            self.net.notify("on_train_end", X=self.x, y=None)

    def stopped(self, n_epochs: int) -> None:
        del self.net.history[self.n_before + n_epochs :]  # an unfinished epoch


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Raise where something is no skorch callback, nor a pair of a name and one.

    Functions are callbacks too, but of faces: their training is not skorch's.
    """
    for item in callbacks:
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        is_class = isinstance(callback, type) and issubclass(callback, Callback)
        if not (is_class or isinstance(callback, Callback)):
            raise TypeError(
                "callbacks must be skorch callbacks, or pairs of a name and one; got "
                f"{item!r}. Functions of an estimator and an epoch are callbacks of "
                "FaceSwapper."
            )


def record_losses(
    history: Any, curve: Sequence[float], validation_curve: Sequence[float] | None
) -> None:
    """Write an epoch's losses under the names that skorch's own callbacks read."""
    history.record("train_loss", float(curve[-1]))
    history.record("train_loss_best", bool(curve[-1] <= min(curve)))
    if validation_curve is not None:
        last = validation_curve[-1]
        history.record("valid_loss", float(last))
        history.record("valid_loss_best", bool(last <= min(validation_curve)))


def _plain_history(history: Any) -> list[dict[str, Any]]:
    # How long an epoch took is no part of the model: equal fits have equal files.
    return [{key: row[key] for key in row if key != "dur"} for row in history]


def _history_of(rows: list[dict[str, Any]]) -> Any:
    history = History()
    history.extend(rows)
    return history


CONVERTERS["history"] = Converter(History, _plain_history, _history_of)


def make_history(curve: list[float], validation_curve: list[float]) -> Any:
    """skorch's record of a training whose losses are known."""
    history = History()
    add_epochs(history, curve, validation_curve)
    return history


def add_epochs(
    history: Any, curve: list[float], validation_curve: list[float] | None
) -> None:
    """Let the history go on with epochs whose losses are known."""
    for epoch in range(1, len(curve) + 1):
        history.new_epoch()
        history.record("epoch", len(history))
        watched = None if validation_curve is None else validation_curve[:epoch]
        record_losses(history, curve[:epoch], watched)
