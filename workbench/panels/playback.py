"""The robot's player: a song and a port are chosen, it is played, and what happens is seen.

Buttons return at once: what takes time is done by a thread, and what concerns the music goes to the
session's own. The emergency stop is sent before its button returns. Units: seconds of the link's
time, milliseconds of the song, percent of loudness and tempo.
"""

import atexit
import html
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import ipywidgets
import numpy as np

from workbench.beatmap.maps.level import Level
from workbench.beatmap.maps.places import map_places
from workbench.beatmap.maps.reading import read_level
from workbench.device.options import FeederOptions, LinkOptions, PlayOptions
from workbench.errors import BeatmapError, PlaybackError, WorkbenchError
from workbench.figures import Picture
from workbench.panels.robot_view import RobotView, robot_told, song_told, view_told
from workbench.panels.table import Table
from workbench.playback.options import PlanOptions, RobotOptions
from workbench.playback.performance import State, View
from workbench.playback.pictures import Look, performance_picture
from workbench.playback.plan import Plan
from workbench.playback.planner import plan_song
from workbench.playback.playing import play_song
from workbench.playback.playlog import PlayReport
from workbench.playback.ports import dialled, opened, ports_found
from workbench.playback.session import PRESETS, Event, Session
from workbench.playback.song import Song, midi_song, read_song, song_of
from workbench.progress import Progress

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_LINES = 8  # of the log that are seen
_LOOKS = 20_000  # that are kept
_LONGEST_SECONDS = 1e7  # that a song is waited for
_LOG_STYLE = "font:12px/1.5 monospace;color:var(--jp-ui-font-color1,#22313f)"
_MAP_PITCH = 69
_PENTATONIC = (0, 3, 5, 7)
_STRUCK_SECONDS = 0.12
_RUNNING: tuple[State, ...] = ("homing", "filling", "playing", "recovering")
_LAYOUT: Mapping[str, Any] = {"flex_flow": "row wrap", "align_items": "center"}
_COLOURS: Mapping[str, str] = {
    "playing": "#2c7a3f",
    "alarm": "#cc3311",
    "recovering": "#d9622b",
    "paused": "#3b7dbf",
}


class Player:
    """Chooses, plays, and shows; all of its buttons have a method of the same name.

    Attributes:
        widget: What a cell displays.
        plan: Of the song that is chosen, or None.
        session: With the board that is connected, or None.
        looks: At performances, the last twenty thousand.
        said: Lines of the log, the last few.
    """

    def __init__(
        self,
        songs: Mapping[str, Path | Song],
        *,
        port: str = "sim",
        robot: RobotOptions | None = None,
        plan: PlanOptions | None = None,
        play: PlayOptions | None = None,
        feeder: FeederOptions | None = None,
        link: LinkOptions | None = None,
    ) -> None:
        """Show the controls; nothing is opened before Connect.

        Args:
            songs: What can be chosen, by name: MIDI files, or notes.
            port: What is connected first: `sim`, `micropython`, or what pyserial opens.
            robot: What the robot is; the melodica when not given.
            plan: How songs become duties.
            play: How performances go.
            feeder: How the board is fed.
            link: How the board is reached.
        """
        self.plan: Plan | None = None
        self.session: Session | None = None
        self.looks: deque[Look] = deque(maxlen=_LOOKS)
        self.said: deque[str] = deque(maxlen=_LINES)
        self._songs = dict(songs)
        self._robot = robot or RobotOptions()
        self._plan_options = plan or PlanOptions()
        self._play_options, self._feeder_options, self._link_options = play, feeder, link
        self._source: Song | None = None  # the song at its own tempo
        self._work = ThreadPoolExecutor(1, thread_name_prefix="player")
        self._open = ExitStack()
        self._lock = threading.Lock()
        self._saying = threading.Lock()
        self._is_closing = threading.Event()
        self._is_naming = False
        self._held = ""  # the port
        self._make_controls(port)
        self._wire_up()
        _hear_at_once(self.widget)
        self._enable()
        atexit.register(self.close)
        _PLAYERS.add(self)

    # --- what a person wants

    def choose(self, name: str) -> Future[Plan]:
        """Plan a song of those given; the future has its plan.

        Args:
            name: One of `songs`.
        """
        return self._planned(lambda options: self._read(name, options))

    def upload(self, name: str, data: bytes) -> Future[Plan]:
        """Plan the song of a MIDI file's bytes; the future has its plan."""
        return self._planned(lambda options: midi_song(data, options, name=name))

    def take(self, plan: Plan, source: Song | None = None) -> None:
        """Take a song that is planned; what plays is stopped.

        Args:
            plan: The plan.
            source: The song at its own tempo, if that is another than the plan's.
        """
        self.plan, self._source = plan, source or plan.song
        self._name_song(plan.song.name)
        self.view.song = song_told(plan)
        self.looks.clear()
        if self.session is not None:
            self.session.load(plan.duties)
        report = plan.report
        self._say(
            f"{plan.song.name}: {report.notes_played} of {report.notes} notes,"
            f" {report.notes_folded} in another octave, {report.duties} duties,"
            f" {report.duration_ms / 1000:.1f} s"
        )
        self._enable()

    def connect(self, port: str | None = None) -> Future[None]:
        """Reach a board; what was connected before is let go.

        Args:
            port: Which; the one in the box if not given.
        """
        if port is not None:
            self._port.value = port
        wanted = self._port.value.strip()
        self._say(f"{wanted}: connecting")
        return self._do(lambda: self._connect(wanted))

    def disconnect(self) -> Future[None]:
        """Stop the music and let the board go."""
        return self._do(self._disconnect)

    def play(self) -> None:
        """Let music begin or go on."""
        self._command(lambda session: session.play())

    def pause(self) -> None:
        """Let the music stand still where it is."""
        self._command(lambda session: session.pause())

    def stop(self) -> None:
        """End the music and go back to the beginning."""
        self._command(lambda session: session.stop())

    def seek(self, ms: float) -> None:
        """Go on at a position of the song."""
        self._command(lambda session: session.seek_ms(ms))

    def home(self) -> None:
        """Bring all home; ends an alarm."""
        self._command(lambda session: session.home())

    def move_cart(self, by: int) -> None:
        """Move the cart by hand, by some positions."""
        session = self.session
        if session is None:
            return
        at = session.view.cart
        place = max(0, min(self._robot.positions - 1, at + by)) if at != 255 else 0
        self._command(lambda session: session.move_cart(place))

    def press(self, finger: int, side: int) -> None:
        """Move a finger by hand: 0 home, 1 left, 2 right."""
        self._command(lambda session: session.press(finger, side))

    def emergency_stop(self) -> None:
        """Stop the robot now: the bytes are sent before this returns."""
        session = self.session
        if session is None:
            self._say("no board is connected; cut its power if it moves")
            return
        session.emergency_stop()
        self._say("EMERGENCY STOP sent; look at the robot, then Home")

    def gain(self, percent: int) -> None:
        """Set how loud all is, 0..200 percent of what the song says."""
        self._gain.value = percent

    def preset(self, name: str) -> None:
        """Set how loud all is by one of the nine presets."""
        self._preset.value = name

    def tempo(self, percent: float) -> None:
        """Plan the song again, faster or slower; not while music plays."""
        self._tempo.value = percent

    def perform(self, log: Path | None = None) -> PlayReport:
        """Play the chosen song to its end and wait for it; on `sim` as fast as it goes.

        Args:
            log: A Parquet file to write every executed duty into.

        Raises:
            PlaybackError: There is no song, or the board cannot be brought to play.
            DeviceError: The port cannot be opened.
        """
        if self.plan is None:
            raise PlaybackError("there is no song; choose one first")
        if self._port.value == "sim":
            return self._rehearse(self.plan, log)
        if self.session is None:
            self.connect().result()
        session = self.session
        if session is None:
            raise PlaybackError("the board was let go")
        try:
            session.play()
            session.wait_for(*_RUNNING, "alarm")
            session.wait_for("idle", "stopped", "alarm", seconds=_LONGEST_SECONDS)
        except KeyboardInterrupt:
            session.stop()
            raise
        if log is not None:
            session.log.save(log)
        return session.report()

    def close(self) -> None:
        """Stop the music, let the board go and end the threads."""
        atexit.unregister(self.close)
        self._is_closing.set()
        with self._lock:
            self._release()
        self._work.shutdown(wait=False)

    # --- looks

    def still(self) -> str:
        """Return what was seen last as text, for a saved notebook whose widgets open empty."""
        if not self.looks:
            return "nothing was played"
        view = self.looks[-1].view
        return (
            f"{view.state}: {view.index} of {view.duties} duties,"
            f" {view.reboots} reboots, {view.uncertain} uncertain"
        )

    def picture(self) -> Picture:
        """Draw how position, buffer and memory of the board went over time."""
        return performance_picture(list(self.looks))

    # --- the controls

    def _make_controls(self, port: str) -> None:
        self._make_places(port)
        self._make_buttons()
        self._make_dials()
        self.view = RobotView(song=robot_told(self._robot), view={})
        self._state = ipywidgets.HTML()
        self._log = ipywidgets.HTML()
        buttons = [self._play, self._pause, self._stop, self._home, self._left, self._right]
        rows = [
            [self._song, self._upload, self._port, self._connect_button],
            [*buttons, self._emergency],
            [self._gain, self._preset, self._tempo, self._state],
        ]
        layout = ipywidgets.Layout(**_LAYOUT)
        boxes = [ipywidgets.HBox(row, layout=layout) for row in rows]
        self.widget: Any = ipywidgets.VBox([*boxes, self.view, self._log])

    def _make_places(self, port: str) -> None:
        """Make what says which song is played where."""
        box, names = ipywidgets.Layout, list(self._songs)
        self._song = ipywidgets.Dropdown(
            options=names, value=None, description="song", layout=box(width="24em")
        )
        self._upload = ipywidgets.FileUpload(accept=".mid,.midi", description="MIDI file")
        ports = ["sim", "micropython", *(each.port for each in ports_found())]
        self._port = ipywidgets.Combobox(
            value=port, options=ports, description="port", layout=box(width="20em")
        )

    def _make_buttons(self) -> None:
        button, box = ipywidgets.Button, ipywidgets.Layout
        self._connect_button = button(description="Connect", icon="plug")
        self._play = button(description="Play", icon="play", button_style="success")
        self._pause = button(description="Pause", icon="pause")
        self._stop = button(description="Stop", icon="stop")
        self._home = button(description="Home", icon="home")
        self._left = button(description="cart", icon="arrow-left", layout=box(width="5.5em"))
        self._right = button(description="cart", icon="arrow-right", layout=box(width="5.5em"))
        self._emergency = button(
            description="EMERGENCY STOP",
            icon="exclamation-triangle",
            button_style="danger",
            layout=box(width="15em", height="2.9em"),
            style={"font_weight": "bold"},
        )

    def _make_dials(self) -> None:
        """Make what loudness, its preset and the tempo are set by."""
        wide, box = {"description_width": "initial"}, ipywidgets.Layout
        self._gain = ipywidgets.IntSlider(
            value=100, min=0, max=200, description="loudness, %", style=wide
        )
        self._preset = ipywidgets.Dropdown(
            options=list(PRESETS), value="normal", description="preset", layout=box(width="15em")
        )
        self._tempo = ipywidgets.FloatSlider(
            value=self._plan_options.speed,
            min=25,
            max=200,
            step=5,
            readout_format=".0f",
            description="tempo, %",
            continuous_update=False,
            style=wide,
        )

    def _wire_up(self) -> None:
        does: Mapping[Any, Callable[[], object]] = {
            self._connect_button: self._toggle,
            self._play: self.play,
            self._pause: self.pause,
            self._stop: self.stop,
            self._home: self.home,
            self._left: lambda: self.move_cart(-1),
            self._right: lambda: self.move_cart(1),
            self._emergency: self.emergency_stop,
        }
        for button, action in does.items():
            button.on_click(lambda _, action=action: action())
        self._song.observe(lambda change: self._chosen(change["new"]), "value")
        self._upload.observe(lambda change: self._uploaded(change["new"]), "value")
        self._gain.observe(lambda change: self._gained(change["new"]), "value")
        self._preset.observe(lambda change: self._preset_chosen(change["new"]), "value")
        self._tempo.observe(lambda change: self._sped(change["new"]), "value")
        self.view.on_msg(lambda _widget, content, _buffers: self._asked(content))

    def _toggle(self) -> Future[None]:
        return self.connect() if self.session is None else self.disconnect()

    def _asked(self, content: Mapping[str, Any]) -> None:
        """Take what a person did on the picture."""
        if content.get("kind") == "seek":
            self.seek(float(content["ms"]))
        elif content.get("kind") == "press":
            self.press(int(content["finger"]), int(content["side"]))

    def _uploaded(self, files: Sequence[Mapping[str, Any]]) -> None:
        for file in files:
            self.upload(str(file["name"]), bytes(file["content"]))

    def _gained(self, percent: int) -> None:
        if self.session is not None:
            self.session.gain(percent)

    def _preset_chosen(self, name: str) -> None:
        self._gain.value = PRESETS[name] * 100 // PRESETS["normal"]

    def _sped(self, percent: float) -> None:
        self._plan_options = replace(self._plan_options, speed=percent)
        source = self._source
        if source is not None:
            self._planned(lambda _: source)

    def _name_song(self, name: str) -> None:
        """Show a song's name in the list, without choosing it anew."""
        self._is_naming = True
        self._song.value = name if name in self._songs else None
        self._is_naming = False

    def _chosen(self, name: str | None) -> None:
        if name is not None and not self._is_naming:
            self.choose(name)

    def _read(self, name: str, options: PlanOptions) -> Song:
        found = self._songs[name]
        song = read_song(found, options) if isinstance(found, Path) else found
        return replace(song, name=name)

    # --- what takes time

    def _do(self, work: Callable[[], Any]) -> Future[Any]:
        """Do something in the player's thread; what goes wrong is told in the log."""

        def done() -> Any:
            try:
                return work()
            except WorkbenchError as error:
                self._say(str(error))
                raise

        return self._work.submit(done)

    def _planned(self, song: Callable[[PlanOptions], Song]) -> Future[Plan]:
        def work() -> Plan:
            options = self._plan_options
            source = song(options)
            plan = plan_song(source, self._robot, options, self._planning)
            self.take(plan, source)
            return plan

        self._say("planning")
        return self._do(work)

    def _connect(self, port: str) -> None:
        for other in list(_PLAYERS):  # as of a cell that is run again
            if other is not self and other._held == port != "sim":
                other._disconnect()
        with self._lock:
            self._release()
            if self._is_closing.is_set():
                return
            with ExitStack() as stack:
                dial = stack.enter_context(dialled(port, self._link_options))
                session = Session(
                    dial,
                    play=self._play_options,
                    feeder=self._feeder_options,
                    link=self._link_options,
                    tell=self._told,
                )
                stack.enter_context(session)
                looker = threading.Thread(
                    target=self._follow, args=(session,), name="looker", daemon=True
                )
                self._open = stack.pop_all()
            self.session, self._held = session, port
        session.gain(self._gain.value)
        if self.plan is not None:
            session.load(self.plan.duties)
        looker.start()
        self._say(f"{port}: connected")
        self._enable()

    def _disconnect(self) -> None:
        with self._lock:
            self._release()
        self._say("let go")
        self._enable()

    def _release(self) -> None:
        self.session, self._held = None, ""
        self._open.close()

    def _follow(self, session: Session) -> None:
        """Look at a session as long as it is the player's."""
        before: View | None = None
        while self.session is session and not self._is_closing.wait(_LOOK_SECONDS):
            view = session.view
            if view != before:
                self._watched(session.now(), view)
            before = view

    def _rehearse(self, plan: Plan, log: Path | None) -> PlayReport:
        """Play a song on a simulated board, in virtual time."""
        with opened("sim") as way:
            return play_song(
                way,
                plan.duties,
                play=self._play_options,
                feeder=self._feeder_options,
                calls=self._link_options,
                log=log,
                tell=self._say,
                watch=self._watched,
            ).report

    def _watched(self, seconds: float, view: View) -> None:
        """Keep a look and show it."""
        self.looks.append(Look(seconds=seconds, view=view))
        before = self.view.view.get("state")
        self.view.view = view_told(view)
        if before != view.state:
            self._enable()

    def _planning(self, progress: Progress) -> None:
        share = progress.done / max(1, progress.total or 1)
        self._state.value = f"planning, {share:.0%}"

    def _command(self, ask: Callable[[Session], Future[None]]) -> None:
        """Ask the session for something; what it refuses, it tells itself."""
        session = self.session
        if session is None:
            self._say("no board is connected")
        else:
            ask(session)

    def _told(self, event: Event) -> None:
        self._say(f"{event.seconds:.1f} s: {event.text}")

    def _say(self, line: str) -> None:
        with self._saying:
            self.said.append(line)
            shown = "<br>".join(html.escape(each) for each in self.said)
        self._log.value = f'<div style="{_LOG_STYLE}">{shown}</div>'

    def _enable(self) -> None:
        """Let those buttons be pressed that do something now, and tell the state."""
        session = self.session
        state = None if session is None else session.view.state
        is_running = state in _RUNNING
        has_song = self.plan is not None
        self._connect_button.description = "Connect" if session is None else "Disconnect"
        self._play.disabled = not (session and has_song) or state in ("alarm", "playing")
        self._pause.disabled = not is_running
        self._stop.disabled = not (is_running or state == "paused")
        self._home.disabled = session is None or is_running
        self._left.disabled = self._right.disabled = session is None or is_running
        self._tempo.disabled = is_running or state == "paused"
        self._song.disabled = self._upload.disabled = self._tempo.disabled
        told = state or "not connected"
        colour = _COLOURS.get(told, "#6d7a88")
        self._state.value = (
            f'<span style="padding:0.25em 0.9em;border-radius:1em;color:#fff;background:{colour}">'
            f"{told}</span>"
        )


_PLAYERS: WeakSet[Player] = WeakSet()


def _hear_at_once(widget: Any) -> None:
    """Let a widget and its parts be heard while a cell runs, as an emergency stop must.

    JupyterLab sends what widgets say to a thread of the kernel's own; ipykernel from 7.4 on brings
    it back to the thread of cells for widgets that a cell has made, where it waits for the cell.
    """
    if getattr(widget.comm, "_reply_subshell_for", None) is not None:
        widget.comm._reply_subshell_for = None
    for child in getattr(widget, "children", ()):
        _hear_at_once(child)


def plan_table(plan: Plan) -> Table:
    """Return what a plan plays of its song."""
    report = plan.report
    rows = [
        ("notes of the song", report.notes),
        ("played", report.notes_played),
        ("of them in another octave", report.notes_folded),
        ("left out", report.notes_dropped),
        ("all shifted by, semitones", report.shift),
        ("moves of the cart", report.moves),
        ("moves that cannot be", report.infeasible_moves),
        ("most an onset is off the tempo map, ms", report.onset_error_ms_max),
        ("duties", report.duties),
        ("seconds", report.duration_ms / 1000),
    ]
    return Table(("what", "of the plan"), rows)


def report_table(report: PlayReport) -> Table:
    """Return what was asked of the board and what it did."""
    rows: list[tuple[object, ...]] = [
        ("duties asked for", report.duties),
        ("executed", report.executed),
        ("proved by the board's digest", report.proved),
        ("lost", report.lost),
        ("executed twice", report.doubled),
        ("in another order", report.reordered),
        ("wrong", report.wrong),
        ("uncertain, a reboot fell into them", report.uncertain),
        *((f"kept in time but not pressed: {why}", n) for why, n in report.not_pressed.items()),
        ("half of them late by at most, ms", round(report.late_p50_ms, 2)),
        ("99 of 100 late by at most, ms", round(report.late_p99_ms, 2)),
        ("all late by at most, ms", round(report.late_max_ms, 2)),
        ("least free memory of the board, bytes", report.heap_min_bytes),
    ]
    return Table(("what", "count"), rows)


def found_songs(*folders: Path) -> dict[str, Path]:
    """Return the MIDI files below folders by name, as other notebooks leave them."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.mid")):
            found[path.relative_to(folder).as_posix()] = path
    return found


def found_maps(*folders: Path, most: int = 40) -> dict[str, Song]:
    """Return Beat Saber maps below folders as songs, by name; those without notes are none.

    Args:
        folders: Where to look; those that are not there hold none.
        most: How many maps of a folder are read, the first of them.
    """
    found: dict[str, Song] = {}
    for folder in folders:
        for place in map_places(folder)[:most] if folder.is_dir() else ():
            try:
                with place.open() as files:
                    found[place.name] = map_song(read_level(files))
            except (BeatmapError, PlaybackError) as error:
                logger.info("%s: is no song (%s)", place.name, error)
    return found


def map_song(level: Level) -> Song:
    """Return the beatmap with the most notes of a level as a song, a pitch for each cell and hand.

    Args:
        level: Of the map; lanes are steps of a pentatonic scale, layers and hands octaves.

    Raises:
        PlaybackError: The level has no notes.
    """
    beatmap = max(level.beatmaps, key=lambda each: len(each.objects.notes.beat), default=None)
    if beatmap is None or not len(beatmap.objects.notes.beat):
        raise PlaybackError(f"{level.place}: a map without notes")
    notes = beatmap.objects.notes
    lane, layer = (np.clip(cells, 0, most) for cells, most in ((notes.lane, 3), (notes.layer, 2)))
    onset = np.maximum(beatmap.time_map.seconds_at(notes.beat), 0.0)
    return song_of(
        seconds=onset,
        end_seconds=onset + _STRUCK_SECONDS,
        pitch=_MAP_PITCH + np.array(_PENTATONIC)[lane] + 12 * (layer > 0) - 12 * (notes.color == 0),
        velocity=64 + 20 * (layer == 2),
        name=level.title or level.place,
    )
