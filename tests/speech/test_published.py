"""Gathered datasets as anyone reads them, clips decoded."""

import shutil

import numpy as np
import pytest
from huggingface_hub import HfApi
from tiny_speech import ENGLISH, IDLE, SECONDS, UNTOLD, gathered_by, rows_of, write_speech

from workbench.errors import OptionsError, SpeechError
from workbench.speech.options import GatherOptions
from workbench.speech.published import compared, published_clips, published_rows


@pytest.fixture(scope="module")
def gathered(tmp_path_factory):
    """A folder of two shards, of one setting of level and rate."""
    place = tmp_path_factory.mktemp("published")
    flags = ["--upload-batch-size", 6, "--target-db", -25, "--sample-rate", 8000]
    gathered_by(write_speech(place / "source"), "--to", place / "out", *flags)
    return place / "out"


def test_rows_of_a_folder_are_those_of_its_shards(gathered):
    assert list(published_rows(str(gathered))) == rows_of(gathered)


def test_rows_of_a_repository_are_those_of_its_shards(gathered, tmp_path, hub):
    source = gathered.with_name("source")
    told = gathered_by(source, "--to", "hf://user/out", "--work-dir", tmp_path / "work").told
    rows = list(published_rows("hf://user/out"))
    assert [row["ID"] for row in rows] == [f"S{n}" for n in range(1, told["rows"] + 1)]
    assert {row["dataset_name"] for row in rows} == {"source"}


def test_clips_are_decoded_in_the_order_of_their_ids(gathered):
    clips = published_clips(str(gathered))
    rows = rows_of(gathered)
    assert [clip.id for clip in clips] == [row["ID"] for row in rows]
    assert [clip.transcript for clip in clips] == [row["transcript"] for row in rows]
    assert [clip.confidence for clip in clips] == [row["confidence_score"] for row in rows]
    assert [clip.seconds for clip in clips] == pytest.approx([row["length"] for row in rows])
    assert {clip.sample_rate for clip in clips} == {8000}
    assert {clip.samples.dtype for clip in clips} == {np.dtype(np.float32)}
    assert [clip.level_db for clip in clips] == pytest.approx([-25] * 10, abs=0.1)
    assert all(0 < clip.seconds < SECONDS + 2 * IDLE for clip in clips)
    assert clips[UNTOLD - 2].confidence == 0  # two before it were left out
    assert f"sentence {ENGLISH}" not in [clip.transcript for clip in clips]


@pytest.mark.parametrize("count", [0, 1, 7, 99])
def test_no_more_clips_are_read_than_asked_for(gathered, count):
    clips = published_clips(str(gathered), count)
    assert [clip.id for clip in clips] == [f"S{n}" for n in range(1, min(count, 10) + 1)]


def test_a_clip_that_cannot_be_decoded_is_told_by_its_id(gathered, tmp_path):
    source = write_speech(tmp_path / "source", rows=3, files=1, plain=True)
    out = tmp_path / "out"
    gathered_by(source, "--to", out)
    (shard,) = (out / "data").iterdir()
    content = rows_of(out)[1]["audio"]["bytes"]
    whole = shard.read_bytes()
    assert whole.count(content[:4]) == 3
    at = whole.index(content[:4], whole.index(content[:4]) + 1)
    shard.write_bytes(whole[:at] + b"RAFF" + whole[at + 4 :])
    assert [clip.id for clip in published_clips(str(out), 1)] == ["S1"]
    with pytest.raises(SpeechError, match=r"S2: cannot be decoded .*gather it again"):
        published_clips(str(out))


def test_a_place_without_a_user_is_refused():
    with pytest.raises(OptionsError, match="want hf://user/name"):
        published_clips("hf://name")


def uploaded(folder):
    """Put a folder into a repository of a source; what was there and is not in it goes."""
    api = HfApi()
    api.create_repo("user/source", repo_type="dataset", exist_ok=True)
    api.upload_folder(
        folder_path=folder, repo_id="user/source", repo_type="dataset", delete_patterns="*"
    )


@pytest.mark.parametrize("place", ["{}/out", "hf://user/out"])
def test_clips_are_compared_with_the_revision_that_was_gathered(gathered, tmp_path, hub, place):
    place, said = place.format(tmp_path), "hf://user/source"
    uploaded(gathered.with_name("source"))
    flags = ["--to", place, "--work-dir", tmp_path / "work"]
    gathered_by(said, *flags)
    before = compared(place, said, tmp_path / "work", GatherOptions())
    assert before.seconds_before == pytest.approx([SECONDS + 2 * IDLE] * 10)
    uploaded(write_speech(tmp_path / "newer", rows=4, files=1, plain=True))
    after = compared(place, said, tmp_path / "work", GatherOptions())
    for name in ("seconds_before", "level_before_db", "seconds_after", "level_after_db"):
        assert getattr(after, name).tolist() == getattr(before, name).tolist()


def test_a_dataset_without_a_state_is_compared_with_the_source_as_it_is(gathered, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(gathered, out)
    shutil.rmtree(out / "_state")
    options = GatherOptions(target_db=-25, sample_rate=8000)
    found = compared(str(out), str(gathered.with_name("source")), tmp_path / "work", options)
    assert len(found.seconds_before) == 10
