"""Every flag of `workbench speech gather`, by what it changes; an ignored flag fails here."""

import dataclasses
import re
import time

import layouts
import pytest
from huggingface_hub import HfApi
from tiny_speech import (
    BROKEN,
    ENGLISH,
    HEARD,
    IDLE,
    RATE,
    SECONDS,
    UNTOLD,
    files_of,
    gathered_by,
    rows_of,
    sounds_of,
    write_older,
    write_speech,
)

from workbench.cli import run
from workbench.errors import OptionsError
from workbench.speech.audio import level_db
from workbench.speech.options import GatherOptions
from workbench.speech.sources import NAMED
from workbench.streaming.options import RetryOptions
from workbench.streaming.writer import ShardLimits

TESTED: set[str] = set()
ARGUMENTS = {"sources", "to"}
FIELDS = {field.name for field in dataclasses.fields(GatherOptions)}
STT = ("--enable-stt", "--stt-engines", "tiny_speech:hear")
COMMIT = r"POST .*/commit/"


def flag(*names):
    """Say which flags a test is the test of."""
    assert set(names) <= FIELDS | ARGUMENTS
    TESTED.update(names)
    return lambda test: test


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_speech(tmp_path_factory.mktemp("options") / "source")


@pytest.fixture(scope="module")
def untold(tmp_path_factory):
    """Twelve clips without a transcript, six a file."""
    return write_speech(tmp_path_factory.mktemp("options") / "untold", plain=True)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def places(folder):
    """Return which rows of the source arrived, in order."""
    files = {"data/train-00000.parquet": 0, "data/train-00001.parquet": 6}
    refs = [row["source_ref"] for row in rows_of(folder)]
    return [files[ref["file"]] + ref["row"] for ref in refs]


def lengths(folder):
    return [len(sound) / sound.samplerate for sound in sounds_of(folder)]


def levels(folder):
    return [level_db(sound.read(dtype="float32")) for sound in sounds_of(folder)]


# --- all of them


def test_every_flag_has_its_test():
    assert FIELDS | ARGUMENTS == TESTED


def test_help_lists_every_flag(capsys):
    assert run(["speech", "gather", "--help"]) == 0
    told = capsys.readouterr().out
    for name in FIELDS | {"to", "json"}:
        assert f"--{name.replace('_', '-')} " in told
    assert "SOURCES" in told


def test_every_mistake_is_told_at_once(capsys, tmp_path):
    flags = ["--fresh", "--append", "--workers", "0", "--shard-size", "big", "--checkpoint", "x"]
    flags += ["--flac", "--no-standardization", "--target-db", "3"]
    assert run(["speech", "gather", "demo", "--to", str(tmp_path / "out"), *flags]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "workbench: target_db: 3.0 is outside [-60..0]",
        "workers: 0 is outside [1..]",
    ]
    flags = [word for word in flags if word not in ("--workers", "0", "--target-db", "3")]
    assert run(["speech", "gather", "demo", "--to", str(tmp_path / "out"), *flags]) == 2
    told = capsys.readouterr().err
    for said in ("fresh and append", "flac: ", "--accept-legacy", "'big' is no size"):
        assert said in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5GB", 5 * 10**9),
        ("500MB", 5 * 10**8),
        ("1.5k", 1500),
        ("2 tb", 2 * 10**12),
        ("700", 700),
        (" 1B ", 1),
    ],
)
def test_a_size_is_a_number_with_a_unit_of_thousands(text, size):
    options = GatherOptions(shard_size=text, upload_batch_size=3)
    assert options.limits == ShardLimits(rows=3, size=size)


@pytest.mark.parametrize("text", ["", "GB", "0", "0.4", "-1GB", "1e3", "5 GiB", "1,5GB", "nan"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(OptionsError, match="is no size; want as 500MB or 5GB"):
        GatherOptions(shard_size=text)


def test_patience_is_that_of_transfers():
    options = GatherOptions(attempts=3, retry_wait=0.5, timeout=7)
    assert options.retries == RetryOptions(attempts=3, first_wait_seconds=0.5, timeout_seconds=7)


# --- where from and where to


@flag("sources", "to")
def test_sources_go_to_the_target_in_the_order_in_which_they_were_named(
    source, untold, out, tmp_path, hub
):
    told = gathered_by(untold, source, "--to", out).told
    assert [(s["name"], s["kept"]) for s in told["sources"]] == [("untold", 12), ("source", 10)]
    assert [row["dataset_name"] for row in rows_of(out)] == ["untold"] * 12 + ["source"] * 10
    again = gathered_by(
        untold, source, "--to", "hf://user/out", "--work-dir", tmp_path / "work"
    ).told
    assert (again["to"], again["rows"]) == ("hf://user/out", told["rows"])
    name = "data/train-00000.parquet"
    assert hub.read("user/out", name) == (out / name).read_bytes()


@flag("all")
def test_all_gathers_every_source_that_has_a_name(out, tmp_path, untold, hub):
    clips = layouts.clips_of(untold)
    copies = {
        "GigaSpeech2": layouts.write_gigaspeech2,
        "MozillaCommonVoice": layouts.write_common_voice_hub,
        "ProcessedVoiceTH": layouts.write_processed_voice_th,
    }
    assert set(copies) == set(NAMED)
    for name, write in copies.items():
        write(tmp_path / name, clips)
        repo = NAMED[name].removeprefix("hf://")
        HfApi().create_repo(repo, repo_type="dataset")
        HfApi().upload_folder(folder_path=tmp_path / name, repo_id=repo, repo_type="dataset")
    told = gathered_by("--all", "--sample", "--sample-size", 2, "--to", out).told
    assert [(s["name"], s["kept"]) for s in told["sources"]] == [(name, 2) for name in NAMED]
    assert [row["dataset_name"] for row in rows_of(out)] == [n for n in NAMED for _ in range(2)]


@flag("fresh")
def test_fresh_starts_a_new_generation_of_other_settings(source, out):
    gathered_by(source, "--to", out, "--upload-batch-size", 4)
    assert "--fresh" in gathered_by(source, "--to", out, "--no-trim", code=2).error
    told = gathered_by(source, "--to", out, "--no-trim", "--fresh").told
    assert (told["rows"], told["added"], told["shards"]) == (10, 10, 1)
    assert [name for name in files_of(out) if name.startswith("data/")] == [
        "data/train-00000.parquet"
    ]


@flag("append")
def test_append_adds_a_source_behind_what_is_there(source, untold, out):
    gathered_by(source, "--to", out)
    assert "--append" in gathered_by(untold, "--to", out, code=2).error
    told = gathered_by(untold, "--to", out, "--append").told
    assert (told["rows"], told["added"]) == (22, 12)
    assert [row["ID"] for row in rows_of(out)] == [f"S{n}" for n in range(1, 23)]


# --- which rows, and in which shards


@flag("language")
def test_language_keeps_rows_of_one_language_and_nothing_keeps_all(source, tmp_path):
    whole = [row for row in range(12) if row != BROKEN]
    for said, want in (
        (["--language", "en"], [ENGLISH]),
        (["--language", ""], whole),
        ([], [row for row in whole if row != ENGLISH]),
    ):
        folder = tmp_path / f"out {said}"
        gathered_by(source, "--to", folder, *said)
        assert places(folder) == want
    assert {row["Language"] for row in rows_of(tmp_path / "out ['--language', '']")} == {"th", "en"}


@flag("sample")
def test_a_sample_is_the_first_rows_of_each_source(source, untold, out):
    told = gathered_by(source, untold, "--to", out, "--sample").told
    assert [s["kept"] for s in told["sources"]] == [5, 5]
    assert places(out) == [0, 1, 2, 4, 6, 0, 1, 2, 3, 4]


@flag("sample_size")
def test_sample_size_is_how_many_rows_a_sample_keeps(source, tmp_path):
    gathered_by(source, "--to", tmp_path / "two", "--sample", "--sample-size", 2)
    assert places(tmp_path / "two") == [0, 1]
    gathered_by(source, "--to", tmp_path / "all", "--sample-size", 2)
    assert len(places(tmp_path / "all")) == 10


@flag("streaming_batch_size")
def test_streaming_batch_size_is_how_many_rows_are_worked_on_at_a_time(untold, out):
    HEARD.clear()
    gathered_by(untold, "--to", out, *STT, "--streaming-batch-size", 4)
    assert [count for count, _ in HEARD] == [4, 2, 4, 2]


@flag("upload_batch_size")
def test_upload_batch_size_is_how_many_rows_a_shard_has(source, out):
    told = gathered_by(source, "--to", out, "--upload-batch-size", 4).told
    assert told["shards"] == 3
    assert [name for name in sorted(files_of(out)) if name.startswith("data/")] == [
        f"data/train-{number:05d}.parquet" for number in range(3)
    ]


@flag("shard_size")
def test_shard_size_is_how_many_bytes_a_shard_has(untold, out):
    told = gathered_by(untold, "--to", out, "--shard-size", "40kB").told
    sizes = [file.stat().st_size for file in sorted((out / "data").iterdir())]
    assert len(sizes) == told["shards"] > 2
    assert max(sizes) < 50_000  # the footer is not counted
    assert min(sizes[:-1]) > 20_000


# --- what becomes of the sound


@flag("standardization")
def test_without_standardization_sound_passes_as_it_is(source, out):
    gathered_by(source, "--to", out, "--no-standardization")
    clips = layouts.clips_of(source)
    kept = [clips[row].wav for row in places(out)]
    assert [row["audio"]["bytes"] for row in rows_of(out)] == kept
    assert {row["audio"]["path"] for row in rows_of(out)} == {None}


@flag("sample_rate")
@pytest.mark.parametrize(("flags", "rate"), [((), 16_000), (("--sample-rate", 8000), 8000)])
def test_sample_rate_is_that_of_every_clip(source, out, flags, rate):
    gathered_by(source, "--to", out, *flags)
    sounds = sounds_of(out)
    assert {(s.samplerate, s.channels, s.subtype) for s in sounds} == {(rate, 1, "PCM_16")}
    assert rate != RATE


@flag("target_db")
def test_target_db_is_the_level_of_every_clip(source, out):
    gathered_by(source, "--to", out, "--target-db", -30)
    assert levels(out) == pytest.approx([-30] * 10, abs=0.1)


@flag("volume_norm")
def test_without_volume_norm_levels_stay(source, tmp_path):
    gathered_by(source, "--to", tmp_path / "brought")
    gathered_by(source, "--to", tmp_path / "left", "--no-volume-norm")
    assert levels(tmp_path / "brought") == pytest.approx([-20] * 10, abs=0.1)
    assert max(levels(tmp_path / "left")) < -22


@flag("trim")
def test_without_trim_silence_stays(source, tmp_path):
    gathered_by(source, "--to", tmp_path / "cut")
    gathered_by(source, "--to", tmp_path / "left", "--no-trim")
    whole = SECONDS + 2 * IDLE
    assert lengths(tmp_path / "left") == pytest.approx([whole] * 10, abs=0.001)
    assert max(lengths(tmp_path / "cut")) < SECONDS + IDLE


@flag("flac")
def test_flac_holds_the_same_samples_in_fewer_bytes(source, tmp_path):
    gathered_by(source, "--to", tmp_path / "wav")
    gathered_by(source, "--to", tmp_path / "flac", "--flac")
    wav, flac = sounds_of(tmp_path / "wav"), sounds_of(tmp_path / "flac")
    assert [sound.format for sound in (*wav[:1], *flac[:1])] == ["WAV", "FLAC"]
    for one, other in zip(wav, flac, strict=True):
        assert (one.read(dtype="int16") == other.read(dtype="int16")).all()
    size = {
        kind: sum(len(row["audio"]["bytes"]) for row in rows_of(tmp_path / kind))
        for kind in ("wav", "flac")
    }
    assert size["flac"] < 0.95 * size["wav"]
    assert rows_of(tmp_path / "flac")[0]["audio"]["path"] == "S1.flac"
    assert rows_of(tmp_path / "wav")[0]["audio"]["path"] == "S1.wav"


@flag("workers")
def test_workers_are_threads_beside_this_one_and_change_no_row(untold, tmp_path):
    said = {}
    for workers in (1, 2):
        HEARD.clear()
        flags = ["--workers", workers, "--streaming-batch-size", 1]
        gathered_by(untold, "--to", tmp_path / f"{workers}", *STT, *flags)
        said[workers] = {beside for _, beside in HEARD}
    assert said[1] == {0}
    assert said[2] <= {1, 2}
    assert rows_of(tmp_path / "2") == rows_of(tmp_path / "1")


@flag("engine")
def test_engine_is_what_the_workers_are(untold, tmp_path):
    HEARD.clear()
    flags = ["--workers", 2, "--engine", "processes", *STT]
    gathered_by(untold, "--to", tmp_path / "processes", *flags)
    assert {beside for _, beside in HEARD} == {0}  # no thread of this process
    gathered_by(untold, "--to", tmp_path / "threads", *STT)
    assert rows_of(tmp_path / "processes") == rows_of(tmp_path / "threads")
    told = gathered_by(untold, "--to", tmp_path / "none", "--engine", "fibres", code=2)
    assert "engine: 'fibres' is none of 'threads', 'processes'" in told.error


# --- speech-to-text


@flag("enable_stt")
def test_stt_writes_only_the_transcripts_that_are_missing(source, tmp_path):
    gathered_by(source, "--to", tmp_path / "without")
    gathered_by(source, "--to", tmp_path / "with", *STT)
    for folder, said, sure in (
        ("without", "[NO_TRANSCRIPT]", 0.0),
        ("with", r"0\.\d seconds", 0.75),
    ):
        rows = dict(zip(places(tmp_path / folder), rows_of(tmp_path / folder), strict=True))
        missing = rows.pop(UNTOLD)
        assert missing["transcript"] == said or re.fullmatch(said, missing["transcript"])
        assert missing["confidence_score"] == sure
        told = [(row["transcript"], row["confidence_score"]) for row in rows.values()]
        assert told == [(f"sentence {number}", 1.0) for number in rows]


@flag("stt_engines")
def test_stt_engines_are_what_hears(source, out):
    HEARD.clear()
    told = gathered_by(source, "--to", out, *STT).told
    assert len(HEARD) == told["sources"][0]["transcribed"] == 1
    flags = ["--enable-stt", "--stt-engines", "tiny_speech:deaf", "--fresh"]
    assert (
        "deaf is nothing in tiny_speech" in gathered_by(source, "--to", out, *flags, code=5).error
    )


@flag("stt_batch_size")
def test_stt_batch_size_is_how_many_clips_an_engine_is_given(untold, out):
    HEARD.clear()
    gathered_by(untold, "--to", out, *STT, "--stt-batch-size", 4)
    assert [count for count, _ in HEARD] == [4, 2, 4, 2]


# --- behind an older program


@flag("accept_legacy")
def test_accept_legacy_goes_on_behind_an_older_program(source, out):
    write_older(out, [3, 1])
    before = files_of(out / "data")
    assert "--accept-legacy" in gathered_by(source, "--to", out, code=2).error
    assert files_of(out / "data") == before
    assert not (out / "_state").exists()
    told = gathered_by(source, "--to", out, "--accept-legacy").told
    assert told["rows"] == 6
    assert [row["ID"] for row in rows_of(out)] == [f"S{n}" for n in range(5, 11)]
    assert places(out) == [6, 7, 8, 9, 10, 11]


@flag("checkpoint")
def test_a_checkpoint_is_compared_with_what_is_there(source, out, tmp_path, caplog):
    write_older(out, [3, 1])
    path = tmp_path / "source_streaming_checkpoint.json"
    path.write_text('{"mode": "streaming", "shard_num": 2, "samples_processed": 9}')
    assert "--accept-legacy" in gathered_by(source, "--to", out, "--checkpoint", path, code=2).error
    gathered_by(source, "--to", out, "--checkpoint", path, "--accept-legacy")
    assert "tells of 9 rows, the target holds 4; the target is believed" in caplog.text
    assert places(out) == [6, 7, 8, 9, 10, 11]


# --- how it is carried out


@flag("dry_run")
def test_dry_run_tells_what_would_be_done_and_changes_nothing(source, untold, out):
    told = gathered_by(source, "--to", out, "--dry-run").told
    assert [(s["files"], s["rows"]) for s in told["sources"]] == [(2, 12)]
    assert not out.exists()


@flag("private")
@pytest.mark.parametrize("flags", [(), ("--private",)])
def test_private_is_said_of_a_repository_that_is_made(source, tmp_path, hub, flags):
    gathered_by(source, "--to", "hf://user/out", "--work-dir", tmp_path / "work", *flags)
    assert HfApi().dataset_info("user/out").private == bool(flags)


@flag("attempts")
@pytest.mark.parametrize(("attempts", "code"), [(2, 6), (3, 0)])
def test_attempts_are_how_often_a_request_is_made(source, tmp_path, hub, attempts, code):
    hub.faults.add(match=COMMIT, kind="503", times=2)
    flags = ["--attempts", attempts, "--retry-wait", 0, "--work-dir", tmp_path / "work"]
    gathered_by(source, "--to", "hf://user/out", *flags, code=code)
    assert len(hub.faults.taken) == 2


@flag("retry_wait")
@pytest.mark.parametrize("wait", [0, 0.3])
def test_retry_wait_is_how_long_a_second_attempt_is_put_off(source, tmp_path, hub, caplog, wait):
    hub.faults.add(match=COMMIT, kind="503")
    flags = ["--retry-wait", wait, "--work-dir", tmp_path / "work"]
    gathered_by(source, "--to", "hf://user/out", *flags)
    waits = [float(found) for found in re.findall(r"again in (\S+) s", caplog.text)]
    assert len(waits) == 1
    assert wait <= waits[0] <= 2 * wait


@flag("timeout")
def test_timeout_is_how_long_a_connection_may_be_silent(source, tmp_path, hub):
    hub.faults.add(match="GET /api/datasets/user/out", kind="stall", after_bytes=0, seconds=20)
    flags = ["--timeout", 0.3, "--attempts", 1, "--work-dir", tmp_path / "work"]
    begun = time.monotonic()
    gathered_by(source, "--to", "hf://user/out", *flags, code=6)
    assert 0.3 <= time.monotonic() - begun < 8


@flag("work_dir")
def test_work_dir_is_where_shards_wait_and_keeps_what_else_is_there(
    source, tmp_path, hub, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    hub.faults.add(match=COMMIT, kind="503", times=None, skip=1)
    flags = ["--attempts", 1, "--to", "hf://user/out"]
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("mine")
    gathered_by(source, *flags, "--work-dir", tmp_path / "work", code=6)
    (own,) = (tmp_path / "work").glob("gather-*")
    assert "train-00000.parquet" in files_of(own)
    gathered_by(source, "--to", tmp_path / "there", "--work-dir", tmp_path / "work")
    assert (tmp_path / "work" / "thesis.txt").read_text() == "mine"
    assert [path.name for path in (tmp_path / "work").glob("gather-*")] == [own.name]
    assert not (tmp_path / "home").exists()
    gathered_by(source, *flags, code=6)
    (kept,) = (tmp_path / "home" / ".cache" / "workbench" / "gather").iterdir()
    assert "train-00000.parquet" in files_of(kept)
