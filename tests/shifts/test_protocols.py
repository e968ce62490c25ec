"""Named protocols, families with numbers, and protocols of one's own in TOML."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftproof.errors import ConfigError, OptionError, UnknownNameError
from shiftproof.shifts import (
    BORDERS,
    Diagonal,
    IntegerBox,
    Law,
    Offsets,
    RelativeGrid,
    Ring,
    ShiftProtocol,
    extend,
    find_protocol,
    protocol_families,
    protocols,
    read_protocols,
    translate,
)

REFERENCES = [*protocols.names(), "grid:8", "box:3,4", "box:3,4,5", "ring:2", "diagonal:5", "zhang-crop",
              "zhang-crop:4", "circular:3", "sensitivity-map", "sensitivity-map:4"]  # fmt: skip


def draw(law: Law, n: int = 5, size_px: tuple[int, int] = (40, 60)) -> torch.Tensor:
    return law.draw(n, size_px, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_protocol_keeps_its_word(reference: str) -> None:
    protocol = find_protocol(reference)
    assert protocol.name == reference
    assert protocol.summary
    assert protocol.source
    offsets = protocol.draw(300, (40, 60), seed=3)
    assert offsets.shape[-1] == 2
    assert torch.equal(offsets, protocol.draw(300, (40, 60), seed=3))
    largest = offsets.reshape(-1, 2).abs().amax(0)
    reach = torch.tensor(protocol.law.reach_px((40, 60)))
    assert (largest <= reach).all(), "nothing goes beyond the reach"
    assert (largest > reach - 1).all(), "and something comes near it"


def test_families_are_listed_with_their_numbers() -> None:
    assert [family.usage for family in protocol_families][:2] == ["grid:RADIUS", "box:DY,DX[,DRAWS]"]
    assert find_protocol("box:3,4,5").summary == "5 whole offset(s) per image, up to 3 px in y and 4 px in x"


def test_convention_ring_and_diagonal() -> None:
    ring = draw(Ring(2))
    assert len(ring) == 16
    assert (ring.abs().amax(1) == 2).all()
    assert draw(Diagonal(1)).tolist() == [[-1, -1], [0, 0], [1, 1]]


def test_reference_engstrom_moves_by_three_pixels() -> None:
    """MadryLab's configuration for 28 and 32 px: five steps from −3 to 3 px in both axes."""
    for size in (28, 32):
        offsets = draw(RelativeGrid(0.1, 5), size_px=(size, size))
        assert sorted({dy for dy, _ in offsets.tolist()}) == [-3, -1.5, 0, 1.5, 3]
        assert len(offsets) == 25


def test_pairs_are_of_each_image_and_use_both_signs_alike() -> None:
    offsets = find_protocol("circular:3").draw(4000, (32, 32), seed=0)
    assert offsets.shape == (4000, 2, 2)
    values, counts = torch.unique(offsets, return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert (counts / counts.sum() - 1 / 7).abs().max() < 0.01


def test_another_border_is_another_name() -> None:
    assert find_protocol("grid:2", border="circular").name == "grid:2+circular"
    assert find_protocol("grid:2", border="zeros").name == "grid:2"


def test_a_protocol_refuses_what_the_operator_does_not_know() -> None:
    with pytest.raises(UnknownNameError, match=r"name of a border, got 'wrap'.* scene"):
        find_protocol("grid:2", border="wrap")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="name of an interpolation, got 'cubic'"):
        replace(find_protocol("grid:2"), interpolation="cubic")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="'circular' with interpolation 'fourier', got 'scene'"):
        find_protocol("half-pixel", border="scene")
    with pytest.raises(UnknownNameError, match="name of a border, got 'wrap'"):
        extend(torch.zeros(1, 1, 2, 2), (1, 1), "wrap")  # type: ignore[arg-type]


@pytest.mark.parametrize("reference", ["grid", "grid:", "grid:x", "grid:-1", "grid:1,2", "box:1", "grid:1.5"])
def test_wrong_numbers_are_refused(reference: str) -> None:
    with pytest.raises(OptionError, match=r"Expected (grid:RADIUS|box:DY,DX)"):
        find_protocol(reference)


def test_unknown_protocols_get_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'grid'"):
        find_protocol("gird:8")


@pytest.mark.parametrize("border", BORDERS)
@given(dy=st.integers(-3, 3), dx=st.integers(-2, 2))
def test_a_slice_of_the_extended_image_is_the_shifted_image(border: str, dy: int, dx: int) -> None:
    images = torch.rand(2, 1, 5, 4, generator=torch.Generator().manual_seed(0))
    canvas = extend(images, (3, 2), border)  # type: ignore[arg-type]
    window = canvas[:, :, 3 - dy : 8 - dy, 2 - dx : 6 - dx]
    assert torch.equal(window, translate(images, (dy, dx), border=border))  # type: ignore[arg-type]


# --- one's own -------------------------------------------------------------------------------------


def write(tmp_path: Path, text: str, name: str = "mine.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_protocols_of_ones_own(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [protocols.shake]
        law = "integer-box"
        dy = 1
        dx = 3
        n_draws = 4
        border = "edge"
        summary = "camera shake"
        [protocols.nudge]
        law = "offsets"
        offsets_px = [[0, 0.5], [1, 0]]
        border = "circular"
        interpolation = "fourier"
        """,
    )
    shake = find_protocol(f"{path}:shake")
    assert shake.law == IntegerBox(1, 3, 4)
    assert (shake.border, shake.summary) == ("edge", "camera shake")
    assert read_protocols(path)["nudge"].law == Offsets(((0, 0.5), (1, 0)))
    with pytest.raises(UnknownNameError, match=r"protocol in mine\.toml, got ''"):
        find_protocol(str(path))


def test_a_pyproject_holds_them_under_the_tool(tmp_path: Path) -> None:
    path = write(tmp_path, '[tool.shiftproof.protocols.mine]\nlaw = "grid"\nradius_px = 2', "pyproject.toml")
    assert isinstance(find_protocol(str(path)), ShiftProtocol)
    assert find_protocol(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"tables \[protocols.NAME\]"),
        ("[protocols", r"Cannot read .*\.toml as TOML"),
        ("[protocols]\na = 1", r"a table \[protocols.a\]"),
        ("[protocols.a]\nradius_px = 1", "name of a law, got 'None'"),
        ('[protocols.a]\nlaw = "gird"', "Did you mean 'grid'"),
        ('[protocols.a]\nlaw = "grid"', "radius_px: Field required"),
        ('[protocols.a]\nlaw = "grid"\nradius_px = -1', "a radius of at least 0 px"),
        ('[protocols.a]\nlaw = "grid"\nradius = 1', "Did you mean 'radius_px'"),
        ('[protocols.a]\nlaw = "grid"\nradius_px = 1\nborder = "wrap"', "name of a border, got 'wrap'"),
        ('[protocols.a]\nlaw = "grid"\nradius_px = 1\ninterpolation = "fourier"', "border 'circular'"),
        ('[protocols.a]\nlaw = "offsets"\noffsets_px = []', "at least one finite offset"),
    ],
)
def test_mistakes_in_a_file_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, OptionError, UnknownNameError), match=message):
        read_protocols(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read no\.toml as TOML: No such file"):
        find_protocol(f"{tmp_path / 'no.toml'}:a")
