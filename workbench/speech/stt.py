"""Transcripts by speech-to-text: several engines hear a clip, and the surest answer stands.

Units: confidence from 0 to 1, as each engine means it; `sample_rate` in Hz. Where there is no text,
a word in brackets says why, so that nobody takes it for one.
"""

import importlib
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from workbench.errors import SpeechError
from workbench.music.sound_files import Samples
from workbench.speech.audio import FLOOR_DB, level_db

logger = logging.getLogger(__name__)

NO_TRANSCRIPT = "[NO_TRANSCRIPT]"  # the source has none, and no engine was asked
INAUDIBLE = "[INAUDIBLE]"  # engines were asked, and heard no word
STT_ERROR = "[STT_ERROR]"  # every engine failed

Sound = tuple[Samples, int]  # samples (n,) from -1 to 1, and their rate
Answer = tuple[str, float]  # text and confidence

_NOTHING_HEARD = (INAUDIBLE, 0.1)
_FAILED = (STT_ERROR, 0.0)
_RANKS = {STT_ERROR: 0, INAUDIBLE: 1}  # of answers; a text has 2
_FORMS = "pocketsphinx, pocketsphinx:WORDS, transformers:MODEL or package.module:function"


class Engine(Protocol):
    """Anything that hears clips."""

    def __call__(self, clips: list[Sound], /) -> Sequence[Answer]:
        """Return text and confidence of each clip; an empty text where no word was heard."""


def transcribed(
    engines: Sequence[Engine], clips: Sequence[Sound], *, batch_size: int
) -> list[Answer]:
    """Return what is said in each clip, and how sure the surest engine is of it.

    Args:
        engines: At least one.
        clips: Any number.
        batch_size: How many clips at most an engine is given at a time, at least 1.

    Returns:
        One answer a clip, as `vote` gives them.

    Raises:
        SpeechError: There is no engine, no clip in a batch, or an engine's answers are none.
    """
    if not engines or batch_size < 1:
        found = f"{len(engines)} engines, batches of {batch_size} clips"
        raise SpeechError(f"{found}: at least one of each is needed")
    starts = range(0, len(clips), batch_size)
    batches = [vote(engines, clips[start : start + batch_size]) for start in starts]
    return [answer for batch in batches for answer in batch]


def vote(engines: Sequence[Engine], clips: Sequence[Sound]) -> list[Answer]:
    """Return the answer of the engine that is surest of each clip; on a tie, of the earlier.

    A text goes before no text, however sure. Silence is put to no engine: some hear words in it.

    Args:
        engines: At least one. One that raises fails these clips, is logged, and has no vote.
        clips: One batch.

    Returns:
        One answer a clip: text and confidence; [INAUDIBLE] and 0.1 where no engine heard a word;
        [STT_ERROR] and 0 where all failed.

    Raises:
        SpeechError: An engine gave another number of answers than it had clips, or one that is no
            text with a confidence from 0 to 1.
    """
    answers = [_NOTHING_HEARD] * len(clips)
    sounding = [at for at, (samples, _) in enumerate(clips) if level_db(samples) > FLOOR_DB]
    if sounding:
        heard = [_heard(engine, [clips[at] for at in sounding]) for engine in engines]
        for at, votes in zip(sounding, zip(*heard, strict=True), strict=True):
            answers[at] = max(votes, key=lambda vote: (_RANKS.get(vote[0], 2), vote[1]))
    return answers


def load_engines(text: str) -> tuple[Engine, ...]:
    """Return the engines that a text names.

    Args:
        text: Separated by commas, in the order of their votes: `pocketsphinx` hears English;
            `pocketsphinx:WORDS` hears only these words, separated by spaces; `transformers:MODEL`
            loads a model from the hub or a folder; `package.module:function` is an engine itself.

    Raises:
        SpeechError: One is none of these, or lacks what it needs to run.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SpeechError(f"speech-to-text engines: {text!r} names none; want {_FORMS}")
    return tuple(_engine(name) for name in names)


def _heard(engine: Engine, clips: list[Sound]) -> list[Answer]:
    """Return an engine's answers, checked; no words and failures as words in brackets."""
    name = getattr(engine, "__qualname__", type(engine).__qualname__)
    count = len(clips)
    try:
        answers = engine(clips)
    except Exception as error:  # engines are other people's programs
        logger.warning("%s: failed on %d clips (%s: %s)", name, count, type(error).__name__, error)
        return [_FAILED] * count
    if not isinstance(answers, Sequence) or len(answers) != count:
        found = f"{len(answers)}" if isinstance(answers, Sequence) else f"{answers!r} as"
        raise SpeechError(f"{name}: gave {found} answers to {count} clips; want one for each")
    return [_checked(answer, name) for answer in answers]


def _checked(answer: Answer, name: str) -> Answer:
    try:
        text, confidence = answer
        words, sure = text.split(), float(confidence)
    except (TypeError, ValueError, AttributeError) as error:
        raise SpeechError(f"{name}: answered {answer!r}; want (text, confidence)") from error
    if not 0 <= sure <= 1:  # a NaN is neither
        raise SpeechError(f"{name}: a confidence of {sure} for {text!r} is outside [0..1]")
    return (" ".join(words), sure) if words else _NOTHING_HEARD


def _engine(name: str) -> Engine:
    from workbench.speech import engines  # noqa: PLC0415  it imports this module

    kind, _, what = name.partition(":")
    if kind == "pocketsphinx":
        return engines.pocketsphinx_engine(what.split())
    if kind == "transformers" and what:
        return engines.transformers_engine(what)
    if not what or not all(word.isidentifier() for word in f"{kind}.{what}".split(".")):
        raise SpeechError(f"{name}: is no speech-to-text engine; want {_FORMS}")
    return _function(kind, what, name)


def _function(module: str, function: str, name: str) -> Engine:
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # a module may raise anything while it is imported
        told = f"{name}: {module} cannot be imported ({type(error).__name__}: {error})"
        raise SpeechError(f"{told}; install it, or put its folder on PYTHONPATH") from error
    for word in function.split("."):
        found = getattr(found, word, None)
    if not callable(found):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise SpeechError(f"{name}: {function} is {what} in {module}; want a function")
    engine: Engine = found
    return engine
