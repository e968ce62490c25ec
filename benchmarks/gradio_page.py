"""The peer of benchmarks/serving.py: the usual demo page of Gradio, on which sliders move a digit.

Runs with the packages of gradio-requirements.txt in front of ours; `make bench` installs them into .gradio.
Prints its address, and ends with its input.
"""

from __future__ import annotations

import sys

import gradio  # type: ignore[import-not-found]  # it lives in a folder of its own
import torch

from shiftproof.data import load_data
from shiftproof.shifts import translate
from shiftproof.zoo import load_trained

RADIUS_PX = 8


def main() -> None:
    digit = load_data("mnist", "test").images[:1].float() / 255
    network = load_trained("cnn2").eval()

    def answer(dy: float, dx: float) -> tuple[object, dict[str, float], str]:
        moved = translate(digit, (int(dy), int(dx)), border="zeros")
        with torch.inference_mode():
            chances = network(moved).double().softmax(1)[0].tolist()
        best = max(range(10), key=chances.__getitem__)
        said = f"dy {int(dy)} dx {int(dx)}: {best}"
        return moved[0, 0].numpy(), {str(k): p for k, p in enumerate(chances)}, said

    with gradio.Blocks() as page:
        dy = gradio.Slider(-RADIUS_PX, RADIUS_PX, 0, step=1, label="dy")
        dx = gradio.Slider(-RADIUS_PX, RADIUS_PX, 0, step=1, label="dx")
        shown = gradio.Image(height=280, width=280)
        label = gradio.Label(num_top_classes=10)
        said = gradio.Textbox(label="said")
        for slider in (dy, dx):
            slider.input(
                answer, [dy, dx], [shown, label, said], show_progress="hidden", trigger_mode="always_last"
            )
    _, address, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    print(f"{gradio.__version__} {address}", flush=True)
    sys.stdin.read()
    page.close()


if __name__ == "__main__":
    main()
