import base64
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from made_runs import leave

from workbench.runs.comparing import compare, picture_pairs
from workbench.runs.listing import StoredRun, stored_runs
from workbench.runs.shown import LARGEST, ShownPicture, shown_pictures

# The least picture there is, of one pixel, and another one.
RED, BLUE = (
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElF"
        f"TkSuQmCC{more}"
    )
    for more in ("", "AAAA")
)

SHOWN = st.builds(
    ShownPicture,
    key=st.tuples(st.sampled_from(["code-1", "code-2", "file a.png"]), st.integers(1, 2)),
    cell=st.none() | st.integers(1, 9),
    number=st.integers(1, 2),
    name=st.sampled_from(["", "a"]),
    mime=st.just("image/png"),
    content=st.sampled_from([RED, BLUE]),
)
MANY = st.lists(SHOWN, max_size=5, unique_by=lambda picture: picture.key)


def show(run: Path, *outputs: dict[str, Any]) -> None:
    """Let the last cell of a run's notebook show some outputs."""
    path = run / "beats.ipynb"
    book = json.loads(path.read_text())
    book["cells"][-1]["outputs"] = [
        {"output_type": "display_data", "metadata": {}, "data": data} for data in outputs
    ]
    path.write_text(json.dumps(book))


def png(content: bytes, text: str = "a picture") -> dict[str, Any]:
    """Return what a notebook shows as a picture, its lines broken as some programs break them."""
    return {"image/png": base64.encodebytes(content).decode(), "text/plain": text}


def only_run(outputs: Path) -> StoredRun:
    (run,) = stored_runs(outputs).runs
    return run


@given(MANY, MANY)
def test_every_picture_is_told_once_and_the_same_from_either_side(
    a: list[ShownPicture], b: list[ShownPicture]
) -> None:
    pairs = picture_pairs(a, b)
    back = picture_pairs(b, a)
    assert [(pair.b, pair.a) for pair in pairs] == [(pair.a, pair.b) for pair in back]
    assert sorted(pair.a.key for pair in pairs if pair.a) == sorted(each.key for each in a)
    assert sorted(pair.b.key for pair in pairs if pair.b) == sorted(each.key for each in b)
    assert all(pair.is_same for pair in picture_pairs(a, a))
    for pair in pairs:
        assert pair.is_same == (
            pair.a is not None and pair.b is not None and pair.a.content == pair.b.content
        )
        json.dumps(pair.as_json())


def test_the_pictures_of_a_run_are_those_of_its_notebook_and_those_beside_it(
    tmp_path: Path,
) -> None:
    folder = leave(tmp_path)
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"/>'
    show(
        folder,
        {"text/plain": "no picture"},
        png(RED),
        {"image/png": "no base64!"},
        {"image/png": 3},
        {"image/svg+xml": drawing, **png(BLUE, "in two forms")},
        {"image/svg+xml": drawing},
    )
    (folder / "more").mkdir()
    (folder / "more" / "b.PNG").write_bytes(BLUE)
    (folder / "a.jpg").write_bytes(b"jpeg")
    (folder / "link.png").symlink_to(folder / "a.jpg")
    (folder / "large.png").write_bytes(bytes(LARGEST + 1))
    found = shown_pictures(only_run(tmp_path))
    assert [(p.key, p.cell, p.name, p.mime, p.content) for p in found] == [
        (("code-1", 1), 3, "a picture", "image/png", RED),
        (("code-1", 2), 3, "in two forms", "image/png", BLUE),
        (("code-1", 3), 3, "", "image/svg+xml", drawing.encode()),
        (("file a.jpg", 1), None, "a.jpg", "image/jpeg", b"jpeg"),
        (("file more/b.PNG", 1), None, "more/b.PNG", "image/png", BLUE),
    ]
    assert found[0].url() == f"data:image/png;base64,{base64.b64encode(RED).decode()}"


def test_a_run_whose_notebook_is_gone_has_the_pictures_beside_it(tmp_path: Path) -> None:
    folder = leave(tmp_path)
    (folder / "beats.ipynb").unlink()
    (folder / "a.svg").write_text("<svg/>")
    assert [each.name for each in shown_pictures(only_run(tmp_path))] == ["a.svg"]


def test_two_runs_differ_in_a_picture_whose_bytes_do(tmp_path: Path) -> None:
    one, other = (leave(tmp_path, name, at=at) for name, at in (("t-0", 1e9), ("t-1", 2e9)))
    show(one, png(RED), png(RED))
    show(other, png(RED), png(BLUE))
    a, b = stored_runs(tmp_path).runs
    found = compare(a, b)
    assert not found.is_empty
    assert found.as_json()["pictures"] == [
        {"name": "picture 2", "of": ["a", "b"], "cells": {"a": 3, "b": 3}}
    ]
    show(other, png(RED), png(RED))
    assert compare(a, b).is_empty
