"""A real browser without a window: what it lays out, and what it shows."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)
# Run in a copy of the page that lets it: where each chart and section is, and what sticks out to the side.
LOOK = """<script>addEventListener("load", () => {
const box = e => { const r = e.getBoundingClientRect();
  return [r.left, r.top + scrollY, r.right, r.bottom + scrollY].map(Math.round); };
const out = {
  width: document.documentElement.clientWidth, scroll: document.documentElement.scrollWidth,
  height: document.documentElement.scrollHeight,
  charts: [...document.querySelectorAll("svg.chart, .dag svg")].map(box),
  headings: [...document.querySelectorAll("h2")].map(e => [e.textContent, ...box(e)]),
  wide: [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg, .unseen, pre")
    && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 120)),
  clipped: [...document.querySelectorAll("svg.chart text")].filter(t => { const a = t.getBoundingClientRect(),
    b = t.closest("svg").getBoundingClientRect();
    return a.left < b.left - 2 || a.right > b.right + 2 || a.top < b.top - 2 || a.bottom > b.bottom + 2;
  }).map(t => t.textContent),
};
const pre = document.createElement("pre");
pre.id = "look"; pre.textContent = JSON.stringify(out); document.body.append(pre);
});</script>"""


def find_browser() -> str:
    """Return a Chromium; installed from the distribution's packages where that is possible."""
    if (
        (found := next(filter(None, map(shutil.which, NAMES)), None)) is None
        and os.getuid() == 0
        and shutil.which("apt-get")
    ):
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "chromium"]):
            subprocess.run(
                command, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, check=False
            )
        found = shutil.which("chromium")
    if found is None:
        pytest.fail("the report is looked at in Chromium, and there is none; install it: sudo apt-get install chromium")
    return found


@dataclass
class Browser:
    """Chromium, with a profile folder of its own."""

    program: str
    folder: Path

    def run(self, page: Path, *options: str) -> str:
        """Open a page and return what the browser prints."""
        done = subprocess.run(
            [self.program, *QUIET, f"--user-data-dir={self.folder / 'profile'}", *options, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def look(self, page: Path, width: int) -> dict:
        """Return where things are on a page of some width, by a copy that may run a script."""
        text = page.read_text(encoding="utf-8")
        text, found = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        assert found == 1
        copy = self.folder / f"look-{width}.html"
        copy.write_text(text.replace("</body>", f"{LOOK}</body>"), encoding="utf-8")
        dom = self.run(copy, "--dump-dom", f"--window-size={width},900", "--virtual-time-budget=5000")
        written = re.search(r'<pre id="look">(.*?)</pre>', dom, re.DOTALL)
        assert written, "the script didn't run"
        return json.loads(written[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))

    def shot(self, page: Path, width: int, height: int) -> Path:
        """Return a screenshot."""
        picture = self.folder / f"{page.stem}-{width}.png"
        self.run(page, f"--screenshot={picture}", f"--window-size={width},{height}")
        return picture

    def print(self, page: Path) -> bytes:
        """Return the page as it is printed, a PDF."""
        printed = self.folder / f"{page.stem}.pdf"
        self.run(page, f"--print-to-pdf={printed}", "--no-pdf-header-footer")
        return printed.read_bytes()
