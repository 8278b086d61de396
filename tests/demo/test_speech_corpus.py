import csv
import hashlib
import io
import json
import math
import os
import shutil
import wave
from collections import Counter
from dataclasses import asdict, replace

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.cli import run
from workbench.demo.sentences import SENTENCES
from workbench.demo.speech import (
    COLUMNS,
    CORRUPTIONS,
    SpeechCorpusOptions,
    SpeechRow,
    corrupt_wav,
    make_speech_corpus,
)
from workbench.demo.syllables import TONES, VOWELS, all_syllables, draw_phrases, written
from workbench.demo.voices import Voice, speak, speak_espeak
from workbench.errors import OptionsError, SpeechError
from workbench.options import parameters_of

MAN = Voice(pitch=115, mouth=1.0, breath=0.2, pace=1.0)
WOMAN = Voice(pitch=205, mouth=1.15, breath=0.4, pace=1.0)
# Made with numpy 2.4.6; 2.0.2 makes the same, and so does either without AVX and FMA.
GOLDEN = "c32b0b7bf65edae18f6d2b70a4f368a86e74e09f49e6ea09e46b8613e14f8151"
NEEDS_ESPEAK = pytest.mark.skipif(
    not shutil.which("espeak-ng") and not os.environ.get("CI"), reason="espeak-ng is not installed"
)

seeds = st.integers(0, 2**32 - 1)
voices = st.builds(
    Voice,
    pitch=st.floats(85, 260),
    mouth=st.floats(0.9, 1.25),
    breath=st.floats(0, 1),
    pace=st.floats(0.7, 1.3),
)
shares = st.sampled_from([0.0, 0.05, 0.1, 0.25])
corpora = st.builds(
    SpeechCorpusOptions,
    clips=st.integers(1, 25),
    speakers=st.integers(1, 6),
    seconds=st.just(0.5),
    corrupt=shares,
    missing_transcripts=shares,
    other_languages=shares,
    seed=seeds,
    layout=st.sampled_from(["parquet", "common_voice"]),
    shards=st.just(1),
    language=st.sampled_from(["th", "vi"]),
)


def generator_of(seed):
    return np.random.Generator(np.random.PCG64(seed))


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def audio_of(corpus):
    """The bytes of every row's audio, None where there is none, read without our code."""
    if corpus.files[0].suffix == ".parquet":
        tables = [pq.read_table(path, columns=["audio"]) for path in corpus.files]
        audio = pa.concat_tables(tables)["audio"].to_pylist()
        return [a and a["bytes"] for a in audio]
    clips = [corpus.folder / "clips" / row.clip for row in corpus.rows]
    return [path.read_bytes() if path.exists() else None for path in clips]


def played(content):
    """Samples `(frames, channels)` and rate of a WAV file, None unless it keeps its promise."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            promised = file.getnframes()
        samples, rate = soundfile.read(io.BytesIO(content), always_2d=True)
    except (wave.Error, EOFError, soundfile.LibsndfileError):
        return None
    return (samples, rate) if len(samples) == promised else None


def db(ratio):
    return 20 * math.log10(ratio)


def syllable(onset="'", vowel="aa", coda="", tone="mid"):
    wanted = (onset, vowel, coda, tone)
    return next(s for s in all_syllables() if (s.onset, s.vowel, s.coda, s.tone) == wanted)


def pitch_at(samples, rate, seconds, near):
    """The pitch around a moment in Hz, by autocorrelation, within 0.65 to 1.5 of another."""
    half = round(0.025 * rate)
    middle = round(seconds * rate)
    part = samples[middle - half : middle + half] * np.hanning(2 * half)
    correlation = np.correlate(part, part, "full")[2 * half - 1 :]
    least, most = round(rate / (1.5 * near)), round(rate / (0.65 * near))
    return rate / (least + int(np.argmax(correlation[least:most])))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_speech_corpus(tmp_path_factory.mktemp("demo") / "speech", SpeechCorpusOptions())


# --- corpora


@settings(max_examples=12, deadline=None)
@given(options=corpora)
def test_the_truth_tells_which_audio_plays_as_long_as_it_should(tmp_path_factory, options):
    corpus = make_speech_corpus(tmp_path_factory.mktemp("demo") / "made", options)
    audio = audio_of(corpus)
    assert len(audio) == len(corpus.rows) == options.clips
    for row, content in zip(corpus.rows, audio, strict=True):
        assert (content is None) == (row.corruption == "missing")
        assert (content == b"") == (row.corruption == "empty")
        found = played(content) if content else None
        assert (found is not None) == row.is_valid == (row.corruption == "")
        if found:
            samples, rate = found
            assert (rate, samples.shape[1]) == (row.sample_rate, row.channels)
            assert len(samples) / rate == pytest.approx(row.seconds, abs=1e-6)


@settings(max_examples=5, deadline=None)
@given(options=corpora, more=st.integers(1, 25))
def test_a_large_corpus_begins_with_the_clips_of_a_small_one(tmp_path_factory, options, more):
    folder = tmp_path_factory.mktemp("demo")
    small = make_speech_corpus(folder / "small", options)
    large = make_speech_corpus(folder / "large", replace(options, clips=options.clips + more))
    assert large.rows[: options.clips] == small.rows
    assert audio_of(large)[: options.clips] == audio_of(small)


@settings(max_examples=4, deadline=None)
@given(options=corpora)
def test_the_same_options_give_the_same_bytes(tmp_path_factory, options):
    folder = tmp_path_factory.mktemp("demo")
    for name in ("one", "two"):
        make_speech_corpus(folder / name, options)
    assert contents(folder / "one") == contents(folder / "two")


def test_these_options_give_these_very_bytes_on_every_platform(tmp_path):
    options = SpeechCorpusOptions(clips=20, speakers=5, layout="common_voice", seed=7)
    made = contents(make_speech_corpus(tmp_path / "made", options).folder)
    del made["corpus.json"]  # tells the code, which may change where the bytes do not
    digest = hashlib.sha256()
    for name in sorted(made):
        digest.update(name.encode() + made[name])
    assert digest.hexdigest() == GOLDEN


def test_in_every_20_clips_the_asked_share_is_broken_and_untold_and_foreign(tmp_path):
    options = SpeechCorpusOptions(
        clips=60,
        seconds=0.5,
        corrupt=0.25,
        missing_transcripts=0.1,
        other_languages=0.15,
        layout="common_voice",
    )
    rows = make_speech_corpus(tmp_path / "made", options).rows
    for start in range(0, 60, 20):
        block = rows[start : start + 20]
        assert Counter(row.corruption for row in block if row.corruption) == dict.fromkeys(
            CORRUPTIONS, 1
        )
        assert sum(row.sentence == "" for row in block) == 2
        foreign = [row for row in block if row.locale != "th"]
        assert len(foreign) == 3
        assert all(row.is_valid and row.sentence for row in foreign)
    places = [number for number, row in enumerate(rows) if row.corruption]
    assert len({place % 20 for place in places}) > 5


def test_by_default_each_way_of_corruption_occurs_and_all_is_in_thai(corpus):
    counts = Counter(row.corruption for row in corpus.rows)
    assert counts == {"": 190} | dict.fromkeys(CORRUPTIONS, 2)
    assert sum(row.sentence == "" for row in corpus.rows) == 10
    assert all(row.sentence in ("", row.spoken) for row in corpus.rows)
    assert {row.locale for row in corpus.rows} == {"th"}
    assert len({row.client_id for row in corpus.rows}) == 8
    assert len({row.spoken for row in corpus.rows}) == 200
    seconds = [row.seconds for row in corpus.rows]
    assert np.mean(seconds) == pytest.approx(1.5, abs=0.25)
    assert min(seconds) > 0.6
    assert max(seconds) < 3


def test_speakers_differ_in_rate_channels_level_and_pitch_and_each_keeps_their_own(corpus):
    by_speaker = {}
    for row, content in zip(corpus.rows, audio_of(corpus), strict=True):
        if row.is_valid:
            samples, rate = played(content)
            loudest = np.abs(samples[:, 0]).max()
            by_speaker.setdefault(row.client_id, []).append((rate, samples.shape[1], loudest))
    settings = {client: {take[:2] for take in takes} for client, takes in by_speaker.items()}
    assert all(len(found) == 1 for found in settings.values())
    found = set.union(*settings.values())
    assert {rate for rate, _ in found} == {16_000, 22_050, 44_100}
    assert {channels for _, channels in found} == {1, 2}
    levels = [[level for *_, level in takes] for takes in by_speaker.values()]
    assert all(db(max(own) / min(own)) < 1.5 for own in levels)
    medians = [np.median(own) for own in levels]
    assert db(max(medians) / min(medians)) > 18


def test_a_clip_begins_and_ends_with_silence_that_is_not_digital(corpus):
    for row, content in zip(corpus.rows[:60], audio_of(corpus), strict=False):
        if not row.is_valid:
            continue
        samples, rate = played(content)
        edge = round(0.14 * rate)
        for side in samples.T:
            for end in (side[:edge], side[-edge:]):
                assert 0 < np.abs(end).max() < 5 / 32_768
            assert db(np.abs(side).max() * 32_768 / 5) > 45 or np.abs(side).max() < 0.1
            assert np.abs(side).max() > 0.03


def test_parquet_files_have_groups_of_100_rows_and_checked_pages(tmp_path):
    options = SpeechCorpusOptions(clips=220, seconds=0.5, shards=2)
    corpus = make_speech_corpus(tmp_path / "made", options)
    names = [path.relative_to(corpus.folder).as_posix() for path in corpus.files]
    assert names == [f"data/train-0000{n}-of-00002.parquet" for n in range(2)]
    for path in corpus.files:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        assert groups == [100, 10]
        rows = [row for row in corpus.rows if corpus.folder / row.file == path]
        assert [row.row for row in rows] == list(range(110))
        for row, told in zip(file.read().to_pylist(), rows, strict=True):
            assert (row["sentence"] or "") == told.sentence
            assert (row["client_id"], row["locale"]) == (told.client_id, told.locale)
            assert row["audio"] is None or row["audio"]["path"] == told.clip
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"(?i)crc"):
        pq.ParquetFile(path, page_checksum_verification=True).read()


def test_both_kinds_of_a_missing_transcript_occur(corpus):
    tables = [pq.read_table(path, columns=["sentence"]) for path in corpus.files]
    sentences = pa.concat_tables(tables)["sentence"].to_pylist()
    assert sentences.count(None) == sentences.count("") == 5


def test_datasets_knows_the_audio_column(corpus):
    for path in corpus.files:
        features = datasets.Features.from_arrow_schema(pq.read_schema(path))
        assert features == {
            "audio": datasets.Audio(),
            "sentence": datasets.Value("string"),
            "client_id": datasets.Value("string"),
            "locale": datasets.Value("string"),
        }


def test_a_folder_of_common_voice_has_its_columns_and_other_languages(tmp_path):
    options = SpeechCorpusOptions(
        clips=40, seconds=0.5, corrupt=0.15, other_languages=0.3, layout="common_voice"
    )
    corpus = make_speech_corpus(tmp_path / "made", options)
    with (corpus.folder / "validated.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert tuple(rows[0]) == COLUMNS
    for number, (row, told) in enumerate(zip(rows, corpus.rows, strict=True)):
        assert (told.file, told.row) == ("validated.tsv", number)
        assert row["path"] == told.clip
        assert (row["sentence"], row["locale"]) == (told.sentence, told.locale)
        assert row["client_id"] == told.client_id
        assert told.clip.startswith(f"common_voice_{told.locale}_")
        assert int(row["up_votes"]) > int(row["down_votes"])
        thai = all("ก" <= letter <= "๛" or letter == " " for letter in told.spoken)
        assert thai == (told.locale == "th")
    assert {"th"} < {row["locale"] for row in rows} <= set(SENTENCES)
    assert sum(row["locale"] != "th" for row in rows) == 12
    on_disk = {path.name for path in (corpus.folder / "clips").iterdir()}
    assert on_disk == {row.clip for row in corpus.rows if row.corruption != "missing"}
    assert len(on_disk) < 40


def test_the_truth_on_the_disk_is_what_is_returned(corpus):
    lines = (corpus.folder / "truth.jsonl").read_text("utf-8").splitlines()
    assert [SpeechRow(**json.loads(line)) for line in lines] == list(corpus.rows)


def test_what_is_there_is_not_made_again_and_another_corpus_gives_way(tmp_path):
    folder = tmp_path / "made"
    options = SpeechCorpusOptions(clips=8, seconds=0.5, layout="common_voice")
    shown = []
    first = make_speech_corpus(folder, options, shown.append)
    assert [progress.done for progress in shown] == [8]
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert make_speech_corpus(folder, options, shown.append) == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    assert len(shown) == 1
    clip = folder / "clips" / first.rows[0].clip
    clip.unlink()
    make_speech_corpus(folder, options)
    assert clip.is_file()
    other = make_speech_corpus(folder, replace(options, layout="parquet", seed=9))
    assert set(folder.rglob("*.parquet")) == set(other.files)
    assert not (folder / "clips").exists()
    assert json.loads((folder / "corpus.json").read_text())["options"]["seed"] == 9
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    folder = tmp_path / "mine"
    make_speech_corpus(folder, SpeechCorpusOptions(clips=4, seconds=0.5))
    (folder / "data" / "my own.wav").write_bytes(b"precious")
    before = contents(folder)
    with pytest.raises(SpeechError, match=r"my own\.wav"):
        make_speech_corpus(folder, SpeechCorpusOptions(clips=5, seconds=0.5))
    assert contents(folder) == before
    with pytest.raises(SpeechError, match="no folder"):
        make_speech_corpus(folder / "data" / "my own.wav", SpeechCorpusOptions(clips=4))
    (folder / "truth.jsonl").write_text("{}\n")
    with pytest.raises(SpeechError, match="no list of rows"):
        make_speech_corpus(folder, SpeechCorpusOptions(clips=4))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"clips": 0}, "clips: 0 is outside"),
        ({"voice": "espeek"}, "did you mean 'espeak'"),
        ({"clips": 3}, "shards 4 are more than the 3 clips"),
        ({"corrupt": 0.5, "missing_transcripts": 0.4}, "under 15 %"),
        ({"language": "de"}, "language: 'de' is none of"),
        ({"seconds": math.nan}, "seconds: nan is outside"),
    ],
)
def test_options_that_make_no_corpus_are_refused(values, said):
    with pytest.raises(OptionsError) as refused:
        SpeechCorpusOptions(**values)
    assert said in str(refused.value)
    assert set(values) <= set(parameters_of(SpeechCorpusOptions))


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(CORRUPTIONS), frames=st.integers(2, 300), seed=seeds)
def test_no_corrupted_file_plays_as_it_promises(kind, frames, seed):
    content = io.BytesIO()
    soundfile.write(content, np.zeros(frames), 16_000, format="WAV", subtype="PCM_16")
    whole = content.getvalue()
    assert played(whole)
    broken = corrupt_wav(kind, whole, generator_of(seed))
    assert broken is None or played(broken) is None
    if kind in ("truncated", "overpromising"):
        assert broken[44:] == whole[44 : len(broken)]


def test_an_unknown_corruption_is_refused():
    with pytest.raises(SpeechError, match="no way to corrupt"):
        corrupt_wav("bitrot", b"", generator_of(0))


# --- the command


def test_the_command_makes_a_corpus_and_counts_it(tmp_path, capsys):
    folder = tmp_path / "made"
    tokens = ["demo", "speech", str(folder), "--clips", "20", "--seconds", "0.5", "--json"]
    assert run([*tokens, "--corrupt", "0.1"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = [json.loads(line) for line in (folder / "truth.jsonl").read_text("utf-8").splitlines()]
    assert told["clips"] == len(rows) == 20
    assert told["valid"] == sum(row["is_valid"] for row in rows) == 18
    assert told["files"] == len(list(folder.rglob("*.parquet"))) == 4
    assert told["truth"] == str(folder / "truth.jsonl")
    assert told["seconds"] == pytest.approx(sum(row["seconds"] for row in rows), abs=1e-3)


def test_without_espeak_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["demo", "speech", str(tmp_path / "made"), "--voice", "espeak"]) == 5
    assert "apt-get install espeak-ng" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- syllables


def test_every_spelling_names_one_syllable():
    known = all_syllables()
    assert len({s.thai for s in known}) == len(known) > 4000
    assert {s.tone for s in known} == set(TONES)
    assert {s.vowel for s in known} == set(VOWELS)


@pytest.mark.parametrize(
    ("thai", "roman", "tone"),
    [
        ("มา", "maa", "mid"),
        ("บ้าน", "baan", "falling"),
        ("ไก่", None, None),
        ("สี่", "sii", "low"),
        ("ห้า", "haa", "falling"),
        ("หมู", None, None),
        ("น้อง", "nawng", "high"),
        ("เสือ", None, None),
        ("ขอ", "khaw", "rising"),
        ("โต๊ะ", None, None),
        ("มืด", "muet", "falling"),
        ("เจอ", "coe", "mid"),
        ("เดิน", "doen", "mid"),
        ("แดง", "daeng", "mid"),
        ("ปาก", "paak", "low"),
        ("มือ", "mue", "mid"),
    ],
)
def test_words_are_spelled_as_in_the_dictionary(thai, roman, tone):
    found = [(s.roman, s.tone) for s in all_syllables() if s.thai == thai]
    assert found == ([(roman, tone)] if roman else [])  # what is no long plain syllable is absent


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 60), seed=seeds)
def test_phrases_hold_as_many_syllables_as_were_asked_for(count, seed):
    phrases = draw_phrases(count, generator_of(seed))
    assert sum(map(len, phrases)) == count
    assert all(len(phrase) > 1 for phrase in phrases) or count == 1
    assert max(map(len, phrases)) <= 8
    assert len(written(phrases, in_thai=True).split(" ")) == len(phrases)
    assert len(written(phrases, in_thai=False).split(" ")) == count


# --- voices


@settings(max_examples=25, deadline=None)
@given(
    voice=voices,
    count=st.integers(1, 9),
    rate=st.sampled_from([16_000, 22_050, 44_100, 48_000]),
    seed=seeds,
)
def test_speech_is_finite_fills_the_scale_and_takes_its_time(voice, count, rate, seed):
    phrases = draw_phrases(count, generator_of(seed))
    speech = speak(phrases, voice, rate, generator_of(seed))
    assert np.isfinite(speech).all()
    assert np.abs(speech).max() == 1.0
    seconds = len(speech) / rate
    assert 0.15 * count < seconds / voice.pace < 0.45 * count + 0.3 * len(phrases)
    assert abs(speech.mean()) < 0.02
    np.testing.assert_array_equal(speech, speak(phrases, voice, rate, generator_of(seed)))


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
@pytest.mark.parametrize("voice", [MAN, WOMAN], ids=["man", "woman"])
@pytest.mark.parametrize("tone", TONES)
def test_a_tone_moves_the_pitch_as_it_should(voice, rate, tone):
    slow = replace(voice, pace=1.3)
    speech = speak([[syllable("d", "aa", tone=tone)] * 2], slow, rate, generator_of(1))
    times = (0.13, 0.247)
    early, late = (pitch_at(speech, rate, t, voice.pitch) / voice.pitch for t in times)
    start, middle, end = TONES[tone]
    assert early == pytest.approx((start + middle) / 2 * 1.04, abs=0.05)
    assert late == pytest.approx((middle + 2 * end) / 3 * 1.04, abs=0.08)


@pytest.mark.parametrize("vowel", VOWELS)
def test_a_vowel_sounds_loudest_at_its_formants(vowel):
    voice = replace(MAN, pitch=90, breath=0.0)
    parts = [syllable("'", vowel)]
    speech = speak([parts], voice, 16_000, generator_of(2))
    middle = speech[len(speech) // 2 - 1600 : len(speech) // 2 + 1600]
    power = np.abs(np.fft.rfft(middle * np.hanning(3200))) ** 2
    hertz = np.fft.rfftfreq(3200, 1 / 16_000)
    first, second, third = VOWELS[vowel].formants

    def level(centre):
        return power[np.abs(hertz - centre) < 70].max()

    def dip(low, high):
        between = np.arange(low, high, 30)
        return min(level(centre) for centre in between)

    for low, high in ((first, second), (second, third)):
        if high - low > 400:  # nearer ones melt into one hill
            assert level(high) > 2 * dip(low, high)
        assert level(low) > 1.5 * dip(low, high)


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_a_hiss_is_high_and_an_aspiration_is_not(rate):
    def centroid(onset):
        begins = speak([[syllable(onset, "aa", tone="rising")]], MAN, rate, generator_of(3))
        part = begins[round(0.03 * rate) : round(0.07 * rate)]
        power = np.abs(np.fft.rfft(part)) ** 2
        return np.average(np.fft.rfftfreq(len(part), 1 / rate), weights=power)

    assert centroid("s") > 4000
    assert centroid("h") < 3000


def test_a_stop_is_silent_while_the_mouth_is_closed():
    speech = speak([[syllable("'", "aa"), syllable("p", "aa")]], MAN, 16_000, generator_of(4))
    envelope = np.abs(speech).reshape(-1, 1)[: len(speech) // 160 * 160].reshape(-1, 160).max(1)
    loud = np.flatnonzero(envelope > 0.2)
    gap = envelope[loud[0] : loud[-1]]
    assert (gap < 0.02).sum() >= 3  # at least 30 ms
    open_all_along = speak(
        [[syllable("'", "aa"), syllable("m", "aa")]], MAN, 16_000, generator_of(4)
    )
    quiet = np.abs(open_all_along)[: len(open_all_along) // 160 * 160].reshape(-1, 160).max(1)
    loud = np.flatnonzero(quiet > 0.2)
    assert (quiet[loud[0] : loud[-1]] < 0.02).sum() == 0


@NEEDS_ESPEAK
def test_espeak_reads_known_sentences_the_same_each_time(tmp_path):
    options = SpeechCorpusOptions(clips=8, voice="espeak", layout="common_voice")
    made = [make_speech_corpus(tmp_path / name, options) for name in ("one", "two")]
    assert contents(made[0].folder) == contents(made[1].folder)
    for row, content in zip(made[0].rows, audio_of(made[0]), strict=True):
        assert row.spoken in SENTENCES[row.locale]
        assert row.sample_rate == 22_050
        if row.is_valid:
            samples, _ = played(content)
            assert samples.std() > 0.003
    whole = [a for r, a in zip(made[0].rows, audio_of(made[0]), strict=True) if r.is_valid]
    assert len(set(whole)) == len(whole)


@NEEDS_ESPEAK
def test_espeak_voices_and_speeds_differ():
    flags = {"language": "th", "variant": "m3", "words_a_minute": 150, "pitch": 40}
    plain = speak_espeak("สวัสดีครับ", **flags)
    fast = speak_espeak("สวัสดีครับ", **flags | {"words_a_minute": 250})
    woman = speak_espeak("สวัสดีครับ", **flags | {"variant": "f1"})
    assert len(fast) < 0.9 * len(plain)
    assert len(woman) != len(plain) or not np.array_equal(woman, plain)
    assert np.abs(plain).max() == 1.0


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'no voice of that name' >&2; exit 1", "no voice of that name"),
        ("exit 0", "exit code 0"),
    ],
)
def test_an_espeak_that_does_not_speak_is_an_error(tmp_path, monkeypatch, script, said):
    program = tmp_path / "espeak-ng"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpeechError, match=said):
        speak_espeak("สวัสดี", language="th", variant="f1", words_a_minute=150, pitch=50)


def test_the_options_are_written_beside_the_corpus(corpus):
    told = json.loads((corpus.folder / "corpus.json").read_text("utf-8"))
    assert told["options"] == asdict(SpeechCorpusOptions())
