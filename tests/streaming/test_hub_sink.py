"""A hub as a sink: one commit holds all, and what happened meanwhile is noticed."""

import pytest
from huggingface_hub import HfApi

from workbench.errors import AccessError, SinkError
from workbench.streaming.hub import HubSink
from workbench.streaming.options import RetryOptions

STATE, CARD = "_state/state.json", "README.md"
COMMIT = r"POST .*/commit/"
QUICK = RetryOptions(attempts=3, first_wait_seconds=0.01, timeout_seconds=2)


def opened(hub):
    sink = HubSink("hf://user/out", STATE, options=QUICK)
    sink.open()
    sink.create()
    return sink


def written(name, content):
    HfApi().upload_file(
        path_or_fileobj=content, path_in_repo=name, repo_id="user/out", repo_type="dataset"
    )


def files_of(hub):
    names = [STATE, CARD, "data/a", "data/b"]
    there = hub.files("user/out")
    return {name: hub.read("user/out", name) for name in names if name in there}


def test_an_act_is_one_commit(hub):
    sink = opened(hub)
    before = len(hub.commits("user/out"))
    sink.commit("one", state=b"1", files={"data/a": b"a", CARD: lambda old: b"%r" % (old is None)})
    assert len(hub.commits("user/out")) == before + 1
    sink.commit("two", state=b"2", files={"data/b": b"b"}, deletes=["data", "none"])
    assert files_of(hub) == {STATE: b"2", CARD: b"True", "data/b": b"b"}


def test_somebody_elses_state_is_not_overwritten(hub):
    sink = opened(hub)
    sink.commit("one", state=b"1", files={"data/a": b"a"})
    written(STATE, b"theirs")
    with pytest.raises(SinkError, match="somebody else"):
        sink.commit("two", state=b"2", files={"data/a": b"ours"})
    assert files_of(hub)[STATE] == b"theirs"
    assert files_of(hub)["data/a"] == b"a"


def test_what_is_made_of_a_file_is_made_again_where_that_was_changed_meanwhile(hub):
    sink = opened(hub)
    sink.commit("one", state=b"1", files={CARD: b"made"})
    written(CARD, b"edited")
    sink.commit("two", state=b"2", files={CARD: lambda old: old + b", made"})
    assert files_of(hub) == {STATE: b"2", CARD: b"edited, made"}


def test_an_answer_that_got_lost_is_no_second_commit(hub):
    sink = opened(hub)
    before = len(hub.commits("user/out"))
    hub.faults.add(match=COMMIT, kind="drop_after")
    sink.commit("one", state=b"1", files={CARD: lambda old: (old or b"") + b"once"})
    assert files_of(hub) == {STATE: b"1", CARD: b"once"}
    assert len(hub.commits("user/out")) == before + 1


def test_a_commit_of_the_same_state_that_is_refused_is_an_error(hub):
    sink = opened(hub)
    sink.commit("one", state=b"1", files={})
    hub.faults.add(match=COMMIT, kind="403", times=None)
    with pytest.raises(AccessError, match="refused the token") as caught:
        sink.commit("again", state=b"1", files={CARD: b"card"})
    assert isinstance(caught.value, SinkError)
    assert CARD not in files_of(hub)
