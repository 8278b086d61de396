"""The `workbench speech …` commands: flags in, one call of the room, a reply out."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from cyclopts import Parameter

from workbench.caching.fingerprint import fingerprint
from workbench.errors import OptionsError, SpeechError
from workbench.progress import terminal
from workbench.reply import Reply
from workbench.speech import gather as gathering
from workbench.speech.options import GatherOptions
from workbench.speech.plan import Plan, planned
from workbench.speech.sources import DEMO, NAMED, with_all
from workbench.speech.state import STATE_NAME
from workbench.streaming.hub import PREFIX, HubSink, repository
from workbench.streaming.sink import FolderSink, Sink


def gather(
    *sources: str,
    to: str,
    options: Annotated[GatherOptions | None, Parameter(name="*")] = None,
) -> Reply:
    """Gather speech from several sources into one dataset, every row exactly once.

    Stopped or killed, the same command, without --fresh, goes on where it was and ends in the
    same bytes.

    Args:
        sources: demo, hf://user/name, a folder, a web list; `?audio=COLUMN` names columns.
        to: Where it goes: hf://user/name, or a folder.
        options: How it is gathered.
    """
    options = options or GatherOptions()
    said = with_all(sources) if options.all else list(sources)
    if not said:
        raise OptionsError(f"no source is given; give {DEMO}, {', '.join(NAMED)}, a place or --all")
    sink, work = target(to, options)
    if options.dry_run:
        with TemporaryDirectory() as scratch:  # what a source keeps to be listed goes again
            return _told(planned(said, sink.open(), sink, Path(scratch), options))
    done = gathering.gather(said, sink, work, options, terminal())
    state = done.state
    values = {
        "to": to,
        "rows": state.rows,
        "added": done.rows,
        "shards": state.shards,
        "bytes": state.size,
        "seconds": round(done.seconds, 3),
        "rows_per_second": round(done.rows / done.seconds, 1),
        "sources": [dataclasses.asdict(source) for source in state.sources],
        "failed": {name: str(error) for name, error in done.failed.items()},
        "withheld": done.withheld,
    }
    unheard = sum(source.unheard for source in state.sources)
    code = next((error.exit_code for error in done.failed.values()), 0)
    if not code and unheard and done.rows:
        code = SpeechError.exit_code
    return Reply(values=values, text=_text(values, done), code=code)


def target(to: str, options: GatherOptions) -> tuple[Sink, Path]:
    """Return the sink that a name stands for, and the folder for files on their way to it.

    Args:
        to: `hf://user/name`, or a folder.
        options: How it is gathered.

    Raises:
        OptionsError: The name is none.
    """
    own = (
        f"gather-{fingerprint(to)[:16]}"  # it is deleted at the end, and what else is there is not
    )
    mine = options.work_dir and options.work_dir / own
    if not to.startswith(PREFIX):
        folder = Path(to)
        return FolderSink(folder, STATE_NAME), mine or folder / ".work"
    repository(to)
    cache = Path.home() / ".cache" / "workbench" / "gather" / own
    sink = HubSink(to, STATE_NAME, private=options.private, options=options.retries)
    return sink, mine or cache


def _text(values: dict[str, Any], done: gathering.Gathered) -> str:
    lines = [
        f"{values['to']}: {values['rows']} rows in {values['shards']} shards, {values['added']} "
        f"of them now, in {values['seconds']:.1f} s"
    ]
    for source in done.state.sources:
        skipped = ", ".join(f"{count} {reason}" for reason, count in source.skipped.items())
        lines.append(f"{source.name}: {source.kept} kept; left out: {skipped or 'none'}")
        if source.unheard:
            lines.append(f"{source.name}: speech-to-text failed on {source.unheard} clips")
    lines += [f"{name}: failed: {error}" for name, error in done.failed.items()]
    if done.withheld:
        lines.append(
            f"{done.withheld} rows before it wait until it can be read; they arrive, too, with the "
            "same command without it"
        )
    return "\n".join(lines)


def _told(plan: Plan) -> Reply:
    values = {
        "generation": plan.state.generation,
        "deletes_first": plan.resets,
        "rows": plan.state.rows,
        "sources": [
            {
                "said": source.said,
                "revision": source.list.revision,
                "files": len(source.list.files),
                "bytes": source.list.size,
                "rows": source.list.rows,
            }
            for source in plan.sources.values()
        ],
        "failed": {name: str(error) for name, error in plan.failed.items()},
    }
    return Reply(values=values, code=next((e.exit_code for e in plan.failed.values()), 0))
