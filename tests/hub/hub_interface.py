"""What a local hub answers to each request, as the real hub does for its Python clients.

Read from huggingface_hub 2.4.0 and datasets 5.2.0: paths, fields and headers are those that they
send and look at. Large files go by git-lfs's basic transfer; the newer xet transfer is not
served, so clients run with `HF_HUB_DISABLE_XET=1`.
"""

import base64
import functools
import hmac
import json
import mimetypes
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

import yaml
from hub_store import (
    BRANCH,
    TAG,
    Change,
    Commit,
    HubStore,
    RefusedError,
    StoredFile,
    digest,
    last_changes,
    listing,
    pointer,
)

PAGE, EXPANDED_PAGE = 1000, 50  # entries of a tree a page, the hub's own numbers
COMMITS_PAGE = 50
PARTS = {
    "{kind}": "(?P<kind>models|datasets|spaces)",
    "{prefix}": "(?:(?P<prefix>datasets|spaces)/)?",  # a model has none
    "{repo}": r"(?P<repo>[\w.-]+/[\w.-]+?)",
    "{revision}": "(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+)",
    "{name}": "(?P<name>[^/]+)",
    "{path}": "(?P<path>.*)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose token a request carries.

    Attributes:
        name: Of the user.
        may_write: Whether the token may change anything.
        everywhere: Whether the user belongs to every namespace or only to that of his name.
    """

    name: str
    may_write: bool
    everywhere: bool

    def owns(self, repo: str) -> bool:
        """Return whether he belongs to the namespace of a repository."""
        return self.everywhere or repo.split("/")[1] == self.name


WRITER, READER, GUEST = "local-writer", "local-reader", "local-guest"  # tokens
CALLERS = {
    WRITER: Caller(name="tester", may_write=True, everywhere=True),
    READER: Caller(name="tester", may_write=False, everywhere=True),
    GUEST: Caller(name="guest", may_write=True, everywhere=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request.

    Attributes:
        method: GET, HEAD, POST, PUT, DELETE.
        target: Path as it was sent, quoted, with the query.
        headers: Of the request; names in any case.
        body: Its bytes, once.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: Iterator[bytes]

    @property
    def path(self) -> str:
        """The path, quoted, without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The last value of each name in the query."""
        return {
            name: values[-1] for name, values in parse_qs(self.target.partition("?")[2]).items()
        }

    def asks(self, name: str) -> bool:
        """Return whether the query says yes to a name."""
        return self.query.get(name, "false").lower() in ("true", "1")

    def fields(self) -> dict[str, Any]:
        """Return the body's JSON object.

        Raises:
            RefusedError: 400, it is none.
        """
        try:
            value = json.loads(b"".join(self.body) or b"{}")
        except ValueError as error:
            raise RefusedError(400, f"Invalid JSON: {error}") from error
        if not isinstance(value, dict):
            raise RefusedError(400, "Invalid JSON: not an object")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer.

    Attributes:
        status: Of HTTP.
        headers: Without `Content-Length`, which follows from the body.
        body: Bytes, or a file of which `part` is sent.
        part: First byte and the one behind the last, of a file.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path = b""
    part: tuple[int, int] = (0, 0)

    @property
    def length(self) -> int:
        """How many bytes the body has."""
        return len(self.body) if isinstance(self.body, bytes) else self.part[1] - self.part[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where one kind of request goes.

    Attributes:
        method: Of HTTP.
        template: Its path, with the names of `PARTS`.
        answers: Name of the method that answers.
    """

    method: str
    template: str
    answers: str

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the named parts of a path, or None if it goes elsewhere."""
        found = _pattern(self.template).fullmatch(path) if method == self.method else None
        if found is None:
            return None
        return {name: unquote(part or "") for name, part in found.groupdict().items()}


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    pattern = template.replace(".", r"\.")
    for name, part in PARTS.items():
        pattern = pattern.replace(name, part)
    return re.compile(pattern)


_API = "/api/{kind}/{repo}"
ENDPOINTS = [
    Endpoint(method=method, template=template, answers=answers)
    for method, template, answers in [
        ("GET", "/files/{path}", "published"),
        ("HEAD", "/files/{path}", "published"),
        ("GET", "/api/whoami-v2", "whoami"),
        ("POST", "/api/validate-yaml", "validate_card"),
        ("POST", "/api/repos/create", "create_repo"),
        ("DELETE", "/api/repos/delete", "delete_repo"),
        ("PUT", _API + "/settings", "change_settings"),
        ("GET", _API, "repo_info"),
        ("GET", _API + "/auth-check", "auth_check"),
        ("GET", _API + "/revision/{revision}", "repo_info"),
        ("GET", _API + "/refs", "refs"),
        ("GET", _API + "/commits/{revision}", "commits"),
        ("GET", _API + "/tree/{revision}", "tree"),
        ("GET", _API + "/tree/{revision}/{path}", "tree"),
        ("POST", _API + "/paths-info/{revision}", "paths_info"),
        ("POST", _API + "/branch/{name}", "create_branch"),
        ("DELETE", _API + "/branch/{name}", "delete_branch"),
        ("POST", _API + "/tag/{revision}", "create_tag"),
        ("DELETE", _API + "/tag/{name}", "delete_tag"),
        ("POST", _API + "/preupload/{revision}", "preupload"),
        ("POST", _API + "/commit/{revision}", "commit"),
        ("POST", "/{prefix}{repo}.git/info/lfs/objects/batch", "objects_batch"),
        ("PUT", "/objects/{kind}/{repo}/{name}", "receive_object"),
        ("POST", "/objects/{kind}/{repo}/{name}", "verify_object"),
        ("GET", "/{prefix}{repo}/resolve/{revision}/{path}", "resolve"),
        ("HEAD", "/{prefix}{repo}/resolve/{revision}/{path}", "resolve"),
    ]
]


def endpoint_of(method: str, path: str) -> tuple[Endpoint, dict[str, str]] | None:
    """Return where a request goes and the named parts of its path; None if nowhere."""
    for endpoint in ENDPOINTS:
        names = endpoint.match(method, path)
        if names is not None:
            return endpoint, names
    return None


class HubInterface:
    """Answers requests from a store.

    Args:
        store: Where repositories and published files are.
        url: Of the server, without a slash at the end.
    """

    def __init__(self, store: HubStore, url: str):
        self._store = store
        self._url = url

    def answer(self, request: Request) -> Answer:
        """Do what is asked and return what to say."""
        try:
            found = endpoint_of(request.method, request.path)
            if found is None:
                raise RefusedError(404, f"{request.method} {request.path} is not served here")
            endpoint, names = found
            answer: Answer = getattr(self, "_" + endpoint.answers)(request, **names)
            return answer
        except RefusedError as error:
            return refusal(error)

    # --- accounts and cards

    def _whoami(self, request: Request) -> Answer:
        caller = _caller(request)
        if caller is None:
            raise RefusedError(401, "Invalid username or password.")
        token = {"displayName": "local", "role": "write" if caller.may_write else "read"}
        auth = {"type": "access_token", "accessToken": token}
        return _json({"type": "user", "name": caller.name, "orgs": [], "auth": auth})

    def _validate_card(self, request: Request) -> Answer:
        warnings: list[dict[str, str]] = []
        try:
            if not card_metadata(request.fields().get("content", "")):
                warnings = [{"message": "empty or missing yaml metadata in repo card"}]
        except yaml.YAMLError as error:
            errors = [{"message": f"YAML Metadata Error: {error}"}]
            return _json({"errors": errors, "warnings": []}, status=400)
        return _json({"errors": [], "warnings": warnings})

    # --- repositories

    def _create_repo(self, request: Request) -> Answer:
        fields = request.fields()
        caller = _writer(request)
        name = f"{fields.get('organization') or caller.name}/{fields.get('name')}"
        repo = f"{fields.get('type') or 'model'}s/{name}"
        if not caller.owns(repo):
            text = "You don't have the rights to create a repo under the namespace"
            raise RefusedError(403, f'{text} "{name.partition("/")[0]}"')
        value = {"url": f"{self._url}/{repo.removeprefix('models/')}", "name": name}
        private = fields.get("visibility") == "private" or fields.get("private") is True
        try:
            self._store.create(repo, private=private, author=caller.name)
        except RefusedError as error:
            return _json(value | {"error": error.message}, status=error.status)
        return _json(value)

    def _delete_repo(self, request: Request) -> Answer:
        fields = request.fields()
        owner = fields.get("organization") or _writer(request).name
        repo = f"{fields.get('type') or 'model'}s/{owner}/{fields.get('name')}"
        self._admit_writer(request, repo)
        self._store.delete(repo)
        return Answer()

    def _change_settings(self, request: Request, kind: str, repo: str) -> Answer:
        repo = f"{kind}/{repo}"
        self._admit_writer(request, repo)
        fields = request.fields()
        changes: dict[str, Any] = {}
        if "visibility" in fields:
            changes["private"] = fields["visibility"] == "private"
        if "gated" in fields:
            changes["gated"] = fields["gated"]
        self._store.change_settings(repo, **changes)
        return _json(changes)

    def _auth_check(self, request: Request, kind: str, repo: str) -> Answer:
        self._admit_reader(request, f"{kind}/{repo}", content=True)
        return _json({})

    def _repo_info(self, request: Request, kind: str, repo: str, revision: str = "main") -> Answer:
        place = f"{kind}/{repo}"
        self._admit_reader(request, place)
        commit, settings = self._store.resolve(place, revision), self._store.settings(place)
        has_sizes = request.asks("blobs")
        value = {
            "id": repo,
            "author": repo.partition("/")[0],
            "sha": commit.oid,
            "lastModified": commit.date,
            "createdAt": settings.created,
            "private": settings.private,
            "gated": settings.gated,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "cardData": self._card(place, commit),
            "siblings": [
                _sibling(path, file, has_sizes=has_sizes) for path, file in commit.files.items()
            ],
        }
        return _json(value)

    def _card(self, repo: str, commit: Commit) -> dict[str, Any] | None:
        file = commit.files.get("README.md")
        if file is None:
            return None
        try:
            return card_metadata(self._store.content(repo, file).read_text()) or None
        except yaml.YAMLError:
            return None

    # --- branches, tags and history

    def _refs(self, request: Request, kind: str, repo: str) -> Answer:
        self._admit_reader(request, f"{kind}/{repo}")
        refs = self._store.refs(f"{kind}/{repo}")

        def those(start: str) -> list[dict[str, str]]:
            return [
                {"name": ref.removeprefix(start), "ref": ref, "targetCommit": oid}
                for ref, oid in refs.items()
                if ref.startswith(start)
            ]

        value = {"branches": those(BRANCH), "tags": those(TAG), "converts": [], "pullRequests": []}
        return _json(value)

    def _commits(self, request: Request, kind: str, repo: str, revision: str) -> Answer:
        self._admit_reader(request, f"{kind}/{repo}")
        history = list(self._store.history(f"{kind}/{repo}", revision))
        entries = [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.message,
                "date": commit.date,
                "authors": [{"user": commit.author}],
            }
            for commit in history
        ]
        return self._page(request, entries, COMMITS_PAGE)

    def _create_branch(self, request: Request, kind: str, repo: str, name: str) -> Answer:
        place = f"{kind}/{repo}"
        self._admit_writer(request, place)
        start = request.fields().get("startingPoint") or "main"
        self._store.point(place, BRANCH + name, self._store.resolve(place, start).oid)
        return _json({})

    def _create_tag(self, request: Request, kind: str, repo: str, revision: str) -> Answer:
        place = f"{kind}/{repo}"
        self._admit_writer(request, place)
        tag = TAG + request.fields()["tag"]
        self._store.point(place, tag, self._store.resolve(place, revision).oid)
        return _json({})

    def _delete_branch(self, request: Request, kind: str, repo: str, name: str) -> Answer:
        self._admit_writer(request, f"{kind}/{repo}")
        if name == "main":
            raise RefusedError(403, "Cannot delete the default branch")
        self._store.unpoint(f"{kind}/{repo}", BRANCH + name)
        return _json({})

    def _delete_tag(self, request: Request, kind: str, repo: str, name: str) -> Answer:
        self._admit_writer(request, f"{kind}/{repo}")
        self._store.unpoint(f"{kind}/{repo}", TAG + name)
        return _json({})

    # --- what a repository holds

    def _tree(
        self, request: Request, kind: str, repo: str, revision: str, path: str = ""
    ) -> Answer:
        place = f"{kind}/{repo}"
        self._admit_reader(request, place)
        commit = self._store.resolve(place, revision)
        found = listing(commit.files, path, recursive=request.asks("recursive"))
        if path and not found:
            text = f'{path} does not exist on "{revision}"'
            raise RefusedError(404, text, "EntryNotFound")
        is_expanded = request.asks("expand")
        entries = self._entries(place, commit, found, is_expanded=is_expanded)
        return self._page(request, entries, EXPANDED_PAGE if is_expanded else PAGE)

    def _paths_info(self, request: Request, kind: str, repo: str, revision: str) -> Answer:
        place = f"{kind}/{repo}"
        self._admit_reader(request, place)
        commit = self._store.resolve(place, revision)
        form = parse_qs(b"".join(request.body).decode())
        every = listing(commit.files, "", recursive=True)
        found = {path: every[path] for path in form.get("paths", []) if path in every}
        is_expanded = form.get("expand", [""])[-1].lower() == "true"
        return _json(self._entries(place, commit, found, is_expanded=is_expanded))

    def _entries(
        self,
        repo: str,
        commit: Commit,
        found: Mapping[str, StoredFile | None],
        *,
        is_expanded: bool,
    ) -> list[dict[str, Any]]:
        entries = [_entry(path, file, commit) for path, file in found.items()]
        if is_expanded:
            changes = last_changes(self._store.history(repo, commit.oid))
            for entry in entries:
                last = changes[entry["path"]]
                entry["lastCommit"] = {"id": last.oid, "title": last.title, "date": last.date}
        return entries

    def _page(self, request: Request, entries: list[dict[str, Any]], most: int) -> Answer:
        most = min(most, int(request.query.get("limit", most)))
        start = int(request.query.get("cursor", 0))
        headers = {"X-Total-Count": str(len(entries))}
        if start + most < len(entries):
            query = urlencode(request.query | {"cursor": start + most})
            headers["Link"] = f'<{self._url}{request.path}?{query}>; rel="next"'
        return _json(entries[start : start + most], headers=headers)

    def _resolve(
        self, request: Request, prefix: str, repo: str, revision: str, path: str
    ) -> Answer:
        place = f"{prefix or 'models'}/{repo}"
        self._admit_reader(request, place, content=True)
        commit = self._store.resolve(place, revision)
        headers = {"X-Repo-Commit": commit.oid}
        file = commit.files.get(path)
        if file is None:
            raise RefusedError(404, "Entry not found", "EntryNotFound", headers)
        etag = f'"{file.sha256 if file.is_large else file.oid}"'
        if file.is_large:
            headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": etag}
        return _file(request, self._store.content(place, file), path, etag, headers)

    def _published(self, request: Request, path: str) -> Answer:
        place = self._store.published(path)
        if not place.is_file():
            raise RefusedError(404, f"{path}: not found")
        found = place.stat()
        return _file(request, place, path, f'"{found.st_mtime_ns:x}-{found.st_size:x}"', {})

    # --- uploads

    def _preupload(self, request: Request, kind: str, repo: str, revision: str) -> Answer:
        place = f"{kind}/{repo}"
        self._admit_writer(request, place)
        commit = self._store.resolve(place, revision)
        modes = []
        for file in request.fields().get("files", []):
            path, sample = file["path"], base64.b64decode(file["sample"])
            is_large = self._store.goes_by_itself(place, path, file["size"], sample, commit)
            mode = {"path": path, "uploadMode": "lfs" if is_large else "regular"}
            there = commit.files.get(path)
            if there is not None:  # by it a client leaves out what has not changed
                mode["oid"] = there.sha256 if there.is_large else there.oid
            modes.append(mode | {"shouldIgnore": False})
        return _json({"files": modes, "commitOid": commit.oid})

    def _objects_batch(self, request: Request, prefix: str, repo: str) -> Answer:
        place = f"{prefix or 'models'}/{repo}"
        self._admit_writer(request, place)
        fields = request.fields()
        if fields.get("operation") != "upload" or "basic" not in fields.get("transfers", []):
            raise RefusedError(422, "Only uploads by the basic transfer are served here")
        objects = []
        for each in fields["objects"]:
            value = {"oid": each["oid"], "size": each["size"]}
            if not self._store.knows(place, each["oid"]):
                href = f"{self._url}/objects/{place}/{each['oid']}"
                seal = f"{href}?size={each['size']}&seal={_seal(place, each['oid'])}"
                value["actions"] = {"upload": {"href": seal}, "verify": {"href": href}}
            objects.append(value)
        return _json({"transfer": "basic", "objects": objects})

    def _receive_object(self, request: Request, kind: str, repo: str, name: str) -> Answer:
        place = f"{kind}/{repo}"
        seal = request.query.get("seal", "")  # the link is signed, the request carries no token
        if not hmac.compare_digest(seal, _seal(place, name)):
            raise RefusedError(403, "SignatureDoesNotMatch")
        self._store.receive(place, name, int(request.query["size"]), request.body)
        return Answer(headers={"ETag": f'"{name}"'})

    def _verify_object(self, request: Request, kind: str, repo: str, name: str) -> Answer:
        self._admit_writer(request, f"{kind}/{repo}")
        if not self._store.knows(f"{kind}/{repo}", name):
            raise RefusedError(404, f"Object {name} was not uploaded")
        return _json({})

    def _commit(self, request: Request, kind: str, repo: str, revision: str) -> Answer:
        place = f"{kind}/{repo}"
        caller = self._admit_writer(request, place)
        if request.asks("create_pr"):
            raise RefusedError(400, "Pull requests are not served here")
        header, changes = _changes(b"".join(request.body))
        commit = self._store.commit(
            place,
            revision,
            changes,
            title=header.get("summary", ""),
            message=header.get("description", ""),
            parent=header.get("parentCommit"),
            author=caller.name,
        )
        url = f"{self._url}/{place.removeprefix('models/')}/commit/{commit.oid}"
        return _json({"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""})

    # --- who may

    def _admit_reader(self, request: Request, repo: str, *, content: bool = False) -> None:
        caller = _caller(request)
        is_there = self._store.exists(repo)
        settings = self._store.settings(repo) if is_there else None
        is_own = caller is not None and caller.owns(repo)
        if settings is None or (settings.private and not is_own):
            # The hub does not tell who may not see it whether a repository is there. Its client
            # knows a plain 401 for that only over https, so that the code is said here.
            if caller is None:
                raise RefusedError(401, "Invalid username or password.", "RepoNotFound")
            raise RefusedError(404, "Repository not found", "RepoNotFound")
        if content and settings.gated and not is_own:
            text = f"Access to {repo} is restricted"
            raise RefusedError(401 if caller is None else 403, text, "GatedRepo")

    def _admit_writer(self, request: Request, repo: str) -> Caller:
        self._admit_reader(request, repo)
        caller = _writer(request)
        if not caller.owns(repo):
            raise RefusedError(403, f"You don't have the rights to write to {repo}")
        return caller


def refusal(error: RefusedError) -> Answer:
    """Return the answer that says no, in body and headers as the hub does."""
    message = " ".join(error.message.encode("ascii", "replace").decode().split())
    headers = error.headers | {"X-Error-Message": message}
    if error.code:
        headers["X-Error-Code"] = error.code
    return _json({"error": error.message}, status=error.status, headers=headers)


def card_metadata(text: str) -> dict[str, Any]:
    """Return the metadata at the head of a card; empty where there is none.

    Raises:
        yaml.YAMLError: They cannot be read.
    """
    found = re.match(r"\s*---\r?\n(.*?)\r?\n?---(\r?\n|$)", text, re.DOTALL)
    value = yaml.safe_load(found[1]) if found else None
    if value is not None and not isinstance(value, dict):
        raise yaml.YAMLError(f"metadata is {type(value).__name__}, not names with values")
    return value or {}


def part_of(size: int, asked: str | None) -> tuple[int, int] | None:
    """Return which bytes a `Range` header asks for (RFC 9110, 14.2).

    Args:
        size: Of the whole, in bytes.
        asked: The header, or None.

    Returns:
        The first byte and the one behind the last; None for the whole, which is also the answer
        to several ranges and to what cannot be read.

    Raises:
        RefusedError: 416, nothing of the whole lies there.
    """
    found = re.fullmatch(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", asked or "")
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise RefusedError(
            416, "Range Not Satisfiable", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, stop


def _file(request: Request, place: Path, path: str, etag: str, headers: dict[str, str]) -> Answer:
    size = place.stat().st_size
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    headers |= {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": kind}
    condition = request.headers.get("If-Range")
    part = None
    if request.method == "GET" and condition in (None, etag):
        part = part_of(size, request.headers.get("Range"))
    if part is None:
        return Answer(headers=headers, body=place, part=(0, size))
    headers["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{size}"
    return Answer(status=206, headers=headers, body=place, part=part)


def _changes(body: bytes) -> tuple[dict[str, Any], list[Change]]:
    header: dict[str, Any] = {}
    changes = []
    try:
        for line in body.splitlines():
            entry = json.loads(line)
            kind, value = entry["key"], entry["value"]
            if kind == "header":
                header = value
            elif kind == "file":
                content = base64.b64decode(value["content"], validate=True)
                changes.append(Change(kind=kind, path=value["path"], content=content))
            elif kind == "lfsFile":
                changes.append(Change(kind=kind, path=value["path"], sha256=value["oid"]))
            else:
                changes.append(Change(kind=kind, path=value["path"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError(400, f"Invalid commit: {error!r}") from error
    return header, changes


def _entry(path: str, file: StoredFile | None, commit: Commit) -> dict[str, Any]:
    if file is None:
        return {"type": "directory", "oid": digest(commit.files, path + "/")[:40], "size": 0} | {
            "path": path
        }
    entry = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
    return entry | ({"lfs": {"oid": file.sha256} | _large(file)} if file.is_large else {})


def _sibling(path: str, file: StoredFile, *, has_sizes: bool) -> dict[str, Any]:
    if not has_sizes:
        return {"rfilename": path}
    entry = {"rfilename": path, "size": file.size, "blobId": file.oid}
    return entry | ({"lfs": {"sha256": file.sha256} | _large(file)} if file.is_large else {})


def _large(file: StoredFile) -> dict[str, int]:
    return {"size": file.size, "pointerSize": len(pointer(file.sha256, file.size))}


def _caller(request: Request) -> Caller | None:
    token = request.headers.get("Authorization")
    if token is None:
        return None
    caller = CALLERS.get(token.removeprefix("Bearer "))
    if caller is None:
        raise RefusedError(401, "Invalid credentials in Authorization header")
    return caller


def _writer(request: Request) -> Caller:
    caller = _caller(request)
    if caller is None:
        raise RefusedError(401, "Invalid username or password.")
    if not caller.may_write:
        raise RefusedError(403, "Forbidden: this token may only read")
    return caller


def _seal(repo: str, oid: str) -> str:
    return hmac.new(WRITER.encode(), f"{repo} {oid}".encode(), "sha256").hexdigest()[:16]


def _json(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    return Answer(
        status=status, headers=kind | dict(headers or {}), body=json.dumps(value).encode()
    )
