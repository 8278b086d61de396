"""Files told apart by what they hold, and mutated ones: a reason each, no crash, no hang."""

import gzip
import json
import time

import msgspec
import numpy as np
import pytest
from made_maps import (
    AUDIO_DATA,
    COMPACT,
    LIGHTS,
    MADE,
    PLAIN_2,
    V4,
    info_v1,
    info_v2,
    info_v4,
    text,
)

from workbench.beatmap.maps import documents
from workbench.beatmap.maps.decoding import Found, SchemaDecoder
from workbench.beatmap.maps.documents import document_of, plain
from workbench.beatmap.maps.level import HeldFiles
from workbench.beatmap.maps.patterns import checked
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.schemas import v2, v3, v4
from workbench.beatmap.maps.writing import level_files
from workbench.errors import BeatmapError


@pytest.mark.parametrize(
    ("data", "format_"),
    [
        (info_v1(), 1),
        (info_v2(), 2),
        (info_v4(), 4),
        (text(PLAIN_2), 2),
        (text({**PLAIN_2, "_version": "1.5.0"}), 1),
        (text(COMPACT), 3),
        (text(V4), 4),
        (text(LIGHTS), 4),
        (text(AUDIO_DATA), 4),
        (text({"_regions": []}), 2),
        (text({"_notes": []}), 2),
        (text({"_notes": [], "_beatsPerMinute": 120}), 1),
        (text({"colorNotes": []}), 3),
        (text({"colorNotes": [], "colorNotesData": []}), 4),
        (text({"basicBeatmapEvents": []}), 3),  # lights of v3 may have no version
        (text({"_events": [], "_version": "2.6.0"}), 2),
        (text({"_customData": {"version": "3.3.0"}, "_notes": []}), 2),
        (text({"colorNotes": [], "version": "3.0.0"}), 3),
        (text({"version": "2.6.0", "colorNotes": []}), 3),
        (text({"version": "4.0.0", "content": {"colorNotes": []}}), 4),
        (text({"version": 3, "bombNotes": []}), 3),
        (text({"version": "9.9", "bombNotes": []}), 3),
    ],
)
def test_formats_are_told_by_version_then_by_keys(data, format_):
    document = document_of(data)
    assert document.format == format_
    assert json.loads(data) == document.tree() == document_of(b" \n" + data).tree()


def test_what_no_format_has_is_no_document():
    assert document_of(b'{"version":"9.0"}') is None
    assert document_of(b"{}") is None
    with pytest.raises(msgspec.DecodeError):
        document_of(b"{")


@pytest.mark.parametrize("packed", [gzip.compress, lambda data: data])
@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_come_out_of_packing_and_marks(packed, mark):
    title = '{"_songName":"Größe 音"}'
    assert plain(packed(title.encode(mark)), "x").decode() == title


def test_what_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(documents, "MAX_BYTES", 1000)
    assert len(plain(gzip.compress(b"1" * 1000), "x")) == 1000
    with pytest.raises(BeatmapError) as refused:
        plain(gzip.compress(b"1" * 1001), "x")
    assert refused.value.kind == "too_large"


@pytest.mark.parametrize("packed", [gzip.compress, lambda data: data])
def test_a_text_of_more_objects_than_memory_holds_is_refused(monkeypatch, packed):
    monkeypatch.setattr(documents, "MAX_OBJECTS", 1000)
    assert plain(packed(b"[" + b"{}," * 1000 + b"0]"), "a")
    with pytest.raises(BeatmapError, match="more than 1,000 objects") as refused:
        plain(packed(b"[" + b"{}," * 1001 + b"0]"), "a")
    assert refused.value.kind == "too_large"


def test_a_list_of_nothing_that_fits_costs_no_more_than_a_second():
    begun = time.process_time()
    found = Found("E.dat")
    file = SchemaDecoder(v2.Difficulty).decode(b'{"_notes":[%s1]}' % (b"1," * 1_000_000), found)
    assert file._notes is None and "too_many_bad" in {fault.kind for fault in found.faults()}
    assert time.process_time() - begun < 2
    with pytest.raises(BeatmapError, match="more than 10,000,000 values"):
        plain(b"[" + b"1," * 10_000_001 + b"1]", "a")


def test_a_text_of_too_many_bytes_is_refused_packed_or_not(monkeypatch):
    monkeypatch.setattr(documents, "MAX_BYTES", 1000)
    assert len(plain(b"1" * 1000, "a")) == 1000
    with pytest.raises(BeatmapError, match="more than 1,000 bytes"):
        plain(b"1" * 1001, "a")


def test_a_document_is_its_json_and_not_its_bytes():
    one, other = document_of(text(PLAIN_2)), document_of(json.dumps(PLAIN_2, indent=2).encode())
    assert one == other and one != document_of(text({**PLAIN_2, "_notes": []}))
    assert one.with_parts({}) == one
    assert one.with_parts({"_notes": None, "_x": 1}).tree() == {
        **{key: value for key, value in PLAIN_2.items() if key != "_notes"},
        "_x": 1,
    }
    assert "2.0.0" in repr(one) and one.__eq__(1) is NotImplemented


@pytest.mark.parametrize("schema", [v2.Difficulty, v3.Difficulty, v4.Difficulty, v4.Lightshow])
def test_an_empty_object_fits_every_schema_and_holds_nothing(schema):
    file = SchemaDecoder(schema).decode(b"{}", Found("x"))
    lists = [getattr(file, f.name) for f in msgspec.structs.fields(schema) if "ata" not in f.name]
    assert not any(value for value in lists if isinstance(value, list))


def test_a_thousand_bad_objects_are_one_fault_that_counts_them():
    found = Found("x.dat")
    notes = [{"b": "no"}] * 1000 + [{"b": 1}]
    file = SchemaDecoder(v3.Difficulty).decode(text({"colorNotes": notes}), found)
    assert len(file.colorNotes) == 1001 and file.colorNotes.count(None) == 1000
    (fault,) = found.faults()
    assert fault.place == "x.dat: $.colorNotes[0].b" and fault.detail.endswith("the first of 1,000")
    assert str(fault).startswith("x.dat: $.colorNotes[0].b: wrong type (Expected `float`")


def test_whole_numbers_with_a_point_are_whole_numbers():
    found = Found("x")
    data = b'{"_notes":[{"_time":1,"_lineIndex":2.0,"_customData":{"a":1.0}}]}'
    file = SchemaDecoder(v2.Difficulty).decode(data, found)
    assert file._notes[0]._lineIndex == 2 and not found.faults()


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """A file with one to three wounds: bytes changed, cut, doubled, or JSON put in their place."""
    for _ in range(random.integers(1, 4)):
        if not data:
            break
        at, end = sorted(random.integers(0, len(data) + 1, 2).tolist())
        end = min(end, at + 40)
        new = [
            bytes([random.integers(0, 256)]),
            b"",
            data[at:end] * 2,
            WOUNDS[random.integers(len(WOUNDS))],
        ][random.integers(4)]
        data = (
            data[: random.integers(len(data))]
            if random.random() < 0.05
            else data[:at] + new + data[max(end, at + (len(new) == 1)) :]
        )
    return data


WOUNDS = (
    b"null", b"-1", b"1e400", b"1e9", b"NaN", b"true", b'"x"', b"[]", b"{}", b",", b"}", b"]",
    b"99999999999999999999", b"-0.0", b"1.5", b'"b":', b'"_time":', b"[" * 40, b"\xff\xfe", b"\x00",
    b'"i":-3,', b'"version":"4.0.0",', b'"content":{', b"2147483648", b'"\\ud800"', b"1e-400",
)  # fmt: skip


def wounded_levels(count: int):
    """Levels of which one file has been mutated, by their number."""
    names = sorted(MADE)
    for index in range(count):
        random = np.random.default_rng(index)
        files = dict(MADE[names[index % len(names)]])
        wounded = sorted(files)[random.integers(len(files))]
        files[wounded] = mutated(files[wounded], random)
        yield index, HeldFiles(files, place=f"level {index}")


def assert_told(index: int, files: HeldFiles) -> str:
    """Read a level; return `whole`, `told`, or the reason of a refusal."""
    try:
        level = checked(read_level(files))
    except BeatmapError as error:
        assert error.kind and f"level {index}" in str(error), (index, error)
        return error.kind
    faults = level.all_faults()
    assert all(fault.kind and fault.place and fault.detail for fault in faults), index
    for beatmap in level.beatmaps:
        if not beatmap.is_readable:
            assert any(fault.is_fatal for fault in beatmap.faults), index
        for kind in ("notes", "bombs", "walls"):
            beat = getattr(beatmap.objects, kind).beat
            assert (np.diff(beat) >= 0).all() and np.isfinite(beat).all(), index
        assert np.isfinite(beatmap.time_map.seconds_at(beatmap.objects.notes.beat)).all(), index
    level_files(level)
    return "told" if any(fault.is_fatal for fault in faults) else "whole"


def trial(count: int) -> dict[str, int]:
    outcomes: dict[str, int] = {}
    for index, files in wounded_levels(count):
        began = time.process_time()
        outcome = assert_told(index, files)
        assert time.process_time() - began < 2, index
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


def test_mutated_files_give_a_reason_each():
    outcomes = trial(1000)
    assert outcomes["whole"] > 50 and outcomes["told"] > 200
    assert {"bad_json", "wrong_type", "no_info"} - {"no_info"} <= set(outcomes)


@pytest.mark.soak
def test_ten_thousand_mutated_files_give_a_reason_each():
    outcomes = trial(10_000)
    assert sum(outcomes.values()) == 10_000 and outcomes["told"] > 2000
