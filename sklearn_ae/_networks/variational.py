"""The module of the variational autoencoder: posterior, likelihood and bounds.

Shapes: n rows, d features, k latents, m numbers that a row is conditioned on, S
samples of the latents. Where there are conditions, a row has them behind its d
features, and a latent vector behind its k latents: the engine sees rows of d + m.
"""

import math

import torch
from torch import Tensor, nn

from .build import keep_spread
from .losses import SquaredError
from .modules import MLP, Autoencoder, beside, map_inputs, map_outputs

# Layers of the network that the noise of rows comes from: what it has to say is simple.
_NOISE_LAYERS = (64, 64)


def make_noise_network(n_inputs: int, n_columns: int, activation: str) -> MLP:
    """What says of latents, and conditions, how noisy each column is: nothing yet."""
    network = MLP.of_sizes(n_inputs, _NOISE_LAYERS, n_columns, activation)
    keep_spread(network)
    with torch.no_grad():
        for parameter in list(network.parameters())[-2:]:  # the output layer's
            parameter.zero_()
    return network


def kl_per_latent(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_var)) from N(0, 1), in nats: (..., k)."""
    return 0.5 * (log_var.exp() + mean.square() - 1.0 - log_var)


class VariationalAutoencoder(Autoencoder):
    """Gaussian posterior N(mean, diag exp(log_var)), prior N(0, I).

    The encoder gives mean and log-variance side by side (n, 2k). The scale of the
    likelihood (sigma of a Gaussian, b of a Laplace distribution), one for all columns
    or one for each, is learned: it is what weighs the reconstruction against the KL
    divergence. With a network for the noise, a row has that of its latents, or with a
    small probability the one that all share.
    """

    # Adam moves a parameter by about one learning rate per step; the log of the
    # noise has further to go than a weight has.
    NOISE_SPEED = 10.0
    # Below this share of the data's spread the noise would follow rounding errors.
    MIN_LOG_NOISE = math.log(1e-3)
    # So large a share of the rows has the shared noise where that of others follows the
    # latents: rows that are like no other cost little more than by it alone.
    SHARED_SHARE = 0.05
    # Keeps exp(log_var) and its square finite in float32, whatever row comes.
    LOG_VAR_LIMIT = 30.0

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        loss: SquaredError,
        *,
        center: Tensor,
        scale: Tensor,
        noise_scale: float = 1.0,
        noise_per_column: bool = False,
        n_conditions: int = 0,
        beta: float = 1.0,
        kl_warmup: float = 0.0,
        free_bits: float = 0.0,
        n_importance_samples: int = 1,
        path_gradient: bool = False,
        binarize: bool = False,
    ):
        super().__init__(encoder, decoder, loss, center=center, scale=scale)
        self.n_conditions = n_conditions
        self.beta = beta
        self.kl_warmup = kl_warmup  # epochs
        self.free_bits = free_bits  # nats per latent
        self.n_importance_samples = n_importance_samples
        self.path_gradient = path_gradient
        self.binarize = binarize
        log_noise = torch.full(
            (len(center),) if noise_per_column else (),
            math.log(noise_scale) / self.NOISE_SPEED,
            dtype=torch.float32,
        )
        if loss.has_noise:
            self.noise = nn.Parameter(log_noise)
        else:
            self.register_buffer("noise", torch.tensor(0.0))

    @property
    def n_inputs(self) -> int:
        return len(self.center) + self.n_conditions

    @property
    def loss_size(self) -> int:
        return self.row_size * self.n_importance_samples

    @property
    def noise_network(self) -> nn.Module | None:
        """Latents and conditions to what is added to the log of the noise (..., d)."""
        return self._modules.get("of_noise")

    @property
    def _decoders(self) -> list[nn.Module]:
        more = [] if self.noise_network is None else [self.noise_network]
        return [*super()._decoders, *more]

    def keep_noise_network(self, network: nn.Module | None) -> None:
        self._modules.pop("of_noise", None)
        if network is not None:
            self.of_noise = network.train(self.training)

    @property
    def log_noise(self) -> Tensor:
        """Log of the noise's scale in standardised units: () or (d,)."""
        log_noise = self.noise * self.NOISE_SPEED
        # The gradient passes the floor, or noise that fell below it could not rise.
        return (
            log_noise + (log_noise.clamp(min=self.MIN_LOG_NOISE) - log_noise).detach()
        )

    @property
    def loss_of_nonsense(self) -> float:
        # An error as large as the data's spread, against the least noise there is.
        per_column = 0.5 * math.exp(-2.0 * self.MIN_LOG_NOISE)
        return len(self.center) * (per_column if self.loss_function.has_noise else 1.0)

    def log_noise_of(self, given: Tensor) -> Tensor:
        """The same for rows with these latents and conditions: (), (d,) or (..., d)."""
        if self.noise_network is None:
            return self.log_noise
        return self.limited(self.noise_network(given), self.log_noise)

    def limited(self, of_noise: Tensor, log_noise: Tensor) -> Tensor:
        """Log of the noise's scale, by what the network adds to the shared one."""
        log_noise = log_noise + of_noise
        return log_noise.clamp(self.MIN_LOG_NOISE, -self.MIN_LOG_NOISE)

    # In the networks' units ------------------------------------------------------

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x)."""
        both = self.encoder(self.filled(x))  # (n, 2k)
        mean, log_var = both.chunk(2, dim=-1)
        return mean, log_var.clamp(-self.LOG_VAR_LIMIT, self.LOG_VAR_LIMIT)

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]  # (n, d) -> (n, k)

    def log_likelihood(self, z: Tensor, x: Tensor) -> Tensor:
        """log p(x | z) with z (..., n, k): (..., n) in nats."""
        target, conditions = self.parts(x)
        given = beside(z, conditions)
        if self.is_own:
            output = self.decode(given)  # (..., n, d)
        else:  # the user's network expects rows
            output = self.decode(given.flatten(0, -2)).unflatten(0, given.shape[:-1])
        loss = self.loss_of(target)
        shared = loss.log_likelihood(output, target, self.log_noise)  # (..., n)
        if self.noise_network is None:
            return shared
        of_row = loss.log_likelihood(output, target, self.log_noise_of(given))
        share = self.SHARED_SHARE
        return torch.logaddexp(of_row + math.log1p(-share), shared + math.log(share))

    def reconstruction_error(self, x: Tensor) -> Tensor:
        target, conditions = self.parts(x)
        output = self.decode(beside(self.encode(x), conditions))
        return self.error(output, target)  # (n,)

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Minus the bound of each row, in nats: what training minimises.

        Warm-up and free bits are ways to get there, and of the training mode only: what
        validation watches is the same bound in every epoch.
        """
        x = self.drawn(x, generator)
        weight = self.beta
        if self.training and self.epoch < self.kl_warmup:
            weight *= self.epoch / self.kl_warmup
        mean, log_var = self.posterior(x)
        along_path = self.path_gradient and self.training
        if self.n_importance_samples > 1 or along_path:
            eps = self._noise(mean, generator)  # (S, n, k)
            log_weights = self._log_weights(x, mean, log_var, eps, weight, along_path)
            return -_log_mean_exp(log_weights)
        # The gradient reaches mean and std through z.
        z = mean + torch.exp(0.5 * log_var) * self._noise(mean, generator)[0]
        kl = kl_per_latent(mean, log_var)  # (n, k)
        if self.training and self.free_bits > 0:
            # A latent that costs less than this on the batch is not pulled further.
            is_free = kl.mean(dim=0) < self.free_bits  # (k,)
            kl = torch.where(is_free, self.free_bits, kl)
        return weight * kl.sum(dim=-1) - self.log_likelihood(z, x)  # (n,)

    def _noise(self, mean: Tensor, generator: torch.Generator | None) -> Tensor:
        """Standard normal numbers for every sample of every row's latents (S, n, k)."""
        return torch.randn(
            (self.n_importance_samples, *mean.shape),
            dtype=mean.dtype,
            device=mean.device,
            generator=generator,
        )

    def drawn(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The rows, or where they are probabilities a draw of the binary ones."""
        if not self.binarize:
            return x
        probabilities, conditions = self.parts(x)
        uniform = torch.rand(
            probabilities.shape, dtype=x.dtype, device=x.device, generator=generator
        )
        drawn = (uniform < probabilities).to(x.dtype)
        if self.may_miss:
            drawn = torch.where(probabilities.isnan(), probabilities, drawn)
        return beside(drawn, conditions)

    def draw_posterior(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of each row's latents, from the posterior of its bound: (n, k).

        That of the ELBO is q(z | x). That of the importance-weighted bound is one of S
        draws of q, taken by its share of the weights (Cremer et al., 2017).
        """
        mean, log_var = self.posterior(x)
        eps = self._noise(mean, generator)
        z = mean + torch.exp(0.5 * log_var) * eps  # (S, n, k)
        if len(z) == 1:
            return z[0]
        log_weights = self._log_weights(x, mean, log_var, eps)  # (S, n)
        shares = torch.softmax(log_weights, dim=0)
        chosen = torch.multinomial(shares.T, 1, generator=generator)[:, 0]  # (n,)
        return z[chosen, torch.arange(len(x), device=x.device)]

    def _log_weights(
        self,
        x: Tensor,
        mean: Tensor,
        log_var: Tensor,
        eps: Tensor,
        kl_weight: float = 1.0,
        along_path: bool = False,
    ) -> Tensor:
        """log p(x | z) + kl_weight * (log p(z) - log q(z | x)): (S, n).

        Along the path, the gradient of their log mean exp reaches the posterior through
        z alone. Of the whole gradient with respect to mean and log_var that leaves out
        the part through log q(z | x) at fixed z. For one draw that part is zero in the
        mean (Roeder et al., 2017). For S draws, each with its share w of the weights,
        it equals in the mean another gradient through z (Tucker et al., 2019), with
        which a draw counts not w but w^2, or w (1 - kl_weight (1 - w)) where log q
        itself is weighted.
        """
        std = torch.exp(0.5 * log_var)
        z = mean + std * eps  # (S, n, k)
        # Of log p(z) - log q(z | x) the constants log(2 pi) cancel.
        if along_path:
            # As below, with -log q a function of z: its value and its slope, eps / std.
            entropy = 0.5 * (eps.square() + log_var).detach()
            entropy = entropy + (eps / std).detach() * (z - z.detach())
        else:
            entropy = 0.5 * (eps.square() + log_var)
        log_ratio = (entropy - 0.5 * z.square()).sum(dim=-1)
        log_weights = self.log_likelihood(z, x) + kl_weight * log_ratio  # (S, n)
        if along_path and z.requires_grad:
            shares = torch.softmax(log_weights.detach(), dim=0)[..., None]  # (S, n, 1)
            z.register_hook(lambda grad: grad * (1.0 - kl_weight * (1.0 - shares)))
        return log_weights

    # In the data's units -----------------------------------------------------------

    @property
    def latent_scale(self) -> Tensor:
        """Latents are in the prior's units."""
        return torch.ones((), dtype=self.scale.dtype, device=self.scale.device)

    def forward(self, X: Tensor) -> Tensor:
        _, conditions = self.parts(X)
        return self.inverse_transform(beside(self.transform(X), conditions))

    def score_samples(self, X: Tensor) -> Tensor:
        """The bound on each row's log-density in the data's units: (n,) in nats."""
        x = self.standardize(X)
        return self.log_volume_of(x) - self.loss(x)

    @property
    def log_volume(self) -> Tensor:
        """log |dx / dX|: what a density loses when rows are standardised."""
        n_equal = len(self.center) // self.scale.numel()
        return -n_equal * torch.log(self.scale).sum() * self.loss_function.has_noise

    def log_volume_of(self, x: Tensor) -> Tensor:
        """The same of the cells that are there: (), or (n,) where some are missing."""
        missing = self.parts(x)[0].isnan()
        if not missing.any():
            return self.log_volume
        log_scale = torch.log(self.scale).to(x.dtype) * self.loss_function.has_noise
        return -torch.where(missing, 0.0, log_scale).sum(dim=-1)

    # Latents one can read ------------------------------------------------------------

    @torch.no_grad()
    def rotate(self, rotation: Tensor, shift: Tensor) -> None:
        """As Autoencoder.rotate, for signed permutations, which keep q diagonal."""
        both = torch.block_diag(rotation.T, rotation.T.abs())  # mean, log_var
        map_outputs(self.encoder, both, torch.cat([shift, torch.zeros_like(shift)]))
        conditions = torch.eye(self.n_conditions).to(rotation)  # stay as they are
        given = (
            torch.block_diag(rotation, conditions),
            torch.cat([shift, shift.new_zeros(self.n_conditions)]),
        )
        map_inputs(self.decoder, *given)
        if self.noise_network is not None:
            map_inputs(self.noise_network, *given)

    @torch.no_grad()
    def widen(self, ratio: float, z: Tensor) -> None:
        """Multiply the variance of the noise, and let the posterior follow.

        It does as in a linear model, where each latent's precision beyond the prior's
        goes with that of the noise. Latents z (n, k) are typical ones.
        """
        power = 2.0 * self.NOISE_SPEED  # of the parameter, in the variance
        self.noise.add_(math.log(ratio) / power)
        if not self.is_own:
            return
        z = z.to(self.center.device, self.dtype)
        conditions = z.new_zeros(len(z), self.n_conditions)
        output = self.decode(beside(z, conditions))
        x = beside(self.loss_function.link(output), conditions)
        before = self.posterior(x)[1].mean(dim=0).exp()  # (k,)
        after = 1.0 / (1.0 + (1.0 / before - 1.0).clamp(min=0.0) / ratio)
        smaller = torch.cat([after / before / ratio, torch.ones_like(after)])
        wider = torch.cat([torch.zeros_like(after), (after / before).log()])
        map_outputs(self.encoder, smaller.diag(), -wider)

    @torch.no_grad()
    def put_columns_back(self, order: Tensor) -> None:
        super().put_columns_back(order)
        if self.noise.ndim:
            # Rows with conditions have their columns in place.
            back = torch.argsort(order[: len(self.noise)]).to(self.noise.device)
            self.noise.copy_(self.noise[back])


def _log_mean_exp(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))
