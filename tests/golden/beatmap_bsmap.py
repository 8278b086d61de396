"""Makes beatmap_bsmap.json: objects counted and notes timed by npm bsmap 2.2.9.

`npm install bsmap@2.2.9` in a folder; `python tests/golden/beatmap_bsmap.py FOLDER` writes it anew.
It asks about the maps beside the checkout, of which it keeps numbers alone, and about those of
tests/beatmap/made_maps.py. Files come to bsmap as plain text: it unpacks nothing. It knows no
layout that wraps its content either, so that it is given the content.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data" / "beatsaber"
sys.path.insert(0, str(HERE.parent / "beatmap"))

import made_maps  # noqa: E402

from workbench.beatmap.maps.documents import document_of, plain  # noqa: E402


def asked() -> list[dict[str, object]]:
    """Return name, tempo of the Info and text of each difficulty."""
    files = [
        (f"{path.parent.name}/{path.name}", 208.0 if "sample" in path.parent.name else 120.0, data)
        for path in sorted(DATA.glob("**/*.dat"))
        if (data := path.read_bytes()) and is_difficulty(path.name)
    ]
    for name, level in made_maps.MADE.items():
        bpm = 100.0 if name == "tempo_from_below" else 120.0
        files.append((f"made/{name}", bpm, level["Expert.dat"]))
    return [{"name": n, "bpm": bpm, "text": text_of(data)} for n, bpm, data in files]


def is_difficulty(name: str) -> bool:
    """Return whether a file beside the checkout is a difficulty, by its name."""
    others = ("info", "bpminfo", "audiodata", "unlitbomb")
    lights = name.lower().endswith("lightshow.dat") and not name.startswith(
        ("Easy", "Normal", "Hard", "Expert")
    )
    return not lights and name != "LightshowPlus.dat" and Path(name).stem.lower() not in others


def text_of(data: bytes) -> str:
    """Return a file as bsmap takes it."""
    text = plain(data, "")
    document = document_of(text)
    if document is not None and document.is_wrapped:
        return json.dumps({"version": document.version, **document.tree()["content"]})
    return text.decode()


if __name__ == "__main__":
    command = ["node", str(HERE / "beatmap_bsmap.mjs"), str(Path(sys.argv[1]).resolve())]
    done = subprocess.run(
        command, input=json.dumps(asked()), text=True, capture_output=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])  # above it stands its log
    lines = [f" {json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found)]
    HERE.joinpath("beatmap_bsmap.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
