"""Trains writers of maps in processes of their own: `python train_maps_once.py JSON`.

Told are the corpus, and runs: each a folder, options, options of the data, and steps at which it is
killed, one after another, before it is left alone; or that it is not killed, and so is this very
process, which Lightning starts again for each further rank. Processes that are killed are forked
from one that has imported everything, which takes longer than the work.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from drum_corpora import CUT, SPEC, TINY, data_of
from lightning.pytorch.callbacks import Callback

from workbench.beatmap.writer.training import train


class Records(Callback):
    """Writes a line for each batch: its number, the rank, the loss, the windows."""

    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        number, loss = len(module.losses) - 1, float(module.losses[-1]).hex()
        windows = ",".join(map(str, batch["window"].tolist()))
        with self.path.open("a") as out:
            out.write(f"{number} {trainer.global_rank} {loss} {windows}\n")


def run(root, told, show=lambda progress: None, *callbacks):
    """Train as told; return what training gave."""
    folder = Path(told["folder"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    data = data_of(root, **told.get("data", {}))
    options = replace(TINY, **told.get("options", {}))
    records = Records(folder.with_suffix(".txt"))
    return train(data, SPEC.spec, folder, options, show, cut=CUT, callbacks=[records, *callbacks])


def killed(root, told, step):
    """Train in a process of its own and kill it at a step, or a batch later."""
    mine, its = os.pipe()
    pid = os.fork()
    if pid == 0:
        run(root, told, lambda progress: os.write(its, progress.done.to_bytes(4, "big")))
        os._exit(0)
    os.close(its)
    while int.from_bytes(os.read(mine, 4) or b"\xff" * 4, "big") < step:
        pass
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(mine)
    assert os.WIFSIGNALED(status), "it ended before it was killed"


def main():
    told = json.loads(sys.argv[1])
    for each in told["runs"]:
        if "kills" not in each:
            trained = run(Path(told["root"]), each)
            if trained.is_first:
                held = [look.nats_per_note for look in trained.history]
                Path(each["folder"]).with_suffix(".json").write_text(json.dumps(held))
        for step in each.get("kills", ()):
            killed(Path(told["root"]), each, step)


if __name__ == "__main__":
    main()
