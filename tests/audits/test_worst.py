"""What a record says of single images: which change where, and how they look before and after."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from shiftproof.audits import Audit, audit
from shiftproof.audits._pictures import LARGEST_PX, picture


class LeftOrRight(nn.Module):
    """Which half of the image is brighter: moving a bar across the middle changes it."""

    def forward(self, images: Tensor) -> Tensor:
        half = images.shape[-1] // 2
        return torch.stack([images[..., :half].sum((1, 2, 3)), images[..., half:].sum((1, 2, 3))], 1)


def bars(n: int, *, channels: int = 1) -> np.ndarray[Any, Any]:
    """A bright column at another place in each image of 8 × 8 px, in turn."""
    images = np.zeros((n, channels, 8, 8), np.uint8)
    for index in range(n):
        images[index, :, 2:6, index % 8] = 200 + index % 56
    return images


def decoded(address: str) -> np.ndarray[Any, Any]:
    kind, _, content = address.partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def audited(images: np.ndarray[Any, Any], **options: Any) -> Audit:
    return audit(LeftOrRight(), images, protocols=["grid:2"], **options)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_the_image_and_the_image_moved(channels: int) -> None:
    images = bars(8, channels=channels)
    worst = audited(images).record.protocols[0].worst
    assert len(worst) >= 2
    for each in worst:
        dy, dx = (int(end) for end in each.flip_offset_px)
        shown = images[each.index].transpose(1, 2, 0).squeeze()
        # The border is black: roll, and nothing of these bars comes in from the other side.
        padded = np.pad(images[each.index], ((0, 0), (2, 2), (2, 2)))
        moved = padded[:, 2 - dy : 10 - dy, 2 - dx : 10 - dx].transpose(1, 2, 0).squeeze()
        np.testing.assert_array_equal(decoded(each.before), shown)
        np.testing.assert_array_equal(decoded(each.after), moved)


def test_a_scene_is_shown_as_the_window_that_the_model_sees() -> None:
    images = bars(8)
    (part,) = audit(LeftOrRight(), images, protocols=["grid:2"], border="scene").record.protocols
    for each in part.worst:
        dy, dx = (int(end) for end in each.flip_offset_px)
        scene = images[each.index, 0]
        np.testing.assert_array_equal(decoded(each.before), scene[2:6, 2:6])
        np.testing.assert_array_equal(decoded(each.after), scene[2 - dy : 6 - dy, 2 - dx : 6 - dx])
    assert part.worst


def test_a_large_picture_is_made_small() -> None:
    large = torch.rand(3, 400, 300, generator=torch.Generator().manual_seed(0))
    address = picture(large)
    assert decoded(address).shape == (LARGEST_PX, LARGEST_PX * 3 // 4, 3)
    assert len(address) < 40_000


def test_pictures_can_be_left_out() -> None:
    record = audited(bars(8), pictures=False).to_json()
    assert '"worst"' in record
    assert '"before"' not in record
    assert "data:image" not in record


def test_images_of_other_kinds_have_no_pictures() -> None:
    worst = audited(bars(8, channels=2)).record.protocols[0].worst
    assert [each.before for each in worst] == [""] * len(worst)


def test_what_changes_where_is_what_the_answers_say() -> None:
    done = audited(bars(8))
    part = done.record.protocols[0]
    response = done.responses["grid:2"]
    order = [each.index for each in part.worst]
    found = {each.at: each for each in part.changed}
    for shift, (dy, dx) in enumerate(response.offsets_px.tolist()):
        changed = [
            image
            for image in order
            if (dy, dx) != (0, 0) and response.predicted[image, shift] != response.unshifted_predicted[image]
        ]
        if not changed:
            assert (dy, dx) not in found
            continue
        each = found[dy, dx]
        assert each.n_images == len(changed)
        assert list(each.examples) == [(image, response.predicted[image, shift]) for image in changed[:6]]
        for image, _ in each.examples:
            about = part.changed_images[str(image)]
            assert about.unshifted == response.unshifted_predicted[image]
            assert about.name.endswith(f"[{image}]")


def test_shifts_of_each_image_have_no_places_in_common() -> None:
    done = audit(LeftOrRight(), bars(8), protocols=["box:2,2,4"])
    assert not done.record.protocols[0].changed
    assert '"changed"' not in done.to_json()
    assert "No plane: " in done._repr_html_()
