// A groove on its grid with a play head: what GroovePlayer of groove_player.py shows in a browser.
//
// A canvas shows as many bars as there is room for, and turns over with the head. The sound is an
// audio element, whose clock moves the head. Units: seconds, steps of the grid, CSS pixels.

const NAMES = 84;
const RULER = 20;
const ROW = 22;
const LEAST_STEP = 13; // pixels
const LIT_STEPS = 0.9; // after a hit, in which it shines

export default {
  render({ model, el }) {
    const grid = model.get("grid");
    const cells = new Uint8Array(model.get("velocities").buffer, model.get("velocities").byteOffset, model.get("velocities").byteLength);
    const steps = grid.bars * grid.bar_steps;
    const root = part("div", "wb-panel wb-groove", { "data-workbench": "groove-player", role: "group", "aria-label": grid.title });
    const bar = part("div", "wb-bar");
    const play = button("play", "play");
    const loop = button("loop", "begin again at the end", "loop");
    const time = part("span", "wb-told wb-groove-time", { "data-part": "time" });
    const told = part("span", "wb-told");
    told.textContent = grid.title;
    const canvas = part("canvas", "", {
      tabindex: "0",
      role: "slider",
      "aria-label": "play head",
      "aria-valuemin": "0",
      "aria-valuemax": grid.seconds.toFixed(2),
      title: "Space plays and pauses; left and right go by a beat, up and down by a bar; home and end go to the ends; a click goes there.",
    });
    canvas.dataset.lmSuppressShortcuts = "true";
    canvas.style.height = `${RULER + ROW * grid.rows.length + 2}px`;
    const url = URL.createObjectURL(new Blob([model.get("audio")], { type: "audio/ogg" }));
    const audio = part("audio", "", { preload: "auto", src: url });
    play.disabled = true;
    loop.setAttribute("aria-pressed", "false");
    bar.append(play, loop, time, told);
    root.append(bar, canvas, audio);
    el.append(root);

    let frame = 0;
    const over = new AbortController();
    const on = (target, name, handler) => target.addEventListener(name, handler, { signal: over.signal });
    const secondsAt = (step) => step * grid.step_seconds;

    function shown(width, head) {
      const room = Math.floor((width - NAMES) / (LEAST_STEP * grid.bar_steps));
      const bars = Math.max(1, Math.min(room, 4, grid.bars));
      const first = Math.min(Math.floor(head / grid.bar_steps / bars) * bars, Math.max(grid.bars - 1, 0));
      return [first * grid.bar_steps, bars * grid.bar_steps];
    }

    function draw() {
      frame = 0;
      const [context, width, height] = cleared(canvas);
      if (!width) return;
      const head = Math.min(audio.currentTime / grid.step_seconds, steps);
      const [first, count] = shown(width, Math.min(head, steps - 0.01));
      const step = (width - NAMES) / count;
      const x = (at) => NAMES + (at - first) * step;
      const [ink, line, hit, green] = ["--wb-ink", "--wb-line", "--wb-hit", "--wb-head"].map((name) => colour(root, name));
      context.font = "12px system-ui, sans-serif";
      context.textBaseline = "middle";
      context.fillStyle = ink;
      grid.rows.forEach((name, row) => context.fillText(name, 2, RULER + ROW * (row + 0.5), NAMES - 8));
      const last = Math.min(first + count, steps);
      for (let at = first; at <= last; at++) {
        const isBar = at % grid.bar_steps === 0;
        const isBeat = at % grid.beat_steps === 0;
        context.fillStyle = isBar ? ink : line;
        context.globalAlpha = isBeat ? 1 : 0.5;
        context.fillRect(Math.round(x(at)), isBar ? 0 : RULER, 1, height);
        context.globalAlpha = 1;
        context.fillStyle = ink;
        if (isBar && at < last) context.fillText(`bar ${at / grid.bar_steps + 1}`, x(at) + 5, RULER / 2);
      }
      context.fillStyle = line;
      for (let row = 0; row <= grid.rows.length; row++) context.fillRect(NAMES, RULER + ROW * row, x(last) - NAMES, 1);
      grid.rows.forEach((_, row) => {
        for (let at = first; at < last; at++) {
          const velocity = cells[row * steps + at];
          if (!velocity) continue;
          const isLit = !audio.paused && head >= at && head < at + LIT_STEPS;
          context.globalAlpha = isLit ? 1 : 0.25 + (0.75 * velocity) / 127;
          context.fillStyle = isLit ? green : hit;
          context.beginPath();
          context.roundRect(x(at) + 2, RULER + ROW * row + 3, Math.max(step - 3, 3), ROW - 5, 3);
          context.fill();
        }
      });
      context.globalAlpha = 1;
      context.fillStyle = green;
      context.fillRect(x(head) - 1, 0, 2, height);
      tell(head);
      if (!audio.paused) ask();
    }

    function tell(head) {
      const at = Math.min(head, steps - 0.01) + 1e-6;
      const where = `bar ${Math.floor(at / grid.bar_steps) + 1}, beat ${Math.floor((at % grid.bar_steps) / grid.beat_steps) + 1}`;
      const text = `${clock(audio.currentTime)} / ${clock(grid.seconds)}  ${where}`;
      if (time.textContent !== text) time.textContent = text;
      canvas.setAttribute("aria-valuenow", audio.currentTime.toFixed(2));
      canvas.setAttribute("aria-valuetext", where);
      drawIcon(play, !audio.paused);
    }

    const ask = () => {
      if (!frame) frame = requestAnimationFrame(draw);
    };
    const toggle = () => (audio.paused ? audio.play().catch(() => broken()) : audio.pause());
    const seek = (seconds) => {
      audio.currentTime = Math.max(0, Math.min(seconds, audio.duration || grid.seconds));
      ask();
    };
    const broken = () => {
      play.disabled = true;
      play.title = "the browser cannot play this sound";
    };
    on(play, "click", toggle);
    on(loop, "click", () => {
      audio.loop = !audio.loop;
      loop.setAttribute("aria-pressed", String(audio.loop));
    });
    on(audio, "canplay", () => {
      play.disabled = false;
    });
    on(audio, "error", broken);
    for (const name of ["play", "pause", "ended", "seeked"]) on(audio, name, ask);
    on(audio, "pause", () => {
      model.set("seconds", audio.currentTime);
      model.save_changes();
    });
    on(canvas, "pointerdown", (event) => {
      const head = Math.min(audio.currentTime / grid.step_seconds, steps - 0.01);
      const [first, count] = shown(canvas.clientWidth, head);
      seek(secondsAt(first + ((event.offsetX - NAMES) / (canvas.clientWidth - NAMES)) * count));
    });
    on(canvas, "keydown", (event) => {
      const beat = secondsAt(grid.beat_steps);
      const by = { ArrowLeft: -beat, ArrowRight: beat, ArrowUp: -secondsAt(grid.bar_steps), ArrowDown: secondsAt(grid.bar_steps) };
      if (event.key === " ") toggle();
      else if (event.key === "Home") seek(0);
      else if (event.key === "End") seek(grid.seconds);
      else if (event.key in by) seek(audio.currentTime + by[event.key]);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    const ends = [drawnAnew(root, ask), hideStill(root)];
    ask();
    return () => {
      over.abort();
      ends.forEach((end) => end());
      cancelAnimationFrame(frame);
      audio.pause();
      audio.removeAttribute("src");
      URL.revokeObjectURL(url);
    };
  },
};
