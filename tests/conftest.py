"""Where the data beside the checkout is, a hub, a cluster, and a machine that kills.

A test that needs data says so by a marker.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from cluster_hosts import local_cluster
from hub_clients import clients_at
from hub_server import HubServer

# The same examples in every run: what passes here passes there, and a find stays found.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

DATA = Path(__file__).parents[2] / "shared" / "data"
DEADLY = Path(__file__).parent / "deadly"


def _folder(name: str) -> Path:
    folder = DATA / name
    if folder.is_dir():
        return folder
    text = f"{folder} is missing: this test needs it"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def gmd() -> Path:
    """The Groove MIDI Dataset: train/ and validation/."""
    return _folder("gmd")


@pytest.fixture(scope="session")
def malformed() -> Path:
    """36 malformed and odd MIDI files, each with the one defect that its name tells."""
    return _folder("midi_malformed")


@pytest.fixture(scope="session")
def beatsaber() -> Path:
    """Beat Saber maps of the versions 1 to 4, one with a fault planted in each difficulty."""
    return _folder("beatsaber")


@pytest.fixture(scope="session")
def charts() -> Path:
    """Six songs of Frets on Fire: audio, and charts that people made of it."""
    return _folder("charts")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A hub of this test's own; the clients in this process and its children go there."""
    with HubServer(tmp_path / "hub") as server, clients_at(server, tmp_path / "hub-home"):
        yield server


@pytest.fixture
def obey_permissions() -> Callable[[], None]:
    """What a child process calls before it begins, so that permissions bind even root."""

    def give_up() -> None:
        libc = ctypes.CDLL(None)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; who has none, keeps none

    return give_up


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started from here on are killed by what should kill them."""
    monkeypatch.setenv("PYTHONPATH", str(DEADLY), prepend=":")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Dask cluster of this machine, whose workers stand in another folder than the tests."""
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    with local_cluster(workers=2) as engine:
        yield engine


@pytest.fixture
def deadly_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same, on a machine that kills."""
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    monkeypatch.syspath_prepend(DEADLY)
    with local_cluster(workers=2) as engine:
        yield engine
