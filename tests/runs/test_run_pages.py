import json
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import FAKE_TOKEN
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import leave
from test_run_pictures import BLUE, RED, png, show

from workbench.cli import run
from workbench.errors import CachingError, OptionsError
from workbench.runs.comparing import compare
from workbench.runs.comparison_report import comparison_report
from workbench.runs.index_report import index_report
from workbench.runs.listing import stored_runs
from workbench.runs.page import Page

ODD = st.text(st.sampled_from("<>&\"'/\n =!-x\x1b\x00\ud800") | st.characters(), max_size=12)
NASTY = "</script><img src=x onerror=alert(1)>\"'&"


class Reader(HTMLParser):
    """Reads a page: its tags with the names of their attributes, addresses, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.addresses: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))

    def handle_data(self, data: str) -> None:
        self.words += data


def change(folder: Path, **told: Any) -> None:
    """Write something else into the manifest of a run."""
    path = folder / "manifest.json"
    told = json.loads(path.read_text()) | told
    path.write_text(json.dumps({name: value for name, value in told.items() if value != "gone"}))


def night(outputs: Path) -> None:
    """Leave six runs that are done, one that failed with a traceback, and a part."""
    for number, (n, style) in enumerate((n, s) for n in (1, 2, 4) for s in ("rock", "funk")):
        parameters = {"n": n, "style": style, "bpm": 90.0}
        results = {"loss": 1 / n, "name": "x"}
        leave(outputs, f"night-{number}", parameters=parameters, results=results, at=1e9 + number)
    last = leave(outputs, "night-9", state="failed", parameters={"n": 5, "style": "rock"}, at=2e9)
    path = last / "beats.ipynb"
    book = json.loads(path.read_text())
    told = ["\x1b[0;31mValueError\x1b[0m: no such drum", "more & more"]
    book["cells"][2]["outputs"] = [{"output_type": "error", "evalue": "", "traceback": told}]
    path.write_text(json.dumps(book))
    leave(outputs, "night-a", state="part", at=2e9)


def pages_of(odd: str) -> tuple[str, str]:
    """Return both pages of two runs that hold a text wherever one may stand."""
    with tempfile.TemporaryDirectory() as name:
        outputs = Path(name)
        for number, state in enumerate(("done", "failed")):
            told = {odd: odd} if number else {"name": [odd, 1]}
            folder = leave(outputs, f"night-{number}", odd, state=state, parameters=told)
            error = {"type": odd, "message": odd, "cell": 3} if number else None
            change(folder, error=error, results=told, versions={odd: odd}, git={"commit": odd})
            show(folder, png(RED if number else BLUE, odd))
        a, b = stored_runs(outputs).runs
        whole = index_report(stored_runs(outputs)), comparison_report(compare(a, b))
        return whole[0].document(), whole[1].document()


def test_a_text_is_shown_as_it_is_and_never_becomes_part_of_a_page() -> None:
    calm = [Reader(page).tags for page in pages_of("calm")]
    for nasty in (NASTY, "<!--", "]]>", "&lt;b&gt;", "<b>", "a\nb"):
        for page, wanted in zip(pages_of(nasty), calm, strict=True):
            read = Reader(page)
            assert [tag for tag in read.tags if tag[0] not in ("span", "/span")] == [
                tag for tag in wanted if tag[0] not in ("span", "/span")
            ]
            assert nasty in read.words


@settings(max_examples=12, deadline=None)
@given(ODD)
def test_any_text_leaves_a_page_with_the_same_tags(odd: str) -> None:
    calm = {tag for page in pages_of("calm") for tag in Reader(page).tags}
    for page in pages_of(odd):
        page.encode("utf-8", "backslashreplace")
        assert set(Reader(page).tags) <= calm | {("p",), ("/p",)}


def test_a_page_asks_nobody_for_anything(tmp_path: Path) -> None:
    night(tmp_path)
    show(tmp_path / "beats" / "night-0", png(RED))
    show(tmp_path / "beats" / "night-1", {"image/svg+xml": "<svg onload='alert(1)'/>"})
    listing = stored_runs(tmp_path)
    pages = (index_report(listing), comparison_report(compare(*listing.runs[:2])))
    for page in (each.document() for each in pages):
        assert all(place.startswith(("data:image/", "#")) for place in Reader(page).addresses)
        assert "@import" not in page
        assert "url(http" not in page
        assert "<svg onload" not in page
        assert str(tmp_path) not in page
    assert "data:image/svg+xml;base64," in pages[1].document()


def test_the_page_of_a_night_tells_its_runs_numbers_and_errors(tmp_path: Path) -> None:
    night(tmp_path)
    page = index_report(stored_runs(tmp_path)).document()
    read = Reader(page)
    assert "6 done, 1 failed, 1 not at their end" in read.words
    assert all(f"night-{number}" in read.words for number in (0, 5, "9.failed", "a"))
    assert "Over n by style" in read.words
    assert page.count("<svg") == 1
    assert "cell 3: ValueError: no such drum" in read.words
    assert "ValueError: no such drum" in read.words.partition("its traceback")[2]
    assert "drum()" in read.words.partition("its traceback")[2]
    assert "\x1b" not in page
    assert "code" not in page.partition("<thead>")[2].partition("</thead>")[0]


def test_an_older_run_of_the_same_parameters_is_in_the_table_and_not_drawn(
    tmp_path: Path,
) -> None:
    night(tmp_path)
    old = leave(tmp_path, "night-o", parameters={"n": 1, "style": "rock", "bpm": 90.0}, at=9e8)
    change(old, sources="6" * 64)
    words = Reader(index_report(stored_runs(tmp_path)).document()).words
    assert "1 older runs with the same parameters as later ones are not drawn." in words
    assert "55555555" in words
    assert "66666666" in words


def test_rooms_tell_which_code_made_a_run_where_both_runs_have_them(tmp_path: Path) -> None:
    one, other = (leave(tmp_path, f"t-{number}", at=number * 1e9) for number in (1, 2))
    change(one, rooms={"groove": "a" * 64, "music": "b" * 64})
    change(other, sources="6" * 64, rooms="gone")
    runs = stored_runs(tmp_path).runs
    for pair in (runs, runs[::-1]):
        assert [each.name for each in compare(*pair).versions] == ["workbench sources"]
    change(other, rooms={"groove": "c" * 64, "music": "b" * 64})
    a, b = stored_runs(tmp_path).runs
    (difference,) = compare(a, b).versions
    assert difference.name == "workbench.groove"
    assert difference.values == {"a": "a" * 10, "b": "c" * 10}
    assert a.code != b.code
    change(other, rooms=["groove"])
    assert len(stored_runs(tmp_path).notes) == 1


def test_two_runs_are_told_with_code_results_and_pictures_side_by_side(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = leave(
            tmp_path,
            f"t-{number}",
            f"x = {number}",
            at=number * 1e9,
            parameters={"n": number, "seed": 0},
            results={"loss": 1 / number},
        )
        show(folder, png(RED, "same"), png(RED if number == 1 else BLUE, f"picture of {number}"))
    found = compare(*stored_runs(tmp_path).runs)
    page = comparison_report(found).document()
    words = Reader(page).words
    assert "-x = 1" in words
    assert "+x = 2" in words
    assert "-0.5" in words
    assert "a: picture of 1" in words
    assert "b: picture of 2" in words
    assert "The same in both runs: 1" in words
    assert "a and b: same" in words
    assert page.count("<img ") == 3
    same = comparison_report(compare(found.a, found.a)).document()
    assert "Nothing differs between them." in same


def test_a_secret_that_somebody_wrote_into_a_manifest_is_blotted_out(tmp_path: Path) -> None:
    folder = leave(tmp_path, state="failed", parameters={"word": FAKE_TOKEN})
    change(folder, error={"type": "E", "message": f"bad {FAKE_TOKEN}", "cell": None})
    listing = stored_runs(tmp_path)
    for page in (index_report(listing), comparison_report(compare(*listing.runs * 2))):
        assert FAKE_TOKEN not in page.document()
        assert "bad ***" in page.document()


def test_the_commands_write_a_page_and_tell_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night(tmp_path / "outputs")
    leave(tmp_path / "outputs", "tiny-0")
    words = ["--outputs", str(tmp_path / "outputs")]
    place = tmp_path / "new" / "runs.html"
    assert run(["runs", "ls", "beats/night", *words, "--html", str(place)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{place}: a page that opens offline"
    assert "night-0" in place.read_text()
    assert "tiny-0" not in place.read_text()
    assert (
        run(["runs", "compare", "night-0", "night-1", *words, "--html", str(place), "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["html"] == place.as_posix()
    assert "Two runs of beats" in place.read_text()
    assert [path.name for path in place.parent.iterdir()] == ["runs.html"]
    assert run(["runs", "ls", "beats/nigth", *words]) == 2
    assert "did you mean 'beats/night'?" in capsys.readouterr().err


def test_a_page_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    class Broken(Page):
        def document(self) -> str:
            raise OSError(28, "No space left on device")

    place = tmp_path / "runs.html"
    page = Page(title="one", body="<p>one</p>")
    page.save(place)
    whole = place.read_bytes()
    with pytest.raises(CachingError, match="No space left on device"):
        Broken(title="two", body="").save(place)
    assert place.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [place]
    with pytest.raises(OptionsError, match=r"a page's name ends in \.html"):
        page.save(tmp_path / "tiny-0123")
    assert list(tmp_path.iterdir()) == [place]


def test_no_runs_and_nothing_but_parts_have_a_page_too(tmp_path: Path) -> None:
    assert "none" in Reader(index_report(stored_runs(tmp_path)).document()).words
    leave(tmp_path, state="part")
    (tmp_path / "notes.txt").write_text("")
    words = Reader(index_report(stored_runs(tmp_path)).document()).words
    assert "1 not at their end" in words
    assert "notes.txt: is no folder" in words
    assert str(tmp_path) not in words


def test_a_notebook_shows_a_page_in_the_colours_around_it() -> None:
    shown = Page(title="t", body="<p>one</p>")._repr_html_()
    assert "<p>one</p>" in shown
    assert "<script" not in shown
    assert "--paper" not in shown
