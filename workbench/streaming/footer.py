"""What the footer of a Parquet file tells, read without the rest of the file where it can be."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import requests

from workbench.errors import SourceError
from workbench.streaming.options import RetryOptions
from workbench.streaming.retry import patiently, told
from workbench.streaming.source import Source, SourceFile
from workbench.streaming.transfer import is_local

_CONNECTIONS = 8  # at the same time
_TAIL = 1 << 16  # bytes of a first request; most footers are smaller


def first_schema(source: Source, options: RetryOptions | None = None) -> pa.Schema | None:
    """Return the columns of the first file, or None where its server gives whole files only.

    Args:
        source: The list; its first file is Parquet.
        options: How patient to be.

    Raises:
        AccessError: The server wants another token.
        SourceError: The file cannot be reached, or is no Parquet.
    """
    footer = _footer(source.files[0], source, options or RetryOptions())
    return None if footer is None else footer.schema.to_arrow_schema()


def with_rows(source: Source, options: RetryOptions | None = None) -> Source:
    """Return a source whose files all tell how many rows they have, by their footers.

    Args:
        source: The list, of Parquet.
        options: How patient to be.

    Raises:
        AccessError: The server wants another token.
        SourceError: A file cannot be reached, or is no Parquet, or its server gives whole files
            only.
    """
    unknown = [file for file in source.files if file.rows is None]
    patience = options or RetryOptions()
    with ThreadPoolExecutor(max_workers=_CONNECTIONS) as pool:
        footers = pool.map(lambda file: _footer(file, source, patience), unknown)
        rows = {
            file: footer and footer.num_rows for file, footer in zip(unknown, footers, strict=True)
        }
    for file, count in rows.items():
        if count is None:
            raise SourceError(
                f"{file.url}: its server gives whole files only, so that the rows of the shards "
                "are not known beforehand; gather them into a dataset or a folder first"
            )
    files = (f if f.rows is not None else replace(f, rows=rows[f]) for f in source.files)
    return replace(source, files=tuple(files))


def _footer(file: SourceFile, source: Source, options: RetryOptions) -> pq.FileMetaData | None:
    try:
        if is_local(file.url):
            return pq.read_metadata(file.url)
        if urlsplit(file.url).scheme in ("http", "https"):
            return _web_footer(file, source, options)
        with fsspec.open(file.url, "rb") as content:
            return pq.read_metadata(content)
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, requests.RequestException):
            raise told(error, file.url) from error
        raise SourceError(f"{file.url}: cannot be read as Parquet ({error})") from error


def _web_footer(file: SourceFile, source: Source, options: RetryOptions) -> pq.FileMetaData | None:
    tail = _tail(file, source, options, _TAIL)
    if tail is None:
        return None
    needed = int.from_bytes(tail[-8:-4], "little") + 8
    if needed > len(tail) and tail.endswith(b"PAR1"):
        tail = _tail(file, source, options, needed)
    return None if tail is None else pq.read_metadata(pa.BufferReader(tail))


def _tail(file: SourceFile, source: Source, options: RetryOptions, count: int) -> bytes | None:
    headers = {**source.headers, "Accept-Encoding": "identity", "Range": f"bytes=-{count}"}

    def answered() -> bytes | None:
        patience = options.timeout_seconds
        with requests.get(file.url, headers=headers, stream=True, timeout=patience) as answer:
            answer.raise_for_status()
            return answer.content if answer.status_code == 206 else None

    return patiently(answered, options, file.url)
