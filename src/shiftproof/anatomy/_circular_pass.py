"""One pass over a network for one group of rolls; the law and its proof are in `_circular.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from torch import fx

from shiftproof.anatomy._circular_facts import Choice, Chosen, Fact, Rolls, Turn
from shiftproof.anatomy._circular_group import Group, pair_of
from shiftproof.anatomy._network import Step
from shiftproof.anatomy._operations import (
    AXES,
    Adaptive,
    AliasFree,
    Axis,
    Choose,
    Flatten,
    Function,
    Input,
    LowPass,
    Normalise,
    Operation,
    Pair,
    Pointwise,
    PositionGrid,
    Reduce,
    Slide,
    Spectrum,
    Take,
    Unknown,
    Unpool,
    Upsample,
)  # fmt: skip
from shiftproof.anatomy._reasons import NoLaw, Reason, times, why_no_law

# Why nothing is known of a step, and multiples of so many pixels to try next.
Stop = tuple[Reason, Pair]


class Walk:
    """One pass.

    Args:
        group: Of the images' rolls.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.facts: dict[fx.Node, Fact] = {}
        self._layer = ""

    def run(self, steps: Sequence[Step]) -> Stop | None:
        """Why it ends and what to try next, or None where it reaches the answer."""
        stops = (self.follow(step, is_answer=step is steps[-1]) for step in steps)
        return next((stop for stop in stops if stop is not None), None)

    def follow(self, step: Step, *, is_answer: bool = False) -> Stop | None:
        """Note what is known of a step, of whose inputs that is known; or say why nothing is."""
        self._layer = step.layer
        try:
            fact = self._after(step)
            if is_answer:
                self._check_answer(fact, step.grid)
        except NoLaw as lost:
            return Reason(step.layer, lost.text), lost.step_px or self.group.image_px
        self.facts[step.node] = fact
        return None

    def _check_answer(self, fact: Fact, grid: PositionGrid | None) -> None:
        """An answer stays, or is maps that roll by a known number of positions."""
        if isinstance(fact, Chosen):
            raise NoLaw("The answer is which positions a layer has chosen.")
        if fact is None or fact.stays:
            return
        if grid is not None and grid.lead:
            raise NoLaw("The answer is maps that stand beside something else.")
        if fact.choice is not None:
            raise NoLaw("The answer is maps whose place the image chooses.", fact.choice.known_px)
        if not fact.is_whole:
            raise NoLaw(
                "The answer is maps that move by fractions of a position.", self.group.whole_px([fact])
            )
        if any(turn.length != turn.period for turn in fact.turns):
            raise NoLaw("The answer is maps with a circular border.")

    def _after(self, step: Step) -> Fact:
        first, *others = step.operations
        facts = [self.facts[source] for source in step.inputs]
        fact = self._first(first, facts, step)
        for operation in others:
            fact = self._alone(operation, fact)
        return None if isinstance(fact, Rolls) and fact.stays and step.grid is None else fact

    def _first(self, operation: Operation, facts: list[Fact], step: Step) -> Fact:
        match operation:
            case Input():
                turns = [
                    Turn(size, size, Fraction(px))
                    for size, px in zip(self.group.image_px, self.group.step_px, strict=True)
                ]
                return Rolls((turns[0], turns[1]))
            case Function():
                return self._function(facts)
            case Pointwise():
                return self._together(operation, facts)
            case Choose():
                return self._choose(operation, facts, step.inputs)
            case Take():
                return self._take(operation, facts, step.inputs)
            case Unpool():
                return self._unpool(operation, facts)
            case Unknown() if len(facts) > 1:
                raise NoLaw(operation.reason)
        return self._alone(operation, facts[0])

    def _alone(self, operation: Operation, fact: Fact) -> Fact:
        """A step of one input."""
        if isinstance(fact, Chosen):
            raise NoLaw("It reads which positions a layer has chosen.", self.group.known_px(fact.choice))
        if fact is None:  # A function of what stays.
            return None
        rule = _RULES.get(type(operation))
        if rule is not None:
            return rule(self, operation, fact)
        if fact.stays:
            return None
        raise NoLaw(why_no_law(operation))

    def _function(self, facts: list[Fact]) -> Fact:
        for fact in facts:
            if isinstance(fact, Chosen) and fact.choice is not None:
                raise NoLaw("It reads which positions a layer has chosen.", fact.choice.known_px)
            if isinstance(fact, Rolls) and not fact.stays:
                raise NoLaw("What it does to positions is not known here.")
        return None

    def _together(self, operation: Pointwise, facts: list[Fact]) -> Fact:
        """Maps at the same place: all have to roll alike."""
        moving = [fact for fact in facts if isinstance(fact, Rolls)]
        if any(isinstance(fact, Chosen) and fact.choice is not None for fact in facts):
            raise NoLaw("It reads which positions a layer has chosen.")
        if not moving:
            return None
        if not operation.linear and not all(fact.is_whole for fact in moving):
            raise NoLaw(
                "Its maps move by fractions of a position, and a function of each number is not linear.",
                self.group.whole_px(moving),
            )
        choices = {id(fact.choice): fact.choice for fact in moving if not fact.stays}
        if len(choices) > 1:
            raise NoLaw(
                "The branches that meet here choose their positions each on its own.",
                self.group.known_px(*choices.values()),
            )
        choice = next(iter(choices.values()), None)
        return Rolls((self._turn(moving, 0), self._turn(moving, 1)), choice)

    def _turn(self, moving: list[Rolls], axis: Axis) -> Turn:
        """One axis of several maps, of which some may have a single position there."""
        length = max(fact.turns[axis].length for fact in moving)
        full = [fact for fact in moving if fact.turns[axis].length == length]
        turns = [fact.turns[axis] for fact in full if not fact.stays_along(axis)]
        if not turns:
            return replace(full[0].turns[axis], period=length, step=Fraction(0))
        if len(turns) < len(full) and length > 1:
            raise NoLaw("It combines maps that roll with maps that stay.")
        if any(turn != turns[0] for turn in turns):
            raise NoLaw("The branches that meet here roll by different numbers of positions.")
        return turns[0]

    def _slide(self, operation: Slide, fact: Rolls) -> Fact:
        turns = [self._slid(operation, fact, axis) for axis in AXES]
        return self._settled(turns, fact.choice)

    def _slid(self, slide: Slide, fact: Rolls, axis: Axis) -> Turn:
        turn = fact.turns[axis]
        n = slide.n_outputs(axis, turn.length)
        if fact.stays_along(axis):
            return Turn(n, n, Fraction(0))
        before, after, stride = slide.before[axis], slide.after[axis], slide.stride[axis]
        wide = turn.length + before + after
        if (before > 0 or after > 0) and slide.border != "circular":
            raise NoLaw(_BORDERS[slide.border], self.group.turns_of(axis, fact))
        if (before > 0 or after > 0) and turn.length != turn.period:
            raise NoLaw(
                "It changes the border of maps that have one already.", self.group.turns_of(axis, fact)
            )
        if turn.period % stride:
            raise NoLaw(
                f"Its stride of {stride} does not divide {turn.period} positions, so that the grid does not "
                "close.",
                self.group.turns_of(axis, fact),
            )
        if stride > 1 and fact.choice is not None:
            raise NoLaw(
                f"It keeps {times(stride)} position of maps that roll by what a layer has chosen.",
                fact.choice.known_px,
            )
        if fact.choice is None and (turn.step / stride).denominator > 1 and (stride > 1 or not slide.linear):
            raise NoLaw(
                f"It keeps {times(stride)} position, and smaller shifts move others there."
                if stride > 1
                else "Its maps move by fractions of a position, of which a maximum knows nothing.",
                self.group.demand(axis, (turn.step / stride).denominator),
            )
        whole = fact.choice is not None or turn.step.denominator == 1
        if not whole and wide - slide.extent(axis) + 1 != turn.period:
            raise NoLaw(
                "Its maps move by fractions of a position.", self.group.demand(axis, turn.step.denominator)
            )
        if (n - 1) * stride + slide.extent(axis) > wide:
            raise NoLaw("Its last window ends outside of the maps.", self.group.turns_of(axis, fact))
        period = turn.period // stride
        if n < period:
            raise NoLaw(
                f"It turns {turn.length} positions into {n}: without circular padding the border differs.",
                self.group.turns_of(axis, fact),
            )
        return Turn(period, n, turn.step / stride)

    def _reduce(self, operation: Reduce, fact: Rolls) -> Fact:
        if not operation.linear and not fact.is_whole:
            raise NoLaw(
                "Its maps move by fractions of a position, of which only a mean knows nothing.",
                self.group.whole_px([fact]),
            )
        self._check_one_turn(operation.axes, fact)
        turns = [Turn(1, 1, Fraction(0)) if operation.axes[axis] else fact.turns[axis] for axis in AXES]
        return self._settled(turns, fact.choice)

    def _spectrum(self, operation: Spectrum, fact: Rolls) -> Fact:
        self._normalise(operation, fact)
        turns = [Turn(1, 1, Fraction(0)) if operation.axes[axis] else fact.turns[axis] for axis in AXES]
        return self._settled(turns, fact.choice)

    def _normalise(self, operation: Normalise | Spectrum, fact: Rolls) -> Fact:
        if not fact.is_whole:
            raise NoLaw(
                "Its maps move by fractions of a position; statistics are only followed for whole ones.",
                self.group.whole_px([fact]),
            )
        self._check_one_turn(operation.axes, fact)
        return fact

    def _check_one_turn(self, axes: tuple[bool, bool], fact: Rolls) -> None:
        for axis in AXES:
            turn = fact.turns[axis]
            if axes[axis] and not fact.stays_along(axis) and turn.length != turn.period:
                raise NoLaw("It counts some positions of a circle twice.", self.group.turns_of(axis, fact))

    def _flatten(self, operation: Flatten, fact: Rolls) -> Fact:
        if fact.stays:
            return None
        lengths = " × ".join(str(turn.length) for turn in fact.turns)
        text = operation.why(lengths)
        if fact.choice is not None and fact.choice.known_px != self.group.step_px:
            raise NoLaw(text, fact.choice.known_px)
        moving = [not fact.stays_along(axis) for axis in AXES]
        raise NoLaw(
            text,
            pair_of(size if moves else 1 for size, moves in zip(self.group.image_px, moving, strict=True)),
        )

    def _upsample(self, operation: Upsample, fact: Rolls) -> Fact:
        if fact.choice is not None or not fact.is_whole:
            demand = self.group.known_px(fact.choice) if fact.choice else self.group.whole_px([fact])
            raise NoLaw("It upsamples maps that do not roll by a known number of positions.", demand)
        turns = [
            Turn(turn.period * factor, turn.length * factor, turn.step * factor)
            for turn, factor in zip(fact.turns, operation.factor, strict=True)
        ]
        return self._settled(turns, None)

    def _adaptive(self, operation: Adaptive, fact: Rolls) -> Fact:
        return self._sampled(operation.stride, fact, self._decision(operation.stride, fact))

    def _sampled(self, stride: Pair, fact: Rolls, choice: Choice | None) -> Rolls:
        turns = [
            Turn(turn.period // by, turn.length // by, turn.step / by)
            for turn, by in zip(fact.turns, stride, strict=True)
        ]
        return Rolls((turns[0], turns[1]), choice)

    def _decision(self, stride: Pair, fact: Rolls) -> Choice | None:
        """A new choice, or None where the phase with the largest key stays the same."""
        if not fact.is_whole:
            raise NoLaw(
                "It chooses between positions of maps that move by fractions.", self.group.whole_px([fact])
            )
        for axis, (turn, by) in enumerate(zip(fact.turns, stride, strict=True)):
            if turn.length != turn.period or turn.period % by:
                raise NoLaw("Its maps are no whole circle of blocks.", self.group.turns_of(AXES[axis], fact))
        multiples = [(turn.step / by).denominator for turn, by in zip(fact.turns, stride, strict=True)]
        if fact.choice is None and multiples == [1, 1]:
            return None
        known = [
            math.lcm(px * multiple, fact.choice.known_px[axis] if fact.choice else 1)
            for axis, (px, multiple) in enumerate(zip(self.group.step_px, multiples, strict=True))
        ]
        return Choice(self._layer, (known[0], known[1]))

    def _choose(self, operation: Choose, facts: list[Fact], seen: tuple[fx.Node, ...]) -> Fact:
        maps = [fact for fact in facts if isinstance(fact, Rolls)]
        if not maps or len(maps) != len(facts):
            raise NoLaw("It chooses by something else than maps.")
        if any(fact != maps[0] for fact in maps):
            raise NoLaw(
                "It chooses for maps that do not roll alike.",
                self.group.known_px(*(fact.choice for fact in maps)),
            )
        return Chosen(maps[0], self._decision(operation.stride, maps[0]), seen)

    def _take(self, operation: Take, facts: list[Fact], inputs: tuple[fx.Node, ...]) -> Fact:
        maps, chosen = self._maps_and_choice(facts)
        if maps != chosen.source:
            raise NoLaw(
                "It takes from maps that do not roll as those do by which was chosen.",
                self.group.known_px(maps.choice, chosen.choice, chosen.source.choice),
            )
        if chosen.choice is not None and inputs[0] not in chosen.seen:
            raise NoLaw(
                "It takes from maps that were not looked at when a choice was made: where that was left open "
                "they may differ.",
                chosen.choice.known_px,
            )
        return self._sampled(operation.stride, maps, chosen.choice)

    def _unpool(self, operation: Unpool, facts: list[Fact]) -> Fact:
        maps, chosen = self._maps_and_choice(facts)
        if maps.choice is not None or chosen.choice is not None:
            # A map that repeats itself has several phases that are the same; it is put back into one.
            raise NoLaw(
                "Where an image repeats itself the choice is left open, and the way back shows which it was.",
                self.group.known_px(maps.choice, chosen.choice),
            )
        return self._upsample(Upsample(operation.stride), maps)

    def _maps_and_choice(self, facts: list[Fact]) -> tuple[Rolls, Chosen]:
        match facts:
            case [Rolls() as maps, Chosen() as chosen]:
                return maps, chosen
        raise NoLaw("It goes by something else than a choice for maps.")

    def _alias_free(self, operation: AliasFree, fact: Rolls) -> Fact:
        self._check_one_turn((True, True), fact)
        if fact.choice is not None:
            return fact
        for axis in AXES:
            missing = (fact.turns[axis].step * operation.factor).denominator
            if missing > 1:
                raise NoLaw(
                    f"Its maps move by less than a position of maps {operation.factor} × oversampled.",
                    self.group.demand(axis, missing),
                )
        return fact

    def _low_pass(self, operation: LowPass, fact: Rolls) -> Fact:
        self._check_one_turn((True, True), fact)
        if fact.choice is not None:
            raise NoLaw(
                "Its maps roll by what a layer has chosen, so that it is not known by which fraction they "
                "move after it.",
                fact.choice.known_px,
            )
        turns = []
        for turn, stride in zip(fact.turns, operation.stride, strict=True):
            n = -(-turn.period // stride)
            turns.append(Turn(n, n, turn.step * Fraction(n, turn.period)))
        return self._settled(turns, None)

    def _settled(self, turns: Sequence[Turn], choice: Choice | None) -> Rolls:
        fact = Rolls((turns[0], turns[1]), choice)
        return replace(fact, choice=None) if fact.stays else fact


_BORDERS = {
    "zeros": "Its padding is not circular: near the border it sees what is no part of the image.",
    "edge": "Its padding is not circular: it repeats the edge.",
    "reflect": "Its padding is not circular: it reflects.",
}

_RULES: dict[type[Operation], Callable[[Walk, Any, Rolls], Fact]] = {
    Adaptive: Walk._adaptive,
    AliasFree: Walk._alias_free,
    Upsample: Walk._upsample,
    LowPass: Walk._low_pass,
    Normalise: Walk._normalise,
    Pointwise: lambda walk, operation, fact: walk._together(operation, [fact]),
    Reduce: Walk._reduce,
    Flatten: Walk._flatten,
    Slide: Walk._slide,
    Spectrum: Walk._spectrum,
}
