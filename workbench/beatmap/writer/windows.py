"""Windows of charts: some bars of tokens, and the columns of sound under them.

Windows begin on bar lines and have all the columns of their bars, 512 for 8 bars at 16 columns a
beat; together they cover all of a chart and all of its song, whichever ends later. Where the song
has ended, columns are filled with the mean, which says nothing, and never with 0, which is the
loudest there is; where the notes have ended, bars are empty. A window wholly behind the song is
left out, as nothing tells of its notes. A window's tokens are START, the difficulty, the bars
before it that are only to be read, its own bars, and END in the last window of a chart. Nothing
is cut off: a window is there whole, or it is left out and counted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.beatmap.writer.mel import Features
from workbench.beatmap.writer.options import ChartWindowOptions
from workbench.beatmap.writer.tokens import (
    BAR,
    BAR_BEATS,
    END,
    START,
    Counts,
    Encoded,
    Tokens,
    upto,
)
from workbench.errors import BeatmapError

_HEAD = 2  # START and difficulty


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """Windows of charts, in the order of the charts and of their bars.

    Attributes:
        columns: Columns of a window.
        chart: Which chart each is of, int64 `(windows,)`.
        bar: Its first bar, int64 `(windows,)`.
        first_column: Of its song, int64 `(windows,)`.
        tokens: Of all windows, int16 `(n,)`.
        offsets: Where the tokens of each begin, and the end, int64 `(windows + 1,)`.
        learnt_from: Tokens of each before the first that is to be learnt: START, difficulty and
            the bars before, int64 `(windows,)`.
        too_long: Windows that were left out since they have too many tokens.
        without_sound: Windows that were left out since the song ends before them.
    """

    columns: int
    chart: Counts
    bar: Counts
    first_column: Counts
    tokens: Tokens
    offsets: Counts
    learnt_from: Counts
    too_long: int
    without_sound: int

    def __len__(self) -> int:
        return len(self.chart)

    def tokens_of(self, number: int) -> Tokens:
        """Return the tokens of a window."""
        return self.tokens[self.offsets[number] : self.offsets[number + 1]]

    @property
    def lengths(self) -> Counts:
        """How many tokens each has, `(windows,)`."""
        return np.diff(self.offsets)


def windows_of(
    encoded: Encoded, columns: Counts, columns_a_beat: int, options: ChartWindowOptions
) -> Windows:
    """Return the windows of charts.

    Args:
        encoded: The charts.
        columns: How many columns the song of each has, `(charts,)`.
        columns_a_beat: Of the features.
        options: How they are cut.

    Raises:
        BeatmapError: There are not as many songs as charts.
    """
    song_columns = np.asarray(columns, np.int64)
    if len(song_columns) != len(encoded):
        raise BeatmapError(
            f"{len(song_columns)} songs for {len(encoded)} charts; want one for each"
        )
    bar_columns = BAR_BEATS * columns_a_beat
    stride = options.stride or options.bars
    chart_bars = np.diff(encoded.bar_offsets)
    bars = np.maximum(chart_bars, -(-song_columns // bar_columns))
    counts = np.where(bars > 0, 1 + -(-np.maximum(bars - options.bars, 0) // stride), 0)
    chart = np.repeat(np.arange(len(encoded)), counts)
    bar = stride * (np.arange(len(chart)) - np.repeat(np.cumsum(counts) - counts, counts))
    tokens, offsets, learnt_from = _tokens(encoded, chart, bar, bars, options)
    lengths = np.diff(offsets)
    has_sound = bar * bar_columns < song_columns[chart]
    is_short = lengths <= (options.most_tokens or lengths.max(initial=0))
    fits = has_sound & is_short
    return Windows(
        columns=options.bars * bar_columns,
        chart=chart[fits],
        bar=bar[fits],
        first_column=bar[fits] * bar_columns,
        tokens=tokens[np.repeat(fits, lengths)],
        offsets=upto(lengths[fits]),
        learnt_from=learnt_from[fits],
        too_long=int((has_sound & ~is_short).sum()),
        without_sound=int((~has_sound).sum()),
    )


def window_columns(
    features: Features, first_column: int, columns: int, fill: NDArray[np.floating]
) -> tuple[Features, int]:
    """Return the columns of a window, as an array of its own, and how many of them are sound.

    Args:
        features: Of the song, `(all, channels)` float16.
        first_column: Of the window, in the song.
        columns: Of the window.
        fill: The mean of each channel, `(channels,)`; it stands where the song has ended.
    """
    sound = features[first_column : first_column + columns]
    there = len(sound)
    if there == columns:
        return sound.copy(), there
    window = np.empty((columns, features.shape[1]), np.float16)
    window[:there] = sound
    window[there:] = fill
    return window, there


def _tokens(
    encoded: Encoded, chart: Counts, bar: Counts, bars: Counts, options: ChartWindowOptions
) -> tuple[Tokens, Counts, Counts]:
    """Return the tokens of windows, where each begins and the end, and what is not learnt."""
    context = np.maximum(bar - options.context, 0)
    end = np.minimum(bar + options.bars, bars[chart])
    first, start, stop = (_place(encoded, chart, which) for which in (context, bar, end))
    chart_bars = np.diff(encoded.bar_offsets)[chart]
    # bars behind the last note: before the window's own, and its own
    empty_before = np.maximum(bar - np.maximum(context, chart_bars), 0)
    empty = np.maximum(end - np.maximum(bar, chart_bars), 0)
    is_last = end == bars[chart]
    learnt_from = _HEAD + start - first + empty_before
    offsets = upto(learnt_from + stop - start + empty + is_last)
    tokens = np.full(offsets[-1], BAR, np.int16)  # empty bars stay
    begins = offsets[:-1]
    tokens[begins] = START
    tokens[begins + 1] = encoded.tokens[encoded.offsets[:-1][chart] + 1]
    _copy(encoded.tokens, first, start, tokens, begins + _HEAD)
    _copy(encoded.tokens, start, stop, tokens, begins + learnt_from)
    tokens[offsets[1:][is_last] - 1] = END
    return tokens, offsets, learnt_from


def _place(encoded: Encoded, chart: Counts, bar: Counts) -> Counts:
    """Return where a bar of a chart begins among the tokens; its END, where it has none such."""
    last = encoded.offsets[1:] - 1
    number = encoded.bar_offsets[:-1][chart] + bar
    is_there = number < encoded.bar_offsets[1:][chart]
    starts = np.append(encoded.bars, 0)  # so that there is one to look at
    return np.where(is_there, starts[np.where(is_there, number, -1)], last[chart])


def _copy(source: Tokens, starts: Counts, stops: Counts, target: Tokens, places: Counts) -> None:
    """Copy stretches of one array to places in another."""
    lengths = stops - starts
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    target[np.repeat(places, lengths) + within] = source[np.repeat(starts, lengths) + within]
