"""Where the project lies: the folder that holds `pyproject.toml` and `notebooks/`.

A kernel stands in the notebook's folder under JupyterLab and nbval, and in the caller's folder
under papermill; notebooks and tests therefore find files from `root()`, never from where they
happen to stand.
"""

import tempfile
from pathlib import Path

from workbench.errors import RunsError

PACKAGE = Path(__file__).resolve().parents[1]


def root(start: Path | None = None) -> Path:
    """Return the project's top folder, an absolute path.

    Args:
        start: Where to look from, upward; the current folder when None. The installed package's
            own place is looked at last.

    Raises:
        RunsError: There is no project at either place.
    """
    here = (Path.cwd() if start is None else start).resolve()
    for folder in (here, *here.parents, *PACKAGE.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise RunsError(
        f"{here}: no project here or above (a folder with pyproject.toml and notebooks/); "
        "change into the project's folder"
    )


def output_folder(output_dir: str) -> Path:
    """Return where a notebook writes: the folder of its run, or a scratch folder by itself.

    Args:
        output_dir: The notebook's parameter of that name; empty when nobody runs it as a batch.
    """
    return Path(output_dir) if output_dir else Path(tempfile.mkdtemp(prefix="workbench_"))


def input_path(text: str) -> Path:
    """Return a path that a notebook's parameter names; relative ones start at the project's top.

    Raises:
        RunsError: Nothing is there.
    """
    path = root() / Path(text).expanduser()
    if not path.exists():
        raise RunsError(f"{text}: is not there; relative paths start at the project's top folder")
    return path
