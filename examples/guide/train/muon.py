"""The Muon optimizer, for many matrices at a time, in float32 or in bfloat16.

torch's own computes in bfloat16 always, which processors without such instructions emulate at twice the time of all
the rest of a step. Method and coefficients are those of https://kellerjordan.github.io/posts/muon/.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are made orthogonal; for matrices only, decay is decoupled."""

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """`dtype`: what the steps are computed in; the matrices stay as they are."""
        self._dtype = dtype
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step along the gradients; those of equal shape are worked on together."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                alike[matrix.shape].append(matrix)
            for shape, matrices in alike.items():
                changes = torch.stack([self._with_momentum(matrix, group["momentum"]) for matrix in matrices])
                steps = orthogonal(changes.to(self._dtype)).to(changes.dtype)
                rate = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for matrix, change in zip(matrices, steps, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change, alpha=rate)

    def _with_momentum(self, matrix: nn.Parameter, momentum: float) -> Tensor:
        gradient = matrix.grad
        if gradient is None:
            raise ValueError("Muon needs a gradient for each of its matrices")
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum"], momentum)


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest matrices, roughly, with all singular values 1, by Newton-Schulz; shape (n, rows, columns)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
