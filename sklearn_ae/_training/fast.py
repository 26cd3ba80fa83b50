"""The package's own networks with as few operations per step as there are products.

On a small table a training step costs more in dispatching operations and in building
the graph for autograd than in arithmetic. Here all parameters, and all gradients, are
views of two flat buffers, and each network is one function with a hand-written
backward pass, which writes into its share of the gradients. What is computed stays
what `_networks.modules` says.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .._networks.activations import DERIVATIVES
from .._networks.modules import Anchored, Autoencoder
from .._tables.rows import block_rows
from .._utils.processes import current
from .objectives import Objective


class _Layer:
    """A linear layer's parameters and gradients, with the transposes at hand.

    With a copy of all parameters in lower precision, that is what it computes with.
    """

    def __init__(self, linear: nn.Linear, low: Tensor | None = None):
        assert linear.weight.grad is not None
        assert linear.bias.grad is not None
        self.is_low = low is not None
        self.weight = _part(linear.weight.detach(), low)  # (n_outputs, n_inputs)
        self.weight_t = self.weight.t()
        self.bias = _part(linear.bias.detach(), low)
        self.weight_grad = linear.weight.grad
        self.bias_grad = linear.bias.grad

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight_t)

    def backward(self, grad: Tensor, x: Tensor, ones: Tensor) -> None:
        grad_t = grad.t()
        if self.is_low:
            self.weight_grad.copy_(torch.mm(grad_t, x))
            torch.sum(grad, 0, dtype=self.bias_grad.dtype, out=self.bias_grad)
            return
        torch.mm(grad_t, x, out=self.weight_grad)
        # A product with ones sums over rows faster than a reduction does.
        torch.mv(grad_t, ones, out=self.bias_grad)


def _part(parameter: Tensor, low: Tensor | None) -> Tensor:
    """The parameter, a view of a flat buffer, or the same part of a copy of that."""
    if low is None:
        return parameter
    start = parameter.storage_offset()
    return low[start : start + parameter.numel()].view_as(parameter)


class FastNetwork:
    """An MLP or an anchored MLP as one function of its input.

    In lower precision are the products of the MLP, which are nearly all of the work;
    input and output are not, nor is the linear path beside the MLP.
    """

    def __init__(self, network: nn.Module, is_first: bool, low: Tensor | None = None):
        self.is_first = is_first
        self.is_anchored = isinstance(network, Anchored)
        mlp: Any = network
        if isinstance(network, Anchored):
            mlp = network.network
            self.linear = _Layer(network.linear)
            self.inverse_spread = network.input_spread.reciprocal()
        self.layers = [
            _Layer(layer, low) for layer in mlp if isinstance(layer, nn.Linear)
        ]
        activation = type(mlp[1]) if len(mlp) > 1 else nn.Identity
        self.activate, self.activate_backward = DERIVATIVES[activation]
        self.parameter = mlp[0].weight
        self.dtype = self.parameter.dtype
        self.is_low = low is not None
        self.inner_dtype = self.dtype if low is None else low.dtype
        self.ones = self.parameter.new_ones(0)

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (..., n_inputs) -> (n, n_inputs)
        if torch.is_grad_enabled():
            # The parameter is there so that autograd asks for a backward pass at all.
            output = _NetworkFunction.apply(rows, self.parameter, self)
        else:
            output = self.forward(rows)[0]
        return output.view(*x.shape[:-1], -1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Output, and what the backward pass needs: x, h0, a1, h1, a2, h2 ..."""
        h = x * self.inverse_spread if self.is_anchored else x
        if self.is_low:
            h = h.to(self.inner_dtype)
        saved = [x, h]
        for layer in self.layers[:-1]:
            a = layer.forward(h)
            h = self.activate(a)
            saved += [a, h]
        output = self.layers[-1].forward(h)
        if self.is_low:
            output = output.to(self.dtype)
        if self.is_anchored:
            output = output.add_(self.linear.bias).addmm_(x, self.linear.weight_t)
        return output, saved

    def backward(self, grad: Tensor, saved: list[Tensor]) -> Tensor:
        """Fill the parameters' gradients and return that of the input."""
        if len(self.ones) != len(grad):
            self.ones = grad.new_ones(len(grad))
        x = saved[0]
        g = grad.to(self.inner_dtype) if self.is_low else grad
        for i in range(len(self.layers) - 1, 0, -1):
            layer, a, h = self.layers[i], saved[2 * i], saved[2 * i + 1]
            layer.backward(g, h, self.ones)
            g = self.activate_backward(torch.mm(g, layer.weight), a, h)
        first = self.layers[0]
        first.backward(g, saved[1], self.ones)
        if self.is_anchored:
            self.linear.backward(grad, x, self.ones)
        if self.is_first:
            return grad  # nobody asks for the gradient of the data
        g = torch.mm(g, first.weight)
        if self.is_low:
            g = g.to(self.dtype)
        if self.is_anchored:
            g = g.mul_(self.inverse_spread).addmm_(grad, self.linear.weight)
        return g


class _NetworkFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, parameter: Tensor, network: FastNetwork) -> Tensor:
        output, saved = network.forward(x)
        ctx.network = network
        ctx.saved = saved
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        grad_x = ctx.network.backward(grads[0], ctx.saved)
        return grad_x if ctx.needs_input_grad[0] else None, None, None


def flatten(parameters: list[nn.Parameter]) -> nn.Parameter:
    """One parameter whose memory, and whose gradient's, those given become views of."""
    flat = nn.Parameter(torch.cat([p.detach().reshape(-1) for p in parameters]))
    flat.grad = current().zeros_like(flat.detach())
    start = 0
    for p in parameters:
        part = slice(start, start + p.numel())
        p.data = flat.detach()[part].view_as(p)
        p.grad = flat.grad[part].view_as(p)
        start += p.numel()
    return flat


def unflatten(module: nn.Module) -> None:
    """Give every parameter memory of its own again, and drop the gradients."""
    for p in module.parameters():
        p.data = p.data.clone()
        p.grad = None


@contextlib.contextmanager
def fast_step(
    module: Autoencoder,
    optimizer: torch.optim.Optimizer | None = None,
    precision: torch.dtype | None = None,
    is_flat: bool = True,
    objective: Objective | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Callable[[Tensor], Tensor]]:
    """A function of a batch that fills the gradients and returns the mean loss.

    For a module of the package's MLPs, whose parameters were flattened, it runs on the
    fast networks; for any other module it is autograd's backward pass, which adds to
    gradients: before it the optimizer, or the module, sets them to zero.
    """
    zero_grad = (module if optimizer is None else optimizer).zero_grad
    objective = Objective() if objective is None else objective
    # An objective of its own may want derivatives that fast networks do not have.
    asks_for_little = objective.is_of_rows or objective.has_fast_networks
    can_be_fast = is_flat and module.is_fast and asks_for_little
    # Maps take many times the memory of an image. The user's networks may look at the
    # batch as a whole, and fast ones do not add to gradients.
    is_conv = module.is_own and not module.is_fast
    can_be_parts = is_conv and objective.is_of_rows
    n_together = block_rows(module.loss_size) if can_be_parts else 0

    def autograd_step(x: Tensor) -> Tensor:
        zero_grad(set_to_none=False)
        casts = precision is not None and not can_be_fast
        total = x.new_zeros(())
        for part in x.split(n_together or len(x)):
            with torch.autocast(x.device.type, precision, enabled=casts):
                loss = objective.step_loss(module, part, generator)
                loss = loss * (len(part) / len(x))
            loss.backward()
            total += loss.detach()
        return total

    if not can_be_fast:
        yield autograd_step
        return
    low = None if precision is None else _flat_buffer(module).to(precision)
    encoder: Any = module.encoder
    # That of a decoder alone has nothing to learn, and no gradient goes there.
    is_alone = next(encoder.parameters(), None) is None
    decoder = FastNetwork(module.decoder, is_first=is_alone, low=low)
    if not is_alone:
        encoder = FastNetwork(encoder, is_first=True, low=low)
    step: Callable[[Tensor], Tensor] = autograd_step
    if type(module) is Autoencoder and objective.is_of_rows:
        step = partial(_manual_step, module, encoder, decoder, generator)
    else:
        networks = (module.encoder, encoder), (module.decoder, decoder)
        for network, fast in networks:
            if fast is not network:
                network.forward = fast
    try:
        yield step if low is None else _refreshing(step, low, _flat_buffer(module))
    finally:
        if step is autograd_step:
            for network in (module.encoder, module.decoder):
                vars(network).pop("forward", None)


def _refreshing(
    step: Callable[[Tensor], Tensor], low: Tensor, flat: Tensor
) -> Callable[[Tensor], Tensor]:
    """The step on parameters that have just been copied into lower precision."""

    def refresh_and_step(x: Tensor) -> Tensor:
        low.copy_(flat)
        return step(x)

    return refresh_and_step


def _flat_buffer(module: nn.Module) -> Tensor:
    """The memory that all parameters are views of, as one tensor."""
    parameter = next(module.parameters()).detach()
    n_numbers = parameter.untyped_storage().nbytes() // parameter.element_size()
    return parameter.as_strided((n_numbers,), (1,), storage_offset=0)


@torch.no_grad()
def _manual_step(
    module: Autoencoder,
    encoder: FastNetwork,
    decoder: FastNetwork,
    generator: torch.Generator | None,
    x: Tensor,
) -> Tensor:
    """module.loss(x).mean() and its backward pass, without autograd."""
    seen = module.filled(module.corrupted(x, generator))
    z, encoder_saved = encoder.forward(seen)  # (n, k)
    output, decoder_saved = decoder.forward(z)  # (n, d)
    loss, grad = module.loss_of(x).mean_error_and_gradient(output, x)
    grad_z = decoder.backward(grad, decoder_saved)  # (n, k)
    encoder.backward(grad_z, encoder_saved)
    return loss
