"""The command line: `workbench …`, one line a subcommand, flags derived from the rooms' Options."""

import sys

import cyclopts

from workbench import __version__

app = cyclopts.App(name="workbench", version=__version__, help=__doc__)


def main() -> None:
    """Run the command line of this process."""
    sys.exit(app())
