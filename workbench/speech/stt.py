"""Speech-to-text for clips without a transcript: engines that vote, the surest answer wins.

An engine takes clips, (samples, sample rate in Hz) each, and answers (text, confidence 0 to 1)
for each. Sentinels stand where there is no text.
"""

import importlib
import logging
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.errors import SpeechError

logger = logging.getLogger(__name__)

Clip = tuple[NDArray[np.float32], int]
Answer = tuple[str, float]
Engine = Callable[[list[Clip]], list[Answer]]

NO_TRANSCRIPT = "[NO_TRANSCRIPT]"  # nobody was asked
INAUDIBLE = "[INAUDIBLE]"  # engines heard nothing
STT_ERROR = "[STT_ERROR]"  # engines failed
_INAUDIBLE_CONFIDENCE = 0.1


def load_engines(text: str) -> tuple[Engine, ...]:
    """Return the engines that a text names.

    Args:
        text: By commas, `pocketsphinx`, `transformers:MODEL`, or `package.module:function`, the
            last an engine itself.

    Raises:
        SpeechError: There is no such engine, or what it needs is not installed.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SpeechError("no speech-to-text engine is named; give --stt-engines")
    return tuple(_engine(name) for name in names)


def transcribed(
    engines: Sequence[Engine], clips: Sequence[Clip], *, batch_size: int
) -> list[Answer]:
    """Return what is said in each clip, with sentinels where nobody can tell.

    An engine that raises costs its own answers for that batch, and is logged.

    Args:
        engines: At least one; on a tie the earlier wins.
        clips: Any number.
        batch_size: Clips an engine is given at a time.

    Raises:
        SpeechError: An engine answers too many or too few, or with no confidence of 0 to 1.
    """
    answers: list[Answer] = []
    for start in range(0, len(clips), batch_size):
        batch = list(clips[start : start + batch_size])
        rounds = [heard for engine in engines if (heard := _heard(engine, batch)) is not None]
        answers += [_best([heard[at] for heard in rounds]) for at in range(len(batch))]
    return answers


def _heard(engine: Engine, batch: list[Clip]) -> list[Answer] | None:
    name = getattr(engine, "__name__", type(engine).__name__)
    try:
        answers = [(str(text).strip(), float(sure)) for text, sure in engine(batch)]
    except Exception as error:  # engines are other people's code
        logger.warning("%s: failed on %d clips (%s)", name, len(batch), error)
        return None
    if len(answers) != len(batch):
        raise SpeechError(f"{name}: gave {len(answers)} answers to {len(batch)} clips")
    if bad := [sure for _, sure in answers if not (math.isfinite(sure) and 0 <= sure <= 1)]:
        raise SpeechError(f"{name}: a confidence of {bad[0]} is outside [0..1]")
    return answers


def _best(votes: list[Answer]) -> Answer:
    if not votes:
        return STT_ERROR, 0.0
    texts = [vote for vote in votes if vote[0]]
    return max(texts, key=lambda vote: vote[1]) if texts else (INAUDIBLE, _INAUDIBLE_CONFIDENCE)


def _engine(name: str) -> Engine:
    kind, _, rest = name.partition(":")
    try:
        if kind in ("pocketsphinx", "transformers"):
            adapters = importlib.import_module("workbench.speech.engines")
            engine: Engine = getattr(adapters, kind)(*([rest] if rest else []))
            return engine
        found: Engine = getattr(importlib.import_module(kind), rest)
        return found
    except (ImportError, AttributeError, ValueError, TypeError, OSError) as error:
        raise SpeechError(
            f"{name}: is no speech-to-text engine here ({error}); pip install 'workbench[stt]' for "
            "transformers, or give package.module:function"
        ) from error
