"""The robot and its song in the browser: notes, play head, what the board holds, keys and gauges.

An anywidget whose picture is drawn by the browser alone: the kernel tells how the robot stands some
ten times a second, and between two such looks the play head moves by itself. What a person does on
it comes to the kernel as a message: `{"kind": "seek", "ms": 1200}`, or
`{"kind": "press", "finger": 2, "side": 1}`, side 0 when the key is let go. Units: milliseconds of
the song.
"""

from typing import Any

import anywidget
import numpy as np
import traitlets

from workbench.playback.keyboard import key_of, pitch_name
from workbench.playback.options import RobotOptions
from workbench.playback.performance import View
from workbench.playback.plan import Plan

_MOST_NOTES = 20_000  # that a browser is given; of a longer song every n-th
_PLAYED, _FOLDED, _LEFT_OUT = range(3)

_STYLE = """
.robot-view { font: 12px/1.4 sans-serif; color: var(--jp-ui-font-color1, #22313f);
  max-width: 1000px; }
.robot-view { --wb-paper: var(--jp-layout-color0, #fff);
  --wb-ink: var(--jp-ui-font-color1, #22313f); --wb-line: var(--jp-border-color2, #d5dbe1);
  --wb-shade: rgba(127, 140, 154, 0.14); }
.robot-view canvas { width: 100%; display: block; border: 1px solid var(--wb-line);
  border-radius: 4px; background: var(--wb-paper); touch-action: none; }
.robot-view canvas.song { height: 26px; cursor: pointer; margin-bottom: 4px; }
.robot-view canvas.notes { height: 190px; cursor: pointer; border-bottom: 0;
  border-radius: 4px 4px 0 0; }
.robot-view canvas.keys { height: 84px; border-radius: 0 0 4px 4px; }
.robot-view canvas:focus-visible { outline: 2px solid var(--jp-brand-color1, #3b7dbf); }
.robot-view .gauges { display: flex; flex-wrap: wrap; gap: 4px 22px; margin-top: 6px; }
.robot-view .gauge { display: flex; gap: 6px; align-items: center; white-space: nowrap; }
.robot-view .gauge b { font-variant-numeric: tabular-nums; font-weight: 600; }
.robot-view .gauge i { width: 64px; height: 8px; border-radius: 4px;
  background: var(--jp-layout-color3, #d5dbe1); overflow: hidden; }
.robot-view .gauge i span { display: block; height: 100%; background: #3b7dbf; }
.robot-view .gauge.is-low i span { background: #d9622b; }
"""

_PROGRAM = """
const DARK = "#22313f", BLUE = "#3b7dbf", ORANGE = "#d9622b", GREY = "#98a4b0";
const HELD = "rgba(59, 125, 191, 0.16)";
let INK = DARK, GRID = "#d5dbe1", PAPER = "#fff", SHADE = "#f4f7fa"; // of the theme
const COLOURS = [BLUE, ORANGE, GREY];
const WINDOW = 12000, AHEAD = 0.3;

function context(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  c.font = "11px sans-serif";
  return [c, width, height];
}

function clock(ms) {
  const s = Math.max(0, ms) / 1000, minutes = Math.floor(s / 60);
  return minutes + ":" + (s - 60 * minutes).toFixed(1).padStart(4, "0");
}

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "robot-view";
  const canvasOf = (name, label) => {
    const canvas = document.createElement("canvas");
    canvas.className = name;
    canvas.setAttribute("aria-label", label);
    root.appendChild(canvas);
    return canvas;
  };
  const bar = canvasOf("song", "position in the song");
  const roll = canvasOf("notes", "notes around the position");
  const keys = canvasOf("keys", "keys, cart and fingers");
  bar.tabIndex = 0;
  bar.setAttribute("role", "slider");
  const gauges = document.createElement("div");
  gauges.className = "gauges";
  root.appendChild(gauges);
  el.appendChild(root);

  let heard = performance.now(), pressed = null, frame = 0;
  const song = () => model.get("song");
  const view = () => model.get("view");
  const length = () => Math.max(1, song().duration_ms || 1);
  const position = () => {
    const v = view();
    const since = v.state === "playing" ? Math.min(performance.now() - heard, 400) : 0;
    return Math.min(length(), (v.position_ms || 0) + since);
  };

  function drawBar() {
    const [c, w, h] = context(bar);
    const s = song(), v = view(), x = (ms) => ms / length() * w;
    if (!s.notes) return;
    c.fillStyle = HELD;
    c.fillRect(0, 0, x(Math.max(v.buffered_ms || 0, 0)), h);
    const low = s.low, span = Math.max(1, s.high - s.low);
    for (const [begin, end, pitch, kind] of s.notes) {
      c.fillStyle = COLOURS[kind];
      const y = h - 4 - (pitch - low) / span * (h - 8);
      c.fillRect(x(begin), y, Math.max(1, x(end) - x(begin)), 2);
    }
    c.fillStyle = INK;
    c.fillRect(x(position()) - 1, 0, 2, h);
    bar.setAttribute("aria-valuemin", "0");
    bar.setAttribute("aria-valuemax", String(Math.round(length() / 1000)));
    bar.setAttribute("aria-valuenow", String(Math.round(position() / 1000)));
  }

  const left = () => position() - AHEAD * WINDOW;

  function drawRoll() {
    const [c, w, h] = context(roll);
    const s = song(), v = view(), from = left();
    const x = (ms) => (ms - from) / WINDOW * w;
    if (!s.notes) {
      c.fillStyle = INK;
      c.fillText("no song yet", 12, h / 2);
      return;
    }
    c.fillStyle = SHADE;
    c.fillRect(0, 0, w, h);
    c.fillStyle = PAPER;
    const a = Math.max(0, x(0)), b = Math.min(w, x(length()));
    c.fillRect(a, 0, Math.max(0, b - a), h);
    c.fillStyle = HELD;
    const held = Math.min(b, x(v.buffered_ms || 0));
    if (held > x(position())) c.fillRect(x(position()), 0, held - x(position()), h);
    c.fillStyle = INK;
    for (let t = Math.max(0, Math.ceil(from / 1000)) * 1000; t < from + WINDOW; t += 1000) {
      if (t > length()) break;
      c.fillStyle = GRID;
      c.fillRect(x(t), 0, 1, h);
      c.fillStyle = INK;
      if (t % 2000 === 0) c.fillText(clock(t), x(t) + 3, h - 4);
    }
    const rows = s.high - s.low + 3, row = (h - 30) / rows;
    const y = (pitch) => 10 + (s.high + 1 - pitch) * row;
    c.strokeStyle = GREY;
    c.beginPath();
    const place = (at) => h - 18 - at / Math.max(1, s.positions - 1) * (h - 34);
    let before = null;
    for (const [ms, at] of s.cart) {
      if (before !== null) c.lineTo(x(ms), place(before));
      c.lineTo(x(ms), place(at));
      before = at;
    }
    if (before !== null) c.lineTo(x(length()), place(before));
    c.stroke();
    for (const [begin, end, pitch, kind] of s.notes) {
      if (end < from || begin > from + WINDOW) continue;
      c.fillStyle = COLOURS[kind];
      const wide = Math.max(2, x(end) - x(begin) - 1), high = Math.max(3, row - 1);
      c.beginPath();
      c.roundRect(x(begin), y(pitch), wide, high, 2);
      c.fill();
    }
    c.fillStyle = INK;
    c.fillRect(x(position()) - 1, 0, 2, h);
    c.fillText(clock(position()) + " of " + clock(length()), x(position()) + 6, 12);
    let edge = w - 8;
    c.textAlign = "right";
    [["left out", GREY], ["in another octave", ORANGE], ["played", BLUE]].forEach(([word, hue]) => {
      c.fillStyle = INK;
      c.fillText(word, edge, h - 22);
      edge -= c.measureText(word).width + 16;
      c.fillStyle = hue;
      c.fillRect(edge, h - 28, 12, 4);
      edge -= 10;
    });
    c.textAlign = "left";
  }

  const keyWidth = () => keys.clientWidth / Math.max(1, Math.ceil(song().keys / 2));
  const reach = () => {
    const v = view(), s = song();
    const cart = v.cart === undefined || v.cart === 255 ? -1 : v.cart;
    const found = new Map();
    if (cart < 0 || !s.fingers) return found;
    s.fingers.forEach((pair, finger) => pair.forEach((key, side) => {
      found.set(key + cart * s.position_keys, [finger, side + 1]);
    }));
    return found;
  };
  const box = (key) => {
    const wide = keyWidth();
    return key % 2 === 0 ? [key / 2 * wide, 0, wide, 62] : [key / 2 * wide + wide * 0.2, 0,
      wide * 0.6, 38];
  };

  function drawKeys() {
    const [c, w, h] = context(keys);
    const s = song(), v = view();
    if (!s.names) return;
    const inReach = reach();
    const colour = (key, plain) => {
      const at = inReach.get(key);
      if (!at) return plain;
      const side = (v.fingers || 0) >> 2 * at[0] & 3;
      return side === at[1] ? ORANGE : plain === "#fff" ? "#cfe1f2" : "#2f5f8f";
    };
    for (const parity of [0, 1]) for (let key = parity; key < s.keys; key += 2) {
      if (s.names[key] === "") continue;
      const [x, y, wide, high] = box(key);
      c.fillStyle = colour(key, parity ? DARK : "#fff");
      c.fillRect(x, y, wide, high);
      c.strokeStyle = parity ? DARK : "#9aa5b1";
      c.strokeRect(x + 0.5, y + 0.5, wide - 1, high - 1);
      if (s.names[key].startsWith("C") && !parity) {
        c.fillStyle = DARK;
        c.fillText(s.names[key], x + 4, 57);
      }
    }
    if (inReach.size) {
      const wide = keyWidth(), all = [...inReach.keys()];
      const x = Math.min(...all) / 2 * wide, end = Math.max(...all) / 2 * wide + wide;
      c.fillStyle = v.is_moving ? GREY : "#6d7a88";
      c.beginPath();
      c.roundRect(x + 2, 66, end - x - 4, 14, 4);
      c.fill();
      c.fillStyle = "#fff";
      c.fillText("cart at " + v.cart, x + 10, 77);
    } else {
      c.fillStyle = INK;
      c.fillText(v.state === undefined ? "not connected" : "the cart's place is not known yet",
        8, 77);
    }
  }

  const rows = new Map();
  function gauge(name, text, share, isLow) {
    if (!rows.has(name)) {
      const row = document.createElement("span");
      row.className = "gauge";
      const label = document.createElement("span"), value = document.createElement("b");
      label.textContent = name;
      row.append(label, value);
      const meter = document.createElement("i"), fill = document.createElement("span");
      meter.appendChild(fill);
      if (share !== null) row.insertBefore(meter, value);
      gauges.appendChild(row);
      rows.set(name, [row, value, fill]);
    }
    const [row, value, fill] = rows.get(name);
    if (value.textContent !== text) value.textContent = text;
    if (share !== null) fill.style.width = (100 * Math.max(0, Math.min(1, share))).toFixed(0) + "%";
    row.classList.toggle("is-low", Boolean(isLow));
  }
  function drawGauges() {
    const v = view();
    if (v.state === undefined) return;
    const ahead = Math.max(0, v.buffered_ms - v.position_ms) / 1000;
    const isOver = v.buffered_ms >= length();
    gauge("on the board", ahead.toFixed(1) + " s, " + v.held + " of " + v.ring + " duties",
      ahead / 8, v.state === "playing" && !isOver && ahead < 1);
    gauge("memory free", (v.heap_free / 1000).toFixed(1) + " kB, least "
      + (Math.max(0, v.heap_min) / 1000).toFixed(1), v.heap_free / 90000, v.heap_free < 4000);
    gauge("most late", v.late_ms.toFixed(2) + " ms", v.late_ms / 20, v.late_ms > 20);
    gauge("air", v.volume + " %", v.volume / 100, false);
    gauge("resent", String(v.repeats), null, v.repeats > 0);
    gauge("damaged", String(v.broken), null, v.broken > 0);
    gauge("reboots", String(v.reboots), null, v.reboots > 0);
    gauge("uncertain", String(v.uncertain), null, v.uncertain > 0);
  }

  function takeColours() {
    const style = getComputedStyle(root);
    [INK, GRID, PAPER, SHADE] = ["ink", "line", "paper", "shade"]
      .map((name) => style.getPropertyValue("--wb-" + name).trim());
  }

  function draw() {
    frame = 0;
    takeColours();
    drawBar(); drawRoll(); drawKeys(); drawGauges();
    root.dataset.state = view().state || "";
    if (view().state === "playing") ask();
  }
  function ask() { if (!frame) frame = requestAnimationFrame(draw); }
  const sought = (ms) => model.send({ kind: "seek", ms: Math.max(0, Math.min(length(), ms)) });
  bar.addEventListener("pointerdown", (e) => {
    if (song().notes) sought(e.offsetX / bar.clientWidth * length());
  });
  bar.addEventListener("keydown", (e) => {
    const step = { ArrowLeft: -5000, ArrowRight: 5000, Home: -length(), End: length() }[e.key];
    if (step === undefined || !song().notes) return;
    e.preventDefault();
    e.stopPropagation();
    sought(position() + step);
  });
  roll.addEventListener("pointerdown", (e) => {
    if (song().notes) sought(left() + e.offsetX / roll.clientWidth * WINDOW);
  });
  keys.addEventListener("pointerdown", (e) => {
    const inReach = reach(), s = song();
    const inside = ([x, y, w, h]) => e.offsetX >= x && e.offsetX < x + w && e.offsetY < y + h;
    const all = [...inReach.keys()].filter((key) => s.names[key]).sort((a, b) => b % 2 - a % 2);
    const key = all.find((each) => inside(box(each)));
    if (key === undefined) return;
    const [finger, side] = inReach.get(key);
    pressed = finger;
    keys.setPointerCapture(e.pointerId);
    model.send({ kind: "press", finger, side });
  });
  const letGo = () => {
    if (pressed !== null) model.send({ kind: "press", finger: pressed, side: 0 });
    pressed = null;
  };
  keys.addEventListener("pointerup", letGo);
  keys.addEventListener("pointercancel", letGo);
  const onView = () => { heard = performance.now(); ask(); };
  model.on("change:view", onView);
  model.on("change:song", ask);
  const watcher = new ResizeObserver(ask);
  watcher.observe(root);
  const themed = new MutationObserver(ask);
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });
  ask();
  return () => {
    watcher.disconnect();
    themed.disconnect();
    model.off("change:view", onView);
    model.off("change:song", ask);
    cancelAnimationFrame(frame);
  };
}
export default { render };
"""


class RobotView(anywidget.AnyWidget):  # type: ignore[misc]
    """Draws a song and the robot that plays it; its messages are what a person does on it.

    Attributes:
        song: What `song_told` makes of a plan.
        view: What `view_told` makes of a look at a performance.
    """

    _esm = _PROGRAM
    _css = _STYLE
    song = traitlets.Dict().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)


def song_told(plan: Plan) -> dict[str, Any]:
    """Return what the browser needs to know of a plan, of JSON's kinds.

    Args:
        plan: The plan; of more than 20,000 notes some are left out evenly.
    """
    song, lead, shift = plan.song, plan.report.lead_ms, plan.report.shift
    heard = np.where(plan.is_played, plan.pitch, song.pitch + shift)
    is_folded = plan.is_played & (heard != song.pitch + shift)
    kind = np.where(is_folded, _FOLDED, np.where(plan.is_played, _PLAYED, _LEFT_OUT))
    every = slice(None, None, -(-len(song) // _MOST_NOTES))
    columns = (song.onset_ms + lead, song.end_ms + lead, heard, kind)
    cart = plan.duties.cart
    moves = np.flatnonzero(np.append(True, cart[1:] != cart[:-1]))[:_MOST_NOTES]
    return {
        "name": song.name,
        "duration_ms": plan.duties.end_ms,
        "notes": np.stack([column[every] for column in columns], axis=1).tolist(),
        "low": int(heard.min()),
        "high": int(heard.max()),
        "cart": np.stack((plan.duties.start_ms[moves], cart[moves]), axis=1).tolist(),
        **robot_told(plan.robot),
    }


def robot_told(robot: RobotOptions) -> dict[str, Any]:
    """Return what the browser needs to know of a robot, of JSON's kinds."""
    pitches = range(robot.lowest_pitch, robot.highest_pitch + 1)
    names = [""] * (key_of(robot, robot.highest_pitch) + 1)
    for pitch in pitches:
        names[key_of(robot, pitch)] = pitch_name(pitch)
    return {
        "positions": robot.positions,
        "position_keys": robot.position_keys,
        "fingers": [list(pair) for pair in robot.finger_keys],
        "keys": len(names),
        "names": names,
    }


def view_told(view: View) -> dict[str, Any]:
    """Return what the browser needs to know of a look at a performance, of JSON's kinds."""
    names = (
        "state text position_ms buffered_ms cart fingers volume gain heap_free heap_min late_ms "
        "ring held repeats broken reboots uncertain is_up index duties"
    )
    return {name: getattr(view, name) for name in names.split()}
