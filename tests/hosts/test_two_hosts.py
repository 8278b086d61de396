"""Two hosts, as network namespaces: what they count and gather together is what one would.

A host's worker is killed, the cable between them is pulled, a shard kills whoever takes it.
"""

import hashlib
import os
import subprocess
import sys
import time

import pytest
from cluster_hosts import two_hosts, why_no_hosts

pytestmark = pytest.mark.soak

GROOVE = ("--save-every", "4", "--no-progress", "--engine")
SPEECH = ("--streaming-batch-size", "4", "--upload-batch-size", "150", "--engine")
DISTURBANCES = ["none", "a worker is killed", "the cable is cut"]


@pytest.fixture
def hosts():
    """Two hosts with a cluster; where CI is set, that they cannot be made is no reason to skip."""
    if why := why_no_hosts():
        if "CI" in os.environ:
            pytest.fail(why)
        pytest.skip(why)
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    with two_hosts() as hosts:
        yield hosts


def command(*tokens):
    return ("-c", "from workbench.cli import main; main()", *map(str, tokens))


def alone(*tokens):
    """Run a command on this machine."""
    subprocess.run(
        [sys.executable, *command(*tokens)], check=True, capture_output=True, timeout=300
    )


def together(hosts, disturbance, has_begun, *tokens):
    """Run a command on the first host, disturbed when it has begun; return what it says."""
    process = hosts.run(*command(*tokens))
    end = time.monotonic() + 60
    while not has_begun():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.02)
    if disturbance == "a worker is killed":
        hosts.kill_worker(1)
    elif disturbance == "the cable is cut":
        hosts.cut()
    assert process.poll() is None, "it was over before it could be disturbed"
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()
    return out.decode() + errors.decode()


def tree(folder):
    """Return the digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.gmd
@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_a_corpus_is_counted_together_as_alone(hosts, gmd, tmp_path, disturbance):
    train = ("groove", "train", gmd / "train", "-o")
    alone(*train, tmp_path / "one" / "model", *GROOVE, "processes")
    together(
        hosts,
        disturbance,
        lambda: list(tmp_path.glob("two/*.counts*")),
        *train,
        tmp_path / "two" / "model",
        *GROOVE,
        hosts.engine,
    )
    assert tree(tmp_path / "two") == tree(tmp_path / "one") != {}


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_speech_is_gathered_together_as_alone(hosts, tmp_path, disturbance):
    alone("demo", "speech", tmp_path / "corpus", "--clips", "700", "--seconds", "2")
    gather = ("speech", "gather", tmp_path / "corpus", "--to")
    alone(*gather, tmp_path / "one" / "speech", *SPEECH, "threads")
    together(
        hosts,
        disturbance,
        lambda: len(list(tmp_path.glob("two/speech/data/*.parquet"))) > 0,
        *gather,
        tmp_path / "two" / "speech",
        *SPEECH,
        hosts.engine,
    )
    assert tree(tmp_path / "two") == tree(tmp_path / "one") != {}


PROGRAM = """
import sys
import shard_functions as work
from workbench.streaming.workers import map_ordered
shards = [(sys.argv[1], number, 99 * int(number == 9)) for number in range(24)]
aside = lambda shard: print("set aside:", shard[1], flush=True)
print(list(map_ordered(work.killed, shards, engine=sys.argv[2], workers=1, lost=aside)))
"""


def test_a_shard_that_kills_every_worker_is_set_aside_and_named(hosts, tmp_path):
    process = hosts.run("-c", PROGRAM, str(tmp_path), hosts.engine)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode() + hosts.log()
    told, results = out.decode().splitlines()
    assert told == "set aside: 9"
    assert results == str([None if number == 9 else number for number in range(24)])


def test_both_hosts_work(hosts, tmp_path):
    program = (
        "import sys, shard_functions as work\n"
        "from workbench.streaming.workers import map_ordered\n"
        "print(len(set(map_ordered(work.process_of, range(30), engine=sys.argv[1], workers=1))))"
    )
    out, errors = hosts.run("-c", program, hosts.engine).communicate(timeout=60)
    assert out.decode().strip() == "2", errors.decode()


def test_nobody_without_a_certificate_is_let_in(hosts):
    program = (
        "import sys, shard_functions as work\n"
        "from workbench.streaming.workers import map_ordered\n"
        "list(map_ordered(work.doubled, [1], engine=sys.argv[1], workers=1))"
    )
    hosts.env = {k: v for k, v in hosts.env.items() if "TLS__" not in k}
    out, errors = hosts.run("-c", program, hosts.engine).communicate(timeout=60)
    assert "no certificate is set up" in errors.decode()
    assert not out
