"""The `workbench beatmap judge` command: flags in, one call of the room, a reply out."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.model_options import JudgeOptions
from workbench.progress import terminal
from workbench.reply import Reply

Flat = Parameter(name="*")


def judge(
    store: Path,
    cache: Path,
    *,
    model: Path,
    options: Annotated[JudgeOptions | None, Flat] = None,
    data: Annotated[DataOptions | None, Flat] = None,
) -> Reply:
    """Judge a writer of maps by charts that it did not learn from.

    Give the options of its charts as they were when it learnt, so that they are in the same parts.

    Args:
        store: What `process` wrote.
        cache: What `cache` wrote.
        model: What `train` wrote.
        options: How it is judged.
        data: Which charts there are, in which parts.
    """
    from workbench.beatmap.maps.store import Store  # noqa: PLC0415  slow to import
    from workbench.beatmap.writer.cache import FeatureCache  # noqa: PLC0415
    from workbench.beatmap.writer.data import ChartData  # noqa: PLC0415
    from workbench.beatmap.writer.judging import judge as judged  # noqa: PLC0415
    from workbench.beatmap.writer.model import open_writer  # noqa: PLC0415

    writer = open_writer(model)
    held, features = Store.open(store), FeatureCache(cache, writer.card.spec)
    charts = ChartData(held, features, data, writer.card.cut)
    evaluation = judged(writer, charts, held, options or JudgeOptions(), terminal())
    return Reply(values=evaluation.as_json())
