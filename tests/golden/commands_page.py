"""Write docs/commands.md, the page of all commands and options, from the command line itself.

python tests/golden/commands_page.py
"""

from pathlib import Path

from workbench.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def page() -> str:
    """Return the page."""
    told = app.generate_docs(output_format="markdown", recursive=True)
    return "\n".join(line.rstrip() for line in told.strip().splitlines()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
