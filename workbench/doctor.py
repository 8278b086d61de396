"""What is set up on this machine, what is missing, and what to do about each.

A finding is good, missing (something that the workbench needs), or absent (something that one of
its parts can use, and says so when it is asked for). Units: seconds; a GB is 10^9 bytes.
"""

import importlib.util
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement

from workbench.playback.ports import ports_found
from workbench.reply import Reply

Verdict = Literal["good", "missing", "absent"]

GIGABYTE = 1e9
LEAST_DISK_GB = 5.0  # what an installation with its demo takes twice
LEAST_MEMORY_GB = 2.0  # of a training on demo data with its notebook
_HUB_SECONDS = 3.0
_LEAST_PYTHON = (3, 11)
_MARKS = {"good": "ok", "missing": "MISSING", "absent": "absent"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: Its name.
        verdict: Whether it is as it should be.
        told: What was found.
        remedy: What to do; empty where it is good.
    """

    what: str
    verdict: Verdict
    told: str
    remedy: str = ""

    def line(self) -> str:
        """Return it as one line."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{_MARKS[self.verdict]:8} {self.what}: {self.told}{remedy}"


def doctor() -> Reply:
    """Tell what is set up on this machine, and what to do about the rest.

    Exits with 1 where something is missing that the workbench needs. The hub is asked whether it
    is there; nothing else leaves the machine.
    """
    findings = tuple(examined())
    is_well = not any(finding.verdict == "missing" for finding in findings)
    return Reply(
        values={"is_well": is_well, "findings": [asdict(finding) for finding in findings]},
        text="\n".join(finding.line() for finding in findings),
        code=0 if is_well else 1,
    )


def examined() -> Iterator[Finding]:
    """Give what was found of each thing, in the order in which it matters."""
    yield python()
    yield packages()
    yield memory()
    yield disk(Path.cwd(), "disk here")
    yield disk(Path(tempfile.gettempdir()), "disk for temporary files")
    yield processor()
    yield notebooks()
    yield from ports()
    yield hub()
    yield program("chromium", "`make e2e`", "apt-get install chromium")
    yield program("espeak-ng", "voices of the speech demo", "apt-get install espeak-ng")
    yield program("ffmpeg", "songs in other forms than wav, ogg, mp3 and flac, turned by hand")
    yield extra("distributed", "cluster", "the engine dask")
    yield extra("transformers", "stt", "speech-to-text by models of the hub")
    yield extra("UnityPy", "bundles", "the game's own levels")


def python() -> Finding:
    """Look at the interpreter."""
    told = f"{platform.python_version()} on {platform.platform(terse=True)}"
    if sys.version_info >= _LEAST_PYTHON:
        return Finding(what="Python", verdict="good", told=told)
    remedy = "install 3.11 or newer, and say `make PYTHON=python3.11`"
    return Finding(what="Python", verdict="missing", told=told, remedy=remedy)


def packages(name: str = "workbench") -> Finding:
    """Look at the packages that an installed one requires, and at their versions."""
    wanted = [Requirement(text) for text in metadata.requires(name) or ()]
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [told for one in needed if (told := _mismatch(one))]
    if wrong:
        told, remedy = ", ".join(wrong), "run `make demo`, or `pip install -e .` in the project"
        return Finding(what="packages", verdict="missing", told=told, remedy=remedy)
    return Finding(what="packages", verdict="good", told=f"all {len(needed)} that are needed")


def _mismatch(wanted: Requirement) -> str:
    """Return how a package is not as it is required; empty where it is."""
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return f"{wanted.name} is not there"
    is_right = wanted.specifier.contains(found, prereleases=True)
    return "" if is_right else f"{wanted.name} is {found}, wanted {wanted.specifier}"


def memory() -> Finding:
    """Look at the free memory."""
    found = psutil.virtual_memory()
    free, total = found.available / GIGABYTE, found.total / GIGABYTE
    told = f"{free:.1f} GB free of {total:.1f}"
    if free >= LEAST_MEMORY_GB:
        return Finding(what="memory", verdict="good", told=told)
    remedy = "close something, or lower --ram-budget-mb, --workers and --batch-size"
    return Finding(what="memory", verdict="missing", told=told, remedy=remedy)


def disk(folder: Path, what: str) -> Finding:
    """Look at the free disk under a folder."""
    free = shutil.disk_usage(folder).free / GIGABYTE
    told = f"{free:.1f} GB free under {folder}"
    if free >= LEAST_DISK_GB:
        return Finding(what=what, verdict="good", told=told)
    remedy = f"make room for {LEAST_DISK_GB:.0f} GB; `workbench runs clean` tells what may go"
    return Finding(what=what, verdict="missing", told=told, remedy=remedy)


def processor() -> Finding:
    """Look at what networks are computed on."""
    import torch  # noqa: PLC0415  2 s, which nothing else of the command line waits for

    cores = psutil.cpu_count() or 1
    told = f"torch {torch.__version__} on {cores} processor cores"
    if torch.cuda.is_available():
        return Finding(what="GPU", verdict="good", told=f"{torch.cuda.get_device_name()}; {told}")
    remedy = "for an NVIDIA GPU install with `make demo TORCH=gpu`; the rest runs as it is"
    return Finding(what="GPU", verdict="absent", told=f"none; {told}", remedy=remedy)


def notebooks() -> Finding:
    """Look for the kernel that notebooks are run by."""
    from jupyter_client.kernelspec import KernelSpecManager  # noqa: PLC0415  slow to import

    found = KernelSpecManager().find_kernel_specs()
    if "python3" in found:
        return Finding(what="notebooks", verdict="good", told="the kernel python3 is there")
    remedy = "run `python -m ipykernel install --sys-prefix`"
    told = f"no kernel python3 among {sorted(found)}"
    return Finding(what="notebooks", verdict="missing", told=told, remedy=remedy)


def ports() -> Iterator[Finding]:
    """Look at the serial ports, and whether they may be opened."""
    found = ports_found()
    if not found:
        remedy = "plug the robot's board in; without it play on `--port sim`"
        yield Finding(what="robot", verdict="absent", told="no serial port", remedy=remedy)
    for each in found:
        what = f"port {each.port}"
        if each.problem:
            told, _, remedy = each.problem.partition("; ")
            yield Finding(what=what, verdict="absent", told=told, remedy=remedy)
        else:
            yield Finding(what=what, verdict="good", told=each.description)


def hub() -> Finding:
    """Ask the hub whether it is there, and look for a token."""
    import httpx2  # noqa: PLC0415  as slow as the rest of the hub's client
    from huggingface_hub import constants, get_token  # noqa: PLC0415

    has_token = "a token is there" if get_token() else "no token, so public datasets only"
    try:
        httpx2.head(constants.ENDPOINT, timeout=_HUB_SECONDS)
    except httpx2.HTTPError as error:
        told = f"does not answer ({type(error).__name__}); {has_token}"
        remedy = "all but hf:// places works without it"
        return Finding(what="hub", verdict="absent", told=told, remedy=remedy)
    remedy = "" if get_token() else "`hf auth login`, or HF_TOKEN in the environment, gives one"
    return Finding(what="hub", verdict="good", told=f"answers; {has_token}", remedy=remedy)


def program(name: str, use: str, remedy: str = "") -> Finding:
    """Look for a program that one of the parts uses."""
    if found := shutil.which(name):
        return Finding(what=name, verdict="good", told=found)
    told = f"not there, used for {use}"
    return Finding(what=name, verdict="absent", told=told, remedy=remedy)


def extra(module: str, name: str, use: str) -> Finding:
    """Look for an extra of the package."""
    if importlib.util.find_spec(module) is not None:
        version = metadata.version(module)
        return Finding(what=f"extra {name}", verdict="good", told=f"{module} {version}")
    remedy = f"pip install 'workbench[{name}]'"
    told = f"not there, used for {use}"
    return Finding(what=f"extra {name}", verdict="absent", told=told, remedy=remedy)
