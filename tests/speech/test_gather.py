"""Laws of gathering: an interruption at any moment changes nothing in the end."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer

from workbench.demo.speech import SpeechCorpus, SpeechCorpusOptions, make_speech_corpus
from workbench.errors import OptionsError, SinkError, SourceError
from workbench.progress import Progress
from workbench.speech.commands import target
from workbench.speech.gather import Gathered, gather
from workbench.speech.options import GatherOptions

SMALL = {
    "streaming_batch_size": 7,
    "upload_batch_size": 20,
    "attempts": 3,
    "retry_wait": 0.05,
    "timeout": 2.0,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> SpeechCorpus:
    folder = tmp_path_factory.mktemp("corpus") / "speech"
    options = SpeechCorpusOptions(clips=120, seconds=0.5, corrupt=0.1, shards=3)
    return make_speech_corpus(folder, options)


def gathered(corpus: SpeechCorpus, to: Path | str, **options: object) -> Gathered:
    return gathered_from([str(corpus.folder)], to, **options)


def gathered_from(said: list[str], to: Path | str, **options: object) -> Gathered:
    chosen = GatherOptions(**{**SMALL, **options})  # type: ignore[arg-type]
    sink, work = target(str(to), chosen)
    return gather(said, sink, work, chosen)


def digests(folder: Path, *, whole: bool = True) -> dict[str, str]:
    """Return the SHA-256 of every file, or of the data alone."""
    names = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in names.items()
        if file.is_file()
        and not name.startswith((".", "README"))  # a card is headed by the name of its folder
        and (whole or name.startswith(("data/", "_skipped/")))
    }


def rows_of(folder: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(file) for file in sorted(folder.glob("data/*.parquet")))


def test_every_valid_row_arrives_once_and_every_other_is_counted(
    corpus: SpeechCorpus, tmp_path: Path
) -> None:
    done = gathered(corpus, tmp_path / "out")
    table = rows_of(tmp_path / "out")
    want = [(row.file, row.row) for row in corpus.rows if row.is_valid and row.locale == "th"]
    got = [(ref["file"], ref["row"]) for ref in table["source_ref"].to_pylist()]
    assert got == want
    assert table["ID"].to_pylist() == [f"S{n}" for n in range(1, len(want) + 1)]
    skipped = sum(done.state.sources[0].skipped.values())
    assert skipped == len(corpus.rows) - len(want)
    logs = sorted((tmp_path / "out" / "_skipped").iterdir())
    told = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    bad = [(row.file, row.row) for row in corpus.rows if (row.file, row.row) not in set(want)]
    assert [(line["file"], line["row"]) for line in told] == bad


def test_the_rows_are_the_same_with_any_batch_and_any_number_of_workers(
    corpus: SpeechCorpus, tmp_path: Path
) -> None:
    gathered(corpus, tmp_path / "a")
    gathered(corpus, tmp_path / "b", streaming_batch_size=64)
    gathered(corpus, tmp_path / "c", workers=2)
    assert digests(tmp_path / "a") == digests(tmp_path / "b") == digests(tmp_path / "c")


def test_fresh_twice_is_fresh_once(corpus: SpeechCorpus, tmp_path: Path) -> None:
    gathered(corpus, tmp_path / "out", fresh=True)
    once = digests(tmp_path / "out", whole=False)
    again = gathered(corpus, tmp_path / "out", fresh=True)
    assert digests(tmp_path / "out", whole=False) == once
    assert again.state.generation == 2


def test_the_same_command_again_adds_nothing(corpus: SpeechCorpus, tmp_path: Path) -> None:
    gathered(corpus, tmp_path / "out")
    before = digests(tmp_path / "out")
    assert gathered(corpus, tmp_path / "out").rows == 0
    assert digests(tmp_path / "out") == before


def test_append_goes_on_with_the_ids_and_twice_adds_nothing(
    corpus: SpeechCorpus, tmp_path: Path
) -> None:
    held = gathered(corpus, tmp_path / "out").state.rows
    with pytest.raises(OptionsError, match="--append"):
        gathered_from(["demo"], tmp_path / "out")
    added = gathered_from(["demo"], tmp_path / "out", append=True)
    ids = rows_of(tmp_path / "out")["ID"].to_pylist()
    assert ids == [f"S{n}" for n in range(1, held + added.rows + 1)]
    assert gathered_from(["demo"], tmp_path / "out", append=True).rows == 0


def test_other_settings_are_refused_all_at_once(corpus: SpeechCorpus, tmp_path: Path) -> None:
    gathered(corpus, tmp_path / "out")
    with pytest.raises(OptionsError, match=r"(?s)sample_rate: .*trim: "):
        gathered(corpus, tmp_path / "out", sample_rate=8000, trim=False)


def test_a_sample_keeps_the_first_rows(corpus: SpeechCorpus, tmp_path: Path) -> None:
    gathered(corpus, tmp_path / "all")
    gathered(corpus, tmp_path / "some", sample=True, sample_size=9)
    assert rows_of(tmp_path / "some").equals(rows_of(tmp_path / "all").slice(0, 9))


def test_a_shard_holds_no_more_bytes_than_asked_for(corpus: SpeechCorpus, tmp_path: Path) -> None:
    gathered(corpus, tmp_path / "out", shard_size="100kB", upload_batch_size=1000)
    sizes = [file.stat().st_size for file in (tmp_path / "out" / "data").iterdir()]
    assert len(sizes) > 2
    assert max(sizes) < 120_000


def test_a_source_that_is_not_there_leaves_the_target_as_it_is(
    corpus: SpeechCorpus, tmp_path: Path
) -> None:
    gathered(corpus, tmp_path / "out")
    before = digests(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no file matches"):
        gathered_from([str(tmp_path / "empty")], tmp_path / "out", fresh=True)
    assert digests(tmp_path / "out") == before


def test_a_damaged_source_fails_by_name_while_the_others_arrive(
    corpus: SpeechCorpus, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    content = bytearray(corpus.files[0].read_bytes())
    for at in range(200, len(content) // 2, 97):
        content[at] ^= 0xFF
    (bad / "a.parquet").write_bytes(content)
    done = gathered_from([str(bad), str(corpus.folder)], tmp_path / "out")
    assert list(done.failed) == [str(bad)]
    assert "a.parquet" in str(done.failed[str(bad)])
    assert done.state.sources[1].is_done


@pytest.mark.parametrize("kind", ["503", "429", "drop", "drop_after"])
def test_a_commit_that_fails_for_a_while_ends_in_the_same_bytes(
    corpus: SpeechCorpus, tmp_path: Path, hub: HubServer, kind: str
) -> None:
    gathered(corpus, "hf://user/whole", work_dir=tmp_path / "a")
    hub.faults.add(match=r"POST .*/commit/", kind=kind, times=2)
    gathered(corpus, "hf://user/faulty", work_dir=tmp_path / "b")
    assert hub.digest("user/faulty", "data/") == hub.digest("user/whole", "data/")
    assert hub.digest("user/faulty", "_state/") == hub.digest("user/whole", "_state/")


def test_a_writer_in_between_is_noticed(corpus: SpeechCorpus, tmp_path: Path) -> None:
    chosen = GatherOptions(**SMALL)  # type: ignore[arg-type]
    sink, work = target(str(tmp_path / "out"), chosen)

    def meddle(progress: Progress) -> None:
        if progress.numbers["shards"] == 2:
            (tmp_path / "out" / "_state" / "state.json").write_text("{}")

    with pytest.raises(SinkError, match="somebody else"):
        gather([str(corpus.folder)], sink, work, chosen, meddle)
