"""One look of all panels: colours that follow the theme, and what their pages have in common.

A panel that a browser draws puts `sheet` and `program` before its own files; one that is written
as HTML takes its colours from here, which fall back to light ones outside JupyterLab.
"""

import html
from pathlib import Path

FRAME = "font-size:var(--jp-ui-font-size1,13px);line-height:1.5;overflow-wrap:anywhere"
GREEN, RED = "#0c9c64", "#d8453a"

_HERE = Path(__file__).parent


def sheet(name: str) -> str:
    """Return the style sheet of a panel, the common one before its own.

    Args:
        name: Of its files, without what they end in.
    """
    return _joined("look.css", f"{name}.css")


def program(name: str) -> str:
    """Return the program of a panel's page, what is common before its own.

    Args:
        name: Of its files, without what they end in.
    """
    return _joined("look.js", f"{name}.js")


def framed(body: str) -> str:
    """Return HTML in the size of JupyterLab's words, long ones broken."""
    return f'<div style="{FRAME}">{body}</div>'


def failed(text: str) -> str:
    """Return what went wrong, as HTML with a mark beside it."""
    style = f"border-left:3px solid {RED};padding-left:8px;margin:4px 0"
    return f'<div role="alert" style="{style}">{html.escape(text)}</div>'


def still(body: str) -> str:
    """Return HTML that stands for a panel in a saved notebook; a page that runs it hides this."""
    return f'<div data-workbench="still">{body}</div>'


def _joined(*names: str) -> str:
    return "\n".join((_HERE / name).read_text("utf-8") for name in names)
