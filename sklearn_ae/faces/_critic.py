"""A critic that looks at patches of faces: what is blurred, it tells from a photo.

Errors of pixels are least where what cannot be known is averaged, which looks soft. The
critic (Goodfellow et al., 2014; of patches: Isola et al., 2017) learns to tell faces
that the decoders make from real ones of the same person, and the decoders learn not to
be told: their faces, the swapped ones too, get the grain and the edges of photos.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

SLOPE = 0.2
WIDTH = 32  # channels of the first maps
SMALLEST_SEEN = 16  # pixels: the least side of faces that a critic can look at


class _BoundedConv(nn.Conv2d):
    """A convolution whose weights, as a matrix, have the largest singular value 1.

    Spectral normalisation (Miyato et al., ICLR 2018), with a step of the power
    iteration each time: a critic that changes slowly from face to face can be followed.
    """

    left: Tensor

    def __init__(self, n_inputs: int, n_outputs: int, side: int, stride: int):
        super().__init__(n_inputs, n_outputs, side, stride, padding=1)
        self.float()
        self.register_buffer("left", torch.full((n_outputs,), n_outputs**-0.5))

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.weight.flatten(1)
        with torch.no_grad():
            right = F.normalize(matrix.T @ self.left.to(matrix.dtype), dim=0)
            left = F.normalize(matrix @ right.to(matrix.dtype), dim=0)
            if self.training:
                self.left.copy_(left)
        largest = left.to(matrix.dtype) @ (matrix @ right.to(matrix.dtype))
        return self._conv_forward(x, self.weight / largest, self.bias)


class FaceCritic(nn.Module):
    """How real patches look: layers for all, and the last one for each identity."""

    def __init__(self, n_inputs: int, n_identities: int):
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(3):
            n_maps = 2**i * WIDTH
            layers += [_BoundedConv(n_inputs, n_maps, 4, 2), nn.LeakyReLU(SLOPE)]
            n_inputs = n_maps
        self.layers = nn.Sequential(*layers)
        self.heads = nn.ModuleList(
            _BoundedConv(n_inputs, 1, 3, 1) for _ in range(n_identities)
        )

    def forward(self, parts: Sequence[tuple[int, Tensor]]) -> list[Tensor]:
        """Scores of faces (n, c, h, w) of identities, for each patch (n, 1, h', w')."""
        maps = self.layers(torch.cat([faces for _, faces in parts]))
        counts = [len(faces) for _, faces in parts]
        return [
            self.heads[identity](of_part).float()
            for (identity, _), of_part in zip(parts, maps.split(counts), strict=True)
        ]

    def frozen(self, parts: Sequence[tuple[int, Tensor]]) -> list[Tensor]:
        """The same, by weights that gradients do not reach."""
        weights = {name: p.detach() for name, p in self.named_parameters()}
        scores: list[Tensor] = functional_call(self, weights, (parts,))
        return scores

    def add_identity(self, like: int) -> None:
        """A last layer more, which starts as a copy of another."""
        self.heads.append(copy.deepcopy(self.heads[like]))


def critic_losses(
    critic: FaceCritic,
    real: Sequence[tuple[int, Tensor]],
    made: Sequence[tuple[int, Tensor]],
) -> tuple[Tensor, Tensor]:
    """What the critic goes down from, and what the decoders do: two numbers ().

    Hinge losses, as Lim and Ye (2017) have them.
    """
    looks_real = critic(real)
    looks_made = critic([(identity, x.detach()) for identity, x in made])
    pairs = zip(looks_real, looks_made, strict=True)
    of_critic = [F.relu(1.0 - a).mean() + F.relu(1.0 + b).mean() for a, b in pairs]
    of_decoders = [-scores.mean() for scores in critic.frozen(made)]
    return torch.stack(of_critic).mean(), torch.stack(of_decoders).mean()
