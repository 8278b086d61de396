"""Windows of charts, beside a plain loop that cuts them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.beatmap.maps.objects import DIFFICULTIES, Notes
from workbench.beatmap.writer.options import ChartWindowOptions
from workbench.beatmap.writer.tokens import (
    BAR,
    END,
    EXTENDED,
    START,
    VOCABULARY_291,
    decode_many,
    encode_many,
)
from workbench.beatmap.writer.windows import window_columns, windows_of
from workbench.errors import BeatmapError, OptionsError

BAR_COLUMNS = 64

# Notes by beat, and how many columns the song has.
charts_and_songs = st.lists(
    st.tuples(
        st.lists(st.integers(0, 26 * 8).map(lambda eighth: eighth / 2), max_size=12),
        st.integers(0, 30 * BAR_COLUMNS),
    ),
    max_size=4,
)
options_of_all = st.builds(
    lambda bars, stride, context: ChartWindowOptions(
        bars=bars, stride=min(stride, bars), context=context
    ),
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 5),
)


def encoded_of(beats_of_charts, vocabulary=EXTENDED):
    beats = [beat for chart in beats_of_charts for beat in sorted(chart)]
    cells = np.arange(len(beats), dtype=np.int32)
    notes = Notes(
        beat=np.array(beats, np.float64),
        lane=cells % 4,
        layer=cells % 3,
        color=cells % 2,
        direction=cells % 9,
        angle=np.zeros(len(beats)),
    )
    offsets = np.cumsum([0, *(len(chart) for chart in beats_of_charts)])
    names = [DIFFICULTIES[number % 5] for number in range(len(beats_of_charts))]
    return encode_many(notes, offsets, names, vocabulary)


def bars_of(tokens):
    """Return the bars of one chart, each as its tokens."""
    bars = []
    for token in tokens.tolist()[2:-1]:
        if token == BAR:
            bars.append([])
        bars[-1].append(token)
    return bars


def cut_by_loop(encoded, columns, options):
    """Return (chart, bar, tokens, learnt_from) of all windows that have sound."""
    found = []
    for chart in range(len(encoded)):
        bars = bars_of(encoded.chart(chart))
        while len(bars) * BAR_COLUMNS < columns[chart]:
            bars.append([BAR])
        first = 0
        while bars:
            stop = first + options.bars
            head = [START, int(encoded.chart(chart)[1])]
            before = bars[max(first - options.context, 0) : first]
            lead = head + [token for bar in before for token in bar]
            own = [token for bar in bars[first:stop] for token in bar]
            end = [END] if stop >= len(bars) else []
            if first * BAR_COLUMNS < columns[chart]:
                found.append((chart, first, lead + own + end, len(lead)))
            if end:
                break
            first += options.stride or options.bars
    return found


@settings(max_examples=150)
@given(
    charts=charts_and_songs,
    options=options_of_all,
    vocabulary=st.sampled_from([EXTENDED, VOCABULARY_291]),
)
def test_windows_are_those_of_the_loop(charts, options, vocabulary):
    encoded = encoded_of([beats for beats, _ in charts], vocabulary)
    columns = [columns for _, columns in charts]
    windows = windows_of(encoded, columns, 16, options)
    expected = cut_by_loop(encoded, columns, options)
    assert windows.columns == options.bars * BAR_COLUMNS
    assert len(windows) == len(expected)
    for number, (chart, bar, tokens, learnt_from) in enumerate(expected):
        assert windows.chart[number] == chart
        assert windows.bar[number] == bar
        assert windows.first_column[number] == bar * BAR_COLUMNS
        assert windows.tokens_of(number).tolist() == tokens
        assert windows.learnt_from[number] == learnt_from
        assert windows.lengths[number] == len(tokens)
    assert windows.too_long == 0


@given(charts=charts_and_songs, bars=st.integers(1, 9))
def test_windows_side_by_side_hold_every_note_under_the_song_once(charts, bars):
    encoded = encoded_of([beats for beats, _ in charts])
    columns = [columns for _, columns in charts]
    windows = windows_of(encoded, columns, 16, ChartWindowOptions(bars=bars))
    decoded = decode_many(windows.tokens, windows.offsets, EXTENDED)
    window = np.repeat(np.arange(len(windows)), np.diff(decoded.offsets))
    beats = decoded.notes.beat + 4 * windows.bar[window]
    for chart, (_, length) in enumerate(charts):
        whole = decode_many(encoded.chart(chart), [0, len(encoded.chart(chart))], EXTENDED)
        end = 4 * bars * -(-length // (BAR_COLUMNS * bars))
        expected = whole.notes.beat[whole.notes.beat < end]
        assert beats[windows.chart[window] == chart].tolist() == expected.tolist()


def test_eight_bars_are_512_columns_of_which_none_is_cut():
    encoded = encoded_of([np.arange(0, 96, 0.5)])
    windows = windows_of(encoded, [100 * 16], 16, ChartWindowOptions())
    assert windows.columns == 512
    assert windows.bar.tolist() == [0, 8, 16, 24]
    assert [int(windows.tokens_of(number)[-1] == END) for number in range(4)] == [0, 0, 0, 1]
    assert windows.tokens_of(3).tolist() == [START, 3, BAR, END]


def test_windows_of_too_many_tokens_are_left_out_whole_and_told():
    encoded = encoded_of([[*np.arange(0, 32, 0.5), 40.0]])
    windows = windows_of(encoded, [64 * 16], 16, ChartWindowOptions(most_tokens=50))
    assert windows.too_long == 1
    assert windows.bar.tolist() == [8]
    assert windows.tokens.tolist() == windows.tokens_of(0).tolist()
    assert windows.tokens_of(0)[-1] == END


def test_windows_behind_the_song_are_left_out_and_told():
    encoded = encoded_of([[0.0, 1000.0]])
    windows = windows_of(encoded, [100], 16, ChartWindowOptions(bars=8))
    assert windows.bar.tolist() == [0]
    assert windows.without_sound == 31
    assert len(windows_of(encoded, [0], 16, ChartWindowOptions())) == 0


def test_songs_and_charts_are_as_many():
    with pytest.raises(BeatmapError, match="2 songs for 1 charts"):
        windows_of(encoded_of([[0.0]]), [64, 64], 16, ChartWindowOptions())


def test_columns_behind_the_song_are_the_mean():
    features = np.arange(40, dtype=np.float16).reshape(10, 4)
    fill = np.array([-1.5, -40.0, 0.0, 3.0], np.float32)
    window, sound = window_columns(features, 6, 8, fill)
    assert (window.shape, window.dtype, sound) == ((8, 4), np.float16, 4)
    assert window[:4].tolist() == features[6:].tolist()
    assert window[4:].tolist() == [fill.tolist()] * 4
    whole, sound = window_columns(features, 2, 8, fill)
    assert sound == 8
    assert whole.tolist() == features[2:].tolist()
    whole[:] = 0  # the song's own columns stay
    assert features[2:].any()
    beyond, sound = window_columns(features, 12, 3, fill)
    assert sound == 0
    assert beyond.tolist() == [fill.tolist()] * 3


def test_windows_that_leave_bars_out_are_refused():
    with pytest.raises(OptionsError, match="stride: 9 is above bars 8"):
        ChartWindowOptions(stride=9)
