"""How pages look, and what a click on the head of a table does; see workbench.runs.page."""

STYLE = """.runs-page { font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
  font-size: var(--jp-content-font-size1, 15px);
  --faint: rgba(127, 140, 154, 0.16); --line: rgba(127, 140, 154, 0.4); --accent: #3b7dbf;
  --good: #0c9c64; --bad: #d8453a; }
.runs-page h1 { font-size: 1.5em; line-height: 1.25; margin: 0 0 0.2em; }
.runs-page h2 { font-size: 1.2em; margin: 2em 0 0.4em; }
.runs-page h3 { font-size: 1em; margin: 1.4em 0 0.4em; }
.runs-page p { margin: 0.3em 0; max-width: 48em; }
.runs-page .quiet, .runs-page figcaption { opacity: 0.75; }
.runs-page a { color: var(--accent); }
.runs-page nav ul { display: flex; flex-wrap: wrap; gap: 0.2em 1.2em; list-style: none;
  padding: 0; }
.runs-page .wide { overflow-x: auto; margin: 0.4em 0; max-width: 100%; }
.runs-page table { border-collapse: collapse; border: 0; font-variant-numeric: tabular-nums; }
.runs-page th, .runs-page td { padding: 0.25em 0.8em; text-align: left; vertical-align: top;
  border: 0; border-bottom: 1px solid var(--line); white-space: pre-wrap;
  overflow-wrap: normal; max-width: 26em; }
.runs-page thead th { border-bottom-width: 2px; white-space: nowrap; }
.runs-page tbody tr:hover { background: var(--faint); }
.runs-page .number { text-align: right; }
.runs-page .name { white-space: nowrap; }
.runs-page th button { all: unset; cursor: pointer; font-weight: 600; }
.runs-page th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.runs-page th button::after { content: " \\2195"; content: " \\2195" / "";
  opacity: 0.6; font-weight: 400; }
.runs-page th[aria-sort="ascending"] button::after { content: " \\2191"; content: " \\2191" / "";
  opacity: 1; }
.runs-page th[aria-sort="descending"] button::after { content: " \\2193"; content: " \\2193" / "";
  opacity: 1; }
.runs-page .state { white-space: nowrap; }
.runs-page .state::before { content: "\\25cf\\00a0"; content: "\\25cf\\00a0" / "";
  opacity: 0.6; }
.runs-page .state.done::before { content: "\\2713\\00a0"; content: "\\2713\\00a0" / "";
  color: var(--good); opacity: 1;
  font-weight: 700; }
.runs-page .state.failed::before { content: "\\2717\\00a0"; content: "\\2717\\00a0" / "";
  color: var(--bad); opacity: 1;
  font-weight: 700; }
.runs-page .panes { display: flex; flex-wrap: wrap; gap: 0.6em 1.4em; }
.runs-page .panes svg { flex: 0 1 340px; width: 340px; min-width: 0; max-width: 100%;
  height: auto; }
.runs-page .legend { display: flex; flex-wrap: wrap; gap: 0.1em 1.2em; list-style: none;
  padding: 0; margin: 0.2em 0 0.6em; }
.runs-page pre { font: 13px/1.45 ui-monospace, monospace; overflow-x: auto; margin: 0.4em 0;
  padding: 0.6em 0; background: var(--faint); border-radius: 4px; color: inherit; }
.runs-page pre span { display: block; width: max-content; min-width: 100%; box-sizing: border-box;
  padding: 0 0.8em; white-space: pre; }
.runs-page pre .gone { background: rgba(216, 69, 58, 0.22); }
.runs-page pre .come { background: rgba(12, 156, 100, 0.22); }
.runs-page pre .place { opacity: 0.75; }
.runs-page details { margin: 0.5em 0; }
.runs-page summary { cursor: pointer; }
.runs-page .failure { border-left: 3px solid var(--bad); padding-left: 0.8em; margin: 1em 0; }
.runs-page .pair { display: grid; gap: 0.8em; margin: 0.4em 0 1.4em;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24em), 1fr)); }
.runs-page figure { margin: 0; min-width: 0; }
.runs-page figure img { max-width: 100%; background: #fff; border-radius: 4px; }
.runs-page .none { border: 1px dashed var(--line); border-radius: 4px; padding: 1em; }
"""

SCRIPT = """for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
      const order = new Intl.Collator(undefined, { numeric: true });
      rows.sort(([a], [b]) => {
        if ((a === "") !== (b === "")) return a === "" ? 1 : -1; // what is not there comes last
        const both = a !== "" && !isNaN(a) && !isNaN(b);
        return sign * (both ? Number(a) - Number(b) : order.compare(a, b));
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
"""
