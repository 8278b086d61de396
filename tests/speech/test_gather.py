"""Laws of gathering: an interruption at any moment changes nothing in the end."""

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from huggingface_hub import HfApi
from tiny_speech import write_speech

from workbench.cli import run
from workbench.demo.speech import SpeechCorpus, SpeechCorpusOptions, make_speech_corpus
from workbench.errors import AccessError, OptionsError, SinkError, SourceError
from workbench.progress import Progress, silent
from workbench.speech.commands import target
from workbench.speech.gather import Gathered, gather
from workbench.speech.options import GatherOptions
from workbench.speech.source import SpeechSource
from workbench.speech.sources import iterable_speech_source
from workbench.speech.state import read_state

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

    state = tmp_path / "out" / "_state" / "state.json"

    def meddle(progress: Progress) -> None:
        if progress.numbers["shards"] == 2:
            while state.exists() and json.loads(state.read_bytes()).get("shards", 2) < 2:
                time.sleep(0.001)  # the second is on its way
            state.write_text("{}")

    with pytest.raises(SinkError, match="somebody else"):
        gather([str(corpus.folder)], sink, work, chosen, meddle)


# --- what cannot be told apart, and what is not lost


def twelve(folder: Path) -> str:
    return str(write_speech(folder, plain=True))


def test_a_token_that_is_refused_once_loses_nothing_of_two_sources(
    tmp_path: Path, hub: HubServer
) -> None:
    said = [twelve(tmp_path / "one"), twelve(tmp_path / "two")]
    options = {"upload_batch_size": 5, "streaming_batch_size": 4, "work_dir": tmp_path / "w"}
    hub.faults.add(match=r"POST .*/commit/", kind="403", skip=1)
    with pytest.raises(SinkError, match="refused the token") as caught:
        gathered_from(said, "hf://user/out", **options)
    assert isinstance(caught.value, AccessError)
    assert caught.value.exit_code == 3
    assert gathered_from(said, "hf://user/out", **options).state.rows == 24
    gathered_from(said, "hf://user/whole", **{**options, "work_dir": tmp_path / "v"})
    assert hub.digest("user/out", "data/") == hub.digest("user/whole", "data/")


def test_sources_of_one_name_are_refused_and_may_be_named(tmp_path: Path) -> None:
    one, two = twelve(tmp_path / "a" / "source"), twelve(tmp_path / "b" / "source")
    with pytest.raises(OptionsError, match=r"called source already; .*give .*b/source\?name=NAME"):
        gathered_from([one, two], tmp_path / "out")
    gathered_from([one], tmp_path / "out")
    with pytest.raises(OptionsError, match="called source already"):
        gathered_from([one + "/"], tmp_path / "out", append=True)
    gathered_from([two + "?name=other"], tmp_path / "out", append=True)
    told = rows_of(tmp_path / "out").select(["dataset_name", "speaker_id"]).to_pylist()
    assert len({(row["dataset_name"], row["speaker_id"]) for row in told}) == 4
    assert len({row["speaker_id"] for row in told}) == 4


def test_a_card_that_is_edited_meanwhile_keeps_what_was_written(
    tmp_path: Path, hub: HubServer
) -> None:
    api = HfApi()

    def edit(progress: Progress) -> None:
        if progress.numbers["shards"] == 1 and not edited:
            edited.append(True)
            text = hub.read("user/out", "README.md").decode()
            api.upload_file(
                path_or_fileobj=(text + "\nMine: CC0.\n").encode(),
                path_in_repo="README.md",
                repo_id="user/out",
                repo_type="dataset",
            )

    edited: list[bool] = []
    chosen = GatherOptions(  # type: ignore[arg-type]
        **{**SMALL, "upload_batch_size": 5, "streaming_batch_size": 4, "work_dir": tmp_path / "w"}
    )
    sink, work = target("hf://user/out", chosen)
    gather([twelve(tmp_path / "source")], sink, work, chosen, edit)
    card = hub.read("user/out", "README.md").decode()
    assert edited
    assert "Mine: CC0." in card
    assert "num_examples: 12" in card


def test_speech_to_text_that_fails_is_told_and_not_counted_as_transcripts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_speech(tmp_path / "source")
    tokens = ["speech", "gather", str(source), "--to", str(tmp_path / "out"), "--enable-stt"]
    assert run([*tokens, "--stt-engines", "test_gather:deaf", "--json"]) == 5
    (state,) = json.loads(capsys.readouterr().out)["sources"]
    assert (state["unheard"], state["transcribed"]) == (1, 0)


def deaf(clips: list[object]) -> list[tuple[str, float]]:
    raise RuntimeError("no model")


def test_a_sample_that_was_whole_when_it_was_stopped_is_left_as_it_is(tmp_path: Path) -> None:
    said = [twelve(tmp_path / "source")]
    options = {"sample": True, "sample_size": 4, "upload_batch_size": 4, "streaming_batch_size": 4}
    chosen = GatherOptions(**{**SMALL, **options})  # type: ignore[arg-type]
    sink, work = target(str(tmp_path / "out"), chosen)
    whole = read_state(gathered_from(said, tmp_path / "whole", **options).state.to_bytes(), "whole")
    (source,) = whole.sources
    stopped = replace(whole, sources=(replace(source, is_done=False, file=0, row=4),))
    gathered_from(said, tmp_path / "out", **options)
    (tmp_path / "out" / "_state" / "state.json").write_bytes(stopped.to_bytes())
    assert gather(said, sink, work, chosen).state == whole


def test_rows_before_a_source_that_fails_last_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad" / "a.parquet"
    bad.parent.mkdir()
    pq.write_table(pa.table({"audio": [b"x"] * 9, "sentence": ["y"] * 9}), bad)
    bad.write_bytes(bad.read_bytes()[:60] + b"\0" * 60 + bad.read_bytes()[120:])
    said = [twelve(tmp_path / "source"), str(bad.parent)]
    assert run(["speech", "gather", *said, "--to", str(tmp_path / "out"), "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["withheld"]) == (0, 12)
    assert run(["speech", "gather", said[0], "--to", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 12


def test_an_iterable_dataset_is_gathered_and_gone_on_with(tmp_path: Path) -> None:
    import datasets

    place = twelve(tmp_path / "source")

    def source() -> SpeechSource:
        files = sorted(str(file) for file in Path(place).rglob("*.parquet"))
        rows = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
        return iterable_speech_source(
            rows.cast_column("audio", datasets.Audio(decode=False)), "mine"
        )

    def stop(progress: Progress) -> None:
        if progress.numbers["shards"] == 2:
            raise KeyboardInterrupt

    chosen = GatherOptions(  # type: ignore[arg-type]
        **{**SMALL, "upload_batch_size": 3, "streaming_batch_size": 2}
    )
    for name, shows in (("whole", [silent]), ("parts", [stop, silent])):
        sink, work = target(str(tmp_path / name), chosen)
        for show in shows:
            with suppress(KeyboardInterrupt):
                gather([source()], sink, work, chosen, show)
    assert len(rows_of(tmp_path / "whole")) == 12
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")
