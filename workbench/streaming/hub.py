"""Hugging Face hub repositories of data, as sources and as sinks.

Everything goes through huggingface_hub, which knows endpoint and token. A commit carries the
head it was made for, so nothing is ever changed behind somebody's back; where the answer to a
commit got lost, HEAD is read again and tells whether it was applied.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    get_session,
    hf_hub_url,
    set_client_factory,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder
from huggingface_hub.utils import (
    HFValidationError,
    RevisionNotFoundError,
    _http,
    build_hf_headers,
    disable_progress_bars,
    validate_repo_id,
)

from workbench.errors import AccessError, OptionsError, SinkAccessError, SinkError, SourceError
from workbench.streaming.options import RetryOptions
from workbench.streaming.retry import patiently, status_of, told
from workbench.streaming.sink import Content
from workbench.streaming.source import Source, SourceFile

PREFIX = "hf://"

Answer = TypeVar("Answer")


def repository(text: str) -> tuple[str, str | None, str]:
    """Return repository, revision or None, and path of `hf://[datasets/]user/name[@rev][/path]`.

    Raises:
        OptionsError: That is no such address.
    """
    parts = text.removeprefix(PREFIX).removeprefix("datasets/").split("/", 2)
    if len(parts) < 2:
        raise OptionsError(f"{text}: want hf://user/name, with the name of a user")
    name, _, revision = parts[1].partition("@")
    repo = f"{parts[0]}/{name}"
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise OptionsError(f"{text}: want hf://user/name ({error})") from error
    return repo, revision or None, parts[2] if len(parts) == 3 else ""


def hub_source(
    text: str,
    pattern: str = "*.parquet",
    *,
    revision: str | None = None,
    options: RetryOptions | None = None,
    api: HfApi | None = None,
) -> Source:
    """Return the files of a dataset repository, pinned to a commit.

    Args:
        text: `hf://user/name`, with `@revision` and a folder or a file behind it where wanted.
        pattern: Which files, as shells match names; `*` also matches slashes.
        revision: A commit to pin to, in place of the one that `text` names.
        options: How patient to be.
        api: What speaks to the hub.

    Raises:
        AccessError: The hub wants another token.
        SourceError: There is no such repository or revision, or no such file in it.
    """
    repo, named, folder = repository(text)
    api = api or HfApi()
    options = options or RetryOptions()
    _limit_silence(options.timeout_seconds)

    def listed() -> tuple[str, list[RepoFile | RepoFolder]]:
        patience = options.timeout_seconds
        sha = str(api.dataset_info(repo, revision=revision or named, timeout=patience).sha)
        return sha, list(
            api.list_repo_tree(repo, repo_type="dataset", revision=sha, recursive=True)
        )

    try:
        sha, tree = patiently(listed, options, text)
    except RevisionNotFoundError as error:
        raise SourceError(
            f"{text}: has no revision {revision or named}; name one it has"
        ) from error
    except httpx2.HTTPError as error:
        raise told(error, text) from error
    files = [entry for entry in tree if isinstance(entry, RepoFile)]
    wanted = sorted(
        (f for f in files if fnmatch(f.path, pattern) and _is_within(f.path, folder)),
        key=lambda f: f.path,
    )
    if not wanted:
        raise SourceError(f"{text}: none of its {len(files)} files is {folder or '.'}/{pattern}")
    return Source(
        name=text,
        revision=sha,
        files=tuple(_source_file(api, repo, sha, file) for file in wanted),
        headers=build_hf_headers(token=api.token),
    )


class HubSink:
    """A dataset repository that shards are committed to, with the state that goes with them.

    Attributes:
        name: The repository, as a person writes it.
    """

    def __init__(
        self,
        text: str,
        state_name: str,
        *,
        private: bool = False,
        options: RetryOptions | None = None,
        api: HfApi | None = None,
    ):
        """Make ready; nothing is asked or changed yet.

        Args:
            text: `hf://user/name`.
            state_name: Name of the file that holds the state.
            private: Whether a repository that is made is private.
            options: How patient to be.
            api: What speaks to the hub.
        """
        self.name = text
        self._repo = repository(text)[0]
        self._state_name = state_name
        self._private = private
        self._options = options or RetryOptions()
        self._api = api or HfApi()
        self._head = ""
        self._state: bytes | None = None
        disable_progress_bars()  # of each file; a gather tells its own
        _limit_silence(self._options.timeout_seconds)

    def staging(self, work: Path) -> Path:
        """Return where shards wait until they are committed."""
        return work

    def open(self) -> bytes | None:
        """Return the state at HEAD, or None where there is none; commits build on it.

        Raises:
            AccessError: The hub wants another token.
            SinkError: It cannot be asked.
        """
        self._head, self._state = self._patiently("state", self._at_head)
        return self._state

    def create(self) -> None:
        """Make the repository, unless it is there."""

        def created() -> tuple[str, bytes | None]:
            self._api.create_repo(
                self._repo, repo_type="dataset", private=self._private, exist_ok=True
            )
            return self._at_head()

        if not self._head:
            self._head, self._state = self._patiently("repository", created)

    def read(self, name: str) -> bytes | None:
        """Return a file at the head that commits build on, or None."""
        if not self._head:
            return None
        return self._patiently(name, lambda: self._content(name, self._head))

    def names(self, pattern: str) -> list[str]:
        """Return the names of the files that match, in order."""
        if not self._head:
            return []

        def listed() -> list[str]:
            return self._api.list_repo_files(self._repo, repo_type="dataset", revision=self._head)

        return sorted(n for n in self._patiently("names", listed) if fnmatch(n, pattern))

    def columns(self, name: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Give some columns of a shard; no other bytes of it are fetched."""
        system = HfFileSystem(endpoint=self._api.endpoint, token=self._api.token)
        place = f"datasets/{self._repo}@{self._head}/{name}"
        # its cache would read blocks of 5 MiB ahead, which is nearly all of a shard
        with (
            system.open(place, "rb", cache_type="none") as file,
            pq.ParquetFile(file) as parquet,
        ):
            yield from parquet.iter_batches(columns=list(columns))

    def commit(
        self,
        message: str,
        *,
        state: bytes,
        files: Mapping[str, Content],
        deletes: Sequence[str] = (),
    ) -> None:
        """Change everything in one act.

        Args:
            message: What happens, in a line.
            state: The new state.
            files: Name: content, or the path of a file, or what makes the content of the present
                one; it is asked again where somebody has changed that meanwhile.
            deletes: Folders that are emptied before; one that is not there is left out.

        Raises:
            AccessError: The hub wants another token.
            SinkError: Somebody else has written there, or it does not take it.
        """
        gone = [folder for folder in deletes if self.names(folder + "/*")]
        new = {**files, self._state_name: state}
        self._patiently("commit", lambda: self._commit_once(message, new, gone))
        self._state = state

    def sweep(self, patterns: Sequence[str], listed: set[str]) -> None:
        """Do nothing: a commit leaves nothing half done behind."""

    def _commit_once(
        self, message: str, files: Mapping[str, Content], deletes: Sequence[str]
    ) -> None:
        gone = [CommitOperationDelete(folder + "/", is_folder=True) for folder in deletes]
        new = [CommitOperationAdd(name, self._made(name, told)) for name, told in files.items()]
        try:
            oid = self._created([*gone, *new], message)
        except httpx2.HTTPError as error:
            head, state = self._at_head()
            if state == files[self._state_name] != self._state:
                self._head = head  # it was applied and only the answer got lost
                return
            if state != self._state:
                raise SinkError(
                    f"{self.name}: somebody else has written there meanwhile; let one gather "
                    "write to a dataset at a time, then give the same command again"
                ) from error
            if head != self._head:  # the card has changed, by us or by others: build on it
                self._head = head
                raise _MovedError(f"HEAD is {head[:12]} now") from error
            raise
        self._head = oid

    def _made(self, name: str, content: Content) -> bytes | Path:
        """Return a content, made of the present one where that is asked for."""
        if isinstance(content, bytes | Path):
            return content
        return content(self._content(name, self._head) if self._head else None)

    def _created(
        self, operations: Sequence[CommitOperationAdd | CommitOperationDelete], message: str
    ) -> str:
        """Make a commit and return its name.

        Raises:
            httpx2.HTTPError: It was not made, or its answer got lost.
        """
        try:
            info = self._api.create_commit(
                self._repo,
                operations,
                commit_message=message,
                repo_type="dataset",
                parent_commit=self._head,
            )
        except RuntimeError as error:  # what went wrong with the bytes of a large file
            if isinstance(error.__cause__, httpx2.HTTPError):
                raise error.__cause__ from error
            raise
        return info.oid

    def _at_head(self) -> tuple[str, bytes | None]:
        try:
            info = self._api.dataset_info(self._repo, timeout=self._options.timeout_seconds)
        except httpx2.HTTPError as error:
            if status_of(error) == 404:
                return "", None
            raise
        head = str(info.sha)
        return head, self._content(self._state_name, head)

    def _content(self, name: str, revision: str) -> bytes | None:
        url = hf_hub_url(
            self._repo, name, repo_type="dataset", revision=revision, endpoint=self._api.endpoint
        )
        answer = get_session().get(url, headers=build_hf_headers(token=self._api.token))
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return bytes(answer.content)

    def _patiently(self, what: str, call: Callable[[], Answer]) -> Answer:
        try:
            return patiently(call, self._options, f"{self.name}: {what}")
        except (httpx2.HTTPError, ConnectionError) as error:
            found = told(error, self.name, SinkError)
            if isinstance(found, AccessError):
                raise SinkAccessError(str(found)) from error
            raise found from error


@dataclass(frozen=True, slots=True)
class _Timed:
    """Makes clients of huggingface_hub that wait for a silent server no longer than so."""

    make: Callable[[], httpx2.Client]
    seconds: float

    def __call__(self) -> httpx2.Client:
        client = self.make()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "request": [*hooks["request"], self._limited]}
        return client

    def _limited(self, request: httpx2.Request) -> None:
        told = request.extensions.get("timeout", {})
        known = {name: seconds for name, seconds in told.items() if seconds is not None}
        request.extensions["timeout"] = httpx2.Timeout(self.seconds).as_dict() | known


def _limit_silence(seconds: float) -> None:
    """Let no connection of huggingface_hub stay silent for longer, where it sets no limit itself.

    Its requests are reached by a hook of its clients alone: some of them ask for no limit at all,
    and a client is made anew after a connection that failed.
    """
    present = _http._GLOBAL_CLIENT_FACTORY  # no public way to it
    if isinstance(present, _Timed):
        if present.seconds == seconds:
            return
        present = present.make
    set_client_factory(_Timed(present, seconds))


class _MovedError(ConnectionError):
    """HEAD has moved, and the same commit may be made on the new one."""


def _is_within(path: str, folder: str) -> bool:
    folder = folder.rstrip("/")
    return not folder or path == folder or path.startswith(folder + "/")


def _source_file(api: HfApi, repo: str, revision: str, file: RepoFile) -> SourceFile:
    url = hf_hub_url(repo, file.path, repo_type="dataset", revision=revision, endpoint=api.endpoint)
    digest = f"sha256:{file.lfs.sha256}" if file.lfs else f"git:{file.blob_id}"
    return SourceFile(name=file.path, url=url, size=file.size, digest=digest)
