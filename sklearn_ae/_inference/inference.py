"""Which latents a row is given: the encoder's, or those from which it is decoded best.

An inference looks at rows through a module and keeps nothing of them; what it
remembers are latents of training rows, to start from.

Shapes: n rows, d features, k latents, m numbers of conditions, a remembered latents.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from sklearn.utils import gen_batches
from torch import Tensor

from .._networks.modules import Autoencoder, beside, over_blocks
from .._networks.sizes import FEW_LATENTS
from .._networks.variational import VariationalAutoencoder
from .._tables.rows import block_rows
from .expected import ExpectedLatents
from .gaussians import DiagonalGaussians, FullGaussians, Gaussians
from .priors import Prior
from .projection import information, project
from .row_noise import has_noise_of_rows

# Latents of training rows that are remembered.
N_REMEMBERED = 256
# Multiplications of a Jacobian up to which a row is projected within a millisecond.
MOST_PRODUCTS = 4_000_000
# Rows by which networks are compared, where a quarter of the time allows no more, and
# draws for each where the bound is what counts.
_LEAST_COMPARED = 1000
_DRAWS_TO_COMPARE = 8
_DRAWS_TO_CHOOSE = 32
# Training rows that tell a fit's error, axes and density.
_MOST_DESCRIBED = 10_000


# Of a module, rows, their posteriors and noise: (n,).
Bound = Callable[..., Tensor]


class Inference(ABC):
    """Which latents a row is given, and what follows from them."""

    @abstractmethod
    def latents(self, module: Autoencoder, x: Tensor) -> Tensor:
        """Of standardised rows (n, d + m): (n, k)."""

    @abstractmethod
    def posterior(
        self, module: VariationalAutoencoder, x: Tensor, z: Tensor | None = None
    ) -> Gaussians:
        """Of each row, where latents have a prior; z are the modes, if known."""

    def modes(self, module: VariationalAutoencoder, x: Tensor, z: Tensor) -> Tensor:
        """Those of the posteriors of rows with latents z (n, k): (n, k)."""
        return z

    def draw(
        self,
        module: VariationalAutoencoder,
        x: Tensor,
        generator: torch.Generator,
        z: Tensor | None = None,
    ) -> Tensor:
        """A draw of each row's posterior: (n, k)."""
        posterior = self.posterior(module, x, z)
        eps = torch.randn(
            (1, *posterior.mean.shape),
            dtype=x.dtype,
            device=x.device,
            generator=generator,
        )
        return posterior.draw(eps)[0]

    def proposal(self, module: VariationalAutoencoder, x: Tensor) -> Gaussians:
        """What draws for importance weights come from."""
        return self.posterior(module, x)

    def best_bound(self, module: VariationalAutoencoder, x: Tensor) -> Gaussians:
        """The posterior with the highest evidence lower bound that is known."""
        return self.posterior(module, x)

    def remembering(self, module: Autoencoder, x: Tensor) -> "Inference":
        """The same, with what it needs of the rows (n, d + m) that were learned."""
        return self

    def expecting(
        self, module: Autoencoder, x: Tensor, z: Tensor, weights: Tensor | None
    ) -> "Inference":
        """The same, with what it needs of the latents (n, k) of the rows."""
        return self

    def after(self, known: "Inference") -> "Inference":
        """The same with what one remembers that has been fitted before."""
        return self

    def turned(self, rotation: Tensor, shift: Tensor) -> "Inference":
        """The same where latents z have become (z - shift) @ rotation."""
        return self

    def of_first(self, n_kept: int, latents: Tensor | None = None) -> "Inference":
        """The same of a module cut after so many latents, of which some are known."""
        return self

    def quick(self) -> "Inference":
        """The same at a lower cost, to compare networks with."""
        return self

    def compared(self, x: Tensor, n_train: int) -> Tensor:
        """Those of the rows x, or of their weights, that networks are compared by.

        That is after every epoch.
        """
        return x

    def described(self, x: Tensor) -> Tensor:
        """Those of the training rows x, or of their weights, that describe a fit."""
        return x

    @abstractmethod
    def losses(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """What networks are compared by, for each row (n,): lower is better."""

    # Rows in the networks' units --------------------------------------------------

    def decoded(self, module: Autoencoder, x: Tensor, z: Tensor) -> Tensor:
        """What latents (n, k) give for rows with these conditions: (n, d)."""
        return module.decode(beside(z, module.parts(x)[1]))

    def errors(self, module: Autoencoder, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Mean loss over the features of each row and its reconstruction: (n,)."""
        z = self.latents(module, x) if z is None else z
        output = self.decoded(module, x, z)
        return module.error(output, module.parts(x)[0])

    # Rows in the data's units -----------------------------------------------------

    def transform(self, module: Autoencoder, X: Tensor) -> Tensor:
        return self.latents(module, module.standardize(X)) * module.latent_scale

    def reconstruct(self, module: Autoencoder, X: Tensor) -> Tensor:
        Z = self.transform(module, X)
        return module.inverse_transform(beside(Z, module.parts(X)[1]))

    def score_samples(self, module: Autoencoder, X: Tensor) -> Tensor:
        """Minus the loss of each row, in the data's units: (n,)."""
        # Squared units may be beyond single precision.
        errors = self.errors(module, module.standardize(X)).double()
        return -errors * module.loss_scale


class Encoded(Inference):
    """The encoder's latents: one pass, a guess."""

    def latents(self, module: Autoencoder, x: Tensor) -> Tensor:
        return module.encode(module.filled(x))

    def losses(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        return module.loss(x, generator)

    def errors(self, module: Autoencoder, x: Tensor, z: Tensor | None = None) -> Tensor:
        return module.reconstruction_error(x)

    def posterior(
        self, module: VariationalAutoencoder, x: Tensor, z: Tensor | None = None
    ) -> Gaussians:
        return DiagonalGaussians(*module.posterior(x))

    def draw(
        self,
        module: VariationalAutoencoder,
        x: Tensor,
        generator: torch.Generator,
        z: Tensor | None = None,
    ) -> Tensor:
        return module.draw_posterior(x, generator)


@dataclass(frozen=True)
class Refined(Inference):
    """The latents from which the decoder gives the row best: its projection.

    With a prior these are the mode of the posterior by the noise that all rows share.
    Its own mode, by the noise of the row, is where the posterior is, and the curvature
    there says how wide.

    Parameters
    ----------
    n_components : int
        Latents, k.

    n_steps : int
        Most steps of a row, from each of its starts.

    remembered : Tensor of shape (a, k) or None
        Latents of training rows. With few latents, the one whose row is nearest is a
        second start.

    expected : ExpectedLatents or None
        What counts for rows with missing cells, where latents have no prior.
    """

    n_components: int
    n_steps: int = 10
    remembered: Tensor | None = None
    expected: ExpectedLatents | None = None

    def remembering(self, module: Autoencoder, x: Tensor) -> Inference:
        # With few latents the way to the nearest point may lead over a hill: a second
        # start pays, and costs little. What is near depends on conditions, if any.
        has_conditions = x.shape[1] > len(module.center)
        if self.n_components > FEW_LATENTS or has_conditions:
            return self
        z = replace(self, remembered=None).latents(module, some(x, N_REMEMBERED)).cpu()
        if self.remembered is not None:
            z = some(torch.cat([self.remembered, z]), N_REMEMBERED)
        return replace(self, remembered=z)

    def after(self, known: Inference) -> Inference:
        if not isinstance(known, Refined):
            return self
        return replace(self, remembered=known.remembered, expected=known.expected)

    def turned(self, rotation: Tensor, shift: Tensor) -> Inference:
        remembered, expected = self.remembered, self.expected
        if remembered is not None:
            remembered = (remembered - shift.cpu()) @ rotation.cpu()
        if expected is not None:
            expected = expected.turned(rotation, shift)
        return replace(self, remembered=remembered, expected=expected)

    def of_first(self, n_kept: int, latents: Tensor | None = None) -> Inference:
        if latents is not None:
            latents = latents[:, :n_kept].clone() if n_kept <= FEW_LATENTS else None
        expected = self.expected
        return replace(
            self,
            n_components=n_kept,
            remembered=latents,
            expected=None if expected is None else expected.of_first(n_kept),
        )

    def quick(self) -> Inference:
        # The step that is hardly damped follows: with many latents it is enough.
        n_steps = 1 if self.n_components <= FEW_LATENTS else 0
        return replace(self, n_steps=n_steps, remembered=None)

    def latents(self, module: Autoencoder, x: Tensor) -> Tensor:
        starts = self._starts(module, x)
        return project(module, x, starts, self.n_steps, self.expected)

    def expecting(
        self, module: Autoencoder, x: Tensor, z: Tensor, weights: Tensor | None
    ) -> Inference:
        target, conditions = module.parts(x)
        # A variational one has its prior; what conditions leave to expect is not known.
        if isinstance(module, VariationalAutoencoder) or conditions.shape[1]:
            return self
        decoded = over_blocks(module, module.decode, z)
        expected = ExpectedLatents.of(z, decoded, target, module.loss_function, weights)
        return replace(self, expected=expected)

    def compared(self, x: Tensor, n_train: int) -> Tensor:
        # A step takes a decoder's pass for each latent, and a training step about six
        # passes in all: on long tables a quarter of these.
        return some(x, max(_LEAST_COMPARED, n_train // (2 * (self.n_components + 2))))

    def described(self, x: Tensor) -> Tensor:
        return some(x, _MOST_DESCRIBED)

    def losses(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        if not isinstance(module, VariationalAutoencoder):
            return self.errors(module, x)
        if module.beta != 1.0:  # more is asked for than a high density
            return module.loss(x, generator)
        x = module.drawn(x, generator)
        posterior = self.posterior(module, x)
        eps = torch.randn(
            (_DRAWS_TO_COMPARE, 1, self.n_components),
            dtype=x.dtype,
            device=x.device,
            generator=generator,
        )
        n_block = block_rows(_DRAWS_TO_COMPARE * module.loss_size)
        return -torch.cat(
            [
                log_mean_weight(module, x[rows], posterior.of(rows), eps)
                for rows in gen_batches(len(x), n_block)
            ]
        )

    def modes(self, module: VariationalAutoencoder, x: Tensor, z: Tensor) -> Tensor:
        if not has_noise_of_rows(module):
            return z
        return project(module, x, [z], self.n_steps, by_row=True)

    def posterior(
        self, module: VariationalAutoencoder, x: Tensor, z: Tensor | None = None
    ) -> Gaussians:
        z = self.modes(module, x, self.latents(module, x)) if z is None else z
        encoded = Encoded().posterior(module, x)
        return FullGaussians.of_information(z, information(module, x, z), encoded)

    def proposal(self, module: VariationalAutoencoder, x: Tensor) -> Gaussians:
        """The encoder's where it promises tighter bounds, by draws of its own.

        At the mode the curvature may say too little of the tails: of Laplace noise, or
        of a decoder that bends within them.
        """
        return self._better(module, x, log_mean_weight)

    def best_bound(self, module: VariationalAutoencoder, x: Tensor) -> Gaussians:
        return self._better(module, x, _evidence_bound)

    def _better(
        self, module: VariationalAutoencoder, x: Tensor, bound: Bound
    ) -> Gaussians:
        """Of each row the curvature's posterior or the encoder's: the higher bound.

        Where there are two kinds of noise, it may be that of the one or the other.
        """
        z = self.latents(module, x)
        encoded = Encoded().posterior(module, x)
        best: Gaussians = self.posterior(module, x, self.modes(module, x, z))
        others: list[Gaussians] = [encoded]
        if has_noise_of_rows(module):
            shared = information(module, x, z, by_row=False)
            others.append(FullGaussians.of_information(z, shared, encoded))
        generator = torch.Generator().manual_seed(0)
        eps = torch.randn(
            _DRAWS_TO_CHOOSE, 1, self.n_components, generator=generator
        ).to(x)
        n_block = block_rows(_DRAWS_TO_CHOOSE * module.row_size)

        def bounds(posterior: Gaussians) -> Tensor:
            blocks = gen_batches(len(x), n_block)
            parts = [bound(module, x[b], posterior.of(b), eps) for b in blocks]
            return torch.cat(parts)  # (n,)

        highest = bounds(best)
        has_holes = module.parts(x)[0].isnan().any(dim=1)
        for other in others:
            value = bounds(other)
            is_better = value > highest
            if other is encoded:  # its width is that of complete rows
                is_better &= ~has_holes
            highest = torch.where(is_better, value, highest)
            best = FullGaussians(
                torch.where(is_better[:, None], other.mean, best.mean),
                torch.where(is_better[:, None, None], other.factor, best.factor),
            )
        return best

    def _starts(self, module: Autoencoder, x: Tensor) -> list[Tensor]:
        encoded = module.encode(module.filled(x))
        if self.remembered is None:
            return [encoded]
        known = self.remembered.to(x)  # (a, k)
        decoded = module.loss_function.link(module.decode(known))  # (a, d)
        return [encoded, known[_nearest(x, decoded)]]


def some(rows: Tensor, most: int) -> Tensor:
    """At most so many of the rows, by chance: their order may mean something."""
    if len(rows) <= most:
        return rows
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(rows), generator=generator)[:most]
    return rows[chosen.to(rows.device)]


def _nearest(x: Tensor, decoded: Tensor) -> Tensor:
    """Number of the point (a, d) that is nearest to each row (n, d): (n,)."""
    # Of the squared distance, what differs between points.
    missing = x.isnan()
    if missing.any():
        known, x = (~missing).to(x), torch.nan_to_num(x)
        return (known @ decoded.square().mT - 2.0 * x @ decoded.mT).argmin(dim=1)
    return (decoded.square().sum(dim=1) - 2.0 * x @ decoded.mT).argmin(dim=1)


def log_mean_weight(
    module: VariationalAutoencoder,
    x: Tensor,
    posterior: Gaussians,
    eps: Tensor,
    prior: Prior | None = None,
) -> Tensor:
    """Importance-weighted estimate of log p(x), from noise (S, 1, k): (n,) in nats.

    log (1/S) sum_s p(x | z_s) p(z_s) / q(z_s | x), z_s ~ q(z | x): a lower bound in
    expectation that rises to log p(x) with S, and that is exact for any S where q is
    the true posterior.
    """
    z = posterior.draw(eps)  # (S, n, k)
    log_weights = module.log_likelihood(z, x) + posterior.log_ratio(z, eps)  # (S, n)
    if prior is not None:
        log_weights = log_weights + prior.log_ratio(z)
    return torch.logsumexp(log_weights, dim=0) - math.log(len(z))


def _evidence_bound(
    module: VariationalAutoencoder, x: Tensor, posterior: Gaussians, eps: Tensor
) -> Tensor:
    """The evidence lower bound, from noise (S, 1, k): (n,) in nats."""
    likelihood = module.log_likelihood(posterior.draw(eps), x).mean(dim=0)
    return likelihood - posterior.kl.sum(dim=1)


def usable(inference: Inference, module: Autoencoder, x: Tensor) -> Inference:
    """The inference, or the encoder's where the decoder cannot be differentiated."""
    if module.is_own or not isinstance(inference, Refined):
        return inference
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            generator = torch.Generator(x.device).manual_seed(0)
            inference.losses(module, x[:2], generator)
    except Exception as error:  # whatever the user's code leads to
        warnings.warn(
            "The decoder has no derivatives in forward mode, which "
            f'inference="refined" needs ({type(error).__name__}: {error}). Latents '
            'are those of the encoder, as with inference="encoder".',
            UserWarning,
            stacklevel=2,
        )
        return Encoded()
    finally:
        module.train(was_training)
    return inference
