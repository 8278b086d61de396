"""Speech-to-text: who wins, what stands where nobody can tell, and real engines."""

import functools
import logging
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SpeechError
from workbench.speech.audio import AudioOptions, clean, decode
from workbench.speech.options import GatherOptions
from workbench.speech.stt import (
    INAUDIBLE,
    STT_ERROR,
    load_engines,
    transcribed,
    vote,
)

WORDS = "yes no seven forward hello winter music january"

texts = st.sampled_from(["", " ", "a", "b c", " a\n b "])
answers_of = st.lists(st.tuples(texts, st.sampled_from([0.0, 0.25, 0.5, 1.0])), max_size=12)


def clip(number):
    """Return a clip that is known by its number."""
    return np.full(160, (number + 1) / 100, np.float32), 16_000


def number_of(one):
    return round(float(one[0][0]) * 100) - 1


def saying(answers):
    """Return an engine that answers each clip by its number."""
    return lambda clips: [answers[number_of(one)] for one in clips]


def clips_for(answers):
    return [clip(number) for number in range(len(answers))]


def tidy(answer):
    text = " ".join(answer[0].split())
    return (text, answer[1]) if text else (INAUDIBLE, 0.1)


# --- laws


@given(answers_of, st.integers(1, 15))
def test_one_engine_is_taken_at_its_word_whatever_the_batches(answers, batch_size):
    found = transcribed([saying(answers)], clips_for(answers), batch_size=batch_size)
    assert found == [tidy(answer) for answer in answers]


@given(st.lists(st.tuples(*[answers_of.map(lambda a: a[0] if a else ("", 0.5))] * 3), max_size=9))
def test_the_surest_text_wins_and_the_earlier_engine_on_a_tie(rounds):
    engines = [saying(column) for column in zip(*rounds, strict=True)] or [saying([])]
    for votes, answer in zip(rounds, vote(engines, clips_for(rounds)), strict=True):
        said = [tidy(one) for one in votes if one[0].strip()]
        assert answer == (max(said, key=lambda one: one[1]) if said else (INAUDIBLE, 0.1))


@given(answers_of, st.integers(1, 5))
def test_engines_together_answer_as_they_do_one_after_another(answers, batch_size):
    clips, other = clips_for(answers), list(reversed(answers))
    engines = [saying(answers), saying(other)]
    together = transcribed(engines, clips, batch_size=batch_size)
    apart = [transcribed([engine], clips, batch_size=batch_size) for engine in engines]
    for answer, votes in zip(together, zip(*apart, strict=True), strict=True):
        assert answer in votes


@given(st.integers(0, 20), st.integers(1, 6))
def test_no_batch_is_larger_than_asked_and_every_clip_is_heard_once(count, batch_size):
    given_out = []

    def engine(clips):
        given_out.append([number_of(one) for one in clips])
        return [(str(number), 0.5) for number in given_out[-1]]

    found = transcribed([engine], [clip(n) for n in range(count)], batch_size=batch_size)
    assert [text for text, _ in found] == [str(number) for number in range(count)]
    assert [n for batch in given_out for n in batch] == list(range(count))
    assert all(len(batch) <= batch_size for batch in given_out)


# --- examples


def test_no_text_never_beats_a_text():
    sure_of_nothing, unsure = saying([("", 1.0)]), saying([("b", 0.0)])
    for engines in ([sure_of_nothing, unsure], [unsure, sure_of_nothing]):
        assert vote(engines, [clip(0)]) == [("b", 0.0)]


def broken(clips):
    raise RuntimeError("out of memory")


def test_an_engine_that_raises_costs_its_own_batch_only_and_is_logged(caplog):
    def picky(clips):
        return broken(clips) if 3 in map(number_of, clips) else [("a", 0.9)] * len(clips)

    with caplog.at_level(logging.WARNING):
        found = transcribed([picky], [clip(number) for number in range(6)], batch_size=2)
    assert found == [("a", 0.9)] * 2 + [(STT_ERROR, 0.0)] * 2 + [("a", 0.9)] * 2
    [record] = caplog.records
    assert "picky: failed on 2 clips (RuntimeError: out of memory)" in record.getMessage()


def test_an_engine_that_raises_has_no_vote():
    assert vote([broken, saying([("b", 0.0)])], [clip(0)]) == [("b", 0.0)]
    assert vote([broken, saying([("", 0.9)])], [clip(0)]) == [(INAUDIBLE, 0.1)]
    assert vote([broken, broken], [clip(0)]) == [(STT_ERROR, 0.0)]


def test_silence_is_put_to_no_engine():
    silence = np.zeros(16_000, np.float32), 16_000
    assert vote([broken], [silence]) == [(INAUDIBLE, 0.1)]
    found = vote([saying([("a", 0.9)])], [silence, clip(0), silence])
    assert found == [(INAUDIBLE, 0.1), ("a", 0.9), (INAUDIBLE, 0.1)]


def test_an_engine_may_do_with_its_list_what_it_likes():
    def emptying(clips):
        return [("a", 0.5) for _ in range(len(clips)) if clips.pop()]

    assert vote([emptying, saying([("b", 0.9)])], [clip(0)]) == [("b", 0.9)]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], "gave 0 answers to 1 clips"),
        ([("a", 0.5)] * 2, "gave 2 answers to 1 clips"),
        (None, "gave None as answers"),
        (iter([("a", 0.5)]), "gave <list_iterator"),
        ([("a", 1.01)], "confidence of 1.01 for 'a'"),
        ([("a", -0.01)], "confidence of -0.01 for 'a'"),
        ([("", float("nan"))], "confidence of nan"),
        ([("a", "sure")], r"answered \('a', 'sure'\)"),
        (["a"], "answered 'a'"),
        ([(None, 0.5)], r"answered \(None, 0.5\)"),
        ([("a", 0.5, 1)], r"answered \('a', 0.5, 1\)"),
    ],
)
def test_answers_that_are_none_are_an_error_that_names_the_engine(answers, said):
    def wrong_engine(clips):
        return answers

    with pytest.raises(SpeechError, match=f"wrong_engine: .*{said}"):
        vote([saying([("b", 0.5)]), wrong_engine], [clip(0)])


@pytest.mark.parametrize(("engines", "batch_size"), [([], 1), ([broken], 0)])
def test_without_engine_or_batch_nothing_is_begun(engines, batch_size):
    with pytest.raises(SpeechError, match="at least one of each"):
        transcribed(engines, [clip(0)], batch_size=batch_size)


# --- names of engines


MODULE = """
def hear(clips):
    return [("heard", 0.7)] * len(clips)
class Model:
    def __call__(self, clips):
        return [("seen", 0.8)] * len(clips)
    def hear(self, clips):
        return self(clips)
model = Model()
number = 3
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_engines.py").write_text(MODULE)
    (tmp_path / "bad_engines.py").write_text("raise KeyError('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_engines", None)


def test_engines_are_named_by_module_and_function_in_the_order_of_their_votes(own_module):
    engines = load_engines("own_engines:hear, own_engines:model ,own_engines:model.hear,")
    assert [vote([engine], [clip(0)]) for engine in engines] == [
        [("heard", 0.7)],
        [("seen", 0.8)],
        [("seen", 0.8)],
    ]
    with pytest.raises(SpeechError, match="Model: gave 1 answers to 2 clips"):
        vote(
            [functools.partial(engines[1].__class__.__call__, engines[1]), shortened(engines[1])],
            [clip(0), clip(1)],
        )


def shortened(engine):
    """Return an engine of the same class that forgets the last clip."""
    kind = type("Model", (), {"__call__": lambda self, clips: engine(clips)[:-1]})
    return kind()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names none; want pocketsphinx"),
        (" , ", "names none; want pocketsphinx"),
        ("whisper", "whisper: is no speech-to-text engine; want pocketsphinx"),
        ("transformers", "transformers: is no speech-to-text engine; want"),
        ("transformers:", "is no speech-to-text engine; want"),
        ("own_engines:", "is no speech-to-text engine"),
        (":hear", "is no speech-to-text engine"),
        ("..:hear", "is no speech-to-text engine"),
        ("own engines:hear", "is no speech-to-text engine"),
        ("nowhere_at_all:hear", "nowhere_at_all cannot be imported .*PYTHONPATH"),
        ("bad_engines:hear", "bad_engines cannot be imported .KeyError: 'no licence'"),
        ("own_engines:tell", "tell is nothing in own_engines; want a function"),
        ("own_engines:number", "number is a int in own_engines; want a function"),
        ("own_engines:hear,whisper", "whisper: is no"),
        ("pocketsphinx:yes qqqzzz", "pocketsphinx: does not know qqqzzz; leave"),
        ("pocketsphinx:yes);", r"pocketsphinx: does not know yes\);"),
    ],
)
def test_a_name_that_is_none_is_told_with_what_to_write(text, said, own_module):
    with pytest.raises(SpeechError, match=said):
        load_engines(text)


@pytest.mark.parametrize(
    ("package", "text", "install"),
    [
        ("transformers", GatherOptions().stt_engines, r"pip install 'workbench\[stt\]'"),
        ("torch", "transformers:openai/whisper-tiny", r"pip install 'workbench\[stt\]'"),
        ("pocketsphinx", "pocketsphinx", "pip install pocketsphinx"),
    ],
)
def test_a_package_that_is_missing_is_told_with_what_to_install(
    package, text, install, monkeypatch
):
    if package == "torch":
        pytest.importorskip("transformers")
    monkeypatch.setitem(sys.modules, package, None)  # as Python marks what cannot be imported
    with pytest.raises(SpeechError, match=f"{package}: is not installed .*{install}"):
        load_engines(text)


# --- pocketsphinx


@pytest.fixture(scope="module")
def sphinxes():
    """An engine for a small vocabulary, and one for English."""
    return load_engines(f"pocketsphinx:{WORDS}, pocketsphinx")


def spoken(espeak, text, **options):
    """Return a clip as gathering hands it over."""
    return decode(clean(espeak(text), AudioOptions(**options)).content)


@pytest.mark.espeak
@pytest.mark.parametrize("rate", [8000, 16_000])
def test_words_of_a_small_vocabulary_are_recognised_at_any_rate(espeak, sphinxes, rate):
    said = ["yes", "seven", "forward", "winter", "january", "winter music"]
    clips = [spoken(espeak, text, sample_rate=rate) for text in said]
    found = transcribed(sphinxes[:1], clips, batch_size=4)
    assert sum(text == heard for text, (heard, _) in zip(said, found, strict=True)) >= 5
    assert all(0.3 < confidence <= 1 for _, confidence in found)


@pytest.mark.espeak
def test_english_is_recognised_and_of_two_engines_the_surer_wins(espeak, sphinxes):
    said = ["yesterday", "seven", "thank you"]
    clips = [spoken(espeak, text, trim=text == "seven") for text in said]
    small, english = (transcribed([engine], clips, batch_size=3) for engine in sphinxes)
    assert [text for text, _ in english] == ["yesterday", "salmon", "thank you"]
    assert small[1][0] == "seven"
    both = transcribed(sphinxes, clips, batch_size=3)
    assert both == [max(pair, key=lambda one: one[1]) for pair in zip(small, english, strict=True)]
    assert [text for text, _ in both][:2] == ["yesterday", "seven"]


@pytest.mark.espeak
def test_an_answer_depends_on_no_other_clip(espeak, sphinxes):
    clips = [spoken(espeak, text) for text in ("winter", "yes", "no")]
    forward, backward = sphinxes[0](clips), sphinxes[0](clips[::-1])
    assert forward == backward[::-1] == [sphinxes[0]([one])[0] for one in clips]


def test_what_is_too_short_or_empty_is_nothing(sphinxes):
    for count in (0, 1, 160):
        assert sphinxes[0]([(np.full(count, 0.1, np.float32), 16_000)]) == [("", 0.0)]


# --- transformers


@pytest.fixture(scope="module", params=["ctc", "whisper"])
def tiny(request, tmp_path_factory):
    """The folder of a tiny model with random weights."""
    pytest.importorskip("transformers", reason="the extra stt is not installed")
    import tiny_models

    folder = tmp_path_factory.mktemp(request.param)
    getattr(tiny_models, f"save_{request.param}_model")(folder)
    return request.param, folder


def noise(count, rate=16_000, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32), rate


def test_a_model_answers_each_clip_alike_whatever_is_beside_it(tiny):
    [engine] = load_engines(f"transformers:{tiny[1]}")
    clips = [noise(16_000), noise(9000, 22_050), noise(170), noise(16_000 * 70)]
    for answer, one in zip(engine(clips), clips, strict=True):
        [(text, confidence)] = engine([one])
        assert answer == (text, pytest.approx(confidence, abs=0.002))
        assert 0 < confidence < 1
        assert text.strip()


def test_the_confidence_of_a_model_is_what_its_network_says(tiny):
    import torch
    import transformers

    kind, folder = tiny
    samples, _ = noise(16_000)
    [(text, confidence)] = load_engines(f"transformers:{folder}")[0]([(samples, 16_000)])
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor([samples], sampling_rate=16_000, return_tensors="pt")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        if kind == "ctc":
            network = transformers.AutoModelForCTC.from_pretrained(folder).eval()
            sure, tokens = network(**inputs).logits[0].softmax(-1).max(-1)
            assert tokenizer.decode(tokens) == text
            assert float(sure.mean()) == pytest.approx(confidence, abs=1e-5)
            return
        network = transformers.AutoModelForSpeechSeq2Seq.from_pretrained(folder).eval()
        tokens = network.generate(**inputs, return_dict_in_generate=True).sequences
        logits = network(**inputs, decoder_input_ids=tokens[:, :-1]).logits[0]
        logits[:, network.generation_config.suppress_tokens] = -torch.inf
        is_text = tokens[0, 1:] < tokenizer.eos_token_id
        logs = logits.log_softmax(-1).gather(1, tokens[0, 1:, None])[is_text]
    assert len(text) == len(logs) > 3
    assert tokenizer.decode(tokens[0], skip_special_tokens=True) == text
    assert float(logs.mean().exp()) == pytest.approx(confidence, abs=1e-4)


def test_a_model_that_is_not_there_is_told(tmp_path):
    pytest.importorskip("transformers", reason="the extra stt is not installed")
    with pytest.raises(SpeechError, match=r"cannot be loaded .*; want a speech-recognition model"):
        load_engines(f"transformers:{tmp_path}")
