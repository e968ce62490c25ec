"""EfficientNet-Lite0 on photographs: what explain, audit and certify say of one network that people ship.

Usage: python -m benchmarks.lite0
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.photographs import efficientnet_lite0, photographs

from shiftproof import audit
from shiftproof.certify import certify
from shiftproof.explain import explain

RESULTS = Path(__file__).parent / "results"
PROTOCOL = "grid:4"


def main() -> None:
    classifier, images = efficientnet_lite0(), photographs()
    found = explain(classifier, images, n_shifts=4, n_remedies=3, on_step=print)
    (RESULTS / "explain-lite0.json").write_text(found.to_json())
    (RESULTS / "explain-lite0.svg").write_bytes(_figure(found))
    audited = audit(classifier, images, protocols=[PROTOCOL], device="cpu").record.protocols[0].estimates
    certified = certify(classifier, (3, 224, 224), n_images=1, n_moves=4)
    record = {
        "protocol": PROTOCOL,
        "audit": {name: asdict(audited[name]) for name in ("agreement", "drift")},
        "certificate": certified.headline,
    }
    (RESULTS / "lite0.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _figure(found: object) -> bytes:
    from shiftproof._figures import image_bytes
    from shiftproof.explain import Explanation

    assert isinstance(found, Explanation)
    return image_bytes(found.plot()[0])


if __name__ == "__main__":
    main()
