"""Options of what a writer learns from; the command line and the notebooks follow them."""

from dataclasses import dataclass, fields

from workbench import options
from workbench.caching.fingerprint import fingerprint
from workbench.streaming.workers import engine_mistakes

# Raised whenever the same audio and spec come to other numbers than before.
FORMAT = 2

ONSET_CHANNELS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MelSpec:
    """What is computed of a song's sound.

    Attributes:
        sample_rate: Rate that sound is brought to, Hz [4000..96000].
        n_fft: Samples of a window of the Fourier transform [64..16384].
        hop_length: Samples from one window to the next [16..8192].
        n_mels: Bands of the mel spectrogram, from 0 Hz to half the sample rate [8..256].
        onset: Add one channel behind the bands: how strongly something begins.
        columns_a_beat: Columns a beat that sound is aligned to [1..96].
    """

    sample_rate: int = 22_050
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 80
    onset: bool = True
    columns_a_beat: int = 16

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        if self.hop_length > self.n_fft:
            options.refuse([f"hop_length: {self.hop_length} is above n_fft {self.n_fft}"])

    @property
    def channels(self) -> int:
        """Numbers a column."""
        return self.n_mels + ONSET_CHANNELS * self.onset

    def fingerprint(self) -> str:
        """Return what names equal features."""
        values = {field.name: getattr(self, field.name) for field in fields(MelSpec)}
        return fingerprint(["mel", FORMAT, values])


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions(MelSpec):
    """How features are computed and kept.

    Attributes:
        workers: How many songs are computed at the same time; 1 computes them in this process, but
            for a cluster [1..].
        engine: What the workers are: `threads`, `processes` or `dask:ADDRESS`, the scheduler of a
            cluster whose machines see the same files; features are the same with any.
        shard_mb: A shard ends when it is as long, MB; what is killed loses the work since the last
            one at most [0.001..].
        budget_mb: The folder's shards take no more than this, MB; those that were asked for the
            longest ago go first; 0 is no limit [0..].
        progress: Show a progress line on the terminal.
    """

    workers: int = 1
    engine: str = "processes"
    shard_mb: float = 32.0
    budget_mb: float = 0.0
    progress: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        MelSpec.__post_init__(self)  # a class with slots is another than super() knows
        options.refuse(engine_mistakes("engine", self.engine))

    @property
    def spec(self) -> MelSpec:
        """What is computed."""
        return MelSpec(**{field.name: getattr(self, field.name) for field in fields(MelSpec)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartWindowOptions:
    """How charts are cut into windows that a writer learns from.

    Attributes:
        bars: Bars of a window, 4 beats each [1..1024].
        stride: Bars from one window to the next; 0 is as many as a window has [0..1024].
        context: Bars before a window that are read with it, and not learnt [0..64].
        most_tokens: Windows of more tokens are left out, and told; 0 is no limit [0..].
    """

    bars: int = 8
    stride: int = 0
    context: int = 0
    most_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        if self.stride > self.bars:
            options.refuse(
                [f"stride: {self.stride} is above bars {self.bars}; bars between would be lost"]
            )
