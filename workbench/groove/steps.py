"""Drawing steps: which drum classes sound at once, one step after another.

A step's classes are drawn together, so that what sounds together was learned together. The
corpus predicts from the bars before; labels and the piece's own counts are mixed in; a mixture
or a network, where the model has one, predicts from both at once. Locks and the choke rule leave
out what they forbid.
"""

import numpy as np
from numpy.typing import NDArray

from workbench.errors import GrooveError
from workbench.groove.adaptive import STEP_LEVELS, PieceCounts
from workbench.groove.drawing import drawn
from workbench.groove.drums import CLOSED_HAT, OPEN_HAT, classes_named
from workbench.groove.frame import Frame, Metre
from workbench.groove.labels import number_of, tempo_name
from workbench.groove.model import Model, StreamModel
from workbench.groove.options import SampleOptions
from workbench.groove.pieces import beat_steps_of
from workbench.groove.streams import LABEL_KINDS, NO_MASK, Ints
from workbench.options import did_you_mean

_LABEL_PULL = 25.0  # how much more a wished label weighs than one that is merely known
_LONGEST_LOOK = 4  # bars


def drawn_steps(
    model: Model, options: SampleOptions, frame: Frame, generator: np.random.Generator
) -> Ints:
    """Return the classes of each new step, int64 (steps,).

    Raises:
        GrooveError: A label is unknown, or the model has no steps.
    """
    steps = _StepModel(model, options, frame.metre)
    if frame.prime is not None:
        for mask in frame.prime.masks.tolist():
            steps.take(steps.context(), mask)
    rules = _Rules(steps.stream.targets, options, frame)
    lead_in = 0 if frame.prime is not None else options.lead_in * frame.metre.bar_steps
    temperatures = frame.temperatures[:1] * lead_in + frame.temperatures
    masks: list[int] = []
    for number, temperature in enumerate(temperatures):
        context = steps.context()
        mask = rules.locked_at(number)
        usable = rules.usable(mask)
        if usable is not None:
            chosen = drawn(
                np.where(usable, steps.weights(context), 0.0),
                generator,
                temperature=temperature,
                top_k=options.top_k,
                top_p=options.top_p,
            )
            mask = steps.stream.target_list[chosen]
        steps.take(context, mask)
        masks.append(mask)
    return np.array(masks[lead_in:], np.int64)


class _StepModel:
    """The distribution of a step's classes, given the steps so far."""

    def __init__(self, model: Model, options: SampleOptions, metre: Metre):
        self.stream = model.stream("steps")
        self._fields = tuple(name for name, _ in self.stream.stream.fields)
        self._metre = metre
        self._labels = _wished_labels(model, options)
        self._piece = PieceCounts(STEP_LEVELS if options.adapt else ())
        self._past = [NO_MASK] * (_LONGEST_LOOK * metre.bar_steps)
        predictor = model.predictor if options.adapt else None
        told = {kind: getattr(options, kind) for kind in LABEL_KINDS}
        told["tempo"] = tempo_name(options.bpm)
        self._whole = None if predictor is None else predictor.begun(self.stream.targets, told)
        self._beat_steps = int(beat_steps_of(np.array(metre.place[0]), metre.resolution))

    def context(self) -> dict[str, int]:
        """Return the columns of the next step."""
        past, bar = self._past, self._metre.bar_steps
        step = len(past) % bar
        return {
            "place": self._metre.place[step],
            "beat": self._metre.beat[step],
            "bar_1": past[-bar],
            "bar_2": past[-2 * bar],
            "bar_4": past[-4 * bar],
            "step_1": past[-1],
            "step_2": past[-2],
            "step_3": past[-3],
            "step_4": past[-4],
        }

    def weights(self, context: dict[str, int]) -> NDArray[np.float64]:
        """Return the weight of each of the stream's targets."""
        if self._whole is not None:
            seen = self._whole.probabilities(self._where(context))
        else:
            fields = tuple([context[name] for name in self._fields])
            seen = self.stream.distribution(fields).seen
        for stream, number in self._labels:
            told = (number, *(context[name] for name, _ in stream.stream.fields[1:]))
            seen = stream.corrected(seen, self.stream.targets, told, _LABEL_PULL)
        if self._whole is not None:
            return seen
        return self._piece.adapt(seen, self.stream.index_of_target, context)

    def take(self, context: dict[str, int], mask: int) -> None:
        """Go on by one step."""
        if self._whole is not None:
            self._whole.take(self._where(context), mask)
        else:
            self._piece.add(context, mask)
        self._past.append(mask)

    def _where(self, context: dict[str, int]) -> tuple[int, int, int, int]:
        return context["place"], context["beat"], self._metre.bar_steps, self._beat_steps


class _Rules:
    """What may sound: locked classes as in the prime, and never a hi-hat open and closed."""

    def __init__(self, targets: Ints, options: SampleOptions, frame: Frame):
        self._targets = targets
        self._locked = sum(1 << drum for drum in classes_named(options.lock))
        self._prime = [0] if frame.prime is None else (frame.prime.masks & self._locked).tolist()
        both = 1 << OPEN_HAT | 1 << CLOSED_HAT if options.choke else -1
        self._allowed = (targets & both) != both
        self._usable: dict[int, NDArray[np.bool_] | None] = {}

    def locked_at(self, step: int) -> int:
        """Return which locked classes sound at a new step; the prime's bars go round."""
        return self._prime[step % len(self._prime)]

    def usable(self, mask: int) -> NDArray[np.bool_] | None:
        """Return which targets may sound where the locked classes are these.

        None where the corpus has no such target: then what is locked sounds alone.
        """
        if mask not in self._usable:
            usable = self._allowed & ((self._targets & self._locked) == mask)
            self._usable[mask] = usable if usable.any() else None
        return self._usable[mask]


def _wished_labels(model: Model, options: SampleOptions) -> list[tuple[StreamModel, int]]:
    """Return the stream and the number of each label that was asked for."""
    wished = []
    for kind in LABEL_KINDS:
        value = getattr(options, kind)
        if not value:
            continue
        known = model.labels.get(kind, [])
        number = number_of(known, value)
        if number == 0:
            near = did_you_mean(value, known)
            there = f"the model knows {', '.join(known)}" if known else "the model has none"
            raise GrooveError(f"{kind} {value!r} is unknown{near}; {there}")
        wished.append((model.stream(f"steps.{kind}"), number))
    return wished
