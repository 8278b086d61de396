"""Tables and sound over the groove room: models, scores, samples."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from IPython.display import Audio

from workbench.groove.compare import FileBits, paired_bootstrap
from workbench.groove.likeness import Likeness
from workbench.groove.model import Model
from workbench.groove.sample import Sample
from workbench.groove.score import Score
from workbench.music.synthesiser import render_drums, wav_bytes
from workbench.music.vorbis import vorbis_bytes
from workbench.panels.table import Table


def sound(
    sample: Sample,
    *,
    seconds: float | None = None,
    sample_rate: int = 11_025,
    is_small: bool = False,
) -> Audio:
    """Return a player for a sample, its drums made by the small synthesiser.

    Args:
        sample: What is heard.
        seconds: How much of it the notebook keeps; all when None.
        sample_rate: Hz; low, as the sound is stored in the notebook.
        is_small: Whether it is kept as Ogg Vorbis, a fifth of the bytes, in place of WAV.
    """
    track = sample.track
    samples = render_drums(
        sample.onset_seconds, track.pitch, track.velocity, sample_rate=sample_rate, seconds=seconds
    )
    if not is_small:
        return Audio(wav_bytes(samples, sample_rate))
    player = Audio(vorbis_bytes(samples, sample_rate))
    player.mimetype = "audio/ogg"  # of bytes it says WAV
    return player


def model_table(model: Model) -> Table:
    """Return what a model was made of."""
    told = model.description
    rows = {
        name: sum(level["rows"] for level in s["levels"]) for name, s in told["streams"].items()
    }
    return Table(
        ("what", "count"),
        [
            ("files in the list", told["files"]),
            ("files counted", told["kept"]),
            ("files left out", told["skipped"]),
            ("bars", told["bars"]),
            ("notes", told["notes"]),
            ("n-grams of events, all orders", rows["events"]),
            ("contexts of steps, all levels", rows.get("steps", 0)),
            ("rows in all", sum(rows.values())),
        ],
    )


def differences_table(bits: Mapping[str, FileBits]) -> Table:
    """Return how many bits a bar each model saves beside the one before, and how sure that is.

    Args:
        bits: By model, what the same files cost it.
    """
    rows: list[tuple[object, ...]] = []
    for (before, dear), (name, cheap) in pairwise(bits.items()):
        found = paired_bootstrap(dear, cheap)
        sure = f"{found.low:.2f} to {found.high:.2f}"
        rows.append((f"{name} beside {before}", round(found.bits_per_bar, 2), sure))
    return Table(("model", "saves, bits a bar", "of 95 in 100 such corpora"), rows)


def likeness_table(pieces: Mapping[str, Likeness]) -> Table:
    """Return drawn pieces beside played ones, a row each."""
    head = ("pieces", "bars", "hits a bar", "chords, %", "repeated, %", "nearly, %", "learned, %")
    rows = [
        (
            name,
            found.bars,
            round(found.hits_per_bar, 1),
            *(
                round(100 * share, 1)
                for share in (found.polyphony, found.repeated, found.varied, found.near_copies)
            ),
        )
        for name, found in pieces.items()
    ]
    return Table(head, rows)


def reasons_table(model: Model, *, examples: int = 1) -> Table:
    """Return why files were left out, with a file for example."""
    shown: dict[str, list[str]] = {}
    for entry in model.skipped():
        files = shown.setdefault(entry["reason"], [])
        if len(files) < examples:
            files.append(entry["file"])
    rows = [
        (reason, count, ", ".join(shown.get(reason, [])))
        for reason, count in sorted(model.description["reasons"].items())
    ]
    return Table(("reason", "files", "for example"), rows)


def score_table(score: Score) -> Table:
    """Return the bits of a score, by the corpus alone and with the piece so far."""
    return Table(
        ("measure", "corpus alone", "with the piece so far"),
        [
            ("bits an event", score.bits_per_event_corpus, score.bits_per_event),
            ("bits a bar, 4/4", score.bits_per_bar_corpus, score.bits_per_bar),
        ],
    )


def feel_table(score: Score) -> Table:
    """Return how far predicted timing and dynamics are off, beside a model that knows none."""
    return Table(
        ("mean error", "predicted from the grid", "bare grid, one velocity"),
        [
            ("timing, ms", score.timing_mae_ms, score.quantised_mae_ms),
            ("velocity, 0 to 127", score.velocity_mae, score.constant_velocity_mae),
        ],
    )


def event_table(sample: Sample, *, rows: int = 12) -> Table:
    """Return the first notes of a sample."""
    head = ("bar", "step", "seconds", "pitch", "class", "velocity")
    events = sample.events()[:rows]
    return Table(head, [tuple(event[name] for name in head) for event in events])


def copies_table(samples: Sequence[Sample]) -> Table:
    """Return how many drawn bars stand in the training corpus."""
    bars = sum(sample.bars for sample in samples)
    near, exact = (
        sum(sample.near_copies for sample in samples),
        sum(sample.copies for sample in samples),
    )
    return Table(
        ("drawn bars", "within one hit of a training bar", "exactly a training bar"),
        [(bars, f"{near} ({near / bars:.1%})", f"{exact} ({exact / bars:.1%})")],
    )
