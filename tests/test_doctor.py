"""The doctor: what it finds on this machine, and what it says of what is not as it should be."""

import json

import pytest

from workbench import doctor as examining
from workbench.cli import run
from workbench.doctor import disk, examined, extra, hub, packages, program


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a package in name only; it requires what it is told to."""

    def install(*wanted):
        folder = tmp_path / "thing-1.0.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", "Name: thing", "Version: 1.0"]
        folder.joinpath("METADATA").write_text(
            "\n".join([*lines, *(f"Requires-Dist: {one}" for one in wanted), ""])
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        return "thing"

    return install


def test_a_machine_that_runs_the_tests_is_well(capsys):
    assert run(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["is_well"]
    assert {finding["verdict"] for finding in told["findings"]} <= {"good", "absent"}


def test_what_is_not_good_comes_with_its_use_or_a_remedy():
    for finding in examined():
        assert finding.told
        if finding.verdict != "good":
            assert finding.remedy or "used for" in finding.told
            assert "\n" not in finding.line()


def test_packages_that_are_as_they_are_required_are_good(installed):
    name = installed("numpy>=1", 'nosuch>=2; extra == "more"', 'nosuch; python_version < "3"')
    finding = packages(name)
    assert (finding.verdict, finding.told) == ("good", "all 1 that are needed")


def test_each_package_that_is_missing_or_too_old_is_named(installed):
    finding = packages(installed("nosuch>=2", "numpy>=99", "pyyaml"))
    assert finding.verdict == "missing"
    assert "nosuch is not there" in finding.told
    assert "numpy is " in finding.told
    assert "wanted >=99" in finding.told
    assert "yaml" not in finding.told
    assert "make demo" in finding.remedy


def test_too_little_disk_is_missing_and_ends_the_command_with_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(examining, "LEAST_DISK_GB", 1e9)
    assert disk(tmp_path, "disk").verdict == "missing"
    assert run(["doctor"]) == 1
    assert "MISSING  disk here" in capsys.readouterr().out


def test_a_hub_that_is_not_there_is_absent_and_no_fault(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    finding = hub()
    assert finding.verdict == "absent"
    assert "does not answer" in finding.told


def test_a_program_and_an_extra_are_found_or_not():
    assert program("python3", "everything").verdict == "good"
    finding = program("no-such-program", "nothing", "do without")
    assert (finding.verdict, finding.remedy) == ("absent", "do without")
    assert extra("yaml_no_such", "stt", "nothing").remedy == "pip install 'workbench[stt]'"
    assert extra("numpy", "x", "y").verdict == "good"
