"""How much of a machine a training makes use of.

Told are the share of the time in which a step waits for its batch, steps and operations a second,
and the share of the operations a second that plain products of matrices reach on the same machine,
which is measured beside. Operations are those that PyTorch counts of a step, forward and backward.

Source: model FLOPs utilisation as Chowdhery et al. (2022) define it, without recomputation.
"""

import time
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.flop_counter import FlopCounterMode

_PEAK_SIZE = 2048
_PEAK_SECONDS = 0.3


class Throughput(Callback):
    """Measures a training; looks at what is held out do not count."""

    def __init__(self, work: Callable[[pl.LightningModule, Any], None] | None = None):
        """Take what a step does.

        Args:
            work: Does it for a module and a batch, so that its operations can be counted; the
                gradients that it leaves are dropped. Nothing is counted without.
        """
        self._work = work
        self._by_shape: dict[tuple[int, ...], float] = {}
        self._flops = self._waited = self._worked = 0.0
        self._steps = 0
        self._mark = time.perf_counter()
        self._peak = 0.0

    @property
    def wait_share(self) -> float:
        """Share of the time in which steps waited for their batches."""
        return self._waited / max(self._waited + self._worked, 1e-9)

    def numbers(self) -> dict[str, float]:
        """Return what was measured, by name."""
        seconds = max(self._waited + self._worked, 1e-9)
        told = {"steps_per_second": self._steps / seconds, "data_wait_share": self.wait_share}
        if self._peak:
            told["flops_per_second"] = self._flops / max(self._worked, 1e-9)
            told["peak_flops_per_second"] = self._peak
            told["mfu"] = told["flops_per_second"] / self._peak
        return told

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to wait for the first batch."""
        if self._work is not None:
            kind = torch.bfloat16 if "bf16" in str(trainer.precision) else torch.float32
            self._peak = matmul_flops(pl_module.device, kind)
        self._mark = time.perf_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch, which is here."""
        self._waited += time.perf_counter() - self._mark
        if self._work is not None:
            self._flops += self._counted(pl_module, batch)
        _settled(pl_module.device)
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Count the step."""
        _settled(pl_module.device)
        self._worked += time.perf_counter() - self._mark
        self._steps += 1
        self._mark = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to wait anew."""
        self._mark = time.perf_counter()

    def _counted(self, module: pl.LightningModule, batch: Any) -> float:
        assert self._work is not None
        shape = tuple(size for value in batch.values() for size in getattr(value, "shape", ()))
        if shape not in self._by_shape:
            kept = [parameter.grad for parameter in module.parameters()]
            with FlopCounterMode(display=False) as counter, torch.random.fork_rng():
                self._work(module, batch)
            for parameter, gradient in zip(module.parameters(), kept, strict=True):
                parameter.grad = gradient
            self._by_shape[shape] = float(counter.get_total_flops())
        return self._by_shape[shape]


def matmul_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return how many operations a second products of large matrices reach.

    Args:
        device: Where.
        dtype: Of which numbers.
    """
    one = torch.ones(_PEAK_SIZE, _PEAK_SIZE, device=device, dtype=dtype)
    best, begun = 0.0, time.perf_counter()
    while time.perf_counter() - begun < _PEAK_SECONDS:
        _settled(device)
        start = time.perf_counter()
        torch.mm(one, one)
        _settled(device)
        best = max(best, 2 * _PEAK_SIZE**3 / (time.perf_counter() - start))
    return best


def _settled(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
