"""A critic that looks at patches of faces: what is blurred, it tells from a photo.

Errors of pixels are least where what cannot be known is averaged, which looks soft. The
critic (Goodfellow et al., 2014; of patches: Isola et al., 2017) learns to tell faces that
the decoders make from real ones of the same person, and the decoders learn not to be
told: their faces, the swapped ones too, get the grain and the edges of photos.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


class FaceCritic(nn.Sequential):
    """How real each patch of a face looks, as each identity: (n, c, h, w) -> (n, p, ...)."""

    def __init__(self, n_inputs: int, width: int, n_identities: int):
        sizes = [n_inputs, width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for a, b in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [spectral_norm(nn.Conv2d(a, b, 4, 2, 1)), nn.LeakyReLU(SLOPE)]
        layers += [spectral_norm(nn.Conv2d(sizes[-1], n_identities, 3, 1, 1))]
        super().__init__(*layers)

    def frozen(self, x: Tensor) -> Tensor:
        """The same, with weights that gradients do not reach."""
        weights = {name: p.detach() for name, p in self.named_parameters()}
        return functional_call(self, weights, (x,))


def critic_losses(
    critic: FaceCritic, real: list[Tensor], made: list[Tensor], identities: list[int]
) -> tuple[Tensor, Tensor]:
    """What the critic goes down from, and what the decoders do: two numbers ().

    Hinge losses, as in Lim and Ye (2017).
    """
    def of(scores: Tensor, faces: list[Tensor]) -> list[Tensor]:
        parts = scores.split([len(x) for x in faces])
        return [s[:, i].float() for s, i in zip(parts, identities, strict=True)]

    looks_real = of(critic(torch.cat(real)), real)
    looks_made = of(critic(torch.cat([x.detach() for x in made])), made)
    of_critic = torch.stack(
        [F.relu(1.0 - a).mean() + F.relu(1.0 + b).mean() for a, b in zip(looks_real, looks_made, strict=True)]
    ).mean()
    fools = of(critic.frozen(torch.cat(made)), made)
    return of_critic, -torch.stack([s.mean() for s in fools]).mean()
