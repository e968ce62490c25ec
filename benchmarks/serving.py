"""How long one waits on the page of `shiftproof serve`: for an answer, for the plane, and while dragging.

python -m benchmarks.serving [--screenshot]

The peer is a page of Gradio, whose packages are expected in .gradio (`make bench` puts them there), or in the
folder that SHIFTPROOF_GRADIO names.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from benchmarks.browsing import chromium

from shiftproof._device import describe_environment, describe_machine
from shiftproof.serve import demo, export_page

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

RESULT = Path(__file__).parent / "results" / "serving.json"
SCREENSHOT = Path(__file__).parents[1] / "docs" / "serve.png"
REPEATS = 20
FRAMES = 600
WINDOW: ViewportSize = {"width": 1280, "height": 960}

# From a click on the next image until the first model's answer, and its whole plane, are on the screen.
NEXT_IMAGE = """() => new Promise((done) => {
  const model = document.querySelector(".model");
  const [value, progress] = [model.querySelector(".value"), model.querySelector(".progress")];
  const start = performance.now();
  let answer = 0;
  let asked = false;
  const watcher = new MutationObserver(() => {
    if (value.textContent === "…") asked = true;
    else if (asked) answer ||= performance.now() - start;
    if (answer && progress.textContent.startsWith("trained")) {
      watcher.disconnect();
      requestAnimationFrame(() => done([answer, performance.now() - start]));
    }
  });
  watcher.observe(model, { subtree: true, childList: true, characterData: true });
  document.getElementById("after").click();
})"""

# One move of the image for each frame that the browser draws.
DRAG = """(count) => new Promise((done) => {
  const image = document.getElementById("image");
  const box = image.getBoundingClientRect();
  const [x, y, scale] = [box.left + box.width / 2, box.top + box.height / 2, box.width / 28];
  const send = (kind, k) => image.dispatchEvent(new PointerEvent(kind, {
    bubbles: true, pointerId: 1, buttons: 1,
    clientX: x + 7.4 * scale * Math.sin(k / 9), clientY: y + 7.4 * scale * Math.cos(k / 13),
  }));
  image.setPointerCapture = () => {};
  send("pointerdown", 0);
  const times = [];
  const step = (time) => {
    times.push(time);
    send("pointermove", times.length);
    if (times.length < count) return requestAnimationFrame(step);
    send("pointerup", 0);
    done(times.slice(1).map((each, k) => each - times[k]));
  };
  requestAnimationFrame(step);
})"""

# What each move would take if it were a question to the server instead of a look-up.
ROUND_TRIPS = """async (count) => {
  const times = [];
  for (let k = 0; k < count; k += 1) {
    const start = performance.now();
    const question = { model: 0, image: "0", dy: (k % 16) - 8, dx: 1 };
    await (await fetch("shift", { method: "POST", body: JSON.stringify(question) })).json();
    times.push(performance.now() - start);
  }
  return times;
}"""


# From a move by one pixel until the answer to it is on the screen, frame by frame, as a visitor sees it.
OUR_MOVES = """async (count) => {
  const [image, where] = ["image", "where"].map((id) => document.getElementById(id));
  const value = document.querySelector(".model .value");
  const frame = () => new Promise(requestAnimationFrame);
  const times = [];
  for (let k = 0; k < count; k += 1) {
    const [key, before] = [k % 2 ? "ArrowLeft" : "ArrowRight", where.textContent];
    await frame();
    const start = performance.now();
    image.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    do await frame(); while (where.textContent === before || value.textContent === "…");
    times.push(performance.now() - start);
  }
  return times;
}"""
PEER_MOVES = """async (count) => {
  const slider = document.querySelectorAll("input[type=range]")[1];
  const said = document.querySelector("textarea");
  const frame = () => new Promise(requestAnimationFrame);
  const times = [];
  for (let k = 0; k < count; k += 1) {
    const dx = k % 2 ? 0 : 1;
    await frame();
    const start = performance.now();
    slider.value = dx;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    do await frame(); while (!said.value.startsWith(`dy 0 dx ${dx}:`));
    times.push(performance.now() - start);
  }
  return times;
}"""


def main() -> None:
    load = os.getloadavg()[0]
    peer = _peer()
    command = [sys.executable, "-m", "shiftproof", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        measured = _visited(process.stdout.readline().strip())
        start = time.perf_counter()
        process.send_signal(signal.SIGINT)
        process.wait()
        measured["leave_s"] = time.perf_counter() - start
    environment = describe_environment(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as name, demo() as shown:
        start = time.perf_counter()
        size = export_page(shown, Path(name)).stat().st_size
        measured |= {"export_s": time.perf_counter() - start, "export_bytes": size}
    record = {
        "machine": describe_machine(torch.device("cpu")),
        "versions": {key: environment[key] for key in ("shiftproof", "torch", "python")},
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "load": round(load, 2),
        "repeats": REPEATS,
        **measured,
        "peer": peer,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for key in ("answer_ms", "plane_ms", "frame_ms", "round_trip_ms", "move_ms"):
        print(f"{key}: median {statistics.median(record[key]):.3g}, largest {max(record[key]):.3g}")
    print(f"gradio {peer['version']}: median {statistics.median(peer['move_ms']):.3g}; load {load:.1f}")
    print({key: record[key] for key in ("leave_s", "export_s", "export_bytes")})


def _peer() -> dict[str, Any]:
    """The same network on a page of Gradio, moved by its slider; its requests to other hosts are refused."""
    folder = Path(os.environ.get("SHIFTPROOF_GRADIO", ".gradio")).absolute()
    assert (folder / "gradio").is_dir(), (
        f"pip install --target {folder} -r benchmarks/gradio-requirements.txt"
    )
    paths = [str(folder), *sys.path[:1], os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "GRADIO_ANALYTICS_ENABLED": "False"}
    command = [sys.executable, "-m", "benchmarks.gradio_page"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        version, address = process.stdout.readline().split()
        with chromium() as browser:
            page = browser.new_page(viewport=WINDOW)
            home = address.rstrip("/")
            page.route(
                "**/*", lambda way: way.continue_() if way.request.url.startswith(home) else way.abort()
            )
            page.goto(address)
            page.wait_for_selector("input[type=range]")
            page.wait_for_selector("textarea")
            page.evaluate(PEER_MOVES, 2)
            found = page.evaluate(PEER_MOVES, REPEATS)
        process.communicate("")
    return {"name": "gradio", "version": version, "move_ms": found}


def _visited(address: str) -> dict[str, Any]:
    from playwright.sync_api import expect

    with chromium() as browser:
        page = browser.new_page(viewport=WINDOW)
        page.goto(address)
        for number in range(2):
            expect(page.locator(".model .progress").nth(number)).to_contain_text("trained", timeout=30_000)
        waited = [page.evaluate(NEXT_IMAGE) for _ in range(REPEATS)]
        found = {
            "answer_ms": [answer for answer, _ in waited],
            "plane_ms": [plane for _, plane in waited],
            "move_ms": page.evaluate(OUR_MOVES, REPEATS),
            "frame_ms": page.evaluate(DRAG, FRAMES),
            "round_trip_ms": page.evaluate(ROUND_TRIPS, REPEATS),
        }
        if "--screenshot" in sys.argv:
            _look(page, address)
    return found


def _look(page: Page, address: str) -> None:
    """The picture in docs/serve.md: a digit that was moved until the first network took it for another."""
    from playwright.sync_api import expect

    page.goto("about:blank")
    page.goto(f"{address}#image=4")
    expect(page.locator(".model .progress").nth(1)).to_contain_text("trained")
    page.locator("#change").click()
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=SCREENSHOT)


if __name__ == "__main__":
    main()
