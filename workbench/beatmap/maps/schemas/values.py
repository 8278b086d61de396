"""What the schemas of all versions are made of."""

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

# What the columns of `objects` hold
Int = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Custom = Raw | UnsetType
NONE = UNSET


class Record(Struct, gc=False):
    """A struct of numbers and texts, which no cycle of references can go through."""


class ByParts(Record):
    """A record of which a bad value costs itself alone, as each says something of its own."""
