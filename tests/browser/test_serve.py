"""The page on which one drags the image, as visitors meet it: mouse, touch, keys, links, their own images."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from benchmarks.serving import DRAG
from PIL import Image
from tests.browser.seen import NARROW, WIDE, Visit, overflow_px

from shiftproof._text import percent
from shiftproof.article import draw_letter_c
from shiftproof.data import load_data
from shiftproof.serve import demo, export_page
from shiftproof.shifts import translate
from shiftproof.zoo import load_trained

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

NETWORKS = ("cnn2", "cnn2-augmented")
PATIENCE_S = 60


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of a page that a command serves."""
    command = [sys.executable, "-m", "shiftproof", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
            process.send_signal(signal.SIGINT)
            assert "Traceback" not in process.communicate(timeout=PATIENCE_S)[1]
        finally:
            process.kill()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with demo() as shown:
        return export_page(shown, tmp_path_factory.mktemp("export"))


def with_image(page: Page) -> Page:
    """The page when its image is there, and can be moved."""
    from playwright.sync_api import expect

    expect(page.locator("#about")).not_to_be_empty()
    return page


def ready(page: Page) -> Page:
    """The page when its image and both planes are there."""
    from playwright.sync_api import expect

    with_image(page)
    for number in range(2):
        expect(page.locator(".model .progress").nth(number)).to_contain_text("trained on MNIST")
    return page


def expected(name: str, image: int, dy: float, dx: float, **how: Any) -> tuple[str, str]:
    """Prediction and probability as the page must show them."""
    digits = load_data("mnist", "test").images[image][None].float() / 255
    moved = translate(digits, (dy, dx), **{"border": "zeros", **how})
    with torch.inference_mode():
        chances = load_trained(name)(moved).double().softmax(1)[0]
    best = int(chances.argmax())
    return str(best), percent(float(chances[best]))


def shown(page: Page, number: int) -> tuple[str, str]:
    answer = page.locator(".model .answer").nth(number)
    return str(answer.locator(".value").text_content()), str(answer.locator(".share").text_content())


def assert_answers(
    page: Page, image: int, dy: float, dx: float, names: tuple[str, ...] = NETWORKS, **how: Any
) -> None:
    """Both models say what they answer there; a page from disk knows probabilities to a 65536th."""
    from playwright.sync_api import expect

    for number, name in enumerate(names):
        best, share = expected(name, image, dy, dx, **how)
        if page.url.startswith("file:") and share == "100 %":
            share = "> 99.9 %"
        expect(page.locator(".model .value").nth(number)).to_have_text(best)
        expect(page.locator(".model .answer .share").nth(number)).to_have_text(share)


def drag(page: Page, dy_px: float, dx_px: float) -> None:
    """Move the image by so many of its pixels with the mouse."""
    box = page.locator("#image").bounding_box()
    assert box is not None
    middle, scale = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), box["width"] / 28
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + dx_px * scale, middle[1] + dy_px * scale, steps=4)
    page.mouse.up()


def assert_moved(page: Page, text: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#where")).to_have_text(text)


def test_dragging_shows_what_both_models_answer_there(visit: Visit, served: str) -> None:
    page = ready(visit.open(served))
    assert_answers(page, 0, 0, 0)
    drag(page, 4, 7)
    assert_moved(page, "moved 4 px down, 7 px right")
    assert_answers(page, 0, 4, 7)
    assert page.locator(".verdict").nth(0).text_content() == f"✗ unshifted: {expected('cnn2', 0, 0, 0)[0]}"
    drag(page, -40, -40)
    assert_moved(page, "moved 8 px up, 8 px left")
    assert_answers(page, 0, -8, -8)
    assert overflow_px(page) <= 0
    visit.keep(page, "serve")


def test_a_finger_drags_it_too(visit: Visit, served: str) -> None:
    page = ready(visit.open(served, has_touch=True, viewport=NARROW))
    box = page.locator("#image").bounding_box()
    assert box is not None
    x, y, scale = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"] / 28
    client = page.context.new_cdp_session(page)
    for kind, k in (("touchStart", 0), ("touchMove", 1), ("touchMove", 3), ("touchEnd", None)):
        points = [] if k is None else [{"x": x - k * scale, "y": y + k * scale}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert_moved(page, "moved 3 px down, 3 px left")
    assert_answers(page, 0, 3, -3)
    assert page.evaluate("scrollY") == 0
    assert overflow_px(page) <= 0
    visit.keep(page, "serve-narrow")


def test_keys_move_by_pixels_and_by_parts_of_them(visit: Visit, served: str) -> None:
    page = ready(visit.open(served))
    image = page.locator("#image")
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
        image.press(key)
    assert_moved(page, "moved 2 px down, 1 px left")
    assert_answers(page, 0, 2, -1)
    image.press("Shift+ArrowLeft")
    assert_moved(page, "moved 2 px down, 1.25 px left")
    assert_answers(page, 0, 2, -1.25)
    image.press("ArrowUp")
    assert_moved(page, "moved 1 px down, 1 px left")
    image.press("Home")
    assert_moved(page, "unshifted")


def test_the_picture_is_what_the_model_sees(visit: Visit, served: str) -> None:
    page = ready(visit.open(f"{served}#image=4&dy=-2.5&dx=3&border=reflect"))
    digit = load_data("mnist", "test").images[4][None].float()
    read = "(c => [...c.getContext('2d').getImageData(0, 0, 28, 28).data])(document.getElementById('image'))"
    pixels = np.array(page.evaluate(read)).reshape(28, 28, 4)
    wanted = translate(digit, (-2.5, 3), border="reflect")[0, 0].numpy()
    np.testing.assert_allclose(pixels[..., 0], wanted, atol=0.51)
    assert (pixels[..., 3] == 255).all()
    assert_answers(page, 4, -2.5, 3, border="reflect")


def test_a_link_brings_everything_back(visit: Visit, served: str) -> None:
    page = ready(visit.open(served))
    page.locator("#number").fill("17")
    page.locator("#number").press("Enter")
    page.locator("#border").select_option("circular")
    page.locator("#interpolation").select_option("fourier")
    page.locator("#model-1").select_option(label="cnn1")
    page.locator("#image").press("ArrowRight")
    page.locator("#image").press("Shift+ArrowDown")
    how = {"border": "circular", "interpolation": "fourier"}
    assert_answers(page, 17, 0.25, 1, ("cnn2", "cnn1"), **how)
    page.wait_for_url("**dy=0.25**")
    again = visit.open(page.url)
    assert_moved(again, "moved 0.25 px down, 1 px right")
    assert_answers(again, 17, 0.25, 1, ("cnn2", "cnn1"), **how)
    assert again.locator("#border").input_value() == "circular"


@pytest.mark.slow
@pytest.mark.parametrize(
    "state",
    ["image=999", "image=../../x", "dy=1e99&dx=NaN", "border=<b>&models=x,y", "image=u0123456789abcdef"],
)
def test_links_that_are_none_show_the_first_image(visit: Visit, served: str, state: str) -> None:
    page = ready(visit.open(f"{served}#{state}"))
    assert "mnist/test[0]" in str(page.locator("#about").text_content())
    visit.complaints = [text for text in visit.complaints if "400" not in text]


def test_the_plane_moves_the_image_and_the_other_plane(visit: Visit, served: str) -> None:
    page = ready(visit.open(served))
    canvas = page.locator(".plane-frame canvas")
    box = canvas.nth(0).bounding_box()
    assert box is not None
    cell = box["width"] / 17
    page.mouse.click(box["x"] + 2.5 * cell, box["y"] + 12.5 * cell)
    assert_moved(page, "moved 4 px down, 6 px left")
    assert_answers(page, 0, 4, -6)
    for number in range(2):
        assert "dy 4 px, dx −6 px" in str(canvas.nth(number).get_attribute("aria-label"))
    page.locator("#change").click()
    assert page.locator(".verdict").nth(0).text_content() == "✗ unshifted: 7"


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_an_image_of_ones_own(visit: Visit, served: str) -> None:
    page = ready(visit.open(served))
    page.locator("#own summary").click()
    digit = load_data("mnist", "test").images[9, 0].numpy()
    upload = page.locator("#file")
    upload.set_input_files({"name": "mine.png", "mimeType": "image/png", "buffer": png(digit)})
    from playwright.sync_api import expect

    expect(page.locator("#about")).to_have_text("your image")
    assert_answers(page, 9, 0, 0)
    upload.set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"#!/bin/sh\nexit"})
    expect(page.locator("#message")).to_contain_text("not a PNG")
    expect(page.locator("#about")).to_have_text("your image")
    visit.complaints = [text for text in visit.complaints if "400" not in text]


@pytest.mark.slow
def test_a_drawing(visit: Visit, served: str) -> None:
    from playwright.sync_api import expect

    page = ready(visit.open(served))
    page.locator("#own summary").click()
    page.locator("#drawing").scroll_into_view_if_needed()
    box = page.locator("#drawing").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 98, box["y"] + 35)
    page.mouse.down()
    page.mouse.move(box["x"] + 98, box["y"] + 160, steps=5)
    page.mouse.up()
    expect(page.locator("#about")).to_have_text("your image")
    expect(page.locator(".model .value").nth(0)).to_have_text("1")
    visit.keep(page, "serve-drawing")


@pytest.mark.parametrize(("scheme", "window"), [("light", WIDE), ("dark", NARROW)])
def test_axe_finds_nothing_on_the_page(visit: Visit, served: str, scheme: Any, window: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = ready(visit.open(served, color_scheme=scheme, viewport=window, bypass_csp=True))
    page.locator("#own summary").click()
    page.locator(".model").nth(0).locator("summary").click()
    page.locator(".maps[aria-busy=false] li").first.wait_for()
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    assert overflow_px(page) <= 0
    visit.keep(page, f"serve-{scheme}")


@pytest.mark.parametrize(("scheme", "window"), [("light", NARROW), ("dark", WIDE)])
def test_axe_finds_nothing_on_the_exported_page(
    visit: Visit, exported: Path, scheme: Any, window: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = ready(visit.open(exported, color_scheme=scheme, viewport=window, bypass_csp=True))
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    assert overflow_px(page) <= 0
    visit.keep(page, f"serve-exported-{scheme}")


def test_pages_print_and_say_that_they_need_scripts(visit: Visit, served: str, exported: Path) -> None:
    for place in (served, exported):
        page = ready(visit.open(place))
        boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", page.pdf(prefer_css_page_size=True))
        assert {(round(float(width)), round(float(height))) for width, height in boxes} == {(595, 842)}
        still = visit.open(place, java_script_enabled=False)
        # A browser whose scripts Playwright turns off does not show it, one without any does.
        assert "Moving the image needs scripts." in str(still.locator("noscript").text_content())


def test_the_exported_page_runs_from_disk(visit: Visit, exported: Path) -> None:
    page = ready(visit.open(exported))
    assert_answers(page, 0, 0, 0)
    drag(page, -3, 6)
    assert_moved(page, "moved 3 px up, 6 px right")
    assert_answers(page, 0, -3, 6)
    page.locator("#after").click()
    page.locator("#model-1").select_option(label="standard-nn")
    page.locator("#image").press("Shift+ArrowRight")
    assert_moved(page, "moved 3 px up, 7 px right")
    assert_answers(page, 1, -3, 7, ("cnn2", "standard-nn"))
    assert page.locator("#own").is_hidden()
    visit.keep(page, "serve-exported")


@pytest.mark.slow
def test_a_thousand_moves_leave_nothing_behind(visit: Visit, served: str) -> None:
    page = ready(visit.open(served))
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable")

    def held() -> dict[str, float]:
        client.send("HeapProfiler.collectGarbage")
        return {each["name"]: each["value"] for each in client.send("Performance.getMetrics")["metrics"]}

    page.evaluate(DRAG, 100)
    before = held()
    assert len(page.evaluate(DRAG, 1000)) == 999
    after = held()
    assert after["Nodes"] <= before["Nodes"] + 300
    assert after["JSEventListeners"] <= before["JSEventListeners"]
    assert after["JSHeapUsedSize"] < before["JSHeapUsedSize"] + 2_000_000


def test_maps_of_a_layer_that_moves_with_the_image_are_alike(visit: Visit, served: str) -> None:
    from playwright.sync_api import expect

    page = ready(visit.open(f"{served}#image=0&dy=2&dx=-1"))
    panel = page.locator(".model").nth(0)
    panel.locator("summary").click()
    panel.locator("details select").select_option("body.relu1")
    expect(panel.locator(".maps[aria-busy=false] li")).to_have_count(12)
    page.locator("#image").press("ArrowDown")
    expect(panel.locator(".maps[aria-busy=false] img")).to_have_count(24)
    expect(panel.locator(".maps .ring.inside").first).to_be_visible()
    visit.keep(page, "serve-maps")


def test_the_letter_is_the_example_and_its_pooled_maximum_is_marked(visit: Visit, served: str) -> None:
    from playwright.sync_api import expect

    page = ready(visit.open(f"{served}#models=cnn2,cnn1"))
    panel = page.locator(".model").nth(0)
    panel.locator("summary").click()
    panel.get_by_role("button", name="the letter C").click()
    expect(page.locator("#about")).to_have_text("the letter C")
    assert_moved(page, "moved 0 px down, 1 px right")
    expect(panel.locator("details select")).to_have_value("body.pool1")
    expect(panel.locator(".maps[aria-busy=false] li")).to_have_count(12)
    network = load_trained("cnn2")
    letter = draw_letter_c().float() / 255
    with torch.inference_mode():
        pooled = network.body[:3](
            network.scaled(torch.cat([letter, translate(letter, (0, 1), border="zeros")]))
        )
    channels = pooled[0].amax((1, 2)).argsort(descending=True)[:12]
    for number, channel in enumerate(channels.tolist()):
        for ring, found, back in ((0, pooled[0, channel], 0), (1, pooled[1, channel], 0.5)):
            marks = panel.locator(".maps li").nth(number).locator(".ring")
            placed = marks.nth(ring).evaluate("mark => [mark.style.top, mark.style.left].map(parseFloat)")
            row, column = (px * found.shape[0] / 64 - 0.5 for px in placed)
            assert float(found[round(row), round(column + back)]) == pytest.approx(
                float(found.max()), rel=1e-4
            )
    page.wait_for_url("**image=example**")
    assert_moved(ready(visit.open(page.url)), "moved 0 px down, 1 px right")
    visit.keep(page, "serve-letter")


LABELS = """\
import torch


def labels(images):
    parts = images[:, 0, :14].mean((1, 2)), images[:, 0, :, :14].mean((1, 2)), images.mean((1, 2, 3))
    return torch.stack(parts, 1) * 30 - 4


def profile(images):
    return images.sum((1, 3)) + 0.01
"""


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page of two models that do not answer with one class."""
    folder = tmp_path_factory.mktemp("others")
    (folder / "mine.py").write_text(LABELS)
    digits = load_data("mnist", "test").head(8)
    labels = np.stack([digits.labels.numpy() >> k & 1 for k in range(3)], 1)
    np.savez(folder / "digits.npz", images=digits.images[:, 0].numpy(), labels=labels)
    with exhibit_of(folder) as address:
        yield address


@contextmanager
def exhibit_of(folder: Path) -> Iterator[str]:
    code = (
        "from shiftproof.adapters import Classifier, Framing; from shiftproof.data import load_images\n"
        "from shiftproof.serve import exhibit, run_server; import mine\n"
        "made = [Classifier('labels', mine.labels, framing=Framing((1, 28, 28)), task='multi-label', "
        "outputs='logits', class_names=('top', 'left', 'bright')), "
        "Classifier('profile', mine.profile, framing=Framing((1, 28, 28)), task='embedding')]\n"
        "with exhibit(made, load_images('digits.npz', image_shape=(1, 28, 28)), radius_px=4) as shown:\n"
        "    run_server(shown, port=0, on_ready=lambda address: print(address, flush=True))\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def test_labels_and_neighbours_are_answers_too(visit: Visit, others: str) -> None:
    from playwright.sync_api import expect

    page = with_image(visit.open(others))
    labels, profile = page.locator(".model").nth(0), page.locator(".model").nth(1)
    digits = load_data("mnist", "test").images[:8].float() / 255
    for dy, dx in ((0, 0), (4, 2), (-4, -4)):
        drag(page, dy, dx)
        moved = translate(digits[:1], (dy, dx), border="zeros")[0, 0]
        chances = (30 * torch.stack([moved[:14].mean(), moved[:, :14].mean(), moved.mean()]) - 4).sigmoid()
        there = [name for name, p in zip(("top", "left", "bright"), chances.tolist(), strict=True) if p > 0.5]
        expect(labels.locator(".answer .value")).to_have_text(", ".join(there) or "none")
        vectors = digits.sum((1, 3)) + 0.01
        cosines = torch.cosine_similarity(vectors, moved.sum(1) + 0.01)
        nearest = int(cosines[1:].argmax()) + 1
        expect(profile.locator(".answer .value")).to_have_text(f"digits.npz[{nearest}]")
        expect(profile.locator(".answer > .share")).to_have_text(f"cosine {float(cosines[0]):.3f}")
        page.locator("#home").click()
    profile.locator("select").nth(1).select_option(label="cosine to the unshifted image")
    assert "nearest neighbour" in str(profile.locator("select").nth(1).inner_text())
    visit.keep(page, "serve-other-answers")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    assert axe.run(with_image(visit.open(others, bypass_csp=True))).violations_count == 0


def test_two_pages_at_once(visit: Visit, served: str) -> None:
    first, second = (
        visit.open(f"{served}#image=5&dy=1"),
        visit.open(f"{served}#image=6&models=cnn1,standard-nn"),
    )
    drag(ready(second), 3, 3)
    assert_answers(ready(first), 5, 1, 0)
    assert_answers(second, 6, 3, 3, ("cnn1", "standard-nn"))
    assert first.locator("#number").input_value() == "5"
