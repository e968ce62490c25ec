"""Where something was computed."""

from __future__ import annotations

from shiftproof.records._base import Line, StrictRecord


class EnvironmentRecord(StrictRecord):
    """Versions and machine: on another one the last bits of a result may differ.

    Args:
        shiftproof, torch, python: Their versions.
        device: What computed, such as `cpu` or `cuda`.
        machine: Its processor and cores, and the accelerator if one was used.
    """

    shiftproof: Line
    torch: Line
    python: Line
    device: Line
    machine: Line
