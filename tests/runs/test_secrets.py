"""Secrets in every place that a run can leave them: none is found below outputs/ afterwards."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import FAKE_TOKEN, Writer
from sweeping import OUTPUT_DIR

from workbench.runs.run import RunOptions, run

# Of each, a word that no way of writing it changes.
PLAIN, ODD, KEY, OTHERS = "S3cretPlain0", "S3cretOdd1", "S3cretKey2", "S3cretOthers3"
ENVIRONMENT = {
    "HF_TOKEN": f"{PLAIN}+more=",
    "DB_PASSWORD": f"ü\"{ODD}' & <signs> \\",
    "SIGNING_KEY": f"-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----",
}
# Each way in which a notebook may leave a text; the last ends the run.
PLACES = (
    "import json, logging, os, sys, warnings\nfrom pathlib import Path\n"
    "from IPython.display import HTML, JSON, Markdown, display\n"
    "from PIL import Image\nfrom PIL.PngImagePlugin import PngInfo\n"
    "from workbench.runs import record\n"
    f"names = {sorted(ENVIRONMENT)}\n"
    "secrets = [os.environ[name] for name in names if name in os.environ]\n"
    "secrets += json.loads(Path('known-elsewhere.json').read_text())\n"
    f"secrets += ['_'.join(['hf', '{FAKE_TOKEN[3:]}'])]\n"
    "folder = Path(output_dir)",
    "for secret in secrets:\n    print(secret)\n    print('x', repr(secret), file=sys.stderr)\n"
    "    logging.getLogger().warning('with %s', secret)\n    warnings.warn(secret)",
    "for secret in secrets:\n    for half in (secret[:9], secret[9:]):\n"
    "        print(half, end='', flush=True)\n    print()",
    "for secret in secrets:\n    display(HTML(f'<b>{secret}</b>'), Markdown(secret), secret)\n"
    "    display(JSON({secret: [secret]}), metadata={'note': secret})",
    "record(**{f'name_{n}': secret for n, secret in enumerate(secrets)}, several=secrets)",
    "(folder / 'deep').mkdir()\n(folder / 'log.txt').write_text('\\n'.join(secrets))\n"
    "(folder / 'deep' / 'all.json').write_text(json.dumps({s: [s] for s in secrets}))\n"
    "(folder / 'deep' / 'repr.py').write_text(repr(secrets))",
    # A form is not looked for in what is no text; the environment's values are.
    "info = PngInfo()\nfor secret in secrets[:-1]:\n    info.add_text('Comment', secret)\n"
    "Image.new('L', (2, 2)).save(folder / 'picture.png', pnginfo=info)\n"
    "(folder / 'weights.bin').write_bytes(bytes(9) + '\\0'.join(secrets[:-1]).encode())",
    "for secret in secrets:\n    if secret.isascii() and '\\n' not in secret:\n"
    "        (folder / f'at-{secret}').mkdir()\n"
    "        (folder / f'at-{secret}' / f'{secret}.txt').touch()",
    "try:\n    raise KeyError(*secrets)\nexcept KeyError as error:\n"
    "    raise ValueError(f'no access with {secrets}') from error",
)


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def hits(outputs: Path, words: list[str]) -> list[tuple[str, str]]:
    """Return where some words stand below a folder, in bytes of files and in names."""
    found = []
    for path in outputs.rglob("*"):
        text = path.read_bytes() if path.is_file() else b""
        found += [(str(path), w) for w in words if w.encode() in text or w in path.name]
    return found


def check(project: Path, engine: str, params: Path, words: list[str]) -> None:
    """Check that a notebook which leaves secrets everywhere, and fails of one, left none."""
    outputs = project / "outputs"
    report = run(RunOptions(params=params, engine=engine, jobs=2))
    assert [each.status for each in report.runs] == ["failed"]
    (bad,) = report.runs
    assert bad.error is not None and bad.error["message"].startswith("no access with")
    assert len(list(outputs.rglob("*"))) >= 12
    assert len(bad.results) == 1 + len(bad.results["several"]) and "***" in str(bad.results)
    assert hits(outputs, words) == []
    assert hits(project, words) != [], "the search finds them where they are"
    assert not any(word in repr(report) for word in words)


@pytest.fixture
def params(project: Path, write_notebook: Writer, write_params: Writer) -> Iterator[Path]:
    write_notebook("leaky", *PLACES, parameters=OUTPUT_DIR)
    (project / "known-elsewhere.json").write_text("[]")
    (project / "notes.txt").write_text(f"{FAKE_TOKEN} {PLAIN} {ODD} {KEY} {OTHERS}")
    yield write_params("leaky/x.yaml", "")
    for path in (project / "outputs").rglob("*.failed"):
        path.rename(project / f"{path.name}-{os.urandom(4).hex()}")


@pytest.mark.parametrize("engine", ["threads", pytest.param("processes", marks=pytest.mark.soak)])
def test_no_secret_of_the_runner_is_left_anywhere(
    project: Path, params: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    check(project, engine, params, [FAKE_TOKEN, PLAIN, ODD, KEY])


@pytest.mark.soak
def test_no_secret_of_a_worker_and_none_that_the_runner_alone_knows_is_left(
    project: Path, params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    from cluster_hosts import local_cluster

    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with local_cluster(workers=1) as engine:
        for name in ENVIRONMENT:
            monkeypatch.delenv(name)
        monkeypatch.setenv("OTHERS_TOKEN", f"{OTHERS}&co")
        (project / "known-elsewhere.json").write_text(f'["{OTHERS}&co"]')
        check(project, engine, params, [FAKE_TOKEN, PLAIN, ODD, KEY, OTHERS])
