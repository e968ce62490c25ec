"""What happens to an image on its way into a model: framing before the shift, numbers after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from shiftproof._text import counted
from shiftproof.data import CROP, Fit
from shiftproof.errors import OptionError
from shiftproof.zoo import ImageShape

Resampling = Literal["nearest", "bilinear", "bicubic", "lanczos"]
RGB = ("red", "green", "blue")


@dataclass(frozen=True, slots=True)
class Framing:
    """How an image of any size becomes one that the model takes, before it is shifted.

    By default the short side is resized to `resize_px`, and the centre of `image_shape` is cut out.

    Args:
        image_shape: (C, H, W) that the model takes; None: as the images come.
        resize_px: Length of the short side before the cut; None: just enough for the cut to fit.
        resampling: How pixels are weighed when resizing.
        fit: What becomes of an image of other proportions; see `shiftproof.data.Fit`.

    Raises:
        OptionError: No shape, or a short side into which the cut does not fit.
    """

    image_shape: ImageShape | None = None
    resize_px: int | None = None
    resampling: Resampling = "bilinear"
    fit: Fit = CROP

    def __post_init__(self) -> None:
        if self.image_shape is not None and not (
            len(self.image_shape) == 3 and all(isinstance(n, int) and n > 0 for n in self.image_shape)
        ):
            raise OptionError("an image shape (C, H, W) of positive integers", self.image_shape)
        cuts = self.image_shape is not None and self.fit.way != "letterbox"
        needed_px = min(self.image_shape[1:]) if self.image_shape and cuts else 1
        if self.resize_px is not None and self.resize_px < needed_px:
            raise OptionError(
                f"a short side of at least {needed_px} px",
                self.resize_px,
                cause="The cut would not fit into the resized image." if cuts else "",
            )
        if self.image_shape is None and self.fit != CROP:
            raise OptionError(
                f"a size to {self.fit.way} images to", "none", fix="Give --size and --channels."
            )

    def describe(self) -> str:
        """One line for a report.

        Example:
            >>> Framing((3, 224, 224), 256).describe()
            'short side to 256 px (bilinear), centre 224 × 224, 3 channels'
        """
        if self.image_shape is None:
            return "images as they are"
        channels, height, width = self.image_shape
        cut = f"centre {height} × {width}, {counted(channels, 'channel')}"
        if self.fit.way == "crop":
            return f"short side to {self.resize_px} px ({self.resampling}), {cut}" if self.resize_px else cut
        into = f", short side of {self.resize_px} px" if self.resize_px else ""
        return f"{self.fit.describe()}{into} ({self.resampling}), {cut}"


class Preprocess(nn.Module):
    """Images in [0, 1] to what a model was trained on: ((image · scale) − mean) ÷ std, then the layout.

    Args:
        scale: Factor, for example 255 for a model that takes bytes' values.
        mean: One number per channel, or one for all, on the scaled image; in the model's order of channels.
        std: The same.
        bgr: Whether the model takes blue, green and red, where images have red, green and blue.
        channels_last: Whether the model takes (N, H, W, C).

    Raises:
        OptionError: A standard deviation or scale of 0, or numbers that are not finite.

    Example:
        >>> Preprocess(mean=(0.5,), std=(0.5,))(torch.ones(1, 1, 1, 1)).item()
        1.0
    """

    def __init__(
        self,
        *,
        scale: float = 1.0,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        bgr: bool = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        for name, values in (("scale", [scale]), ("mean", mean), ("std", std)):
            numbers = torch.tensor(values, dtype=torch.float64)
            if not len(numbers) or not bool(torch.isfinite(numbers).all()):
                raise OptionError(f"finite numbers as {name}", tuple(values))
            if name != "mean" and not bool((numbers > 0).all()):
                raise OptionError(f"a {name} above 0", tuple(values))
        self.scale = scale
        self.bgr = bgr
        self.channels_last = channels_last
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.register_buffer("reversal", torch.eye(len(RGB)).flip(0)[:, :, None, None] if bgr else None)
        self.mean: Tensor
        self.reversal: Tensor
        self.std: Tensor
        self.normalises = any(m != 0 for m in mean) or any(s != 1 for s in std)
        self.eval()

    @property
    def is_identity(self) -> bool:
        """Whether the model sees the image as it is."""
        return self.keeps_numbers and not self.channels_last

    @property
    def keeps_numbers(self) -> bool:
        """Whether the numbers of an image stay as they are, and so may stay where they are in memory."""
        return self.scale == 1 and not (self.bgr or self.normalises)

    def replaced(
        self,
        *,
        scale: float | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        bgr: bool | None = None,
        channels_last: bool | None = None,
    ) -> Preprocess:
        """The same with other values; None keeps one.

        Example:
            >>> Preprocess(scale=255).replaced(mean=(127.5,)).describe()
            '× 255, − (127.5) ÷ (1)'
        """
        return Preprocess(
            scale=self.scale if scale is None else scale,
            mean=self.mean.flatten().tolist() if mean is None else mean,
            std=self.std.flatten().tolist() if std is None else std,
            bgr=self.bgr if bgr is None else bgr,
            channels_last=self.channels_last if channels_last is None else channels_last,
        )

    def check_channels(self, n_channels: int) -> None:
        """Fail where mean or std would turn images of so many channels into images of more.

        Raises:
            OptionError: They have neither one number nor one per channel; or channels to be reversed that
                are no colours.
        """
        if self.bgr and n_channels != len(RGB):
            raise OptionError(
                "images of 3 channels for --bgr", counted(n_channels, "channel"), fix="Leave out --bgr."
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values.numel() not in (1, n_channels):
                each = f" or of {n_channels}, one per channel" if n_channels > 1 else ""
                raise OptionError(
                    f"a {name} of 1 number{each}",
                    f"{values.numel()} numbers",
                    cause=f"The images have {counted(n_channels, 'channel')}.",
                    fix="Give --mean and --std for these channels.",
                )

    def forward(self, images: Tensor) -> Tensor:
        if self.bgr:
            images = self._reversed(images)
        if self.scale != 1:
            images = images * self.scale
        if self.normalises:
            images = (images - self.mean) / self.std
        return images.permute(0, 2, 3, 1) if self.channels_last else images

    def _reversed(self, images: Tensor) -> Tensor:
        """The channels the other way round: by a convolution, which whoever reads the network knows.

        Its weights are 0 and 1, so it is exact on a CPU; a GPU might round the images to fewer digits.
        """
        if self.reversal.device.type != "cpu":
            return images.flip(1)
        return nn.functional.conv2d(images, self.reversal)

    def describe(self) -> str:
        """One line for a report.

        Example:
            >>> Preprocess(scale=255).describe()
            '× 255'
        """
        parts = ["BGR"] if self.bgr else []
        parts += [f"× {self.scale:g}"] if self.scale != 1 else []
        if self.normalises:
            mean, std = (
                ", ".join(f"{value:g}" for value in buffer.flatten().tolist())
                for buffer in (self.mean, self.std)
            )
            parts.append(f"− ({mean}) ÷ ({std})")
        if self.channels_last:
            parts.append("channels last")
        return ", ".join(parts) or "none"
