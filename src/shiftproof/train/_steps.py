"""One optimizer step, three ways: lanes on a CPU, captured on CUDA, plain elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial, reduce
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from shiftproof._digest import derive_seed
from shiftproof._threads import in_order
from shiftproof.data import LabelledImages
from shiftproof.shifts import ShiftProtocol, check_border, translate
from shiftproof.train._fast import training_loss
from shiftproof.train._layout import laid_out_like
from shiftproof.zoo import Network

# Parts that a batch is cut into on a CPU. A constant: the sum over parts decides the last bits. Two,
# because more parts mean more and smaller operations; more cores are for more networks at a time.
N_LANES = 2


class TrainingSteps(Protocol):
    """Takes one optimizer step after another."""

    def begin_epoch(self, epoch: int, order: Tensor) -> None:
        """Prepare an epoch in which the images come in this order: int64 (N,)."""

    def step(self, start: int, stop: int) -> Tensor:
        """Learn from positions [start, stop) of the order; returns (loss sum, right answers)."""


class EpochBatches:
    """Images in [0, 1] in the order of an epoch, shifted on the fly where the recipe says so."""

    def __init__(
        self,
        data: LabelledImages,
        augmentation: ShiftProtocol | None,
        seed: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.images = data.images.to(device)
        self.labels = data.labels.to(device)
        self.augmentation = augmentation
        self.seed = seed
        self.device = device
        self.dtype = dtype

    def begin_epoch(self, epoch: int, order: Tensor) -> None:
        """Draw the offsets of an epoch, one per image."""
        self.order = order
        if self.augmentation is not None:
            n, _, height, width = self.images.shape
            seed = derive_seed(self.seed, "augmentation", epoch)
            offsets = self.augmentation.draw(n, (height, width), seed=seed)
            # A law draws (N, S, 2) for the images one by one, or (S, 2) for all: one offset is used.
            self.offsets_px = offsets.expand(n, *offsets.shape[-2:])[:, 0]

    def get(self, positions: slice) -> tuple[Tensor, Tensor]:
        """Images (n, C, H, W) and labels (n,) at these positions of the order."""
        order = self.order[positions]
        index = order.to(self.device)
        images = self.images.index_select(0, index).to(self.dtype).div_(255)
        if self.augmentation is not None:
            images = translate(
                images,
                self.offsets_px[order],
                border=check_border(self.augmentation.border),
                interpolation=self.augmentation.interpolation,
            )
        return images, self.labels.index_select(0, index)


class LaneSteps:
    """On a CPU: a batch is cut in a fixed number of lanes, each computed by one thread.

    The bytes depend on the number of lanes, which is a constant, and never on the number of threads:
    each lane is a single-threaded computation, and gradients are added in the order of the lanes. Batch
    normalisation, which sees all images of a batch and keeps a record of them, gets one lane.
    """

    def __init__(
        self,
        network: Network,
        optimizer: torch.optim.Optimizer,
        batches: EpochBatches,
        pool: Executor,
        seed: int,
    ) -> None:
        self.loss = training_loss(network)
        # Frozen layers have no gradient, and none is computed for them.
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = optimizer
        self.batches = batches
        self.pool = pool
        self.seed = seed
        self.epoch = 0
        self.n_lanes = 1 if _looks_at_the_batch(network) else N_LANES

    def begin_epoch(self, epoch: int, order: Tensor) -> None:
        self.epoch = epoch
        self.batches.begin_epoch(epoch, order)

    def step(self, start: int, stop: int) -> Tensor:
        edges = np.linspace(start, stop, self.n_lanes + 1).round().astype(int).tolist()
        lanes = [
            partial(self._lane, slice(first, last), lane, stop - start)
            for lane, (first, last) in enumerate(pairwise(edges))
            if last > first
        ]
        results = in_order(self.pool, lanes)
        for parameter, *parts in zip(self.parameters, *(r[1] for r in results), strict=True):
            # Not in place: parameters that are only added together are given one tensor as their gradient.
            parameter.grad = laid_out_like(parameter, reduce(torch.add, parts))
        self.optimizer.step()
        return torch.stack([tally for tally, _ in results]).sum(0)

    def _lane(self, positions: slice, lane: int, n_batch: int) -> tuple[Tensor, list[Tensor]]:
        """Loss, right answers and gradients of one part of a batch of `n_batch` images."""
        images, labels = self.batches.get(positions)
        bits = np.random.SFC64(derive_seed(self.seed, "dropout", self.epoch, positions.start, lane))
        loss, logits = self.loss(images, labels, bits)
        gradients = torch.autograd.grad(loss / n_batch, self.parameters)
        return _tally(loss, logits, labels), list(gradients)


def _looks_at_the_batch(network: Network) -> bool:
    """Whether a layer normalises over the batch: lanes would each write its running statistics."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return any(isinstance(layer, kinds) for layer in network.modules())


class PlainSteps:
    """On any device: the whole batch, one operation after another."""

    def __init__(
        self, network: Network, optimizer: torch.optim.Optimizer, batches: EpochBatches, seed: int
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.batches = batches
        self.seed = seed

    def begin_epoch(self, epoch: int, order: Tensor) -> None:
        self.batches.begin_epoch(epoch, order)
        torch.manual_seed(derive_seed(self.seed, "dropout", epoch))

    def step(self, start: int, stop: int) -> Tensor:
        return self._learn(*self.batches.get(slice(start, stop)))

    def _learn(self, images: Tensor, labels: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss, logits = self.network.loss(images, labels)
        torch.autograd.backward(loss / len(images))
        self.optimizer.step()
        return _tally(loss, logits, labels)


class CapturedSteps(PlainSteps):
    """On CUDA: the data stay on the device, and a step is recorded once and replayed as a graph.

    These networks are so small that starting their kernels costs more than running them. A graph
    starts all kernels of a step at once.
    """

    def __init__(
        self, network: Network, optimizer: torch.optim.Optimizer, batches: EpochBatches, seed: int
    ) -> None:
        super().__init__(network, optimizer, batches, seed)
        self._graphs: dict[int, Callable[[Tensor, Tensor], Tensor]] = {}

    def begin_epoch(self, epoch: int, order: Tensor) -> None:
        super().begin_epoch(epoch, order)
        # The whole epoch at once: one large shift on the device instead of one per step.
        self._epoch = self.batches.get(slice(None))

    def step(self, start: int, stop: int) -> Tensor:
        images, labels = (part[start:stop] for part in self._epoch)
        if len(images) not in self._graphs:
            self._graphs[len(images)] = self._capture(images, labels)
        return self._graphs[len(images)](images, labels)

    def _capture(self, images: Tensor, labels: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        images, labels = images.clone(), labels.clone()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), self._undone():
            for _ in range(3):  # lets libraries choose their kernels outside of the recording
                self._learn(images, labels)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            tally = self._learn(images, labels)

        def replay(new_images: Tensor, new_labels: Tensor) -> Tensor:
            images.copy_(new_images)
            labels.copy_(new_labels)
            graph.replay()
            return tally.clone()

        return replay

    def _undone(self) -> _Undo:
        return _Undo(self.network, self.optimizer)


class _Undo:
    """Takes back, in place, what happened to weights, moments and random state inside the block."""

    def __init__(self, network: Network, optimizer: torch.optim.Optimizer) -> None:
        self.network = network
        self.optimizer = optimizer

    def _tensors(self) -> list[Tensor]:
        moments = [t for state in self.optimizer.state.values() for t in state.values()]
        return [*self.network.state_dict().values(), *moments]

    def __enter__(self) -> None:
        self.random = torch.cuda.get_rng_state()
        self.before = {t.data_ptr(): t.detach().clone() for t in self._tensors()}

    def __exit__(self, *exception: object) -> None:
        for tensor in self._tensors():
            before = self.before.get(tensor.data_ptr())
            # Moments that did not exist before the block were zero.
            tensor.detach().zero_() if before is None else tensor.detach().copy_(before)
        torch.cuda.set_rng_state(self.random)


@torch.no_grad()
def _tally(loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    right = (logits.argmax(1) == labels).sum()
    return torch.stack([loss.detach(), right.to(loss.dtype)])


def make_steps(
    network: Network,
    optimizer: torch.optim.Optimizer,
    batches: EpochBatches,
    *,
    pool: Executor,
    seed: int,
) -> TrainingSteps:
    """The fastest way to take steps on the device of the batches."""
    if batches.device.type == "cpu":
        return LaneSteps(network, optimizer, batches, pool, seed)
    kind = CapturedSteps if batches.device.type == "cuda" else PlainSteps
    return kind(network, optimizer, batches, seed)
