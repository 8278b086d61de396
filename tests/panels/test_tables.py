"""Tables as text and as HTML, and the progress panel."""

from workbench.panels.progress import ProgressPanel
from workbench.panels.table import Table
from workbench.progress import Progress


def test_a_table_reads_as_aligned_text() -> None:
    table = Table(("reason", "files"), [("div0", 12), ("truncated", 1234)])
    assert repr(table).splitlines() == ["reason     files", "div0       12", "truncated  1,234"]


def test_a_table_escapes_what_it_shows() -> None:
    page = Table(("file",), [("<b>&",)])._repr_html_()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    page = Table(("what", "share"), [("polyphony", 0.4470)])._repr_html_()
    assert 'text-align: left; font-variant-numeric: tabular-nums">polyphony' in page
    assert 'text-align: right; font-variant-numeric: tabular-nums">0.447' in page


def test_the_panel_shows_the_last_state_and_keeps_it_as_text() -> None:
    panel = ProgressPanel("files")
    assert panel.still() == "nothing was shown"
    for done in (3, 10):
        panel.show(
            Progress(stage="counting", done=done, total=10, unit="files", seconds=1.0, fresh=done)
        )
    bar, text = panel.widget.children
    assert (bar.value, bar.max, bar.bar_style) == (10, 10, "success")
    assert text.value.startswith("counting: 10/10 files")
    assert panel.still() == "counting: 10 of 10 files"
