"""Files that arrive whole and right through every fault, or are told to be missing at once."""

import hashlib
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer

from workbench.errors import AccessError, SourceError, StreamingError
from workbench.streaming.listing import http_source
from workbench.streaming.retry import RetryOptions
from workbench.streaming.source import SourceFile
from workbench.streaming.transfer import Transfer

QUICK = RetryOptions(
    attempts=4, first_wait_seconds=0.02, most_wait_seconds=1.0, timeout_seconds=0.5
)
CONTENT = bytes(range(256)) * 8192  # 2 MiB


def served(hub: HubServer, *, with_digest: bool) -> SourceFile:
    hub.publish("a.bin", CONTENT)
    digest = "sha256:" + hashlib.sha256(CONTENT).hexdigest() if with_digest else ""
    return SourceFile(name="a.bin", url=f"{hub.url}/files/a.bin", size=len(CONTENT), digest=digest)


FAULTS = [
    ("500", {}),
    ("503", {}),
    ("429", {}),
    ("stall", {"after_bytes": 100_000, "seconds": 3}),
    ("drop", {}),
    ("truncate", {"after_bytes": 1_500_000}),
    ("wrong_bytes", {}),
]


@pytest.mark.parametrize(("kind", "how"), FAULTS, ids=[kind for kind, _ in FAULTS])
def test_a_file_arrives_whole_through_a_fault_that_passes(
    hub: HubServer, tmp_path: Path, kind: str, how: dict[str, int]
) -> None:
    file = served(hub, with_digest=True)
    hub.faults.add(match=r"GET /files/", kind=kind, times=2, **how)
    begun = time.monotonic()
    with Transfer(tmp_path, QUICK) as transfer:
        assert transfer.fetch(file).read_bytes() == CONTENT
    assert time.monotonic() - begun < 10
    assert (
        len(list(tmp_path.iterdir()))
        == 1 + (tmp_path / "hub").exists() + (tmp_path / "hub-home").exists()
    )


@pytest.mark.parametrize("kind", ["500", "drop", "truncate", "wrong_bytes"])
def test_a_fault_that_stays_is_told_with_the_url(hub: HubServer, tmp_path: Path, kind: str) -> None:
    file = served(hub, with_digest=True)
    hub.faults.add(match=r"GET /files/", kind=kind, times=100)
    begun = time.monotonic()
    with Transfer(tmp_path / "to", QUICK) as transfer, pytest.raises(SourceError, match=r"a\.bin"):
        transfer.fetch(file)
    assert time.monotonic() - begun < 10
    assert not transfer.place(file).exists()


@pytest.mark.parametrize(("kind", "error"), [("404", SourceError), ("403", AccessError)])
def test_what_is_missing_or_forbidden_is_told_at_once(
    hub: HubServer, tmp_path: Path, kind: str, error: type[StreamingError]
) -> None:
    file = served(hub, with_digest=True)
    hub.faults.add(match=r"GET /files/", kind=kind, times=100)
    with Transfer(tmp_path / "to", QUICK) as transfer, pytest.raises(error, match=r"a\.bin"):
        transfer.fetch(file)
    assert sum(path.endswith("a.bin") for _, path in hub.endpoint_log) == 1


def test_a_part_goes_on_where_it_was_cut_off(hub: HubServer, tmp_path: Path) -> None:
    file = served(hub, with_digest=True)
    arrived: list[int] = []
    with Transfer(tmp_path / "to", QUICK, arrived=arrived.append) as transfer:
        part = transfer.place(file).with_name(transfer.place(file).name + ".part")
        part.parent.mkdir()
        part.write_bytes(CONTENT[:2_000_000])
        assert transfer.fetch(file).read_bytes() == CONTENT
    assert sum(arrived) == len(CONTENT) - 2_000_000


def test_a_wrong_part_is_thrown_away(hub: HubServer, tmp_path: Path) -> None:
    file = served(hub, with_digest=True)
    with Transfer(tmp_path / "to", QUICK) as transfer:
        part = transfer.place(file).with_name(transfer.place(file).name + ".part")
        part.parent.mkdir()
        part.write_bytes(b"x" * 1_000_000)
        assert transfer.fetch(file).read_bytes() == CONTENT


def test_a_corrupt_body_with_a_good_footer_is_caught_without_any_digest(
    hub: HubServer, tmp_path: Path
) -> None:
    good = tmp_path / "good.parquet"
    table = pa.table({"sound": [os.urandom(2000) for _ in range(200)]})
    pq.write_table(table, good, write_page_checksum=True, compression="none")
    content = bytearray(good.read_bytes())
    content[100_000] ^= 1
    hub.publish("s.parquet", bytes(content))
    source = http_source(f"{hub.url}/files/s.parquet", QUICK)
    with Transfer(tmp_path / "to", QUICK) as transfer, pytest.raises(SourceError, match="Parquet"):
        transfer.fetch(source.files[0])


def test_a_file_that_has_changed_since_it_was_listed_is_told(
    hub: HubServer, tmp_path: Path
) -> None:
    hub.publish("s.bin", b"one")
    source = http_source(f"{hub.url}/files/s.bin", QUICK)
    hub.publish("s.bin", b"two")
    with Transfer(tmp_path / "to", QUICK) as transfer, pytest.raises(SourceError, match="changed"):
        transfer.fetch(source.files[0])
