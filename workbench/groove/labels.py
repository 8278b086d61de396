"""Labels of performances: style, drummer and section, from a table, to condition a model on."""

import csv
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from workbench.errors import GrooveError
from workbench.groove.streams import LABEL_KINDS, MAX_LABELS

# Quarter notes a minute, about a tenth apart; a band of tempos is named by its least
TEMPO_BOUNDS = (66, 73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209)
TEMPOS = [str(low) for low in (0, *TEMPO_BOUNDS)]

_NAMED_STYLE = re.compile(r"(?:^|_)\d+_([a-z]+)[a-z-]*_\d+_(?:beat|fill)_\d+-\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a labels table says.

    Attributes:
        vocabulary: By kind, the values there are, sorted; value i has number i + 1, 0 is none.
        of_file: By file name, the values by kind.
    """

    vocabulary: dict[str, list[str]]
    of_file: dict[str, dict[str, str]]

    def numbers(self, names: list[str]) -> dict[str, NDArray[np.int64]]:
        """Return the label numbers of some files, by kind, each of shape (n,)."""
        found = [self._row(name) for name in names]
        return {
            kind: np.array([number_of(values, row.get(kind, "")) for row in found], np.int64)
            for kind, values in self.vocabulary.items()
        }

    def of(self, names: Iterable[str]) -> "Labels":
        """Return what is said of some files alone, with the whole vocabulary."""
        rows = {name: row for name in names if (row := self._row(name))}
        return Labels(vocabulary=self.vocabulary, of_file=rows)

    def section(self, name: str) -> str:
        """Return the section of a file: the table's word, else `fill` or `beat` by its name."""
        said = self._row(name).get("section", "")
        return said or section_in_name(name)

    def style(self, name: str) -> str:
        """Return the style of a file: the table's word, else the one in its name."""
        return self._row(name).get("style", "") or style_in_name(name)

    def _row(self, name: str) -> dict[str, str]:
        return self.of_file.get(name) or self.of_file.get(PurePosixPath(name).name) or {}


def number_of(values: list[str], value: str) -> int:
    """Return a value's number in a vocabulary, 0 where it is not in it."""
    return values.index(value) + 1 if value in values else 0


def tempo_name(bpm: float) -> str:
    """Return the name of the band that a tempo lies in, quarter notes a minute."""
    return TEMPOS[bisect_right(TEMPO_BOUNDS, bpm)]


def section_in_name(name: str) -> str:
    """Return `fill` when a file's name has that word between marks, else `beat`."""
    words = PurePosixPath(name).stem.lower().replace("-", "_").replace(" ", "_").split("_")
    return "fill" if "fill" in words else "beat"


def style_in_name(name: str) -> str:
    """Return the style in a name like `..._12_funk-rock_96_beat_4-4.mid`, or an empty one."""
    found = _NAMED_STYLE.search(PurePosixPath(name).stem.lower())
    return found[1] if found else ""


def read_labels(table: Path | None) -> Labels:
    """Read a CSV table with a column `file` and any of `style`, `drummer`, `section`.

    A file is found by its name as the list has it, or by its last part. Of a style such as
    `rock/halftime` the part before the slash is taken. `beat_type`, as the Groove MIDI Dataset
    has it, is read as `section`. No table gives no labels.

    Raises:
        GrooveError: The table cannot be read, has no such column, or too many values.
    """
    if table is None:
        return Labels(vocabulary={}, of_file={})
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            rows, columns = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GrooveError(f"{table}: no readable table of labels ({error})") from error
    renamed = {"beat_type": "section"}
    kinds = [k for k in LABEL_KINDS if k in columns or k in [renamed.get(c) for c in columns]]
    if "file" not in columns or not kinds:
        raise GrooveError(
            f"{table}: has the columns {', '.join(columns) or 'none'}; needs `file` and at least "
            f"one of {', '.join(LABEL_KINDS)}"
        )
    if not rows:
        raise GrooveError(f"{table}: the table is empty; write one file a row")
    of_file: dict[str, dict[str, str]] = {}
    for row in rows:
        values = {renamed.get(name, name): value or "" for name, value in row.items() if name}
        labels = {kind: values[kind].split("/")[0].strip() for kind in kinds}
        of_file[values["file"]] = labels
        of_file.setdefault(PurePosixPath(values["file"]).name, labels)
    vocabulary = {k: sorted({row[k] for row in of_file.values()} - {""}) for k in kinds}
    for kind, values_of_kind in vocabulary.items():
        if len(values_of_kind) > MAX_LABELS:
            raise GrooveError(
                f"{table}: {len(values_of_kind)} values of {kind}, at most {MAX_LABELS} can be told"
            )
    return Labels(vocabulary=vocabulary, of_file=of_file)
