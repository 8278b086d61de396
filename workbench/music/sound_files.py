"""Sound files as libsndfile reads them, damaged ones too, and samples at another rate.

What a callback of libsndfile raises is printed by cffi and goes no further, so what it reads from
must not raise. Units: rates are in Hz; samples from -1 to 1.
"""

import io

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATES = (1000, 384_000)  # Hz; headers with others are damaged
LARGEST = 2.0**31  # as 32-bit integers that nobody scaled


class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file that is read on and on.

    A `SoundFile` that can be sought in is sought in after every read, and an MP3 file is not the
    same after that.
    """

    def seekable(self) -> bool:
        """Return that it is not."""
        return False


class SoundBytes(io.BytesIO):
    """Bytes in which a damaged header cannot seek to before the start."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, to the start where it would be before it."""
        return super().seek(max(offset, 0) if whence == io.SEEK_SET else offset, whence)


def resampled(samples: Samples, sample_rate: int, wanted_rate: int) -> Samples:
    """Return samples at another rate: what librosa's `soxr_hq` gives.

    Args:
        samples: `(n,)`.
        sample_rate: Theirs, Hz.
        wanted_rate: Hz.

    Returns:
        As many as last as long, within one; the samples themselves where the rates are the same.
    """
    if sample_rate == wanted_rate:
        return samples
    result: Samples = soxr.resample(samples, sample_rate, wanted_rate, quality="HQ")
    return result
