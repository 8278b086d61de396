"""The card of a gathered dataset: what the hub and `datasets` read, and what people read.

What others wrote into a card stays: only the keys and the marked part that are made here are
replaced. Source of the keys: the hub's documentation of dataset cards.
"""

from typing import Any

import yaml

from workbench.speech.rows import features
from workbench.speech.state import DATA, GatherState

CARD_NAME = "README.md"

_BEGIN, _END = "<!-- gathered: made anew with every shard -->", "<!-- end of gathered -->"
_FENCE = "---\n"


def card(state: GatherState, title: str, sample_rate: int | None, older: str = "") -> str:
    """Return the card of a dataset.

    Args:
        state: What it holds.
        title: What a new card is headed with.
        sample_rate: Of all sound, Hz, or None where it varies.
        older: The present card, or nothing.
    """
    keys, text = _parted(older)
    keys = keys | _keys(state, sample_rate)
    made = f"{_BEGIN}\n{_summary(state)}{_END}\n"
    if _BEGIN in text and _END in text:
        before, _, rest = text.partition(_BEGIN)
        after = rest.partition(_END)[2].removeprefix("\n")
    elif text.strip():
        before, after = text.rstrip("\n") + "\n\n", ""
    else:
        before, after = f"# {_heading(title)}\n\n", ""
    front = yaml.safe_dump(keys, sort_keys=False, allow_unicode=True)
    return f"{_FENCE}{front}{_FENCE}\n{before}{made}{after}"


def _keys(state: GatherState, sample_rate: int | None) -> dict[str, Any]:
    files = [f"{DATA}/train-*.parquet"]
    rows, size = state.rows, state.size
    if state.older_rows:
        files.append(f"{DATA}/train/*.parquet")
        rows += sum(state.older_rows.values())
    keys: dict[str, Any] = {"task_categories": ["automatic-speech-recognition"]}
    if language := state.settings.get("language"):
        keys["language"] = [language]
    keys["configs"] = [
        {"config_name": "default", "data_files": [{"split": "train", "path": files}]}
    ]
    keys["dataset_info"] = {
        "features": _features(sample_rate),
        "splits": [{"name": "train", "num_bytes": size, "num_examples": rows}],
        "download_size": size,
        "dataset_size": size,
    }
    return keys


def _features(sample_rate: int | None) -> list[dict[str, Any]]:
    """Return the columns as cards name them: a list of names and kinds."""
    listed: list[dict[str, Any]] = []
    for name, kind in features(sample_rate).items():
        if kind.get("_type") == "Audio":
            rate = {} if sample_rate is None else {"sampling_rate": sample_rate}
            listed.append({"name": name, "dtype": {"audio": rate} if rate else "audio"})
        elif "_type" in kind:
            listed.append({"name": name, "dtype": kind["dtype"]})
        else:
            inner = [{"name": child, "dtype": value["dtype"]} for child, value in kind.items()]
            listed.append({"name": name, "struct": inner})
    return listed


def _summary(state: GatherState) -> str:
    """Return what was gathered, as a table a source."""
    lines = [
        f"{state.rows} clips, {sum(s.seconds for s in state.sources) / 3600:.2f} hours, in "
        f"{state.shards} shards.",
        "",
        "| source | revision | clips | hours | transcribed | left out | state |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    for source in state.sources:
        skipped = ", ".join(f"{count} {reason}" for reason, count in source.skipped.items())
        lines.append(
            f"| {source.name} | {source.revision[:12] or '-'} | {source.kept} | "
            f"{source.seconds / 3600:.2f} | {source.transcribed} | {skipped or '-'} | "
            f"{'whole' if source.is_done else 'in progress'} |"
        )
    for name, count in state.older_rows.items():
        lines.append(f"| {name} | - | {count} | - | - | - | gathered by an older program |")
    return "\n".join(lines) + "\n"


def _parted(older: str) -> tuple[dict[str, Any], str]:
    """Return the keys and the text of a card; one without keys is text alone."""
    if not older.startswith(_FENCE):
        return {}, older
    front, fence, text = older.removeprefix(_FENCE).partition("\n" + _FENCE)
    try:
        keys = yaml.safe_load(front) if fence else None
    except yaml.YAMLError:
        keys = None
    return (keys, text.removeprefix("\n")) if isinstance(keys, dict) else ({}, older)


def _heading(title: str) -> str:
    return title.rstrip("/").rpartition("/")[2]
