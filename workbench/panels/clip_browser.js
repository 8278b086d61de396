// Clips of a dataset, page by page: what ClipBrowser of clip_browser.py shows in a browser.
//
// The kernel sends a page of clips when `page` has changed. One clip sounds at a time, and its wave
// is coloured as far as it has sounded. Units: seconds, CSS pixels.

const KEYS = { PageUp: -1, PageDown: 1, ArrowLeft: -1, ArrowRight: 1 };

export default {
  render({ model, el }) {
    const root = part("div", "wb-panel wb-clips", {
      "data-workbench": "clip-browser",
      role: "group",
      "aria-label": "clips of the dataset",
      title: "Left and right turn the page, up and down go to the next clip, space plays it.",
    });
    const bar = part("div", "wb-bar");
    const [back, on] = [button("back", "page before", "‹"), button("on", "next page", "›")];
    const told = part("span", "wb-told", { "data-part": "told", role: "status" });
    const list = part("ul", "wb-clips-list");
    const audio = part("audio", "", { preload: "auto" });
    bar.append(back, on, told);
    root.append(bar, list, audio);
    el.append(root);

    let rows = [];
    let sounding = null;
    let frame = 0;
    let url = "";
    const over = new AbortController();
    const listen = (target, name, handler) => target.addEventListener(name, handler, { signal: over.signal });

    function silence() {
      audio.pause();
      sounding = null;
      audio.removeAttribute("src");
      URL.revokeObjectURL(url);
    }

    function fill() {
      const hadFocus = list.contains(document.activeElement);
      silence();
      rows = model.get("clips").map((clip) => {
        const node = part("li", "wb-clip");
        const play = button("play", "play");
        play.setAttribute("aria-label", `play ${clip.id}`);
        const wave = part("canvas", "", { "aria-hidden": "true" });
        const words = part("span", "wb-told");
        words.textContent = clip.told;
        node.append(play, wave, words);
        const peaks = new Uint8Array(clip.peaks.buffer, clip.peaks.byteOffset, clip.peaks.byteLength);
        const row = { clip, node, play, wave, words, peaks };
        play.addEventListener("click", () => toggle(row));
        wave.addEventListener("pointerdown", (event) => toggle(row, event.offsetX / wave.clientWidth));
        return row;
      });
      list.replaceChildren(...rows.map((row) => row.node));
      list.setAttribute("aria-busy", "false");
      if (hadFocus) rows[0]?.play.focus();
      tell();
      ask();
    }

    function tell() {
      const [page, pages, count] = ["page", "pages", "count"].map((name) => model.get(name));
      told.textContent = count ? `page ${page + 1} of ${pages}, ${count} clips` : "no clips";
      back.disabled = page <= 0;
      on.disabled = page + 1 >= pages;
    }

    function turn(by) {
      const page = model.get("page") + by;
      if (page < 0 || page >= model.get("pages")) return;
      list.setAttribute("aria-busy", "true");
      model.set("page", page);
      model.save_changes();
      tell();
    }

    function toggle(row, share = null) {
      if (sounding === row && share === null) {
        if (audio.paused) audio.play();
        else audio.pause();
        return;
      }
      if (sounding !== row) {
        silence();
        sounding = row;
        url = URL.createObjectURL(new Blob([row.clip.audio], { type: "audio/flac" }));
        audio.src = url;
      }
      audio.currentTime = (share ?? 0) * row.clip.seconds;
      audio.play().catch((error) => {
        if (error.name !== "AbortError") row.words.textContent = `${row.clip.told} (the browser cannot play it)`;
      });
    }

    function draw() {
      frame = 0;
      const [ink, hit] = [colour(root, "--wb-grey"), colour(root, "--wb-hit")];
      for (const row of rows) {
        const [context, width, height] = cleared(row.wave);
        const share = row === sounding ? audio.currentTime / row.clip.seconds : 0;
        row.peaks.forEach((peak, at) => {
          const tall = Math.max(1, (peak / 255) * (height - 4));
          context.fillStyle = (at + 0.5) / row.peaks.length < share ? hit : ink;
          context.fillRect((at * width) / row.peaks.length, (height - tall) / 2, Math.max(width / row.peaks.length - 0.5, 0.5), tall);
        });
        drawIcon(row.play, row === sounding && !audio.paused);
        row.node.dataset.played = share.toFixed(2);
      }
      if (!audio.paused) ask();
    }
    const ask = () => {
      if (!frame) frame = requestAnimationFrame(draw);
    };

    listen(back, "click", () => turn(-1));
    listen(on, "click", () => turn(1));
    for (const name of ["play", "pause", "ended", "seeked"]) listen(audio, name, ask);
    listen(root, "keydown", (event) => {
      const at = rows.findIndex((row) => row.play === document.activeElement);
      if (event.key in KEYS) turn(KEYS[event.key]);
      else if (event.key === "ArrowDown") rows[Math.min(at + 1, rows.length - 1)]?.play.focus();
      else if (event.key === "ArrowUp") rows[Math.max(at - 1, 0)]?.play.focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    model.on("change:clips", fill);
    const ends = [drawnAnew(root, ask), hideStill(root)];
    fill();
    return () => {
      over.abort();
      ends.forEach((end) => end());
      model.off("change:clips", fill);
      cancelAnimationFrame(frame);
      silence();
    };
  },
};
