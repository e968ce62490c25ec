"""What stands around a module, or in its place, and computes the same: the module inside can be read."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from shiftproof.adapters._failures import explained
from shiftproof.adapters._scripted import eager
from shiftproof.errors import ModelError

# By class, or by what a class keeps: where the module inside is. The classes of compiled modules are private.
_AROUND = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
_PARALLEL, _COMPILED = "module", "_orig_mod"


def inside(module: nn.Module) -> nn.Module:
    """The module that data-parallel, averaged, compiled and scripted modules compute with; others themselves.

    Who reads it has to compare answers with those of the original, on a batch: a compiler may be wrong, and
    a hook on the wrapper is not seen.

    Args:
        module: In evaluation mode. It is left as it is; what comes back shares its weights.

    Example:
        >>> inside(nn.DataParallel(nn.Sequential(nn.ReLU())))
        Sequential(
          (0): ReLU()
        )
    """
    found = _unwrapped(module)
    if not _holds_wrapped(found):
        return found
    try:
        with explained("copy the model"):
            found = copy_beside_weights(found)
    except ModelError:  # whatever a model does in __deepcopy__, it can still be asked as it is
        return found
    _unwrap_children(found)
    return found


def copy_beside_weights(module: nn.Module) -> nn.Module:
    """A deep copy whose parameters and buffers are those of the original."""
    shared = {id(tensor): tensor for tensor in [*module.parameters(), *module.buffers()]}
    return copy.deepcopy(module, dict(shared))


def _unwrapped(module: nn.Module) -> nn.Module:
    """What stands inside a wrapper, or in one in it."""
    if isinstance(module, torch.jit.ScriptModule):
        return eager(module) or module
    name = _PARALLEL if isinstance(module, _AROUND) else _COMPILED
    found = module._modules.get(name)
    return module if found is None else _unwrapped(found)


def _holds_wrapped(module: nn.Module) -> bool:
    if isinstance(module, torch.jit.ScriptModule):  # one that could not be read
        return False
    return any(_unwrapped(child) is not child or _holds_wrapped(child) for child in module.children())


def _unwrap_children(parent: nn.Module) -> None:
    for name, child in list(parent.named_children()):
        found = _unwrapped(child)
        if found is not child:
            setattr(parent, name, found)
        if not isinstance(found, torch.jit.ScriptModule):
            _unwrap_children(found)
