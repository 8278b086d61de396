"""Programs that hear speech, brought to one form; each is imported only when it is asked for.

An engine is for one thread at a time, and answers a clip alike whatever clips are beside it, but
for the rounding of models that work on several at once. Sources: the Python documentation of
pocketsphinx 5 (`Decoder`, JSGF grammars), and of transformers 5 (`AutoModelForCTC`,
`WhisperForConditionalGeneration.generate`).
"""

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.errors import SpeechError
from workbench.music.sound_files import Samples, resampled
from workbench.speech.stt import Answer, Engine, Sound

_SPHINX_RATE = 16_000  # Hz, of the model in the package
_FILLERS = ("<", "[", "+")  # what begins the names of silence, breath and noise
_LONGEST_SECONDS = 30.0  # what Whisper hears at a time
_SHORTEST_SECONDS = 0.1  # what Wav2Vec2 needs is a quarter of it


def pocketsphinx_engine(words: Sequence[str] = ()) -> Engine:
    """Return an engine of pocketsphinx, with the English model that its package carries.

    Its confidence is the geometric mean of the posterior probabilities of the words.

    Args:
        words: All that may be said, in any order; when empty, English.

    Raises:
        SpeechError: pocketsphinx is not installed, or does not know one of the words.
    """
    pocketsphinx = _imported("pocketsphinx", "pip install pocketsphinx")
    if not words:
        return _sphinx_engine(pocketsphinx.Decoder(samprate=_SPHINX_RATE, loglevel="FATAL"))
    decoder = pocketsphinx.Decoder(samprate=_SPHINX_RATE, lm=None, loglevel="FATAL")
    if unknown := [word for word in words if decoder.lookup_word(word.lower()) is None]:
        raise SpeechError(f"pocketsphinx: does not know {', '.join(unknown)}; leave these out")
    choices = " | ".join(word.lower() for word in words)
    decoder.add_jsgf_string("words", f"#JSGF V1.0; grammar words; public <words> = ({choices})+;")
    decoder.activate_search("words")
    return _sphinx_engine(decoder)


def transformers_engine(model: str) -> Engine:
    """Return an engine of transformers, on the GPU where there is one.

    The confidence of a CTC model (Wav2Vec2 and its kin) is the mean probability of the likeliest
    token a frame, of a Whisper model the geometric mean of the probabilities of its tokens. Clips
    of more than 30 s are heard in parts, and their confidence is the mean of these.

    Args:
        model: Name on the hub, or a folder.

    Raises:
        SpeechError: The extra is not installed, or the model cannot be loaded.
    """
    install = "pip install 'workbench[stt]'"
    transformers, torch = _imported("transformers", install), _imported("torch", install)
    try:
        config = transformers.AutoConfig.from_pretrained(model)
        is_whisper = config.is_encoder_decoder
        kind = (
            transformers.AutoModelForSpeechSeq2Seq if is_whisper else transformers.AutoModelForCTC
        )
        network = kind.from_pretrained(model, dtype=torch.float32).eval()
        extractor = transformers.AutoFeatureExtractor.from_pretrained(model)
        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise SpeechError(
            f"transformers:{model}: cannot be loaded ({reason}); want a speech-recognition model's"
            " name on the hub, or its folder"
        ) from error
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    hear = _whisper_answers if is_whisper else _ctc_answers

    def engine(clips: list[Sound], /) -> list[Answer]:
        with torch.inference_mode():
            return _in_parts(
                clips,
                extractor.sampling_rate,
                lambda parts: hear(network, extractor, tokenizer, parts),
            )

    return _named(engine, f"transformers:{model}")


def _imported(package: str, install: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise SpeechError(f"{package}: is not installed ({error}); {install}") from error


def _named(engine: Engine, name: str) -> Engine:
    """Return an engine whose mistakes are told under a name."""
    engine.__qualname__ = name  # type: ignore[attr-defined]  # all engines here are functions
    return engine


def _sphinx_engine(decoder: Any) -> Engine:
    def engine(clips: list[Sound], /) -> list[Answer]:
        return [_sphinx_answer(decoder, clip) for clip in clips]

    return _named(engine, "pocketsphinx")


def _sphinx_answer(decoder: Any, clip: Sound) -> Answer:
    samples = resampled(*clip, _SPHINX_RATE)
    if not len(samples):
        return "", 0.0
    pcm = np.rint(samples.clip(-1, 1) * 32_767).astype(np.int16)
    decoder.reinit_feat()  # what it has learned of the noise in other clips is forgotten
    decoder.start_utt()
    try:
        decoder.process_raw(pcm.tobytes(), full_utt=True)
    finally:
        decoder.end_utt()
    found = decoder.hyp()
    if found is None:
        return "", 0.0
    said = [part.prob for part in decoder.seg() if not part.word.startswith(_FILLERS)]
    logs = [math.log(max(probability, 1e-10)) for probability in said]
    return found.hypstr, min(math.exp(sum(logs) / len(logs)), 1.0) if logs else 0.0


def _in_parts(
    clips: list[Sound], sample_rate: int, hear: Callable[[list[Samples]], list[Answer]]
) -> list[Answer]:
    """Return the answers to clips that are heard in parts of 30 s at most, as many at a time."""
    cut = [_parts(resampled(*clip, sample_rate), sample_rate) for clip in clips]
    parts = [part for of_one in cut for part in of_one]
    heard: list[Answer] = []
    for start in range(0, len(parts), len(clips)):
        heard += hear(parts[start : start + len(clips)])
    rest = iter(heard)
    answers = []
    for of_one in cut:
        texts, confidences = zip(*(next(rest) for _ in of_one), strict=True)
        answers.append((" ".join(text.strip() for text in texts), float(np.mean(confidences))))
    return answers


def _parts(samples: Samples, sample_rate: int) -> list[Samples]:
    """Return samples in equal parts of 30 s at most, one that is too short to be heard padded."""
    short = max(int(_SHORTEST_SECONDS * sample_rate) - len(samples), 0)
    count = max(math.ceil(len(samples) / (_LONGEST_SECONDS * sample_rate)), 1)
    return np.array_split(np.pad(samples, (0, short)), count)


def _ctc_answers(
    network: Any, extractor: Any, tokenizer: Any, parts: list[Samples]
) -> list[Answer]:
    """Return the answers to parts that are heard one by one, so that none is padded."""
    rate, answers = extractor.sampling_rate, []
    for part in parts:
        inputs = extractor([part], sampling_rate=rate, return_tensors="pt").to(network.device)
        probabilities, tokens = network(**inputs).logits[0].softmax(-1).max(-1)
        answers.append((tokenizer.decode(tokens), float(probabilities.mean())))
    return answers


def _whisper_answers(
    network: Any, extractor: Any, tokenizer: Any, parts: list[Samples]
) -> list[Answer]:
    rate = extractor.sampling_rate
    inputs = extractor(parts, sampling_rate=rate, return_attention_mask=True, return_tensors="pt")
    found = network.generate(
        **inputs.to(network.device), return_dict_in_generate=True, output_scores=True
    )
    scores = network.compute_transition_scores(found.sequences, found.scores, normalize_logits=True)
    written = found.sequences[:, -scores.shape[1] :].tolist()
    texts = tokenizer.batch_decode(found.sequences, skip_special_tokens=True)
    answers = []
    for text, tokens, logs in zip(texts, written, scores.tolist(), strict=True):
        pairs = zip(tokens, logs, strict=True)  # in this vocabulary, text is before the end's token
        own = [log for token, log in pairs if token < tokenizer.eos_token_id]
        answers.append((text, math.exp(sum(own) / len(own)) if own else 0.0))
    return answers
