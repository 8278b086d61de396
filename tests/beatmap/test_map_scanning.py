"""Lists scanned by machine code are what the schema would have read, whatever stands in them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_maps import COMPACT, MADE, PLAIN_2, V4, text
from test_map_schemas import mutated

from workbench.beatmap.maps import scanning
from workbench.beatmap.maps.reading import SCANNING, read_difficulty

numbers = st.one_of(
    st.integers(-5, 20),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 900).map(lambda beat: round(beat, 3)),
    st.decimals(0, 999, places=9).map(float),
)
odd = st.one_of(st.none(), st.text(max_size=3), st.booleans(), st.just({"_fake": True}))


def items(keys):
    """Objects of some keys in any order, mostly of numbers, at times with what is none."""
    plain = st.dictionaries(st.sampled_from(keys), numbers, max_size=len(keys))
    spoiled = st.dictionaries(st.sampled_from([*keys, "_customData", "x_"]), odd, max_size=1)
    return st.lists(st.one_of(plain, plain, plain, st.builds(lambda a, b: a | b, plain, spoiled)))


def both_ways(data: bytes, monkeypatch):
    """A difficulty read with lists scanned and without."""
    with monkeypatch.context() as patch:
        patch.setattr(SCANNING, "after", 0)
        patch.setattr(SCANNING, "least", 0)
        scanned = read_difficulty(data)
        patch.setattr(SCANNING, "least", 2**40)
        return scanned, read_difficulty(data)


def assert_same(data: bytes, monkeypatch) -> None:
    scanned, plain = both_ways(data, monkeypatch)
    assert scanned.objects == plain.objects, data
    for kind in ("notes", "bombs", "walls"):
        for name in getattr(plain.objects, kind).DTYPES:
            ours = getattr(getattr(scanned.objects, kind), name)
            theirs = getattr(getattr(plain.objects, kind), name)
            assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes(), (name, data)
    assert scanned.faults == plain.faults and scanned.time_map == plain.time_map, data
    assert scanned.flags == plain.flags


@settings(max_examples=40)
@given(
    notes=items(scanning.V2[0].keys),
    events=items(scanning.V2[1].keys),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]),
    is_behind=st.booleans(),
)
def test_v2_lists_are_the_same_both_ways(notes, events, separators, is_behind):
    lists = (
        {"_events": events, "_notes": notes} if is_behind else {"_notes": notes, "_events": events}
    )
    data = json.dumps({"_version": "2.6.0", **lists}, separators=separators).encode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert_same(data, monkeypatch)


@settings(max_examples=25)
@given(items(scanning.V3[0].keys), items(scanning.V3[1].keys))
def test_v3_lists_are_the_same_both_ways(notes, events):
    data = text({"version": "3.3.0", "colorNotes": notes, "basicBeatmapEvents": events})
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert_same(data, monkeypatch)


@pytest.mark.parametrize("name", MADE)
def test_made_maps_are_the_same_both_ways(name, monkeypatch):
    assert_same(MADE[name]["Expert.dat"], monkeypatch)


def test_mutated_files_are_the_same_both_ways(monkeypatch):
    files = [files["Expert.dat"] for files in MADE.values()]
    for index in range(300):
        random = np.random.default_rng(index + 10**6)
        assert_same(mutated(files[index % len(files)], random), monkeypatch)


def test_usual_files_are_scanned():
    rest, columns = scanning.lifted(text(PLAIN_2), scanning.V2)
    assert columns["_notes"].tolist() == [[*note.values()] for note in PLAIN_2["_notes"]]
    assert b'"_notes":[{"_lineIndex":-2147483648}]' in rest and b"_cutDirection" not in rest
    _, columns = scanning.lifted(text(COMPACT), scanning.V3)
    assert columns["colorNotes"].tolist() == [[4, 0, 0, 0, 0, 0], [5, 3, 0, 1, 8, 0], [0] * 6]
    spaced = scanning.lifted(json.dumps(PLAIN_2).encode(), scanning.V2)[1]
    assert len(spaced["_notes"]) == len(PLAIN_2["_notes"])
    indented = json.dumps(PLAIN_2, indent=2).encode()
    assert set(scanning.lifted(indented, scanning.V2)[1]) == {"_events"}  # empty; the rest is left


@pytest.mark.parametrize(
    "item",
    [
        '{"_time":01}', '{"_time":1.}', '{"_time":.5}', '{"_time":+1}', '{"_time":1e2}',
        '{"_time":1,}', '{"_time":--1}', '{"_time":-}', '{"_time":1 }', '{"_lineIndex":1.5}',
        '{"_lineIndex":2147483648}', '{"_time":1234567890123456}', '{"_time":0.1234567890123456}',
        '{"_time":1}}', '{"_time"1}', '{"_time":1', '{"_other":1}', '{"_time":"1"}', "1", "{",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_schema(item, monkeypatch):
    data = f'{{"_version":"2.0.0","_notes":[{{"_time":1}},{item}],"_events":[]}}'.encode()
    assert "_notes" not in scanning.lifted(data, scanning.V2)[1]
    assert_same(data, monkeypatch)


@pytest.mark.parametrize(
    "data",
    [
        b'{"_version":"2.0.0","_customData":{"_notes":[{"_time":9}]},"_notes":[{"_time":1}]}',
        b'{"_version":"2.0.0","_customData":{"_notes":[{"_time":9}]}}',
        b'{"_version":"2.0.0","_customData":{"_notes":[{"_time":9}]},"_notes":[]}',
        b'{"_version":"2.0.0","_notes":[{"_time":9}],"_notes":[{"_time":1}]}',
        b'{"_version":"2.0.0","_notes":[{"_time":9}],"_notes":null}',
        b'{"_version":"2.0.0","_x":"\\"_notes\\":[","_notes":[{"_time":1}]}',
        b'{"_version":"2.0.0","_notes":[{"_time":1}],"_obstacles":[{"_time":"x"}]}',
        b'{"_version":"2.0.0","_notes":[{"_time":1}],"_obstacles":[',
        b'{"_version":"2.0.0","_notes":[{"_lineIndex":-2147483648}]}',
    ],
)
def test_a_list_of_that_name_elsewhere_is_not_taken_for_it(data, monkeypatch):
    assert_same(data, monkeypatch)


def test_numbers_are_rounded_as_the_schema_rounds_them(monkeypatch):
    random = np.random.default_rng(5)
    values = [
        f"{v:.{p}f}" for v, p in zip(random.random(4000) * 1000, [3, 6, 9, 12] * 1000, strict=True)
    ]
    notes = ",".join(f'{{"_time":{value},"_type":0}}' for value in values)
    data = f'{{"_version":"2.0.0","_notes":[{notes}]}}'.encode()
    assert len(scanning.lifted(data, scanning.V2)[1]["_notes"]) == 4000
    assert_same(data, monkeypatch)


def test_scanning_begins_when_a_process_has_read_much(monkeypatch):
    worth = type(SCANNING)(after=100, least=10)
    assert [worth.is_worth(size) for size in (60, 30, 9, 10, 5, 200)] == [
        False,
        False,
        False,
        True,
        False,
        True,
    ]
    assert_same(text(V4), monkeypatch)
