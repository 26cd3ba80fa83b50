"""Corruptions: how often they hit, what they put there, and in which units.

Counts and moments come from seeded draws. Their bounds are six standard errors wide:
right code fails for about one seed in 10^8.
"""

import numpy as np
import pytest
import torch
from scipy import stats
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import DenoisingAutoencoderTransformer
from sklearn_ae._networks.corruptions import (
    BlockCorruption,
    CallableCorruption,
    GaussianCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
    SwapCorruption,
)

N_ROWS = 20_000
STD_ERRORS = 6.0
# Column means, spreads and skewness differ, so that a mix-up of columns shows.
COLUMN_MEAN = torch.tensor([-1.0, 0.0, 5.0])
COLUMN_STD = torch.tensor([0.1, 1.0, 20.0])

CORRUPTIONS = {
    "gaussian": lambda level: GaussianCorruption(level, COLUMN_STD),
    "masking": lambda level: MaskingCorruption(level, COLUMN_MEAN),
    "salt_and_pepper": lambda level: SaltAndPepperCorruption(
        level, COLUMN_MEAN - 10 * COLUMN_STD, COLUMN_MEAN + 10 * COLUMN_STD
    ),
    "swap": SwapCorruption,
    "block": lambda level: BlockCorruption(level, COLUMN_MEAN, (1, 3, 1)),
    "callable": lambda level: CallableCorruption(
        lambda x: x + level * torch.randn_like(x), COLUMN_MEAN, torch.tensor(2.0)
    ),
}
HITTING = ["masking", "salt_and_pepper", "swap"]

each_corruption = pytest.mark.parametrize("name", list(CORRUPTIONS))


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(1)
    return COLUMN_MEAN + COLUMN_STD * torch.randn(N_ROWS, 3, generator=generator)


def assert_frequency(hits, p):
    """Hits (a boolean tensor) are as frequent as draws of probability p."""
    n = hits.numel()
    std_error = np.sqrt(p * (1 - p) / n)
    assert abs(hits.double().mean().item() - p) <= STD_ERRORS * std_error


# All of them --------------------------------------------------------------------------


@each_corruption
def test_level_0_changes_nothing(name, x):
    # The callable one goes to the data's units and back.
    torch.testing.assert_close(CORRUPTIONS[name](0.0)(x), x)


@each_corruption
def test_rows_given_are_left_alone(name, x):
    before = x.clone()
    assert not torch.equal(CORRUPTIONS[name](0.5)(x), before)
    assert torch.equal(x, before)


@each_corruption
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_are_kept(name, dtype, x):
    x = x[:5].to(dtype)
    corrupted = CORRUPTIONS[name](0.5).to(dtype)(x)
    assert (corrupted.shape, corrupted.dtype) == (x.shape, x.dtype)


@each_corruption
def test_noise_follows_the_seed_and_is_new_on_every_call(name, x):
    corruption = CORRUPTIONS[name](0.5)
    torch.manual_seed(3)
    first, second = corruption(x), corruption(x)
    torch.manual_seed(3)
    assert torch.equal(corruption(x), first)
    assert not torch.equal(second, first)


@each_corruption
def test_one_row(name, x):
    assert torch.isfinite(CORRUPTIONS[name](1.0)(x[:1])).all()


@pytest.mark.parametrize("name", HITTING)
@pytest.mark.parametrize("level", [0.05, 0.5, 1.0])
def test_level_is_the_fraction_of_entries_hit(name, level, x):
    # Continuous values: an entry hit is an entry changed, but for the one draw in
    # N_ROWS that swaps an entry with itself, far below a standard error.
    changed = CORRUPTIONS[name](level)(x) != x
    for column in range(x.shape[1]):
        hits = changed[:, column]
        if level == 1.0:
            assert hits.sum() >= N_ROWS - 10
        else:
            assert_frequency(hits, level)


@pytest.mark.parametrize("name", HITTING)
def test_entries_of_a_row_are_hit_independently(name, x):
    changed = CORRUPTIONS[name](0.5)(x) != x
    assert_frequency(changed[:, 0] & changed[:, 1] & changed[:, 2], 0.125)


# Each of them -------------------------------------------------------------------------


def test_gaussian_noise_has_level_standard_deviations_of_each_column(x):
    noise = (GaussianCorruption(0.3, COLUMN_STD)(x) - x) / (0.3 * COLUMN_STD)
    for column in noise.double().numpy().T:
        # float32 leaves rounding steps; the test compares distributions, not digits.
        assert stats.kstest(column, "norm").pvalue > 1e-6


def test_gaussian_noise_is_independent_between_columns(x):
    noise = GaussianCorruption(1.0, COLUMN_STD)(x) - x
    correlation = np.corrcoef(noise.double().numpy(), rowvar=False)
    np.testing.assert_allclose(
        correlation, np.eye(3), atol=STD_ERRORS / np.sqrt(N_ROWS)
    )


def test_gaussian_noise_spares_constant_columns(x):
    corruption = GaussianCorruption(1.0, torch.tensor([1.0, 0.0, 1.0]))
    assert torch.equal(corruption(x)[:, 1], x[:, 1])


def test_masked_entries_are_column_means(x):
    corrupted = MaskingCorruption(0.5, COLUMN_MEAN)(x)
    masked = corrupted != x
    assert torch.equal(corrupted[masked], COLUMN_MEAN.expand_as(x)[masked])


def test_salt_and_pepper_are_the_columns_extremes_in_equal_parts(x):
    low, high = x.amin(dim=0), x.amax(dim=0)
    corrupted = SaltAndPepperCorruption(0.4, low - 1, high + 1)(x)
    is_low, is_high = corrupted == low - 1, corrupted == high + 1
    assert_frequency(is_low, 0.2)
    assert_frequency(is_high, 0.2)
    untouched = ~(is_low | is_high)
    assert torch.equal(corrupted[untouched], x[untouched])


def test_swap_takes_values_of_the_same_column(x):
    corrupted = SwapCorruption(0.7)(x)
    for column in range(x.shape[1]):
        assert torch.isin(corrupted[:, column], x[:, column]).all()


def test_swap_keeps_the_distribution_of_each_column(x):
    corrupted = SwapCorruption(1.0)(x)
    shift = (corrupted.mean(dim=0) - x.mean(dim=0)) / COLUMN_STD
    assert shift.abs().max() < STD_ERRORS / np.sqrt(N_ROWS)


def test_swap_draws_the_other_row_anew_for_each_column(x):
    index = torch.arange(float(N_ROWS))[:, None].expand(-1, 2)
    rows = SwapCorruption(1.0)(index).double().numpy()
    correlation = np.corrcoef(rows, rowvar=False)[0, 1]
    assert abs(correlation) < STD_ERRORS / np.sqrt(N_ROWS)


def test_swap_draws_from_all_rows():
    index = torch.arange(8.0)[:, None]
    drawn = torch.cat([SwapCorruption(1.0)(index) for _ in range(200)])
    # 1600 draws miss one of 8 rows with probability 10^-92.
    assert set(drawn.flatten().tolist()) == set(range(8))


# Blocks of images ---------------------------------------------------------------------

each_image = pytest.mark.parametrize(
    "shape", [(8, 8, 1), (5, 9, 3), (1, 12, 1), (12, 1, 2), (1, 1, 1)]
)


def blocks(shape, level, n=N_ROWS):
    """Which values of n images were replaced (n, height, width, channels)."""
    d = int(np.prod(shape))
    mean = torch.arange(1.0, d + 1)
    corrupted = BlockCorruption(level, mean, shape)(torch.zeros(n, d))
    is_hit = corrupted != 0
    assert torch.equal(corrupted[is_hit], mean.expand(n, d)[is_hit])
    return is_hit.view(n, *shape)


@each_image
@pytest.mark.parametrize("level", [0.05, 0.3, 0.8])
def test_blocks_have_the_stated_area_on_average(shape, level):
    area = blocks(shape, level).double().mean(dim=(1, 2, 3))
    std_error = area.std().item() / np.sqrt(N_ROWS)
    assert abs(area.mean().item() - level) <= STD_ERRORS * std_error


@each_image
def test_block_of_level_1_leaves_nothing(shape):
    assert blocks(shape, 1.0, n=500).all()


@each_image
def test_block_is_a_rectangle_through_all_channels(shape):
    is_hit = blocks(shape, 0.4, n=500)
    assert torch.equal(is_hit, is_hit[..., :1].expand_as(is_hit))
    is_hit = is_hit[..., 0]
    lines, columns = is_hit.any(dim=2), is_hit.any(dim=1)  # (n, height), (n, width)
    assert torch.equal(is_hit, lines[:, :, None] & columns[:, None, :])
    for axis in (lines, columns):  # neighbours: hit or not, it changes twice at most
        changes = nn.functional.pad(axis.int(), (1, 1)).diff(dim=1).abs().sum(dim=1)
        assert set(changes.tolist()) <= {0, 2}


def test_block_leaves_the_rest_of_the_image_untouched():
    x = torch.randn(500, 40)
    corrupted = BlockCorruption(0.5, torch.full((40,), 9.0), (5, 8, 1))(x)
    is_kept = corrupted != 9.0
    assert torch.equal(corrupted[is_kept], x[is_kept])
    assert 0 < is_kept.sum() < is_kept.numel()


def test_blocks_come_in_all_places_and_in_several_shapes():
    is_hit = blocks((8, 8, 1), 0.25)[..., 0]  # (n, 8, 8)
    assert is_hit.any(dim=0).all()
    # Symmetric: no corner or side is hit more often than its mirror image.
    share = is_hit.double().mean(dim=0)
    for mirrored in (share.flip(0), share.flip(1), share.T):
        # Of a difference of two shares p the variance is 2 p (1 - p) / n at most.
        assert (share - mirrored).abs().max() < STD_ERRORS * np.sqrt(0.5 / N_ROWS)
    heights = is_hit.any(dim=2).sum(dim=1)
    assert len(heights.unique()) >= 3


# The user's function ------------------------------------------------------------------


few_epochs = pytest.mark.filterwarnings(
    "ignore:Training ended at max_iter:sklearn.exceptions.ConvergenceWarning"
)


def make_callable(function, center=COLUMN_MEAN, scale=2.0):
    return CallableCorruption(function, center, torch.tensor(scale))


def test_callable_sees_the_units_of_the_data():
    seen = []
    make_callable(lambda X: seen.append(X) or X)(torch.ones(4, 3))
    torch.testing.assert_close(seen[0], (2.0 + COLUMN_MEAN).expand(4, 3))


def test_callable_returns_the_units_of_the_data():
    corrupted = make_callable(lambda X: torch.full_like(X, 7.0))(torch.ones(4, 3))
    torch.testing.assert_close(corrupted, ((7.0 - COLUMN_MEAN) / 2).expand(4, 3))


def test_callable_may_change_the_dtype(x):
    assert make_callable(lambda X: X.double())(x).dtype == x.dtype


def test_callable_of_the_wrong_shape_is_told_both_shapes():
    corruption = make_callable(lambda X: X[:, :2])
    with pytest.raises(ValueError, match=r"given, \(4, 3\); got .*4, 2"):
        corruption(torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("function", "type_name"),
    [(lambda X: None, "NoneType"), (lambda X: X.numpy(), "ndarray")],
)
def test_callable_that_gives_no_tensor_is_told_what_it_gave(function, type_name):
    with pytest.raises(ValueError, match=f"must return a tensor .*{type_name}"):
        make_callable(function)(torch.zeros(4, 3))


@few_epochs
def test_callable_keeps_the_digits_of_columns_far_from_zero():
    # Of a column of time stamps, say; float32 has steps of 8 there.
    rng = np.random.default_rng(0)
    X = 1e8 + rng.normal(size=(40, 2))
    seen = []
    DenoisingAutoencoderTransformer(
        1,
        corruption=lambda batch: seen.append(batch) or batch,
        hidden_layer_sizes=(4,),
        early_stopping=False,
        batch_size=40,
        max_iter=1,
    ).fit(X)
    rows = np.sort(seen[0].double().numpy(), axis=0)
    # The rows went to float32 with spread 1 and back.
    np.testing.assert_allclose(rows, np.sort(X, axis=0), rtol=0, atol=1e-5)


class Listen(Callback):
    """Takes the training off its fast path."""

    def on_batch_end(self, net, **kwargs):
        pass


@few_epochs
@pytest.mark.parametrize("callbacks", [[], [Listen()]], ids=["fast", "slow"])
def test_callable_module_of_the_user_is_not_trained_in_place(callbacks):
    t = np.linspace(-1, 1, 60)
    X = np.column_stack([t, t**2, t**3])
    corruption = nn.Linear(3, 3, dtype=torch.float64)  # the dtype of X
    before = corruption.weight.detach().clone()
    DenoisingAutoencoderTransformer(
        1,
        corruption=corruption,
        hidden_layer_sizes=(8,),
        init="random",
        alpha=1.0,
        early_stopping=False,
        max_iter=3,
        callbacks=callbacks,
    ).fit(X)
    assert torch.equal(corruption.weight, before)
