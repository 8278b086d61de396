"""Makes groove_sample.json: what a small invented corpus, its model and its samples come to.

`python tests/golden/groove_sample.py` writes it anew after a change that is meant to change them.
If nothing was changed and a digest differs on another machine, then that machine's numbers do:
the first stage that differs tells where (the corpus, the model's counts, its numbers, a sample).
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.sample import sample
from workbench.groove.train import train
from workbench.streaming.filelist import walked

SAMPLES = {
    "steps": SampleOptions(bars=8, seed=1),
    "events": SampleOptions(bars=8, seed=1, stream="events"),
    "hot": SampleOptions(bars=8, seed=2, temperature=0.7, temperature_end=1.9, top_p=0.9),
    "funk": SampleOptions(bars=8, seed=3, style="funk", section="beat", bpm=96.0),
    "waltz": SampleOptions(bars=8, seed=4, metre="3/4", top_k=6, timing=0.5, velocity=0.7),
}


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of each stage, made in an empty folder."""
    corpus = make_drum_corpus(folder / "corpus", DrumCorpusOptions(files=40, seed=11, most_bars=12))
    options = TrainOptions(labels=corpus.folder / "labels.csv", progress=False)
    model = train(walked(corpus.folder, (".mid",)), folder / "model", options).model
    found = {
        "corpus": _digest(path.read_bytes() for path in corpus.paths),
        "counts": _digest(path.read_bytes() for path in sorted(model.folder.glob("*.npy"))),
        "numbers": _digest([json.dumps(model.description["streams"], sort_keys=True).encode()]),
    }
    return found | {name: _digest([sample(model, o).midi]) for name, o in SAMPLES.items()}


def _digest(parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        text = json.dumps(digests(Path(place)), indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text)
    sys.stdout.write(text)
