// A map over its sound: what MapViewer of map_viewer.py shows in a browser.
//
// One canvas: a ruler, four lanes over the mel spectrogram, the onsets, and the whole song below.
// Units: the horizontal axis is beats; `seconds` are of the audio, whose clock moves the play head
// through the map of times; lengths on the screen are CSS pixels. Frames are drawn when something
// has changed, and one after the other only while the audio plays or a pointer drags.

const LANES = 4;
const LAYERS = 3;
const RULER = 24;
const ONSETS = 34;
const GAP = 8;
const OVERVIEW = 46;
const HEAD_AT = 0.25; // of the width, where the play head stands while the view follows it
const LEAST_SPAN = 2; // beats
const FIRST_SPAN = 16;
const TILE = 1024; // columns of an image of the sound
const SETTLE_MS = 90; // in which two thirds of a jump of the view are made
const LIT_SECONDS = 0.15;
const EDGE = 28; // from here on a drag scrolls
// up, down, left, right, up-left, up-right, down-left, down-right: clockwise from up
const TURNS = [0, 180, 270, 90, 315, 45, 225, 135];
const ANY = 8;
// Upwards, in sizes of a block; a shaft tells diagonals apart as no triangle does
const ARROW = [[0, -0.38], [0.32, -0.02], [0.11, -0.02], [0.11, 0.36], [-0.11, 0.36], [-0.11, -0.02], [-0.32, -0.02]];
const NOTE = 6; // numbers of a row: beat, lane, layer, color, direction, angle
const BOMB = 3; // beat, lane, layer
const WALL = 6; // beat, duration, lane, layer, width, height
const ARC = 7; // beat, lane, layer, color, tail beat, tail lane, tail layer
const CHAIN = 8; // as an arc, and its slices

export default {
  render({ model, el }) {
    const viewer = new Viewer(model, el);
    return () => viewer.close();
  },
};

class Viewer {
  constructor(model, el) {
    this.model = model;
    this.over = new AbortController(); // ends every listener
    this.left = 0; // first beat of the view
    this.span = FIRST_SPAN; // beats of the view
    this.slip = 0; // beats that the view is still away from where it goes
    this.seconds = model.get("seconds");
    this.drag = null;
    this.frame = 0;
    this.frames = 0;
    this.urls = {};
    this.build(el);
    this.readTimes();
    this.readSound();
    this.readAudio();
    this.readCharts();
    this.readDownload();
    this.listen();
    this.recolour();
    this.show(this.head);
  }

  close() {
    this.over.abort();
    cancelAnimationFrame(this.frame);
    for (const watch of this.watches) watch.disconnect();
    for (const [name, handler] of this.handlers) this.model.off(name, handler);
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    for (const url of Object.values(this.urls)) URL.revokeObjectURL(url);
  }

  // --- what is shown

  build(el) {
    const id = `map-viewer-${Math.random().toString(36).slice(2, 10)}`;
    this.root = part("div", "wb-panel wb-map", {
      "data-workbench": "map-viewer",
      role: "group",
      "aria-label": this.model.get("title") || "map viewer",
    });
    const bar = part("div", "wb-bar");
    this.play = part("button", "wb-button wb-map-play", { type: "button", "data-action": "play" });
    this.time = part("span", "wb-told wb-map-time", { "data-part": "time" });
    this.chart = part("select", "wb-button wb-map-select", { "data-action": "chart", "aria-label": "chart" });
    this.speed = part("select", "wb-button wb-map-select", { "data-action": "speed", "aria-label": "speed" });
    for (const speed of [0.25, 0.5, 0.75, 1, 1.5]) {
      const option = part("option", "", { value: String(speed) });
      option.textContent = `${speed}×`;
      option.selected = speed === 1;
      this.speed.append(option);
    }
    this.link = part("a", "wb-button wb-map-link", { "data-action": "download" });
    bar.append(
      this.play,
      this.time,
      this.chart,
      button("zoom-out", "zoom out", "−"),
      button("zoom-in", "zoom in", "+"),
      button("fit", "show the whole song", "all"),
      this.speed,
      this.link,
    );
    this.metrics = part("div", "wb-map-metrics", { "data-part": "metrics", role: "status" });
    this.canvas = part("canvas", "wb-map-canvas", {
      "data-part": "view",
      tabindex: "0",
      role: "slider",
      "aria-label": "play head",
      "aria-valuemin": "0",
      "aria-describedby": id,
    });
    const help = part("div", "wb-map-help", { id });
    help.textContent =
      "Space plays and pauses; left and right go by a beat, with shift by a bar; up and down zoom; " +
      "home and end go to the ends; a click or a drag goes there; ctrl and the wheel zoom.";
    this.canvas.title = help.textContent;
    this.audio = part("audio", "", { preload: "auto" });
    this.root.append(bar, this.canvas, this.metrics, help, this.audio);
    // On what has the focus: else d d would delete the cell
    for (const node of this.root.querySelectorAll("[tabindex], button, select, a")) node.dataset.lmSuppressShortcuts = "true";
    el.append(this.root);
    this.context = this.canvas.getContext("2d");
  }

  listen() {
    const on = (target, name, handler, options = {}) =>
      target.addEventListener(name, handler, { signal: this.over.signal, ...options });
    on(this.play, "click", () => this.toggle());
    on(this.chart, "change", () => {
      this.model.set("chart", Number(this.chart.value));
      this.model.save_changes();
    });
    on(this.speed, "change", () => {
      this.audio.playbackRate = Number(this.speed.value);
    });
    on(this.root, "click", (event) => {
      const action = event.target.closest("[data-action]")?.dataset.action;
      if (action === "zoom-in") this.zoom(0.7);
      if (action === "zoom-out") this.zoom(1 / 0.7);
      if (action === "fit") this.zoom(Infinity);
    });
    on(this.canvas, "keydown", (event) => this.key(event));
    on(this.canvas, "pointerdown", (event) => this.press(event));
    on(this.canvas, "pointermove", (event) => this.move(event));
    on(this.canvas, "pointerup", (event) => this.release(event));
    on(this.canvas, "pointercancel", (event) => this.release(event));
    on(this.canvas, "wheel", (event) => this.wheel(event), { passive: false });
    on(this.audio, "play", () => this.begin());
    on(this.audio, "pause", () => this.rest());
    on(this.audio, "seeked", () => this.request());
    on(this.audio, "durationchange", () => this.request());
    on(this.audio, "error", () => this.refuse());
    this.handlers = [
      ["change:charts", () => this.readCharts()],
      ["change:chart", () => this.readCharts()],
      ["change:mel", () => this.readSound()],
      ["change:tempo", () => this.readTimes()],
      ["change:audio", () => this.readAudio()],
      ["change:download", () => this.readDownload()],
      ["change:seconds", () => this.told()],
    ];
    for (const [name, handler] of this.handlers) this.model.on(name, handler);
    this.watch(on);
  }

  watch(on) {
    const resized = new ResizeObserver(() => this.resize());
    resized.observe(this.canvas);
    const themed = new MutationObserver(() => {
      this.recolour();
      setTimeout(() => this.over.signal.aborted || this.recolour(), 300); // its style comes later
    });
    for (const node of [document.body, document.documentElement]) {
      themed.observe(node, { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class", "data-theme"] });
    }
    on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.recolour());
    on(window, "resize", () => this.resize()); // also when only the ratio of pixels has changed
    this.watches = [resized, themed];
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
  }

  // The picture for saved notebooks is the next output; it may come after this one is shown.
  hidePicture() {
    const output = this.root.closest(".jp-OutputArea-child");
    if (!output) return;
    const hide = () => {
      const next = output.nextElementSibling;
      if (next?.querySelector(".jp-RenderedImage")) next.style.display = "none";
    };
    const grown = new MutationObserver(hide);
    grown.observe(output.parentElement, { childList: true });
    this.watches.push(grown);
    hide();
  }

  // --- what comes from the kernel

  readTimes() {
    this.times = new TimeMap(this.model.get("tempo"));
    this.stir();
  }

  readSound() {
    const { columns, bands, has_onsets, columns_a_beat } = this.model.get("sound");
    this.mel = new Mel(bytes(this.model.get("mel")), columns, bands, has_onsets, columns_a_beat);
    if (this.colours) this.mel.recolour(this.colours);
    this.measure();
  }

  readAudio() {
    const content = bytes(this.model.get("audio"));
    this.audio.pause();
    this.isRefused = false;
    this.hasAudio = content.length > 0;
    this.play.disabled = !this.hasAudio;
    if (this.hasAudio) {
      this.audio.src = this.url("audio", content, kindOf(content));
      this.audio.playbackRate = Number(this.speed.value);
      if (this.seconds > 0) this.audio.currentTime = this.seconds;
    } else {
      this.audio.removeAttribute("src");
    }
    this.rest();
  }

  readCharts() {
    const charts = this.model.get("charts");
    const chosen = Math.min(Math.max(this.model.get("chart"), 0), Math.max(charts.length - 1, 0));
    this.chart.replaceChildren(
      ...charts.map((chart, index) => {
        const option = part("option", "", { value: String(index) });
        option.textContent = chart.name;
        option.selected = index === chosen;
        return option;
      }),
    );
    this.chart.hidden = charts.length === 0;
    this.objects = new ShownObjects(charts[chosen]);
    this.metrics.replaceChildren(...this.legend(), document.createTextNode(charts[chosen]?.line ?? ""));
    this.root.dataset.chart = charts[chosen]?.name ?? "";
    this.measure();
  }

  readDownload() {
    const content = bytes(this.model.get("download"));
    this.link.hidden = content.length === 0;
    if (this.link.hidden) return;
    const name = this.model.get("download_name");
    this.link.href = this.url("download", content, "application/zip");
    this.link.download = name;
    this.link.textContent = `↓ ${name}`;
    this.link.setAttribute("aria-label", `download ${name}, ${Math.ceil(content.length / 1000)} kB`);
  }

  told() {
    const seconds = this.model.get("seconds");
    if (Math.abs(seconds - this.now()) > 1e-3) this.seek(seconds);
  }

  url(name, content, type) {
    if (this.urls[name]) URL.revokeObjectURL(this.urls[name]);
    this.urls[name] = URL.createObjectURL(new Blob([content], { type }));
    return this.urls[name];
  }

  legend() {
    const kinds = [["left", "left hand"], ["right", "right hand"]];
    if (this.objects.bombs.length) kinds.push(["bomb", "bomb"]);
    if (this.objects.walls.length) kinds.push(["wall", "wall"]);
    return kinds.map(([kind, name]) => {
      const item = part("span", "wb-map-kind", { "data-kind": kind });
      item.textContent = name;
      return item;
    });
  }

  measure() {
    if (!this.mel || !this.objects) return;
    this.first = Math.min(0, Math.floor(this.objects.first));
    this.end = Math.max(this.mel.beats, Math.ceil(this.objects.last), this.first + LEAST_SPAN);
    this.span = Math.min(this.span, this.end - this.first);
    this.left = this.within(this.left);
    this.stir();
  }

  recolour() {
    if (!this.root.isConnected) return; // nothing has a style yet; `resize` calls again
    const style = getComputedStyle(this.root);
    const names = ["paper", "ink", "grid", "left", "right", "wall", "bomb", "head", "onset"];
    this.colours = Object.fromEntries(names.map((n) => [n, style.getPropertyValue(`--map-${n}`).trim()]));
    this.font = style.fontFamily;
    this.mel.recolour(this.colours);
    this.stir();
  }

  // --- time

  get head() {
    return this.times.beatAt(this.now());
  }

  get duration() {
    const length = this.audio.duration;
    return this.hasAudio && Number.isFinite(length) ? length : this.times.secondsAt(this.end);
  }

  get isPlaying() {
    return this.hasAudio && !this.audio.paused && !this.audio.ended;
  }

  now() {
    if (!this.isPlaying || this.audio.seeking) return this.seconds;
    // Some browsers move this clock only every few frames: between its steps ours goes on.
    const clock = this.audio.currentTime;
    const moment = performance.now();
    if (clock !== this.clock) [this.clock, this.clockAt] = [clock, moment];
    const since = Math.min((moment - this.clockAt) / 1000, 0.05) * this.audio.playbackRate;
    this.seconds = Math.min(clock + since, this.duration);
    return this.seconds;
  }

  toggle() {
    if (!this.hasAudio || this.isRefused) return;
    if (this.isPlaying) {
      this.audio.pause();
    } else {
      if (this.seconds >= this.duration - 0.01) this.seek(0);
      this.start();
    }
  }

  start() {
    this.audio.play().catch((error) => {
      if (error.name !== "AbortError") this.refuse(); // it was paused before it began
    });
  }

  begin() {
    this.clock = null;
    this.slip = this.left - this.followed(this.head);
    this.rest();
  }

  rest() {
    const isPlaying = this.isPlaying;
    this.root.dataset.state = this.isRefused ? "refused" : this.drag ? "dragging" : isPlaying ? "playing" : "paused";
    const name = isPlaying ? "pause" : "play";
    if (this.play.dataset.shows !== name) {
      this.play.dataset.shows = name;
      this.play.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${isPlaying ? PAUSE : PLAY}"/></svg>`;
      this.play.setAttribute("aria-label", name);
      this.play.title = this.hasAudio ? `${name} (space)` : "no audio";
    }
    if (!isPlaying && !this.drag) this.tell();
    this.request();
  }

  refuse() {
    if (!this.hasAudio) return;
    this.isRefused = true;
    this.play.disabled = true;
    this.play.title = "this browser cannot play the audio";
    this.rest();
  }

  seek(seconds) {
    this.seconds = Math.min(Math.max(seconds, 0), this.duration);
    if (this.hasAudio) this.audio.currentTime = this.seconds;
    this.clock = null;
    if (!this.drag) {
      this.show(this.times.beatAt(this.seconds));
      if (!this.isPlaying) this.tell();
    }
    this.request();
  }

  tell() {
    if (Math.abs(this.model.get("seconds") - this.seconds) < 1e-3) return;
    this.model.set("seconds", this.seconds);
    this.model.save_changes();
  }

  // --- where the view is

  within(left) {
    return Math.max(Math.min(left, this.end - this.span), this.first);
  }

  followed(head) {
    return this.within(head - HEAD_AT * this.span);
  }

  show(head) {
    if (head < this.left || head > this.left + this.span) this.left = this.followed(head);
    this.request();
  }

  zoom(factor, anchor = null) {
    const head = this.head;
    const isHeadShown = head >= this.left && head <= this.left + this.span;
    const at = anchor ?? (isHeadShown ? head : this.left + this.span / 2);
    const share = (at - this.left) / this.span;
    this.span = Math.min(Math.max(this.span * factor, LEAST_SPAN), this.end - this.first);
    this.left = this.within(at - share * this.span);
    if (this.isPlaying) this.slip = this.left - this.followed(head);
    this.request();
  }

  wheel(event) {
    const beat = this.left + (event.offsetX / this.width) * this.span;
    if (event.ctrlKey || event.metaKey) {
      this.zoom(Math.exp(Math.max(Math.min(event.deltaY, 60), -60) / 150), beat);
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const way = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.deltaY;
      this.left = this.within(this.left + (way / this.width) * this.span);
      this.request();
    } else {
      return; // the page scrolls
    }
    event.preventDefault();
  }

  key(event) {
    const bar = this.model.get("bar_beats");
    const head = this.head;
    const steps = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.step(head, -(event.shiftKey ? bar : 1)),
      ArrowRight: () => this.step(head, event.shiftKey ? bar : 1),
      PageUp: () => this.step(head, -4 * bar),
      PageDown: () => this.step(head, 4 * bar),
      Home: () => this.seek(0),
      End: () => this.seek(this.duration),
      ArrowUp: () => this.zoom(0.7),
      ArrowDown: () => this.zoom(1 / 0.7),
      "+": () => this.zoom(0.7),
      "-": () => this.zoom(1 / 0.7),
    };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook would move to another cell
    steps[event.key]();
  }

  // Go to the next line of a grid of so many beats.
  step(head, beats) {
    const grid = Math.abs(beats);
    const place = head / grid;
    const next = beats > 0 ? Math.floor(place + 1.001) : Math.ceil(place - 1.001);
    this.seek(this.times.secondsAt(next * grid));
  }

  press(event) {
    if (event.button !== 0) return;
    event.preventDefault(); // else the notebook takes the focus
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { x: event.offsetX, isOverview: event.offsetY >= this.height - OVERVIEW, isResumed: this.isPlaying, at: performance.now() };
    if (this.isPlaying) this.audio.pause();
    this.rest();
    this.pull();
  }

  move(event) {
    if (!this.drag) return;
    this.drag.x = event.offsetX;
    this.pull();
  }

  // Bring the play head to where the pointer is.
  pull() {
    const share = this.drag.x / this.width;
    const [from, beats] = this.drag.isOverview ? [this.first, this.end - this.first] : [this.left, this.span];
    const beat = from + Math.min(Math.max(share, 0), 1) * beats;
    this.seek(this.times.secondsAt(beat));
    if (this.drag.isOverview) this.left = this.within(beat - this.span / 2);
  }

  // While a drag is at an edge, the view goes on.
  scroll() {
    const moment = performance.now();
    const past = moment - this.drag.at;
    this.drag.at = moment;
    if (this.drag.isOverview) return;
    const beyond = Math.min(this.drag.x - EDGE, 0) + Math.max(this.drag.x - this.width + EDGE, 0);
    const before = this.left;
    this.left = this.within(this.left + (beyond / EDGE) * this.span * (past / 1500));
    if (this.left !== before) this.pull();
  }

  release() {
    if (!this.drag) return;
    const { isResumed } = this.drag;
    this.drag = null;
    if (isResumed) this.start();
    this.rest();
  }

  // --- frames

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    const [wide, high] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (!wide || !high) return;
    if (wide !== this.canvas.width || high !== this.canvas.height) {
      [this.canvas.width, this.canvas.height] = [wide, high];
      this.place = this.overview = null;
    }
    const isFirst = !this.width;
    [this.width, this.height, this.ratio] = [clientWidth, clientHeight, ratio];
    if (isFirst) {
      this.recolour();
      this.hidePicture();
    }
    this.draw(); // at once: a canvas of a new size is empty
  }

  request() {
    if (this.frame || this.over.signal.aborted) return;
    this.frame = requestAnimationFrame((moment) => {
      this.frame = 0;
      this.advance(moment);
      this.draw();
      if (this.isPlaying || this.drag) this.request();
    });
  }

  advance(moment) {
    if (this.drag) this.scroll();
    else if (this.isPlaying) {
      const head = this.head;
      if (this.calm.matches) {
        this.show(head); // by whole pages
      } else {
        this.slip *= Math.exp(-Math.max(moment - (this.moment ?? moment), 0) / SETTLE_MS);
        this.left = this.within(this.followed(head) + this.slip);
      }
    }
    this.moment = this.isPlaying ? moment : null;
  }

  draw() {
    if (!this.width || !this.colours || !this.objects) return;
    const { context, width, height } = this;
    this.scale = width / this.span;
    this.bottom = height - OVERVIEW - GAP; // of what scrolls
    this.low = this.bottom - (this.mel.hasOnsets ? ONSETS : 0); // of the lanes
    this.row = (this.low - RULER) / LANES;
    const head = this.head;
    // Where the view stands still, only the play head moves: what is below it is drawn once.
    const place = `${this.left} ${this.span}`;
    if (place !== this.place) this.scene = null;
    else this.scene ??= this.makeScene();
    this.place = place;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    if (this.scene) context.drawImage(this.scene, 0, 0, width, height);
    else this.drawScene(context);
    if (this.isPlaying) this.drawLit(head);
    this.drawHead(0, this.bottom, this.x(head));
    this.drawOverview(head);
    this.write(head);
  }

  // Everything but the play head has to be drawn anew.
  stir() {
    this.place = null;
    this.overview = null;
    this.request();
  }

  makeScene() {
    const scene = document.createElement("canvas");
    [scene.width, scene.height] = [this.canvas.width, this.canvas.height];
    const context = scene.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.drawScene(context);
    return scene;
  }

  drawScene(context) {
    const { width, height, low, bottom } = this;
    context.fillStyle = this.colours.paper;
    context.fillRect(0, 0, width, height);
    context.save();
    context.beginPath();
    context.rect(0, 0, width, bottom);
    context.clip();
    this.mel.draw(context, this, RULER, low - RULER);
    this.drawGrid(context);
    this.drawWalls(context);
    this.drawArcs(context);
    this.drawChains(context);
    this.drawBombs(context);
    this.drawNotes(context);
    if (this.mel.hasOnsets) this.mel.drawOnsets(context, this, low, bottom);
    this.drawLaneNames(context);
    context.restore();
  }

  x(beat) {
    return (beat - this.left) * this.scale;
  }

  // Lane 0, the left one, is the lowest row; in each row a higher layer is higher.
  y(lane, layer) {
    return this.low - (lane + 0.5 + 0.3 * (layer - 1)) * this.row;
  }

  drawGrid(context) {
    const { colours, model } = this;
    const bar = model.get("bar_beats");
    const right = this.left + this.span;
    const every = bar * 2 ** Math.max(0, Math.ceil(Math.log2(64 / (bar * this.scale)))); // of labels
    const lines = this.scale >= 90 ? 0.25 : this.scale >= 12 ? 1 : bar * this.scale >= 10 ? bar : every;
    context.fillStyle = colours.ink;
    for (let n = Math.ceil(this.left / lines); n * lines <= right; n++) {
      const beat = n * lines;
      context.globalAlpha = beat % bar === 0 ? 0.6 : beat % 1 === 0 ? 0.25 : 0.1;
      context.fillRect(Math.round(this.x(beat) * this.ratio) / this.ratio, RULER - (beat % bar === 0 ? 5 : 0), 1, this.bottom - RULER + 5);
    }
    context.globalAlpha = 0.35;
    for (let lane = 1; lane < LANES; lane++) context.fillRect(0, Math.round(this.low - lane * this.row), this.width, 1);
    context.globalAlpha = 1;
    context.fillRect(0, RULER, this.width, 1);
    context.fillRect(0, this.low, this.width, 1);
    context.font = `11px ${this.font}`;
    context.textBaseline = "middle";
    for (let n = Math.floor(this.left / every); n * every <= right; n++) {
      const beat = n * every;
      const text = `${beat / bar + 1}`;
      context.globalAlpha = 1;
      context.fillText(text, this.x(beat) + 4, RULER / 2 - 1);
      context.globalAlpha = 0.65;
      context.fillText(clockOf(this.times.secondsAt(beat), 1), this.x(beat) + 10 + context.measureText(text).width, RULER / 2 - 1);
    }
    context.globalAlpha = 1;
  }

  drawLaneNames(context) {
    const { colours } = this;
    context.font = `10px ${this.font}`;
    for (let lane = 0; lane < LANES; lane++) {
      const name = `lane ${lane}${lane === 0 ? ", left" : lane === LANES - 1 ? ", right" : ""}`;
      const y = this.low - (lane + 1) * this.row + 2;
      context.fillStyle = colours.paper;
      context.globalAlpha = 0.7;
      context.fillRect(2, y, context.measureText(name).width + 6, 14);
      context.fillStyle = colours.ink;
      context.globalAlpha = 0.75;
      context.fillText(name, 5, y + 7.5);
    }
    context.globalAlpha = 1;
  }

  drawWalls(context) {
    const { colours } = this;
    eachOver(this.objects.walls, WALL, this.objects.wallEnds, this.left, this.left + this.span, (rows, at) => {
      const [beat, duration, lane, layer, wide, high] = rows.subarray(at, at + WALL);
      const [from, to] = duration < 0 ? [beat + duration, beat] : [beat, beat + duration];
      const [bottom, top] = [clamp(layer, 0, LAYERS) / LAYERS, clamp(layer + high, 0, LAYERS) / LAYERS];
      for (let row = Math.max(lane, 0); row < Math.min(lane + wide, LANES); row++) {
        const edge = this.low - (row + top) * this.row;
        const across = Math.max((to - from) * this.scale, 2);
        context.fillStyle = colours.wall;
        context.globalAlpha = 0.28;
        context.fillRect(this.x(from), edge, across, (top - bottom) * this.row);
        context.globalAlpha = 0.9;
        context.strokeStyle = colours.wall;
        context.lineWidth = 1;
        context.strokeRect(this.x(from) + 0.5, edge + 0.5, across - 1, (top - bottom) * this.row - 1);
      }
    });
    context.globalAlpha = 1;
  }

  drawArcs(context) {
    context.lineWidth = 2.5;
    context.globalAlpha = 0.55;
    eachOver(this.objects.arcs, ARC, this.objects.arcEnds, this.left, this.left + this.span, (rows, at) => {
      const [beat, lane, layer, color, tail, tailLane, tailLayer] = rows.subarray(at, at + ARC);
      const [x0, y0, x1, y1] = [this.x(beat), this.y(lane, layer), this.x(tail), this.y(tailLane, tailLayer)];
      context.strokeStyle = this.hand(color);
      context.beginPath();
      context.moveTo(x0, y0);
      context.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
      context.stroke();
    });
    context.globalAlpha = 1;
  }

  drawChains(context) {
    const size = 0.45 * this.size;
    eachOver(this.objects.chains, CHAIN, this.objects.chainEnds, this.left, this.left + this.span, (rows, at) => {
      const [beat, lane, layer, color, tail, tailLane, tailLayer, slices] = rows.subarray(at, at + CHAIN);
      const [x0, y0, x1, y1] = [this.x(beat), this.y(lane, layer), this.x(tail), this.y(tailLane, tailLayer)];
      context.fillStyle = context.strokeStyle = this.hand(color);
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
      const links = clamp(slices, 2, 64) - 1;
      for (let link = 1; link <= links; link++) {
        const share = link / links;
        context.fillRect(x0 + share * (x1 - x0) - size / 2, y0 + share * (y1 - y0) - size / 2, size, size);
      }
    });
  }

  drawBombs(context) {
    const { colours, isSmall } = this;
    const rows = this.objects.bombs;
    const radius = 0.36 * this.size;
    context.fillStyle = colours.bomb;
    context.strokeStyle = colours.paper;
    context.lineWidth = 1;
    const [from, to] = this.seen(rows, BOMB);
    for (let at = from; at < to; at += BOMB) {
      const [x, y] = [this.x(rows[at]), this.y(rows[at + 1], rows[at + 2])];
      if (isSmall) {
        context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
        continue;
      }
      context.beginPath();
      for (let spike = 0; spike < 16; spike++) {
        const reach = spike % 2 ? radius : 1.45 * radius;
        context.lineTo(x + reach * Math.cos((spike * Math.PI) / 8), y + reach * Math.sin((spike * Math.PI) / 8));
      }
      context.closePath();
      context.fill();
      context.stroke();
    }
  }

  get size() {
    return clamp(Math.min(0.27 * this.row, 0.42 * this.scale), 3, 26);
  }

  get isSmall() {
    return this.size < 9;
  }

  drawNotes(context) {
    const rows = this.objects.notes;
    const [from, to] = this.seen(rows, NOTE);
    this.shown = (to - from) / NOTE;
    if (this.isSmall) {
      this.drawTicks(context, rows, from, to);
    } else {
      for (let at = from; at < to; at += NOTE) this.drawBlock(context, rows, at, false);
    }
  }

  // Which rows are within the view, or half within.
  seen(rows, size) {
    const aside = this.size / this.scale;
    return [firstFrom(rows, size, this.left - aside), firstFrom(rows, size, this.left + this.span + aside)];
  }

  // The notes that have just sounded.
  drawLit(head) {
    if (this.isSmall) return;
    const rows = this.objects.notes;
    const since = head - LIT_SECONDS * this.times.pace(head);
    for (let at = firstFrom(rows, NOTE, since); at < rows.length && rows[at] <= head; at += NOTE) {
      this.drawBlock(this.context, rows, at, true);
    }
  }

  drawTicks(context, rows, from, to) {
    const tall = clamp(0.2 * this.row, 4, 14);
    const wide = this.size;
    for (const color of [0, 1]) {
      context.fillStyle = this.hand(color);
      for (let at = from; at < to; at += NOTE) {
        if ((rows[at + 3] === 1) !== (color === 1)) continue;
        context.fillRect(this.x(rows[at]) - wide / 2, this.y(rows[at + 1], rows[at + 2]) - tall / 2, wide, tall);
      }
    }
  }

  // A block as in the game: its arrow points where it is cut.
  drawBlock(context, rows, at, isLit) {
    const { colours, size } = this;
    const direction = rows[at + 4];
    const half = size / 2;
    context.save();
    context.translate(this.x(rows[at]), this.y(rows[at + 1], rows[at + 2]));
    context.rotate(((turnOf(direction) - rows[at + 5]) * Math.PI) / 180);
    context.beginPath();
    context.roundRect(-half, -half, size, size, 0.2 * size);
    context.fillStyle = this.hand(rows[at + 3]);
    context.fill();
    context.lineWidth = isLit ? 3 : 1;
    context.strokeStyle = isLit ? colours.head : colours.paper;
    context.stroke();
    context.beginPath();
    if (isArrow(direction)) {
      for (const [x, y] of ARROW) context.lineTo(x * size, y * size);
      context.closePath();
    } else {
      context.arc(0, 0, 0.2 * size, 0, 2 * Math.PI);
    }
    context.fillStyle = "#ffffff";
    context.fill();
    context.restore();
  }

  drawHead(top, bottom, x) {
    const { context, colours } = this;
    context.fillStyle = colours.head;
    context.fillRect(x - 1, top, 2, bottom - top);
    context.beginPath();
    context.moveTo(x - 6, top);
    context.lineTo(x + 6, top);
    context.lineTo(x, top + 8);
    context.closePath();
    context.fill();
  }

  drawOverview(head) {
    const { context, colours, width, height } = this;
    const top = height - OVERVIEW;
    const beats = this.end - this.first;
    this.overview ??= this.makeOverview();
    context.drawImage(this.overview, 0, top, width, OVERVIEW);
    const [from, across] = [((this.left - this.first) / beats) * width, Math.max((this.span / beats) * width, 3)];
    context.fillStyle = colours.ink;
    context.globalAlpha = 0.12;
    context.fillRect(from, top, across, OVERVIEW);
    context.globalAlpha = 0.7;
    context.strokeStyle = colours.ink;
    context.lineWidth = 1;
    context.strokeRect(from + 0.5, top + 0.5, across - 1, OVERVIEW - 1);
    context.globalAlpha = 1;
    context.fillStyle = colours.head;
    context.fillRect(((head - this.first) / beats) * width - 1, top, 2, OVERVIEW);
  }

  // How many notes each hand has, all over the song.
  makeOverview() {
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [this.canvas.width, Math.round(OVERVIEW * this.ratio)];
    const context = picture.getContext("2d");
    context.scale(this.ratio, this.ratio);
    const bins = Math.max(Math.floor(this.width / 8), 1);
    const counts = [new Float32Array(bins), new Float32Array(bins)];
    const rows = this.objects.notes;
    for (let at = 0; at < rows.length; at += NOTE) {
      const bin = Math.floor(((rows[at] - this.first) / (this.end - this.first)) * bins);
      counts[rows[at + 3] === 1 ? 1 : 0][clamp(bin, 0, bins - 1)] += 1;
    }
    let most = 1;
    for (let bin = 0; bin < bins; bin++) most = Math.max(most, counts[0][bin] + counts[1][bin]);
    const wide = this.width / bins;
    for (let bin = 0; bin < bins; bin++) {
      let bottom = OVERVIEW - 2;
      for (const color of [0, 1]) {
        const tall = (counts[color][bin] / most) * (OVERVIEW - 6);
        context.fillStyle = this.hand(color);
        context.fillRect(bin * wide, bottom - tall, Math.max(wide - 1, 1), tall);
        bottom -= tall;
      }
    }
    context.fillStyle = this.colours.ink;
    context.globalAlpha = 0.35;
    context.fillRect(0, OVERVIEW - 2, this.width, 1);
    return picture;
  }

  write(head) {
    const { root, seconds } = this;
    this.frames += 1;
    const text = `${clockOf(seconds, 1)} / ${clockOf(this.duration, 1)}  beat ${head.toFixed(1)}`;
    if (this.time.textContent !== text) {
      this.time.textContent = text;
      this.canvas.setAttribute("aria-valuemax", this.duration.toFixed(1));
      this.canvas.setAttribute("aria-valuenow", seconds.toFixed(1));
      this.canvas.setAttribute("aria-valuetext", `${clockOf(seconds, 1)}, beat ${head.toFixed(1)}`);
    }
    root.dataset.seconds = seconds.toFixed(3);
    root.dataset.beat = head.toFixed(3);
    root.dataset.left = this.left.toFixed(3);
    root.dataset.span = this.span.toFixed(3);
    root.dataset.shown = this.shown;
    root.dataset.frames = this.frames;
    root.dataset.ready = "true";
  }

  hand(color) {
    return color === 1 ? this.colours.right : this.colours.left;
  }
}

// Which beat sounds when: straight pieces; the first goes on before, the last behind.
class TimeMap {
  constructor({ beat, seconds, bpm }) {
    [this.beat, this.seconds, this.bpm] = [beat, seconds, bpm];
  }

  secondsAt(beat) {
    const piece = lastUpTo(this.beat, beat);
    return this.seconds[piece] + ((beat - this.beat[piece]) * 60) / this.bpm[piece];
  }

  beatAt(seconds) {
    const piece = lastUpTo(this.seconds, seconds);
    return this.beat[piece] + ((seconds - this.seconds[piece]) * this.bpm[piece]) / 60;
  }

  // Beats a second.
  pace(beat) {
    return this.bpm[lastUpTo(this.beat, beat)] / 60;
  }
}

// Rows of objects, sorted by beat, and how far those reach that last.
class ShownObjects {
  constructor(chart) {
    for (const kind of ["notes", "bombs", "walls", "arcs", "chains"]) this[kind] = floats(chart?.[kind]);
    this.wallEnds = reaches(this.walls, WALL, (at) => this.walls[at] + Math.max(this.walls[at + 1], 0));
    this.arcEnds = reaches(this.arcs, ARC, (at) => Math.max(this.arcs[at], this.arcs[at + 4]));
    this.chainEnds = reaches(this.chains, CHAIN, (at) => Math.max(this.chains[at], this.chains[at + 4]));
    const starts = [[this.notes, NOTE], [this.bombs, BOMB], [this.walls, WALL], [this.arcs, ARC], [this.chains, CHAIN]];
    const firsts = starts.filter(([rows]) => rows.length).map(([rows]) => rows[0]);
    const lasts = starts.filter(([rows]) => rows.length).map(([rows, size]) => rows[rows.length - size]);
    for (const ends of [this.wallEnds, this.arcEnds, this.chainEnds]) if (ends.length) lasts.push(ends[ends.length - 1]);
    this.first = Math.min(0, ...firsts);
    this.last = Math.max(0, ...lasts);
  }
}

// The sound as images: each level has half the columns of the one before, the louder of two.
class Mel {
  constructor(content, columns, bands, hasOnsets, columnsABeat) {
    [this.bands, this.hasOnsets, this.columnsABeat] = [bands, hasOnsets, columnsABeat];
    this.channels = bands + (hasOnsets ? 1 : 0);
    this.levels = [{ content, columns }];
    this.beats = columns / columnsABeat;
    this.tiles = new Map();
  }

  // From paper to a grey that notes stand out of.
  recolour({ paper, ink, onset }) {
    const [from, to] = [rgbOf(paper), rgbOf(ink)];
    this.palette = Uint32Array.from({ length: 256 }, (_, loudness) => {
      const share = 0.62 * (loudness / 255) ** 1.6;
      const [r, g, b] = from.map((part, n) => Math.round(part + share * (to[n] - part)));
      return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    });
    this.onset = onset;
    this.tiles.clear();
  }

  levelFor(columnsAPixel) {
    const wanted = clamp(Math.floor(Math.log2(Math.max(columnsAPixel, 1))), 0, 16);
    while (this.levels.length <= wanted && this.levels.at(-1).columns > 1) this.levels.push(this.halved(this.levels.at(-1)));
    return Math.min(wanted, this.levels.length - 1);
  }

  halved({ content, columns }) {
    const half = Math.ceil(columns / 2);
    const out = new Uint8Array(half * this.channels);
    for (let column = 0; column < half; column++) {
      const [one, other] = [2 * column * this.channels, Math.min(2 * column + 1, columns - 1) * this.channels];
      for (let n = 0; n < this.channels; n++) out[column * this.channels + n] = Math.max(content[one + n], content[other + n]);
    }
    return { content: out, columns: half };
  }

  tile(level, number) {
    const name = level * 65536 + number;
    if (!this.tiles.has(name)) this.tiles.set(name, this.makeTile(this.levels[level], number * TILE));
    return this.tiles.get(name);
  }

  makeTile({ content, columns }, start) {
    const wide = Math.min(TILE, columns - start);
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [wide, this.bands];
    const context = picture.getContext("2d");
    const image = context.createImageData(wide, this.bands);
    const pixels = new Uint32Array(image.data.buffer);
    for (let x = 0; x < wide; x++) {
      const from = (start + x) * this.channels;
      for (let y = 0; y < this.bands; y++) pixels[y * wide + x] = this.palette[content[from + this.bands - 1 - y]];
    }
    context.putImageData(image, 0, 0);
    return picture;
  }

  draw(context, view, top, height) {
    if (!this.levels[0].columns) return;
    const level = this.levelFor((this.columnsABeat * view.span) / (view.width * view.ratio));
    const rate = this.columnsABeat / 2 ** level; // columns a beat here
    const { columns } = this.levels[level];
    const edge = (column) => Math.round(view.x(column / rate) * view.ratio) / view.ratio; // no seams
    const last = Math.min(Math.floor(((view.left + view.span) * rate) / TILE), Math.ceil(columns / TILE) - 1);
    for (let n = Math.max(Math.floor((view.left * rate) / TILE), 0); n <= last; n++) {
      const [from, to] = [n * TILE, Math.min((n + 1) * TILE, columns)];
      context.drawImage(this.tile(level, n), edge(from), top, edge(to) - edge(from), height);
    }
  }

  drawOnsets(context, view, top, bottom) {
    const level = this.levelFor((this.columnsABeat * view.span) / view.width);
    const { content, columns } = this.levels[level];
    const rate = this.columnsABeat / 2 ** level;
    const first = clamp(Math.floor(view.left * rate), 0, columns);
    const last = Math.min(Math.ceil((view.left + view.span) * rate), columns - 1);
    const tall = (bottom - top - 3) / 255;
    context.beginPath();
    context.moveTo(view.x(first / rate), bottom);
    for (let column = first; column <= last; column++) {
      context.lineTo(view.x(column / rate), bottom - tall * content[column * this.channels + this.bands]);
    }
    context.lineTo(view.x(last / rate), bottom);
    context.closePath();
    context.fillStyle = this.onset;
    context.fill();
  }
}

// --- small things

function bytes(view) {
  if (!view) return new Uint8Array(0);
  return view instanceof ArrayBuffer ? new Uint8Array(view) : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function floats(view) {
  return new Float32Array(bytes(view).slice().buffer); // its own, so that it is aligned
}

function kindOf(content) {
  const head = String.fromCharCode(...content.subarray(0, 4));
  if (head === "OggS") return "audio/ogg";
  if (head === "RIFF") return "audio/wav";
  if (head === "fLaC") return "audio/flac";
  return "audio/mpeg";
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function clockOf(seconds, digits) {
  const tenths = Math.round(Math.abs(seconds) * 10 ** digits) / 10 ** digits;
  const rest = (tenths % 60).toFixed(digits).padStart(3 + digits, "0");
  return `${seconds < 0 ? "−" : ""}${Math.floor(tenths / 60)}:${rest}`;
}

function isArrow(direction) {
  return (direction >= 0 && direction < ANY) || (direction >= 1000 && direction <= 1360);
}

// Degrees clockwise from up; Mapping Extensions count theirs from down.
function turnOf(direction) {
  if (direction >= 1000) return (direction % 1000) + 180;
  return TURNS[direction] ?? 0;
}

// The last place whose number is not above a value; 0 if there is none.
function lastUpTo(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle;
    else high = middle;
  }
  return low;
}

// Where the first row begins whose beat is not below one.
function firstFrom(rows, size, beat) {
  let [low, high] = [0, rows.length / size];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle * size] < beat) low = middle + 1;
    else high = middle;
  }
  return low * size;
}

// How far any row up to each one reaches; never falls, so that it can be searched.
function reaches(rows, size, endOf) {
  const ends = new Float32Array(rows.length / size);
  for (let n = 0; n < ends.length; n++) ends[n] = Math.max(n ? ends[n - 1] : -Infinity, endOf(n * size));
  return ends;
}

// Every row that may reach into a stretch.
function eachOver(rows, size, ends, left, right, draw) {
  for (let n = firstFrom(ends, 1, left); n < ends.length; n++) {
    if (rows[n * size] > right) break;
    draw(rows, n * size);
  }
}

function rgbOf(colour) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}
