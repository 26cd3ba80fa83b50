"""The engine: generators, batches, schedule, best weights, callbacks."""

import copy
import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    Freezer,
    GradientNormClipping,
    LRScheduler,
)
from torch import nn

from sklearn_ae import AutoencoderTransformer, VAETransformer
from sklearn_ae._networks.corruptions import GaussianCorruption
from sklearn_ae._networks.losses import SquaredError
from sklearn_ae._networks.modules import MLP, Anchored, Autoencoder
from sklearn_ae._networks.variational import VariationalAutoencoder
from sklearn_ae._tables.rows import Batches
from sklearn_ae._training import engine as _training
from sklearn_ae._training.engine import is_clear_gain, tamed, train, train_one_pass
from sklearn_ae._training.objectives import row_losses
from sklearn_ae._training.optimizer import decayed_parameters, load_moments
from sklearn_ae._training.options import TrainingOptions
from sklearn_ae._training.skorch_net import make_net
from sklearn_ae._training.trainer import DivergenceError
from sklearn_ae._utils import device as _device
from sklearn_ae._utils.device import (
    _GENERATOR_LOCK,
    enough_threads,
    isolated_generators,
    resolve_device,
    resolve_precision,
    steady_convolutions,
)

CPU = torch.device("cpu")
D, K = 4, 2  # columns and latents


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def rows(n=40, seed=0):
    """A curved surface of dimension 2 in 4 columns, each of mean 0."""
    t = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    columns = [t[:, 0], t[:, 1], t[:, 0] * t[:, 1], t[:, 0] ** 2 - 1 / 3]
    return torch.stack(columns, dim=1).double()


UNITS = {"center": torch.zeros(D), "scale": torch.tensor(1.0)}


def autoencoder(corruption=None, hidden=(6,)):
    return Autoencoder(
        MLP.of_sizes(D, hidden, K, "tanh"),
        MLP.of_sizes(K, hidden, D, "tanh"),
        SquaredError(),
        corruption=corruption,
        **UNITS,
    ).double()


def denoising():
    return autoencoder(GaussianCorruption(0.3, torch.ones(D)))


def vae():
    return VariationalAutoencoder(
        MLP.of_sizes(D, (6,), 2 * K, "tanh"),
        MLP.of_sizes(K, (6,), D, "tanh"),
        SquaredError(),
        **UNITS,
    ).double()


def anchored():
    def network(n_inputs, n_outputs):
        mlp = MLP.of_sizes(n_inputs, (6,), n_outputs, "tanh")
        weight = torch.randn(n_outputs, n_inputs)
        return Anchored(weight, torch.randn(n_outputs), mlp, torch.ones(n_inputs))

    return Autoencoder(network(D, K), network(K, D), SquaredError(), **UNITS).double()


def own():
    """With networks of the user's, which have no fast path."""
    module = autoencoder()
    module.encoder = nn.Sequential(*module.encoder)
    module.decoder = nn.Sequential(*module.decoder)
    return module


MODULES = {
    "AE": autoencoder,
    "DAE": denoising,
    "VAE": vae,
    "anchored": anchored,
    "own": own,
}
each_module = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)


def make_options(**changes):
    """Options that neither stop early nor prefer the start."""
    options = {
        "learning_rate": 1e-2,
        "weight_decay": 0.0,
        "batch_size": 8,
        "n_epochs": 5,
        "n_iter_no_change": 1000,
        "tol": 0.0,
        "starts_at_optimum": False,
        "device": CPU,
    }
    return TrainingOptions(**{**options, **changes})


def fit(module, x=None, x_valid=None, seed=0, **changes):
    """Train the module as the estimators do."""
    options = make_options(**changes)
    with isolated_generators(seed, CPU):
        net = make_net(module, options)
        result = train(net, rows() if x is None else x, x_valid, options, seed)
    return net, result


def one_pass(module, x=None, seed=0, **changes):
    options = make_options(**changes)
    with isolated_generators(seed, CPU):
        net = make_net(module, options)
        return net, train_one_pass(net, rows() if x is None else x, options, seed)


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same_weights(first, second, **tolerance):
    for name in first:
        torch.testing.assert_close(first[name], second[name], **tolerance)


EXACTLY = {"rtol": 0, "atol": 0}


# Devices and generators ---------------------------------------------------------------


def test_a_device_named_is_the_one_taken():
    assert resolve_device("cpu") == CPU
    assert resolve_device(torch.device("cpu", 0)) == torch.device("cpu", 0)


@pytest.mark.parametrize(("has_cuda", "expected"), [(True, "cuda:1"), (False, "cpu")])
def test_auto_takes_cuda_then_the_cpu(monkeypatch, has_cuda, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert resolve_device("auto") == torch.device(expected)


def test_isolated_generators_seed_the_block():
    draws = []
    for _ in range(2):
        with isolated_generators(7, CPU):
            draws.append(torch.randn(3))
    assert torch.equal(*draws)
    with isolated_generators(8, CPU):
        assert not torch.equal(torch.randn(3), draws[0])


def test_isolated_generators_restore_the_state():
    before = torch.get_rng_state()
    with isolated_generators(7, CPU):
        torch.randn(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_isolated_generators_restore_the_state_after_an_exception():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), isolated_generators(7, CPU):
        torch.randn(3) @ torch.randn(4)  # draws, and cannot multiply
    assert torch.equal(torch.get_rng_state(), before)


def test_isolated_generators_may_be_nested():
    with isolated_generators(7, CPU):
        torch.randn(3)
        state = torch.get_rng_state()
        with isolated_generators(8, CPU):
            torch.randn(3)
        assert torch.equal(torch.get_rng_state(), state)


def test_isolated_generators_keep_other_threads_out():
    got_in = []

    def try_to_enter():
        got_in.append(_GENERATOR_LOCK.acquire(blocking=False))
        if got_in[-1]:
            _GENERATOR_LOCK.release()

    def from_another_thread():
        thread = threading.Thread(target=try_to_enter)
        thread.start()
        thread.join()

    with isolated_generators(7, CPU):
        from_another_thread()
    from_another_thread()
    assert got_in == [False, True]


@pytest.mark.parametrize("make", [vae, denoising])
def test_training_leaves_the_global_generators_alone(make):
    module, x = make(), rows()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    fit(module, x, rows(seed=1))
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_equal(np.random.get_state(), numpy_state)  # noqa: NPY002


# Threads ------------------------------------------------------------------------------


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)


def test_small_networks_get_one_thread(two_threads):
    with enough_threads(autoencoder(), n_rows=8):
        assert torch.get_num_threads() == 1


def test_large_networks_keep_the_threads_there_are(two_threads):
    with torch.device("meta"):  # no memory, no arithmetic
        module = autoencoder(hidden=(5000, 5000))
    with enough_threads(module, n_rows=1000):
        assert torch.get_num_threads() == 2


def test_thread_count_is_restored(two_threads):
    with enough_threads(autoencoder(), n_rows=8):
        pass
    assert torch.get_num_threads() == 2


def test_thread_count_is_restored_after_an_exception(two_threads):
    with (
        pytest.raises(RuntimeError, match="stop"),
        enough_threads(autoencoder(), n_rows=8),
    ):
        raise RuntimeError("stop")
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("run", [fit, one_pass])
def test_training_restores_the_thread_count(two_threads, run):
    run(autoencoder())
    assert torch.get_num_threads() == 2


# Precision ----------------------------------------------------------------------------


def wide(own=False):
    """A module with a layer of 256 x 256."""
    module = Autoencoder(
        MLP.of_sizes(256, (256,), K, "tanh"),
        MLP.of_sizes(K, (256,), 256, "tanh"),
        SquaredError(),
        center=torch.zeros(256),
        scale=torch.tensor(1.0),
    )
    if own:
        module.encoder = nn.Sequential(*module.encoder)
    return module


@pytest.mark.parametrize(
    ("make", "can", "device", "expected"),
    [
        (wide, True, "cpu", torch.bfloat16),
        (wide, False, "cpu", None),
        (wide, True, "cuda", None),
        (autoencoder, True, "cpu", None),
        (lambda: wide(own=True), True, "cpu", None),
    ],
    ids=["pays", "old CPU", "GPU", "narrow", "own networks"],
)
def test_auto_takes_bfloat16_where_it_pays(monkeypatch, make, can, device, expected):
    monkeypatch.setattr(_device, "cpu_multiplies_bfloat16", lambda: can)
    assert resolve_precision("auto", make(), torch.device(device)) is expected


@pytest.mark.parametrize(
    ("precision", "expected"), [("float32", None), ("bfloat16", torch.bfloat16)]
)
def test_a_precision_that_is_named_is_taken(precision, expected):
    assert resolve_precision(precision, autoencoder(), CPU) is expected


def test_without_word_of_the_processor_there_is_no_bfloat16(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not _device.cpu_multiplies_bfloat16()


# Batches ------------------------------------------------------------------------------


def make_batches(n, batch_size, seed=0):
    x = torch.arange(n)[:, None]
    return Batches(x, batch_size, torch.Generator().manual_seed(seed))


n_rows_and_batch_size = {
    "n": st.integers(1, 60),
    "batch_size": st.integers(1, 80),
}


@given(**n_rows_and_batch_size)
def test_an_epoch_holds_each_row_exactly_once(n, batch_size):
    seen = torch.cat(list(make_batches(n, batch_size)))
    assert sorted(seen.flatten().tolist()) == list(range(n))


@given(**n_rows_and_batch_size)
def test_batches_are_of_nearly_equal_size_and_not_too_large(n, batch_size):
    sizes = [len(x) for x in make_batches(n, batch_size)]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size


@given(**n_rows_and_batch_size)
def test_there_are_as_few_batches_as_the_size_allows(n, batch_size):
    batches = make_batches(n, batch_size)
    assert len(batches) == len(list(batches)) == math.ceil(n / batch_size)


def test_every_epoch_has_an_order_of_its_own():
    batches = make_batches(50, 10)
    assert not torch.equal(torch.cat(list(batches)), torch.cat(list(batches)))


def test_the_order_is_that_of_the_generator():
    first, second = make_batches(50, 10), make_batches(50, 10)
    for _ in range(3):
        assert torch.equal(torch.cat(list(first)), torch.cat(list(second)))
    other = make_batches(50, 10, seed=1)
    assert not torch.equal(torch.cat(list(other)), torch.cat(list(first)))


# The loss of the rows -----------------------------------------------------------------


@pytest.mark.parametrize("make", [autoencoder, denoising, anchored, own])
def test_row_losses_are_those_of_evaluation_mode(make):
    module, x = make(), rows()
    expected = module.eval().loss(x).detach()
    torch.testing.assert_close(row_losses(module.train(), x, seed=0), expected)


@pytest.mark.parametrize("block_size", [1, 7, 40, 1000])
def test_row_losses_do_not_depend_on_the_blocks(block_size):
    module, x = autoencoder(), rows()
    torch.testing.assert_close(
        row_losses(module, x, 0, block_size), row_losses(module, x, 0)
    )


def test_row_losses_see_the_same_noise_on_every_call():
    module, x = vae(), rows()
    first = row_losses(module, x, seed=3)
    torch.randn(5)
    assert torch.equal(row_losses(module, x, seed=3), first)
    assert not torch.equal(row_losses(module, x, seed=4), first)


@pytest.mark.parametrize("is_training", [True, False])
def test_row_losses_leave_the_mode_as_it_was(is_training):
    module = autoencoder().train(is_training)
    row_losses(module, rows(), seed=0)
    assert module.training == is_training


def test_the_users_networks_are_told_the_mode():
    module, x = own(), rows()
    module.encoder.append(nn.Dropout(0.5))
    expected = module.eval().loss(x).detach()
    torch.testing.assert_close(row_losses(module.train(), x, seed=0), expected)
    assert all(part.training for part in module.modules())


# Convolutions -------------------------------------------------------------------------


def cudnn_flags():
    cudnn = torch.backends.cudnn
    return cudnn.enabled, cudnn.deterministic, cudnn.allow_tf32


def test_convolutions_on_cuda_are_steady_inside_the_block_only():
    before = cudnn_flags()
    with steady_convolutions(torch.device("cuda")):
        assert cudnn_flags() == (before[0], True, False)
    assert cudnn_flags() == before


def test_convolutions_on_a_cpu_need_no_flags():
    before = cudnn_flags()
    with steady_convolutions(torch.device("cpu")):
        assert cudnn_flags() == before


# The optimizer ------------------------------------------------------------------------


def test_without_weight_decay_the_optimizer_is_adam():
    optimizer = make_net(autoencoder(), make_options()).optimizer_
    assert isinstance(optimizer, torch.optim.Adam)
    assert not isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


@each_module
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_optimizer_has_every_number_once(make, weight_decay):
    module = make()
    net = make_net(module, make_options(weight_decay=weight_decay))
    parameters = [p for g in net.optimizer_.param_groups for p in g["params"]]
    n_numbers = sum(p.numel() for p in module.parameters())
    assert sum(p.numel() for p in parameters) == n_numbers


def test_weight_decay_is_decoupled_and_spares_biases_and_linear_paths():
    # Where all gradients are zero, only the decay moves a weight.
    module = anchored()
    before = weights(module)
    options = make_options(learning_rate=0.1, weight_decay=0.5)
    make_net(module, options).optimizer_.quick_step()
    for name, value in module.state_dict().items():
        is_decayed = "network" in name and name.endswith("weight")
        factor = 1 - 0.1 * 0.5 if is_decayed else 1.0
        torch.testing.assert_close(value, factor * before[name])


@pytest.mark.parametrize("callbacks", [(), (Callback(),)])
def test_a_shorter_memory_is_what_adam_has_for_its_second_moment(callbacks):
    options = make_options(weight_decay=0.5, beta_2=0.9, callbacks=callbacks)
    optimizer = make_net(anchored(), options).optimizer_
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.9)}


@pytest.mark.parametrize("beta_2", [0.999, 0.9])
@pytest.mark.parametrize("method", ["quick_step", "step"])
@pytest.mark.parametrize("make", [autoencoder, anchored])
def test_steps_in_a_flat_buffer_are_those_of_adamw(make, method, beta_2):
    module = make()
    twin = copy.deepcopy(module)
    flat = make_net(module, make_options(weight_decay=0.5, beta_2=beta_2)).optimizer_
    decayed = {id(p) for p in decayed_parameters(twin)}
    kept = [p for p in twin.parameters() if id(p) not in decayed]
    groups = [
        {"params": decayed_parameters(twin), "weight_decay": 0.5},
        {"params": kept, "weight_decay": 0.0},
    ]
    rate, betas = make_options().learning_rate, (0.9, beta_2)
    adamw = torch.optim.AdamW(groups, lr=rate, betas=betas)
    for _ in range(3):
        with torch.no_grad():
            for p, q in zip(module.parameters(), twin.parameters(), strict=True):
                p.grad.copy_(p.square() + 0.1)
                q.grad = q.square() + 0.1
        getattr(flat, method)()
        adamw.step()
    torch.testing.assert_close(weights(module), weights(twin))


class RecordRates(Callback):
    """Keeps the learning rate of every step."""

    def initialize(self):
        self.rates = []
        return self

    def on_batch_begin(self, net, **kwargs):
        self.rates.append(net.optimizer_.param_groups[0]["lr"])


def test_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    record = RecordRates()
    fit(autoencoder(), callbacks=[record], n_epochs=40, learning_rate=0.02)
    rates = np.array(record.rates)
    peak = rates.argmax()
    assert rates.max() == pytest.approx(0.02, rel=0.01)
    assert 0 < peak < len(rates) / 2
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert 0 < rates[-1] < 0.01 * 0.02
    assert 0 < rates[0] < 0.1 * 0.02


def test_every_parameter_group_follows_the_schedule():
    # Watched training keeps parameters apart: groups with and without decay.
    net, _ = fit(autoencoder(), weight_decay=0.1, callbacks=[RecordRates()])
    decayed, kept = net.optimizer_.param_groups
    assert decayed["lr"] == kept["lr"] < 1e-2


def test_a_users_scheduler_takes_over_the_schedule():
    record = RecordRates()
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.5)
    net, _ = fit(
        autoencoder(), callbacks=[scheduler, record], n_epochs=3, batch_size=20
    )
    np.testing.assert_allclose(record.rates, [0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025])
    assert net.history[:, "event_lr"] == [0.01, 0.005, 0.0025]


def test_a_pass_has_a_constant_learning_rate():
    record = RecordRates()
    one_pass(autoencoder(), callbacks=[record])
    assert record.rates == [0.01] * 5


# What training finds ------------------------------------------------------------------


def reference_fit(module, x, n_epochs, batch_size, rate_of_step, seed=0):
    """Weights after each epoch of plain torch: mean losses, autograd and Adam."""
    optimizer = torch.optim.Adam(module.parameters())
    batches = Batches(x, batch_size, torch.Generator().manual_seed(seed))
    step, epochs = 0, []
    module.train()
    for _ in range(n_epochs):
        for batch in batches:
            optimizer.param_groups[0]["lr"] = rate_of_step(step)
            optimizer.zero_grad()
            module.loss(batch).mean().backward()
            optimizer.step()
            step += 1
        epochs.append(weights(module))
    return epochs


@each_module
def test_a_pass_is_adam_on_the_batches_mean_losses(make):
    # In double precision: what is left between two ways to add is below 1e-9.
    module, x = make(), rows()
    twin = copy.deepcopy(module)
    one_pass(module, x)
    with isolated_generators(0, CPU):
        row_losses(twin, x, 0)
        (expected,) = reference_fit(twin, x, 1, 8, lambda step: 0.01)
    assert_same_weights(weights(module), expected, rtol=1e-6, atol=1e-9)


@each_module
def test_training_is_adam_on_the_batches_mean_losses(make):
    module, x = make(), rows()
    twin = copy.deepcopy(module)
    record = RecordRates()
    fit(copy.deepcopy(module), x, callbacks=[record])
    _, result = fit(module, x)
    assert result.best_epoch > 0
    with isolated_generators(0, CPU):
        epochs = reference_fit(twin, x, 5, 8, record.rates.__getitem__)
    expected = epochs[result.best_epoch - 1]
    assert_same_weights(weights(module), expected, rtol=1e-6, atol=1e-9)


def test_a_linear_autoencoder_learns_pca():
    # Baldi and Hornik: there are no local minima, and the optimum is PCA's.
    x = rows(200)
    X = x.numpy()
    module = autoencoder(hidden=())
    fit(module, x, n_epochs=150, batch_size=20, learning_rate=0.03)
    pca = PCA(K).fit(X)
    optimum = np.mean((pca.inverse_transform(pca.transform(X)) - X) ** 2)
    error = row_losses(module, x, 0).mean().item()
    assert optimum * (1 - 1e-9) <= error <= 1.001 * optimum


@each_module
def test_same_seed_same_bits(make):
    module = make()
    twin, other = copy.deepcopy(module), copy.deepcopy(module)
    results = [fit(m, x_valid=rows(seed=1))[1] for m in (module, twin)]
    assert_same_weights(weights(module), weights(twin), **EXACTLY)
    assert results[0] == results[1]
    fit(other, seed=1)
    with pytest.raises(AssertionError):
        assert_same_weights(weights(module), weights(other), **EXACTLY)


@each_module
def test_training_is_in_place_and_leaves_evaluation_mode(make):
    module = make().train()
    net, _ = fit(module)
    assert net.module_ is module
    assert not module.training


@each_module
@pytest.mark.parametrize("run", [fit, one_pass])
def test_parameters_own_their_memory_after_training(make, run):
    # A flat buffer behind them would go into every pickle of a part.
    module = make()
    run(module)
    for parameter in module.parameters():
        n_bytes = parameter.numel() * parameter.element_size()
        assert parameter.untyped_storage().nbytes() == n_bytes
        assert parameter.grad is None


# Best weights -------------------------------------------------------------------------


@each_module
@pytest.mark.parametrize("learning_rate", [1e-2, 0.5], ids=["right", "too high"])
def test_the_best_weights_of_all_epochs_are_restored(make, learning_rate):
    module, x_valid = make(), rows(seed=1)
    initial = row_losses(module, x_valid, seed=0).mean().item()
    _, result = fit(module, x_valid=x_valid, learning_rate=learning_rate, n_epochs=8)
    curve = [initial, *result.validation_loss_curve]
    assert row_losses(module, x_valid, seed=0).mean().item() == min(curve)
    assert result.best_epoch == curve.index(min(curve))


@each_module
def test_without_held_out_rows_start_best_and_last_epoch_are_compared(make):
    module, x = make(), rows()
    losses = [row_losses(module, x, seed=0).mean().item()]

    class Watch(Callback):
        def on_epoch_end(self, net, **kwargs):
            losses.append(row_losses(net.module_, x, seed=0).mean().item())

    _, result = fit(module, x, learning_rate=0.3, n_epochs=8, callbacks=[Watch()])
    candidates = {0, 1 + int(np.argmin(result.loss_curve)), 8}
    kept = min(candidates, key=losses.__getitem__)
    assert result.best_epoch == kept
    assert row_losses(module, x, seed=0).mean().item() == losses[kept]
    assert result.validation_loss_curve is None


def optimal_and_its_rows():
    """A linear autoencoder at PCA, which no step can better, and its rows."""
    x = rows(200)
    pca = PCA(K).fit(x.numpy())
    module = autoencoder(hidden=())
    components = torch.from_numpy(pca.components_)
    with torch.no_grad():
        module.encoder[0].weight.copy_(components)
        module.encoder[0].bias.copy_(-components @ torch.from_numpy(pca.mean_))
        module.decoder[0].weight.copy_(components.T)
        module.decoder[0].bias.copy_(torch.from_numpy(pca.mean_))
    return module, x


def test_the_state_before_the_first_step_may_win():
    module, x = optimal_and_its_rows()
    before = weights(module)
    _, result = fit(module, x, x, n_epochs=10)
    assert result.best_epoch == 0
    assert_same_weights(weights(module), before, **EXACTLY)


def test_a_module_that_stays_as_it_started_has_had_no_epochs():
    module, x = optimal_and_its_rows()
    fit(module, x, x, n_epochs=10)
    assert module.epoch == 0


def test_a_module_counts_the_epochs_of_its_trainings():
    module = autoencoder()
    fit(module, x_valid=rows(seed=1), n_epochs=4)
    fit(module, x_valid=rows(seed=1), n_epochs=3)
    assert module.epoch == 7


def test_no_epochs_leave_the_module_as_it_was():
    module = autoencoder()
    before = weights(module)
    _, result = fit(module, x_valid=rows(seed=1), n_epochs=0)
    assert_same_weights(weights(module), before, **EXACTLY)
    assert (result.best_epoch, result.n_epochs, result.loss_curve) == (0, 0, [])
    assert result.validation_loss_curve == []


@given(gains=st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_a_loss_in_the_mean_is_no_clear_gain(gains):
    gains = torch.tensor(gains, dtype=torch.float64)
    assert not is_clear_gain(gains - gains.mean() - 1e-6)


@pytest.mark.parametrize("n_rows", [1, 5])
def test_no_difference_is_no_clear_gain(n_rows):
    assert not is_clear_gain(torch.zeros(n_rows))


def gains_of(share, t, n_rows=400):
    """Gains of which a share is positive, with a mean of t standard errors."""
    n_ahead = round(share * n_rows)
    gains = np.repeat(
        [1.0 / n_ahead, -1.0 / (n_rows - n_ahead)], [n_ahead, n_rows - n_ahead]
    )
    return torch.from_numpy(gains + t * gains.std() / np.sqrt(n_rows))


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_large_gain_of_the_mean_is_clear_whoever_gains(share):
    assert is_clear_gain(gains_of(share, t=5.0))


def test_a_moderate_gain_of_the_mean_is_clear_where_most_rows_gain():
    assert is_clear_gain(gains_of(0.9, t=2.5))
    assert not is_clear_gain(gains_of(0.1, t=2.5))


def test_a_small_gain_of_the_mean_is_clear_where_nearly_all_rows_gain():
    assert is_clear_gain(gains_of(0.9, t=0.5))
    assert not is_clear_gain(gains_of(0.55, t=0.5))


def test_a_gain_of_one_row_alone_is_not_clear():
    assert not is_clear_gain(torch.tensor([9.0] + [-0.01] * 99))


def test_gains_by_luck_are_seldom_clear():
    # Two standard errors are 2.3 % of draws, one-sided; bounds six standard errors up.
    draws = np.random.default_rng(0).normal(size=(1000, 100))
    share = np.mean([is_clear_gain(torch.from_numpy(gains)) for gains in draws])
    assert share < 0.023 + 6 * np.sqrt(0.023 * 0.977 / 1000)


@pytest.mark.parametrize("is_clear", [True, False])
@pytest.mark.parametrize("starts_at_optimum", [True, False])
def test_a_start_at_the_optimum_stays_unless_the_gain_is_clear(
    monkeypatch, is_clear, starts_at_optimum
):
    monkeypatch.setattr(_training, "is_clear_gain", lambda gains: is_clear)
    module = autoencoder()
    before = weights(module)
    _, result = fit(module, x_valid=rows(seed=1), starts_at_optimum=starts_at_optimum)
    if is_clear or not starts_at_optimum:
        assert result.best_epoch > 0
    else:
        assert result.best_epoch == 0
        assert_same_weights(weights(module), before, **EXACTLY)


def test_training_stops_after_n_iter_no_change_epochs_without_progress():
    module, x = optimal_and_its_rows()
    _, result = fit(module, x, x, n_epochs=100, n_iter_no_change=4)
    assert result.n_epochs == 4


def test_progress_below_tol_does_not_count():
    _, result = fit(
        autoencoder(), x_valid=rows(seed=1), n_epochs=50, n_iter_no_change=3, tol=0.9
    )
    assert result.n_epochs == 3
    assert result.best_epoch == 3  # but the best weights do not ask for tol


def test_training_goes_on_while_there_is_progress():
    _, result = fit(
        autoencoder(),
        x_valid=rows(),
        n_epochs=10,
        n_iter_no_change=3,
        learning_rate=1e-3,
    )
    assert np.all(np.diff(result.validation_loss_curve) < 0)
    assert result.n_epochs == 10


# Curves and history -------------------------------------------------------------------


def test_training_loss_is_the_mean_over_rows_not_over_batches():
    # 41 rows in batches of 9, 8, 8, 8, 8, and steps too small to matter.
    module, x = autoencoder(), rows(41)
    expected = row_losses(module, x, 0).mean().item()
    _, result = fit(module, x, batch_size=9, n_epochs=1, learning_rate=1e-12)
    assert result.loss_curve == pytest.approx([expected], rel=1e-6)
    _, loss = one_pass(module, x, batch_size=9, learning_rate=1e-12)
    assert loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("run", [fit, one_pass])
def test_training_is_in_training_mode_whatever_the_mode_before(run):
    # A fitted module, which goes on with warm_start, comes in evaluation mode.
    module, x = own(), rows()
    module.corruption = nn.Threshold(10.0, 0.5)  # all to 0.5
    expected = module.train().loss(x).mean().item()
    assert abs(module.eval().loss(x).mean().item() - expected) > 1e-3
    net, _ = run(module, x, learning_rate=1e-12)
    assert net.history[0, "train_loss"] == pytest.approx(expected, rel=1e-6)


def test_history_has_the_curves_by_epoch():
    net, result = fit(autoencoder(), x_valid=rows(seed=1))
    assert net.history[:, "epoch"] == [1, 2, 3, 4, 5]
    assert net.history[:, "train_loss"] == result.loss_curve
    assert net.history[:, "valid_loss"] == result.validation_loss_curve
    assert all(seconds > 0 for seconds in net.history[:, "dur"])


def test_history_marks_the_best_epochs_so_far():
    net, _ = fit(autoencoder(), x_valid=rows(seed=1), learning_rate=0.5, n_epochs=10)
    for name in ("train_loss", "valid_loss"):
        curve = net.history[:, name]
        best = [loss == min(curve[: i + 1]) for i, loss in enumerate(curve)]
        assert net.history[:, f"{name}_best"] == best


def test_history_without_held_out_rows_has_no_valid_loss():
    net, _ = fit(autoencoder())
    assert "valid_loss" not in net.history[-1]


def test_history_of_a_pass():
    net, loss = one_pass(autoencoder())
    assert net.history[:, "train_loss"] == [loss]


# Divergence ---------------------------------------------------------------------------


@each_module
def test_divergence_says_what_to_lower(make):
    match = r"diverged in epoch 1: .* Lower learning_rate_init \(now 1e\+06\)"
    with pytest.raises(DivergenceError, match=match):
        fit(make(), learning_rate=1e6)


def test_divergence_is_a_value_error():
    assert issubclass(DivergenceError, ValueError)


@pytest.mark.parametrize("batch_size", [8, 40], ids=["steps", "one step"])
def test_divergence_of_a_pass_says_what_to_lower(batch_size):
    # With one step the loss of the batch is still that before the step.
    with pytest.raises(DivergenceError, match="Lower learning_rate_init"):
        one_pass(autoencoder(), learning_rate=1e6, batch_size=batch_size)


def test_divergence_restores_threads_and_generators(two_threads):
    module, state = autoencoder(), torch.get_rng_state()
    with pytest.raises(DivergenceError):
        fit(module, learning_rate=1e6)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), state)


def all_rows_but_one_equal():
    X = np.ones((20, 3))
    X[0] = 2.0
    return X


def one_row_far_out():
    # Where it is held out, its column is constant, and its loss is no divergence.
    X = np.random.default_rng(0).normal(size=(60, 4)) * [1.0, 1.0, 1.0, 0.0]
    X[3, 3] = 1000.0
    return X


@pytest.mark.parametrize("Estimator", [AutoencoderTransformer, VAETransformer])
@pytest.mark.parametrize("table", [all_rows_but_one_equal, one_row_far_out])
def test_the_learning_rate_that_we_chose_does_not_diverge(Estimator, table):
    # There is nobody to tell: the start is there to fall back to.
    X = table()
    estimator = Estimator(2).fit(X)
    error = np.mean((estimator.reconstruct(X) - X) ** 2)
    start = Estimator(2, max_iter=0).fit(X)
    assert error <= 1.05 * np.mean((start.reconstruct(X) - X) ** 2) + 1e-9


def test_rows_that_are_not_finite_are_noticed_before_the_first_step():
    module = autoencoder()
    before = weights(module)
    with pytest.raises(DivergenceError, match="epoch 0"):
        fit(module, torch.full((10, D), math.inf, dtype=torch.float64))
    assert_same_weights(weights(module), before, **EXACTLY)


# From pass to pass --------------------------------------------------------------------


@each_module
def test_moments_go_on_from_pass_to_pass(make):
    module, x = make(), rows()
    twin = copy.deepcopy(module)
    first, _ = one_pass(module, x)
    with isolated_generators(0, CPU):
        second = make_net(module, make_options())
        load_moments(second.optimizer_, first.optimizer_.state_dict())
        train_one_pass(second, x, make_options(), seed=0)
    optimizer = torch.optim.Adam(twin.train().parameters(), lr=1e-2)
    for _ in range(2):
        with isolated_generators(0, CPU):
            row_losses(twin, x, 0)
            for batch in Batches(x, 8, torch.Generator().manual_seed(0)):
                optimizer.zero_grad()
                twin.loss(batch).mean().backward()
                optimizer.step()
    assert_same_weights(weights(module), weights(twin), rtol=1e-6, atol=1e-9)


def test_moments_of_another_layout_are_left_out():
    # With callbacks each parameter has its own, without they are one.
    module = autoencoder()
    first, _ = one_pass(module)
    second = make_net(module, make_options(callbacks=[RecordBatches()]))
    load_moments(second.optimizer_, first.optimizer_.state_dict())
    assert not second.optimizer_.state_dict()["state"]


def test_moments_of_other_sizes_are_left_out():
    # As one buffer, networks with decoders of cuts are a parameter as others are.
    first, _ = one_pass(autoencoder())
    nested = autoencoder()
    nested.keep_cuts({1: nn.Linear(1, D, dtype=torch.float64)})
    second = make_net(nested, make_options())
    load_moments(second.optimizer_, first.optimizer_.state_dict())
    assert not second.optimizer_.state_dict()["state"]


# Callbacks ----------------------------------------------------------------------------


class RecordBatches(Callback):
    """Keeps what it is told about batches."""

    def initialize(self):
        self.begun, self.ended, self.gradients = [], [], []
        return self

    def on_batch_begin(self, net, batch, training, **kwargs):
        self.begun.append((batch[0], training))

    def on_batch_end(self, net, batch, training, loss, y_pred, **kwargs):
        self.ended.append((loss.item(), y_pred.detach()))

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.gradients.append(
            {name: p.grad.clone() for name, p in named_parameters if p.requires_grad}
        )


def test_a_callback_that_listens_to_batches_gets_them():
    record = RecordBatches()
    x = rows()
    fit(autoencoder(), x, n_epochs=1, callbacks=[record])
    seen = torch.cat([batch for batch, _ in record.begun])
    assert sorted(seen[:, 0].tolist()) == sorted(x[:, 0].tolist())
    assert all(training for _, training in record.begun)


def test_a_callback_gets_the_loss_of_the_batch_and_of_its_rows():
    record = RecordBatches()
    fit(autoencoder(), n_epochs=1, callbacks=[record])
    assert len(record.ended) == 5
    for loss, row_loss in record.ended:
        assert row_loss.shape == (8,)
        assert loss == pytest.approx(row_loss.mean().item())


@each_module
def test_a_callback_gets_the_gradients_by_name(make):
    module = make()
    twin = copy.deepcopy(module)
    record = RecordBatches()
    fit(module, n_epochs=1, callbacks=[record])
    with isolated_generators(0, CPU):
        twin.train().loss(record.begun[0][0]).mean().backward()
    gradients = record.gradients[0]
    assert set(gradients) == {name for name, _ in twin.named_parameters()}
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


def test_batches_are_in_the_history_of_a_callback_that_listens():
    net, result = fit(autoencoder(), callbacks=[RecordBatches()])
    losses = net.history[-1, "batches", :, "train_loss"]
    assert np.mean(losses) == pytest.approx(result.loss_curve[-1])
    assert net.history[-1, "batches", :, "train_batch_size"] == [8] * 5


@each_module
def test_listening_does_not_change_the_weights(make):
    module = make()
    twin = copy.deepcopy(module)
    _, fast = fit(module, x_valid=rows(seed=1))
    _, slow = fit(twin, x_valid=rows(seed=1), callbacks=[RecordBatches()])
    assert_same_weights(weights(module), weights(twin), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fast.loss_curve, slow.loss_curve, rtol=1e-5)


def test_training_begins_and_ends_once():
    class Count(Callback):
        calls = ()

        def on_train_begin(self, net, **kwargs):
            self.calls += ("begin",)

        def on_epoch_begin(self, net, dataset_train, dataset_valid, **kwargs):
            self.calls += (len(dataset_train), len(dataset_valid))

        def on_train_end(self, net, **kwargs):
            self.calls += ("end",)

    count = Count()
    fit(autoencoder(), x_valid=rows(7), n_epochs=2, callbacks=[count])
    assert count.calls == ("begin", 40, 7, 40, 7, "end")


def test_skorchs_early_stopping_ends_the_training():
    module, x = optimal_and_its_rows()
    _, result = fit(module, x, x, n_epochs=50, callbacks=[EarlyStopping(patience=3)])
    assert result.n_epochs == 4


def stop_at(method, call=1):
    """A callback that stops as skorch's do, at a given call of the method."""

    class Stop(Callback):
        n_calls = 0
        has_ended = False

        def on_train_end(self, net, **kwargs):
            self.has_ended = True

    def count(self, net, **kwargs):
        self.n_calls += 1
        if self.n_calls == call:
            raise KeyboardInterrupt

    setattr(Stop, method, count)
    return Stop()


@pytest.mark.parametrize(
    "method",
    [
        "on_train_begin",
        "on_epoch_begin",
        "on_batch_begin",
        "on_batch_end",
        "on_epoch_end",
    ],
)
@pytest.mark.parametrize("run", [fit, one_pass])
def test_a_callback_may_stop_the_training_at_any_time(run, method):
    module, stop = autoencoder(), stop_at(method)
    run(module, callbacks=[stop])
    assert stop.n_calls == 1
    assert stop.has_ended
    assert not module.training


def test_a_stop_in_mid_epoch_restores_the_best_weights():
    module, x_valid = autoencoder(), rows(seed=1)
    stop = stop_at("on_batch_end", call=13)  # five batches to an epoch
    net, result = fit(module, x_valid=x_valid, callbacks=[stop])
    assert result.n_epochs == len(net.history) == 2  # none of the unfinished one
    loss = row_losses(module, x_valid, 0).mean().item()
    assert loss == min(result.validation_loss_curve)


class InterruptedModule(Autoencoder):
    """Ctrl-C arrives in the third batch."""

    n_batches = 0

    def loss(self, x, generator=None):
        if self.training:
            self.n_batches += 1
            if self.n_batches == 3:
                raise KeyboardInterrupt
        return super().loss(x, generator)


@pytest.mark.parametrize("callbacks", [(), (RecordBatches(),)], ids=["fast", "slow"])
@pytest.mark.parametrize("run", [fit, one_pass])
def test_a_keyboard_interrupt_of_the_user_propagates(run, callbacks):
    plain = own()
    module = InterruptedModule(plain.encoder, plain.decoder, SquaredError(), **UNITS)
    with pytest.raises(KeyboardInterrupt):
        run(module.double(), callbacks=callbacks)


def test_callbacks_that_are_classes_are_made_instances():
    net, _ = fit(autoencoder(), n_epochs=1, callbacks=[RecordRates, LRScheduler])
    (rates,) = [cb.rates for _, cb in net.callbacks_ if isinstance(cb, RecordRates)]
    assert len(rates) == 5
    assert len(set(rates)) == 1  # the scheduler, by epochs, took over


def test_gradient_clipping_reaches_the_optimizer():
    # All gradients clipped to nothing: the weights stay.
    module = autoencoder()
    before = weights(module)
    clip = GradientNormClipping(1e-30)
    fit(module, callbacks=[clip], learning_rate=1e-3)
    assert_same_weights(weights(module), before, rtol=0, atol=1e-9)


@each_module
@pytest.mark.parametrize("callbacks", [(), (RecordBatches(),)], ids=["fast", "slow"])
def test_frozen_weights_stay_as_they_are(make, callbacks):
    module = make()
    before = weights(module)
    fit(module, callbacks=[Freezer("encoder*"), *callbacks], weight_decay=0.1)
    for name, value in weights(module).items():
        if name.startswith("encoder"):
            torch.testing.assert_close(value, before[name], **EXACTLY)


def test_skorchs_checkpoint_saves_the_best_epoch(tmp_path):
    module, x_valid = autoencoder(), rows(seed=1)
    checkpoint = Checkpoint(dirname=tmp_path, f_history=None)
    _, result = fit(module, x_valid=x_valid, callbacks=[checkpoint])
    assert result.best_epoch > 0
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert_same_weights(saved, weights(module), **EXACTLY)


few_epochs = pytest.mark.filterwarnings(
    "ignore:Training ended at max_iter:sklearn.exceptions.ConvergenceWarning"
)


@few_epochs
def test_a_pass_after_a_fit_may_have_a_scheduler():
    estimator = AutoencoderTransformer(
        2,
        hidden_layer_sizes=(4,),
        max_iter=2,
        callbacks=[LRScheduler("StepLR", step_size=1)],
    )
    X = rows().numpy()
    estimator.fit(X).partial_fit(X)
    assert len(estimator.history_) == 3


def passes(**params):
    return AutoencoderTransformer(2, hidden_layer_sizes=(4,), **params)


def test_a_pass_takes_the_learning_rate_of_now():
    X = rows().numpy()
    estimator = passes(alpha=0.0).partial_fit(X)
    before = estimator.transform(X)
    estimator.set_params(learning_rate_init=1e-12).partial_fit(X)
    np.testing.assert_allclose(estimator.transform(X), before, rtol=0, atol=1e-6)


def test_a_pass_may_have_another_weight_decay_than_the_last():
    X = rows().numpy()
    estimator = passes(alpha=1.0).partial_fit(X)
    estimator.set_params(alpha=0.0).partial_fit(X)
    assert estimator.n_iter_ == 2


def test_passes_do_not_depend_on_the_order_of_the_columns():
    # The optimizer's moments must stay with their weights.
    X = rows(200).numpy() * [1.0, 2.0, 3.0, 4.0]
    order = [2, 0, 3, 1]
    one, other = passes(), passes()
    for _ in range(4):
        one.partial_fit(X)
        other.partial_fit(X[:, order])
    np.testing.assert_allclose(
        other.transform(X[:, order]), one.transform(X), atol=1e-3
    )


@few_epochs
def test_a_callback_may_use_the_module_on_rows_in_the_units_of_the_data():
    X = rows(200).numpy() * [1.0, 2.0, 3.0, 4.0] + [40.0, 30.0, 20.0, 10.0]

    class Watch(Callback):
        def on_train_begin(self, net, **kwargs):
            self.Z = net.module_.transform(torch.from_numpy(X)).detach().numpy()

    watch = Watch()
    AutoencoderTransformer(2, max_iter=1, callbacks=[watch]).fit(X)
    np.testing.assert_allclose(watch.Z, PCA(2).fit_transform(X), atol=1e-4)


# The progress bar ---------------------------------------------------------------------


def test_a_verbose_training_shows_one_bar_with_the_losses(capsys):
    _, result = fit(autoencoder(), x_valid=rows(seed=1), verbose=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    last = err.rstrip().rpartition("\r")[2]
    assert "5/5" in last
    assert f"loss={result.loss_curve[-1]:.4g}" in last
    assert f"valid={result.validation_loss_curve[-1]:.4g}" in last


@pytest.mark.parametrize("run", [fit, one_pass])
def test_training_is_silent_by_default(capsys, run):
    run(autoencoder())
    assert capsys.readouterr() == ("", "")


# Far rows -----------------------------------------------------------------------------


def test_losses_of_ordinary_rows_are_compared_as_they_are():
    first, losses = torch.rand(50), torch.rand(3, 50)
    assert tamed(losses, first) is losses


def test_no_far_row_decides_alone():
    first = torch.rand(100, dtype=torch.float64)
    losses = 0.5 * first
    first[0], losses[0] = 1e6, 2e6
    assert losses.mean() > first.mean()
    assert tamed(losses, first).mean() < first.mean()
    assert is_clear_gain(first - tamed(losses, first))


def test_a_far_row_still_counts():
    first = torch.rand(100, dtype=torch.float64)
    losses = first.clone()
    first[0], losses[0] = 1e6, 2e6
    assert tamed(losses, first).mean() > first.mean()


@pytest.mark.parametrize("first", [torch.zeros(5), torch.tensor([0.1, 0.2, torch.inf])])
def test_losses_without_a_measure_stay_as_they_are(first):
    losses = torch.ones_like(first)
    assert tamed(losses, first) is losses
