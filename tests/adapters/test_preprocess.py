"""Numbers and sizes on the way into a model: what they do, and which cannot be."""

from __future__ import annotations

import pytest
import torch

from shiftproof.adapters import Classifier, Framing, Preprocess
from shiftproof.data import Fit
from shiftproof.dense import NotPlanned, plan_windows
from shiftproof.errors import OptionError


def test_convention_scale_then_mean_then_std() -> None:
    image = torch.tensor([[[[0.0]], [[0.5]], [[1.0]]]])
    answer = Preprocess(scale=2, mean=(1, 0, 1), std=(2, 4, 0.5))(image)
    assert answer.flatten().tolist() == [-0.5, 0.25, 2.0]


def test_convention_bgr_is_before_mean_and_std() -> None:
    """As Keras' "caffe" mode: reversed, then less (103.939, 116.779, 123.68) for blue, green, red."""
    image = torch.tensor([[[[0.1]], [[0.2]], [[0.3]]]])
    answer = Preprocess(scale=10, mean=(1, 0, 0), std=(1, 1, 2), bgr=True)(image)
    torch.testing.assert_close(answer.flatten(), torch.tensor([2.0, 2.0, 0.5]))
    assert Preprocess(bgr=True).describe() == "BGR"
    assert not Preprocess(bgr=True).is_identity
    with pytest.raises(OptionError, match="images of 3 channels for --bgr, got 1 channel"):
        Classifier("m", torch.nn.Flatten(), Preprocess(bgr=True), Framing((1, 4, 4)))


def test_reversing_the_channels_rounds_nothing() -> None:
    images = torch.rand(5, 3, 9, 11)
    assert torch.equal(Preprocess(bgr=True)(images), images.flip(1))


def test_a_network_that_takes_bgr_is_still_read() -> None:
    """All shifts at once, and what is proved: both know the step that reverses the channels."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    pipeline = Classifier("m", network.eval(), Preprocess(bgr=True, mean=(0.1, 0.2, 0.3))).pipeline
    assert pipeline is not None
    assert not isinstance(plan_windows(pipeline, (3, 9, 9)), NotPlanned)


def test_convention_channels_last_is_rows_columns_channels() -> None:
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    answer = Preprocess(channels_last=True)(image)
    assert answer.shape == (1, 3, 4, 2)
    assert answer[0, 2, 3].tolist() == [11, 23]


@pytest.mark.parametrize(
    "options",
    [
        {"std": (1.0, 0.0)},
        {"std": (-1.0,)},
        {"scale": 0.0},
        {"scale": float("inf")},
        {"mean": (float("nan"),)},
        {"mean": ()},
    ],
    ids=str,
)
def test_numbers_that_cannot_be(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=r"Expected (finite numbers as|a) (mean|std|scale)"):
        Preprocess(**options)  # type: ignore[arg-type]


def test_a_mean_never_makes_three_channels_out_of_one() -> None:
    three = Preprocess(mean=(0.1, 0.2, 0.3), std=(1, 1, 1))
    with pytest.raises(OptionError, match=r"a mean of 1 number, got 3 numbers. The images have 1 channel"):
        Classifier("m", torch.nn.Flatten(), three, Framing((1, 4, 4)))
    with pytest.raises(OptionError, match=r"a mean of 1 number or of 2"):
        Classifier("m", torch.nn.Flatten(), three)(torch.zeros(1, 2, 4, 4))
    assert Classifier("m", torch.nn.Flatten(), three)(torch.zeros(1, 3, 1, 1)).shape == (1, 3)


def test_replacing_one_number_keeps_the_others() -> None:
    source = Preprocess(scale=255, mean=(1, 2, 3), std=(4, 5, 6), channels_last=True)
    image = torch.rand(2, 3, 4, 5)
    assert torch.equal(source.replaced()(image), source(image))
    changed = source.replaced(mean=(0,), channels_last=False)
    assert torch.equal(changed(image), image * 255 / torch.tensor([4.0, 5, 6]).reshape(1, 3, 1, 1))
    assert not Preprocess(scale=2).is_identity
    assert Preprocess(scale=2).replaced(scale=1).is_identity


@pytest.mark.parametrize("shape", [(3, 0, 4), (3, 4), (3.0, 4, 4), (-1, 4, 4)], ids=str)
def test_image_shapes_that_cannot_be(shape: tuple[int, int, int]) -> None:
    with pytest.raises(OptionError, match=r"an image shape \(C, H, W\) of positive integers"):
        Framing(shape)


def test_the_report_says_how_images_are_fitted() -> None:
    shape = (3, 32, 32)
    assert Framing(shape, fit=Fit("squash")).describe() == "squash (bilinear), centre 32 × 32, 3 channels"
    assert Framing(shape, fit=Fit("letterbox", (114,))).describe().startswith("letterbox on 114 (bilinear), ")
    assert (
        Framing(shape, 20, fit=Fit("letterbox")).describe().startswith("letterbox on 0, short side of 20 px")
    )
    with pytest.raises(OptionError, match="a size to squash images to, got none"):
        Framing(fit=Fit("squash"))


def test_the_cut_fits_into_the_resized_image() -> None:
    assert Framing((3, 32, 32), 32).resize_px == 32
    with pytest.raises(OptionError, match="a short side of at least 32 px, got 31"):
        Framing((3, 32, 32), 31)
    with pytest.raises(OptionError, match="a short side of at least 1 px, got 0"):
        Framing(None, 0)
