"""What one training step has to hold in memory, counted byte by byte."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from shiftproof.records import StepMemory
from shiftproof.zoo import Network


def count_step_memory(network: Network, batch_size: int) -> StepMemory:
    """Count what a training step with Adam holds; the network is left as it is.

    Counted where autograd packs a tensor away, so that it is exact and the same on every machine. What
    single operations need for a moment comes on top; that depends on machine and library, and a
    measured peak would mix it with what an allocator likes to hold back.

    Args:
        network: Any of the zoo; computed with its ordinary layers, on the CPU.
        batch_size: Images in a step.

    Example:
        >>> from shiftproof.zoo import build_network
        >>> memory = count_step_memory(build_network("dense-nn"), 128)
        >>> memory.weights, memory.gradients
        (358440, 358440)
    """
    network = copy.deepcopy(network).cpu().train()
    optimizer = torch.optim.Adam(network.parameters())
    of_weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    packed: list[Tensor] = []  # holds them all, so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        packed.append(tensor)
        return tensor

    images = torch.zeros(batch_size, *network.image_shape)
    labels = torch.zeros(batch_size, dtype=torch.int64)
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss, _ = network.loss(images, labels)
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in packed}
    torch.autograd.backward(loss / batch_size)
    optimizer.step()
    parameters = list(network.parameters())
    parts = {
        "weights": sum(parameter.nbytes for parameter in parameters),
        "gradients": sum(parameter.grad.nbytes for parameter in parameters if parameter.grad is not None),
        "moments": sum(each.nbytes for state in optimizer.state.values() for each in state.values()),
        "kept": sum(n_bytes for address, n_bytes in storages.items() if address not in of_weights),
    }
    return StepMemory(**parts, total=sum(parts.values()))
