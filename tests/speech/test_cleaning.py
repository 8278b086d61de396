"""Batches are cleaned row by row: each row is kept or left out with its reason, never both."""

import io

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import burst, file_of

from workbench.errors import SourceError
from workbench.speech.audio import AudioOptions, Refusal, clean
from workbench.speech.cleaning import CLEANED, LONGEST_TRANSCRIPT, cleaned
from workbench.speech.source import CLIPS

SOUNDS = [
    *(file_of(burst(0.1, sample_rate=8000, seed=seed), 8000) for seed in range(3)),
    b"no sound",
    b"",
    None,
]
ROWS = st.fixed_dictionaries(
    {
        "audio": st.sampled_from(SOUNDS),
        "transcript": st.sampled_from([None, "", "ก", "ก" * LONGEST_TRANSCRIPT, "ก" * 10_001]),
        "speaker": st.sampled_from([None, "me"]),
        "language": st.sampled_from([None, "th", "en"]),
        "left_out": st.sampled_from([None, None, "no_file"]),
    }
)
OPTIONS = AudioOptions(sample_rate=8000)


def batch_of(rows):
    return pa.RecordBatch.from_pylist(rows, CLIPS)


def reason_of(row, language):
    """Return why a row is left out, and None where it is kept."""
    if row["left_out"] is not None:
        return row["left_out"]
    if language and row["language"] not in (None, language):
        return "other_language"
    if len(row["transcript"] or "") > LONGEST_TRANSCRIPT:
        return "transcript_too_long"
    if row["audio"] is None:
        return "no_audio"
    found = clean(row["audio"], OPTIONS)
    return found.reason if isinstance(found, Refusal) else None


@settings(max_examples=60)
@given(st.lists(ROWS, max_size=8), st.sampled_from(["", "th"]))
def test_each_row_is_kept_as_clean_makes_it_or_left_out_with_its_reason(rows, language):
    found = cleaned(batch_of(rows), language, OPTIONS)
    reasons = [reason_of(row, language) for row in rows]
    assert found.rows.schema == CLEANED
    assert [(skip.index, skip.reason) for skip in found.skips] == [
        (at, reason) for at, reason in enumerate(reasons) if reason is not None
    ]
    kept = found.rows.to_pylist()
    assert [row["index"] for row in kept] == [n for n, why in enumerate(reasons) if why is None]
    for got in kept:
        row = rows[got["index"]]
        made = clean(row["audio"], OPTIONS)
        assert (got["audio"], got["seconds"]) == (made.content, made.seconds)
        for name in ("transcript", "speaker", "language"):
            assert got[name] == row[name]


def rows_of(count):
    return [{"audio": SOUNDS[0], "transcript": "x"} for _ in range(count)]


def test_a_batch_of_more_cleaned_sound_than_an_array_holds_is_refused():
    size = len(clean(SOUNDS[0], OPTIONS).content)
    whole = cleaned(batch_of(rows_of(3)), "", OPTIONS, most_bytes=3 * size)
    assert whole.rows.num_rows == 3
    with pytest.raises(SourceError, match=r"over .* bytes .*smaller --streaming-batch-size"):
        cleaned(batch_of(rows_of(4)), "", OPTIONS, most_bytes=4 * size - 1)


@pytest.mark.soak
def test_over_two_gibibytes_of_cleaned_sound_are_refused():
    out = io.BytesIO()
    soundfile.write(out, np.zeros(48_000 * 3590, np.int16), 48_000, "PCM_16", format="FLAC")
    assert out.tell() < 1 << 23
    options = AudioOptions(sample_rate=48_000, trim=False)
    with pytest.raises(SourceError, match=r"2,147,483,647 bytes"):
        cleaned(batch_of([{"audio": out.getvalue()}] * 7), "", options)
