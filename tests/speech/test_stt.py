"""Speech-to-text: who wins, and what stands where nobody can tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SpeechError
from workbench.speech.stt import (
    INAUDIBLE,
    STT_ERROR,
    Answer,
    Clip,
    Engine,
    load_engines,
    transcribed,
)

CLIP: Clip = (np.zeros(1600, np.float32), 16_000)


def saying(*answers: Answer) -> Engine:
    rest = list(answers)
    return lambda clips: [rest.pop(0) for _ in clips]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=20), st.integers(1, 7))
def test_the_surest_engine_wins_whatever_the_batches(
    sure: list[tuple[float, float]], batch_size: int
) -> None:
    engines = [saying(*[("a", one) for one, _ in sure]), saying(*[("b", two) for _, two in sure])]
    answers = transcribed(engines, [CLIP] * len(sure), batch_size=batch_size)
    assert answers == [("a", one) if one >= two else ("b", two) for one, two in sure]


def test_a_text_beats_no_text_and_silence_is_inaudible() -> None:
    assert transcribed([saying(("", 1.0)), saying(("b", 0.1))], [CLIP], batch_size=1) == [
        ("b", 0.1)
    ]
    assert transcribed([saying((" ", 1.0))], [CLIP], batch_size=1) == [(INAUDIBLE, 0.1)]


def test_an_engine_that_fails_costs_its_own_answers() -> None:
    def broken(clips: list[Clip]) -> list[Answer]:
        raise RuntimeError("no model")

    assert transcribed([broken, saying(("b", 0.5))], [CLIP], batch_size=1) == [("b", 0.5)]
    assert transcribed([broken], [CLIP] * 2, batch_size=1) == [(STT_ERROR, 0.0)] * 2


@pytest.mark.parametrize("answers", [[("a", 1.5)], [("a", float("nan"))], []])
def test_an_engine_that_answers_nonsense_is_an_error(answers: list[Answer]) -> None:
    with pytest.raises(SpeechError):
        transcribed([lambda clips: answers], [CLIP], batch_size=1)


def test_an_engine_that_is_not_there_is_told_with_what_to_do() -> None:
    with pytest.raises(SpeechError, match=r"workbench\[stt\]"):
        load_engines("transformers:nobody/nothing")
    with pytest.raises(SpeechError, match="nowhere"):
        load_engines("nowhere.at_all:engine")


def test_a_real_engine_loads_and_hears_nothing_in_silence() -> None:
    engines = load_engines("pocketsphinx")
    [(text, confidence)] = transcribed(engines, [CLIP], batch_size=4)
    assert isinstance(text, str)
    assert 0 <= confidence <= 1
