"""Small networks from the code of torchvision and timm: the real `forward`, few channels, small images."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from _pytest.mark import ParameterSet
from torch import Tensor, nn

from shiftproof.zoo import build_network

N_CLASSES = 5


class CalledPools(nn.Module):
    """Pools as functions, as in many scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16 * 2 * 2, N_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.max_pool2d(F.relu(self.conv1(images)), 2)
        maps = F.avg_pool2d(F.relu(self.conv2(maps)), 2)
        logits: Tensor = self.head(F.dropout(torch.flatten(maps, 1), training=self.training))
        return logits


class Unreadable(nn.Module):
    """Decides by the numbers of its maps, which torch.fx cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.MaxPool2d(2)
        self.head = nn.Linear(8, N_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.pool(self.conv(images))
        if bool(maps.mean() > 1e6):
            maps = -maps
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


def small() -> nn.Module:
    """A layer for every edit of convolutional networks."""
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 16, 3, padding=1),
            norm=nn.BatchNorm2d(16),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(16, 16, 3, stride=2, padding=1),
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(2),
            flatten=nn.Flatten(),
            head=nn.Linear(16 * 4 * 4, N_CLASSES),
        )
    ).eval()


def growing() -> nn.Module:
    """Takes maps of any size, as full padding makes them."""
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 8, 3, padding=1)
    return nn.Sequential(stem, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()


def torchvision(name: str, **arguments: Any) -> nn.Module:
    models = importlib.import_module("torchvision.models")
    network: nn.Module = getattr(models, name)(num_classes=N_CLASSES, **arguments)
    return network


def timm(name: str, **arguments: Any) -> nn.Module:
    library = importlib.import_module("timm")
    network: nn.Module = library.create_model(name, num_classes=N_CLASSES, **arguments)
    return network


def vgg() -> nn.Module:
    module = importlib.import_module("torchvision.models.vgg")
    features = module.make_layers([8, "M", 16, "M", 16, 16, "M"], batch_norm=True)
    network: nn.Module = module.VGG(features, num_classes=N_CLASSES)
    network.avgpool, network.classifier = nn.AdaptiveAvgPool2d(4), nn.Sequential(nn.Linear(256, N_CLASSES))
    return network


def timm_vgg() -> nn.Module:
    module = importlib.import_module("timm.models.vgg")
    network: nn.Module = module.VGG(
        [8, "M", 16, "M", 16, 16, "M"], N_CLASSES, mlp_ratio=0.01, norm_layer=nn.BatchNorm2d
    )
    return network


def convnext() -> nn.Module:
    module = importlib.import_module("torchvision.models.convnext")
    setting = module.CNBlockConfig
    blocks = [setting(8, 16, 1), setting(16, None, 1)]
    network: nn.Module = module.ConvNeXt(blocks, num_classes=N_CLASSES)
    return network


def vit() -> nn.Module:
    module = importlib.import_module("torchvision.models.vision_transformer")
    network: nn.Module = module.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=N_CLASSES)
    head: Any = network.get_submodule("heads.head")
    nn.init.normal_(head.weight)  # It starts at zero.
    return network


def swin() -> nn.Module:
    module = importlib.import_module("torchvision.models.swin_transformer")
    network: nn.Module = module.SwinTransformer([4, 4], 8, [2, 2], [2, 2], [4, 4], num_classes=N_CLASSES)
    return network


class Logits(nn.Module):
    """A model of transformers that answers with its logits alone, as it is loaded."""

    def __init__(self, kind: str, **settings: Any) -> None:
        super().__init__()
        library: Any = pytest.importorskip("transformers")
        config = getattr(library, f"{kind}Config")(num_labels=N_CLASSES, **settings)
        self.model: Any = getattr(library, f"{kind}ForImageClassification")(config)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=images).logits
        return logits


Build = Callable[[], nn.Module]
CONVOLUTIONAL: dict[str, Build] = {
    "functions": CalledPools,
    "torchvision:resnet18": partial(torchvision, "resnet18"),
    "torchvision:mobilenet_v2": partial(torchvision, "mobilenet_v2", width_mult=0.25),
    "torchvision:mobilenet_v3": partial(torchvision, "mobilenet_v3_small", width_mult=0.25),
    "torchvision:efficientnet": partial(torchvision, "efficientnet_b0"),
    "torchvision:densenet": partial(
        torchvision, "DenseNet", growth_rate=4, block_config=(1, 2, 2), num_init_features=8
    ),
    "torchvision:vgg": vgg,
    "torchvision:convnext": convnext,
    "timm:vgg": timm_vgg,
    "timm:resnet": partial(timm, "resnet18", channels=(8, 16, 16, 16)),
    "timm:resnet-d": partial(timm, "resnet26d", channels=(8, 16, 16, 16)),
    "timm:mobilenetv2": partial(timm, "mobilenetv2_035"),
    "timm:mobilenetv3": partial(timm, "mobilenetv3_small_050"),
    "timm:efficientnet-same": partial(timm, "tf_efficientnet_lite0"),
    "timm:convnext": partial(timm, "convnext_atto", depths=(1, 1, 1, 1), dims=(8, 16, 16, 16)),
    "timm:densenet": partial(timm, "densenet121", growth_rate=4, block_config=(1, 1, 1, 1)),
    "hf:resnet": partial(
        Logits, "ResNet", embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    ),
    "hf:convnext": partial(Logits, "ConvNext", hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1]),
}
PATCHES: dict[str, Build] = {
    "torchvision:vit": vit,
    "torchvision:swin": swin,
    "timm:vit": partial(
        timm, "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2
    ),
    "timm:swin": partial(
        timm,
        "swin_tiny_patch4_window7_224",
        img_size=32,
        window_size=4,
        embed_dim=8,
        depths=(1, 1),
        num_heads=(1, 2),
    ),
}
# Large, or of the same code as another one: among the slow tests.
SLOW = {
    "torchvision:resnet18",
    "torchvision:efficientnet",
    "torchvision:mobilenet_v3",
    "torchvision:swin",
    "timm:efficientnet-same",
    "timm:mobilenetv2",
    "timm:mobilenetv3",
    "timm:resnet-d",
    "timm:densenet",
    "timm:convnext",
    "timm:vit",
    "hf:resnet",
    "hf:convnext",
    "all-cnn",
    "resnet20",
}
ZOO = ("cnn2", "strided-cnn", "all-cnn", "resnet20", "cnn2-gap")


def images_for(name: str, n: int = 2) -> Tensor:
    """Noise of the size that the network takes."""
    generator = torch.Generator().manual_seed(1)
    if name in ZOO:
        return torch.rand(n, 1, 28, 28, generator=generator)
    px = 16 if name == "functions" else 32 if name in PATCHES else 64
    return torch.rand(n, 3, px, px, generator=generator)


def marked(names: Iterable[str]) -> list[ParameterSet]:
    """Names as parameters of a test; the slow ones marked as such."""
    return [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in names]


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name in ZOO:
        return build_network(name).eval()
    return (CONVOLUTIONAL | PATCHES)[name]().eval()
