"""Samples are dealt so that ranks together meet each once, or it is refused."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from parquet_files import parquet_of
from shard_servers import quick

from workbench.errors import OptionsError
from workbench.streaming.listing import folder_source
from workbench.streaming.order import Order
from workbench.streaming.samples import Deal, Epoch
from workbench.streaming.window import ShardWindow

LAYOUTS = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=4)


def ranks(batch_rows, world):
    return [Deal(batch_rows=batch_rows, rank=rank, world=world) for rank in range(world)]


def can_be_dealt(batch_rows, world, left):
    """Return whether some rows are the sum of steps of world to world * batch_rows each."""
    return any(n * world <= left <= n * world * batch_rows for n in range(left + 1))


@settings(max_examples=500)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 80), st.integers(0, 80))
@example(batch_rows=1, world=4, start=0, rows=6)
@example(batch_rows=2, world=4, start=77, rows=80)
def test_every_rank_has_a_sample_in_every_step_or_nothing_is_dealt(batch_rows, world, start, rows):
    deals = ranks(batch_rows, world)
    if not can_be_dealt(batch_rows, world, max(rows - start, 0)):
        for deal in deals:
            with pytest.raises(OptionsError, match=f"{rows - start} samples .* {world} ranks"):
                deal.spans(start, rows)
        return
    spans = list(deals[0].spans(start, rows))
    assert len(spans) == deals[0].steps(start, rows)
    assert sum(span.stop - span.start for span in spans) == max(rows - start, 0)
    at = start
    for span in spans:
        places = [deal.places(span) for deal in deals]
        assert all(1 <= len(some) <= batch_rows for some in places)
        assert span.start == at
        assert sorted(np.concatenate(places)) == list(range(*span))
        at = span.stop


@pytest.mark.parametrize(
    ("batch_rows", "start", "rows", "remedy"),
    [
        (1, 0, 6, "take batches of 2 or more samples"),
        (1, 3, 9, "take batches of 2 or more samples"),
        (9, 0, 3, "take 3 ranks or fewer"),
        (1, 7, 8, "take 1 ranks or fewer"),
    ],
)
def test_what_cannot_be_dealt_says_what_can(batch_rows, start, rows, remedy):
    with pytest.raises(OptionsError, match=remedy):
        Deal(batch_rows=batch_rows, rank=2, world=4).spans(start, rows)


@settings(max_examples=25)
@given(LAYOUTS, st.integers(1, 4), st.integers(1, 4), st.integers(0, 9), st.data())
def test_ranks_together_read_every_sample_from_a_place_on_once(
    tmp_path_factory, layout, batch_rows, world, seed, data
):
    folder = tmp_path_factory.mktemp("shards")
    first = 0
    for number, groups in enumerate(layout):
        (folder / f"{number}.parquet").write_bytes(parquet_of(groups, first=first))
        first += sum(groups)
    source = folder_source(folder)
    epoch = Epoch(source, Order(seed=seed), mix=2, columns=("number",))
    assert epoch.rows == first

    def read_by(deal, start):
        shards = [int(shard) for shard in Order(seed=seed).files(len(layout))]
        sequence = shards[epoch.shards_before(start) :]
        with ShardWindow(source, folder / "w", sequence, quick()) as window:
            steps = list(epoch.read(window, deal.spans(start, first), deal))
        assert all(1 <= step.rows.num_rows == len(step.places) <= deal.batch_rows for step in steps)
        return [
            pair
            for step in steps
            for pair in zip(step.places.tolist(), step.rows["number"].to_pylist(), strict=True)
        ]

    whole = read_by(Deal(batch_rows=5), 0)
    assert [place for place, _ in whole] == list(range(first))
    assert sorted(number for _, number in whole) == list(range(first))
    start = data.draw(st.integers(0, first))
    if can_be_dealt(batch_rows, world, first - start):
        dealt = [pair for deal in ranks(batch_rows, world) for pair in read_by(deal, start)]
        assert sorted(dealt) == whole[start:]
