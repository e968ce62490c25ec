"""Random networks of whatever torch has, for brute force against whatever is proved of them.

A network is a list of calls of torch, each of which worked on the shapes that came before it. Nothing here
knows what a layer does to positions, nor which of them certify can follow.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

Shape = tuple[int, ...]
Call = Callable[..., Any]
LARGEST = 6000


@dataclass
class Drawn:
    """A call, as it was drawn for tensors of some shapes: it may hold weights of its own.

    Args:
        text: For a report.
        call: Of as many tensors as it was drawn for.
        layers: What it calls, if it has weights.
    """

    text: str
    call: Call
    layers: list[nn.Module] = field(default_factory=list)


class AnyNetwork(nn.Module):
    """Calls one after the other, each of some earlier values; the last one is the answer."""

    def __init__(self, steps: Sequence[tuple[Drawn, tuple[int, ...]]]) -> None:
        super().__init__()
        self.steps = list(steps)
        self.layers = nn.ModuleList([layer for drawn, _ in steps for layer in drawn.layers])

    def forward(self, images: Tensor) -> Any:
        values: list[Any] = [images]
        for drawn, sources in self.steps:
            values.append(drawn.call(*(values[source] for source in sources)))
        return values[-1]

    def __deepcopy__(self, memo: dict[int, Any]) -> AnyNetwork:
        """Itself: the calls of a copy would still use the layers of this one."""
        return self

    def extra_repr(self) -> str:
        return "; ".join(f"v{n} = {d.text} of {s}" for n, (d, s) in enumerate(self.steps, start=1))


class Held(nn.Module):
    """Whole numbers of a network's own, such as places."""

    places: Tensor

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("places", torch.tensor(places))


class Weight(nn.Module):
    """A tensor of a network's own."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.randn(shape))


def axis_of(rng: random.Random, shape: Shape, first: int = 1) -> int:
    """An axis, seldom that of the images, counted from either end."""
    axis = rng.randrange(0 if rng.random() < 0.02 else first, len(shape))
    return axis - len(shape) if rng.random() < 0.5 else axis


def axes_of(rng: random.Random, shape: Shape) -> tuple[int, ...]:
    return tuple(rng.sample(range(1, len(shape)), rng.randint(1, min(2, len(shape) - 1))))


def factors(rng: random.Random, size: int) -> list[int]:
    """Numbers whose product is the size."""
    found: list[int] = []
    while size > 1 and len(found) < 3 and rng.random() < 0.8:
        found.append(rng.choice([n for n in range(1, size + 1) if size % n == 0]))
        size //= found[-1]
    return [*found, size]


# --- shapes ----------------------------------------------------------------------------------------


def reshape(rng: random.Random, shape: Shape) -> Drawn:
    kind = rng.randrange(7)
    if kind == 0:
        first = rng.randrange(1, len(shape))
        last = rng.randrange(first, len(shape))
        return Drawn(f"flatten({first}, {last})", lambda x: x.flatten(first, last))
    if kind == 1:
        axis = rng.randrange(1, len(shape))
        sizes = factors(rng, shape[axis])
        return Drawn(f"unflatten({axis}, {sizes})", lambda x: x.unflatten(axis, sizes))
    if kind == 2:
        axis = axis_of(rng, shape)
        return Drawn(f"unsqueeze({axis})", lambda x: x.unsqueeze(axis))
    if kind == 3:
        return Drawn("squeeze", lambda x: x.squeeze())
    total = 1
    for size in shape[1:]:
        total *= size
    sizes = factors(rng, total)
    if kind == 4:
        return Drawn(f"reshape(n, {sizes})", lambda x: x.reshape(x.shape[0], *sizes))
    if kind == 5:
        return Drawn(f"view(-1, {sizes})", lambda x: x.contiguous().view(-1, *sizes))
    return Drawn(f"reshape(2, {sizes})", lambda x: x.reshape(2, *sizes))


def reorder(rng: random.Random, shape: Shape) -> Drawn:
    kind = rng.randrange(6)
    one, other = axis_of(rng, shape), axis_of(rng, shape)
    if kind < 2:
        return Drawn(f"transpose({one}, {other})", lambda x: x.transpose(one, other))
    if kind < 4:
        rest = rng.sample(range(1, len(shape)), len(shape) - 1)
        order = [*rest[:1], 0, *rest[1:]] if rng.random() < 0.1 else [0, *rest]
        return Drawn(f"permute({order})", lambda x: x.permute(order))
    if kind == 4:
        return Drawn(f"movedim({one}, {other})", lambda x: torch.movedim(x, one, other))
    return Drawn("mT", lambda x: x.mT)


def rearrange(rng: random.Random, shape: Shape) -> Drawn:
    axis, by = axis_of(rng, shape), rng.randint(-2, 3)
    calls: list[tuple[str, Call]] = [
        (f"flip({axis})", lambda x: x.flip(axis)),
        (f"roll({by}, {axis})", lambda x: x.roll(by, axis)),
        (f"sort({axis})", lambda x: x.sort(axis).values),
        (f"cumsum({axis})", lambda x: x.cumsum(axis)),
        (f"cummax({axis})", lambda x: torch.cummax(x, axis)[0]),
        (f"diff({axis})", lambda x: torch.diff(x, dim=axis)),
        ("rot90", lambda x: torch.rot90(x, 1, (-2, -1))),
        ("tril", lambda x: x.tril()),
        (f"topk(2, {axis})", lambda x: x.topk(2, axis).values),
        (f"argsort({axis})", lambda x: x.argsort(axis).double()),
        (f"cumprod({axis})", lambda x: x.cumprod(axis)),
        (f"logcumsumexp({axis})", lambda x: x.logcumsumexp(axis)),
        (f"fftshift({axis})", lambda x: torch.fft.fftshift(x, axis)),
        (f"kthvalue(1, {axis})", lambda x: x.kthvalue(1, axis).values),
        (f"quantile(0.3, {axis})", lambda x: x.quantile(0.3, axis)),
        ("triu", lambda x: x.triu(1)),
    ]
    return Drawn(*rng.choice(calls))


def take(rng: random.Random, shape: Shape) -> Drawn:
    axis = rng.randrange(1, len(shape))
    size = shape[axis]
    start, stop = rng.randint(0, size - 1), rng.randint(1, size)
    step, at = rng.choice([1, 1, 2, 3]), rng.randint(-size, size - 1)
    before = (slice(None),) * axis
    several = [rng.randrange(size) for _ in range(rng.randint(1, size))]
    # Seldom a tensor that is no buffer.
    held = Held(several)
    rows = torch.tensor(several)
    half = max(1, size // 2)
    calls: list[tuple[str, Call]] = [
        (f"[{axis}: {start}:{stop}:{step}]", lambda x: x[(*before, slice(start, stop, step))]),
        (f"[{axis}: ::{step}]", lambda x: x[(*before, slice(None, None, step))]),
        (f"[..., ::{step}]", lambda x: x[..., ::step]),
        (f"[{axis}: {at}]", lambda x: x[(*before, at)]),
        (f"[{axis}: None]", lambda x: x[(*before, None)]),
        (f"[{axis}: {several}]", lambda x: x[(*before, several)]),
        (f"index_select({axis})", lambda x: torch.index_select(x, axis, held.places)),
        (
            f"take_along_dim({axis})",
            lambda x: torch.take_along_dim(x, _along(held.places, axis, len(shape)), axis),
        ),
        (f"unfold({axis}, 2, 1)", lambda x: x.unfold(axis, min(2, size), 1)),
        ("diagonal", lambda x: x.diagonal(dim1=-2, dim2=-1)),
        (
            f"index_add({axis})",
            lambda x: torch.index_add(x, axis, held.places, x.index_select(axis, held.places)),
        ),
        (f"narrow({axis})", lambda x: x.narrow(axis, start % size, 1)),
        (f"chunk(2, {axis})[0]", lambda x: x.chunk(2, axis)[0]),
        (f"chunk(2, {axis})[::-1]", lambda x: torch.cat(x.chunk(2, axis)[::-1], axis)),
        (f"split({half}, {axis})[-1]", lambda x: x.split(half, axis)[-1]),
        (f"unbind({axis})[0]", lambda x: x.unbind(axis)[0]),
        (f"stack of unbind({axis})", lambda x: torch.stack([x.unbind(axis)[0], x.unbind(axis)[-1]], 1)),
    ]
    if rng.random() < 0.02:
        return Drawn("index_select by a tensor of nobody", lambda x: torch.index_select(x, axis, rows))
    return Drawn(*rng.choice(calls), [held])


def _along(places: Tensor, axis: int, n_axes: int) -> Tensor:
    return places.reshape([-1 if a == axis else 1 for a in range(n_axes)])


def overwrite(rng: random.Random, shape: Shape) -> Drawn:
    """In place, on a copy: a slice, or all of it."""
    axis = rng.randrange(1, len(shape))
    at: Any = rng.choice([0, -1, slice(None, None, 2), slice(1, None)])
    part = (slice(None),) * axis + (at,)

    def changed(x: Tensor, change: Callable[[Tensor], Any]) -> Tensor:
        copied = x.clone()
        change(copied)
        return copied

    def put(copied: Tensor) -> None:
        copied[part] = 0.5

    def put_mean(copied: Tensor) -> None:
        copied[part] = copied.mean()

    calls: list[tuple[str, Call]] = [
        (f"{part} = 0.5", lambda x: changed(x, put)),
        (f"{part} = the mean", lambda x: changed(x, put_mean)),
        (f"{part} *= 2", lambda x: changed(x, lambda copied: copied[part].mul_(2))),
        ("clamp_", lambda x: changed(x, lambda copied: copied.clamp_(0.1, 0.9))),
        ("sub_ of the mean", lambda x: changed(x, lambda copied: copied.sub_(x.mean(axis, keepdim=True)))),
        ("copy_ of the flipped", lambda x: changed(x, lambda copied: copied.copy_(x.flip(axis)))),
        (
            "index_fill_",
            lambda x: changed(x, lambda copied: copied.index_fill_(axis, torch.tensor([0]), 1.0)),
        ),
    ]
    return Drawn(*rng.choice(calls))


# --- statistics ------------------------------------------------------------------------------------


def statistic(rng: random.Random, shape: Shape) -> Drawn:
    axes, keep = axes_of(rng, shape), rng.random() < 0.5
    axis = axes[0]
    calls: list[tuple[str, Call]] = [
        ("mean", lambda x: x.mean(axes, keepdim=keep)),
        ("mean", lambda x: x.mean(axes, keepdim=keep)),
        ("sum", lambda x: x.sum(axes, keepdim=keep)),
        ("amax", lambda x: x.amax(axes, keepdim=keep)),
        ("amin", lambda x: torch.amin(x, axes, keep)),
        ("var", lambda x: x.var(axes, unbiased=False, keepdim=keep)),
        ("std", lambda x: x.std(axes, correction=0, keepdim=keep)),
        ("logsumexp", lambda x: torch.logsumexp(x, axes, keep)),
        ("prod", lambda x: x.prod(axis, keepdim=keep)),
        ("median", lambda x: x.median(axis, keepdim=keep)[0]),
        ("vector_norm", lambda x: torch.linalg.vector_norm(x, dim=axes, keepdim=keep)),
        ("max", lambda x: x.max(axis, keepdim=keep).values),
        ("argmax", lambda x: x.argmax(axis, keepdim=keep).double()),
        ("mean of all", lambda x: x.mean() + x * 0),
        ("minus the mean", lambda x: x - x.mean(axes, keepdim=True)),
        ("minus the mean of images", lambda x: x - x.mean(0, keepdim=True)),
        ("var of all", lambda x: x - torch.var(x, True)),
    ]
    text, call = (
        calls[-1] if rng.random() < 0.01 else rng.choice(calls[:-2] if rng.random() < 0.99 else calls)
    )
    return Drawn(f"{text} {axes} {keep}", call)


def normalise(rng: random.Random, shape: Shape) -> Drawn:
    axis, last = axis_of(rng, shape), rng.randint(1, len(shape) - 1)
    normalised = list(shape[-last:])
    channels = shape[1]
    norm = nn.LayerNorm(normalised)
    if rng.random() < 0.3:
        nn.init.normal_(norm.weight)
    groups = rng.choice([n for n in range(1, channels + 1) if channels % n == 0])
    calls: list[tuple[str, Call, list[nn.Module]]] = [
        (f"softmax({axis})", lambda x: x.softmax(axis), []),
        (f"special.softmax({axis})", lambda x: torch.special.softmax(x, axis), []),
        (f"log_softmax({axis})", lambda x: F.log_softmax(x, axis), []),
        (f"layer_norm({normalised})", lambda x: F.layer_norm(x, normalised), []),
        (f"LayerNorm({normalised})", norm, [norm]),
        (f"group_norm({groups})", lambda x: F.group_norm(x, groups), []),
        ("instance_norm", F.instance_norm, []),
        ("local_response_norm", lambda x: F.local_response_norm(x, 2), []),
        (f"normalize({axis})", lambda x: F.normalize(x, dim=axis), []),
        ("rms_norm", lambda x: F.rms_norm(x, normalised), []),
    ]
    return Drawn(*rng.choice(calls))


# --- windows ---------------------------------------------------------------------------------------


def convolution(rng: random.Random, shape: Shape) -> Drawn:
    channels, filters = shape[1], rng.choice([2, 3, 4])
    kernels: list[Any] = [1, 2, 3, (3, 1), (1, 3)]
    kernel, stride = rng.choice(kernels), rng.choice([1, 1, 1, 2])
    padding = rng.choice([0, 1, "same"]) if stride == 1 and kernel != 2 else rng.choice([0, 1])
    mode = rng.choice(["circular"] * 4 + ["zeros", "reflect", "replicate"])
    arguments: dict[str, Any] = {"padding": padding, "padding_mode": mode}
    kind = rng.randrange(10)
    layer: nn.Module
    if len(shape) == 3:
        width = kernel if isinstance(kernel, int) else 3
        layer = nn.Conv1d(channels, filters, width, stride, **arguments)
    elif kind < 7:
        layer = nn.Conv2d(channels, filters, kernel, stride, dilation=rng.choice([1, 1, 2]), **arguments)
    elif kind == 7:
        layer = nn.Conv2d(channels, channels, 3, groups=channels, padding=1, padding_mode="circular")
    elif kind == 8:
        layer = nn.ConvTranspose2d(channels, filters, 2, stride, rng.choice([0, 1]))
    else:
        layer = nn.Conv2d(channels, filters, stride + 1, stride + 1)
    return Drawn(str(layer), layer, [layer])


def pool(rng: random.Random, shape: Shape) -> Drawn:
    height, width = shape[-2:]
    sizes: list[Any] = [1, 2, 3, (height, 1), (1, width), (height, width), 2]
    size = rng.choice(sizes)
    stride = rng.choice([None, 1, 2])
    padding, ceil = rng.choice([0, 0, 0, 1]), rng.random() < 0.2
    to: Any = rng.choice([1, 2, (1, None), (None, 1), (height, 1)])
    calls: list[tuple[str, Call]] = [
        ("avg_pool2d", lambda x: F.avg_pool2d(x, size, stride, padding, ceil)),
        ("max_pool2d", lambda x: F.max_pool2d(x, size, stride, padding, ceil_mode=ceil)),
        ("lp_pool2d", lambda x: F.lp_pool2d(x, 2.0, size, stride)),
        (f"adaptive_avg_pool2d {to}", lambda x: F.adaptive_avg_pool2d(x, to)),
        ("adaptive_max_pool2d", lambda x: F.adaptive_max_pool2d(x, 1)),
        ("unfold", lambda x: F.unfold(x, size)),
        ("avg_pool1d", lambda x: F.avg_pool1d(x.flatten(1, -2), 2)),
    ]
    text, call = rng.choice(calls)
    return Drawn(f"{text} {size} stride {stride} padding {padding} {'ceil' if ceil else ''}", call)


def resize(rng: random.Random, shape: Shape) -> Drawn:
    amounts = [rng.randint(-1, 2) for _ in range(rng.choice([2, 4, 4]))]
    if rng.random() < 0.5:
        amounts = [abs(amount) for amount in amounts]
    mode, factor = (
        rng.choice(["constant", "circular", "circular", "reflect", "replicate"]),
        rng.choice([2, 3]),
    )
    how = rng.choice(["nearest", "nearest", "bilinear", "nearest-exact", "bicubic", "area"])
    size = (rng.randint(2, 12), rng.randint(2, 12))
    calls: list[tuple[str, Call]] = [
        (f"pad {amounts} {mode}", lambda x: F.pad(x, amounts, mode=mode)),
        (f"pad {amounts} {mode}", lambda x: F.pad(x, amounts, mode=mode)),
        (f"pad {amounts} {mode}", lambda x: F.pad(x, amounts, mode=mode)),
        (f"interpolate {factor} {how}", lambda x: F.interpolate(x, scale_factor=factor, mode=how)),
        (f"interpolate {size} {how}", lambda x: F.interpolate(x, size=size, mode=how)),
        ("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2)),
        ("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2)),
        ("channel_shuffle", lambda x: F.channel_shuffle(x, 2)),
        ("repeat_interleave", lambda x: x.repeat_interleave(2, -1)),
        ("repeat", lambda x: x.repeat(1, *([1] * (len(shape) - 3)), 2, 1)),
        ("tile", lambda x: torch.tile(x, (2,))),
        ("unfold and fold", lambda x: F.fold(F.unfold(x, 2), x.shape[-2:], 2)),
        ("glu", lambda x: F.glu(x, 1)),
        ("grid_sample", lambda x: F.grid_sample(x, _turned(x), align_corners=False)),
        (f"adaptive_avg_pool2d {size}", lambda x: F.adaptive_avg_pool2d(x, size)),
    ]
    return Drawn(*rng.choice(calls))


def _turned(x: Tensor) -> Tensor:
    theta = torch.tensor([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]], dtype=x.dtype).expand(x.shape[0], 2, 3)
    return F.affine_grid(theta, list(x.shape), align_corners=False)


# --- products, frequencies, attention --------------------------------------------------------------


def product(rng: random.Random, shape: Shape) -> Drawn:
    size, n_out = shape[-1], rng.choice([2, 3, 4])
    linear = nn.Linear(size, n_out)
    mixing, letters = Weight(shape[1], n_out), "nabcde"[: len(shape)]
    out = letters[0] + "z" + letters[2:]
    equation, lost = f"{letters},az->{out}", letters.replace(rng.choice(letters[1:]), "")
    calls: list[tuple[str, Call, list[nn.Module]]] = [
        ("linear", linear, [linear]),
        (f"einsum({equation})", lambda x: torch.einsum(equation, x, mixing.value), [mixing]),
        (f"einsum({letters}->{lost})", lambda x: torch.einsum(f"{letters}->{lost}", x), []),
        ("x @ x.mT", lambda x: x @ x.transpose(-2, -1), []),
        ("x.mT @ x", lambda x: torch.matmul(x.transpose(-2, -1), x), []),
        ("tensordot", lambda x: torch.tensordot(x, mixing.value, ([1], [0])), [mixing]),
        ("outer", lambda x: x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True), []),
        ("rows + columns", lambda x: x.mean(-1) + x.mean(-2), []),
        ("rows * columns turned", lambda x: x.amax(-1, keepdim=True) * x.mean(-2, keepdim=True).mT, []),
        ("x + x.mT", lambda x: x + x.transpose(-2, -1), []),
        ("cdist", lambda x: torch.cdist(x, x), []),
        ("einsum of two", lambda x: torch.einsum(f"{letters},{letters}->{lost}", x, x.sin()), []),
        (
            "rows of one, columns of another",
            lambda x: x.amax(-1).unsqueeze(-1) - x.amin(-2).unsqueeze(-2),
            [],
        ),
        ("rows along columns", lambda x: x + x.mean(-1).unsqueeze(-2), []),
        ("kron", lambda x: torch.kron(x.flatten(2).mean(2), torch.ones(1, 2).to(x)), []),
    ]
    return Drawn(*rng.choice(calls))


def frequencies(rng: random.Random, shape: Shape) -> Drawn:
    axis = axis_of(rng, shape)
    calls: list[tuple[str, Call]] = [
        ("fft2 abs", lambda x: torch.fft.fft2(x).abs()),
        ("rfft2 abs", lambda x: torch.abs(torch.fft.rfft2(x))),
        ("rfft2 size", lambda x: torch.fft.rfft2(x, s=(4, 4)).abs()),
        (f"fft({axis}) abs", lambda x: torch.fft.fft(x, dim=axis).abs()),
        (f"rfft({axis}) abs", lambda x: torch.fft.rfft(x, dim=axis).abs()),
        ("fft2 real", lambda x: torch.fft.fft2(x).real),
        ("fft2 angle", lambda x: torch.fft.fft2(x).angle()),
        ("ifft2", lambda x: torch.fft.ifft2(torch.fft.fft2(x).abs()).real),
        ("power", lambda x: (torch.fft.fft2(x) * torch.fft.fft2(x).conj()).real),
        ("correlated with itself", lambda x: torch.fft.ifft2(torch.fft.fft2(x).abs().square()).real),
        ("squares of both parts", lambda x: torch.view_as_real(torch.fft.fft2(x)).square().sum(-1)),
        ("fftn abs", lambda x: torch.fft.fftn(x, dim=tuple(range(1, x.ndim))).abs()),
        ("low-pass", lambda x: torch.fft.irfft2(torch.fft.rfft2(x)[..., :2], s=x.shape[-2:])),
    ]
    return Drawn(*rng.choice(calls))


def attention(rng: random.Random, shape: Shape) -> Drawn:
    size, causal = shape[-1], rng.random() < 0.2
    heads = rng.choice([n for n in (1, 2) if size % n == 0])
    first = rng.random() < 0.8
    if rng.random() < 0.15:
        mask = Weight(shape[-2], shape[-2])
        return Drawn(
            "attention with a bias",
            lambda x: F.scaled_dot_product_attention(x, x, x.cos(), attn_mask=mask.value),
            [mask],
        )
    if rng.random() < 0.4 or len(shape) != 3:
        return Drawn(
            f"attention {'causal' if causal else ''}",
            lambda x: F.scaled_dot_product_attention(x, x.sin(), x * 2, is_causal=causal),
        )
    if rng.random() < 0.5:
        layer = nn.TransformerEncoderLayer(
            size, heads, 4, batch_first=first, norm_first=rng.random() < 0.5
        ).eval()
        return Drawn(f"encoder layer, batch_first={first}", layer, [layer])
    many = nn.MultiheadAttention(size, heads, batch_first=first)
    part = int(rng.random() < 0.1)
    return Drawn(f"MultiheadAttention, batch_first={first} [{part}]", lambda x: many(x, x, x)[part], [many])


# --- each number -----------------------------------------------------------------------------------


def pointwise(rng: random.Random, shape: Shape) -> Drawn:
    weight = Weight(*(size if rng.random() < 0.15 else 1 for size in shape[1:]))
    channels = Weight(shape[1], *([1] * (len(shape) - 2)))
    functions: list[Call] = [torch.relu, torch.sin, torch.square, F.gelu, torch.tanh, torch.abs, F.silu]
    function = rng.choice(functions)
    calls: list[tuple[str, Call, list[nn.Module]]] = [
        (getattr(function, "__name__", "?"), function, []),
        (getattr(function, "__name__", "?"), function, []),
        ("relu_ of a copy", lambda x: x.clone().relu_(), []),
        ("add_ to a copy", lambda x: x.clone().add_(1).mul_(2), []),
        ("relu_", lambda x: (x + 0.1).relu_(), []),
        ("where", lambda x: torch.where(x > 0, x, 0.1 * x), []),
        ("masked_fill", lambda x: x.masked_fill(x < 0.2, 0.0), []),
        (f"weighed by {tuple(weight.value.shape)}", lambda x: x * weight.value, [weight]),
        ("scaled channels", lambda x: x * channels.value + 0.1, [channels]),
        ("lerp", lambda x: torch.lerp(x, x.sin(), 0.3), []),
        ("with places", lambda x: x + torch.linspace(0, 1, shape[-1]).to(x), []),
        ("to single", lambda x: x.clamp(-2, 2), []),
        ("dropout", lambda x: F.dropout(x, 0.5, False), []),
        ("dropout that is on", lambda x: F.dropout(x, 0.01, True), []),
        ("noise", lambda x: x + 1e-4 * torch.randn_like(x), []),
    ]
    return Drawn(*rng.choice(calls[:-2] if rng.random() < 0.99 else calls))


def both(rng: random.Random, one: Shape, other: Shape) -> Drawn:
    calls: list[tuple[str, Call]] = [
        ("+", lambda x, y: x + y),
        ("-", torch.sub),
        ("*", lambda x, y: x * y),
        ("maximum", torch.maximum),
        ("cat 1", lambda x, y: torch.cat([x, y], 1)),
        ("cat -1", lambda x, y: torch.cat([x, y], -1)),
        ("stack", lambda x, y: torch.stack([x, y], 1)),
        ("gate", lambda x, y: x * torch.sigmoid(y)),
        ("expand_as", lambda x, y: x * y.mean((-2, -1), keepdim=True).sigmoid().expand_as(x)),
        ("@", lambda x, y: x @ y),
        ("+ of a weight", lambda x, y: torch.add(x, y, alpha=2)),
        ("bmm", lambda x, y: torch.bmm(x.flatten(2), y.flatten(2).mT)),
        ("attention", lambda x, y: F.scaled_dot_product_attention(x, y, y)),
    ]
    return Drawn(*rng.choice(calls))


ALONE: tuple[tuple[int, Callable[[random.Random, Shape], Drawn]], ...] = (
    (20, convolution),
    (18, pointwise),
    (10, statistic),
    (8, normalise),
    (8, reshape),
    (7, reorder),
    (6, take),
    (6, pool),
    (6, resize),
    (6, product),
    (4, attention),
    (4, rearrange),
    (2, overwrite),
    (3, frequencies),
)


def draw_step(rng: random.Random, values: Sequence[Tensor]) -> tuple[Drawn, tuple[int, ...]]:
    """A call, mostly of the last value."""
    last = len(values) - 1
    if last > 0 and rng.random() < 0.2:
        sources = (last, rng.randrange(len(values)))
        return both(rng, tuple(values[sources[0]].shape), tuple(values[sources[1]].shape)), sources
    source = last if rng.random() < 0.85 else rng.randrange(len(values))
    weights, kinds = zip(*ALONE, strict=True)
    kind = rng.choices(kinds, weights)[0]
    return kind(rng, tuple(values[source].shape)), (source,)


def head(rng: random.Random, value: Tensor) -> list[Drawn]:
    """Mostly what forgets positions."""
    spatial = tuple(range(2, value.ndim))
    kind = rng.random()
    if kind < 0.5 and spatial:
        linear = nn.Linear(value.shape[1], 3)
        return [Drawn("mean", lambda x: x.mean(spatial)), Drawn("linear", linear, [linear])]
    if kind < 0.65 and spatial:
        return [Drawn("amax", lambda x: x.amax(spatial))]
    if kind < 0.8 and value.numel() // len(value) <= 400:
        linear = nn.Linear(value.numel() // len(value), 3)
        return [Drawn("flatten", lambda x: x.flatten(1)), Drawn("linear", linear, [linear])]
    if kind < 0.9 and spatial:
        return [Drawn("squared mean", lambda x: x.square().mean(spatial[-1]))]
    return []


def is_usable(value: Any, n: int) -> bool:
    """A tensor of floats with an entry for each image, neither empty nor large."""
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and 1 < value.ndim < 7
        and 0 < value.numel() <= LARGEST
        and len(value) == n
        and bool(torch.isfinite(value).all())
    )


def any_network(seed: int, size: tuple[int, int], n_steps: int = 6) -> AnyNetwork | None:
    """A network in float64 and evaluation mode that takes (2, 2, *size); None where nothing came of it."""
    rng = random.Random(seed)
    torch.default_generator.manual_seed(seed)  # `torch.manual_seed` also asks about other devices.
    steps: list[tuple[Drawn, tuple[int, ...]]] = []
    values: list[Tensor] = [torch.rand(2, 2, *size, dtype=torch.float64)]

    def attempt(drawn: Drawn, sources: tuple[int, ...]) -> bool:
        for layer in drawn.layers:
            layer.double()
        try:
            with torch.no_grad():
                value = drawn.call(*(values[source] for source in sources))
        except (RuntimeError, ValueError, IndexError, TypeError, AssertionError, NotImplementedError):
            return False
        if not is_usable(value, 2):
            return False
        steps.append((drawn, sources))
        values.append(value)
        return True

    for _ in range(rng.randint(1, n_steps)):
        for _attempt in range(4):
            try:
                if attempt(*draw_step(rng, values)):
                    break
            except (RuntimeError, ValueError, IndexError):  # No such call for these shapes.
                continue
    for drawn in head(rng, values[-1]):
        attempt(drawn, (len(values) - 1,))
    return AnyNetwork(steps).double().eval() if steps else None
