"""Small Parquet files of numbered records, with page checksums, and disks to be full."""

import io
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("text", pa.string()),
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ]
)


def record(number: int, size: int = 40) -> dict[str, object]:
    """Return a record that its number tells apart from all others, with so many bytes of sound."""
    sound = number.to_bytes(4, "little") * (size // 4)
    return {
        "number": number,
        "text": None if number % 5 == 0 else f"text {number}",
        "audio": {"bytes": sound, "path": f"{number}.wav"},
    }


def parquet_of(groups: Sequence[int], *, first: int = 0, size: int = 40) -> bytes:
    """Return a Parquet file whose row groups hold so many records, numbered from the first on."""
    out = io.BytesIO()
    raw = "audio.bytes"
    with pq.ParquetWriter(
        out,
        SCHEMA,
        compression={"number": "none", "text": "zstd", raw: "none", "audio.path": "zstd"},
        use_dictionary=["text"],
        write_page_checksum=True,
    ) as writer:
        for count in groups:
            rows = [record(first + index, size) for index in range(count)]
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
            first += count
    return out.getvalue()


def data_pages(content: bytes, column: str) -> list[range]:
    """Return where the page of a column's values lies in a Parquet file, one range a row group."""
    metadata = pq.read_metadata(io.BytesIO(content))
    found = []
    for group in range(metadata.num_row_groups):
        chunks = map(metadata.row_group(group).column, range(metadata.num_columns))
        chunk = next(each for each in chunks if each.path_in_schema == column)
        begin = chunk.dictionary_page_offset or chunk.data_page_offset
        found.append(range(chunk.data_page_offset, begin + chunk.total_compressed_size))
    return found


def flipped(content: bytes, at: int) -> bytes:
    """Return some bytes with one of them wrong."""
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a disk of so many bytes at a folder while the block lasts."""
    folder.mkdir()
    tokens = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(tokens, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
