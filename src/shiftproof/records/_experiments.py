"""What each experiment behind the claims found: the parts of their record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from shiftproof.records._base import Line, StrictRecord
from shiftproof.records._environment import EnvironmentRecord
from shiftproof.records._numbers import Estimate, Estimated
from shiftproof.records._study import StudyRecord

Faces = Literal["drawn", "photographed"]
# What was asked, as `config` of the whole has it: how much is trained is the experiment's own.
Settings = Mapping[Line, Any]


class MoveRecord(StrictRecord):
    """From how many positions a move leaves the pooled map as it was: exact counts, without an interval.

    Args:
        offset_px: (dy, dx).
        n_positions: All of them.
        n_same: Where the pooled map stays equal in every number.
        n_moved: Where it keeps its pattern, in the same or in other cells.
        n_expected: Where that of an isolated peak stays equal, by the law.
    """

    offset_px: tuple[int, int]
    n_positions: int
    n_same: int
    n_moved: int
    n_expected: int


class PoolingLawRecord(StrictRecord):
    """What max pools hide of the moves of one image; see `shiftproof.article.PoolingLaw`."""

    subject: Line
    n_pools: int
    window_px: int
    stride_px: int
    blocks: bool
    fires: bool
    moves: tuple[MoveRecord, ...]


class LetterRecord(StrictRecord):
    """Claims 4 to 6: with 1, 2, ... max pools, what they hide of a peak and of the letter C.

    `detector` fires at the letter alone. Ordinary filters stand by name: with one convolution before all
    pools, and with one before each; `inactive` are those that never fire.
    """

    settings: Settings
    peak: tuple[PoolingLawRecord, ...]
    detector: tuple[PoolingLawRecord, ...]
    in_a_row: Mapping[Line, tuple[PoolingLawRecord, ...]]
    in_blocks: Mapping[Line, tuple[PoolingLawRecord, ...]]
    inactive: tuple[Line, ...]


class StepMemory(StrictRecord):
    """Bytes that a training step holds when its forward pass is done.

    Args:
        weights: All parameters.
        gradients: As many again.
        moments: Adam's two for each parameter, and its counters of steps.
        kept: Everything that the forward pass keeps for the backward pass, the images included, each
            piece of memory once.
        total: All of it.
    """

    weights: int
    gradients: int
    moments: int
    kept: int
    total: int


class CurvesRecord(StrictRecord):
    """Share of images that are right, in [0, 1], before training and after each epoch, over all seeds."""

    train: tuple[float, ...]
    test: tuple[float, ...]


class SharingNetworkRecord(StrictRecord):
    """What one network costs, how fast it learns, and how far it overfits.

    Args:
        n_parameters: Numbers that it learns.
        multiply_adds: Of one image.
        memory_bytes: Of one training step.
        map_px: (height, width) of its maps after the last convolution or pool; None without maps.
        train: Share of training images that are right after the last epoch.
        test: The same of test images.
        gap: The first minus the second.
        epochs_to_goal: Until the test accuracy of the settings; all of them where it is not reached.
        reached: Whether it is.
        epoch_s: Seconds of an epoch; None where they were not measured.
        curves: Learning curves.
    """

    n_parameters: int
    multiply_adds: int
    memory_bytes: StepMemory
    map_px: tuple[int, int] | None
    train: Estimate
    test: Estimate
    gap: Estimated
    epochs_to_goal: float
    reached: bool
    epoch_s: Estimate | None
    curves: CurvesRecord


class SharingRecord(StrictRecord):
    """Claims 1 and 10: what weight sharing and pooling save, by network; times are of `environment`."""

    settings: Settings
    environment: EnvironmentRecord
    networks: Mapping[Line, SharingNetworkRecord]


class TransferArmRecord(StrictRecord):
    """Training on one task with some layers copied.

    Args:
        n_copied: How many, from the first.
        frozen: Whether they are kept as they were.
        accuracy: Share of test images that are right after the last epoch.
        change: The same minus that from scratch.
        steps: Until the goal of the task; all of them where it is not reached.
        reached: Whether it is.
        head_start: Steps from scratch minus these.
        curve: Share of test images that are right before training and after each epoch.
    """

    n_copied: int
    frozen: bool
    accuracy: Estimate
    change: Estimated
    steps: float
    reached: bool
    head_start: Estimate
    curve: tuple[float, ...]


class TransferTaskRecord(StrictRecord):
    """One task: how far from the base, the accuracy to reach, and what copies come to.

    Args:
        name: Of the task.
        distance: Fréchet distance of its windows to those of the base.
        n_transferable: The most layers that can be copied and frozen at a cost of at most 1 point.
        goal: Accuracy to which steps are counted, in [0, 1].
        arms: From scratch, then each number of layers, frozen and tuned further.
    """

    name: Line
    distance: float
    n_transferable: int
    goal: float
    arms: tuple[TransferArmRecord, ...]


class CorrelationRecord(StrictRecord):
    """Kendall's τ-b of similar tasks and layers that transfer: by our order, and by the distance measured."""

    our_order: Estimated
    measured: Estimated


class TransferRecord(StrictRecord):
    """Claim 2: what training with copied layers came to; `left_out` says why a task is not there."""

    settings: Settings
    layers: tuple[Line, ...]
    left_out: Mapping[Line, Line]
    tasks: tuple[TransferTaskRecord, ...]
    correlation: CorrelationRecord


class DetectorRecord(StrictRecord):
    """Which share of images one network takes for faces: by kind, and of all that show none together."""

    network: Line
    images: Faces
    taken_for_face: Mapping[Line, Estimate]
    others_taken_for_face: Estimate


class ScrambledRecord(StrictRecord):
    """Claims 9 and 12: what detectors take for faces that never saw a scrambled one."""

    settings: Settings
    detectors: tuple[DetectorRecord, ...]


class ExperimentsRecord(StrictRecord):
    """What each experiment gave, by its name; without those that failed."""

    letter: LetterRecord | None = None
    article: StudyRecord | None = None
    alternatives: StudyRecord | None = None
    sharing: SharingRecord | None = None
    transfer: TransferRecord | None = None
    scrambled: ScrambledRecord | None = None
