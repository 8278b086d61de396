"""What the footer of a Parquet file tells, read without the rest of the file where it can be."""

from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import requests

from workbench.errors import SourceError
from workbench.streaming.retry import RetryOptions, patiently, told
from workbench.streaming.source import Source, SourceFile
from workbench.streaming.transfer import is_local

_TAIL = 1 << 16  # bytes of a first request; most footers are smaller


def first_schema(source: Source, options: RetryOptions | None = None) -> pa.Schema | None:
    """Return the columns of a source's first file, or None where its server gives whole files only.

    Args:
        source: The list; its first file is Parquet.
        options: How patient to be.

    Raises:
        AccessError: The server wants another token.
        SourceError: The file cannot be reached, or is no Parquet.
    """
    file = source.files[0]
    try:
        if is_local(file.url):
            return pq.read_schema(file.url)
        if urlsplit(file.url).scheme in ("http", "https"):
            return _web_schema(file, source, options or RetryOptions())
        with fsspec.open(file.url, "rb") as content:
            return pq.read_schema(content)
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, requests.RequestException):
            raise told(error, file.url) from error
        raise SourceError(f"{file.url}: cannot be read as Parquet ({error})") from error


def _web_schema(file: SourceFile, source: Source, options: RetryOptions) -> pa.Schema | None:
    tail = _tail(file, source, options, _TAIL)
    if tail is None:
        return None
    needed = int.from_bytes(tail[-8:-4], "little") + 8
    if needed > len(tail) and tail.endswith(b"PAR1"):
        tail = _tail(file, source, options, needed)
    return None if tail is None else pq.read_schema(pa.BufferReader(tail))


def _tail(file: SourceFile, source: Source, options: RetryOptions, count: int) -> bytes | None:
    headers = {**source.headers, "Accept-Encoding": "identity", "Range": f"bytes=-{count}"}

    def answered() -> bytes | None:
        patience = options.timeout_seconds
        with requests.get(file.url, headers=headers, stream=True, timeout=patience) as answer:
            answer.raise_for_status()
            return answer.content if answer.status_code == 206 else None

    return patiently(answered, options, file.url)
