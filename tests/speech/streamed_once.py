"""Streams datasets in a process of its own, as anyone does; every warning is an error."""

import hashlib
import json
import logging
import sys
import warnings

import datasets


class _Raised(logging.Handler):
    """Raises what a library only logs."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(f"{record.name}: {record.getMessage()}")


def told(place: str) -> dict[str, object]:
    """Return the features and the rows of a dataset, sound by its digest."""
    dataset = datasets.load_dataset(place, split="train", streaming=True)
    features = dataset.features
    rows = list(dataset.cast_column("audio", datasets.Audio(decode=False)))
    for row in rows:
        row["audio"]["bytes"] = hashlib.sha256(row["audio"]["bytes"]).hexdigest()
    return {
        "audio": type(features["audio"]).__name__,
        "sample_rate": features["audio"].sampling_rate,
        "confidence": features["confidence_score"].dtype,
        "rows": rows,
    }


def main() -> None:
    warnings.simplefilter("error")
    handler = _Raised(logging.WARNING)
    for name in ("datasets", "huggingface_hub", "fsspec"):
        logging.getLogger(name).addHandler(handler)
    sys.stdout.write(json.dumps([told(place) for place in sys.argv[1:]]))


if __name__ == "__main__":
    main()
