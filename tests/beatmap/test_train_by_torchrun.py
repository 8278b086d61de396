"""`torchrun … workbench beatmap train` on two hosts, as the cluster page writes it, on loopback."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from drum_corpora import drum_corpus

from workbench.beatmap.writer.model import WEIGHTS

HOSTS = (0, 1)
BATCH = 16  # of both hosts together
FLAGS = {
    **{"n-mels": 24, "n-fft": 1024, "hop-length": 256, "bars": 2, "vocabulary": "291"},
    **{"bucket-steps": 2, "validation": 0.2, "test": 0, "bands": 0, "spans": 0},
    **{"steps": 24, "validate-every": 12, "save-every": 4, "warm-up": 2, "look-windows": 0},
    **{"dropout": 0, "wish-dropout": 0, "width": 16, "heads": 2, "hidden": 32},
    **{"encoder-layers": 1, "decoder-layers": 1, "accelerator": "cpu", "threads": 1},
}

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """12 drum songs of 32 beats, their store and their features."""
    return drum_corpus(tmp_path_factory.mktemp("drums"), songs=12)


def training(root, output, nodes):
    flags = [f"--{name}={value}" for name, value in FLAGS.items()]
    flags += [f"--batch-size={BATCH // nodes}", f"--nodes={nodes}", "--no-progress", "--json"]
    return ["beatmap", "train", str(root / "store"), str(root / "cache"), "-o", output, *flags]


def started(root, output):
    """Start both hosts; return them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = ["--master-addr", "127.0.0.1", "--master-port", str(free.getsockname()[1])]
    scripts = Path(sys.executable).parent
    path = os.pathsep.join([str(scripts), os.environ["PATH"]])
    return [
        subprocess.Popen(
            [scripts / "torchrun", "--nnodes", "2", "--nproc-per-node", "1", "--node-rank",
             str(rank), *place, "--no-python", "workbench", *training(root, output, 2)],
            env=os.environ | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in HOSTS
    ]  # fmt: skip


def told_by(hosts):
    """Wait for both hosts; return what they told."""
    told = [host.communicate(timeout=300) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], told
    return [json.loads(out) for out, _ in told]


@pytest.fixture(scope="module")
def both(root):
    """What two hosts told that nothing disturbed, and their weights."""
    told = told_by(started(root, str(root / "both")))
    return told, (root / "both" / WEIGHTS).read_bytes()


def test_two_hosts_learn_as_one_with_batches_twice_as_large(root, both):
    command = [sys.executable, "-c", "from workbench.cli import main; main()"]
    done = subprocess.run(
        [*command, *training(root, str(root / "one"), 1)], check=True, stdout=subprocess.PIPE
    )
    one = json.loads(done.stdout)
    for each in both[0]:
        assert each["steps"] == one["steps"] == FLAGS["steps"]
        assert each["nats_per_note"] == pytest.approx(one["nats_per_note"], rel=1e-3)


def test_a_host_that_is_killed_ends_the_other_and_both_go_on_to_the_same_weights(root, both):
    hosts = started(root, str(root / "killed"))
    checkpoint = root / "killed.learning" / "last.ckpt"
    end = time.monotonic() + 120
    while not checkpoint.exists():
        assert time.monotonic() < end and hosts[1].poll() is None, "it was never saved"
        time.sleep(0.02)
    host = psutil.Process(hosts[1].pid)
    for process in [host, *host.children(recursive=True)]:
        process.kill()
    assert hosts[0].wait(timeout=120) != 0
    for host in hosts:
        host.communicate(timeout=30)
    again = told_by(started(root, str(root / "killed")))
    assert all(0 < each["resumed_at"] < FLAGS["steps"] for each in again)
    assert (root / "killed" / WEIGHTS).read_bytes() == both[1]
