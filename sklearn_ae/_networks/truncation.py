"""A module with its first latents alone; those behind them stay at zero."""

import copy

import torch
from torch import Tensor, nn

from .linear import linear_layer
from .modules import MLP, Anchored, Autoencoder, OwnNetwork, nonlinear_part

# Numbers of latents of which every cut is looked at.
_FEW_CUTS = 16


def rungs(k: int) -> list[int]:
    """Numbers of latents below k to cut after: all, or of many some, ever fewer."""
    if k <= _FEW_CUTS:
        return list(range(1, k))
    powers = [2**i for i in range(k.bit_length())]
    halfway = [3 * power // 2 for power in powers[1:]]
    return [size for size in sorted({*powers, *halfway}) if size < k]


class FirstOutputs(nn.Module):
    """A network of the user's, of whose outputs those of first latents are taken."""

    def __init__(self, network: nn.Module, k: int, n_kept: int):
        super().__init__()
        self.network, self.k, self.n_kept = network, k, n_kept

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.network(x)  # (n, k) or (n, 2k): moments side by side
        return outputs.unflatten(-1, (-1, self.k))[..., : self.n_kept].flatten(-2)


class PaddedInputs(nn.Module):
    """A network of the user's whose latents behind the first few are zero."""

    def __init__(self, network: nn.Module, k: int, n_kept: int):
        super().__init__()
        self.network, self.k, self.n_kept = network, k, n_kept

    def forward(self, z: Tensor) -> Tensor:
        kept, behind = z[..., : self.n_kept], z[..., self.n_kept :]
        zeros = z.new_zeros(*z.shape[:-1], self.k - self.n_kept)
        return self.network(torch.cat([kept, zeros, behind], dim=-1))


def with_first_latents(module: Autoencoder, k: int, n_kept: int) -> Autoencoder:
    """The module of k latents with the first ones alone; it shares the other weights.

    What an encoder gives for each latent, and what a decoder sees behind the latents,
    stays. Of decoders that cuts have for themselves it is the first that takes as many.
    """
    cut = copy.copy(module)
    vars(cut)["_modules"] = dict(module._modules)
    cut.encoder = _with_outputs(module.encoder, k, n_kept)
    decoders = {**module.cut_decoders, k: module.decoder}
    n_taken = min(size for size in decoders if size >= n_kept)
    cut.decoder = _with_inputs(decoders[n_taken], n_taken, n_kept)
    cut.keep_cuts({size: own for size, own in decoders.items() if size < n_kept})
    noise_network = module._modules.get("of_noise")
    if noise_network is not None:
        cut.of_noise = _with_inputs(noise_network, k, n_kept)
    spread = module._buffers.get("latent_spread")
    if spread is not None:
        vars(cut)["_buffers"] = dict(module._buffers)
        cut.whiten(spread[:n_kept])
    cut._measure()
    return cut


def _with_outputs(network: nn.Module, k: int, n_kept: int) -> nn.Module:
    layers = _layers(network, -1)
    if layers is None:
        return FirstOutputs(network, k, n_kept)
    of_latent = torch.arange(layers[0].out_features) % k
    kept = (of_latent < n_kept).nonzero()[:, 0].to(layers[0].weight.device)
    return _rebuilt(
        network, -1, [_linear(layer.weight[kept], layer.bias[kept]) for layer in layers]
    )


def _with_inputs(network: nn.Module, k: int, n_kept: int) -> nn.Module:
    layers = _layers(network, 0)
    if layers is None:
        return PaddedInputs(network, k, n_kept)
    numbers = torch.arange(layers[0].in_features, device=layers[0].weight.device)
    kept = ((numbers < n_kept) | (numbers >= k)).nonzero()[:, 0]
    cut = _rebuilt(
        network, 0, [_linear(layer.weight[:, kept], layer.bias) for layer in layers]
    )
    if isinstance(cut, Anchored):
        cut.input_spread = cut.input_spread[kept]
    return cut


def _layers(network: nn.Module, position: int) -> list[nn.Linear] | None:
    """The linear layers at the network's input (0) or output (-1), if it is ours."""
    own = nonlinear_part(network)
    if not isinstance(own, OwnNetwork):
        return None
    layer = list(own)[position]
    assert isinstance(layer, nn.Linear)
    return [network.linear, layer] if isinstance(network, Anchored) else [layer]


def _rebuilt(network: nn.Module, position: int, layers: list[nn.Linear]) -> nn.Module:
    """The network with other layers there; all else is shared."""
    if isinstance(network, Anchored):
        *_, layer = layers
        bent = _rebuilt(network.network, position, [layer])
        assert isinstance(bent, OwnNetwork)
        return Anchored.around(bent, layers[0], network.input_spread)
    assert isinstance(network, nn.Sequential)
    if isinstance(network, MLP):
        parts = list(network)
        parts[position] = layers[0]
        return MLP(*parts)
    rebuilt = copy.copy(network)
    names = list(network._modules)
    vars(rebuilt)["_modules"] = {
        **network._modules,
        names[position]: layers[0],
    }
    return rebuilt


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    return linear_layer(weight.detach().clone(), bias.detach().clone())
