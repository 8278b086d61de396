"""What a gather is going to do: where it begins, and the sources it reads."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.errors import (
    OptionsError,
    SourceError,
    SpeechError,
    StreamingError,
    WorkbenchError,
)
from workbench.options import refuse
from workbench.speech.legacy import imported
from workbench.speech.options import GatherOptions
from workbench.speech.source import SpeechSource
from workbench.speech.sources import open_speech_source
from workbench.speech.state import DATA, GatherState, SourceState, read_state
from workbench.streaming.sink import Sink

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where a gather begins.

    Attributes:
        state: The state it begins with; the sources that were asked for among its own.
        sources: What a source was named by: the source; those that could be opened.
        failed: What a source was named by: why it could not be opened.
        begins: Whether the target does not hold a state of this generation yet.
        resets: Whether what the target holds is to be deleted first.
    """

    state: GatherState
    sources: Mapping[str, SpeechSource]
    failed: Mapping[str, WorkbenchError]
    begins: bool
    resets: bool

    @property
    def waiting(self) -> list[int]:
        """Indices of the sources that are to be read, in order."""
        states = enumerate(self.state.sources)
        return [i for i, source in states if source.said in self.sources and not source.is_done]


def planned(
    asked: Sequence[str | SpeechSource],
    content: bytes | None,
    sink: Sink,
    work: Path,
    options: GatherOptions,
) -> Plan:
    """Return what is to be done for the sources that a person named.

    Args:
        asked: Names of sources, as `open_speech_source` knows them, or sources.
        content: The state that the sink holds, or None.
        sink: The target; it is read, not changed.
        work: Folder for what sources need on disk.
        options: How it is gathered.

    Raises:
        OptionsError: The target holds something else than what was asked for.
        SourceError: A source cannot be opened, and it is a fresh start or the only one.
    """
    given = {source.said: source for source in asked if isinstance(source, SpeechSource)}
    said = [source if isinstance(source, str) else source.said for source in asked]
    state = _begun(content, sink, options)
    known = {source.said: source for source in state.sources}
    new = [name for name in dict.fromkeys(said) if name not in known]
    if new and known and not options.append:
        raise OptionsError(
            f"{sink.name}: holds {', '.join(known)}, not {', '.join(new)}; add to it with "
            "--append, or start over with --fresh"
        )
    sources, failed = _opened(said, given, known, work, options)
    refuse(_same(state.sources, [sources[name] for name in new if name in sources]))
    if failed and (options.fresh or not sources):
        raise next(iter(failed.values()))
    begun = [_source_state(sources[name], state) for name in new if name in sources]
    holds_any = content is not None or bool(sink.names(f"{DATA}/*"))
    return Plan(
        state=replace(state, sources=(*state.sources, *begun)),
        sources=sources,
        failed=failed,
        begins=options.fresh or content is None,
        resets=options.fresh and holds_any,
    )


def _begun(content: bytes | None, sink: Sink, options: GatherOptions) -> GatherState:
    """Return the state to go on from.

    Raises:
        OptionsError: The target holds rows of another kind, or of another program.
    """
    settings = options.settings()
    if options.fresh:
        return GatherState(generation=_generation(content, sink) + 1, settings=settings)
    if content is not None:
        state = read_state(content, sink.name)
        refuse(_differences(state.settings, settings, sink.name))
        return state
    shards = sink.names(f"{DATA}/*.parquet")
    if not shards and options.checkpoint is None:
        return GatherState(settings=settings)
    return imported(sink, shards, options)


def _generation(content: bytes | None, sink: Sink) -> int:
    """Return the number of the generation that is deleted; 0 where its state is unknown."""
    try:
        return 0 if content is None else read_state(content, sink.name).generation
    except SpeechError as error:
        logger.warning("%s", error)
        return 0


def _differences(held: Mapping[str, object], wanted: Mapping[str, object], place: str) -> list[str]:
    return [
        f"{name}: {place} was gathered with {held.get(name)!r}, not {value!r}; give it so again, "
        "or start over with --fresh"
        for name, value in wanted.items()
        if held.get(name) != value
    ]


def _opened(
    said: Sequence[str],
    given: Mapping[str, SpeechSource],
    known: Mapping[str, SourceState],
    work: Path,
    options: GatherOptions,
) -> tuple[dict[str, SpeechSource], dict[str, WorkbenchError]]:
    """Return the sources that could be opened, each at its revision, and why others could not."""
    sources: dict[str, SpeechSource] = {}
    failed: dict[str, WorkbenchError] = {}
    for name in dict.fromkeys(said):
        held = known.get(name)
        try:
            revision = held.revision if held else None
            source = given.get(name) or open_speech_source(name, work, options, revision or None)
            if held and held.fingerprint != source.list.fingerprint:
                raise SourceError(
                    f"{name}: its files are others than those that were gathered; bring those "
                    "back, or start over with --fresh"
                )
            sources[name] = source
        except StreamingError as error:
            failed[name] = error
    return sources, failed


def _same(known: Sequence[SourceState], new: Sequence[SpeechSource]) -> list[str]:
    """Return what is wrong with new sources whose rows could not be told from those of others."""
    called = {source.name: source.said for source in known}
    found = []
    for source in new:
        if source.name in called:
            sign = "&" if "?" in source.said else "?"
            found.append(
                f"{source.said}: rows of {called[source.name]} are called {source.name} already; "
                f"if it is another source, give {source.said}{sign}name=NAME"
            )
        called.setdefault(source.name, source.said)
    return found


def _source_state(source: SpeechSource, state: GatherState) -> SourceState:
    return SourceState(
        said=source.said,
        name=source.name,
        revision=source.list.revision,
        fingerprint=source.list.fingerprint,
        to_pass=state.older_rows.get(source.name, 0),
    )
