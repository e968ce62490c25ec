"""The article's "standard" network on a CPU: two dense layers at every pixel, then one on them all.

Written with ordinary layers a batch moves activations of 40 MB from layer to layer and back, and the
elementwise steps wait for memory. Here the pixels are taken in blocks whose activations stay in the
second-level cache.

A block is laid out (channel, pixel, image). As (channel, pixel × image) it is the operand of the dense
layers, and the same memory, as (channel × pixel, image), is the operand of the last layer. Both are
shapes that a matrix product computes at full speed; the usual layout is not, because ten classes are a
thin matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.random import BitGenerator
from torch import Tensor, nn

from shiftproof.train._dropout import can_keep, drop_, random_words, scratch, words_for

# Pixels in a block, at most. Few and large operations: between two of them the interpreter takes its lock.
MAX_BLOCK = 32


def pixelwise_stage(
    _rows: nn.Module,
    dense1: nn.Linear,
    _relu1: nn.ReLU,
    dropout1: nn.Dropout,
    dense2: nn.Linear,
    _relu2: nn.ReLU,
    dropout2: nn.Dropout,
    _flatten: nn.Flatten,
    head: nn.Linear,
) -> Callable[[Tensor, BitGenerator], Tensor] | None:
    """All layers of the network as one function; None for several channels, or another type than float32."""
    keep1, keep2 = 1 - dropout1.p, 1 - dropout2.p
    if dense1.weight.dtype != torch.float32:
        return None
    widths_fit = dense1.out_features == dense2.in_features == dense2.out_features
    if dense1.in_features != 1 or not widths_fit or not (can_keep(keep1) and can_keep(keep2)):
        return None
    n_pixels = head.in_features // dense2.out_features
    block = max(size for size in range(1, MAX_BLOCK + 1) if n_pixels % size == 0)

    def pixelwise(images: Tensor, bits: BitGenerator) -> Tensor:
        n_blocks = n_pixels // block
        values = images.flatten(1).t().reshape(n_blocks, 1, -1)
        n_words = words_for(dense2.out_features * values.shape[2])
        words = (
            random_words(bits, keep, n_blocks * n_words).view(n_blocks, n_words) for keep in (keep1, keep2)
        )
        # Dropout's factor 1 / keep is applied to the weights that follow instead of to activations.
        weight3 = (head.weight / keep2).view(-1, n_blocks, block, dense2.out_features)
        logits: Tensor = _Pixelwise.apply(  # type: ignore[no-untyped-call]
            torch.cat([torch.ones_like(values), values], 1),
            dense1.weight.flatten(),
            dense1.bias,
            dense2.weight / keep1,
            dense2.bias,
            weight3.permute(1, 0, 3, 2).reshape(n_blocks, head.out_features, -1),
            *words,
            len(images),
        )
        return logits + head.bias

    return pixelwise


class _Pixelwise(torch.autograd.Function):
    """logits = drop(relu(drop(relu(x w1 + b1)) w2 + b2)) w3, block by block of pixels.

    Shapes: x (blocks, 2, pixels × images), ones and pixel values; w1 and b1 (channels,); w2
    (channels, channels); w3 (blocks, classes, channels × pixels); words (blocks, words of a block).

    The second layer's activations are kept for the backward pass: where they are positive, both the
    ReLU and the dropout let them pass. The first layer's are computed again, which is cheaper than
    reading them back.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        w1: Tensor,
        b1: Tensor,
        w2: Tensor,
        b2: Tensor,
        w3: Tensor,
        words1: Tensor,
        words2: Tensor,
        n_images: int,
    ) -> Tensor:
        w1, b1, b2 = (vector.view(-1, 1) for vector in (w1, b1, b2))
        h2 = x.new_empty(len(x), len(b2), x.shape[2])
        logits = w3.new_zeros(w3.shape[1], n_images)
        ctx.held = x, w1, b1, w2, w3, words1, h2
        for i, h in enumerate(h2):
            torch.addmm(b2, w2, _first_layer(x[i], w1, b1, words1[i]), out=h).relu_()
            drop_(h, words2[i])
            logits.addmm_(w3[i], h.view(-1, n_images))
        return logits.t()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, b1, w2, w3, words1, h2 = ctx.held
        of_logits = gradients[0].t().contiguous()
        n_images = of_logits.shape[1]
        of_first = w2.new_zeros(2, len(b1))
        of_w2, of_w3 = torch.zeros_like(w2), torch.empty_like(w3)
        of_b2 = w2.new_empty(len(h2), len(w2))
        d1, d2 = (scratch(name, *h2.shape[1:]) for name in ("d1", "d2"))
        # ReLU and dropout at once: the gradient where the activation is above 0.
        pass_positive = torch.ops.aten.threshold_backward.grad_input
        for i, h in enumerate(h2):
            torch.mm(of_logits, h.view(-1, n_images).t(), out=of_w3[i])
            torch.mm(w3[i].t(), of_logits, out=d2.view(-1, n_images))
            pass_positive(d2, h, 0, grad_input=d2)
            h1 = _first_layer(x[i], w1, b1, words1[i])
            of_w2.addmm_(d2, h1.t())
            torch.sum(d2, 1, out=of_b2[i])
            torch.mm(w2.t(), d2, out=d1)
            pass_positive(d1, h1, 0, grad_input=d1)
            of_first.addmm_(x[i], d1.t())
        of_b1, of_w1 = of_first
        return None, of_w1, of_b1, of_w2, of_b2.sum(0), of_w3, None, None, None


def _first_layer(x: Tensor, w1: Tensor, b1: Tensor, words: Tensor) -> Tensor:
    h1 = scratch("h1", len(b1), x.shape[1])
    torch.mul(w1, x[1], out=h1).add_(b1).relu_()
    return drop_(h1, words)
