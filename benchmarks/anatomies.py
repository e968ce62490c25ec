"""Of which architectures of timm, torchvision and transformers the steps can be read, and how.

Usage: python -m benchmarks.anatomies [--only NAME …] [--out FILE]

With random weights, at the size that each is made for. Traced is what torch.fx follows; what it does not is
recorded while it runs. A network is placed whole where it is known of every step where its positions lie.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import Counter
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tests.torchvision_for_cpus import torchvision_beside_torch_for_cpus
from torch import Tensor, nn

from shiftproof._device import describe_machine
from shiftproof._optional import require
from shiftproof.anatomy import Reason, locate, read_network

RESULT = Path(__file__).parent / "results" / "anatomies.json"
# torchvision's classifiers, one of each family.
TORCHVISION = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf",
    "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32",
)  # fmt: skip
# The smallest of each family of timm that people download most.
TIMM = (
    "beit_base_patch16_224", "cait_xxs24_224", "coat_tiny", "coatnet_pico_rw_224", "convmixer_768_32",
    "convnext_atto", "convnextv2_atto", "crossvit_tiny_240", "deit_tiny_patch16_224", "dm_nfnet_f0",
    "edgenext_xx_small", "efficientformer_l1", "efficientnet_lite0", "eva02_tiny_patch14_224",
    "fastvit_t8", "gcvit_xxtiny", "ghostnet_050", "hrnet_w18_small", "inception_v4", "levit_128s",
    "mixer_s32_224", "mobilenetv4_conv_small", "mobileone_s0", "mobilevit_xxs", "poolformer_s12",
    "pvt_v2_b0", "regnetx_002", "repvgg_a0", "resnet10t", "resnetv2_50x1_bit", "sequencer2d_s",
    "swin_tiny_patch4_window7_224", "tf_efficientnet_b0", "tf_efficientnet_lite0",
    "tf_mobilenetv3_small_100", "tiny_vit_5m_224", "tnt_s_legacy_patch16_224", "twins_svt_small",
    "vit_tiny_patch16_224", "volo_d1_224", "xception41", "xcit_nano_12_p16_224",
)  # fmt: skip
# Classes of transformers, with what makes their default configuration small enough.
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "Beit": {"num_hidden_layers": 3},
    "ConvNext": {"depths": [1, 1, 2, 1]},
    "ConvNextV2": {"depths": [1, 1, 2, 1]},
    "Dinov2": {"num_hidden_layers": 3},
    "MobileNetV2": {},
    "MobileViT": {},
    "PoolFormer": {"depths": [1, 1, 2, 1]},
    "RegNet": {"depths": [1, 1, 2, 1]},
    "ResNet": {"depths": [1, 1, 2, 1]},
    "Swin": {"depths": [1, 1, 2, 1]},
    "ViT": {"num_hidden_layers": 3},
}
OTHERS = ("efficientnet-lite0",)


class _Logits(nn.Module):
    """A model of transformers, by its logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images).logits
        return logits


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    operators = torchvision_beside_torch_for_cpus()
    everything = [
        *(f"torchvision:{name}" for name in TORCHVISION),
        *(f"timm:{name}" for name in TIMM),
        *(f"transformers:{name}" for name in TRANSFORMERS),
        *OTHERS,
    ]
    rows: list[dict[str, Any]] = []
    for reference in args.only or everything:
        rows.append(row(reference))
        print(json.dumps(rows[-1]), flush=True)
        report = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": describe_machine(torch.device("cpu")),
            "versions": {name: version(name) for name in ("timm", "torch", "torchvision", "transformers")},
            "counts": counts(rows),
            "rows": rows,
        }
        args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    del operators


def counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many there are of each kind."""
    how = Counter(row["how"] for row in rows)
    return {
        "architectures": len(rows),
        "traced": how["traced"],
        "recorded": how["recorded"],
        "whole": sum(row.get("n_unknown") == 0 for row in rows),
        "whole_by_trace": sum(row.get("n_unknown") == 0 and row["how"] == "traced" for row in rows),
    }


def row(reference: str) -> dict[str, Any]:
    """How a network is read, and which of its steps are not placed."""
    network, size_px = built(reference)
    start = time.process_time()
    steps = read_network(network.eval(), (3, size_px, size_px), any_answer=False)
    found: dict[str, Any] = {"network": reference, "size_px": size_px}
    if isinstance(steps, Reason):
        return found | {"how": "not", "because": str(steps)}
    found["seconds"] = round(time.process_time() - start, 1)
    unknown = [where for where in locate(steps).values() if isinstance(where, Reason)]
    recorded = steps.trace.recorded
    found |= {"how": "recorded" if recorded else "traced", "n_steps": len(steps.steps)}
    found |= {"n_unknown": len(unknown)} | ({"first_unknown": str(unknown[0])} if unknown else {})
    return found | ({"not_traced_because": str(recorded)} if recorded else {})


def built(reference: str) -> tuple[nn.Module, int]:
    """A network with random weights, and the height and width of its images."""
    library, _, name = reference.partition(":")
    if library == "torchvision":
        models = require("torchvision.models", extra="vision", purpose="its networks")
        sizes = {"inception_v3": 299, "swin_v2_t": 256}
        kwargs = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return getattr(models, name)(weights=None, **kwargs), sizes.get(name, 224)
    if library == "timm":
        network = require("timm", extra="vision", purpose="its networks").create_model(name, pretrained=False)
        return network, network.default_cfg["input_size"][-1]
    if library == "transformers":
        models = import_module("transformers")
        config = getattr(models, f"{name}Config")(**TRANSFORMERS[name])
        return _Logits(
            getattr(models, f"{name}ForImageClassification")(config)
        ), 256 if name == "MobileViT" else 224
    from benchmarks.photographs import efficientnet_lite0  # It reads photographs, which are not needed here.

    pipeline = efficientnet_lite0().pipeline
    assert pipeline is not None
    return pipeline, 224


if __name__ == "__main__":
    main()
