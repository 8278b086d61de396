"""What a command answers: values for programs, text for people, and an exit code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer of a command.

    Attributes:
        values: What `--json` prints; made of JSON's kinds.
        text: What is printed otherwise; a line a value when empty.
        code: Exit code, 0 only when everything asked for was done.
    """

    values: Mapping[str, Any]
    text: str = ""
    code: int = 0

    def rendered(self, *, as_json: bool) -> str:
        """Return what is printed."""
        if as_json:
            return json.dumps(self.values, ensure_ascii=False, allow_nan=False)
        return self.text or "\n".join(f"{key}: {_told(v)}" for key, v in self.values.items())


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
