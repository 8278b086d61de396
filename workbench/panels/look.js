// What the panels that a browser draws have in common; look.py puts it before each one's own.

const PLAY = "M4 2.5v11l9-5.5z";
const PAUSE = "M4 2.5h3v11H4zM9 2.5h3v11H9z";

function part(name, kind, attributes = {}) {
  const node = document.createElement(name);
  if (kind) node.className = kind;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function button(action, label, text = "") {
  const node = part("button", "wb-button", { type: "button", "data-action": action, "aria-label": label, title: label });
  node.textContent = text;
  node.dataset.lmSuppressShortcuts = "true"; // else d d would delete the cell
  return node;
}

function drawIcon(node, isPlaying) {
  const label = isPlaying ? "pause" : "play";
  if (node.dataset.icon === label) return;
  node.dataset.icon = label;
  node.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${isPlaying ? PAUSE : PLAY}"/></svg>`;
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}

// A canvas in pixels of the screen, cleared; its context counts in those of the page.
function cleared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return [context, width, height];
}

function colour(node, name) {
  return getComputedStyle(node).getPropertyValue(name).trim();
}

// Draws anew when the size or the theme changes; what it returns ends that.
function drawnAnew(root, draw) {
  const resized = new ResizeObserver(draw);
  resized.observe(root);
  const themed = new MutationObserver(draw);
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "class"] });
  return () => [resized, themed].forEach((each) => each.disconnect());
}

// What stands for the panel in a saved notebook is the next output; it may come after the panel,
// which is told its place on the page with its size.
function hideStill(root) {
  const watches = [];
  const hide = (output) => {
    const next = output.nextElementSibling;
    if (next?.querySelector("[data-workbench=still]")) next.style.display = "none";
  };
  const placed = new ResizeObserver(() => {
    const output = root.closest(".jp-OutputArea-child");
    if (!output) return;
    placed.disconnect();
    const grown = new MutationObserver(() => hide(output));
    grown.observe(output.parentElement, { childList: true, subtree: true });
    watches.push(grown);
    hide(output);
  });
  placed.observe(root);
  watches.push(placed);
  return () => watches.forEach((each) => each.disconnect());
}
