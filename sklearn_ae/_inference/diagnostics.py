"""What the latents say of the rows they were trained on, and whether they collapsed.

Shapes: n standardised rows, d features, k latents, m numbers of conditions.
"""

import numpy as np
import torch
from torch import Tensor

from .._networks.modules import over_blocks
from .._networks.variational import VariationalAutoencoder
from .inference import Inference

# A latent with less than this, in nats on average, says nothing about the rows.
ACTIVE_KL = 0.01
# Rows that tell what a collapsed model could have found.
_COLLAPSE_ROWS = 2000


def mean_kl(
    module: VariationalAutoencoder,
    x: Tensor,
    inference: Inference,
    z: Tensor | None = None,
) -> Tensor:
    """Mean KL divergence of each latent's posterior from the prior: (k,).

    z are the rows' latents (n, k), where they are known: of rows that are not drawn.
    """
    generator = _generator(x)

    def kl_of_rows(x: Tensor, *z: Tensor) -> Tensor:
        return inference.posterior(module, module.drawn(x, generator), *z).marginal_kl

    known = () if z is None else (z,)
    return over_blocks(module, kl_of_rows, x, *known).double().mean(dim=0)


def active_latents(kl: np.ndarray) -> np.ndarray:
    """Numbers of the latents that say something, by their mean KL divergences (k,)."""
    return np.flatnonzero(kl > ACTIVE_KL)


def n_latents_missed(module: VariationalAutoencoder, x: Tensor, kl: np.ndarray) -> int:
    """Latents that the rows have something for where most are dead, and 0 elsewhere.

    As many are expected to live as there are principal components whose variance is
    beyond that of noise.
    """
    n_active = len(active_latents(kl))
    if 2 * n_active > len(kl):
        return 0
    some = module.filled(module.drawn(x[:_COLLAPSE_ROWS], _generator(x)))
    rows = some.tensor_split([len(module.center)], dim=1)  # (n, d) and (n, m)
    n_expected = min(len(kl), n_principal_components(*rows))
    return n_expected if 2 * n_active <= n_expected else 0


def n_principal_components(x: Tensor, conditions: Tensor) -> int:
    """Number of components of x (n, d) with more variance than noise would have.

    Beside what a linear regression on conditions (n, m) explains. Most components are
    taken to be noise, of which the largest has at most the variance that Marchenko and
    Pastur give, and a fifth more for chance.
    """
    x, conditions = (
        part.double() - part.double().mean(dim=0) for part in (x, conditions)
    )
    x = x - conditions @ (torch.linalg.pinv(conditions) @ x)
    n, d = x.shape
    products = x.T @ x if d <= n else x @ x.T
    variances = torch.linalg.eigvalsh(products) / n  # ascending
    variances = variances[-min(n - 1, d) :] if n > 1 else variances
    edge = 1.2 * variances.median() * (1.0 + (d / n) ** 0.5) ** 2
    return int((variances > edge).sum())


def _generator(x: Tensor) -> torch.Generator:
    """A generator whose draws for the rows are the same on every call."""
    return torch.Generator(x.device).manual_seed(0)
