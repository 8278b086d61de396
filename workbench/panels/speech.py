"""Tables and sounds of gathered speech, as a notebook shows them."""

import io

from IPython.display import Audio, Image
from matplotlib.figure import Figure

from workbench.panels.table import Table
from workbench.speech.published import Clip
from workbench.speech.state import GatherState


def sources_table(state: GatherState) -> Table:
    """Return a row a source: what was kept, what was left out and why."""
    return Table(
        ("source", "kept", "seconds", "left out"),
        [
            (
                source.name,
                source.kept,
                round(source.seconds, 1),
                ", ".join(f"{count} {reason}" for reason, count in source.skipped.items()) or "-",
            )
            for source in state.sources
        ],
    )


def sound(clip: Clip, *, seconds: float) -> Audio:
    """Return a player of the beginning of a clip.

    Args:
        clip: The clip.
        seconds: How much of it is kept in the notebook, at most.
    """
    samples = clip.samples[: round(seconds * clip.sample_rate)]
    return Audio(samples, rate=clip.sample_rate, normalize=False)


def picture(figure: Figure) -> Image:
    """Return a figure as an image."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=90)
    return Image(content.getvalue())
