"""The package's own networks with as few operations per step as there are products.

On a small table a training step costs more in dispatching operations and in building
the graph for autograd than in arithmetic. Here all parameters, and all gradients, are
views of two flat buffers, and each network is one list of torch's calls with a
hand-written backward pass, which writes into its share of the gradients. The calls are
put together once for batches of a size: what Python does between two of them takes as
long as many a product. What is computed stays what `_networks.modules` says.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .._networks.activations import CALLS, DERIVATIVES, Call
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
        if self.is_low:
            self.low_grad = torch.empty_like(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight_t)

    def forward_call(self, x: Tensor, output: Tensor) -> Call:
        return partial(torch.addmm, self.bias, x, self.weight_t, out=output)

    def backward_calls(self, grad: Tensor, x: Tensor) -> list[Call]:
        """What fills the gradients, of that of the output (n, n_outputs)."""
        grad_t = grad.t()
        if self.is_low:
            total = partial(torch.sum, grad, 0, dtype=self.bias_grad.dtype)
            return [
                partial(torch.mm, grad_t, x, out=self.low_grad),
                partial(self.weight_grad.copy_, self.low_grad),
                partial(total, out=self.bias_grad),
            ]
        # A product with ones sums over rows faster than a reduction does.
        ones = grad.new_ones(len(grad))
        return [
            partial(torch.mm, grad_t, x, out=self.weight_grad),
            partial(torch.mv, grad_t, ones, out=self.bias_grad),
        ]


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
        self.activation = type(mlp[1]) if len(mlp) > 1 else nn.Identity
        self.parameter = mlp[0].weight
        self.dtype = self.parameter.dtype
        self.inner_dtype = self.dtype if low is None else low.dtype
        self.free: dict[int, list[_Pass]] = {}  # by numbers of rows

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (..., n_inputs) -> (n, n_inputs)
        if torch.is_grad_enabled():
            # The parameter is there so that autograd asks for a backward pass at all.
            output = _NetworkFunction.apply(rows, self.parameter, self)
        else:
            output = self._output(rows)
        return output.view(*x.shape[:-1], -1)

    def _output(self, x: Tensor) -> Tensor:
        """What there will be no backward pass of."""
        activate, _ = DERIVATIVES[self.activation]
        h = x * self.inverse_spread if self.is_anchored else x
        h = h.to(self.inner_dtype)
        for layer in self.layers[:-1]:
            h = activate(layer.forward(h))
        output = self.layers[-1].forward(h).to(self.dtype)
        if self.is_anchored:
            output = output.add_(self.linear.bias).addmm_(x, self.linear.weight_t)
        return output

    def take_pass(self, n_rows: int) -> "_Pass":
        """A pass over so many rows that nobody else is at."""
        free = self.free.get(n_rows)
        return free.pop() if free else _Pass(self, n_rows)

    def give_back(self, taken: "_Pass") -> None:
        if len(self.free) == _MOST_SIZES:
            self.free.clear()
        self.free.setdefault(len(taken.x), []).append(taken)


# Batches of an epoch have two sizes, those of several processes as many as they will.
_MOST_SIZES = 32


class _Pass:
    """A network's way forward and back over n rows, in memory of its own.

    After `forward` the output (n, n_outputs) is there. `backward` expects its gradient
    in its place, and leaves the parameters' gradients, and in `grad_x` that of the
    input, unless nobody asks for it.
    """

    def __init__(self, network: FastNetwork, n_rows: int, x: Tensor | None = None):
        self.network = network
        new = network.parameter.new_empty
        self.x = new(n_rows, network.parameter.shape[1]) if x is None else x
        self.output = new(n_rows, len(network.layers[-1].weight))
        self.grad_x = torch.empty_like(self.x)
        # Of every layer of the MLP its input, and what that was before the activation.
        self.inputs, self.preactivations = [self.x], [self.x]
        self.is_low = network.inner_dtype != network.dtype
        # What the last layer gives, and then its gradient, in the layer's precision.
        self.last = self._new(self.output.shape[1]) if self.is_low else self.output
        self.forward = [*self._forward()]
        self.backward = [*self._backward()]

    def _new(self, width: int) -> Tensor:
        return self.x.new_empty(len(self.x), width, dtype=self.network.inner_dtype)

    def _forward(self) -> Iterator[Call]:
        network, x = self.network, self.x
        activate, _ = CALLS[network.activation]
        if network.is_anchored:
            self.inputs = [self._new(x.shape[1])]
            yield partial(torch.mul, x, network.inverse_spread, out=self.inputs[0])
        elif self.is_low:
            self.inputs = [self._new(x.shape[1])]
            yield partial(self.inputs[0].copy_, x)
        for layer in network.layers[:-1]:
            a, h = (self._new(len(layer.weight)) for _ in range(2))
            yield layer.forward_call(self.inputs[-1], a)
            yield activate(a, h)
            self.preactivations.append(a)
            self.inputs.append(h)
        yield network.layers[-1].forward_call(self.inputs[-1], self.last)
        if self.is_low:
            yield partial(self.output.copy_, self.last)
        if network.is_anchored:
            yield partial(self.output.add_, network.linear.bias)
            yield partial(self.output.addmm_, x, network.linear.weight_t)

    def _backward(self) -> Iterator[Call]:
        network, grad = self.network, self.output
        _, activate_backward = CALLS[network.activation]
        g = self.last
        if self.is_low:
            yield partial(g.copy_, grad)
        for i in range(len(network.layers) - 1, -1, -1):
            layer, h = network.layers[i], self.inputs[i]
            yield from layer.backward_calls(g, h)
            if i > 0:
                grad_h = torch.empty_like(h)
                yield partial(torch.mm, g, layer.weight, out=grad_h)
                yield activate_backward(grad_h, self.preactivations[i], h)
                g = grad_h
        if network.is_anchored:
            yield from network.linear.backward_calls(grad, self.x)
        if network.is_first:
            return  # nobody asks for the gradient of the data
        grad_x = self._new(self.x.shape[1]) if self.is_low else self.grad_x
        yield partial(torch.mm, g, network.layers[0].weight, out=grad_x)
        if self.is_low:
            yield partial(self.grad_x.copy_, grad_x)
        if network.is_anchored:
            yield partial(self.grad_x.mul_, network.inverse_spread)
            yield partial(self.grad_x.addmm_, grad, network.linear.weight)


def _run(calls: Iterable[Call]) -> None:
    for call in calls:
        call()


class _NetworkFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, parameter: Tensor, network: FastNetwork) -> Tensor:
        ctx.taken = taken = network.take_pass(len(x))
        taken.x.copy_(x)
        _run(taken.forward)
        return taken.output.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        taken, ctx.taken = ctx.taken, None  # others have it from here on
        taken.output.copy_(grads[0])
        _run(taken.backward)
        grad_x = taken.grad_x.clone() if ctx.needs_input_grad[0] else None
        taken.network.give_back(taken)
        return grad_x, None, None


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
        step = _ManualStep(module, encoder, decoder, generator)
    else:
        networks = [(module.encoder, encoder), (module.decoder, decoder)]
        networks += [
            (network, FastNetwork(network, is_first=False, low=low))
            for network in module.cut_decoders.values()
        ]
        for network, fast in networks:
            if fast is not network:
                network.forward = fast
    try:
        yield step if low is None else _refreshing(step, low, _flat_buffer(module))
    finally:
        if step is autograd_step:
            for network, _ in networks:
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


class _ManualStep:
    """module.loss(x).mean() and its backward pass, without autograd."""

    def __init__(
        self,
        module: Autoencoder,
        encoder: FastNetwork,
        decoder: FastNetwork,
        generator: torch.Generator | None,
    ):
        self.module = module
        self.encoder = encoder
        self.decoder = decoder
        self.generator = generator
        self.passes: dict[int, tuple[Tensor, Tensor, list[Call], list[Call]]] = {}

    def _passes(self, n_rows: int) -> tuple[Tensor, Tensor, list[Call], list[Call]]:
        """What the encoder sees, what the decoder gives, and what leads there and back.

        The way back expects the gradient in the place of what the decoder gives.
        """
        if known := self.passes.get(n_rows):
            return known
        if len(self.passes) == _MOST_SIZES:
            self.passes.clear()
        encoder = _Pass(self.encoder, n_rows)
        decoder = _Pass(self.decoder, n_rows, encoder.output)
        back = partial(encoder.output.copy_, decoder.grad_x)
        self.passes[n_rows] = (
            encoder.x,
            decoder.output,
            [*encoder.forward, *decoder.forward],
            [*decoder.backward, back, *encoder.backward],
        )
        return self.passes[n_rows]

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        module = self.module
        seen, output, forward, backward = self._passes(len(x))
        seen.copy_(module.filled(module.corrupted(x, self.generator)))
        _run(forward)
        loss, grad = module.loss_of(x).mean_error_and_gradient(output, x)
        if grad is not output:
            output.copy_(grad)
        _run(backward)
        return loss
