"""Options of the smallest networks that learn, and what they learn from, for the tests here."""

from corpora import files_of

from workbench.groove.options import TokenizeOptions
from workbench.groove.tokenize import tokenize

TINY = {
    "steps": 12,
    "batch_rows": 4,
    "width": 8,
    "layers": 1,
    "heads": 2,
    "validate_every": 5,
    "save_every": 2,
    "warm_up": 2,
    "threads": 1,
    "log_every": 0,
    "progress": False,
    "accelerator": "cpu",
}


def tokens_of(corpus, output, **options):
    """Tokenize an invented corpus with its labels."""
    labels = corpus.folder / "labels.csv"
    options = {"labels": labels, "held_out": 0.2, "shard_rows": 64} | options
    return tokenize(files_of(corpus.folder), output, TokenizeOptions(**options))
