"""A JupyterLab server as a process, and what a person does in its page."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false"},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # all cells are there
}
# Words of the console that are the Lab's own: it looks for files that need not be there.
NOT_OURS = ("favicon", "Failed to load resource", "was preloaded using link preload")

CLEARED = """async () => {
    const { commands, shell } = jupyterapp;
    shell.collapseLeft();
    shell.collapseRight();
    shell.currentWidget.content.deselectAll();
    shell.currentWidget.content.activeCellIndex = 0;
    await commands.execute("notebook:enter-command-mode");
    document.activeElement?.blur();
}"""
# The page as tall as what is above, in and below the cells; the notebook itself leaves half a page
# empty below its last cell.
CONTENT_HEIGHT = """() => {
    const outer = document.querySelector(".jp-WindowedPanel-outer");
    const last = [...outer.querySelectorAll(".jp-Cell")].at(-1).getBoundingClientRect().bottom;
    const box = outer.getBoundingClientRect();
    return Math.ceil(innerHeight - box.height + last - box.top + outer.scrollTop + 12);
}"""
# Tables that scroll in a frame of their own are no wider than it.
BEYOND = """() => Math.max(0, ...[...document.querySelectorAll(
    ".jp-OutputArea-output, .jp-OutputArea-output .jupyter-widgets")]
    .map((each) => each.getBoundingClientRect().right -
        each.closest(".jp-Notebook").getBoundingClientRect().right))"""


class Lab:
    """A server on a free port of this machine, with notebooks copied into a folder of its own."""

    def __init__(self, folder, notebooks):
        self.folder, self.token = folder, secrets.token_hex(16)
        self._files = folder / "files"
        shutil.copytree(notebooks, self._files)
        for name, values in SETTINGS.items():
            path = folder / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(values))

    def __enter__(self):
        places = {"CONFIG": "config", "DATA": "data", "RUNTIME": "runtime"}
        env = os.environ | {
            f"JUPYTER_{name}_DIR": str(self.folder / place) for name, place in places.items()
        }
        env |= {"JUPYTERLAB_SETTINGS_DIR": str(self.folder / "settings")}
        env |= {"JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces")}
        env |= {"IPYTHONDIR": str(self.folder / "ipython"), "MPLBACKEND": "agg"}
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"),
                    *("--port=0", "--allow-root", f"--IdentityProvider.token={self.token}"),
                    *(f"--ServerApp.root_dir={self._files}", "--expose-app-in-browser"),
                ],
                env=env,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self.url = self._address()
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def asked(self, path):
        """Return what the server's interface says."""
        request = urllib.request.Request(
            f"{self.url}{path}", headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def wait_for_kernel(self, name, seconds=60):
        """Wait until a notebook's kernel is idle and the page is connected to it.

        The page's own word, idle, is there before it is connected.
        """

        def is_there():
            for session in self.asked("api/sessions"):
                kernel = session["kernel"]
                if session["path"] == name and kernel["execution_state"] == "idle":
                    return kernel["connections"] > 0
            return False

        until(is_there, seconds, f"the kernel of {name}")
        time.sleep(0.3)

    def _address(self):
        def listed():
            return list((self.folder / "runtime").glob("jpserver-*.json"))

        until(listed, 90, "the server")
        told = {}

        def is_whole():
            try:
                told.update(json.loads(listed()[0].read_text()))
            except ValueError:  # half written
                return False
            return True

        until(is_whole, 5, "the server's address")
        return told["url"]


class Page:
    """A page of a Lab.

    Attributes:
        page: Playwright's.
        errors: What the console and the program of the page complained of.
        abroad: Requests that would have left the machine; the browser resolves no other name.
    """

    def __init__(self, page, lab):
        self.page, self.lab = page, lab
        self.errors, self.abroad = [], []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._asked)
        page.set_default_timeout(20_000)

    def open(self, name):
        """Open a notebook and wait for its kernel."""
        self.page.goto(f"{self.lab.url}lab/tree/{name}?token={self.lab.token}&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self.lab.wait_for_kernel(name)

    def run_all(self, cells, seconds=120):
        """Run all cells, and wait until the last one has run."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.page.wait_for_function(
            """(cells) => {
                const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")];
                return prompts.some((each) => each.textContent.includes(`[${cells}]`));
            }""",
            arg=cells,
            timeout=1000 * seconds,
        )

    def button(self, name):
        """Return a widget's button; its icon is a letter of its name to the browser."""
        return self.page.locator("button.jupyter-button", has_text=re.compile(f"^{name}$")).first

    def look(self, theme):
        """Choose the light or the dark theme."""
        self.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })",
            f"JupyterLab {theme}",
        )
        self.page.wait_for_selector(
            f"body[data-jp-theme-name='JupyterLab {theme}']", state="attached"
        )

    def clear(self):
        """Leave the notebook alone on the page: no side bars, and no cell that stands out."""
        self.page.evaluate(CLEARED)

    def keep(self, path, *, width, tallest):
        """Keep a picture of the whole notebook, from its title to its last output.

        Args:
            path: Where it is kept.
            width: Of the page, pixels.
            tallest: What is cut off a longer one, pixels.

        Returns:
            By how many pixels what the cells show is wider than the page has room for.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        before = self.page.viewport_size
        self.page.set_viewport_size({"width": width, "height": 900})
        time.sleep(0.3)  # lines wrap anew, and canvases are drawn again
        height = min(self.page.evaluate(CONTENT_HEIGHT), tallest)
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
        time.sleep(0.4)
        self.page.screenshot(path=path)
        beyond = self.page.evaluate(BEYOND)
        self.page.set_viewport_size(before)
        return beyond

    def close_kernel(self):
        """End the page's kernel, so that the next test has the machine for itself."""
        for session in self.lab.asked("api/sessions"):
            request = urllib.request.Request(
                f"{self.lab.url}api/sessions/{session['id']}",
                method="DELETE",
                headers={"Authorization": f"token {self.lab.token}"},
            )
            urllib.request.urlopen(request, timeout=20).close()

    def _heard(self, message):
        if message.type == "error" and not any(word in message.text for word in NOT_OURS):
            self.errors.append(message.text)

    def _asked(self, request):
        places = (self.lab.url, self.lab.url.replace("http", "ws", 1), "data:", "blob:")
        if not request.url.startswith(places):
            self.abroad.append(request.url)


def until(condition, seconds, what):
    """Wait until something is so; return what the condition found."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come about in {seconds} s"
        time.sleep(0.02)
    return found


def code_cells(path):
    """Return how many code cells a notebook has."""
    return sum(cell["cell_type"] == "code" for cell in json.loads(path.read_text())["cells"])
