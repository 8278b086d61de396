"""Options of gathering; the command line and the notebook's parameters follow them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import options
from workbench.speech.audio import AudioOptions
from workbench.streaming.options import RetryOptions
from workbench.streaming.workers import engine_mistakes
from workbench.streaming.writer import ShardLimits

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

# What a row is made of; a dataset is gathered with one setting of these.
_SETTINGS = (
    "language",
    "sample",
    "sample_size",
    "standardization",
    "sample_rate",
    "target_db",
    "volume_norm",
    "trim",
    "flac",
    "enable_stt",
    "stt_engines",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherOptions:
    """How speech is gathered into one dataset.

    Attributes:
        fresh: Start a new generation: what the target holds is deleted, in one act.
        append: Add further sources behind what the target holds; ids go on.
        all: Gather every source that has a name, in the order of their names.
        language: Keep only rows of this language, as th; empty keeps all.
        sample: Gather only the first rows of each source.
        sample_size: How many rows of each source a sample keeps [1..].
        streaming_batch_size: Rows read, cleaned and transcribed at a time [1..].
        upload_batch_size: Rows of a shard at most [1..].
        shard_size: Bytes of a shard at most, as 500MB or 5GB.
        standardization: Make all sound mono, 16-bit, of one rate and level; without, its bytes are
            checked and pass unchanged.
        sample_rate: Sample rate after standardization, Hz [8000..48000].
        target_db: Level after standardization, dBFS RMS [-60..0].
        volume_norm: Bring every clip to the target level.
        trim: Cut silence at both ends of a clip, 30 dB below its loudest part.
        flac: Write sound as FLAC, about half the bytes, instead of WAV.
        private: A repository that is made is private.
        workers: Workers that clean sound; rows are the same with any number [1..].
        engine: What the workers are: `threads` or `processes`, of which 1 is this one, or
            `dask:ADDRESS`, the scheduler of a cluster whose machines see the same files; rows are
            the same with any.
        enable_stt: Write transcripts that are missing by speech-to-text.
        stt_engines: Which engines, by commas; the surest answer wins. pocketsphinx,
            transformers:MODEL or package.module:function.
        stt_batch_size: Clips an engine is given at a time [1..].
        checkpoint: A checkpoint of the older program, compared with what the target holds.
        accept_legacy: Go on behind a dataset of the older program by a recount of its rows.
        dry_run: Tell what would be done, and change nothing.
        attempts: How many times a request is made at most [1..].
        retry_wait: Wait before a second attempt, seconds; doubles each time [0..].
        timeout: How long a connection may stay silent, seconds [0.1..].
        work_dir: Folder for files on their way; within the target folder, or in the user's cache,
            when not given.
    """

    fresh: bool = False
    append: bool = False
    all: bool = False
    language: str = "th"
    sample: bool = False
    sample_size: int = 5
    streaming_batch_size: int = 100
    upload_batch_size: int = 10_000
    shard_size: str = "5GB"
    standardization: bool = True
    sample_rate: int = 16_000
    target_db: float = -20.0
    volume_norm: bool = True
    trim: bool = True
    flac: bool = False
    private: bool = False
    workers: int = 1
    engine: str = "threads"  # decoders let go of the interpreter, and no sound is copied
    enable_stt: bool = False
    stt_engines: str = (
        "transformers:airesearch/wav2vec2-large-xlsr-53-th,transformers:openai/whisper-large-v3"
    )
    stt_batch_size: int = 16
    checkpoint: Path | None = None
    accept_legacy: bool = False
    dry_run: bool = False
    attempts: int = 8
    retry_wait: float = 1.0
    timeout: float = 30.0
    work_dir: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            OptionsError: With every mistake, one a line.
        """
        options.check(self)
        found = engine_mistakes("engine", self.engine)
        if self.fresh and self.append:
            found.append("fresh and append: one deletes what the other adds to; give one of them")
        if self.flac and not self.standardization:
            found.append("flac: is made by standardization; leave --no-standardization out")
        if self.checkpoint is not None and not self.accept_legacy:
            found.append(
                "checkpoint: the position in it cannot be trusted, so it is only compared with a "
                "recount of what the target holds; give --accept-legacy with it"
            )
        if not _SIZE.fullmatch(self.shard_size.strip()) or self.limits.size < 1:
            found.append(f"shard_size: {self.shard_size!r} is no size; want as 500MB or 5GB")
        options.refuse(found)

    @property
    def audio(self) -> AudioOptions:
        """How each clip is cleaned."""
        return AudioOptions(
            standardization=self.standardization,
            sample_rate=self.sample_rate,
            target_db=self.target_db,
            volume_norm=self.volume_norm,
            trim=self.trim,
            flac=self.flac,
        )

    @property
    def limits(self) -> ShardLimits:
        """Where shards end."""
        found = _SIZE.fullmatch(self.shard_size.strip())
        size = round(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
        return ShardLimits(rows=self.upload_batch_size, size=size)

    @property
    def retries(self) -> RetryOptions:
        """How patient transfers are."""
        return RetryOptions(
            attempts=self.attempts,
            first_wait_seconds=self.retry_wait,
            timeout_seconds=self.timeout,
        )

    def settings(self) -> dict[str, Any]:
        """Return what the rows are made of; a dataset holds rows of one setting."""
        return {name: getattr(self, name) for name in _SETTINGS}
