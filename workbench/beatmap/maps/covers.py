"""Covers of maps: what a file is a picture of, and one drawn where there is none.

Units: pixels. A cover is a square PNG or JPEG of 256 pixels a side and more.
"""

import hashlib
import io
import struct
from dataclasses import dataclass

import numpy as np
import PIL.Image

from workbench.errors import BeatmapError

LEAST_SIDE = 256
DRAWN_SIDE = 512

_NAMES = {"PNG": "cover.png", "JPEG": "cover.jpg"}
_BARS = 16
_MARGIN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is known of a picture without decoding it.

    Attributes:
        kind: `PNG` or `JPEG`.
        width: Pixels.
        height: Pixels.
    """

    kind: str
    width: int
    height: int


def picture_of(content: bytes) -> Picture:
    """Return what a file is a picture of.

    Raises:
        BeatmapError: It is neither a PNG nor a JPEG, or damaged.
    """
    try:
        with PIL.Image.open(io.BytesIO(content), formats=tuple(_NAMES)) as image:
            found = Picture(kind=str(image.format), width=image.width, height=image.height)
            image.verify()
    except (OSError, ValueError, SyntaxError, struct.error, PIL.Image.DecompressionBombError) as e:
        raise BeatmapError(f"neither a whole PNG nor a whole JPEG ({e})", "odd_cover") from e
    return found


def cover_name(content: bytes) -> str:
    """Return what a cover is called by its kind.

    Raises:
        BeatmapError: As those of `picture_of`.
    """
    return _NAMES[picture_of(content).kind]


def drawn_cover(title: str) -> bytes:
    """Return a square PNG of bars, one a title, the same every time."""
    seed = int.from_bytes(hashlib.sha256(title.encode("utf-8", "replace")).digest()[:8], "big")
    random = np.random.default_rng(seed)
    left, right = random.integers(64, 224, (2, 3))
    share = np.linspace(0.0, 1.0, DRAWN_SIDE)[:, None]
    row = (left * (1 - share) + right * share) / 4
    picture = np.repeat(row[None], DRAWN_SIDE, axis=0)
    tall = random.integers(_MARGIN, DRAWN_SIDE // 2 - _MARGIN // 2, _BARS)
    edges = np.linspace(_MARGIN, DRAWN_SIDE - _MARGIN, _BARS + 1).astype(int)
    middle = DRAWN_SIDE // 2
    for height, begin, end in zip(tall, edges, edges[1:], strict=False):
        bar = slice(begin + 3, end - 3)
        picture[middle - height : middle + height, bar] = 4 * row[bar]
    out = io.BytesIO()
    PIL.Image.fromarray(picture.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()
