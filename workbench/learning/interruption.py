"""Trainings that end before their time: in good order at a step, or killed at one."""

from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

from lightning.pytorch.callbacks import Callback

from workbench.errors import StreamingError
from workbench.progress import Show, silent


class StopsAt(Callback):
    """Ends a training in good order after a step; give it to the training as a callback."""

    def __init__(self, step: int):
        """Take the step; 0 never ends it."""
        self._step = step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Look at the step."""
        trainer.should_stop = trainer.should_stop or 0 < self._step <= trainer.global_step


def killed(work: Callable[..., Any], *, step: int, show: Show = silent) -> int:
    """Run work in a process of its own and kill that process, so that it can clean up nothing.

    Args:
        work: Called with a `show` of its own; must stand at the top of a module, or be a partial
            of one that does.
        step: At which it is killed (SIGKILL).
        show: Told what the work tells until then.

    Returns:
        The step that it told last.

    Raises:
        StreamingError: It ended by itself.
    """
    context = get_context("spawn")
    mine, its = context.Pipe(duplex=False)
    process = context.Process(target=work, kwargs={"show": its.send}, daemon=True)
    process.start()
    its.close()
    told = 0
    try:
        while told < step:
            progress = mine.recv()
            told = progress.done
            show(progress)
    except EOFError as error:
        process.join()
        raise StreamingError(
            f"the training ended by itself after step {told} of {step} (exit code "
            f"{process.exitcode}); kill it at an earlier step, or see what it wrote"
        ) from error
    finally:
        process.kill()
        process.join()
        mine.close()
    return told
