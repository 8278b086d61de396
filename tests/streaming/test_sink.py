"""A folder as a sink: shards and state change in one act, wherever it is interrupted."""

import hashlib
import json

import pytest

from workbench.errors import SinkError
from workbench.streaming.sink import FolderSink

STATE = "_state/state.json"


def files_of(folder):
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def opened(folder):
    sink = FolderSink(folder, STATE)
    sink.open()
    sink.create()
    return sink


def test_an_act_moves_files_and_makes_others_of_what_is_there(tmp_path):
    sink = opened(tmp_path / "out")
    shard = sink.staging(tmp_path) / "a"
    shard.parent.mkdir()
    shard.write_bytes(b"rows")
    sink.commit("one", state=b"1", files={"data/a": shard, "card": lambda old: b"%r" % old})
    sink.commit("two", state=b"2", files={"card": lambda old: b"(%s)" % old})
    assert files_of(tmp_path / "out") == {STATE: b"2", "data/a": b"rows", "card": b"(None)"}


def test_a_folder_is_emptied_of_what_was_there_before(tmp_path):
    sink = opened(tmp_path)
    sink.commit("one", state=b"1", files={"data/a": b"a", "data/b": b"b", "logs/c": b"c"})
    sink.commit("two", state=b"2", files={"data/b": b"new"}, deletes=["data", "none"])
    assert files_of(tmp_path) == {STATE: b"2", "data/b": b"new", "logs/c": b"c"}


@pytest.mark.parametrize("moment", ["before the state", "after it", "while deleting"])
def test_what_was_to_go_goes_when_the_act_was_done_and_stays_when_it_was_not(tmp_path, moment):
    sink = opened(tmp_path)
    sink.commit("one", state=b"1", files={"data/theirs-1": b"a", "data/theirs-2": b"b"})
    told = {
        "state": hashlib.sha256(b"2").hexdigest(),
        "names": ["data/theirs-1", "data/theirs-2"],
    }
    (tmp_path / (STATE + ".going")).write_text(json.dumps(told))  # as it is interrupted
    if moment != "before the state":
        (tmp_path / STATE).write_bytes(b"2")
    if moment == "while deleting":
        (tmp_path / "data/theirs-1").unlink()
    opened(tmp_path)
    found = files_of(tmp_path)
    assert (STATE + ".going") not in found
    assert sorted(found) == (
        [STATE, "data/theirs-1", "data/theirs-2"] if moment == "before the state" else [STATE]
    )


def test_somebody_else_is_noticed(tmp_path):
    sink, other = opened(tmp_path), opened(tmp_path)
    other.commit("theirs", state=b"theirs", files={})
    with pytest.raises(SinkError, match="somebody else"):
        sink.commit("ours", state=b"ours", files={"data/a": b"a"})
    assert files_of(tmp_path) == {STATE: b"theirs"}
