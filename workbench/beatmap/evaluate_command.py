"""The `workbench beatmap evaluate` command: flags in, one call of the room, a reply out."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.reply import Reply

if TYPE_CHECKING:
    from workbench.beatmap.writer.evaluation import Evaluation


def evaluate(
    found: Path,
    wanted: Path,
    *,
    difficulty: str = "",
    shift: float = 0.0,
    picture: Path | None = None,
) -> Reply:
    """Judge maps by those that people made of the same songs.

    Args:
        found: A map to be judged, or a folder of maps.
        wanted: The map that it is judged by, or a folder of maps of the same names.
        difficulty: The only one that is compared, as Expert; all if empty.
        shift: By how much the songs of the first begin later, seconds; silence in front makes it.
        picture: Where the comparison of the hardest chart is drawn, a PNG file.
    """
    from workbench.beatmap.writer.evaluation import evaluate_charts  # noqa: PLC0415  slow
    from workbench.beatmap.writer.evaluation_maps import map_pairs  # noqa: PLC0415

    pairs = map_pairs(found, wanted, difficulty=difficulty, shift=shift)
    evaluation = evaluate_charts(pairs.charts)
    values: dict[str, Any] = {
        **evaluation.as_json(),
        "alone": list(pairs.alone),
        "refused": dict(pairs.refused),
    }
    if picture is not None:
        from workbench.beatmap.writer.evaluation_pictures import comparison  # noqa: PLC0415  slow

        comparison(pairs.charts[-1]).save(picture)
        values["picture"] = {"file": str(picture), "chart": pairs.charts[-1].name}
    is_whole = not (pairs.alone or pairs.refused)
    return Reply(values=values, text=_told(evaluation, values), code=0 if is_whole else 1)


_MOST_COLUMNS = 5  # charts in the table

# Of what stands in the table: its head, and its numbers, the human map's own in brackets.
_COLUMNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("F1 50 ms", ("onset_f1_50ms",)),
    ("F1 20 ms", ("onset_f1_20ms",)),
    ("precision", ("onset_precision_50ms",)),
    ("recall", ("onset_recall_50ms",)),
    ("notes/s", ("nps", "nps_wanted")),
    ("swings/s", ("swings_a_second", "swings_a_second_wanted")),
    ("parity errors", ("parity_errors_per_1000", "parity_errors_per_1000_wanted")),
    ("resets", ("resets_per_1000", "resets_per_1000_wanted")),
    ("vision blocks", ("vision_blocks_per_1000", "vision_blocks_per_1000_wanted")),
    ("diversity", ("pattern_diversity", "pattern_diversity_wanted")),
    ("right hand", ("right_hand_share", "right_hand_share_wanted")),
    ("KL directions", ("direction_kl",)),
    ("KL cells", ("cell_kl",)),
)


def _told(evaluation: "Evaluation", values: Mapping[str, Any]) -> str:
    """Return a table, a line a number and a column a chart, and what was left out.

    Of more charts than stand side by side, only what they are together is told.
    """
    count = len(evaluation.charts)
    charts = [*evaluation.charts] if count <= _MOST_COLUMNS else []
    if count > 1:
        charts.append(evaluation.micro)
    rows = [["", *(chart.name for chart in charts)]]
    numbers = [chart.numbers() for chart in charts]
    rows += [[head, *(_cell(of, names) for of in numbers)] for head, names in _COLUMNS]
    width = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(width[0]), *map(str.rjust, row[1:], width[1:])]).rstrip()
        for row in rows
    ]
    lines.append("in brackets the human map; errors, resets and blocks per 1,000")
    if count > _MOST_COLUMNS:
        lines.append(f"{count:,} charts; --json tells of each")
    lines += [f"{name}: has nothing to be judged by" for name in values["alone"]]
    lines += [f"left out: {reason}" for reason in values["refused"].values()]
    return "\n".join(lines)


def _cell(numbers: Mapping[str, float], names: tuple[str, ...]) -> str:
    found, *wanted = (f"{numbers[name]:.3f}" for name in names)
    return f"{found} ({wanted[0]})" if wanted else found
