"""Sources of speech: every clip of faithful copies of public datasets arrives, from any row on."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import fsspec
import layouts
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.demo.speech import SpeechCorpusOptions, make_speech_corpus
from workbench.errors import AccessError, OptionsError, SourceError
from workbench.speech.commands import target
from workbench.speech.fields import NO_FILE, NOT_LISTED, FolderClips
from workbench.speech.gather import gather
from workbench.speech.options import GatherOptions
from workbench.speech.sources import (
    NAMED,
    iterable_speech_source,
    open_speech_source,
    with_all,
)
from workbench.streaming.source import BEGINNING, Position
from workbench.streaming.transfer import Transfer

SMALL = {
    "streaming_batch_size": 4,
    "upload_batch_size": 6,
    "attempts": 3,
    "retry_wait": 0.05,
    "timeout": 2.0,
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """24 clips in Thai and 4 in Vietnamese; one text was lost, one clip is broken."""
    folder = tmp_path_factory.mktemp("sources") / "corpus"
    options = SpeechCorpusOptions(
        clips=28, seconds=0.5, speakers=3, corrupt=0, missing_transcripts=0, shards=1
    )
    make_speech_corpus(folder, options)
    splits = ["train"] * 18 + ["dev"] * 3 + ["test"] * 3 + ["train"] * 4
    locales = ["th"] * 24 + ["vi"] * 4
    made = [
        replace(clip, split=split, locale=locale)
        for clip, split, locale in zip(layouts.clips_of(folder), splits, locales, strict=True)
    ]
    made[5] = replace(made[5], text="")
    made[7] = replace(made[7], wav=b"broken")
    return made


@pytest.fixture(scope="module")
def copies(clips, tmp_path_factory):
    """A folder of small copies, and what names the clips have in each."""
    folder = tmp_path_factory.mktemp("copies")
    thai = [clip for clip in clips if clip.locale == "th"]
    raw_only = [clips[3].id, clips[11].id]
    names = {
        "giga": layouts.write_gigaspeech2(folder / "giga", clips, raw_only=raw_only),
        "hub": layouts.write_common_voice_hub(folder / "hub", clips, clips_a_tar=5),
        "download": layouts.write_common_voice_download(folder / "download", clips),
        "processed": layouts.write_processed_voice_th(folder / "processed", thai),
        "vistec": layouts.write_vistec(folder / "vistec", clips),
        "plain": layouts.write_plain_parquet(folder / "plain", thai, bare_bytes=True),
    }
    return folder, names


# How a copy is named as a source; which clips it gives, and what it tells of them.
EVERYTHING = {
    "giga": ("GigaSpeech2={giga}", ("train",), ("transcript",)),
    "hub": (
        "MozillaCommonVoice={hub}",
        ("train", "dev", "test"),
        ("transcript", "speaker", "language"),
    ),
    "download": (
        "MozillaCommonVoice={download}",
        ("train", "dev", "test"),
        ("transcript", "speaker", "language"),
    ),
    "processed": ("ProcessedVoiceTH={processed}", ("train", "dev", "test"), ("transcript",)),
    "vistec": ("VISTEC={vistec}", ("train", "dev", "test"), ("transcript",)),
    "plain": (
        "{plain}?audio=speech&transcript=transcription&speaker=spk&language=lang&name=mine",
        ("train", "dev", "test"),
        ("transcript", "speaker", "language"),
    ),
}
LABELS = {
    "giga": "GigaSpeech2",
    "hub": "MozillaCommonVoice",
    "download": "MozillaCommonVoice",
    "processed": "ProcessedVoiceTH",
    "vistec": "VISTECCommonVoiceTH",
    "plain": "mine",
}


def options(**changes):
    return GatherOptions(**{**SMALL, **changes})


def opened(said, work, *, revision=None, **changes):
    return open_speech_source(said, work, options(**changes), revision)


def read(source, folder, start=BEGINNING, batch_rows=4, token=None):
    """Return position and clip of each row from a position on."""
    found = []
    with Transfer(folder / "fetched", options().retries, source.list.headers) as transfer:
        for rows in source.read(transfer, start, token, batch_rows, lambda file, path: None):
            made = source.clips_of(rows.batch).to_pylist()
            at = rows.position
            found += [
                (Position(at.file, at.row + n), clip)
                for n, clip in enumerate(made)
                if n >= rows.start
            ]
    return found


def said_of(copy, copies):
    folder, names = copies
    return EVERYTHING[copy][0].format(**{name: folder / name for name in names})


def uploaded(folder, repo, hub):
    """Put a folder into a repository of its own; return where that is."""
    api = HfApi()
    api.create_repo(repo, repo_type="dataset", exist_ok=True)
    api.upload_folder(folder_path=folder, repo_id=repo, repo_type="dataset")
    return f"hf://{repo}"


def wrote_table(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_the_demo_needs_nothing_and_is_the_same_in_any_folder(tmp_path):
    here, there = opened("demo", tmp_path / "a"), opened("demo", tmp_path / "b" / "c")
    assert here.list.fingerprint == there.list.fingerprint
    assert here.name == here.list.name == "demo"
    rows = read(here, tmp_path, Position(3, 48))
    assert [position for position, _ in rows] == [(3, 48), (3, 49)]
    assert rows[-1][1]["audio"][:4] == b"RIFF"
    with pytest.raises(OptionsError, match="lies nowhere else"):
        opened("demo=/somewhere", tmp_path)
    with pytest.raises(OptionsError, match="voice that is synthesiser or espeak"):
        opened("demo?voice=mine", tmp_path)


@pytest.mark.parametrize("copy", EVERYTHING)
def test_every_clip_of_a_copy_arrives_with_what_the_copy_tells(copy, copies, clips, tmp_path):
    _, splits, told = EVERYTHING[copy]
    source = opened(said_of(copy, copies), tmp_path)
    assert source.name == LABELS[copy]
    assert source.said == said_of(copy, copies)
    got = [clip for _, clip in read(source, tmp_path) if clip["left_out"] is None]
    want = [clip for clip in clips if clip.locale == "th" and clip.split in splits]
    if copy == "giga":
        want = [clip for clip in want if clip.id not in (clips[3].id, clips[11].id)]
        assert all(clip["language"] == "th" for clip in got)
    keys = {"transcript": "text", "speaker": "speaker", "language": "locale"}
    assert [[clip[name] or "" for name in told] for clip in got] == [
        [getattr(clip, keys[name]) for name in told] for clip in want
    ]
    is_mp3 = copy in ("hub", "download", "vistec")
    for clip, whole in zip(got, want, strict=True):
        assert clip["audio"] == (layouts._mp3(whole.wav) if is_mp3 else whole.wav)


@pytest.mark.parametrize("copy", EVERYTHING)
def test_reading_from_any_row_agrees_with_reading_all(copy, copies, tmp_path):
    source = opened(said_of(copy, copies), tmp_path)
    whole = read(source, tmp_path)
    files = range(len(source.list.files))
    counts = [sum(position.file == file for position, _ in whole) for file in files]
    assert [position for position, _ in whole] == [
        (file, row) for file in files for row in range(counts[file])
    ]

    @settings(max_examples=12)
    @given(st.data())
    def agrees(data):
        file = data.draw(st.sampled_from(files))
        start = Position(file, data.draw(st.integers(0, counts[file] + 1)))
        got = read(source, tmp_path, start, data.draw(st.integers(1, 9)))
        assert got == [part for part in whole if part[0] >= start]

    agrees()


@pytest.mark.parametrize("copy", ["giga", "hub", "processed", "plain"])
def test_a_copy_on_the_hub_gives_what_the_folder_gives(copy, copies, hub, tmp_path):
    said = said_of(copy, copies)
    place = uploaded(copies[0] / copy, f"someone/{copy}", hub)
    there = opened(said.replace(str(copies[0] / copy), place), tmp_path)
    assert read(there, tmp_path) == read(opened(said, tmp_path / "here"), tmp_path)
    assert there.name == LABELS[copy]
    assert there.list.revision == hub.head(f"someone/{copy}")
    assert not list((tmp_path / "fetched").iterdir())


@pytest.mark.parametrize("copy", ["giga", "processed"])
def test_a_revision_pins_a_source_whatever_comes_after(copy, copies, hub, tmp_path):
    place = uploaded(copies[0] / copy, "someone/pinned", hub)
    said = {"giga": f"GigaSpeech2={place}", "processed": place}[copy]
    before = opened(said, tmp_path)
    api = HfApi()
    name = {"giga": "data/th/train/0.tar.gz", "processed": before.list.files[0].name}[copy]
    other = (copies[0] / copy / name).with_name(Path(before.list.files[1].name).name)
    api.upload_file(
        path_or_fileobj=other, path_in_repo=name, repo_id="someone/pinned", repo_type="dataset"
    )
    after = opened(said, tmp_path)
    again = opened(said, tmp_path, revision=before.list.revision)
    assert after.list.fingerprint != before.list.fingerprint
    assert again.list.fingerprint == before.list.fingerprint
    assert read(again, tmp_path / "again") == read(before, tmp_path / "before")


def test_other_lists_of_a_folder_of_archives_are_refused_on_going_on(clips, tmp_path):
    layouts.write_gigaspeech2(tmp_path / "giga", clips)
    said = f"GigaSpeech2={tmp_path / 'giga'}"
    before = opened(said, tmp_path / "work")
    opened(said, tmp_path / "work", revision=before.list.revision)
    with (tmp_path / "giga/data/th/train_refined.tsv").open("a") as file:
        file.write("0-0-999\tone more\n")
    with pytest.raises(SourceError, match="its lists are others than those that were gathered"):
        opened(said, tmp_path / "work", revision=before.list.revision)


def test_segments_without_a_refined_transcript_are_left_out_by_name(copies, clips, tmp_path):
    rows = read(opened(said_of("giga", copies), tmp_path), tmp_path)
    left_out = [clip for _, clip in rows if clip["left_out"] is not None]
    assert len(rows) == 18
    assert [clip["left_out"] for clip in left_out] == [NOT_LISTED] * 2
    assert [clip["audio"] for clip in left_out] == [None] * 2
    raw = read(opened(said_of("giga", copies) + "?tsv=train_raw", tmp_path), tmp_path)
    assert [clip["left_out"] for _, clip in raw] == [None] * 18


def test_other_lists_can_be_chosen_and_wrong_ones_are_told_with_those_there_are(copies, tmp_path):
    folder, _ = copies
    said = said_of("giga", copies)
    assert len(read(opened(f"{said}?tsv=dev,test", tmp_path), tmp_path)) == 6
    home = folder / "download" / layouts.COMMON_VOICE_RELEASE / "th"
    assert len(read(opened(f"{home}?tsv=dev", tmp_path), tmp_path)) == 3
    assert len(read(opened(f"{home}?tsv=test,dev", tmp_path), tmp_path)) == 6
    assert len(read(opened(str(home / "dev.tsv"), tmp_path), tmp_path)) == 3
    for wrong in (f"{said}?tsv=trains_refined", f"{home}?tsv=trains"):
        with pytest.raises(SourceError, match=r"did you mean 'train.*'\?.*choose of .*test"):
            opened(wrong, tmp_path)
    with pytest.raises(SourceError, match=r"reported.tsv: no column is named path or .*it has sen"):
        opened(f"{home}?tsv=reported", tmp_path)


def test_languages_are_chosen_and_one_that_is_not_there_is_told(copies, tmp_path):
    for copy, all_of_them in (("giga", 18), ("hub", 28)):
        said = said_of(copy, copies)
        assert len(read(opened(said, tmp_path, language="vi"), tmp_path)) == 4
        assert len(read(opened(said, tmp_path, language=""), tmp_path)) == all_of_them
        with pytest.raises(SourceError, match="has nothing in 'xx'; choose of th, vi with --lang"):
            opened(said, tmp_path, language="xx")
    release = copies[0] / "download" / layouts.COMMON_VOICE_RELEASE
    for place in (release, release / "th", copies[0] / "download"):
        assert len(read(opened(f"MozillaCommonVoice={place}", tmp_path), tmp_path)) == 24
    with pytest.raises(SourceError, match="give one of them"):
        opened(f"MozillaCommonVoice={release}", tmp_path, language="")
    with pytest.raises(SourceError, match="holds no Common Voice in xx"):
        opened(f"MozillaCommonVoice={release}", tmp_path, language="xx")
    with pytest.raises(SourceError, match=r"none of its \d+ files is data/"):
        opened(f"GigaSpeech2={release}", tmp_path)


def test_lists_are_fetched_once_though_the_run_is_interrupted(copies, hub, tmp_path):
    place = uploaded(copies[0] / "giga", "someone/giga", hub)
    hub.endpoint_log.clear()
    for start in (Position(0, 0), Position(1, 3)):
        read(opened(f"GigaSpeech2={place}", tmp_path), tmp_path, start)
    lists = [path for method, path in hub.endpoint_log if path.endswith("train_refined.tsv")]
    assert len(lists) == 1
    assert [path.suffix for path in (tmp_path / "lists").iterdir()] == [".sqlite"]


@pytest.mark.parametrize("kind", ["truncate", "wrong_bytes", "503", "drop_after"])
def test_a_list_that_comes_damaged_is_fetched_again(copies, hub, tmp_path, kind):
    place = uploaded(copies[0] / "giga", "someone/giga", hub)
    want = read(opened(said_of("giga", copies), tmp_path / "here"), tmp_path)
    hub.faults.add(match=r"GET .*train_refined\.tsv", kind=kind)
    hub.faults.add(match=r"GET .*/0\.tar\.gz", kind=kind)
    assert read(opened(f"GigaSpeech2={place}", tmp_path), tmp_path) == want
    assert len(hub.faults.taken) == 2


def test_a_place_that_wants_another_token_or_is_not_there_is_told(hub, tmp_path):
    for status, error in (("403", AccessError), ("404", SourceError)):
        hub.faults.add(match="/api/datasets/someone/none", kind=status)
        with pytest.raises(error, match="hf://someone/none"):
            opened("GigaSpeech2=hf://someone/none", tmp_path)


def test_an_archive_source_that_is_interrupted_ends_in_the_same_rows(copies, hub, tmp_path):
    said = f"GigaSpeech2={uploaded(copies[0] / 'giga', 'someone/giga', hub)}"
    chosen = options()

    def run(folder, most):
        def stop(progress):
            if most is not None and progress.done >= most:
                raise KeyboardInterrupt

        sink, work = target(str(tmp_path / folder), chosen)
        return gather([said], sink, work, chosen, stop)

    whole = run("whole", None).state.sources[0]
    assert (whole.kept, dict(whole.skipped)) == (15, {NOT_LISTED: 2, "undecodable": 1})
    for most in (1, 9, 14):
        with pytest.raises(KeyboardInterrupt):
            run("parts", most)
    run("parts", None)
    for part in ("data", "_skipped", "_state"):
        files = sorted((tmp_path / "whole" / part).iterdir())
        assert files
        for file in files:
            assert (tmp_path / "parts" / part / file.name).read_bytes() == file.read_bytes()


def test_any_folder_in_common_voices_layout_is_read(tmp_path):
    corpus = make_speech_corpus(
        tmp_path / "corpus",
        SpeechCorpusOptions(clips=30, seconds=0.5, layout="common_voice", corrupt=0.3),
    )
    source = opened(str(corpus.folder), tmp_path)
    assert source.name == "corpus"
    assert source.list.rows == 30
    for (position, clip), row in zip(read(source, tmp_path), corpus.rows, strict=True):
        assert position == (0, row.row)
        assert [clip["transcript"] or "", clip["speaker"]] == [row.sentence, row.client_id]
        is_missing = row.corruption == "missing"
        assert (clip["left_out"], clip["audio"] is None) == (
            (NO_FILE, True) if is_missing else (None, False)
        )


def test_a_folder_without_the_usual_table_names_those_it_has(tmp_path):
    (tmp_path / "cv" / "clips").mkdir(parents=True)
    (tmp_path / "cv" / "train.tsv").write_text("path\tsentence\n")
    with pytest.raises(SourceError, match=r"has no table validated; choose of train with \?tsv"):
        opened(str(tmp_path / "cv"), tmp_path)


def test_clips_may_lie_elsewhere_and_columns_may_have_other_names(tmp_path, clips):
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "a.wav").write_bytes(clips[0].wav)
    (tmp_path / "validated.csv").write_text("Who,File,Words\nme,a.wav,said\n")
    said = f"{tmp_path}?clips={tmp_path / 'sounds'}&speaker=Who&transcript=Words"
    [(_, clip)] = read(opened(said, tmp_path), tmp_path)
    assert (clip["audio"], clip["transcript"], clip["speaker"]) == (clips[0].wav, "said", "me")
    with pytest.raises(SourceError, match="has no column 'Word', did you mean 'Words'"):
        opened(said.replace("Words", "Word"), tmp_path)


NAMES = (
    st.text(max_size=8)
    | st.builds(str.__mul__, st.text("ก่a.", min_size=1, max_size=3), st.integers(40, 200))
    | st.sampled_from(
        ["../secret.wav", "a/../../secret.wav", "..", "/etc/hostname", "in/../inner.wav", "in"]
    )
)


@settings(max_examples=200)
@given(NAMES)
def test_no_name_reads_outside_the_folder_or_breaks_the_run(tmp_path_factory, name):
    home = tmp_path_factory.getbasetemp() / "names"
    (home / "clips" / "in").mkdir(parents=True, exist_ok=True)
    (home / "secret.wav").write_bytes(b"secret")
    (home / "clips" / "inner.wav").write_bytes(b"inner")
    made = FolderClips(place="x", folder=home / "clips", columns={"audio": "path"})
    [clip] = made(pa.RecordBatch.from_pydict({"path": pa.array([name])})).to_pylist()
    assert clip["audio"] in (None, b"inner")
    assert (clip["audio"] is None) == (clip["left_out"] == NO_FILE)
    assert clip["audio"] == b"inner" or not name.endswith("inner.wav")


LOOKED_FOR = """
import sys
from pathlib import Path
import pyarrow as pa
from workbench.speech.fields import FolderClips
made = FolderClips(place="x", folder=Path(sys.argv[1]), columns={"audio": "path"})
batch = pa.RecordBatch.from_pydict({"path": ["locked/a.wav", "b.wav"]})
print(made(batch).select(["audio", "left_out"]).to_pylist())
"""


def test_a_file_in_a_folder_that_is_locked_is_none(tmp_path, obey_permissions):
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "a.wav").write_bytes(b"a")
    (tmp_path / "b.wav").write_bytes(b"b")
    (tmp_path / "locked").chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", LOOKED_FOR, str(tmp_path)],
        preexec_fn=obey_permissions,
        capture_output=True,
        text=True,
        check=False,
    )
    (tmp_path / "locked").chmod(0o700)
    rows = [{"audio": None, "left_out": NO_FILE}, {"audio": b"b", "left_out": None}]
    assert (done.stdout.strip(), done.returncode) == (str(rows), 0), done.stderr


def test_a_clip_is_found_by_another_ending_and_links_are_followed(tmp_path):
    (tmp_path / "far").write_bytes(b"linked")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.wav").write_bytes(b"a")
    (tmp_path / "clips" / "b.mp3").symlink_to(tmp_path / "far")
    made = FolderClips(place="x", folder=tmp_path / "clips", columns={"audio": "path"})
    names = ["a.mp3", "a", "b.mp3", "a.1", None]
    batch = pa.RecordBatch.from_pydict({"path": pa.array(names)})
    assert made(batch)["audio"].to_pylist() == [b"a", b"a", b"linked", None, None]


def test_vistec_lists_are_read_as_csv_too(clips, tmp_path):
    home = tmp_path / "vistec"
    (home / "clips").mkdir(parents=True)
    (home / "validated").mkdir()
    for name, own in (("train", clips[:3]), ("dev", clips[3:5])):
        with (home / "validated" / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "sentence"), *((c.id, c.text) for c in own)])
        for clip in own:
            (home / "clips" / f"{clip.id}.wav").write_bytes(clip.wav)
    source = opened(f"VISTECCommonVoiceTH={home}", tmp_path)
    got = [(clip["audio"], clip["transcript"]) for _, clip in read(source, tmp_path)]
    assert got == [(clip.wav, clip.text) for clip in clips[:5]]
    assert [file.name for file in source.list.files] == ["validated/train.csv", "validated/dev.csv"]


def test_what_vistec_needs_is_said(copies, clips, tmp_path):
    with pytest.raises(OptionsError, match="give VISTECCommonVoiceTH=FOLDER"):
        opened("VISTEC", tmp_path)
    with pytest.raises(SourceError, match="lies on no hub"):
        opened("VISTEC=hf://a/b", tmp_path)
    with pytest.raises(SourceError, match="is no folder"):
        opened(f"VISTEC={tmp_path / 'none'}", tmp_path)
    with pytest.raises(SourceError, match=r"clone github\.com/vistec-AI/commonvoice-th"):
        opened(f"VISTEC={copies[0] / 'download'}", tmp_path)
    with pytest.raises(SourceError, match="has no list devs; choose of dev, dev-unique, test"):
        opened(f"VISTEC={copies[0] / 'vistec'}?tsv=dev,devs", tmp_path)
    layouts.write_vistec(tmp_path / "v", clips[:2])
    home = tmp_path / "v" / layouts.VISTEC_RELEASE / "th"
    home.rename(tmp_path / "moved")
    with pytest.raises(SourceError, match=r"has no folder of clips; unpack .* \?clips=FOLDER"):
        opened(f"VISTEC={tmp_path / 'v'}", tmp_path)
    said = f"VISTEC={tmp_path / 'v'}?clips={tmp_path / 'moved' / 'clips'}"
    assert [clip["left_out"] for _, clip in read(opened(said, tmp_path), tmp_path)] == [None] * 2
    for number in (1, 2):
        (tmp_path / "v" / f"more{number}" / "clips").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"more1/clips, .*more2/clips; choose one"):
        opened(f"VISTEC={tmp_path / 'v'}", tmp_path)


AUDIO = [{"bytes": b"RIFF", "path": "a.wav"}, {"bytes": None, "path": "b.wav"}, None]


@pytest.mark.parametrize(
    ("columns", "transcript", "speaker", "language"),
    [
        (("audio", "sentence", "client_id", "locale"), "x", "me", "th"),
        (("Audio", "Text", "Speaker_ID", "Language"), "x", "me", "th"),
        (("audio", "transcription", "speaker", "lang"), "x", "me", "th"),
        (("audio", "transcript", "who", "where"), "x", None, None),
    ],
)
def test_columns_of_usual_names_are_found(columns, transcript, speaker, language, tmp_path):
    values = [AUDIO, ["x"] * 3, ["me"] * 3, ["th"] * 3]
    wrote_table(
        tmp_path / "d" / "a.parquet", **dict(zip(columns, values, strict=True)), other=[1, 2, 3]
    )
    source = opened(str(tmp_path / "d"), tmp_path)
    got = [clip for _, clip in read(source, tmp_path)]
    assert [clip["audio"] for clip in got] == [b"RIFF", None, None]
    told = {"transcript": transcript, "speaker": speaker, "language": language, "left_out": None}
    assert [{k: v for k, v in clip.items() if k != "audio"} for clip in got] == [told] * 3
    assert not {"other", "who", "where", f"{columns[0]}.path"} & set(source.rows_of.columns)


def test_kinds_of_columns_are_read_as_text_or_told(tmp_path):
    path = wrote_table(
        tmp_path / "d" / "a.parquet",
        audio=pa.array([b"RIFF"], pa.large_binary()),
        text=pa.array(["x"]).dictionary_encode(),
        speaker=pa.array([7]),
        language=pa.array([3]),  # the number of a class, not what a language is called
        length=pa.array([1.5]),
    )
    [(_, clip)] = read(opened(str(path), tmp_path), tmp_path)
    assert clip == {
        "audio": b"RIFF",
        "transcript": "x",
        "speaker": "7",
        "language": None,
        "left_out": None,
    }
    [(_, clip)] = read(opened(f"{path}?speaker=", tmp_path), tmp_path)
    assert clip["speaker"] is None
    for wrong in ("transcript=length", "language=language", "audio=text"):
        with pytest.raises(SourceError, match=r"column '.*' holds .*, want .*; it has audio, text"):
            opened(f"{path}?{wrong}", tmp_path)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{}?audio=voice", r"has no column 'voice'; it has sound, sentence"),
        ("{}?audio=sounds", r"has no column 'sounds', did you mean 'sound'\?"),
        ("{}", r"no column is named audio; it has sound, sentence; name one with \?audio=COLUMN"),
    ],
)
def test_a_wrong_or_missing_column_is_told_before_anything_is_changed(said, message, tmp_path, hub):
    wrote_table(tmp_path / "d" / "a.parquet", sound=[b"RIFF"], sentence=["x"])
    places = [str(tmp_path / "d"), uploaded(tmp_path / "d", "someone/d", hub)]
    sink, work = target(str(tmp_path / "out"), options())
    gather(["demo"], sink, work, options(sample=True, sample_size=2))
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    for place in places:
        with pytest.raises(SourceError, match=message):
            gather([said.format(place)], sink, work, options(fresh=True))
    after = {p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert {k: v for k, v in after.items() if k in before} == before


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{d}?audioo=x", r"'audioo' is none of audio, .*did you mean 'audio'"),
        ("{d}?audio=", "audio is empty"),
        ("{d}?tsv=train", r"tsv tells nothing about this source.*give audio, transcript"),
        ("GigaSpeech2={d}?audio=x", "audio tells nothing about this source"),
        ("demo?clips=x", "clips tells nothing"),
        ("GigaSpech2", r"none of demo, GigaSpeech2, .*did you mean 'GigaSpeech2'\?"),
        ("GigaSpech2=/tmp", "did you mean 'GigaSpeech2'"),
        ("hf://nobody", "want hf://user/name"),
    ],
)
def test_what_cannot_be_meant_is_refused(said, message, tmp_path):
    wrote_table(tmp_path / "d" / "a.parquet", audio=[b"RIFF"])
    with pytest.raises(OptionsError, match=message):
        opened(said.format(d=tmp_path / "d"), tmp_path)


def test_patterns_web_lists_and_other_places_are_read_with_the_same_columns(hub, tmp_path):
    names = ["a.parquet", "b.parquet"]
    for name in names:
        content = wrote_table(
            tmp_path / "odd [1]" / name, voice=[name.encode()], text=[name]
        ).read_bytes()
        hub.publish(name, content)
        with fsspec.open(f"memory://bucket/speech/{name}", "wb") as file:
            file.write(content)
    hub.publish("list.txt", b"a.parquet\nb.parquet\n")
    want = [(name.encode(), name) for name in names]
    for place, name, rows in [
        (tmp_path / "odd [1]", "odd [1]", want),
        (tmp_path / "odd*" / "b*.parquet", tmp_path.name, want[1:]),
        (f"{hub.url}/files/list.txt", "list", want),
        (f"{hub.url}/files/a.parquet?signed=a%2Fb", "a", want[:1]),
        ("memory://bucket/speech", "speech", want),
        ("memory://bucket/speech/a*.parquet", "speech", want[:1]),
    ]:
        sign = "&" if "?" in str(place) else "?"
        source = opened(f"{place}{sign}audio=voice", tmp_path)
        found = [(clip["audio"], clip["transcript"]) for _, clip in read(source, tmp_path)]
        assert (source.name, found) == (name, rows)
    assert source.list.files[0].url.startswith("memory://")
    signed = opened(f"{hub.url}/files/a.parquet?signed=a%2Fb&audio=voice", tmp_path)
    assert signed.list.files[0].url == f"{hub.url}/files/a.parquet?signed=a%2Fb"


def test_all_are_those_with_names_and_a_copy_stands_for_its_own(tmp_path):
    assert list(NAMED) == sorted(NAMED)
    assert with_all([]) == list(NAMED)
    said = ["demo", "ProcessedVoiceTH=hf://me/copy", f"VISTEC={tmp_path}"]
    assert with_all(said) == [*said, "GigaSpeech2", "MozillaCommonVoice"]


def test_named_sources_are_asked_of_their_own_places(hub, copies, tmp_path):
    for name, copy in (("GigaSpeech2", "giga"), ("MozillaCommonVoice", "hub")):
        uploaded(copies[0] / copy, NAMED[name].removeprefix("hf://"), hub)
        assert read(opened(name, tmp_path), tmp_path) == read(
            opened(said_of(copy, copies), tmp_path / "here"), tmp_path
        )


def test_a_stream_of_datasets_is_a_source_and_goes_on_by_its_token(tmp_path):
    files = [
        str(
            wrote_table(
                tmp_path / f"{n}.parquet",
                sound=[{"bytes": bytes([n, i]), "path": None} for i in range(10)],
                text=[f"{n} {i}" for i in range(10)],
            )
        )
        for n in range(2)
    ]

    def made():
        return datasets.load_dataset(
            "parquet", data_files=files, split="train", streaming=True, cache_dir=tmp_path / "c"
        )

    features = datasets.Features(
        {"sound": datasets.Audio(decode=False), "text": datasets.Value("string")}
    )
    source = iterable_speech_source(made().cast(features), "stream", {"audio": "sound"})
    whole = read(source, tmp_path)
    assert [clip["transcript"] for _, clip in whole] == [
        f"{n} {i}" for n in range(2) for i in range(10)
    ]
    assert whole[-1][1]["audio"] == bytes([1, 9])
    with Transfer(tmp_path / "f") as transfer:
        batches = list(source.read(transfer, Position(), None, 4, lambda file, path: None))
    token = json.loads(json.dumps(batches[3].token))
    again = iterable_speech_source(made().cast(features), "stream", {"audio": "sound"})
    assert again.list.fingerprint == source.list.fingerprint
    assert read(again, tmp_path, Position(0, 13), token=token) == whole[13:]
    with pytest.raises(SourceError, match="no column is named audio; it has sound, text"):
        iterable_speech_source(made().cast(features), "stream")
