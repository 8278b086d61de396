"""The small copies of public datasets have the shapes that their sources tell of."""

import csv
import io
import json
import tarfile
from dataclasses import replace

import datasets
import layouts
import pyarrow.parquet as pq
import pytest
import soundfile
from layouts import Clip

from workbench.demo.speech import SpeechCorpusOptions, make_speech_corpus


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """24 clips in Thai and 4 in Vietnamese, 18 of them for training; one text was lost."""
    folder = tmp_path_factory.mktemp("layouts") / "corpus"
    options = SpeechCorpusOptions(
        clips=28, seconds=0.5, speakers=3, corrupt=0, missing_transcripts=0, shards=1
    )
    make_speech_corpus(folder, options)
    made = layouts.clips_of(folder)
    splits = ["train"] * 18 + ["dev"] * 3 + ["test"] * 3 + ["train"] * 4
    locales = ["th"] * 24 + ["vi"] * 4
    made = [
        replace(clip, split=split, locale=locale)
        for clip, split, locale in zip(made, splits, locales, strict=True)
    ]
    made[5] = replace(made[5], text="")
    made[19] = replace(made[19], text=made[0].text)
    return made


def lines_of(path):
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()]


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def files_in(path):
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


WRITERS = [
    layouts.write_gigaspeech2,
    layouts.write_common_voice_hub,
    layouts.write_common_voice_download,
    layouts.write_processed_voice_th,
    layouts.write_vistec,
    layouts.write_plain_parquet,
]


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_clips_give_the_same_bytes_and_every_clip_a_name(tmp_path, write, clips):
    few = [clip for clip in clips if clip.locale == "th"][15:21]
    names = [write(tmp_path / folder, few) for folder in ("one", "two")]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert names[0] == names[1]
    assert set(names[0]) == {clip.id for clip in few}
    assert len(set(names[0].values())) == len(few)


def test_gigaspeech2_segments_lie_where_their_ids_say(tmp_path, clips):
    names = layouts.write_gigaspeech2(tmp_path, clips, tars=3, raw_only=[clips[2].id, clips[9].id])
    home = tmp_path / "data" / "th"
    assert sorted(path.name for path in (home / "train").iterdir()) == [
        "0.tar.gz",
        "1.tar.gz",
        "2.tar.gz",
    ]
    for archive in (*(home / "train").iterdir(), home / "dev.tar.gz", home / "test.tar.gz"):
        for member, content in files_in(archive).items():
            segment = member.rpartition("/")[2].removesuffix(".wav")
            above = "/".join(segment.split("-")[:-1])
            split = archive.name.removesuffix(".tar.gz")
            prefix = "" if archive.parent.name == "train" else f"{split}/"
            assert member == f"{prefix}{above}/{segment}.wav"
            clip = next(c for c in clips if names[c.id] == segment and c.wav == content)
            assert clip.locale == "th"


def test_gigaspeech2_lists_tell_texts_without_a_header(tmp_path, clips):
    names = layouts.write_gigaspeech2(tmp_path, clips, raw_only=[clips[2].id])
    home = tmp_path / "data" / "th"
    for name, split in (("train_raw", "train"), ("dev", "dev"), ("test", "test")):
        own = [clip for clip in clips if clip.locale == "th" and clip.split == split]
        told = dict(lines_of(home / f"{name}.tsv"))
        assert told == {names[clip.id]: clip.text for clip in own}
    raw, refined = (dict(lines_of(home / f"train_{sort}.tsv")) for sort in ("raw", "refined"))
    assert raw.items() - refined.items() == {(names[clips[2].id], clips[2].text)}
    assert not (home / "train.tsv").exists()
    assert len(lines_of(tmp_path / "data" / "vi" / "train_refined.tsv")) == 4


def test_common_voice_of_the_hub_reads_as_its_script_reads_it(tmp_path, clips):
    names = layouts.write_common_voice_hub(tmp_path, clips, clips_a_tar=7)
    counts = json.loads((tmp_path / "n_shards.json").read_text())
    assert counts["th"] == {"train": 3, "dev": 1, "test": 1, "other": 0, "invalidated": 0}
    assert counts["vi"]["train"] == 1
    found = {}
    for split, count in counts["th"].items():
        rows = {r["path"]: r for r in rows_of(tmp_path / "transcript" / "th" / f"{split}.tsv")}
        for number in range(count):
            stem = f"th_{split}_{number}"
            for member, content in files_in(
                tmp_path / "audio" / "th" / split / f"{stem}.tar"
            ).items():
                folder, name = member.split("/")
                assert folder == stem
                assert soundfile.info(io.BytesIO(content)).format == "MP3"
                found[name] = (rows[name]["sentence"], rows[name]["client_id"], split)
    wanted = {
        names[clip.id]: (clip.text, clip.speaker, clip.split)
        for clip in clips
        if clip.locale == "th"
    }
    assert found == wanted
    header = (tmp_path / "transcript" / "th" / "other.tsv").read_text().rstrip("\n").split("\t")
    assert tuple(header) == layouts.COMMON_VOICE_COLUMNS


def test_a_common_voice_download_holds_its_lists_beside_its_clips(tmp_path, clips):
    others = [replace(clips[0], id="other", split="other"), replace(clips[1], id="bad", wav=b"RI")]
    names = layouts.write_common_voice_download(tmp_path, [*clips, *others])
    home = tmp_path / layouts.COMMON_VOICE_RELEASE / "th"
    assert {path.name for path in home.iterdir()} == {
        "clips",
        "clip_durations.tsv",
        "dev.tsv",
        "invalidated.tsv",
        "other.tsv",
        "reported.tsv",
        "test.tsv",
        "train.tsv",
        "unvalidated_sentences.tsv",
        "validated.tsv",
        "validated_sentences.tsv",
    }
    validated = {row["path"] for row in rows_of(home / "validated.tsv")}
    parts = [{r["path"] for r in rows_of(home / f"{s}.tsv")} for s in ("train", "dev", "test")]
    assert validated == set.union(*parts)
    assert sum(map(len, parts)) == len(validated) == 25
    assert {row["locale"] for row in rows_of(home / "validated.tsv")} == {"th"}
    assert {row["path"] for row in rows_of(home / "other.tsv")} == {names["other"]}
    assert {path.name for path in (home / "clips").iterdir()} == validated | {names["other"]}
    assert (home / "clips" / names["bad"]).read_bytes() == b"RI"
    lengths = {r["filename"]: int(r["duration[ms]"]) for r in rows_of(home / "clip_durations.tsv")}
    whole = soundfile.info(home / "clips" / names[clips[3].id])
    assert lengths[names[clips[3].id]] == pytest.approx(1000 * whole.duration, abs=100)


def test_processed_voice_has_two_columns_and_one_is_audio_to_datasets(tmp_path, clips):
    layouts.write_processed_voice_th(tmp_path, clips)
    files = sorted((tmp_path / "data").iterdir())
    assert [file.name for file in files] == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert [row["sentence"] for row in rows] == [clip.text for clip in clips]
    assert [row["audio"]["bytes"] for row in rows] == [clip.wav for clip in clips]
    for file in files:
        features = datasets.Features.from_arrow_schema(pq.read_schema(file))
        assert features == {
            "audio": datasets.Audio(sampling_rate=16_000),
            "sentence": datasets.Value("string"),
        }


def test_vistec_lists_name_clips_of_a_common_voice_beside_them(tmp_path, clips):
    layouts.write_vistec(tmp_path, clips)
    labels = tmp_path / "commonvoice-th" / "labels"
    names = ("dev-unique", "dev", "test-unique", "test", "train")
    assert sorted(path.stem for path in labels.iterdir()) == sorted(names)
    for name in names:
        rows = rows_of(labels / f"{name}.tsv")
        assert [list(row) for row in rows] == [["path", "sentence", "set"]] * len(rows)
        assert {row["set"] for row in rows} == {name.partition("-")[0]}
        for row in rows:
            path = tmp_path / layouts.VISTEC_RELEASE / "th" / "clips" / row["path"]
            assert soundfile.info(path).duration > 0.3
    dev, unique = (rows_of(labels / f"{name}.tsv") for name in ("dev", "dev-unique"))
    assert [row["sentence"] for row in dev if row not in unique] == [clips[0].text]


@pytest.mark.parametrize("bare_bytes", [False, True])
def test_a_plain_dataset_says_nothing_of_its_columns(tmp_path, clips, bare_bytes):
    layouts.write_plain_parquet(tmp_path, clips, audio="wav", bare_bytes=bare_bytes)
    table = pq.read_table(tmp_path / "data" / "train-00000-of-00001.parquet")
    assert table.schema.names == ["id", "wav", "transcription", "spk", "lang"]
    assert table.schema.metadata is None
    audio = table["wav"].to_pylist()
    assert [a if bare_bytes else a["bytes"] for a in audio] == [clip.wav for clip in clips]
    assert table["lang"].to_pylist() == [clip.locale for clip in clips]


def test_a_quote_in_a_transcript_is_kept_as_it_is(tmp_path):
    clip = Clip(id="q", speaker="s", text='he said "yes', wav=b"")
    layouts.write_common_voice_download(tmp_path, [clip])
    path = tmp_path / layouts.COMMON_VOICE_RELEASE / "th" / "train.tsv"
    assert rows_of(path)[0]["sentence"] == 'he said "yes'
