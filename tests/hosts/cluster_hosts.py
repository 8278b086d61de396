"""Dask clusters for tests: real schedulers and workers, on this machine or on two hosts.

The two hosts are network namespaces with a cable between them, which can be cut; they share the
disk. What they say to each other is encrypted, by certificates made for the test alone.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

SETTINGS = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "6s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "12s",
    "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "60s",  # of warnings about a slow machine
    "OMP_NUM_THREADS": "1",
}
HERE, THERE = "10.98.76.1", "10.98.76.2"


def environment(**more):
    """Return the environment of a scheduler, a worker or a client: they find the tests' modules."""
    path = os.pathsep.join(filter(None, sys.path))
    return os.environ | SETTINGS | {"PYTHONPATH": path} | more


def started(name, *arguments, env, before=(), log=None):
    """Start `dask-scheduler` or `dask-worker`, with what it says in a file."""
    command = [*before, sys.executable, "-m", f"distributed.cli.dask_{name}", *arguments]
    with Path(log or os.devnull).open("ab") as file:
        return subprocess.Popen(command, env=env, stdout=file, stderr=file, start_new_session=True)


def ended(process):
    """Kill a process and all it has started."""
    if process.poll() is None:
        tree = [*psutil.Process(process.pid).children(recursive=True)]
        process.kill()
        for child in tree:
            if child.is_running():
                child.kill()
    process.wait()


def address_in(file, *, seconds=60):
    """Return the address that a scheduler has written, when it has."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if file.exists() and (text := file.read_text()):
            return json.loads(text)["address"]
        time.sleep(0.05)
    raise AssertionError("the scheduler did not start")


@contextmanager
def local_cluster(workers=2):
    """Give the engine of a cluster on this machine, with worker processes of one thread each."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder, "scheduler.json")
        common = ("--no-dashboard", "--scheduler-file", str(file))
        scheduler = ("--host", "127.0.0.1", "--port", "0", *common)
        env = environment()
        stack.callback(ended, started("scheduler", *scheduler, env=env))
        address = address_in(file)
        each = ("--nworkers", str(workers), "--nthreads", "1", "--local-directory", folder)
        worker = ("--host", "127.0.0.1", *each, *common)
        stack.callback(ended, started("worker", *worker, env=env))
        yield f"dask:{address}"


@dataclass
class Hosts:
    """Two hosts, a scheduler on the first, and a worker on each.

    Attributes:
        names: Of the namespaces.
        folder: Where certificates and logs are.
        engine: What a client on the first host calls the cluster.
        env: What a client needs to be let in.
    """

    names: tuple[str, str]
    folder: Path
    engine: str = ""
    env: dict = field(default_factory=dict)
    _processes: list = field(default_factory=list)

    def run(self, *arguments, **options):
        """Start a Python program on the first host."""
        command = ["ip", "netns", "exec", self.names[0], sys.executable, *arguments]
        return subprocess.Popen(
            command,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **options,
        )

    def worker_on(self, host):
        """Return the process that works on a host, not the nurse beside it."""
        inner = psutil.Process(self._processes[1 + host].pid).children(recursive=True)
        return next(p for p in inner if "spawn_main" in " ".join(p.cmdline()))

    def kill_worker(self, host):
        """Kill a worker as the kernel does when memory is short."""
        os.kill(self.worker_on(host).pid, signal.SIGKILL)

    def cut(self):
        """Pull the cable."""
        netns(self.names[1], "ip", "link", "set", "wb1", "down")

    def log(self):
        """Return what scheduler and workers have said."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def start(self):
        """Start the scheduler and the workers."""
        self.env = environment(**_certificates(self.folder))
        file = self.folder / "scheduler.json"
        common = ("--no-dashboard", "--protocol", "tls", "--scheduler-file", str(file))
        scheduler = ("--host", f"tls://{HERE}", "--port", "8786", *common)
        self._start("scheduler", self.names[0], scheduler)
        self.engine = f"dask:{address_in(file)}"
        for name, host in zip(self.names, (HERE, THERE), strict=True):
            each = ("--nworkers", "1", "--nthreads", "1", "--name", name)
            where = ("--host", host, "--local-directory", str(self.folder / name))
            self._start("worker", name, (*where, *each, *common))

    def _start(self, what, name, arguments):
        before = ("ip", "netns", "exec", name)
        log = self.folder / f"{what}-{name}.log"
        self._processes.append(started(what, *arguments, env=self.env, before=before, log=log))

    def end(self):
        """End all that runs there."""
        for process in reversed(self._processes):
            ended(process)


def netns(name, *command):
    """Run a command in a namespace."""
    subprocess.run(["ip", "netns", "exec", name, *command], check=True)


def ip(*arguments):
    """Change the network of this machine."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def why_no_hosts():
    """Return why namespaces cannot be made here; empty where they can."""
    if shutil.which("ip") is None or shutil.which("openssl") is None:
        return "needs the programs ip (iproute2) and openssl"
    name = f"wb-try-{os.getpid()}"
    try:
        ip("netns", "add", name)
        ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"no network namespace can be made here: {error.stderr.strip()}"
    return ""


@contextmanager
def two_hosts():
    """Give two hosts with a cluster on them."""
    names = (f"wb-a-{os.getpid()}", f"wb-b-{os.getpid()}")
    with TemporaryDirectory() as folder, ExitStack() as stack:
        for name in names:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
        ip(
            "link",
            "add",
            "wb0",
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "wb1",
            "netns",
            names[1],
        )
        for name, device, address in zip(names, ("wb0", "wb1"), (HERE, THERE), strict=True):
            netns(name, "ip", "address", "add", f"{address}/24", "dev", device)
            netns(name, "ip", "link", "set", device, "up")
            netns(name, "ip", "link", "set", "lo", "up")
        hosts = Hosts(names, Path(folder))
        stack.callback(hosts.end)
        hosts.start()
        yield hosts


def _certificates(folder):
    """Make a certificate and its key, and return the settings that name them."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ("-subj", "/CN=workbench-test", "-days", "2")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    settings = {f"{prefix}CA_FILE": str(certificate)}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        settings |= {f"{prefix}{role}__KEY": str(key), f"{prefix}{role}__CERT": str(certificate)}
    return settings
