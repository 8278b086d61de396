"""Faults under a whole gather: it ends as one without them, or in a clear error, and soon.

Where it ends in an error, the same command ends as one without a fault once the fault is over.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gather_trials import digests, filling_disk
from hub_clients import clients_at
from hub_server import HubServer
from huggingface_hub import HfApi, close_session

from workbench.demo.speech import SpeechCorpus, SpeechCorpusOptions, make_speech_corpus
from workbench.errors import AccessError, SinkError, SourceError, StreamingError, WorkbenchError
from workbench.speech.commands import target
from workbench.speech.gather import Gathered, gather
from workbench.speech.options import GatherOptions

SOON = 10.0  # seconds that a gather may take under any fault
SMALL = {
    "streaming_batch_size": 7,
    "upload_batch_size": 10,
    "attempts": 3,
    "retry_wait": 0.05,
    "timeout": 0.4,
}
FROM_HUB = "hf://user/corpus"
SECOND = "GET .*/resolve/.*00001-of-00003.parquet"  # a file of the source
STEPS = {  # of a commit
    "upload": "PUT /objects/",
    "preupload": "POST .*/preupload/",
    "batch": "POST .*/objects/batch",
    "commit": "POST .*/commit/",
    "state": "GET .*/resolve/.*/_state/",
}
LITTLE = 5 << 20  # bytes of a disk


def some(*values: Any, soak: Sequence[Any]) -> list[Any]:
    """Return values to try, and further ones to try in a long trial."""
    return [*values, *(pytest.param(*_listed(each), marks=pytest.mark.soak) for each in soak)]


def _listed(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> SpeechCorpus:
    options = SpeechCorpusOptions(clips=36, seconds=0.5, corrupt=0.05, shards=3)
    return make_speech_corpus(tmp_path_factory.mktemp("corpus") / "speech", options)


@pytest.fixture(scope="module")
def served(corpus: SpeechCorpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A hub that holds the corpus, and what is gathered from it to `user/whole`."""
    folder = tmp_path_factory.mktemp("served")
    with HubServer(folder / "hub") as hub, clients_at(hub, folder / "home"):
        api = HfApi(endpoint=hub.url, token=hub.token)
        api.create_repo("user/corpus", repo_type="dataset")
        api.upload_folder(repo_id="user/corpus", repo_type="dataset", folder_path=corpus.folder)
        yield hub


@pytest.fixture(scope="module")
def whole(served: HubServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a folder holds that the corpus of the hub was gathered to, with no fault."""
    folder = tmp_path_factory.mktemp("whole") / "speech"
    gathered(FROM_HUB, folder)
    return digests(folder)


@pytest.fixture(scope="module")
def whole_repo(corpus: SpeechCorpus, served: HubServer, tmp_path_factory) -> dict[str, str]:
    """What a repository holds that the corpus of a folder was gathered to, with no fault."""
    work = tmp_path_factory.mktemp("work") / "work"
    gathered(str(corpus.folder), "hf://whole/speech", work_dir=work)
    return repository(served, "whole/speech")


@pytest.fixture
def hub(served: HubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The same hub with no fault yet; its client's own waits, of 1 to 8 s, are short."""
    clock = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.05)))
    monkeypatch.setattr("huggingface_hub.utils._http.time", clock)
    served.faults.clear()
    served.faults.taken.clear()
    yield served
    served.faults.clear()


def gathered(said: str, to: Path | str, **options: Any) -> Gathered:
    """Return what a gather has done, or raise what it raised, if that is soon."""
    chosen = GatherOptions(**{**SMALL, **options})
    sink, work = target(str(to), chosen)
    return soon(lambda: gather([said], sink, work, chosen))


def soon(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or raise what it raises; fail where it takes too long."""
    answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        value, error = answers.get(timeout=SOON)
    except queue.Empty:
        pytest.fail(f"it hangs, or takes more than {SOON} s")
    if error is not None:
        raise error
    return value


def failure(said: str, to: Path | str, **options: Any) -> WorkbenchError:
    """Return the error that a gather ended in, raised or told of its one source."""
    try:
        done = gathered(said, to, **options)
    except WorkbenchError as error:
        return error
    assert list(done.failed) == [said]
    return done.failed[said]


def repository(hub: HubServer, repo: str) -> dict[str, str]:
    return {path: file.sha256 for path, file in hub.files(repo).items()}


# --- the source


@pytest.mark.parametrize(
    "kind",
    some("503", "429", "truncate", "wrong_bytes", "stall", soak=["500", "drop", "drop_after"]),
)
def test_a_source_file_that_fails_once_changes_nothing(hub, whole, tmp_path, kind):
    hub.faults.add(match=SECOND, kind=kind, retry_after=1 if kind == "429" else None)
    begun = time.monotonic()
    gathered(FROM_HUB, tmp_path / "speech")
    assert hub.faults.taken, "the fault was not met"
    assert kind != "429" or time.monotonic() - begun > 0.9, "Retry-After was not heeded"
    assert digests(tmp_path / "speech") == whole


@pytest.mark.parametrize("kind", some("truncate", "stall", soak=["500", "drop", "wrong_bytes"]))
def test_a_source_file_that_fails_for_good_is_named_and_the_same_command_goes_on(
    hub, whole, tmp_path, kind
):
    hub.faults.add(match=SECOND, kind=kind, times=None)
    error = failure(FROM_HUB, tmp_path / "speech")
    assert isinstance(error, SourceError)
    assert "00001-of-00003.parquet" in str(error)
    assert len(hub.faults.taken) == SMALL["attempts"]
    hub.faults.clear()
    gathered(FROM_HUB, tmp_path / "speech")
    assert digests(tmp_path / "speech") == whole


@pytest.mark.parametrize(("kind", "of"), [("403", AccessError), ("404", SourceError)])
def test_a_source_file_that_is_refused_is_told_by_its_url_at_once(hub, whole, tmp_path, kind, of):
    hub.faults.add(match=SECOND, kind=kind, times=None)
    error = failure(FROM_HUB, tmp_path / "speech")
    assert isinstance(error, of)
    assert f"{hub.url}/datasets/user/corpus/resolve/" in str(error)
    assert f"HTTP {kind}" in str(error)
    assert len(hub.faults.taken) == 1
    hub.faults.clear()
    gathered(FROM_HUB, tmp_path / "speech")
    assert digests(tmp_path / "speech") == whole


@pytest.mark.parametrize(
    ("match", "kind"),
    some(
        ("GET .*/tree/", "stall"),
        soak=[
            ("GET .*/tree/", "503"),
            *[("GET /api/datasets/user/corpus$", kind) for kind in ("503", "stall")],
            *[("GET .*00000-of-", kind) for kind in ("503", "stall")],
        ],
    ),
)
def test_a_list_of_files_that_fails_once_changes_nothing(hub, whole, tmp_path, match, kind):
    hub.faults.add(match=match, kind=kind, after_bytes=0)
    gathered(FROM_HUB, tmp_path / "speech")
    assert hub.faults.taken
    assert digests(tmp_path / "speech") == whole


@pytest.mark.parametrize("match", ["GET .*/tree/", "GET /api/datasets/user/corpus$"])
def test_a_list_of_files_that_never_comes_is_an_error_and_leaves_nothing(hub, tmp_path, match):
    hub.faults.add(match=match, kind="stall", after_bytes=0, times=None)
    with pytest.raises(SourceError, match=FROM_HUB):
        gathered(FROM_HUB, tmp_path / "speech", attempts=1)
    assert digests(tmp_path / "speech").keys() <= {".staging/lock"}


# --- the sink


@pytest.mark.parametrize(
    ("step", "kind"),
    some(
        ("upload", "stall"),
        ("commit", "stall"),
        ("state", "drop"),
        soak=[
            *[("upload", kind) for kind in ("503", "drop")],
            *[("commit", kind) for kind in ("503", "drop")],
            *[("state", kind) for kind in ("503", "stall")],
            *[(step, kind) for step in ("preupload", "batch") for kind in ("503", "drop", "stall")],
        ],
    ),
)
def test_a_step_of_a_commit_that_fails_once_changes_nothing(
    corpus, hub, whole_repo, tmp_path, step, kind
):
    if step == "state":  # it is read where the answer to a commit got lost
        hub.faults.add(match=STEPS["commit"], kind="drop_after", skip=1)
    hub.faults.add(match=STEPS[step], kind=kind, skip=1, after_bytes=0)
    repo = f"{step}-{kind}/speech"
    gathered(str(corpus.folder), f"hf://{repo}", work_dir=tmp_path / "work")
    assert [taken for _, taken in hub.faults.taken][-1] == kind
    assert repository(hub, repo) == whole_repo
    assert len(hub.commits(repo)) == len(hub.commits("whole/speech"))


@pytest.mark.parametrize(
    ("step", "kind"),
    some(
        ("upload", "503"),
        ("commit", "403"),
        soak=[
            *[("upload", kind) for kind in ("403", "stall")],
            *[("preupload", kind) for kind in ("503", "403", "stall")],
            *[("commit", kind) for kind in ("503", "drop")],  # one that stalls is made
        ],
    ),
)
def test_a_step_of_a_commit_that_fails_for_good_is_an_error_and_the_same_command_goes_on(
    corpus, hub, whole_repo, tmp_path, step, kind
):
    hub.faults.add(match=STEPS[step], kind=kind, skip=1, after_bytes=0, times=None)
    repo = f"{step}-{kind}-for-good/speech"
    error = failure(str(corpus.folder), f"hf://{repo}", work_dir=tmp_path / "work", attempts=2)
    assert isinstance(error, AccessError if kind == "403" else SinkError), repr(error)
    assert f"hf://{repo}" in str(error)
    assert kind != "403" or len(hub.faults.taken) == 1
    hub.faults.clear()
    gathered(str(corpus.folder), f"hf://{repo}", work_dir=tmp_path / "work")
    assert repository(hub, repo) == whole_repo


def test_a_client_that_was_made_anew_waits_no_longer_for_a_silent_hub(corpus, hub, tmp_path):
    """The client's library makes it anew after a connection that failed."""
    options = GatherOptions(**{**SMALL, "work_dir": tmp_path / "work"})
    sink, work = target("hf://anew/speech", options)
    close_session()
    hub.faults.add(match=STEPS["commit"], kind="stall", after_bytes=0)
    soon(lambda: gather([str(corpus.folder)], sink, work, options))
    assert hub.faults.taken


# --- a full disk


ROOM = some(0, 200_000, soak=[20_000, 60_000, 120_000, 300_000, 400_000, 450_000, 500_000])


@pytest.mark.parametrize("free", ROOM)
def test_a_full_disk_under_target_and_staging_loses_nothing(hub, whole, tmp_path, free):
    with filling_disk(tmp_path / "disk", LITTLE, free) as disk:
        error = failure(FROM_HUB, disk / "speech", work_dir=tmp_path / "work")
        assert isinstance(error, SinkError), repr(error)
        assert "make room" in str(error)
        holds_only_whole_files(disk / "speech", whole)
        (disk / "taken").unlink()
        gathered(FROM_HUB, disk / "speech", work_dir=tmp_path / "work")
        assert digests(disk / "speech") == whole


@pytest.mark.parametrize("free", ROOM)
def test_a_full_disk_under_the_work_folder_loses_nothing(hub, whole, tmp_path, free):
    with filling_disk(tmp_path / "disk", LITTLE, free) as disk:
        error = failure(FROM_HUB, tmp_path / "speech", work_dir=disk / "work")
        assert isinstance(error, StreamingError)
        assert "make room" in str(error)
        holds_only_whole_files(tmp_path / "speech", whole)
        (disk / "taken").unlink()
        gathered(FROM_HUB, tmp_path / "speech", work_dir=disk / "work")
        assert digests(tmp_path / "speech") == whole


@pytest.mark.parametrize("free", some(100_000, soak=[0, 20_000]))
def test_a_full_disk_under_the_shards_on_their_way_to_a_hub_loses_nothing(
    corpus, hub, whole_repo, tmp_path, free
):
    repo = f"full-{free}/speech"
    with filling_disk(tmp_path / "disk", LITTLE, free) as disk:
        error = failure(str(corpus.folder), f"hf://{repo}", work_dir=disk / "work")
        assert isinstance(error, SinkError), repr(error)
        assert "make room" in str(error)
        (disk / "taken").unlink()
        gathered(str(corpus.folder), f"hf://{repo}", work_dir=disk / "work")
    assert repository(hub, repo) == whole_repo


def holds_only_whole_files(folder: Path, whole: dict[str, str]) -> None:
    """Check that what has a name in the dataset holds what it must, and nothing half is there."""
    found = {n: d for n, d in digests(folder).items() if not n.startswith(".staging/")}
    data = {name: digest for name, digest in found.items() if name.startswith(("data/", "_skip"))}
    assert data == {name: whole[name] for name in data}
    assert found.keys() <= whole.keys()
