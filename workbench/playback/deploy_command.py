"""`workbench pico deploy`, by itself as its flags are those of the board's configuration."""

from typing import Annotated

from cyclopts import Parameter

from workbench.device import deploy as deploying
from workbench.reply import Reply


def deploy(
    *,
    port: str,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    options: Annotated[deploying.BoardOptions | None, Parameter(name="*")] = None,
) -> Reply:
    """Bring the program to the robot's board and verify it; what runs there is stopped first.

    Args:
        port: /dev/ttyACM0, COM3 or socket://HOST:PORT.
        dry_run: Tell what would be done; the board's program is only stopped and started again.
        options: What the board is connected to and what it may do.
    """
    done = deploying.deploy(port, options or deploying.BoardOptions(), dry_run=dry_run)
    would = "would be " if done.is_dry else ""
    parts = [f"{len(done.copied)} files {would}copied", f"{len(done.kept)} as they should be"]
    if done.removed:
        parts.insert(1, f"{len(done.removed)} {would}removed")
    lines = [f"{port}: {', '.join(parts)}; configuration {done.config}"]
    lines += [f"  {name}" for name in done.copied]
    lines += [f"  {name} (removed)" for name in done.removed]
    values = {
        "port": port,
        "config": done.config,
        "copied": list(done.copied),
        "removed": list(done.removed),
        "kept": list(done.kept),
        "is_dry": done.is_dry,
    }
    return Reply(values=values, text="\n".join(lines))
