"""The numeric certificate: how far computed answers are from what a law says of exact ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from shiftproof.anatomy import Pair
from shiftproof.certify._certificate import law_check
from shiftproof.certify._moves import Moves
from shiftproof.records import Deviation, LawCheck

# Images that one call of the network gets, in pixels.
BATCH_PX = 1 << 19
# The worst of many moves, over the one pass in which rounding is measured; and the least that is allowed.
TIMES_MEASURED = 16
LEAST_EPS = 64

# A tolerance above this share of the answer decides nothing: the answer is hardly more than rounding.
LARGEST_TOLERANCE = 1e-3

# From the answer to the images as they are, and a move, to the answer that the law says.
Expected = Callable[[Tensor, Pair], Tensor]


@dataclass(frozen=True, eq=False)
class Precisions:
    """A network in several dtypes, and how much rounding changes its answers.

    Args:
        float64, float32: Copies in evaluation mode.
        own: Dtype of the model.
        narrows: Whether it rounds to fewer digits by itself.
        rounding: Largest difference of answers in float32 and float64, in units of the largest number.
    """

    float64: nn.Module
    float32: nn.Module
    own: torch.dtype
    narrows: bool
    rounding: float

    @classmethod
    def of(cls, module: nn.Module, images: Tensor, *, narrows: bool) -> Precisions:
        """Copies of a module in evaluation mode, measured on images; the module stays as it is.

        Args:
            module: Images to an answer.
            images: (n, C, H, W), float64.
            narrows: As in the class.
        """
        floats = (t.dtype for t in [*module.parameters(), *module.buffers()] if t.is_floating_point())
        own = next(floats, torch.float32)
        wide, narrow = copy.deepcopy(module).double().eval(), copy.deepcopy(module).float().eval()
        exact, rounded = answers(wide, images), answers(narrow, images.float())
        return cls(wide, narrow, own, narrows, _relative(rounded.double() - exact, exact))

    def tolerance(self, dtype: torch.dtype) -> float:
        """What rounding may explain, relative to the largest number of an answer.

        The rounding of one pass was measured in float32, and shrinks with the digits of the dtype: its
        machine epsilon. 16 times that, for the worst of many passes, and no less than 64 epsilon.
        """
        finest = torch.float32 if self.narrows else torch.float64
        eps = max(torch.finfo(dtype).eps, torch.finfo(finest).eps)
        measured = self.rounding * eps / torch.finfo(torch.float32).eps
        return max(TIMES_MEASURED * measured, LEAST_EPS * eps)


def check(
    law: Literal["circular", "interior", "none"],
    moves: Moves,
    networks: Precisions,
    expected: Expected | None = None,
) -> LawCheck:
    """Ask a network about moved images, and compare with what a law says.

    Args:
        law: As in `LawCheck`.
        moves: Images, and where they go.
        networks: The network.
        expected: What the law says; by default that the answer stays.
    """
    expected = expected or (lambda answer, offset_px: answer)
    own = None
    if networks.own == torch.float32:
        own = _deviation(networks.float32, torch.float32, moves, networks, expected)
    found = _deviation(networks.float64, torch.float64, moves, networks, expected)
    hidden = networks.tolerance(torch.float64) > LARGEST_TOLERANCE
    holds = None if law == "none" or hidden else found.within
    return law_check(law, (len(moves.images), len(moves.offsets_px), moves.n_possible), holds, found, own)


def _deviation(
    network: nn.Module, dtype: torch.dtype, moves: Moves, networks: Precisions, expected: Expected
) -> Deviation:
    still = answers(network, moves.images.to(dtype))
    change = torch.zeros((), dtype=torch.float64)
    largest = still.double().abs().max()
    n_flips = 0
    for offset_px in moves.offsets_px:
        answer, said = answers(network, moves.moved(offset_px).to(dtype)), expected(still, offset_px)
        # `maximum` hands on what is no number, and so does all that follows.
        change = torch.maximum(change, (answer.double() - said.double()).abs().max())
        largest = torch.maximum(largest, answer.double().abs().max())
        if still.ndim == 2 and still.shape[1] > 1:
            n_flips += int((answer.argmax(1) != said.argmax(1)).sum())
    relative = float(change / largest) if largest > 0 else float(change)
    tolerance = networks.tolerance(dtype)
    return Deviation(
        dtype=str(dtype).removeprefix("torch."),
        change=float(change),
        relative=relative,
        tolerance=tolerance,
        n_flips=n_flips if still.ndim == 2 and still.shape[1] > 1 else None,
        within=relative <= tolerance,
    )


@torch.inference_mode()
def answers(network: nn.Module, images: Tensor) -> Tensor:
    """What a network answers, batch by batch; on the CPU."""
    parameters = [*network.parameters(), *network.buffers()]
    device = parameters[0].device if parameters else torch.device("cpu")
    height, width = images.shape[2:]
    size = max(1, BATCH_PX // (height * width))
    # Each batch is a copy: a network may overwrite what it is given.
    return torch.cat([network(batch.to(device, copy=True)).cpu() for batch in torch.split(images, size)])


def _relative(difference: Tensor, to: Tensor) -> float:
    largest = float(to.abs().max())
    return float(difference.abs().max()) / largest if largest else 0.0
