"""The state of a gathered dataset: read back as it was, refused where it is none, and small."""

import dataclasses
import json
from fnmatch import fnmatch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import SpeechError
from workbench.speech.options import GatherOptions
from workbench.speech.state import (
    FORMAT,
    OURS,
    GatherState,
    SourceState,
    log_name,
    read_state,
    shard_name,
)
from workbench.streaming.source import Position

COUNTS = st.integers(0, 10**12)
NAMES = st.text(max_size=20)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
SOURCES = st.builds(
    SourceState,
    said=NAMES,
    name=NAMES,
    revision=NAMES,
    fingerprint=NAMES,
    file=COUNTS,
    row=COUNTS,
    token=PLAIN,
    kept=COUNTS,
    skipped=st.dictionaries(NAMES, COUNTS, max_size=3),
    microseconds=COUNTS,
    transcribed=COUNTS,
    to_pass=COUNTS,
    is_done=st.booleans(),
)
STATES = st.builds(
    GatherState,
    generation=COUNTS,
    settings=st.dictionaries(NAMES, PLAIN, max_size=3),
    shards=COUNTS,
    rows=COUNTS,
    size=COUNTS,
    logs=COUNTS,
    next_id=COUNTS,
    older_rows=st.dictionaries(NAMES, COUNTS, max_size=3),
    sources=st.lists(SOURCES, max_size=3).map(tuple),
)
COMPLETE = GatherState(
    settings=GatherOptions().settings(),
    sources=(SourceState(said="demo", name="demo", revision="", fingerprint="f"),),
)
REASONS = (
    "undecodable",
    "empty",
    "too_long",
    "too_short",
    "other_language",
    "transcript_too_long",
    "no_file",
    "not_listed",
)


@settings(max_examples=50)
@given(STATES)
def test_a_state_is_read_back_as_it_was(state):
    content = state.to_bytes()
    again = read_state(content, "here")
    assert again == state
    assert again.to_bytes() == content


@given(PLAIN | STATES.map(lambda state: json.loads(state.to_bytes())), st.data())
def test_whatever_else_is_there_is_refused_in_one_way(values, data):
    if isinstance(values, dict) and values.keys() >= {"format", "sources"}:
        parts = [values, *values["sources"]]
        part = data.draw(st.sampled_from(parts))
        part[data.draw(st.sampled_from(sorted(part)) | NAMES)] = data.draw(PLAIN)
    content = json.dumps(values).encode()
    try:
        state = read_state(content, "here")
    except SpeechError as error:
        assert str(error).startswith("here: _state/state.json is no state of this version")
        assert str(error).endswith("or start over with --fresh")
    else:
        assert json.loads(state.to_bytes()) == {**json.loads(content), "format": FORMAT}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b'{"format": 1}', b"[" * 100_000]
)
def test_bytes_that_are_no_state_are_refused(content):
    with pytest.raises(SpeechError, match="start over with --fresh"):
        read_state(content, "here")


def test_an_unknown_format_is_told():
    values = json.loads(COMPLETE.to_bytes()) | {"format": FORMAT + 1}
    with pytest.raises(SpeechError, match=r"here: .*format.*gather with the version that wrote it"):
        read_state(json.dumps(values).encode(), "here")


@pytest.mark.parametrize("part", ["state", "source"])
@pytest.mark.parametrize("value", [None, -1, 1.5, "7", True, [], {"a": -1}])
def test_a_value_of_another_kind_is_refused_by_its_name(part, value):
    values = json.loads(COMPLETE.to_bytes())
    name, where = ("rows", values) if part == "state" else ("skipped", values["sources"][0])
    where[name] = value
    with pytest.raises(SpeechError, match=name):
        read_state(json.dumps(values).encode(), "here")


@pytest.mark.parametrize("name", ["surprise", "position"])
def test_a_value_that_nobody_knows_is_refused_by_its_name(name):
    values = json.loads(COMPLETE.to_bytes()) | {name: 1}
    with pytest.raises(SpeechError, match=name):
        read_state(json.dumps(values).encode(), "here")


def large(rows):
    """Return the state of a dataset of five sources with long names that is near its end."""
    sources = tuple(
        SourceState(
            said=f"MozillaCommonVoice=hf://some-organisation/a-dataset-with-a-name-{n}"
            "?tsv=train,dev,test&transcript=sentence",
            name=f"a-dataset-with-a-name-{n}",
            revision=f"{n:040x}",
            fingerprint=f"{n:064x}",
            file=rows // 50_000,
            row=rows % 50_000,
            kept=rows // 5,
            skipped=dict.fromkeys(REASONS, rows // 100),
            microseconds=rows * 4_321_987,
            transcribed=rows // 5,
        )
        for n in range(5)
    )
    settings = GatherOptions().settings()
    older = {source.name: rows for source in sources}
    return GatherState(
        generation=12,
        settings=settings,
        shards=rows // 1000 + 1,
        rows=rows,
        size=rows * 130_000,
        logs=rows // 1000 + 1,
        next_id=rows + 1,
        older_rows=older,
        sources=sources,
    )


def test_the_state_of_ten_million_rows_is_under_4_kilobytes():
    assert len(large(10_000_000).to_bytes()) < 4000


def test_a_state_grows_with_the_digits_of_its_numbers_alone():
    numbers = len([n for s in large(1).sources for n in (*s.skipped, *range(6))]) + 10
    grown = len(large(10_000_000).to_bytes()) - len(large(1).to_bytes())
    assert grown < 8 * numbers


@settings(max_examples=20)
@given(st.integers(0, 200), st.integers(0, 200))
def test_a_state_names_its_shards_and_its_lists_and_may_sweep_them(shards, logs):
    names = dataclasses.replace(COMPLETE, shards=shards, logs=logs).names()
    assert names == {shard_name(n) for n in range(shards)} | {log_name(n) for n in range(logs)}
    assert all(any(fnmatch(name, pattern) for pattern in OURS) for name in names)


def test_shards_of_other_programs_are_not_ours_to_sweep():
    for name in (
        "data/train-00000-of-00002.parquet",
        "data/train/shard_00000.parquet",
        "README.md",
    ):
        assert not any(fnmatch(name, pattern) for pattern in OURS)


@settings(max_examples=20)
@given(STATES)
def test_what_is_asked_of_a_state_follows_from_its_numbers(state):
    for source in state.sources:
        assert source.position == Position(source.file, source.row)
        assert source.read - source.kept == sum(source.skipped.values())
        assert source.seconds * 1e6 == pytest.approx(source.microseconds)
