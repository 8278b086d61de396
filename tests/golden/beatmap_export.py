"""Makes beatmap_export.json: what npm bsmap 2.2.9 says of exported levels, and of jumps.

Written anew by `npm install bsmap@2.2.9` in a folder and `python beatmap_export.py FOLDER`.
Of each file it keeps the SHA-256, so that a test knows whether it is the one that was judged. A
file with a fault is judged beside those of each format, which shows that bsmap looks at all.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "beatmap"))

import export_plans  # noqa: E402

from workbench.beatmap.maps.export import map_files  # noqa: E402

JUMPS = [
    [bpm, njs, offset]
    for bpm in (60.0, 92.49, 120.0, 174.3, 240.0)
    for njs in (6.0, 10.0, 12.0, 16.0, 18.5, 24.0)
    for offset in (-1.0, 0.0, 0.5)
]


def asked() -> tuple[list[dict[str, object]], dict[str, str]]:
    """Return the files to judge, and the SHA-256 of each."""
    files, digests = [], {}
    for format_ in (2, 3, 4):
        made = map_files(export_plans.full_plan(format_), format_)
        bad = export_plans.injected(
            "time as string", map_files(export_plans.plan(), format_), format_
        )
        for file, content in {**made, "faulty.dat": bad[export_plans.CHART]}.items():
            if file.endswith(".dat"):
                kinds = {
                    "Info.dat": ("info", 4 if format_ == 4 else 2),
                    "AudioData.dat": ("audioData", 4),
                    "Lightshow.dat": ("lightshow", 4),
                }
                kind, version = kinds.get(file, ("difficulty", format_))
                name = f"v{format_}/{file}"
                text = content.decode()
                files.append({"name": name, "type": kind, "version": version, "text": text})
                digests[name] = hashlib.sha256(content).hexdigest()
    return files, digests


if __name__ == "__main__":
    judged, digests = asked()
    done = subprocess.run(
        ["node", str(HERE / "beatmap_export.mjs"), str(Path(sys.argv[1]).resolve())],
        input=json.dumps({"files": judged, "jumps": JUMPS}),
        text=True,
        capture_output=True,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])  # above it stands its log
    golden = {
        "files": {n: {"sha256": digests[n], "issues": said["issues"][n]} for n in sorted(digests)},
        "jumps": [
            {"bpm": bpm, "njs": njs, "offset": offset, "says": says}
            for (bpm, njs, offset), says in zip(JUMPS, said["jumps"], strict=True)
        ],
    }
    lines = [f' "files": {json.dumps(golden["files"], indent=2)}']
    lines.append(' "jumps": [\n  ' + ",\n  ".join(map(json.dumps, golden["jumps"])) + "\n ]")
    HERE.joinpath("beatmap_export.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
