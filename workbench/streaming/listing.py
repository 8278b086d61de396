"""Lists of files made from what a person names: a folder, a web address, a hub, any fsspec URL.

A list is in the order of names and pinned: its files carry their sizes, and digests where there
are any. A web list is a text file in UTF-8 of addresses, one a line, relative to itself; or one
address with a range of numbers in braces, as `…/shard_{00000..00011}.parquet`.
"""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import requests

from workbench.errors import SourceError
from workbench.streaming import hub
from workbench.streaming.options import RetryOptions
from workbench.streaming.retry import patiently, told
from workbench.streaming.source import UNKNOWN, Source, SourceFile
from workbench.streaming.transfer import is_local

_CONNECTIONS = 4
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def open_source(
    text: str, *, revision: str | None = None, options: RetryOptions | None = None
) -> Source:
    """Return the Parquet files that a name stands for.

    Args:
        text: A folder, `hf://user/name`, `http(s)://…`, or any URL that fsspec knows.
        revision: A commit to pin to, where the place has such.
        options: How patient to be.

    Raises:
        SourceError: There is nothing, or it cannot be asked.
        AccessError: The place wants another token.
    """
    if is_local(text):
        return folder_source(Path(text))
    if text.startswith(hub.PREFIX):
        return hub.hub_source(text, revision=revision, options=options)
    if urlsplit(text).scheme in ("http", "https"):
        return http_source(text, options)
    return fsspec_source(text)


def folder_source(folder: Path, pattern: str = "*.parquet") -> Source:
    """Return the files below a folder, or one file, with rows and digests from their footers.

    Args:
        folder: The folder.
        pattern: Which files, as shells match names; `*` also matches slashes. Files and folders
            that begin with a dot or an underscore are left out.

    Raises:
        SourceError: There is no such file, or one is no Parquet.
    """
    if folder.is_file():
        return Source(name=str(folder), files=(_local_file(folder, folder.name),))
    names = (f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    wanted = sorted(n for n in names if fnmatch(n, pattern) and not _is_hidden(n))
    if not wanted:
        what = "no file matches" if folder.is_dir() else "is no folder and no file;"
        raise SourceError(f"{folder}: {what} {pattern}")
    return Source(name=str(folder), files=tuple(_local_file(folder / n, n) for n in wanted))


def http_source(text: str, options: RetryOptions | None = None) -> Source:
    """Return the files of a web list, with sizes and ETags as the server tells them.

    Args:
        text: Address of a list, of one file, or of a numbered series.
        options: How patient to be.

    Raises:
        SourceError: A file is not there, or the server does not answer.
    """
    options = options or RetryOptions()
    if found := _RANGE.search(text):
        width = len(found[1])
        numbers = range(int(found[1]), int(found[2]) + 1)
        urls = [_RANGE.sub(f"{number:0{width}d}", text, count=1) for number in numbers]
    elif Path(urlsplit(text).path).suffix in ("", ".txt"):
        lines = _get(text, options).splitlines()
        urls = [urljoin(text, line.strip()) for line in lines if line.strip()]
    else:
        urls = [text]
    if not urls:
        raise SourceError(f"{text}: the list is empty; write one address a line")
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        files = tuple(pool.map(lambda url: _http_file(url, options), urls))
    return Source(name=text, files=files)


def fsspec_source(text: str) -> Source:
    """Return the files that a URL with `*` stands for, in any place that fsspec knows.

    Raises:
        SourceError: There are none, or the place cannot be asked.
    """
    try:
        system, path = fsspec.core.url_to_fs(text)
        paths = sorted(system.glob(path)) if "*" in path else [path]
        known = {place: system.info(place) for place in paths}
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"{text}: cannot be listed ({error})") from error
    files = tuple(
        SourceFile(
            name=place,
            url=system.unstrip_protocol(place),
            size=UNKNOWN if info.get("size") is None else int(info["size"]),
            digest=f"etag:{info['ETag']}" if info.get("ETag") else "",
        )
        for place, info in known.items()
        if info.get("type") != "directory"
    )
    if not files:
        raise SourceError(f"{text}: no file matches")
    return Source(name=text, files=files)


def _local_file(path: Path, name: str) -> SourceFile:
    """Return a file with what its footer tells; other kinds than Parquet by their content."""
    size = path.stat().st_size
    if path.suffix != ".parquet":
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        return SourceFile(name=name, url=str(path), size=size, digest=f"sha256:{digest}")
    try:
        rows = pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path}: cannot be read as Parquet ({error}); take it away") from error
    with path.open("rb") as content:
        content.seek(-8, 2)
        length = int.from_bytes(content.read(4), "little")
        content.seek(-8 - length, 2)
        digest = hashlib.sha256(content.read()).hexdigest()
    return SourceFile(name=name, url=str(path), size=size, digest=f"footer:{digest}", rows=rows)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/"))


def _get(url: str, options: RetryOptions) -> str:
    def answered() -> bytes:
        answer = requests.get(url, timeout=options.timeout_seconds)
        answer.raise_for_status()
        return answer.content

    try:
        # requests takes text for Latin-1 where a server does not say what it is
        return patiently(answered, options, url).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{url}: is no text in UTF-8 ({error.reason} at byte {error.start}); write the list so"
        ) from error
    except requests.RequestException as error:
        raise told(error, url) from error


def _http_file(url: str, options: RetryOptions) -> SourceFile:
    def answered() -> requests.Response:
        headers = {"Accept-Encoding": "identity"}
        answer = requests.head(
            url, headers=headers, timeout=options.timeout_seconds, allow_redirects=True
        )
        answer.raise_for_status()
        return answer

    try:
        headers = patiently(answered, options, url).headers
    except requests.RequestException as error:
        raise told(error, url) from error
    size = headers.get("Content-Length", "")
    etag = headers.get("ETag", "")
    return SourceFile(
        name=unquote(urlsplit(url).path),
        url=url,
        size=int(size) if size.isdigit() else UNKNOWN,
        digest=f"etag:{etag}" if etag else "",
    )
