"""A training of a few numbers by Lightning, in a process of its own, alone or with others.

`python training.py JSON`: told are the shards (a folder or a list), folders, steps, ranks, workers
and a checkpoint to go on from. Each rank appends a line `step rank loss samples` for each step, so
that what was trained on is known after a kill.
"""

import json
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from workbench.learning.stream import ParquetStream, StreamSettings
from workbench.streaming.footer import with_rows
from workbench.streaming.listing import open_source
from workbench.streaming.options import WindowOptions

QUICK = WindowOptions(ahead=2, min_free_bytes=0, wait_seconds=20, timeout_seconds=5)


def numbers_of(samples):
    """Return the numbers of some samples; a random number of each is a function of its place."""
    numbers = torch.from_numpy(samples.rows["number"].to_numpy().copy())
    places = torch.from_numpy(samples.places)
    noise = torch.sin(places * 12.9898 + samples.epoch * 78.233)
    return {"number": numbers, "noise": noise.float()}


class Line(pl.LightningModule):
    """A line through noisy numbers, with a state of its optimiser worth keeping."""

    def __init__(self, log, rank):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
        self.log_path, self.rank = log, rank

    def training_step(self, batch, index):
        """Fit, and write down what was trained on."""
        wanted = (batch["number"].float() / 100 + batch["noise"])[:, None]
        loss = torch.nn.functional.mse_loss(
            self.line(batch["number"].float()[:, None] / 50), wanted
        )
        with self.log_path.open("a") as log:
            samples = ",".join(map(str, batch["number"].tolist()))
            log.write(f"{self.global_step} {self.global_rank} {loss.item():.9e} {samples}\n")
        return loss

    def configure_optimizers(self):
        """Return an optimiser with momenta."""
        return torch.optim.Adam(self.parameters(), lr=0.05)


class Feed(pl.LightningDataModule):
    """The stream of this rank."""

    def __init__(self, told):
        super().__init__()
        self.told = told

    def train_dataloader(self):
        """Return the loader."""
        source = with_rows(open_source(self.told["source"]))
        settings = StreamSettings(
            batch_rows=8, seed=3, rank=self.trainer.global_rank, world=self.trainer.world_size
        )
        stream = ParquetStream(source, Path(self.told["folder"]), numbers_of, settings, QUICK)
        return stream.loader(self.told.get("workers", 0))


def train(told):
    """Train as told."""
    warnings.filterwarnings("ignore", ".*(num_workers|log_every|sync_dist|logger).*")
    torch.set_num_threads(1)
    pl.seed_everything(1, verbose=False)
    out = Path(told["out"])
    out.mkdir(parents=True, exist_ok=True)
    when = {"every_n_epochs": 1} if told.get("every_epoch") else {"every_n_train_steps": 1}
    saves = ModelCheckpoint(out, filename="{step}", save_top_k=-1, **when)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=told.get("ranks", 1),
        strategy="ddp" if told.get("ranks", 1) > 1 else "auto",
        max_steps=told.get("steps", -1),
        max_epochs=told.get("epochs"),
        callbacks=[saves] if told.get("saves", True) else [],
        enable_checkpointing=told.get("saves", True),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Line(out / "log.txt", 0)
    trainer.fit(module, Feed(told), ckpt_path=told.get("checkpoint"), weights_only=True)


if __name__ == "__main__":
    train(json.loads(sys.argv[1]))
