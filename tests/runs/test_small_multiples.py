import xml.etree.ElementTree as ElementTree
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import OptionsError, RunsError
from workbench.runs.multiples import all_panes, latest, panes
from workbench.runs.pictures import pane_svg, small_multiples

NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, 1e-4, 1e6])
VALUES = NUMBERS | st.sampled_from(["funk", "", "$x$", "<b>", True, None])
RUNS = st.lists(
    st.fixed_dictionaries(
        {
            "state": st.sampled_from(["done", "done", "done", "failed", "part"]),
            "at": st.sampled_from(["2026-01-01", "2026-01-02", "2026-01-03"]),
            "parameters": st.dictionaries(st.sampled_from(["n", "style", "seed"]), VALUES),
            "results": st.dictionaries(
                st.sampled_from(["loss", "f1"]), NUMBERS | st.sampled_from(["many", 10**400, True])
            ),
        }
    ),
    max_size=9,
)


def done(at: str = "2026-01-01", **asked: Any) -> dict[str, Any]:
    """Return a run of some parameters whose loss is a tenth of n."""
    return {
        "state": "done",
        "at": at,
        "parameters": asked,
        "results": {"loss": asked.get("n", 0) / 10},
    }


@settings(max_examples=100, deadline=None)
@given(RUNS)
def test_each_latest_run_has_one_point_for_each_number_that_it_recorded(
    runs: list[dict[str, Any]],
) -> None:
    kept = latest(runs)
    for row in all_panes(runs):
        for pane in row:
            wanted = Counter(
                run["results"][pane.result]
                for run in kept
                if isinstance(run["results"].get(pane.result), int | float)
                and not isinstance(run["results"][pane.result], bool)
                and run["results"][pane.result] != 10**400
            )
            assert Counter(y for line in pane.lines for _, y in line.points) == wanted
            for line in pane.lines:
                assert list(line.points) == sorted(line.points)
                assert [x for x, _ in line.means] == sorted({x for x, _ in line.points})
                for place, mean in line.means:
                    here = [y for x, y in line.points if x == place]
                    assert min(here) <= mean <= max(here) or mean == pytest.approx(here[0])


@given(RUNS)
def test_what_is_drawn_is_the_latest_of_the_runs_with_the_same_parameters(
    runs: list[dict[str, Any]],
) -> None:
    kept = latest(runs)
    parameters = [sorted(run["parameters"].items()) for run in runs if run["state"] == "done"]
    assert len(kept) == len({repr(each) for each in parameters})
    for run in kept:
        same = [
            other["at"]
            for other in runs
            if other["state"] == "done"
            and repr(sorted(other["parameters"].items())) == repr(sorted(run["parameters"].items()))
        ]
        assert run["at"] == max(same)


def test_a_line_is_drawn_for_each_value_of_the_parameter_that_varies_least() -> None:
    runs = [done(n=n, style=style) for n in (1, 2, 4) for style in ("rock", "funk")]
    (pane,) = panes(runs)
    assert (pane.x, pane.by, pane.others, pane.ticks) == ("n", "style", (), ())
    assert [line.name for line in pane.lines] == ["rock", "funk"]
    assert pane.lines[0].points == ((1, 0.1), (2, 0.2), (4, 0.4))


def test_words_stand_side_by_side_in_the_order_of_the_runs() -> None:
    runs = [done(n=n, style=style) for style in ("rock", "funk") for n in (1, 2)]
    (pane,) = panes(runs, x="style", by="n")
    assert pane.ticks == ("rock", "funk")
    assert [(line.name, line.points) for line in pane.lines] == [
        ("1", ((0, 0.1), (1, 0.1))),
        ("2", ((0, 0.2), (1, 0.2))),
    ]


def test_a_further_parameter_has_a_row_of_its_own_and_lines_are_means_over_it() -> None:
    runs = [
        done(n=n, style=style, seed=seed) | {"results": {"loss": n + seed}}
        for n in (1, 2, 3, 4)
        for style in ("rock", "funk")
        for seed in (0, 1, 2)
    ]
    first, further = all_panes(runs)
    assert [(p.x, p.by, p.others) for p in (*first, *further)] == [
        ("n", "style", ("seed",)),
        ("seed", "style", ("n",)),
    ]
    assert first[0].lines[0].means == ((1, 2), (2, 3), (3, 4), (4, 5))
    assert len(first[0].lines[0].points) == 12


def test_a_parameter_over_decades_is_logarithmic() -> None:
    assert panes([done(n=n) for n in (1, 10, 100)])[0].is_logarithmic
    assert not panes([done(n=n) for n in (0, 10, 100)])[0].is_logarithmic
    assert not panes([done(n=n) for n in (1, 2, 4)])[0].is_logarithmic


def test_a_parameter_that_does_not_vary_is_refused_with_a_near_one() -> None:
    runs = [done(n=n, seed=1) for n in (1, 2)]
    with pytest.raises(OptionsError, match="'m' does not vary among 2 runs; n does"):
        panes(runs, x="m")
    with pytest.raises(OptionsError, match="'seed' does not vary"):
        panes(runs, by="seed")


def test_every_pane_is_whole_markup_whose_texts_are_those_of_the_runs() -> None:
    odd = ["funk", "", "$x", "$\\frac{", "<b>&", "_", None, True, 1]
    runs = [done(**{"<style>$": value, "n": 1}) for value in odd]
    runs[-1]["results"] = {"$loss$ <i>": 2.0}
    rows = all_panes(runs)
    assert [[pane.result for pane in row] for row in rows] == [["loss", "$loss$ <i>"]]
    for pane in rows[0]:
        drawn = ElementTree.fromstring(pane_svg(pane))
        texts = [(each.text or "").strip() for each in drawn.iter()]
        for name in (pane.result, pane.x, *pane.ticks):
            assert name.strip() in texts
        assert "currentColor" in pane_svg(pane)
        assert "#22313f" not in pane_svg(pane)


def test_small_multiples_are_a_picture_whose_caption_stands_for_its_numbers() -> None:
    runs = [
        done(n=n, style=style) | {"results": {"loss": n / 10, "f1": 0.5}}
        for n in (1, 2)
        for style in ("_a", "$b", "c" * 60)
    ]
    drawn = small_multiples(runs)
    assert drawn.caption == "loss, f1 over n by style"
    assert drawn._repr_png_().startswith(b"\x89PNG")
    by_n = small_multiples(runs, x="style", results=["f1"])
    assert by_n.caption == "f1 over style by n"
    legend = drawn.figure.legends[0]
    assert [text.get_text().strip() for text in legend.get_texts()] == [
        "_a",
        "$b",
        "c" * 13 + "…",
    ]
    other = [{**run, "results": {"loss": 1.0, "f1": 0.5}} for run in runs]
    assert small_multiples(other).digest != drawn.digest


def test_nothing_to_draw_is_said() -> None:
    for runs in ([], [done(n=1)], [done(n=1) | {"results": {}}, done(n=2) | {"results": {}}]):
        with pytest.raises(RunsError, match=f"nothing to draw of {len(runs)} runs"):
            small_multiples(runs)
