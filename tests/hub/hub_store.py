"""What a local hub holds: repositories, their commits and files, and a plain area of files.

All of it lies in one folder, so that a server can be killed and another started on what it left:

    repos/KIND/OWNER/NAME/settings.json   who may see it
    repos/KIND/OWNER/NAME/refs.json       branches and tags, each a commit
    repos/KIND/OWNER/NAME/commits/OID     parent, title, date and every path with its file
    repos/KIND/OWNER/NAME/contents/SHA    the bytes of a file, by their sha256
    repos/KIND/OWNER/NAME/known/SHA       marks an uploaded object that need not be sent again
    published/PATH                        the plain area

A commit is made by writing its file and then renaming `refs.json`: it is there whole or not at
all. One lock file a repository orders the writers, threads and processes alike.
"""

import fcntl
import fnmatch
import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

PIECE = 1 << 18  # bytes read at once
LARGEST_PLAIN = 10_000_000  # bytes; the hub keeps larger files as objects
BRANCH, TAG = "refs/heads/", "refs/tags/"
ENDINGS = (
    "7z arrow bin flac gz h5 mp3 npy npz ogg parquet pickle pkl pt safetensors tar wav zip zst"
)
ATTRIBUTES = "".join(
    f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in ENDINGS.split()
).encode()
NAME = re.compile(r"\w[\w.-]*")


class RefusedError(Exception):
    """The hub says no.

    Attributes:
        status: Of HTTP.
        message: What the hub says, for people.
        code: The hub's own word for it (`X-Error-Code`), or "".
        headers: More headers of the answer.
    """

    def __init__(
        self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None
    ):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file of a commit.

    Attributes:
        size: In bytes.
        sha256: Of its content, hexadecimal.
        oid: Of its git blob, hexadecimal; a large file's blob is the pointer to it.
        is_large: Kept as an LFS object and uploaded by itself.
    """

    size: int
    sha256: str
    oid: str
    is_large: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One state of a repository and how it came about.

    Attributes:
        oid: 40 hexadecimal digits.
        parent: The commit before, or None for the first.
        title: First line of the message.
        message: The rest of it.
        date: ISO 8601, UTC, milliseconds.
        author: Name of the user.
        files: Every path of the repository.
    """

    oid: str
    parent: str | None
    title: str
    message: str
    date: str
    author: str
    files: dict[str, StoredFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One operation of a commit.

    Attributes:
        kind: What is done at the path.
        path: Of the file or folder.
        content: The bytes of a plain file that is added.
        sha256: Of the object that is added, uploaded before.
    """

    kind: Literal["file", "lfsFile", "deletedFile", "deletedFolder"]
    path: str
    content: bytes = b""
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Who may see a repository.

    Attributes:
        private: Only its owner sees it.
        gated: False, or how others ask for its content: "auto" or "manual".
        created: ISO 8601, UTC, milliseconds.
    """

    private: bool
    gated: str | bool
    created: str


class HubStore:
    """Repositories and published files in a folder.

    A repository is named by `repo`: its kind and id, such as `datasets/lab/voices`.

    Args:
        folder: Where all of it lies; made when missing.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        (self.folder / "repos").mkdir(parents=True, exist_ok=True)

    # --- repositories

    def create(self, repo: str, *, private: bool, author: str) -> None:
        """Make a repository with its first commit, which holds `.gitattributes`.

        Raises:
            RefusedError: 409, it is there already; 400, it cannot have this name.
        """
        if not all(NAME.fullmatch(part) for part in repo.split("/")) or repo.count("/") != 2:
            raise RefusedError(400, f"Invalid repo name: {repo}")
        with self._locked(repo):
            if self.exists(repo):
                kind = repo.partition("/")[0].removesuffix("s")
                raise RefusedError(409, f"You already created this {kind} repo")
            for name in ("commits", "contents", "known"):
                (self._place(repo) / name).mkdir(parents=True, exist_ok=True)
            self._write(repo, "refs.json", {})
            first = [Change(kind="file", path=".gitattributes", content=ATTRIBUTES)]
            self._advance(repo, "main", None, first, "initial commit", "", author)
            settings = Settings(private=private, gated=False, created=_now())
            self._write(repo, "settings.json", asdict(settings))

    def exists(self, repo: str) -> bool:
        """Return whether there is such a repository."""
        return (self._place(repo) / "settings.json").is_file()

    def delete(self, repo: str) -> None:
        """Remove a repository and all it held."""
        with self._locked(repo):
            (self._place(repo) / "settings.json").unlink(missing_ok=True)
            shutil.rmtree(self._place(repo), ignore_errors=True)

    def settings(self, repo: str) -> Settings:
        """Return who may see a repository."""
        return Settings(**self._read(repo, "settings.json"))

    def change_settings(self, repo: str, **changes: Any) -> None:
        """Change who may see a repository: `private`, `gated`."""
        with self._locked(repo):
            self._write(repo, "settings.json", asdict(self.settings(repo)) | changes)

    # --- commits

    def refs(self, repo: str) -> dict[str, str]:
        """Return the commit of each branch (`refs/heads/…`) and tag (`refs/tags/…`)."""
        refs: dict[str, str] = self._read(repo, "refs.json")
        return refs

    def point(self, repo: str, ref: str, oid: str) -> None:
        """Make a branch or tag.

        Raises:
            RefusedError: 409, it is there already.
        """
        with self._locked(repo):
            if ref in self.refs(repo):
                raise RefusedError(409, f"Reference already exists: {ref}")
            self._write(repo, "refs.json", self.refs(repo) | {ref: oid})

    def unpoint(self, repo: str, ref: str) -> None:
        """Remove a branch or tag.

        Raises:
            RefusedError: 404, there is none.
        """
        with self._locked(repo):
            refs = self.refs(repo)
            if refs.pop(ref, None) is None:
                raise RefusedError(404, f"Reference not found: {ref}", "RevisionNotFound")
            self._write(repo, "refs.json", refs)

    def resolve(self, repo: str, revision: str) -> Commit:
        """Return the commit that a branch, a tag or at least 7 digits of its oid name.

        Raises:
            RefusedError: 404, there is none.
        """
        refs = self.refs(repo)
        for ref in (BRANCH + revision, TAG + revision, revision):
            if ref in refs:
                return self._commit(repo, refs[ref])
        if re.fullmatch("[0-9a-f]{7,40}", revision):
            for found in (self._place(repo) / "commits").glob(revision + "*"):
                return self._commit(repo, found.name)
        raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def history(self, repo: str, revision: str) -> Iterator[Commit]:
        """Give a commit and all before it, newest first."""
        commit: Commit | None = self.resolve(repo, revision)
        while commit is not None:
            yield commit
            commit = self._commit(repo, commit.parent) if commit.parent else None

    def commit(
        self,
        repo: str,
        branch: str,
        changes: Iterable[Change],
        *,
        title: str,
        author: str,
        message: str = "",
        parent: str | None = None,
    ) -> Commit:
        """Apply the changes in order and move the branch, all at once.

        Raises:
            RefusedError: 412, `parent` is given and the branch is elsewhere; 404, no such
                branch, or a deleted path is not there; 400, an object was never uploaded.
        """
        with self._locked(repo):
            oid = self.refs(repo).get(BRANCH + branch)
            if oid is None:
                raise RefusedError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
            if parent is not None and not oid.startswith(parent):
                raise RefusedError(
                    412, "A commit has happened since. Please refresh and try again."
                )
            return self._advance(
                repo, branch, self._commit(repo, oid), changes, title, message, author
            )

    # --- contents

    def content(self, repo: str, file: StoredFile) -> Path:
        """Return where the bytes of a file are."""
        return self._place(repo) / "contents" / file.sha256

    def knows(self, repo: str, sha256: str) -> bool:
        """Return whether an object was uploaded and not forgotten."""
        return (self._place(repo) / "known" / sha256).exists()

    def receive(self, repo: str, sha256: str, size: int, pieces: Iterable[bytes]) -> None:
        """Keep an uploaded object, if it is what it was announced to be.

        Raises:
            RefusedError: 400, its bytes have another hash or number.
        """
        scratch = self._place(repo) / f"incoming-{uuid.uuid4().hex}"
        digest, found = hashlib.sha256(), 0
        try:
            with scratch.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                    digest.update(piece)
                    found += len(piece)
            if (digest.hexdigest(), found) != (sha256, size):
                text = f"announced {size} bytes of {sha256}, received {found} of"
                raise RefusedError(400, f"BadDigest: {text} {digest.hexdigest()}")
            scratch.replace(self._place(repo) / "contents" / sha256)
            (self._place(repo) / "known" / sha256).touch()
        finally:
            scratch.unlink(missing_ok=True)

    def forget_objects(self) -> None:
        """Let every object be sent again, and drop those that no commit holds."""
        for place in self.folder.glob("repos/*/*/*"):
            repo = "/".join(place.parts[-3:])
            with self._locked(repo):
                commits = (self._commit(repo, path.name) for path in place.glob("commits/*"))
                held = {file.sha256 for commit in commits for file in commit.files.values()}
                for mark in place.glob("known/*"):
                    mark.unlink()
                for content in place.glob("contents/*"):
                    if content.name not in held:
                        content.unlink()

    def goes_by_itself(self, repo: str, path: str, size: int, sample: bytes, head: Commit) -> bool:
        """Return whether a file that will be committed has to be uploaded as an object.

        Args:
            repo: Where it goes.
            path: Its path there.
            size: In bytes.
            sample: Its first bytes.
            head: The commit whose `.gitattributes` count.
        """
        attributes = head.files.get(".gitattributes")
        text = self.content(repo, attributes).read_text() if attributes else ""
        patterns = [line.split()[0] for line in text.splitlines() if "filter=lfs" in line]
        is_listed = any(fnmatch.fnmatch(Path(path).name, pattern) for pattern in patterns)
        return is_listed or size > LARGEST_PLAIN or b"\0" in sample

    # --- the plain area

    def publish(self, path: str, content: bytes | Path) -> None:
        """Put a file, whole at once, at a path of the plain area."""
        target = self.published(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.folder / f"publishing-{uuid.uuid4().hex}"
        if isinstance(content, bytes):
            scratch.write_bytes(content)
        else:
            shutil.copyfile(content, scratch)
        scratch.replace(target)

    def published(self, path: str) -> Path:
        """Return where a path of the plain area is on disk.

        Raises:
            RefusedError: 404, no file can be there.
        """
        if not path or ".." in Path(path).parts or path.startswith("/"):
            raise RefusedError(404, f"{path}: not found")
        return self.folder / "published" / path

    # --- how it lies on disk

    def _place(self, repo: str) -> Path:
        return self.folder / "repos" / repo

    @contextmanager
    def _locked(self, repo: str) -> Iterator[None]:
        locks = self.folder / "locks"
        locks.mkdir(exist_ok=True)
        with (locks / repo.replace("/", "+")).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # freed with the file, also by a kill
            yield

    def _read(self, repo: str, name: str) -> Any:
        return json.loads((self._place(repo) / name).read_bytes())

    def _write(self, repo: str, name: str, value: object) -> None:
        scratch = self._place(repo) / f"writing-{uuid.uuid4().hex}"
        scratch.write_text(json.dumps(value))
        scratch.replace(self._place(repo) / name)

    def _commit(self, repo: str, oid: str) -> Commit:
        value = self._read(repo, f"commits/{oid}")
        files = {path: StoredFile(**file) for path, file in value.pop("files").items()}
        return Commit(**value, files=files)

    def _advance(
        self,
        repo: str,
        branch: str,
        head: Commit | None,
        changes: Iterable[Change],
        title: str,
        message: str,
        author: str,
    ) -> Commit:
        files = dict(head.files) if head else {}
        for change in changes:
            self._apply(repo, files, change)
        fields = {
            "parent": head.oid if head else None,
            "title": title,
            "message": message,
            "date": _now(),
            "author": author,
            "files": {path: asdict(files[path]) for path in sorted(files)},
        }
        oid = hashlib.sha1(json.dumps([repo, fields]).encode()).hexdigest()
        self._write(repo, f"commits/{oid}", {"oid": oid} | fields)
        self._write(repo, "refs.json", self.refs(repo) | {BRANCH + branch: oid})
        return self._commit(repo, oid)

    def _apply(self, repo: str, files: dict[str, StoredFile], change: Change) -> None:
        path = _checked(change.path)
        if change.kind == "file":
            files[path] = self._plain(repo, change.content)
        elif change.kind == "lfsFile":
            files[path] = self._large(repo, change.sha256)
        else:
            gone = [path] if change.kind == "deletedFile" else list(below(files, path))
            if not gone or not files.keys() >= set(gone):
                text = f"A file with this name doesn't exist: {path}"
                raise RefusedError(404, text, "EntryNotFound")
            for each in gone:
                del files[each]

    def _plain(self, repo: str, content: bytes) -> StoredFile:
        sha256 = hashlib.sha256(content).hexdigest()
        place = self._place(repo) / "contents" / sha256
        if not place.exists():
            scratch = place.with_name(f"writing-{uuid.uuid4().hex}")
            scratch.write_bytes(content)
            scratch.replace(place)
        return StoredFile(size=len(content), sha256=sha256, oid=_blob_oid(content), is_large=False)

    def _large(self, repo: str, sha256: str) -> StoredFile:
        content = self._place(repo) / "contents" / sha256
        if not content.exists():
            text = "Your push was rejected because an LFS pointer pointed to a file that"
            raise RefusedError(400, f"{text} does not exist: {sha256}")
        size = content.stat().st_size
        oid = _blob_oid(pointer(sha256, size))
        return StoredFile(size=size, sha256=sha256, oid=oid, is_large=True)


def pointer(sha256: str, size: int) -> bytes:
    """Return what git keeps in place of a large file (git-lfs, spec.md)."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
    return text.encode()


def below(files: Mapping[str, StoredFile], folder: str) -> dict[str, StoredFile]:
    """Return the files within a folder; "" is the whole repository."""
    start = folder.rstrip("/") + "/" if folder else ""
    return {path: file for path, file in files.items() if path.startswith(start)}


def listing(
    files: Mapping[str, StoredFile], folder: str, *, recursive: bool
) -> dict[str, StoredFile | None]:
    """Return what a folder holds: files, and folders as None, in order of their paths."""
    start = len(folder.rstrip("/")) + 1 if folder else 0
    entries: dict[str, StoredFile | None] = {}
    for path, file in below(files, folder).items():
        slashes = [i for i, sign in enumerate(path) if sign == "/" and i >= start]
        for slash in slashes if recursive else slashes[:1]:
            entries[path[:slash]] = None
        if recursive or not slashes:
            entries[path] = file
    return dict(sorted(entries.items()))


def last_changes(history: Iterable[Commit]) -> dict[str, Commit]:
    """Return for each file and folder of the newest commit the last one that gave it content."""
    commits = list(history)
    found: dict[str, Commit] = {}
    for commit, before in zip(commits, [*commits[1:], None], strict=True):
        for path, file in commit.files.items():
            if before is None or file != before.files.get(path):
                for place in (path, *(str(parent) for parent in PurePosixPath(path).parents)):
                    found.setdefault(place, commit)
    return found


def digest(files: Mapping[str, StoredFile], prefix: str = "") -> str:
    """Return the sha256 of all paths with a prefix and what they hold."""
    lines = (f"{path}\0{files[path].sha256}\n" for path in sorted(files) if path.startswith(prefix))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _checked(path: str) -> str:
    path = path.removesuffix("/")
    if not path or any(part in ("", ".", "..", ".git") for part in path.split("/")):
        raise RefusedError(400, f"Invalid path: {path!r}")
    return path


def _blob_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
