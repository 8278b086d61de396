"""What the real clients do with a hub, each operation checked on the client's side.

Run as a process of its own, with the clients' environment and a folder to work in; it performs
`OPERATIONS` in their order, most of them on one repository, and writes to standard output one
JSON object: each operation's name and the traceback of its failure, or null.
"""

import functools
import hashlib
import io
import json
import sys
import traceback
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    constants,
    errors,
)

REPO = "lab/voices"
ROWS, SHARDS = 150, 3
CARD = "---\nlicense: cc0-1.0\npretty_name: Voices\n---\n\n# Voices\n"
FEATURES = datasets.Features(
    {
        "number": datasets.Value("int64"),
        "text": datasets.Value("string"),
        "audio": datasets.Audio(sampling_rate=8000),
    }
)

Operation = Callable[["Desk"], object]
OPERATIONS: list[Operation] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What an operation works with.

    Attributes:
        api: The hub's client.
        files: The hub as a file system.
        folder: To work in; `shards/` holds the parquet files.
    """

    api: HfApi
    files: HfFileSystem
    folder: Path

    def shard(self, number: int) -> Path:
        """Return one of the parquet files."""
        return self.folder / "shards" / shard_name(number)

    def head(self, repo: str = REPO) -> str:
        """Return the newest commit, as the hub tells it."""
        return str(self.api.dataset_info(repo).sha)

    def paths(self, repo: str = REPO) -> set[str]:
        """Return all paths of a repository but the one that each has."""
        return set(self.api.list_repo_files(repo, repo_type="dataset")) - {".gitattributes"}


def operation(function: Operation) -> Operation:
    OPERATIONS.append(function)
    return function


def shard_name(number: int) -> str:
    return f"train-{number:05d}-of-{SHARDS:05d}.parquet"


@functools.cache
def recording(number: int) -> bytes:
    """Return a WAV of 50 ms, another for each number."""
    seconds = np.arange(400) / 8000
    samples = (8000 * np.sin(2 * np.pi * (200 + number) * seconds)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def row(number: int) -> dict[str, object]:
    audio = {"bytes": recording(number), "path": f"{number}.wav"}
    return {"number": number, "text": f"line {number}", "audio": audio}


def write_shards(folder: Path) -> None:
    """Write the rows to parquet files of row groups of 10, as a dataset with audio."""
    folder.mkdir(parents=True)
    each = ROWS // SHARDS
    for number in range(SHARDS):
        rows = [row(i) for i in range(number * each, (number + 1) * each)]
        table = pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema)
        pq.write_table(table, folder / shard_name(number), row_group_size=10)


def refused(status: int, act: Callable[[], object]) -> errors.HfHubHTTPError:
    """Return the error with which the hub refuses an act."""
    try:
        act()
    except errors.HfHubHTTPError as error:
        assert error.response.status_code == status, error
        return error
    raise AssertionError(f"{status} was expected, all went well")


# --- accounts and repositories


@operation
def whoami(desk: Desk) -> None:
    assert desk.api.whoami()["name"] == "tester"
    refused(401, lambda: desk.api.whoami(token="hf_wrong"))


@operation
def create_repo_twice(desk: Desk) -> None:
    create = functools.partial(desk.api.create_repo, REPO, repo_type="dataset")
    url = create()
    assert (url.repo_id, url.repo_type, url.endpoint) == (REPO, "dataset", desk.api.endpoint)
    assert create(exist_ok=True) == url
    refused(409, create)


@operation
def create_private_repo(desk: Desk) -> None:
    desk.api.create_repo("lab/secret", repo_type="dataset", private=True)
    assert desk.api.dataset_info("lab/secret").private
    for token, status in ((False, 401), ("local-guest", 404)):
        ask = functools.partial(desk.api.dataset_info, "lab/secret", token=token)
        assert isinstance(refused(status, ask), errors.RepositoryNotFoundError)


# --- commits


@operation
def upload_file_through_lfs(desk: Desk) -> None:
    path = f"data/{shard_name(0)}"
    info = desk.api.upload_file(
        path_or_fileobj=desk.shard(0), path_in_repo=path, repo_id=REPO, repo_type="dataset"
    )
    assert info.oid == desk.head()
    assert desk.paths() == {path}


@operation
def dataset_info(desk: Desk) -> None:
    info = desk.api.dataset_info(REPO, files_metadata=True)
    assert (info.id, info.author, info.private, len(info.sha)) == (REPO, "lab", False, 40)
    shard = next(file for file in info.siblings if file.rfilename.endswith(".parquet"))
    assert shard.size == shard.lfs.size == desk.shard(0).stat().st_size
    assert desk.api.dataset_info(REPO, revision=info.sha).sha == info.sha


@operation
def commit_shards_and_state_together(desk: Desk) -> None:
    before = desk.head()
    desk.api.create_commit(
        REPO,
        [
            CommitOperationAdd(f"data/{shard_name(1)}", desk.shard(1)),
            CommitOperationAdd(f"data/{shard_name(2)}", desk.shard(2)),
            CommitOperationAdd("_state/state.json", b'{"row": 150}'),
        ],
        commit_message="Shards and state",
        parent_commit=before,
        repo_type="dataset",
    )
    names = {f"data/{shard_name(number)}" for number in range(SHARDS)}
    assert desk.paths() == names | {"_state/state.json"}
    path = desk.api.hf_hub_download(REPO, "_state/state.json", repo_type="dataset")
    assert json.loads(Path(path).read_text()) == {"row": 150}


@operation
def stale_parent_commit_is_refused(desk: Desk) -> None:
    head, paths = desk.head(), desk.paths()
    first = desk.api.list_repo_commits(REPO, repo_type="dataset")[-1]
    commit = functools.partial(
        desk.api.create_commit,
        REPO,
        [CommitOperationAdd("late.txt", b"too late")],
        commit_message="Late",
        parent_commit=first.commit_id,
        repo_type="dataset",
    )
    assert "A commit has happened since" in str(refused(412, commit))
    assert (desk.head(), desk.paths()) == (head, paths)


@operation
def preupload_then_commit(desk: Desk) -> None:
    content = b"\0" + b"objects go first" * 1000
    addition = CommitOperationAdd("large/one.bin", content)
    desk.api.preupload_lfs_files(REPO, [addition], repo_type="dataset")
    assert addition.path_or_fileobj == b""
    assert "large/one.bin" not in desk.paths()
    desk.api.create_commit(REPO, [addition], commit_message="One", repo_type="dataset")
    assert desk.files.read_bytes(f"datasets/{REPO}/large/one.bin") == content


@operation
def copy_and_delete_in_one_commit(desk: Desk) -> None:
    desk.api.create_commit(
        REPO,
        [
            CommitOperationCopy("large/one.bin", "large/two.bin"),
            CommitOperationDelete("large/one.bin"),
        ],
        commit_message="Renamed",
        repo_type="dataset",
    )
    assert {path for path in desk.paths() if path.startswith("large/")} == {"large/two.bin"}


@operation
def upload_card_and_validate_it(desk: Desk) -> None:
    upload = functools.partial(
        desk.api.upload_file, path_in_repo="README.md", repo_id=REPO, repo_type="dataset"
    )
    upload(path_or_fileobj=CARD.encode())
    assert desk.api.dataset_info(REPO).card_data.license == "cc0-1.0"
    try:
        upload(path_or_fileobj=b"---\nlicense: [cc0\n---\n")
    except ValueError as error:
        assert "Invalid metadata" in str(error), error
    else:
        raise AssertionError("a card that is no YAML was taken")


@operation
def upload_folder(desk: Desk) -> None:
    folder = desk.folder / "extra"
    for name in ("a.txt", "b.txt", "deep/c.txt", "deep/d.bin", "gone/e.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    desk.api.upload_folder(
        repo_id=REPO, folder_path=folder, path_in_repo="extra", repo_type="dataset"
    )
    found = {path.removeprefix("extra/") for path in desk.paths() if path.startswith("extra/")}
    assert found == {"a.txt", "b.txt", "deep/c.txt", "deep/d.bin", "gone/e.txt"}


# --- reading


@operation
def list_repo_files(desk: Desk) -> None:
    names = desk.api.list_repo_files(REPO, repo_type="dataset")
    assert len(names) == len(set(names))
    data = [name for name in names if name.startswith("data/")]
    assert data == [f"data/{shard_name(number)}" for number in range(SHARDS)]


@operation
def list_repo_tree(desk: Desk) -> None:
    tree = {each.path: each for each in desk.api.list_repo_tree(REPO, repo_type="dataset")}
    assert {"data", "extra", "README.md"} <= tree.keys()
    assert "data/" + shard_name(0) not in tree
    for entry in desk.api.list_repo_tree(REPO, "data", repo_type="dataset", expand=True):
        content = (desk.folder / "shards" / Path(entry.path).name).read_bytes()
        assert entry.size == entry.lfs.size == len(content)
        assert entry.lfs.sha256 == hashlib.sha256(content).hexdigest()
        is_first = entry.path.endswith(shard_name(0))
        title = f"Upload {entry.path} with huggingface_hub" if is_first else "Shards and state"
        assert entry.last_commit.title == title
    deep = desk.api.list_repo_tree(REPO, "extra", repo_type="dataset", recursive=True)
    assert {"extra/deep", "extra/deep/c.txt"} <= {entry.path for entry in deep}


@operation
def get_paths_info(desk: Desk) -> None:
    asked = ["README.md", "data", f"data/{shard_name(2)}", "nowhere"]
    found = desk.api.get_paths_info(REPO, asked, repo_type="dataset", expand=True)
    assert {entry.path for entry in found} == set(asked) - {"nowhere"}
    card = next(entry for entry in found if entry.path == "README.md")
    assert (card.size, card.lfs) == (len(CARD), None)
    assert card.last_commit.title == "Upload README.md with huggingface_hub"


@operation
def list_repo_refs(desk: Desk) -> None:
    refs = desk.api.list_repo_refs(REPO, repo_type="dataset")
    assert [(ref.name, ref.target_commit) for ref in refs.branches] == [("main", desk.head())]
    assert refs.tags == []


@operation
def list_repo_commits(desk: Desk) -> None:
    commits = desk.api.list_repo_commits(REPO, repo_type="dataset")
    assert commits[0].commit_id == desk.head()
    assert commits[-1].title == "initial commit"
    assert "Shards and state" in [commit.title for commit in commits]
    assert sorted(commits, key=lambda commit: commit.created_at, reverse=True) == commits


@operation
def branches_and_tags(desk: Desk) -> None:
    head, place = desk.head(), {"repo_id": REPO, "repo_type": "dataset"}
    desk.api.create_branch(branch="trial/one", **place)
    desk.api.create_tag(tag="v1", **place)
    upload = functools.partial(desk.api.upload_file, path_in_repo="trial.txt", **place)
    upload(path_or_fileobj=b"on trial", revision="trial/one")
    assert "trial.txt" not in desk.paths()
    path = desk.api.hf_hub_download(filename="trial.txt", revision="trial/one", **place)
    assert Path(path).read_bytes() == b"on trial"
    assert desk.api.dataset_info(REPO, revision="v1").sha == head == desk.head()
    desk.api.delete_branch(branch="trial/one", **place)
    desk.api.delete_tag(tag="v1", **place)
    error = refused(404, lambda: desk.api.dataset_info(REPO, revision="v1"))
    assert isinstance(error, errors.RevisionNotFoundError)


@operation
def hf_hub_download(desk: Desk) -> None:
    download = functools.partial(desk.api.hf_hub_download, REPO, repo_type="dataset")
    path = download(f"data/{shard_name(1)}")
    assert Path(path).read_bytes() == desk.shard(1).read_bytes()
    assert download(f"data/{shard_name(1)}") == path
    assert isinstance(refused(404, lambda: download("nowhere")), errors.RemoteEntryNotFoundError)


@operation
def snapshot_download(desk: Desk) -> None:
    folder = Path(desk.api.snapshot_download(REPO, repo_type="dataset"))
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == desk.paths() | {".gitattributes"}
    for number in range(SHARDS):
        shard = folder / "data" / shard_name(number)
        assert shard.read_bytes() == desk.shard(number).read_bytes()


@operation
def filesystem_ls(desk: Desk) -> None:
    found = desk.files.ls(f"datasets/{REPO}/data", detail=True)
    sizes = {Path(entry["name"]).name: entry["size"] for entry in found}
    shards = map(desk.shard, range(SHARDS))
    assert sizes == {shard.name: shard.stat().st_size for shard in shards}
    assert len(desk.files.glob(f"datasets/{REPO}/**/*.parquet")) == SHARDS


@operation
def filesystem_row_group_by_range(desk: Desk) -> None:
    path = f"datasets/{REPO}/data/{shard_name(1)}"
    with desk.files.open(path, block_size=64) as file:
        file.seek(1000)
        assert file.read(50) == desk.shard(1).read_bytes()[1000:1050]
        assert file.cache.total_requested_bytes < 200
    with desk.files.open(path, block_size=4096) as file:
        table = pq.ParquetFile(file).read_row_group(2, columns=["number"])
    assert table["number"].to_pylist() == list(range(70, 80))


@operation
def load_dataset_streaming(desk: Desk) -> None:
    rows = datasets.load_dataset(REPO, split="train", streaming=True).select_columns(
        ["number", "text"]
    )
    assert list(rows) == [{"number": i, "text": f"line {i}"} for i in range(ROWS)]


@operation
def load_dataset_streaming_audio(desk: Desk) -> None:
    rows = datasets.load_dataset(REPO, split="train", streaming=True)
    assert rows.num_shards == SHARDS
    assert list(rows.cast_column("audio", datasets.Audio(decode=False))) == [
        row(i) for i in range(ROWS)
    ]


@operation
def state_dict_resumes_twice(desk: Desk) -> None:
    def opened(state: dict | None = None) -> datasets.IterableDataset:
        rows = datasets.load_dataset(REPO, split="train", streaming=True).select_columns("number")
        if state is not None:
            rows.load_state_dict(state)
        return rows

    numbers, state = [], None
    for count in (37, 61, ROWS):
        rows = opened(state)
        for each, _ in zip(rows, range(count), strict=False):
            numbers.append(each["number"])
            state = rows.state_dict()
    assert numbers == list(range(ROWS))


@operation
def load_dataset_cached(desk: Desk) -> None:
    for _ in range(2):
        rows = datasets.load_dataset(REPO, split="train")
        rows = rows.cast_column("audio", datasets.Audio(decode=False))
        assert rows.to_list() == [row(i) for i in range(ROWS)]


# --- datasets that write


@operation
def dataset_push_to_hub(desk: Desk) -> None:
    for count in (30, 20):  # the second takes the place of the first
        pushed = datasets.Dataset.from_dict({"number": list(range(count))})
        pushed.push_to_hub("lab/pushed", num_shards=2)
        rows = datasets.load_dataset("lab/pushed", split="train", streaming=True)
        assert [each["number"] for each in rows] == list(range(count))
    assert len([path for path in desk.paths("lab/pushed") if path.endswith(".parquet")]) == 2


def poured(parts: list[int]):
    for part in parts:
        for number in range(10):
            yield {"number": 10 * part + number}


@operation
def iterable_dataset_push_to_hub(desk: Desk) -> None:
    rows = datasets.IterableDataset.from_generator(poured, gen_kwargs={"parts": [0, 1, 2, 3]})
    rows.push_to_hub("lab/poured")
    assert len([path for path in desk.paths("lab/poured") if path.endswith(".parquet")]) == 4
    found = datasets.load_dataset("lab/poured", split="train", streaming=True)
    assert [each["number"] for each in found] == list(range(40))


# --- deleting and refusing


@operation
def delete_file(desk: Desk) -> None:
    delete = functools.partial(
        desk.api.delete_file, "extra/a.txt", repo_id=REPO, repo_type="dataset"
    )
    delete()
    assert "extra/a.txt" not in desk.paths()
    assert isinstance(refused(404, delete), errors.RemoteEntryNotFoundError)


@operation
def delete_files(desk: Desk) -> None:
    desk.api.delete_files(REPO, ["extra/deep/*.bin", "extra/b*"], repo_type="dataset")
    extra = {path for path in desk.paths() if path.startswith("extra/")}
    assert extra == {"extra/deep/c.txt", "extra/gone/e.txt"}


@operation
def delete_folder(desk: Desk) -> None:
    desk.api.delete_folder("extra/gone", REPO, repo_type="dataset")
    assert {path for path in desk.paths() if path.startswith("extra/")} == {"extra/deep/c.txt"}


@operation
def gated_content_is_kept_from_others(desk: Desk) -> None:
    desk.api.update_repo_settings(REPO, gated="manual", repo_type="dataset")
    assert desk.api.dataset_info(REPO, token=False).gated == "manual"
    for token, status in ((False, 401), ("local-guest", 403)):
        api = HfApi(endpoint=desk.api.endpoint, token=token)
        ask = functools.partial(
            api.hf_hub_download,
            REPO,
            "README.md",
            repo_type="dataset",
            cache_dir=desk.folder / "guest",
        )
        assert isinstance(refused(status, ask), errors.GatedRepoError)
    desk.api.update_repo_settings(REPO, gated=False, repo_type="dataset")


@operation
def a_reading_token_cannot_write(desk: Desk) -> None:
    api, head = HfApi(endpoint=desk.api.endpoint, token="local-reader"), desk.head()
    assert api.list_repo_files(REPO, repo_type="dataset")
    refused(403, lambda: api.create_repo("lab/other", repo_type="dataset"))
    refused(
        403,
        lambda: api.upload_file(
            path_or_fileobj=b"no", path_in_repo="no", repo_id=REPO, repo_type="dataset"
        ),
    )
    assert desk.head() == head


@operation
def delete_repo(desk: Desk) -> None:
    delete = functools.partial(desk.api.delete_repo, "lab/secret", repo_type="dataset")
    delete()
    assert not desk.api.repo_exists("lab/secret", repo_type="dataset")
    assert isinstance(refused(404, delete), errors.RepositoryNotFoundError)
    delete(missing_ok=True)


def main() -> None:
    folder = Path(sys.argv[1])
    write_shards(folder / "shards")
    desk = Desk(api=HfApi(), files=HfFileSystem(), folder=folder)
    assert desk.api.endpoint == constants.ENDPOINT != "https://huggingface.co"
    results: dict[str, str | None] = {}
    for each in OPERATIONS:
        desk.files.invalidate_cache()
        try:
            each(desk)
            results[each.__name__] = None
        except Exception:
            results[each.__name__] = traceback.format_exc()
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
