"""How the real clients of the hub are pointed at a local one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest


class Hub(Protocol):
    """What a client has to know of a hub: where it is, and a token that opens it."""

    url: str
    token: str


def client_environment(hub: Hub, home: Path) -> dict[str, str]:
    """Return what a process needs in its environment so that its clients use this hub.

    The clients read most of it once, when they are imported; give it to a process at its start:
    `subprocess.run(…, env=os.environ | client_environment(hub, home))`.

    Args:
        hub: Where they go.
        home: Folder for what they keep.
    """
    return {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_DATASETS_CACHE": str(home / "datasets"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@contextmanager
def clients_at(hub: Hub, home: Path) -> Iterator[None]:
    """Point the clients in this process, imported or not yet, and its children at a hub.

    What a client remembers of a hub (connections, listings) is dropped at the end, so that the
    next one may listen at the same port.

    Args:
        hub: Where they go while the block lasts.
        home: Folder for what they keep.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in client_environment(hub, home).items():
            patch.setenv(name, value)
        for module, values in _values(hub, home).items():
            for name, taken in values.items() if module in sys.modules else ():
                patch.setattr(f"{module}.{name}", taken)
        yield
    if "huggingface_hub.utils._http" in sys.modules:
        sys.modules["huggingface_hub.utils._http"].close_session()
    if "huggingface_hub.hf_file_system" in sys.modules:
        sys.modules["huggingface_hub.hf_file_system"].HfFileSystem.clear_instance_cache()


def _values(hub: Hub, home: Path) -> dict[str, dict[str, object]]:
    """Return what the clients took from the environment when they were imported."""
    return {
        "huggingface_hub.constants": {
            "ENDPOINT": hub.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_HUB_DISABLE_XET": True,
        },
        "huggingface_hub.hf_api": {"api.endpoint": hub.url},
        "datasets.config": {
            "HF_ENDPOINT": hub.url,
            "HUB_DATASETS_URL": hub.url + "/datasets/{repo_id}/resolve/{revision}/{path}",
            "HF_CACHE_HOME": str(home),
            "HF_DATASETS_CACHE": home / "datasets",
            "DOWNLOADED_DATASETS_PATH": home / "datasets" / "downloads",
        },
    }
