"""Features on the device of a training: normalised, and with parts of them hidden.

Source: SpecAugment (Park et al., Interspeech 2019), with the mean as what is seen in place of the
hidden; 0 decibels, which is 0 before features are normalised, would be the loudest sound of all.
"""

import torch
from torch import Tensor
from torch.nn import functional

from workbench.beatmap.writer.cache import Statistics
from workbench.beatmap.writer.data_options import DataOptions
from workbench.caching.fingerprint import fingerprint


def normalised(mel: Tensor, statistics: Statistics) -> Tensor:
    """Return features with mean 0 and deviation 1, float32.

    Args:
        mel: `(B, columns, channels)`, on any device.
        statistics: Of the songs that are trained on.
    """
    mean = torch.as_tensor(statistics.mean, device=mel.device)
    deviation = torch.as_tensor(statistics.deviation, device=mel.device)
    return (mel.float() - mean) / deviation


def hidden(mel: Tensor, draw: tuple[int, ...], options: DataOptions, bins: int) -> Tensor:
    """Return normalised features of which bands and spans of time are the mean.

    Args:
        mel: `(B, columns, channels)`, with mean 0, on any device.
        draw: What the random numbers are drawn by.
        options: How many are hidden, and how wide.
        bins: Channels that are bands of the spectrogram; others are hidden in time alone.
    """
    seed = int(fingerprint(list(draw))[:15], 16)
    generator = torch.Generator(mel.device).manual_seed(seed)
    size, columns, channels = mel.shape
    band = _covered((size, options.bands, bins), options.band_bins, generator)
    band = functional.pad(band, (0, channels - bins))
    span = _covered((size, options.spans, columns), options.span_columns, generator)
    return mel.masked_fill(band[:, None, :] | span[:, :, None], 0.0)


def _covered(stretches: tuple[int, int, int], widest: int, generator: torch.Generator) -> Tensor:
    """Return which places are covered by some stretches, bool `(rows, places)`.

    Args:
        stretches: Rows, stretches in each, places.
        widest: Places of a stretch at most.
        generator: Draws them.
    """
    rows, count, places = stretches
    device = generator.device
    shape = (rows, count, 1)
    width = torch.randint(0, min(widest, places) + 1, shape, generator=generator, device=device)
    room = torch.rand(shape, generator=generator, device=device)
    start = (room * (places - width + 1)).long()
    place = torch.arange(places, device=device)
    covered: Tensor = ((place >= start) & (place < start + width)).any(1)
    return covered
