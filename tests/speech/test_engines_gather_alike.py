"""Engines: whoever cleans, the rows are the same bytes, and a clip that kills its reader is out.

The clip of `deadly` is real: the machine that `tests/deadly` makes kills each worker process that
opens its file, as it would one that takes all memory.
"""

import json
import pickle

import layouts
import pyarrow as pa
import pytest
from huggingface_hub import HfApi
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import burst, file_of
from tiny_speech import files_of, rows_of, write_speech

from workbench.errors import OptionsError, SourceError
from workbench.progress import silent
from workbench.speech.audio import AudioOptions
from workbench.speech.cleaning import Cleaning, Records, cleaned, joined
from workbench.speech.commands import target
from workbench.speech.fields import Columns
from workbench.speech.gather import gather
from workbench.speech.options import GatherOptions
from workbench.speech.source import CLIPS
from workbench.speech.sources import open_speech_source

SOUNDS = [*(file_of(burst(0.1, sample_rate=8000, seed=n), 8000) for n in range(3)), b"none", None]
ROWS = st.fixed_dictionaries(
    {
        "audio": st.sampled_from(SOUNDS),
        "sentence": st.sampled_from([None, "", "ก", "ก" * 10_001]),
        "client_id": st.sampled_from([None, "me"]),
        "locale": st.sampled_from([None, "th", "en"]),
    }
)
CLEANING = Cleaning(
    clips_of=Columns(place="rows"), language="th", audio=AudioOptions(sample_rate=8000)
)
SCHEMA = pa.schema(
    [
        ("audio", pa.binary()),
        ("sentence", pa.string()),
        ("client_id", pa.dictionary(pa.int8(), pa.string())),
        ("locale", pa.string()),
    ]
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twelve clips, one broken, one English, one without a transcript, in two Parquet files."""
    return write_speech(tmp_path_factory.mktemp("engines") / "source")


@pytest.fixture(scope="module")
def archives(source):
    """The same in archives, with lists beside them."""
    folder = source.with_name("archives")
    layouts.write_gigaspeech2(folder, layouts.clips_of(source))
    return folder


@pytest.fixture(scope="module")
def clips(source):
    """The same as files of a folder, one of which kills whoever else than this process opens it."""
    folder = source.with_name("clips")
    names = layouts.write_common_voice_download(folder, layouts.clips_of(source))
    home = folder / layouts.COMMON_VOICE_RELEASE / "th"
    name = sorted(names.values())[6]
    killer = f"kills_its_reader {name}"
    (home / "clips" / name).rename(home / "clips" / killer)
    table = home / "validated.tsv"
    table.write_text(table.read_text().replace(f"\t{name}\t", f"\t{killer}\t"))
    return home


def gathered(said, to, show=silent, **options):
    chosen = GatherOptions(**{"streaming_batch_size": 5, "upload_batch_size": 4} | options)
    sink, work = target(str(to), chosen)
    return gather([said], sink, work, chosen, show)


def content_of(folder):
    """Return what a gather wrote, without what names the folder or is left of the work."""
    return {n: c for n, c in files_of(folder).items() if not n.startswith((".", "README"))}


def records_of(rows, schema=SCHEMA):
    return Records(name="some rows", batch=pa.RecordBatch.from_pylist(rows, schema))


# --- the same bytes


@settings(max_examples=40)
@given(st.lists(ROWS, min_size=1, max_size=8))
def test_rows_cleaned_one_by_one_are_those_of_their_batch(rows):
    records = records_of(rows)
    whole, parts = CLEANING(records), [CLEANING(single) for single in records.singles()]
    assert joined(parts).rows.equals(whole.rows)
    assert joined(parts).skips == whole.skips


@settings(max_examples=40)
@given(st.lists(ROWS, min_size=1, max_size=8), st.data())
def test_records_arrive_as_they_were_and_a_part_takes_only_itself_along(rows, data):
    start = data.draw(st.integers(0, len(rows) - 1))
    batch = records_of(rows).batch.slice(start, data.draw(st.integers(1, len(rows) - start)))
    sent = pickle.dumps(Records(name="a part", batch=batch))
    arrived = pickle.loads(sent)
    assert (str(arrived), arrived.batch.schema) == ("a part", SCHEMA)
    assert arrived.batch.to_pylist() == batch.to_pylist()
    size = sum(
        len(row["audio"] or b"") + len((row["sentence"] or "").encode())
        for row in batch.to_pylist()
    )
    assert len(sent) < size + 4096


def test_rows_one_by_one_that_are_too_much_together_are_refused_as_their_batch_is():
    rows = [{"audio": SOUNDS[0], "transcript": "x"} for _ in range(3)]
    parts = [cleaned(pa.RecordBatch.from_pylist([row], CLIPS), "", CLEANING.audio) for row in rows]
    size = len(parts[0].rows["audio"][0].as_py())
    assert joined(parts, most_bytes=3 * size).rows.num_rows == 3
    with pytest.raises(SourceError, match="smaller --streaming-batch-size"):
        joined(parts, most_bytes=3 * size - 1)


@pytest.mark.parametrize(
    ("kind", "engine"),
    [
        ("source", "threads"),
        ("clips", "threads"),
        ("archives", "threads"),
        ("archives", "processes"),
        pytest.param("source", "processes", marks=pytest.mark.soak),
        pytest.param("clips", "processes", marks=pytest.mark.soak),
    ],
)
def test_every_engine_gathers_the_same_files(request, tmp_path, kind, engine):
    folder = request.getfixturevalue(kind)
    said = f"GigaSpeech2={folder}" if kind == "archives" else str(folder)
    one = gathered(said, tmp_path / "one")
    assert one.state.rows >= 9
    gathered(said, tmp_path / "other", workers=2, engine=engine)
    assert content_of(tmp_path / "other") == content_of(tmp_path / "one")


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["source", "archives", "clips"])
def test_a_cluster_gathers_the_same_files_also_of_relative_folders(
    request, cluster, tmp_path, monkeypatch, kind
):
    folder = request.getfixturevalue(kind)
    monkeypatch.chdir(folder.parent)
    said = f"GigaSpeech2={folder.name}" if kind == "archives" else folder.name
    gathered(said, tmp_path / "one")
    gathered(said, tmp_path / "other", engine=cluster)
    assert content_of(tmp_path / "other") == content_of(tmp_path / "one")


@pytest.mark.soak
def test_a_gather_goes_on_under_another_engine(source, tmp_path):
    def stop(progress):
        if progress.done >= 10:
            raise KeyboardInterrupt

    small = {"upload_batch_size": 2, "streaming_batch_size": 2, "workers": 2}
    gathered(str(source), tmp_path / "one", **small)
    with pytest.raises(KeyboardInterrupt):
        gathered(str(source), tmp_path / "other", stop, **small)
    done = gathered(str(source), tmp_path / "other", engine="processes", **small)
    assert 0 < done.rows < done.state.rows
    assert content_of(tmp_path / "other") == content_of(tmp_path / "one")


def test_lists_go_to_workers_as_a_file_and_without_the_token_of_their_place(
    hub, archives, tmp_path
):
    HfApi().create_repo("user/speech", repo_type="dataset")
    HfApi().upload_folder(folder_path=archives, repo_id="user/speech", repo_type="dataset")
    said = "GigaSpeech2=hf://user/speech"
    source = open_speech_source(said, tmp_path / "work", GatherOptions())
    assert hub.token in str(source.list.headers)
    assert not list((tmp_path / "work").rglob("*.sqlite"))
    prepared = source.prepared()
    assert prepared.transcripts.path.is_file()
    assert hub.token.encode() not in pickle.dumps(prepared)


def test_an_engine_that_is_none_is_refused():
    with pytest.raises(OptionsError, match=r"^engine: 'fibres' is none of"):
        GatherOptions(engine="fibres")


# --- a clip that kills its reader


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["processes", "deadly_cluster"])
def test_a_clip_that_kills_its_worker_is_left_out_by_name_and_the_others_arrive(
    request, clips, tmp_path, engine
):
    gathered(str(clips), tmp_path / "all")
    request.getfixturevalue("deadly")
    engine = request.getfixturevalue(engine) if "cluster" in engine else engine
    done = gathered(str(clips), tmp_path / "out", workers=2, engine=engine)
    (source,) = done.state.sources
    assert source.skipped["killed_worker"] == 1
    logs = sorted((tmp_path / "out" / "_skipped").iterdir())
    skips = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    (killed,) = (skip for skip in skips if skip["reason"] == "killed_worker")
    every, found = rows_of(tmp_path / "all"), rows_of(tmp_path / "out")
    expected = [row for row in every if row["source_ref"]["row"] != killed["row"]]
    assert len(expected) == len(every) - 1 == len(found)
    for row, same in zip(found, expected, strict=True):
        for name in ("source_ref", "transcript", "speaker_id"):
            assert row[name] == same[name]
        assert row["audio"]["bytes"] == same["audio"]["bytes"]
