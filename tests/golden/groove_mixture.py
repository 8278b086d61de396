"""Makes groove_mixture.json: what the mixture of a small invented corpus and its samples come to.

`python tests/golden/groove_mixture.py` writes it anew after a change that is meant to change them.
If nothing was changed and a digest differs on another machine, then that machine's numbers do:
the first stage that differs tells where (the corpus, the counts, what is fitted, a sample).
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
    "cold": SampleOptions(bars=8, seed=2, temperature=0.7, top_p=0.9),
    "waltz": SampleOptions(bars=8, seed=4, metre="3/4", lead_in=0),
}


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of each stage, made in an empty folder."""
    corpus = make_drum_corpus(folder / "corpus", DrumCorpusOptions(files=30, seed=12, most_bars=12))
    options = TrainOptions(model="mixture", progress=False)
    model = train(walked(corpus.folder, (".mid",)), folder / "model", options).model
    stages = {
        "corpus": [path.read_bytes() for path in corpus.paths],
        "pieces": [(model.folder / "pieces.keys.npy").read_bytes()],
        "counts": [(model.folder / f"mixture.{n}.npy").read_bytes() for n in ("keys", "counts")],
        "fitted": [(model.folder / "mixture.fitted.npy").read_bytes()],
    }
    stages |= {name: [sample(model, o).midi] for name, o in SAMPLES.items()}
    return {name: hashlib.sha256(b"".join(parts)).hexdigest() for name, parts in stages.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        text = json.dumps(digests(Path(place)), indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text)
    sys.stdout.write(text)
