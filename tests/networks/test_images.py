"""Rows that are images: the convolutional networks, and the estimators around them."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from small_networks import log_prob
from torch import nn

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)
from sklearn_ae._networks import sizes as _sizes
from sklearn_ae._networks.build import anchor, start_at
from sklearn_ae._networks.images import (
    DENSE_WIDTHS,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    SkipDecoder,
    SkipEncoder,
    check_image_shape,
    map_sizes,
)
from sklearn_ae._networks.losses import LOSSES, SquaredError
from sklearn_ae._networks.modules import Anchored, Autoencoder
from sklearn_ae._networks.variational import VariationalAutoencoder
from sklearn_ae._training import fast as _fast
from sklearn_ae._training.fast import fast_step
from sklearn_ae._training.objectives import row_losses
from sklearn_ae._training.optimizer import decayed_parameters
from sklearn_ae._utils.device import resolve_precision

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

K = 3  # latents
SHAPE = (5, 7, 2)
D = 5 * 7 * 2
CHANNELS = (4, 6)

SHAPES = [(1, 1, 1), (1, 9, 1), (9, 1, 2), (5, 3, 1), (7, 8, 3), (28, 28, 1), (2, 3, 5)]
each_shape = pytest.mark.parametrize("shape", SHAPES)
each_channels = pytest.mark.parametrize("channels", [(4,), (4, 6), (3, 5, 2, 4)])


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def networks(shape=SHAPE, channels=CHANNELS, n_outputs=K):
    encoder = ConvolutionalEncoder(shape, channels, n_outputs, nn.Tanh)
    return encoder, ConvolutionalDecoder(shape, channels, K, nn.Tanh)


def rows(n=6, d=D):
    return torch.randn(n, d)


def networks_with_skips(shape=SHAPE, channels=CHANNELS, n_outputs=K):
    encoder = SkipEncoder(shape, channels, n_outputs, nn.Tanh)
    return encoder, SkipDecoder(shape, channels, K, nn.Tanh)


# The networks -------------------------------------------------------------------------


@each_channels
@each_shape
def test_images_of_any_size_come_back_in_their_size(shape, channels):
    encoder, decoder = networks(shape, channels)
    x = rows(4, int(np.prod(shape)))
    z = encoder(x)
    assert z.shape == (4, K)
    assert decoder(z).shape == x.shape


@each_channels
@each_shape
def test_with_skips_too(shape, channels):
    encoder, decoder = networks_with_skips(shape, channels)
    x = rows(4, int(np.prod(shape)))
    maps = []
    z = encoder(x, maps)
    assert z.shape == (4, K)
    assert [m.shape[1] for m in maps] == list(channels)
    assert maps[0].shape[2:] == shape[:2]
    assert decoder(z, maps).shape == x.shape
    assert torch.equal(encoder(x), z)


@pytest.mark.parametrize("i", [0, 1, 2])
def test_decoder_sees_every_map_in_its_place(i):
    encoder, decoder = networks_with_skips((8, 8, 1), (3, 4, 5))
    maps = []
    z = encoder(rows(1, 64), maps)
    before = decoder(z, maps)
    maps[i][..., 0, 0] += 1.0
    changed = (decoder(z, maps) - before).abs().view(8, 8)
    assert changed[0, 0] > 0
    if i == 0:  # two convolutions of the stage and the output's: three pixels further
        assert changed[3, 3] > 0
        assert not changed[4:].any()
        assert not changed[:, 4:].any()


@each_channels
@each_shape
def test_sizes_with_skips_are_those_of_the_widest_maps(shape, channels):
    networks = networks_with_skips(shape, channels)
    numbers, products = [], []

    def watch(layer, inputs, output):
        numbers.append(inputs[0][0].numel())
        numbers.append(output[0].numel())
        products.append(output[0, 0].numel() * layer.weight.numel())

    for network in networks:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(watch)
    maps = []
    networks[1](networks[0](rows(1, int(np.prod(shape))), maps), maps)
    for network in networks:
        assert network.row_size == max(numbers)
        assert network.largest_layer == max(products)


def test_last_axis_of_an_image_is_its_fastest():
    encoder, _ = networks()
    x = rows()
    images = torch.from_numpy(x.numpy().reshape(-1, *SHAPE).transpose(0, 3, 1, 2))
    torch.testing.assert_close(encoder[1](encoder[0](x)), encoder[1](images))


def test_decoder_lays_out_images_as_the_encoder_reads_them():
    encoder, decoder = networks()
    x = rows()
    torch.testing.assert_close(decoder[-1](encoder[0](x)), x)


def test_position_matters_to_the_encoder_as_it_does_in_the_image():
    # An odd convolution of stride 2 moves with its image by two pixels.
    encoder = ConvolutionalEncoder((1, 12, 1), (3,), K, nn.Tanh)
    x = torch.zeros(2, 12)
    x[0, 4:6], x[1, 6:8] = 1.0, 1.0
    maps = encoder[1](encoder[0](x))  # (2, 3, 1, 6)
    torch.testing.assert_close(maps[0, :, 0, :5], maps[1, :, 0, 1:])


def test_draws_and_rows_may_both_be_axes():
    _, decoder = networks()
    z = torch.randn(2, 4, K)
    separate = torch.stack([decoder(z[0]), decoder(z[1])])
    torch.testing.assert_close(decoder(z), separate)


@pytest.mark.parametrize("which", [0, 1], ids=["encoder", "decoder"])
def test_output_is_zero_where_the_last_two_parameters_are(which):
    network = networks()[which]
    with torch.no_grad():
        for parameter in list(network.parameters())[-2:]:
            parameter.zero_()
    x = rows(d=D if which == 0 else K)
    assert not network(x).any()
    # and nothing less than these two will do
    for parameter in list(network.parameters())[-2:]:
        twin = copy.deepcopy(network)
        names = {id(p): name for name, p in network.named_parameters()}
        with torch.no_grad():
            twin.get_parameter(names[id(parameter)]).fill_(1.0)
        assert twin(x).any()


def outputs_of(network, x):
    """Each convolution, and the numbers that it gives for a row."""
    sizes = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda m, _, output: sizes.append((m, output[0].numel()))
            )
    network(x)
    return sizes


@each_channels
@each_shape
def test_row_size_is_that_of_the_widest_maps(shape, channels):
    encoder, decoder = networks(shape, channels)
    sizes = outputs_of(encoder, rows(1, int(np.prod(shape))))
    sizes += outputs_of(decoder, rows(1, K))
    assert encoder.row_size == decoder.row_size == max(size for _, size in sizes)


@each_channels
@each_shape
def test_largest_layer_counts_multiplications(shape, channels):
    encoder, decoder = networks(shape, channels)
    counts = [
        module.weight[0].numel() * size
        for module, size in outputs_of(decoder, rows(1, K))
    ]
    assert encoder.largest_layer == decoder.largest_layer == max(counts)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])
def test_an_activation_stands_between_any_two_layers_with_weights(activation):
    for network in (
        ConvolutionalEncoder(SHAPE, CHANNELS, K, activation),
        ConvolutionalDecoder(SHAPE, CHANNELS, K, activation),
    ):
        kinds = [
            type(m) if isinstance(m, activation) else "weights"
            for m in network.modules()
            if isinstance(m, nn.Linear | nn.Conv2d | activation)
        ]
        n_layers = len(CHANNELS) + len(DENSE_WIDTHS) + 1
        assert kinds == (["weights", activation] * n_layers)[:-1]


@pytest.mark.parametrize(
    ("height", "width", "n_stages"),
    [(1, 1, 1), (8, 8, 1), (28, 28, 3), (32, 17, 3), (1, 64, 4), (250, 250, 6)],
)
def test_recipe_halves_the_image_until_no_side_is_longer_than_4(
    height, width, n_stages
):
    channels = _sizes.channels(height, width)
    assert len(channels) == n_stages
    assert max(map_sizes((height, width, 1), n_stages)[-1]) <= 4
    assert max(channels) <= 64


# Beside a linear path -----------------------------------------------------------------


def anchored_networks(n_outputs=K, dtype=torch.float32):
    """Both networks beside linear paths, with nothing left at its start value."""
    encoder, decoder = (
        Anchored(
            torch.randn(n_out, n_in), torch.randn(n_out), network, torch.ones(n_in)
        )
        for network, n_in, n_out in zip(
            networks(n_outputs=n_outputs), (D, K), (n_outputs, D), strict=True
        )
    )
    for parameter in [*encoder.parameters(), *decoder.parameters()]:
        nn.init.normal_(parameter, std=0.3)
    return encoder.to(dtype), decoder.to(dtype)


def autoencoder(dtype=torch.float64, loss=None):
    return Autoencoder(
        *anchored_networks(dtype=dtype),
        loss or SquaredError(),
        center=torch.zeros(D),
        scale=torch.tensor(1.0),
    )


def vae():
    return VariationalAutoencoder(
        *anchored_networks(2 * K, torch.float64),
        SquaredError(),
        center=torch.zeros(D),
        scale=torch.tensor(1.0),
    ).double()


@pytest.mark.parametrize("which", [0, 1], ids=["encoder", "decoder"])
def test_anchored_network_is_linear_before_the_first_step(which):
    n_in, n_out = ((D, K), (K, D))[which]
    weight, bias = torch.randn(n_out, n_in), torch.randn(n_out)
    network = anchor(networks()[which], (weight, bias), torch.ones(n_in))
    x = rows(d=n_in)
    torch.testing.assert_close(network(x), x @ weight.T + bias)


@pytest.mark.parametrize("which", [0, 1], ids=["encoder", "decoder"])
def test_anchored_network_can_bend_in_the_first_step(which):
    n_in, n_out = ((D, K), (K, D))[which]
    layer = torch.randn(n_out, n_in), torch.randn(n_out)
    network = anchor(networks()[which], layer, torch.ones(n_in))
    network(rows(d=n_in)).square().sum().backward()
    last_weight = list(network.network.parameters())[-2]
    assert last_weight.grad.abs().max() > 0


@pytest.mark.parametrize("which", [0, 1], ids=["encoder", "decoder"])
def test_anchored_convolutions_keep_the_spread_of_the_activations(which):
    n_in, n_out = ((D, K), (K, D))[which]
    layer = torch.zeros(n_out, n_in), torch.zeros(n_out)
    network = networks(channels=(64, 64, 64))[which]
    network = anchor(network, layer, torch.ones(n_in)).network
    # The decoder's last one starts at zero, and a first one has few weights.
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    for convolution in convolutions[1:] if which == 0 else convolutions[:-1]:
        n_inputs = convolution.weight[0].numel()
        std = convolution.weight.std().item()
        # Of more than 10^4 weights the standard deviation is known to 1 %.
        assert std == pytest.approx(np.sqrt(2 / n_inputs), rel=0.05)
        assert not convolution.bias.any()


def test_linear_path_keeps_its_digits_under_autocast():
    weight, bias = torch.randn(K, D), torch.randn(K)
    network = anchor(networks()[0], (weight, bias), torch.ones(D))
    x = rows()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(x)
    torch.testing.assert_close(output, x @ weight.T + bias)


def test_weights_of_convolutions_are_decayed_and_biases_are_not():
    module = autoencoder()
    decayed = {id(p) for p in decayed_parameters(module)}
    for network in (module.encoder, module.decoder):
        assert id(network.linear.weight) not in decayed
        for parameter in network.network.parameters():
            assert (id(parameter) in decayed) == (parameter.ndim > 1)


def test_networks_for_images_are_the_packages_own_but_no_mlps():
    module = autoencoder()
    assert module.is_own
    assert not module.is_fast


def orthogonal(k):
    return torch.linalg.qr(torch.randn(k, k, dtype=torch.float64))[0]


def test_rotated_latents_are_the_shifted_ones_times_the_rotation():
    module, x = autoencoder(), rows().double()
    rotation, shift = orthogonal(K), torch.randn(K, dtype=torch.float64)
    z = module.encode(x)
    module.rotate(rotation, shift)
    torch.testing.assert_close(module.encode(x), (z - shift) @ rotation)


@pytest.mark.parametrize("loss", [loss() for loss in LOSSES.values()])
def test_rotation_leaves_reconstruction_and_loss_unchanged(loss):
    module, x = autoencoder(loss=loss), rows().double().sigmoid()
    reconstruction, losses = module(x), module.loss(x)
    module.rotate(orthogonal(K), torch.randn(K, dtype=torch.float64))
    torch.testing.assert_close(module(x), reconstruction)
    torch.testing.assert_close(module.loss(x), losses)


def test_rotation_of_a_vae_leaves_its_densities_unchanged():
    module, x = vae(), rows().double()
    eps = torch.randn(2, 1, K, dtype=torch.float64)
    rotation = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).double()
    density = log_prob(module, x, eps)
    module.rotate(rotation, torch.zeros(K, dtype=torch.float64))
    torch.testing.assert_close(log_prob(module, x, eps @ rotation), density)


def test_start_at_shifts_the_output_of_an_untrained_decoder():
    _, decoder = networks()
    z, output = torch.randn(5, K), torch.randn(D)
    before = decoder(z).detach()
    start_at(decoder, output)
    torch.testing.assert_close(decoder(z), before + output)


@pytest.mark.parametrize("n_rows", [1, 4, 5])
def test_gradient_of_a_batch_taken_in_parts_is_that_of_the_whole(n_rows, monkeypatch):
    module, x = autoencoder(), rows(9).double()
    module.loss(x).mean().backward()
    expected = [p.grad.clone() for p in module.parameters()]
    monkeypatch.setattr(_fast, "block_rows", lambda size: n_rows)
    with fast_step(module) as step:
        loss = step(x)
    torch.testing.assert_close(loss, module.loss(x).mean())
    torch.testing.assert_close([p.grad for p in module.parameters()], expected)


def test_large_images_are_taken_few_at_a_time():
    shape, d = (64, 64, 1), 64 * 64
    module = Autoencoder(
        ConvolutionalEncoder(shape, (64,), K, nn.Tanh),
        ConvolutionalDecoder(shape, (64,), K, nn.Tanh),
        SquaredError(),
        center=torch.zeros(d),
        scale=torch.tensor(1.0),
    )
    seen = []
    module.encoder.register_forward_hook(lambda m, x, _: seen.append(len(x[0])))
    x = torch.zeros(40, d)
    row_losses(module, x, seed=0)
    with fast_step(module) as step:
        step(x)
    # 64 maps of 32 x 32 for each image, and 2^21 numbers at a time.
    assert seen == [32, 8] * 2


# The estimators -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    X = load_digits().data[:300]
    X.flags.writeable = False
    return X


@pytest.fixture
def images(quick):
    """Make an estimator of 8 x 8 images that trains in a fraction of a second."""

    def make(Estimator, n_components=4, **params):
        params = {
            "image_shape": (8, 8),
            "hidden_layer_sizes": (8,),
            "max_iter": 4,
            "batch_size": 64,
            **params,
        }
        return quick(Estimator, n_components=n_components, **params)

    return make


@pytest.fixture(scope="module")
def trained(digits):
    """An autoencoder of images that learned something. Not to be changed."""
    estimator = AutoencoderTransformer(
        4,
        image_shape=(8, 8),
        hidden_layer_sizes=(8,),
        max_iter=8,
        early_stopping=False,
    ).fit(digits)
    assert estimator.best_iter_ > 0
    return estimator


each_autoencoder = pytest.mark.parametrize(
    "Autoencoder", [AutoencoderTransformer, DenoisingAutoencoderTransformer]
)


@each_autoencoder
@pytest.mark.parametrize("image_shape", [(8, 8), (8, 8, 1), (4, 4, 4), (1, 64)])
def test_before_the_first_step_it_is_pca(Autoencoder, image_shape, digits):
    estimator = Autoencoder(4, image_shape=image_shape, max_iter=0).fit(digits)
    pca = PCA(4).fit(digits)
    # Weights are in single precision.
    assert_allclose(estimator.transform(digits), pca.transform(digits), atol=1e-4)
    reconstruction = pca.inverse_transform(pca.transform(digits))
    assert_allclose(estimator.reconstruct(digits), reconstruction, atol=1e-4)


def test_before_the_first_step_a_vae_is_that_of_tables(digits):
    of_images = VAETransformer(4, image_shape=(8, 8), max_iter=0).fit(digits)
    of_tables = VAETransformer(4, max_iter=0).fit(digits)
    assert_allclose(
        of_images.score_samples(digits), of_tables.score_samples(digits), rtol=1e-5
    )
    assert_allclose(of_images.transform(digits), of_tables.transform(digits), atol=1e-5)


def test_training_improves_on_pca(trained, digits):
    pca = PCA(4).fit(digits)
    error = np.mean((digits - pca.inverse_transform(pca.transform(digits))) ** 2)
    assert trained.reconstruction_err_ < 0.95 * error
    assert trained.reconstruction_err_ == pytest.approx(
        np.mean((digits - trained.reconstruct(digits)) ** 2), rel=1e-5
    )


def test_default_finds_the_sizes_and_is_no_worse_than_pca_on_new_images(digits):
    estimator = AutoencoderTransformer(8, image_shape=(8, 8), max_iter=10)
    estimator.fit(digits[:200])
    pca = PCA(8).fit(digits[:200])
    new = digits[200:]
    error = np.mean((new - pca.inverse_transform(pca.transform(new))) ** 2)
    assert -estimator.score(new) <= error * (1 + 1e-5)  # rounding


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "log_loss"])
def test_same_data_and_seed_give_the_same_bits(Estimator, loss, images, digits):
    X = digits[:60] / 16
    folds = {"early_stopping": True, "validation_fraction": 0.25, "max_iter": 2}
    Z, again = (
        images(Estimator, loss=loss, **folds).fit(X).transform(X) for _ in range(2)
    )
    assert_array_equal(Z, again)


def test_latents_are_uncorrelated_and_ordered_by_variance(trained, digits):
    covariance = np.cov(trained.transform(digits), rowvar=False)
    variances = np.diag(covariance)
    assert np.all(np.diff(variances) <= 0)
    assert_allclose(covariance, np.diag(variances), atol=1e-4 * variances[0])


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples"])
def test_an_image_does_not_depend_on_those_beside_it(method, trained, digits):
    together = getattr(trained, method)(digits)
    alone = np.concatenate([getattr(trained, method)(row[None]) for row in digits[:9]])
    assert_allclose(alone, together[:9], rtol=1e-12, atol=1e-12)


def test_float32_in_float32_out(trained, digits):
    X = digits.astype(np.float32)
    Z = trained.transform(X)
    assert Z.dtype == np.float32
    assert_allclose(Z, trained.transform(digits), atol=1e-3)


def test_pickled_estimator_gives_the_same_bits(trained, digits):
    copied = pickle.loads(pickle.dumps(trained))
    assert_array_equal(copied.transform(digits), trained.transform(digits))


def test_images_in_columns_of_memory_are_the_same_images(images, digits):
    X = digits.astype(np.float32)
    estimator = images(AutoencoderTransformer).fit(X)
    assert_allclose(
        estimator.reconstruct(np.asfortranarray(X)), estimator.reconstruct(X), atol=1e-4
    )


def test_sample_gives_images(Estimator, images, digits):
    estimator = images(Estimator).fit(digits)
    assert estimator.sample(3).shape == (3, 64)


def test_without_stages_the_networks_are_linear(images, digits):
    estimator = images(AutoencoderTransformer, hidden_layer_sizes=()).fit(digits)
    X = digits[:4]
    middle = estimator.transform(X).mean(axis=0)
    assert_allclose(estimator.transform(X.mean(axis=0)[None])[0], middle, atol=1e-9)


def test_channels_of_the_stages_are_the_hidden_layer_sizes(images, digits):
    estimator = images(AutoencoderTransformer, hidden_layer_sizes=(3, 5)).fit(digits)
    network = estimator.module_.encoder.network
    convolutions = [m for m in network if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [3, 5]
    dense = [m.out_features for m in network if isinstance(m, nn.Linear)]
    assert dense == [*DENSE_WIDTHS, 4]


def test_values_of_a_channel_share_their_spread(images, digits):
    X = digits * np.tile([1.0, 10.0], 32)  # two channels, 4 x 8 pixels
    estimator = images(
        AutoencoderTransformer, image_shape=(4, 8, 2), max_iter=0, init="pca"
    ).fit(X)
    spread = estimator.module_.encoder.input_spread.numpy()
    variances = X.var(axis=0).reshape(32, 2).mean(axis=0)
    expected = np.sqrt(variances / X.var(axis=0).mean())
    assert_allclose(spread.reshape(32, 2), np.tile(expected, (32, 1)), rtol=1e-5)


def test_partial_fit_goes_on_learning(Estimator, images, digits):
    estimator = images(Estimator).partial_fit(digits)
    first = estimator.loss_curve_[0]
    for _ in range(3):
        estimator.partial_fit(digits)
    assert estimator.loss_curve_[-1] < first


def test_warm_start_goes_on_from_the_last_networks(images, digits):
    estimator = images(AutoencoderTransformer, warm_start=True, max_iter=3).fit(digits)
    error = estimator.reconstruction_err_
    estimator.set_params(max_iter=8).fit(digits)
    assert estimator.n_iter_ == 8
    assert estimator.reconstruction_err_ < error


@pytest.mark.parametrize("image_shape", [(4, 16), (4, 4, 4), None])
def test_networks_cannot_go_on_with_images_of_another_shape(
    image_shape, images, digits
):
    estimator = images(AutoencoderTransformer, warm_start=True).fit(digits)
    estimator.set_params(image_shape=image_shape)
    with pytest.raises(ValueError, match="cannot go on with image_shape="):
        estimator.fit(digits)


@pytest.mark.parametrize("image_shape", [[8, 8], (8, 8, 1), np.array([8, 8])])
def test_the_same_shape_may_be_written_otherwise(image_shape, images, digits):
    estimator = images(AutoencoderTransformer, warm_start=True).fit(digits)
    estimator.set_params(image_shape=image_shape, max_iter=5).fit(digits)
    assert estimator.n_iter_ == 5


def test_bfloat16_learns_what_float32_does(images, digits):
    errors = [
        images(AutoencoderTransformer, precision=precision, max_iter=8)
        .fit(digits)
        .reconstruction_err_
        for precision in ("float32", "bfloat16")
    ]
    pca = images(AutoencoderTransformer, max_iter=0).fit(digits).reconstruction_err_
    # Generous: three digits in place of seven, for 40 steps.
    assert abs(errors[0] - errors[1]) < 0.1 * (pca - errors[0])
    assert errors[0] != errors[1]


def test_auto_precision_is_that_of_the_parameters(monkeypatch):
    monkeypatch.setattr(
        "sklearn_ae._utils.device.cpu_multiplies_bfloat16", lambda: True
    )
    module = Autoencoder(
        *networks((28, 28, 1), (16, 32)),  # wide enough, were they MLPs
        SquaredError(),
        center=torch.zeros(28 * 28),
        scale=torch.tensor(1.0),
    )
    device = torch.device("cpu")
    assert resolve_precision("auto", module, device) is None
    assert resolve_precision("bfloat16", module, device) is torch.bfloat16


def test_random_start_of_log_loss_learns_from_the_mean_image(images, digits):
    X = digits / 16
    estimator = images(
        AutoencoderTransformer, loss="log_loss", max_iter=20, learning_rate_init=1e-2
    ).fit(X)
    p = X.mean(axis=0).clip(1e-6, 1 - 1e-6)
    of_mean = -np.mean(X * np.log(p) + (1 - X) * np.log1p(-p))
    assert estimator.reconstruction_err_ < 0.95 * of_mean


def test_own_encoder_stands_beside_a_convolutional_decoder(images, digits):
    estimator = images(AutoencoderTransformer, encoder=nn.Linear).fit(digits)
    assert type(estimator.module_.encoder) is nn.Linear
    assert type(estimator.module_.decoder) is ConvolutionalDecoder


def test_own_networks_get_rows(images, digits):
    estimator = images(
        DenoisingAutoencoderTransformer,
        encoder=nn.Linear,
        decoder=nn.Linear,
        corruption="block",
    )
    assert estimator.fit(digits).transform(digits).shape == (300, 4)


def test_streamed_images_are_learned_from_too(images, digits, monkeypatch):
    monkeypatch.setattr("sklearn_ae._tables.checks.is_long", lambda X: True)
    estimator = images(AutoencoderTransformer, max_iter=8).fit(digits)
    start = images(AutoencoderTransformer, max_iter=0).fit(digits)
    assert estimator.reconstruction_err_ < start.reconstruction_err_


def test_blocks_of_no_area_leave_the_autoencoder(images, digits):
    denoising = images(
        DenoisingAutoencoderTransformer, corruption="block", corruption_level=0.0
    ).fit(digits)
    plain = images(AutoencoderTransformer).fit(digits)
    assert_array_equal(denoising.reconstruct(digits), plain.reconstruct(digits))


def test_blocks_are_filled_in(images, digits):
    # Who saw blocks removed in training repairs them better than who did not.
    damaged = digits.reshape(-1, 8, 8).copy()
    damaged[:, 2:6, 2:6] = digits.mean(axis=0).reshape(8, 8)[2:6, 2:6]
    errors = [
        np.mean(
            (estimator.fit(digits).reconstruct(damaged.reshape(-1, 64)) - digits) ** 2
        )
        for estimator in (
            images(
                DenoisingAutoencoderTransformer,
                corruption="block",
                corruption_level=0.3,
                max_iter=20,
            ),
            images(AutoencoderTransformer, max_iter=20),
        )
    ]
    assert errors[0] < 0.9 * errors[1]


# Errors -------------------------------------------------------------------------------


def test_shape_of_another_size_than_the_rows_is_told_both_numbers(Estimator, digits):
    estimator = Estimator(image_shape=(8, 9, 3))
    with pytest.raises(ValueError, match=r"\(8, 9, 3\) has 216 .* X has 64 features"):
        estimator.fit(digits)


@pytest.mark.parametrize(
    "image_shape", [(64,), (2, 2, 4, 4), (8.0, 8), (0, 8), (8, -8), "88", ()]
)
def test_what_is_no_shape_of_an_image_is_told_what_one_is(
    image_shape, Estimator, digits
):
    with pytest.raises(ValueError, match=r"image_shape"):
        Estimator(image_shape=image_shape).fit(digits)


@pytest.mark.parametrize("image_shape", [64, (8.0, 8), (8, 0), (2, 2, 4, 4), None])
def test_message_about_a_shape_shows_it(image_shape):
    with pytest.raises(ValueError, match=r"\(height, width\).* got ") as error:
        check_image_shape(image_shape)
    assert repr(image_shape) in str(error.value)


@pytest.mark.parametrize("sizes", [(8, 8), [8, 8, 3], np.array([8, 8])])
def test_any_sequence_of_two_or_three_sizes_is_a_shape(sizes):
    assert check_image_shape(sizes) == (*sizes, 1)[:3]


def test_blocks_need_the_shape_of_the_image(digits):
    estimator = DenoisingAutoencoderTransformer(corruption="block")
    with pytest.raises(ValueError, match=r'corruption="block".*set image_shape'):
        estimator.fit(digits)


def test_level_of_blocks_is_a_fraction(digits):
    estimator = DenoisingAutoencoderTransformer(
        corruption="block", corruption_level=1.5, image_shape=(8, 8)
    )
    with pytest.raises(ValueError, match="fraction between 0 and 1"):
        estimator.fit(digits)
