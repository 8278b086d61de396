"""What a training makes use of a machine: operations counted by hand, waits that were made."""

import time

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch.nn import functional

from workbench.learning.throughput import Throughput, flops_of, matmul_flops


@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_on_a_processor_is_counted_forward_and_backward(is_causal):
    queries = torch.randn(2, 4, 10, 16, requires_grad=True)
    keys, values = torch.randn(2, 2, 4, 20, 16, requires_grad=True)
    forward = 2 * 2 * (2 * 4 * 10 * 20 * 16)  # two products; a multiplication and an addition

    def attend():
        return functional.scaled_dot_product_attention(queries, keys, values, is_causal=is_causal)

    assert flops_of(attend) == forward
    assert flops_of(lambda: attend().sum().backward()) == forward + 5 / 2 * forward


class Slow(pl.LightningModule):
    """Takes its time, as do its batches and those who are called."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(8, 8)
        self.seen = []

    def training_step(self, batch, index):
        gradient = self.line.weight.grad
        self.seen.append(None if gradient is None else gradient.clone())
        time.sleep(0.03)
        return self.line(batch["x"]).square().mean()

    def validation_step(self, batch, index):
        time.sleep(0.05)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class SlowCall(Callback):
    def on_train_batch_end(self, *_):
        time.sleep(0.05)


class SlowSave(Checkpoint):
    def on_train_batch_end(self, *_):
        time.sleep(0.05)


class Batches:
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __iter__(self):
        for number in range(self.count):
            time.sleep(0.01)
            yield {"x": torch.ones(2 + number, 8), "name": "other"}


def work(module, batch):
    module.line(batch["x"]).square().mean().backward()


def fitted(throughput, batches, **more):
    module = Slow()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[throughput, SlowCall(), SlowSave(), throughput.last],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        val_check_interval=2,
        **more,
    )
    trainer.fit(module, Batches(batches), Batches(1))
    return module


def test_waits_are_for_batches_and_not_for_looks_checkpoints_or_who_is_called():
    throughput = Throughput()
    fitted(throughput, 6)
    told = throughput.numbers()
    assert told["data_wait_share"] == pytest.approx(0.25, abs=0.12)
    assert 10 < told["steps_per_second"] < 26  # this machine is shared
    assert "mfu" not in told


def test_counting_leaves_gradients_as_they_were():
    throughput = Throughput(work)
    counted = fitted(throughput, 4, accumulate_grad_batches=2)
    torch.manual_seed(0)
    numbers = throughput.numbers()
    flops = 2 * 8 * 8 * (2 + 3 + 4 + 5) * 2  # forward, and for the weights; none for the input
    assert 0.4 < numbers["flops_per_second"] / (flops * 25 / 4) < 1.5  # this machine is shared
    for number, gradient in enumerate(counted.seen):
        assert (gradient is None) == (number % 2 == 0)


def test_gradients_that_gather_over_two_batches_are_not_counted_twice():
    gradients = []
    for throughput in (Throughput(), Throughput(work)):
        torch.manual_seed(0)
        module = fitted(throughput, 4, accumulate_grad_batches=2)
        gradients.append([each for each in module.seen if each is not None])
    assert len(gradients[0]) == 2
    for plain, counted in zip(*gradients, strict=True):
        assert torch.equal(plain, counted)


def test_a_peak_is_that_of_large_products():
    peak = matmul_flops(torch.device("cpu"), torch.float32)
    one = torch.ones(1024, 1024)
    began = time.perf_counter()
    torch.mm(one, one)
    assert peak > 0.2 * 2 * 1024**3 / (time.perf_counter() - began)
