"""`workbench pico play, status, stop, deploy, simulate, ports`: on simulated boards and ports."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
import tty
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from workbench.cli import run
from workbench.device import wire
from workbench.device.duties import Duties
from workbench.device.link import SerialLink
from workbench.device.listening import listening
from workbench.device.options import SimulatorOptions
from workbench.device.simulator import SimulatedBoard, SimulatorLink
from workbench.errors import DeviceError
from workbench.music.writer import MidiTrack, write_midi
from workbench.playback.playing import Played, play_song
from workbench.playback.playlog import PlayLog
from workbench.playback.ports import greeted, halted

COMMAND = [sys.executable, "-c", "from workbench.cli import main; main()", "pico"]
PROMPT = Path(__file__).parents[1] / "pico" / "raw_prompt.py"
ASKED = (
    "executed lost doubled reordered uncertain late_p50_ms late_p99_ms late_max_ms heap_min_bytes"
)
QUICK = SimulatorOptions(homing_ms=20.0, boot_ms=0.0)


def midi(path, count, ticks=60):
    """Write a scale again and again, 16 notes a second at 60 ticks a note."""
    track = MidiTrack(
        tick=np.arange(count) * ticks,
        duration=np.full(count, ticks - 5),
        pitch=60 + np.arange(count) % 8,
        velocity=np.full(count, 90),
        channel=1,
    )
    write_midi(path, track)
    return path


@pytest.fixture
def song(tmp_path):
    return midi(tmp_path / "song.mid", 6)


@contextmanager
def terminal_port():
    """Give the handle of a pseudo-terminal's one end and the name of its other."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        yield master, os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


def interrupting(condition, times=1):
    """Press Ctrl-C in this process, once something is so."""

    def press():
        wait_until(condition)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


# --- play


def test_a_song_is_played_on_a_simulated_board_when_no_port_is_given(capsys, song, tmp_path):
    log = tmp_path / "played.parquet"
    begun = time.monotonic()
    assert run(["pico", "play", str(song), "--json", "--log", str(log), "--lead-ms", "60000"]) == 0
    assert time.monotonic() - begun < 30  # the music alone is longer
    told = json.loads(capsys.readouterr().out)
    assert set(ASKED.split()) <= set(told)
    assert told["executed"] == told["duties"] == told["plan"]["duties"] > 6
    assert [told[name] for name in ("lost", "doubled", "reordered", "uncertain")] == [0] * 4
    assert 0 < told["late_p50_ms"] <= told["late_p99_ms"] <= told["late_max_ms"] < 5
    assert 0 < told["heap_min_bytes"] < 90_000
    assert told["plan"]["duration_ms"] > 60_000
    assert pq.read_table(log)["index"].to_pylist() == list(range(told["executed"]))


def test_the_flags_of_plan_and_a_robots_file_reach_play(capsys, song, tmp_path):
    robot = tmp_path / "robot.yaml"
    robot.write_text("positions: 1")
    flags = ["--robot", str(robot), "--search", "none", "--transpose", "-2", "--fold", "none"]
    assert run(["pico", "play", str(song), *flags, "--json", "--no-progress"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["plan"]["shift"] == -2
    assert json.loads(told.out)["plan"]["moves"] == 0
    assert " duties, " not in told.err


def test_progress_and_a_sentence_are_for_people(capsys, song):
    assert run(["pico", "play", str(song)]) == 0
    told = capsys.readouterr()
    assert "none lost, doubled or reordered; late p50" in told.out
    assert "idle: " in told.err
    assert told.err.count("duties") >= 1


@pytest.mark.parametrize(
    "flaw",
    [
        {"lost": 1},
        {"doubled": 1},
        {"reordered": 1},
        {"wrong": 1},
        {"uncertain": 1},
        {"passed": 1},
        {"executed": 9},
        {"not_pressed": {"late": 0, "cart": 1}},
    ],
)
def test_nothing_that_went_wrong_counts_as_done(flaw):
    duties = Duties.of(start_ms=np.arange(10) * 50, duration_ms=50, fingers=1)
    report = replace(PlayLog(duties).report(), executed=10)
    ended = {"state": "idle", "text": "", "is_interrupted": False, "is_at_rest": True}
    assert Played(report=report, **ended).is_done
    assert not Played(report=replace(report, **flaw), **ended).is_done
    assert not Played(report=report, **{**ended, "state": "alarm"}).is_done
    assert not Played(report=report, **{**ended, "is_interrupted": True}).is_done


def test_a_board_too_slow_for_the_plan_is_found_out():
    duties = Duties.of(
        start_ms=[0, 500, 700], duration_ms=[500, 200, 200], fingers=[1, 0, 1], cart=[0, 5, 5]
    )
    played = play_song(SimulatorLink(SimulatedBoard(SimulatorOptions(clear_ms=900.0))), duties)
    assert played.report.not_pressed["cart"] == 1
    assert played.report.is_whole
    assert not played.is_done


# --- Ctrl-C


def test_ctrl_c_ends_the_music_and_tells_where(tmp_path):
    log = tmp_path / "played.parquet"
    long = midi(tmp_path / "long.mid", 3000)
    flags = ["--log", str(log), "--json", "--search", "none"]
    process = subprocess.Popen(
        [*COMMAND, "play", str(long), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (line := process.stderr.readline()).startswith("playing"):
        assert line, "it ended before it played"
    time.sleep(0.1)  # of real time, seconds of music
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    told = json.loads(out)
    assert (told["state"], told["lost"]) == ("stopped", 0)
    assert 0 < told["executed"] < told["duties"]
    assert pq.read_table(log).num_rows == told["executed"]


def test_ctrl_c_leaves_the_robot_at_rest():
    link = SimulatorLink()
    duties = Duties.of(start_ms=np.arange(20_000) * 50, duration_ms=50, fingers=1)
    pressing = interrupting(lambda: link.board.executed > 3)
    played = play_song(link, duties)
    pressing.join()
    pose = link.board.pose()
    assert (pose.fingers, pose.volume) == (0, 0)
    assert link.board.told().state == wire.READY
    assert played.is_interrupted
    assert played.is_at_rest
    assert 3 < played.report.executed == len(link.board.executions) < 20_000


def test_ctrl_c_stops_a_cart_that_looks_for_its_switch(capsys, song):
    with listening(SimulatorOptions(homing_ms=60_000, boot_ms=0)) as server:
        pressing = interrupting(lambda: server.board.told().state == wire.HOMING)
        assert run(["pico", "play", str(song), "--port", server.url]) == 130
        pressing.join()
        assert server.board.told().state == wire.ALARMED
    assert "then play with --home" in capsys.readouterr().out


# --- another process's board


def test_a_simulated_board_behind_a_socket_is_played_on_and_stopped(capsys, song):
    process = subprocess.Popen(
        [*COMMAND, "simulate", "--listen", "127.0.0.1:0", "--homing-ms", "20", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = process.stderr.readline().split()[5].rstrip(";")
    flags = ["--port", url, "--lead-ms", "0", "--start-seconds", "0.02", "--json"]
    assert run(["pico", "play", str(song), *flags]) == 0
    executed = json.loads(capsys.readouterr().out)["executed"]
    assert executed > 6
    assert run(["pico", "stop", "--port", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "alarm"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert json.loads(out) == {"url": url, "executed": executed}


def test_an_alarm_ends_the_music_until_the_robot_is_homed():
    link = SimulatorLink(SimulatedBoard(QUICK))
    duties = Duties.of(start_ms=np.arange(9) * 50, duration_ms=50, fingers=1)
    link.board.trip(wire.BY_ENCODER)
    played = play_song(link, duties)
    assert (played.state, played.report.executed, played.is_done) == ("alarm", 0, False)
    assert "encoder" in played.text
    assert play_song(link, duties, homes_first=True).is_done


@pytest.mark.parametrize("listen", ["4000", "localhost:", "localhost:many", "localhost:70000"])
def test_where_to_listen_is_a_host_and_a_port(capsys, listen):
    assert run(["pico", "simulate", "--listen", listen]) == 2
    assert "is not HOST:PORT" in capsys.readouterr().err


# --- status and stop


def test_a_boards_state_is_told(capsys):
    assert run(["pico", "status", "--port", "sim", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["alarm"], told["cart"]) == ("safe", "none", None)
    assert 0 < told["heap_min_bytes"] < told["heap_bytes"]
    assert told["fingers"] == [0] * 7


def test_a_board_with_an_older_program_is_told():
    original = SimulatorLink(SimulatedBoard(SimulatorOptions(program="original")))
    with pytest.raises(DeviceError, match=r"older than this one.*workbench pico deploy --port sim"):
        greeted(original)


def test_a_silent_board_is_told_and_a_stop_is_not_taken_for_done():
    silent = SimulatorLink()
    silent.write = lambda data: None
    with pytest.raises(DeviceError, match="does not answer"):
        greeted(silent)
    with pytest.raises(DeviceError, match="did not confirm"):
        halted(silent)


class PromptLink(SimulatorLink):
    """A board on its own USB: a stop ends its program, Ctrl-D starts it again."""

    is_running = True

    def write(self, data):
        if self.is_running and wire.BREAK not in data:
            super().write(data)
        elif data.endswith(b"\x03\x04"):
            self.is_running = True
            self.board.reboot()
        else:
            self.is_running = False


def test_a_board_whose_program_a_stop_ends_is_started_again():
    link = PromptLink(SimulatedBoard(QUICK))
    assert halted(link).state == wire.SAFE
    assert link.is_running
    assert link.board.boots == 2


def test_a_stop_goes_past_the_program_that_has_the_port(capsys):
    with terminal_port() as (master, port):
        other = SerialLink(port)
        assert run(["pico", "stop", "--port", port]) == 1
        other.close()
        board = SimulatedBoard(QUICK)
        board.take(os.read(master, 100), at=1)
    assert board.told().state == wire.ALARMED
    assert "past the program that has the port" in capsys.readouterr().out


# --- ports


@pytest.mark.parametrize(
    "tokens", [["play", "SONG"], ["status"], ["stop"], ["deploy"], ["deploy", "--dry-run"]]
)
def test_a_missing_or_busy_port_is_told_with_what_to_do(capsys, song, tokens):
    tokens = ["pico", *(str(song) if each == "SONG" else each for each in tokens)]
    assert run([*tokens, "--port", "/dev/ttyNONE"]) == 7
    assert "is the board plugged in? try: workbench pico ports" in capsys.readouterr().err
    if "stop" in tokens:
        return
    with terminal_port() as (_, port):
        other = SerialLink(port)
        assert run([*tokens, "--port", port]) == 7
        other.close()
    assert f"{port}: is in use by another program" in capsys.readouterr().err


def test_ports_are_listed_with_whether_they_may_be_used(capsys, monkeypatch):
    with terminal_port() as (_, free), terminal_port() as (_, busy):
        found = [ListPortInfo(busy), ListPortInfo(free)]
        monkeypatch.setattr(list_ports, "comports", lambda: found)
        other = SerialLink(busy)
        assert run(["pico", "ports", "--json"]) == 0
        told = {each["port"]: each for each in json.loads(capsys.readouterr().out)["ports"]}
        assert told[free]["problem"] == ""
        assert "in use by another program" in told[busy]["problem"]
        other.close()
        assert run(["pico", "ports"]) == 0
        assert capsys.readouterr().out.count("can be used") == 2
    found.clear()
    assert run(["pico", "ports"]) == 0
    assert "there is no serial port" in capsys.readouterr().out


# --- deploy


def test_a_dry_run_of_deploy_tells_what_it_would_copy_and_copies_nothing(capsys, tmp_path):
    micropython = Path(sys.executable).with_name("micropython")
    with terminal_port() as (master, port):
        board = subprocess.Popen([micropython, PROMPT], cwd=tmp_path, stdin=master, stdout=master)
        try:
            assert run(["pico", "deploy", "--port", port, "--dry-run", "--ring", "64"]) == 0
        finally:
            board.kill()
            board.wait()
    told = capsys.readouterr().out
    assert "files would be copied, 0 as they should be" in told
    assert "  main.py\n" in told
    assert "  lib/robot/wire.mpy\n" in told
    assert not (tmp_path / "main.py").exists()
