"""Adapters to speech-to-text programs; each program is imported when it is asked for.

Sources: pocketsphinx 5 (`Decoder`), transformers (`pipeline`, task automatic-speech-recognition).
"""

import importlib

import numpy as np
from numpy.typing import NDArray

from workbench.speech.audio import resampled
from workbench.speech.stt import Answer, Clip, Engine

_SAMPLE_RATE = 16_000  # Hz, of all models here


def pocketsphinx() -> Engine:
    """Return the engine of pocketsphinx, with the English model that its package carries.

    Its confidence is the probability of the whole hypothesis.

    Raises:
        ImportError: It is not installed.
    """
    program = importlib.import_module("pocketsphinx")
    decoder = program.Decoder(samprate=_SAMPLE_RATE, loglevel="FATAL")

    def hear(clip: Clip) -> Answer:
        pcm = np.rint(np.clip(_at_rate(clip), -1, 1) * 32_767).astype("<i2")
        decoder.start_utt()
        decoder.process_raw(pcm.tobytes(), False, True)
        decoder.end_utt()
        found = decoder.hyp()
        if found is None:
            return "", 0.0
        return found.hypstr, float(np.clip(decoder.get_logmath().exp(found.prob), 0, 1))

    def pocketsphinx_engine(clips: list[Clip]) -> list[Answer]:
        return [hear(clip) for clip in clips]

    return pocketsphinx_engine


def transformers(model: str) -> Engine:
    """Return the engine of a model of transformers.

    Pipelines of this task tell no confidence; a text counts 0.5, so that the first of several
    engines that hears one wins.

    Args:
        model: Its name on the hub, or a folder.

    Raises:
        ImportError: The extra `stt` is not installed.
    """
    program = importlib.import_module("transformers")
    pipeline = program.pipeline("automatic-speech-recognition", model=model)

    def transformers_engine(clips: list[Clip]) -> list[Answer]:
        inputs = [{"raw": _at_rate(clip), "sampling_rate": _SAMPLE_RATE} for clip in clips]
        texts = [str(answer["text"]) for answer in pipeline(inputs, batch_size=len(clips))]
        return [(text, 0.5 if text.strip() else 0.0) for text in texts]

    return transformers_engine


def _at_rate(clip: Clip) -> NDArray[np.float32]:
    samples, rate = clip
    return resampled(samples, rate, _SAMPLE_RATE)
