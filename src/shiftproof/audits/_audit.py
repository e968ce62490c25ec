"""One call: how does a model's answer change when the image moves?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftproof._address import Address
from shiftproof._documents import read_json, unreadable
from shiftproof._files import write_atomically
from shiftproof._text import counted
from shiftproof.adapters import Classifier, Model
from shiftproof.audits._gates import (
    DEFAULT_MARGIN,
    check_gates,
    check_stopping,
    judged,
    no_worse,
    shared_protocols,
)
from shiftproof.audits._measure import AuditProgress, measure
from shiftproof.audits._noise import ask_again, check_noise, noise_record
from shiftproof.audits._plot import plot_response
from shiftproof.audits._question import DEFAULT_PROTOCOL, AuditOptions, AuditQuestion, ask
from shiftproof.audits._record import audit_record
from shiftproof.data import ImagesLike
from shiftproof.engine import Run, check_unit_file, files_of_run, open_run
from shiftproof.errors import DataError, GateError
from shiftproof.metrics import Estimate, Gate, NotApplicable, metrics, parse_gate
from shiftproof.probe import Response
from shiftproof.records import AuditRecord, MeasuredProtocolRecord, Outcome, read_record
from shiftproof.report import in_frame, report_html, write_html
from shiftproof.shifts import ShiftProtocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Audit:
    """What was measured, and what it means.

    Args:
        record: Everything that a report shows; `report.json` of a run.
        responses: What the model answered, by the name of the protocol.
    """

    record: AuditRecord
    responses: Mapping[str, Response]

    def __str__(self) -> str:
        return self.record.verdict

    def estimate(self, metric: str, *, protocol: str | None = None) -> Estimate | NotApplicable:
        """A metric with its interval, for a protocol; the first by default.

        Raises:
            UnknownNameError: No such metric.
            KeyError: No such protocol.
        """
        name = protocol or next(iter(self.responses))
        response = self.responses[name]
        return metrics.get(metric).estimate(response, confidence=self._confidence(name))

    def _confidence(self, protocol: str) -> float:
        """Of every number under a protocol."""
        part = next(part for part in self.record.protocols if part.name == protocol)
        found = (each.confidence for each in part.estimates.values() if isinstance(each, Estimate))
        return part.confidence or next(found)

    def plot(self, metric: str = "agreement", *, protocol: str | None = None) -> tuple[Figure, list[Axes]]:
        """Draw a metric by shift, radius, phase and class, as far as it has numbers there.

        Args:
            metric: Name of any metric.
            protocol: Name of a protocol; the first by default.

        Returns:
            The figure, and the axes that are in it, row by row.

        Raises:
            UnknownNameError: No such metric.
            KeyError: No such protocol.
            DataError: The metric has no number under this protocol.
            MissingDependencyError: matplotlib is not installed.
        """
        name = protocol or next(iter(self.responses))
        response = self.responses[name]
        about = f"{self.record.model.name} on {self.record.data.name}, {name}"
        return plot_response(
            metrics.get(metric),
            response,
            title=f"{about}, {counted(response.n_images, 'image')}",
            class_names=self.record.data.class_names,
            confidence=self._confidence(name),
        )

    def save_html(self, path: Path | str) -> Path:
        """Write the record as one HTML file that needs no network and nothing beside it.

        Raises:
            OutputError: The file cannot be written.
        """
        file = Path(path)
        write_atomically(file, report_html(self.record))
        return file

    def _repr_html_(self) -> str:
        """The same in a notebook, in a frame of its own."""
        return in_frame(report_html(self.record))

    @property
    def outcome(self) -> Outcome:
        """`pass`, `fail` or `inconclusive`: the gates together; `pass` without any."""
        return self.record.outcome

    def passed(self) -> bool:
        """Whether every gate passed."""
        return self.outcome == "pass"

    def raise_if_failed(self) -> None:
        """Nothing where every gate passed.

        Raises:
            GateError: A gate failed or could not be decided; says which, and what was measured.
        """
        for gate in self.record.gates:
            if gate.verdict != "pass":
                found = gate.measured
                raise GateError(
                    f"{gate.demand} under {gate.protocol}",
                    found.reason
                    if isinstance(found, NotApplicable)
                    else f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g}, "
                    f"n = {found.n_images:,} images): {gate.verdict}",
                )

    def to_json(self) -> str:
        """The record as text: sorted keys, so equal results are equal bytes."""
        return self.record.to_json()


def audit(
    model: str | Model | Classifier,
    images: ImagesLike,
    *,
    protocols: Sequence[str | ShiftProtocol] = (DEFAULT_PROTOCOL,),
    gates: Sequence[str | Gate] = (),
    baseline: Path | str | None = None,
    margin: float = DEFAULT_MARGIN,
    out: Path | str | None = None,
    **options: Any,
) -> Audit:
    """Measure how a model's answer changes when the image moves.

    Args:
        model: A module or function of images (N, C, H, W) in [0, 1] to logits (N, K); a reference such as
            `timm:resnet18` or `model.onnx`; or a `Classifier`.
        images: A folder or another reference; a loader or a dataset, of torch, torchvision or Hugging Face;
            an array (N, C, H, W) or (N, H, W, C), a list of images of Pillow or of paths, each alone or in a
            tuple with labels; or `LabelledImages`. Arrays are bytes, or numbers in [0, 1] that are not
            normalised: that belongs to the model.
        protocols: Which shifts; the first one is that of the headline.
        gates: Demands such as `agreement@4>=0.98`, judged on the interval.
        baseline: Run directory that this one must not be worse than, a folder or an address.
        margin: By how much it may be worse.
        out: Run directory, so that an interrupted audit goes on: a folder, or an address such as
            `s3://bucket/run`; by default nothing is left.
        options: The fields of `AuditOptions`: seed, precision, stop_when_decided, limit, device, reading, …

    Returns:
        The record, and the responses behind it.

    Raises:
        ShiftproofError: Whatever is wrong with the model, the images, or both together.

    Example:
        >>> from shiftproof.zoo import build_network
        >>> result = audit(build_network("cnn1"), "demo:mnist", protocols=["grid:1"], limit=50)
        >>> result.responses["grid:1"].n_shifts, result.passed()
        (9, True)
    """
    parsed = [parse_gate(gate) if isinstance(gate, str) else gate for gate in gates]
    earlier = load_audit(baseline) if baseline is not None else None
    question = ask(model, images, AuditOptions(protocols=tuple(protocols), **options))
    demands: dict[str, Any] = {"gates": parsed, "baseline": earlier, "margin": margin}
    if out is None:
        return run_audit(question, **demands)
    with open_run("audit", question.config(), out=out) as run:
        return run_audit(question, run=run, **demands)


def run_audit(
    question: AuditQuestion,
    *,
    run: Run | None = None,
    gates: Sequence[Gate] = (),
    baseline: Audit | None = None,
    margin: float = DEFAULT_MARGIN,
    on_progress: Callable[[AuditProgress], None] = lambda progress: None,
    check_stop: Callable[[], None] = lambda: None,
) -> Audit:
    """Measure what was asked, judge it, and write `report.json` where there is a run.

    Args:
        question: Model, images and settings.
        run: Where finished shards are kept and found again.
        gates: Demands.
        baseline: What it must not be worse than.
        margin: By how much it may be worse.
        on_progress: Called after each shard.
        check_stop: Called between batches; may raise `Stopped`.

    Raises:
        ConfigError: A gate on what is not measured.
        ComparisonError: A baseline with other protocols, images or shifts.
        ModelError: Answers change as much without a shift as under shifts, and that is not allowed.
    """
    check_gates(gates, question)
    if baseline is not None:  # said now, not after hours
        shared_protocols([protocol.name for protocol, _ in question.parts], list(baseline.responses))
    check_stopping(
        gates, stop_when_decided=question.options.stop_when_decided, has_baseline=baseline is not None
    )
    noise = ask_again(question, run, check_stop)
    measured = measure(question, gates=gates, run=run, on_progress=on_progress, check_stop=check_stop)
    for part in measured:
        check_noise(question, noise, part)
    responses = {part.protocol.name: part.response for part in measured}
    confidence = question.options.confidence
    results = judged(gates, responses, {part.protocol.name: part.confidence for part in measured})
    if baseline is not None:
        results += no_worse(responses, baseline.responses, margin=margin, confidence=confidence)
    record = audit_record(question, measured, noise_record(noise, confidence), results)
    if run is not None:
        run.write_report(record.to_json())
        write_html(run.folder, record)
    return Audit(record, responses)


def load_audit(where: Path | str | Address) -> Audit:
    """The audit in a run directory.

    Args:
        where: The directory, a folder or an address.

    Raises:
        DataError: Not the directory of a finished audit, or one with a shard that is not what was measured.
    """
    with files_of_run(where) as file:
        return _load(str(where), file)


def _load(where: str, file: Callable[[str], Path]) -> Audit:
    try:
        record = read_json(file("report.json"))
    except (OSError, ValueError) as error:
        raise DataError.cannot(
            f"read report.json of a finished audit in {where!r}", unreadable(error)
        ) from error
    saved = read_record(record, AuditRecord, f"the record of an audit in {where!r}")
    return Audit(saved, {part.name: _response(file, part) for part in saved.protocols})


def _response(file: Callable[[str], Path], part: MeasuredProtocolRecord) -> Response:
    """The shards of a protocol, each as it was measured, in the order of the images."""
    # Only the last part of a name is used: a record from elsewhere must not point anywhere else.
    files, end = [], 0
    for name in part.files:
        shard = _shard_file(file, f"units/{Path(name).name}")
        rows = check_unit_file(shard).get("rows")
        last = rows[-1] if isinstance(rows, list) else None
        if not isinstance(last, int) or rows != [end, last]:
            raise DataError(
                f"images from number {end} in {shard.name!r}",
                rows,
                cause="The record names its shards in another order.",
            )
        files.append(shard)
        end = last
    return Response.concatenate(files)


def _shard_file(file: Callable[[str], Path], name: str) -> Path:
    try:
        return file(name)
    except OSError as error:
        raise DataError.cannot(f"read the shard {name!r} of a run", unreadable(error)) from error
