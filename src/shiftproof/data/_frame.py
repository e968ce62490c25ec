"""How an image of any size becomes one that a model takes, with a margin to shift it in.

By default the short side is resized and the centre is cut, by the arithmetic of torchvision's `Resize` and
`CenterCrop`, which most published accuracies rest on. A margin widens the cut and leaves its centre
where it was: what the model sees at offset (0, 0) is the image that it would see without a margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from shiftproof._registry import unknown_name
from shiftproof.data._decode import MAX_PIXELS
from shiftproof.errors import DataError, OptionError

Resampling = Literal["nearest", "bilinear", "bicubic", "lanczos"]
FitWay = Literal["crop", "squash", "letterbox"]
MAX_BYTE = 255
MODES = {1: "L", 3: "RGB"}
PAIR = 2


@dataclass(frozen=True, slots=True)
class Fit:
    """What becomes of an image whose sides are not as long as the model's.

    Args:
        way: `crop`: the centre is cut out; `squash`: the sides are resized by themselves, without keeping
            their proportions; `letterbox`: the whole image is shown, with bars beside it.
        fill: Of the bars of a letterbox: one byte, or red, green and blue.

    Raises:
        UnknownNameError: No such way.
        OptionError: A fill that is no colour.

    Example:
        >>> Fit("letterbox", (114,)).describe()
        'letterbox on 114'
    """

    way: FitWay = "crop"
    fill: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.way not in get_args(FitWay):
            raise unknown_name("fit", str(self.way), get_args(FitWay))
        if len(self.fill) not in MODES or not all(0 <= value <= MAX_BYTE for value in self.fill):
            raise OptionError(f"a fill of 1 or 3 numbers from 0 to {MAX_BYTE}", self.fill)

    def describe(self) -> str:
        """A few words for a report."""
        on = f" on {', '.join(map(str, self.fill))}" if self.way == "letterbox" else ""
        return f"{self.way}{on}"


CROP = Fit()


@dataclass(frozen=True, slots=True)
class Frame:
    """The target: a shape, a margin around it, and how to get there.

    Args:
        image_shape: (C, H, W) that the model takes.
        margin_px: (my, mx), pixels to keep above and below, and left and right.
        resize_px: Length of the short side before the cut; None: images that have the size of the scene
            stay as they are, others are resized until it just fits. Of a letterbox, whose image has to fit
            into something: the short side of what it is fitted into; None: the model's own size.
        resampling: How pixels are weighed when resizing.
        fit: What becomes of an image of other proportions.

    Raises:
        OptionError: A number that makes no sense, or `resize_px` below the shorter side of the scene.

    Example:
        >>> frame = Frame((3, 224, 224), margin_px=(8, 8), resize_px=256)
        >>> frame.scene_px, frame.resized_px((500, 375)), frame.corner_px((341, 256))
        ((240, 240), (341, 256), (50, 8))
    """

    image_shape: tuple[int, int, int]
    margin_px: tuple[int, int] = (0, 0)
    resize_px: int | None = None
    resampling: Resampling = "bilinear"
    fit: Fit = CROP

    def __post_init__(self) -> None:
        check_options(self.image_shape, self.margin_px, self.resize_px, self.resampling)
        short = min(self.scene_px)
        if self.resize_px is not None and self.resize_px < short and self.fit.way != "letterbox":
            raise self._too_small(self.resize_px, short)

    @property
    def scene_px(self) -> tuple[int, int]:
        """(H + 2·my, W + 2·mx)."""
        (_, height, width), (my, mx) = self.image_shape, self.margin_px
        return height + 2 * my, width + 2 * mx

    @property
    def scene_shape(self) -> tuple[int, int, int]:
        """(C, H + 2·my, W + 2·mx)."""
        return self.image_shape[0], *self.scene_px

    def resized_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """(height, width) before the cut of an image of (height, width).

        Raises:
            OptionError: The scene does not fit into it, because `resize_px` is too small.
        """
        (height, width), (need_y, need_x) = size_px, self.scene_px
        if self.fit.way == "squash":
            return self._squashed_px()
        if self.fit.way == "letterbox":
            return self._inside_px(size_px)
        if self.resize_px is None:
            # The side that is scarcer becomes exactly what is needed; integers, so that the other one fits.
            if need_y * width >= need_x * height:
                return need_y, width * need_y // height
            return height * need_x // width, need_x
        short = min(size_px)
        resized = (self.resize_px * height // short, self.resize_px * width // short)
        lacks = max(
            math.ceil(self.resize_px * need / has) for need, has in zip(self.scene_px, resized, strict=True)
        )
        if lacks > self.resize_px:
            raise self._too_small(self.resize_px, lacks)
        return resized

    def _squashed_px(self) -> tuple[int, int]:
        if self.resize_px is None:
            return self.scene_px
        resized = self._in_proportion_px(self.resize_px)
        lacks = max(need - has for need, has in zip(self.scene_px, resized, strict=True))
        if lacks > 0:
            raise self._too_small(self.resize_px, self.resize_px + lacks)
        return resized

    def _inside_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """As large as it may be without leaving the model's size, or one in its proportions."""
        box = self._in_proportion_px(self.resize_px or min(self.image_shape[1:]))
        scale = min(most / has for most, has in zip(box, size_px, strict=True))
        height, width = (max(1, round(has * scale)) for has in size_px)
        return height, width

    def _in_proportion_px(self, short_px: int) -> tuple[int, int]:
        """The model's size with another short side."""
        height, width = self.image_shape[1:]
        short = min(height, width)
        return short_px * height // short, short_px * width // short

    def corner_px(self, resized_px: tuple[int, int]) -> tuple[int, int]:
        """(top, left) of the cut; below 0 where there are bars."""
        top, left = (
            # Half a pixel goes to the even side, as in torchvision: Python's round. Of an odd number of rows
            # in bars, the one more is below, and likewise to the right: as in torchvision and timm.
            (round((has - takes) / 2) if has >= takes else -((takes - has) // 2)) - margin
            for has, takes, margin in zip(resized_px, self.image_shape[1:], self.margin_px, strict=True)
        )
        return top, left

    def is_too_large(self, size_px: tuple[int, int]) -> bool:
        """Whether an image is so long and thin that resizing its short side fills the memory."""
        return math.prod(self.resized_px(size_px)) > MAX_PIXELS

    def changes(self, n_channels: int, size_px: tuple[int, int]) -> tuple[str, ...]:
        """What this does to a grey (1 channel) or RGB (3) image, apart from the cut, in words.

        Raises:
            DataError: The model takes neither grey nor RGB.
            OptionError: `resize_px` is too small for the scene.
        """
        if self.image_shape[0] not in MODES:
            raise DataError(
                "a model that takes images of 1 or 3 channels",
                f"one that takes {self.image_shape[0]}",
                fix="Give an .npz file with as many channels and the size that the model takes.",
            )
        resized = self.resized_px(size_px)
        squashed = self.fit.way == "squash" and resized[0] * size_px[1] != resized[1] * size_px[0]
        has_bars = any(has < shown for has, shown in zip(resized, self.scene_px, strict=True))
        return (
            *(["grey repeated to RGB"] if n_channels < self.image_shape[0] else []),
            *(["RGB to luma"] if n_channels > self.image_shape[0] else []),
            *(["enlarged"] if resized > size_px else []),
            *(["reduced in size"] if resized < size_px else []),
            *(["proportions changed"] if squashed else []),
            *(["bars added"] if has_bars else []),
        )

    def apply(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """uint8 (C, H + 2·my, W + 2·mx) of an image of mode L or RGB."""
        mode = MODES[self.image_shape[0]]
        image = image if image.mode == mode else image.convert(mode)
        height, width = self.resized_px((image.height, image.width))
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling[self.resampling.upper()])
        top, left = self.corner_px((height, width))
        scene_height, scene_width = self.scene_px
        fill = self.fit.fill if len(self.fit.fill) == len(mode) else self.fit.fill * len(mode)
        scene = Image.new(mode, (scene_width, scene_height), fill if len(mode) > 1 else fill[0])
        scene.paste(image, (-left, -top))
        pixels = np.asarray(scene)
        return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)

    def _too_small(self, resize_px: int, need_px: int) -> OptionError:
        (_, height, width), (my, mx) = self.image_shape, self.margin_px
        scene = f"{self.scene_px[0]} × {self.scene_px[1]} px"
        parts = f" ({height} × {width} with a margin of {my} and {mx})" if my or mx else ""
        return OptionError(
            f"`resize_px` of at least {need_px} for a scene of {scene}{parts}",
            f"{resize_px}, which is {need_px - resize_px} px too small",
            cause="There is no room for the shifts." if my or mx else "",
            fix=f"Resize to {need_px} px or more{', or shift less' if my or mx else ''}.",
        )


def check_options(
    image_shape: tuple[int, ...] | None, margin_px: tuple[int, ...], resize_px: int | None, resampling: Any
) -> None:
    """Raise `OptionError` for what can be no frame."""
    if image_shape is not None and not (len(image_shape) == 3 and min(image_shape) > 0):
        raise OptionError("an image shape (C, H, W) of positive integers", image_shape)
    if len(margin_px) != PAIR or min(margin_px) < 0:
        raise OptionError("a margin (my, mx) of 0 px or more", margin_px)
    if resize_px is not None and not 0 < resize_px**2 <= MAX_PIXELS:
        raise OptionError(f"`resize_px` from 1 to {math.isqrt(MAX_PIXELS)}", resize_px)
    if resampling not in get_args(Resampling):
        raise OptionError(f"a resampling among {', '.join(get_args(Resampling))}", repr(resampling))
