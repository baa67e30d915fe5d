"""The report as a browser shows it: nothing is asked for, nothing is complained about, nothing sticks out."""

import html
import json
import re
import shutil
import struct
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from embedrun_plugins.results.report import report

PHONE, DESKTOP = 360, 1280
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--disable-features=NetworkTimeServiceQuerying,OptimizationHints",
    "--enable-logging=stderr",
)
# A frame of the width to be tested, since a window cannot be narrower than 500; its content is of the same origin.
FRAME = """<!doctype html><title>frame</title>
<style>body{{margin:0}}iframe{{border:0;width:{width}px;height:900px}}</style>
<iframe srcdoc="{source}"></iframe><pre id="found"></pre><script>
addEventListener("load", () => {{
  const inside = document.querySelector("iframe").contentDocument;
  for (const closed of inside.querySelectorAll("details")) closed.open = true;
  const root = inside.documentElement, width = root.clientWidth;
  const wide = [...inside.querySelectorAll("body *")].filter(one =>
    !one.closest(".scroll, pre, svg") && one.getBoundingClientRect().right > width + 1).map(one => one.outerHTML);
  const letters = [...inside.querySelectorAll("svg text")].filter(one => {{
    const [own, plot] = [one.getBoundingClientRect(), one.closest(".plot").getBoundingClientRect()];
    return own.left < plot.left - 8 || own.right > plot.right + 8;
  }}).map(one => one.textContent);
  found.textContent = JSON.stringify({{width, scroll: root.scrollWidth, wide, letters, title: inside.title,
    sections: inside.querySelectorAll("section").length}});
}});
</script>"""


@dataclass(frozen=True)
class Shown:
    """What the browser left."""

    out: str
    complaints: list[str]


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., Shown]:
    """Open an address in a browser that has never run before."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium here (Debian's package is called chromium)")

    def open_page(address: str, *words: str) -> Shown:
        profile = tmp_path / "profile"
        command = [program, *QUIET, f"--user-data-dir={profile}", *words, address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        shutil.rmtree(profile, ignore_errors=True)
        return Shown(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])

    return open_page


@pytest.fixture
def source(made) -> str:
    return report.of_run(made.write())


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_nothing_sticks_out_of_the_page_on_a_phone_and_on_a_desktop(browse, source, tmp_path, width):
    file = tmp_path / "frame.html"
    file.write_text(FRAME.format(width=width, source=html.escape(source)), "utf-8")
    shown = browse(file.as_uri(), f"--window-size={max(width, 500)},900", "--dump-dom")
    written = re.search(r'<pre id="found">(.*?)</pre>', shown.out, re.DOTALL)
    assert written is not None
    found = json.loads(html.unescape(written[1]))
    assert found["scroll"] <= found["width"] == width
    assert found["wide"] == []
    assert found["letters"] == []
    assert found["sections"] == 10
    assert found["title"] == "demo: embedrun"  # a hostile text would have changed it


@pytest.mark.parametrize("width", [500, DESKTOP])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_page_is_drawn_without_complaint_in_the_readers_colours(browse, source, tmp_path, width, scheme):
    file, picture = tmp_path / "report.html", tmp_path / "report.png"
    file.write_text(source, "utf-8")
    setting = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    shown = browse(file.as_uri(), setting, f"--window-size={width},1400", f"--screenshot={picture}")
    assert shown.complaints == []
    drawn = picture.read_bytes()
    assert struct.unpack(">II", drawn[16:24]) == (width, 1400)
    assert len(drawn) > 20_000, "an empty page packs smaller"


def test_the_page_asks_for_nothing_but_itself(browse, source):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        def do_GET(self) -> None:
            asked.append(self.path)
            content = source.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        # Whatever is asked of another host goes to this one, and would be seen.
        rules = f"--host-resolver-rules=MAP * 127.0.0.1:{server.server_port}"
        shown = browse(f"http://127.0.0.1:{server.server_port}/report.html", rules, "--dump-dom")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "Wins and losses" in shown.out
    assert shown.complaints == []
    assert asked == ["/report.html"]
