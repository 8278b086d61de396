"""`workbench beatmap check`: what it says of sound maps, faulty ones and none."""

import json
from pathlib import Path

import pytest
from export_plans import CHART, FAULTS, injected, plan, stream

from workbench.beatmap.maps.export import map_files, write_map, zipped
from workbench.cli import run


def told(capsys, *tokens, code):
    assert run(["beatmap", "check", *map(str, tokens), "--json"]) == code
    out, error = capsys.readouterr()
    return json.loads(out) if out else error


def test_sound_maps_have_no_fault_and_exit_0(capsys, tmp_path: Path) -> None:
    write_map(plan(), tmp_path / "one" / "map.zip", 4)
    write_map(plan(), tmp_path / "two", 2)
    said = told(capsys, tmp_path, code=0)
    assert (said["checked"], said["faulty"]) == (2, 0)
    assert [each["map"] for each in said["maps"]] == [
        str(tmp_path / "one" / "map.zip"),
        str(tmp_path / "two"),
    ]
    for each in said["maps"]:
        assert each["faults"] == []
        assert "insufficient_light" in [warning["kind"] for warning in each["warnings"]]
    several = told(capsys, tmp_path / "two", tmp_path / "one" / "map.zip", code=0)
    assert [each["map"] for each in several["maps"]] == [
        str(tmp_path / "two"),
        str(tmp_path / "one" / "map.zip"),
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_of_the_eleven_faults_is_told_and_exits_1(capsys, tmp_path: Path, fault: str) -> None:
    (tmp_path / "sound.zip").write_bytes(zipped(map_files(plan(), 3)))
    (tmp_path / "zfaulty.zip").write_bytes(zipped(injected(fault, map_files(plan(), 3), 3)))
    said = told(capsys, tmp_path, code=1)
    assert (said["checked"], said["faulty"]) == (2, 1)
    sound, faulty = said["maps"]
    assert sound["faults"] == []
    assert FAULTS[fault] in [each["kind"] for each in faulty["faults"]]


def test_for_people_each_fault_is_a_line_with_its_place(capsys, tmp_path: Path) -> None:
    files = injected("direction 99", map_files(plan(stream(8)), 2), 2)
    (tmp_path / "map.zip").write_bytes(zipped(files))
    assert run(["beatmap", "check", str(tmp_path / "map.zip")]) == 1
    out = capsys.readouterr().out.splitlines()
    assert f"  fault: {CHART}: $._notes[0]: bad direction (direction 99)" in out
    assert out[0].startswith(f"{tmp_path / 'map.zip'}: 1 faults")
    assert out[-1] == "1 checked, 1 with faults"


def test_a_zip_that_cannot_be_read_is_a_fault_and_costs_no_other(capsys, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip")
    write_map(plan(), tmp_path / "b.zip", 2)
    said = told(capsys, tmp_path, code=1)
    assert [[f["kind"] for f in each["faults"]] for each in said["maps"]] == [["bad_zip"], []]


def test_no_map_is_an_error_that_says_what_to_do(capsys, tmp_path: Path) -> None:
    assert "name a folder or a zip" in told(capsys, code=2)
    assert "check the path" in told(capsys, tmp_path, code=2)
    assert "check the path" in told(capsys, tmp_path / "gone", code=4)
