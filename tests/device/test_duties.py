"""Duties: bytes and back, what is refused, and finding a place in them."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.device.duties import Duties
from workbench.errors import DeviceError

finger_bits = st.lists(st.integers(0, 2), min_size=7, max_size=7).map(
    lambda states: sum(state << 2 * finger for finger, state in enumerate(states))
)
rows = st.lists(
    st.tuples(
        st.integers(0, 2**30 - 1 - 65535),
        st.integers(1, 65535),
        finger_bits,
        st.integers(0, 11),
        st.one_of(st.integers(0, 100), st.just(255)),
    ),
    max_size=40,
).map(sorted)


def duties_of(table):
    columns = list(zip(*table, strict=True)) or [[]] * 5
    names = ("start_ms", "duration_ms", "fingers", "cart", "volume")
    return Duties.of(**dict(zip(names, columns, strict=True)))


@given(rows)
def test_bytes_and_back_give_the_same_duties(table):
    duties = duties_of(table)
    assert duties.to_bytes() == b"".join(struct.pack("<IHHBB", *row) for row in table)
    assert Duties.from_bytes(duties.to_bytes()) == duties
    assert list(duties) == table


@given(rows, st.integers(0, 40), st.integers(0, 40))
def test_a_slice_is_the_same_bytes(table, first, last):
    duties = duties_of(table)
    assert duties[first:last].to_bytes() == duties.to_bytes(first, last)


@given(rows.filter(bool), st.integers(0, 2**32))
def test_the_duty_at_a_time_is_the_last_that_has_begun(table, ms):
    begun = [index for index, row in enumerate(table) if row[0] <= ms]
    assert duties_of(table).index_at(ms) == (begun[-1] if begun else 0)


@given(rows.filter(bool))
def test_finger_states_are_the_bits(table):
    states = duties_of(table).finger_states()
    assert states.shape == (len(table), 7)
    for row, found in zip(table, states, strict=True):
        assert row[2] == sum(int(state) << 2 * finger for finger, state in enumerate(found))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"start_ms": [5, 4]}, "duty 1 starts at 4 ms, before"),
        ({"start_ms": [-1, 4]}, "duty 0 ends at"),
        ({"start_ms": [0, 2**30 - 3]}, "duty 1 ends at"),
        ({"duration_ms": [1, 65536]}, "duty 1 has duration_ms 65536"),
        ({"duration_ms": [1, 0]}, "duty 1 lasts 0 ms"),
        ({"duration_ms": [-1, 1]}, "duty 0 has duration_ms -1"),
        ({"fingers": [0, 3 << 4]}, "duty 1 has fingers 0x30"),
        ({"fingers": [1 << 14, 0]}, "duty 0 has fingers 0x4000"),
        ({"cart": [0, 12]}, "duty 1 has the cart at 12"),
        ({"volume": [101, 0]}, "duty 0 has volume 101"),
        ({"cart": [0, 1, 2]}, "columns of"),
    ],
)
def test_what_no_board_takes_is_refused_and_named(change, told):
    columns = {"start_ms": [0, 10], "duration_ms": [10, 10], "fingers": [1, 2]}
    columns |= {"cart": [0, 11], "volume": [0, 100]}
    assert len(Duties.of(**columns)) == 2
    with pytest.raises(DeviceError, match=told):
        Duties.of(**(columns | change))


def test_half_a_record_is_refused():
    with pytest.raises(DeviceError, match="11 bytes of duties"):
        Duties.from_bytes(bytes(11))


def test_one_value_stands_for_all():
    duties = Duties.of(start_ms=np.arange(3) * 10, duration_ms=10, fingers=[1, 0, 2], cart=3)
    assert duties.cart.tolist() == [3, 3, 3]
    assert duties.volume.tolist() == [255] * 3
    assert duties.end_ms == 30
    assert duties.sounding.tolist() == [True, False, True]
