"""The `workbench run …` and `workbench nb …` commands."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from workbench.progress import terminal
from workbench.reply import Reply
from workbench.runs import lint as linting
from workbench.runs import refresh as refreshing
from workbench.runs import run as running
from workbench.runs.run import RunOptions


def run(options: Annotated[RunOptions, Parameter(name="*")]) -> Reply:
    """Run notebooks by a params file; its values are checked before anything starts.

    A run that is done already is not done again.

    Args:
        options: What is run, and where its results go.
    """
    return _reply(running.run(options, terminal()))


def lint(*notebooks: Path) -> Reply:
    """Find what makes notebooks rot: lost outputs, loose code, secrets, paths of one machine.

    Args:
        notebooks: Notebooks, or folders of them.
    """
    return _reply(linting.lint(notebooks))


def refresh(*notebooks: Path) -> Reply:
    """Execute notebooks with their defaults and keep their outputs, normalised.

    Args:
        notebooks: Notebooks, or folders of them.
    """
    return _reply(refreshing.refresh(notebooks, terminal()))


def _reply(
    report: running.BatchReport | linting.LintReport | refreshing.RefreshReport,
) -> Reply:
    return Reply(values=report.as_json(), text="\n".join(report.lines()), code=report.exit_code)
