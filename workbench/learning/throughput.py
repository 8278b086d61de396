"""How much of a machine a training makes use of.

Told are the share of the time in which a step waits for its batch, steps and operations a second,
and the share of the operations a second that plain products of matrices reach on the same machine,
which is measured beside. Operations are those that PyTorch counts of a step, forward and backward;
it leaves out attention on a processor, which is counted here as it counts that on a GPU.

Source: model FLOPs utilisation as Chowdhery et al. (2022) define it, without recomputation.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

_PEAK_SIZES = {"cpu": 1024, "cuda": 8192}
_PEAK_SECONDS = 0.1

Shape = tuple[int, ...]


class Throughput(Callback):
    """Measures a training; looks at what is held out, checkpoints and callbacks do not count.

    Attributes:
        last: Must be called too, behind all other callbacks.
    """

    def __init__(self, work: Callable[[pl.LightningModule, Any], None] | None = None):
        """Take what a step does.

        Args:
            work: Does it for a module and a batch, so that its operations can be counted; the
                gradients that it leaves are dropped. Nothing is counted without.
        """
        self.last: Callback = _Last(self._wait_on)
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

    def _wait_on(self) -> None:
        self._mark = time.perf_counter()

    def _counted(self, module: pl.LightningModule, batch: Any) -> float:
        assert self._work is not None
        shape = tuple(size for value in batch.values() for size in getattr(value, "shape", ()))
        if shape not in self._by_shape:
            kept = [parameter.grad for parameter in module.parameters()]
            module.zero_grad()  # what is kept would be added to in place
            with torch.random.fork_rng():
                flops = flops_of(partial(self._work, module, batch))
            for parameter, gradient in zip(module.parameters(), kept, strict=True):
                parameter.grad = gradient
            self._by_shape[shape] = flops
        return self._by_shape[shape]


class _Last(Checkpoint):
    """Tells when a step, or a look, is over for all; Lightning calls checkpoints last, in order."""

    def __init__(self, over: Callable[[], None]):
        self._over = over

    def on_train_batch_end(self, *_: Any) -> None:
        self._over()

    def on_validation_end(self, *_: Any) -> None:
        self._over()


def flops_of(work: Callable[[], Any]) -> float:
    """Return the operations of some work, forward and backward."""
    own = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=own) as counter:
        work()
    return float(counter.get_total_flops())


def _attention(queries: Shape, keys: Shape, values: Shape, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(queries, keys, values))  # type: ignore[no-untyped-call]


def _attention_backward(
    gradient: Shape, queries: Shape, keys: Shape, values: Shape, *_: Any, **__: Any
) -> int:
    shapes = (gradient, queries, keys, values)
    return int(sdpa_backward_flop_count(*shapes))  # type: ignore[no-untyped-call]


def matmul_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return how many operations a second products of large matrices reach.

    Args:
        device: Where.
        dtype: Of which numbers.
    """
    size = _PEAK_SIZES[device.type]
    one = torch.ones(size, size, device=device, dtype=dtype)
    torch.mm(one, one)  # the first pays for what libraries begin with
    _settled(device)
    best, begun = 0.0, time.perf_counter()
    while time.perf_counter() - begun < _PEAK_SECONDS:
        _settled(device)
        start = time.perf_counter()
        torch.mm(one, one)
        _settled(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def _settled(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
