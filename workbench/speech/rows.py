"""The rows of a gathered dataset: their schema, and how cleaned clips become such rows.

Source of the schema's metadata: the `datasets` library, which knows by it that a column is sound.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

RAW_COLUMNS = ("audio.bytes",)
NO_SPEAKER = "SPK_UNKNOWN"

_FIELDS = [
    ("ID", pa.string()),
    ("speaker_id", pa.string()),
    ("Language", pa.string()),
    ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ("transcript", pa.string()),
    ("length", pa.float32()),
    ("dataset_name", pa.string()),
    ("confidence_score", pa.float32()),
    ("source_ref", pa.struct([("file", pa.string()), ("row", pa.int64())])),
]


def features(sample_rate: int | None) -> dict[str, Any]:
    """Return the columns as `datasets` names them.

    Args:
        sample_rate: Of all sound, Hz, or None where it varies.
    """
    audio: dict[str, Any] = {"_type": "Audio"}
    if sample_rate is not None:
        audio["sampling_rate"] = sample_rate
    told: dict[str, Any] = {}
    for name, kind in _FIELDS:
        if name == "audio":
            told[name] = audio
        elif pa.types.is_struct(kind):
            told[name] = {child.name: _value(child.type) for child in kind}
        else:
            told[name] = _value(kind)
    return told


def schema(sample_rate: int | None) -> pa.Schema:
    """Return the Arrow schema of the rows.

    Args:
        sample_rate: Of all sound, Hz, or None where it varies.
    """
    told = json.dumps({"info": {"features": features(sample_rate)}})
    return pa.schema(_FIELDS, metadata={"huggingface": told})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a batch of clips is from.

    Attributes:
        dataset_name: Name of the source.
        file: Name of the file.
        row: Row of the file that index 0 of the batch stands for.
    """

    dataset_name: str
    file: str
    row: int


def numbered(
    cleaned: pa.RecordBatch,
    said: Sequence[tuple[str, float]],
    origin: Origin,
    *,
    schema: pa.Schema,
    first_id: int,
    language: str,
    suffix: str,
) -> pa.RecordBatch:
    """Return cleaned clips as rows of the dataset.

    Args:
        cleaned: Clips, of the schema CLEANED.
        said: Transcript and confidence (0 to 1) of each, with sentinels where nobody knows.
        origin: Where they are from.
        schema: Of the rows.
        first_id: Number of the first row's id.
        language: Language of clips that tell none.
        suffix: Ending of the clips' names; empty where they have no names.
    """
    ids = [f"S{number}" for number in range(first_id, first_id + cleaned.num_rows)]
    paths = [name + suffix for name in ids] if suffix else [None] * len(ids)
    audio = [cleaned["audio"], pa.array(paths, pa.string())]
    rows = np.asarray(cleaned["index"], np.int64) + origin.row
    reference = [pa.array([origin.file] * len(ids), pa.string()), pa.array(rows)]
    name = origin.dataset_name
    speakers = [speaker_id(name, speaker) for speaker in cleaned["speaker"].to_pylist()]
    columns = [
        pa.array(ids, pa.string()),
        pa.array(speakers, pa.string()),
        cleaned["language"].fill_null(language),
        pa.StructArray.from_arrays(audio, ["bytes", "path"]),
        pa.array([transcript for transcript, _ in said], pa.string()),
        cleaned["seconds"].cast(pa.float32()),
        pa.array([name] * len(ids), pa.string()),
        pa.array([confidence for _, confidence in said], pa.float32()),
        pa.StructArray.from_arrays(reference, ["file", "row"]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def speaker_id(dataset_name: str, speaker: str | None) -> str:
    """Return the id of a speaker: the same in every run, and apart from those of other sources.

    Args:
        dataset_name: Name of the source.
        speaker: What the source calls the speaker, or None.
    """
    if not speaker:
        return NO_SPEAKER
    digest = hashlib.blake2b(f"{dataset_name}\0{speaker}".encode(), digest_size=6)
    return f"SPK_{digest.hexdigest()}"


def _value(kind: pa.DataType) -> dict[str, str]:
    names = {"float": "float32"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}
