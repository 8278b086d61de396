"""The real huggingface_hub and datasets do all they can do with the local hub, in one process.

`client_operations.py` checks each operation on the client's side; what came of them is checked
here on the server's.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hub_clients import client_environment
from hub_server import HubServer

SCRIPT = Path(__file__).with_name("client_operations.py")
OPERATIONS = [
    "whoami",
    "create_repo_twice",
    "create_private_repo",
    "upload_file_through_lfs",
    "dataset_info",
    "commit_shards_and_state_together",
    "stale_parent_commit_is_refused",
    "preupload_then_commit",
    "copy_and_delete_in_one_commit",
    "upload_card_and_validate_it",
    "upload_folder",
    "list_repo_files",
    "list_repo_tree",
    "get_paths_info",
    "list_repo_refs",
    "list_repo_commits",
    "branches_and_tags",
    "hf_hub_download",
    "snapshot_download",
    "filesystem_ls",
    "filesystem_row_group_by_range",
    "load_dataset_streaming",
    "load_dataset_streaming_audio",
    "state_dict_resumes_twice",
    "load_dataset_cached",
    "dataset_push_to_hub",
    "iterable_dataset_push_to_hub",
    "delete_file",
    "delete_files",
    "delete_folder",
    "gated_content_is_kept_from_others",
    "a_reading_token_cannot_write",
    "delete_repo",
]
NECESSARY = {
    "POST /api/repos/create",
    "POST /api/{kind}/{repo}/preupload/{revision}",
    "POST /{prefix}{repo}.git/info/lfs/objects/batch",
    "PUT /objects/{kind}/{repo}/{name}",
    "POST /api/{kind}/{repo}/commit/{revision}",
    "GET /api/{kind}/{repo}",
    "GET /api/{kind}/{repo}/tree/{revision}",
    "HEAD /{prefix}{repo}/resolve/{revision}/{path}",
    "GET /{prefix}{repo}/resolve/{revision}/{path}",
    "POST /api/validate-yaml",
}


class Performance(NamedTuple):
    """What the process said, and the hub it leaves."""

    results: dict[str, str | None]
    hub: HubServer
    folder: Path


@pytest.fixture(scope="module")
def performance(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    with HubServer(folder / "hub") as hub:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(folder / "work")],
            env=os.environ | client_environment(hub, folder / "home"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield Performance(json.loads(done.stdout), hub, folder / "work")


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_client_can(name, performance):
    failure = performance.results[name]
    assert failure is None, failure


def test_every_operation_is_named_here(performance):
    assert list(performance.results) == OPERATIONS


def test_all_that_the_clients_ask_for_is_served(performance):
    assert performance.hub.unserved == []
    assert set(performance.hub.endpoints()) >= NECESSARY


def test_the_hub_holds_the_very_bytes_that_the_clients_sent(performance):
    shards = sorted((performance.folder / "shards").iterdir())
    files = performance.hub.files("lab/voices")
    assert [path for path in files if path.startswith("data/")] == [
        f"data/{shard.name}" for shard in shards
    ]
    for shard in shards:
        assert performance.hub.read("lab/voices", f"data/{shard.name}") == shard.read_bytes()
        assert files[f"data/{shard.name}"].is_large
    assert performance.hub.read("lab/voices", "_state/state.json") == b'{"row": 150}'
    assert not files["_state/state.json"].is_large


def test_shards_and_state_came_in_one_commit(performance):
    for commit in performance.hub.commits("lab/voices"):
        shards = [path for path in commit.files if path.endswith(".parquet")]
        assert ("_state/state.json" in commit.files) == (len(shards) == 3)


def test_each_shard_was_sent_once(performance):
    sent = [path for method, path in performance.hub.endpoint_log if method == "PUT"]
    for number, file in performance.hub.files("lab/voices").items():
        times = sum(path.endswith(f"lab/voices/{file.sha256}") for path in sent)
        assert times == int(file.is_large), number
