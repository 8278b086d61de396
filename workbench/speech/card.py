"""The card of a gathered dataset: what the hub and `datasets` read, and what people read.

What others wrote into a card stays: only the keys and the marked part that are made here are
replaced. Source of the keys: the hub's documentation of dataset cards.
"""

import re
from typing import Any

import yaml

from workbench.speech.rows import features
from workbench.speech.state import DATA, GatherState

CARD_NAME = "README.md"

_BEGIN, _END = "<!-- gathered: made anew with every shard -->", "<!-- end of gathered -->"
_FENCE = "---\n"
_FRONT = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


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
    begin = text.rfind(_BEGIN)
    end = text.find(_END, begin) if begin >= 0 else -1
    if end >= 0:
        before, after = text[:begin], text[end + len(_END) :].removeprefix("\n")
    elif text.strip():
        before, after = text.rstrip("\n") + "\n\n", ""
    else:
        before, after = f"# {_heading(title)}\n\n", ""
    front = yaml.safe_dump(keys, sort_keys=False, allow_unicode=True)
    return f"{_FENCE}{front}{_FENCE}\n{before}{made}{after}"


def _keys(state: GatherState, sample_rate: int | None) -> dict[str, Any]:
    files = [f"{DATA}/train-*.parquet"]
    rows, size = state.rows, state.size
    if state.older_rows:  # wherever below they are; they come first, as their ids do
        files = [f"{DATA}/*/**/*.parquet", f"{DATA}/*.parquet"]
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
            f"| {_cell(source.name)} | {source.revision[:12] or '-'} | {source.kept} | "
            f"{source.seconds / 3600:.2f} | {source.transcribed} | {skipped or '-'} | "
            f"{'whole' if source.is_done else 'in progress'} |"
        )
    for name, count in state.older_rows.items():
        lines.append(f"| {_cell(name)} | - | {count} | - | - | - | gathered by an older program |")
    return "\n".join(lines) + "\n"


def _parted(older: str) -> tuple[dict[str, Any], str]:
    """Return the keys and the text of a card; one without keys is text alone."""
    found = _FRONT.match(older)
    if found is None:
        return {}, older
    try:
        keys = yaml.safe_load(found[1]) or {}
    except (yaml.YAMLError, ValueError):  # a date as 2024-13-01 is a ValueError
        return {}, older
    text = older[found.end() :].removeprefix("\r").removeprefix("\n")
    return (keys, text) if isinstance(keys, dict) else ({}, older)


def _cell(text: str) -> str:
    """Return a text that stays within its cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _heading(title: str) -> str:
    return title.rstrip("/").rpartition("/")[2]
