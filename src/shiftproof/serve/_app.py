"""The answers of the server: the page, what is on it, an image, a plane of answers, one answer, an upload."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from torch import Tensor

from shiftproof.data import Images, LabelledImages, received_image
from shiftproof.errors import OptionError, ShiftproofError
from shiftproof.serve._answers import Answers, Part, Shown
from shiftproof.serve._exhibit import Exhibit
from shiftproof.serve._kept import Kept
from shiftproof.serve._page import page_html, script, style
from shiftproof.serve._pictures import png_address
from shiftproof.serve._requests import (
    EXAMPLE,
    MEGABYTE,
    MOST_UPLOAD_BYTES,
    MapsQuestion,
    PlaneQuestion,
    ShiftQuestion,
    TooLargeError,
    body,
    question,
)
from shiftproof.serve._start import image_facts, start_facts
from shiftproof.serve._told import Told
from shiftproof.serve._worker import BusyError, Worker

MOST_UPLOADS, MOST_PLANES = 32, 64
# A plane that is not finished by then ends, and says so.
LONGEST_PLANE_S = 600.0
# While the line is full, a plane looks again after so long.
PATIENCE_S = 0.05
TOO_LONG = "It took too long; the rest of the plane is left out."
Answer = Callable[[Request], Awaitable[Response]]


def make_app(exhibit: Exhibit, worker: Worker, answers: Answers) -> Starlette:
    """The server without the guard in front of it.

    Args:
        exhibit: What is shown.
        worker: The thread that computes.
        answers: Used by that thread alone.
    """
    desk = _Desk(exhibit, worker, answers)
    return Starlette(
        routes=[
            Route("/", desk.page),
            Route("/serve.js", _file(script, "text/javascript")),
            Route("/serve.css", _file(style, "text/css")),
            Route("/start", _explained(desk.start)),
            Route("/image/{image}", _explained(desk.image)),
            Route("/plane", _explained(desk.plane), methods=["POST"]),
            Route("/shift", _explained(desk.shift), methods=["POST"]),
            Route("/layers/{model:int}", _explained(desk.layers)),
            Route("/maps", _explained(desk.maps), methods=["POST"]),
            Route("/image", _explained(desk.upload), methods=["POST"]),
        ]
    )


class _Desk:
    def __init__(self, exhibit: Exhibit, worker: Worker, answers: Answers) -> None:
        self.exhibit, self.worker, self.answers = exhibit, worker, answers
        self.uploads = Kept[str, LabelledImages](MOST_UPLOADS)
        self.planes = Kept[PlaneQuestion, tuple[Part, ...]](MOST_PLANES)

    async def page(self, request: Request) -> Response:
        return Response(page_html(), media_type="text/html")

    async def start(self, request: Request) -> Response:
        return JSONResponse(start_facts(self.exhibit))

    async def image(self, request: Request) -> Response:
        name = request.path_params["image"]
        return JSONResponse(await self.worker.run(partial(self._image_facts, name)))

    async def plane(self, request: Request) -> Response:
        asked = await question(request, PlaneQuestion)
        self._check(asked)
        return StreamingResponse(self._lines(asked), media_type="application/x-ndjson")

    async def shift(self, request: Request) -> Response:
        asked = await question(request, ShiftQuestion)
        self._check(asked)
        answer, seen = await self.worker.run(partial(self._single, asked))
        return JSONResponse({"answer": _answer(answer), "seen": png_address(seen)})

    async def layers(self, request: Request) -> Response:
        model = request.path_params["model"]
        self._check_model(model)
        found = await self.worker.run(partial(self.answers.layers, model))
        return JSONResponse([{"name": layer.name, "stride_px": layer.stride_px} for layer in found])

    async def maps(self, request: Request) -> Response:
        asked = await question(request, MapsQuestion)
        self._check(asked)
        return JSONResponse(await self.worker.run(partial(self._maps, asked)))

    async def upload(self, request: Request) -> Response:
        content = await body(request, MOST_UPLOAD_BYTES)
        name = "u" + hashlib.sha256(content).hexdigest()[:16]
        if self.uploads.get(name) is None:
            self.uploads.put(name, await self.worker.run(partial(self._received, content)))
        return JSONResponse(await self.worker.run(partial(self._image_facts, name)))

    async def _lines(self, asked: PlaneQuestion) -> AsyncIterator[str]:
        """A line of JSON for each part of a plane; when the visitor leaves, nothing more is computed."""
        started = time.perf_counter()
        kept = self.planes.get(asked)
        if kept is not None:
            for each in kept:
                yield _line(each)
            return
        told: list[Part] = []
        parts = self._parts(asked)
        try:
            while (part := await self._next(parts)) is not None:
                told.append(part)
                yield _line(part)
                if time.perf_counter() - started > LONGEST_PLANE_S:
                    yield _line(Part((), TOO_LONG))
                    return
        except ShiftproofError as error:
            yield _line(Part((), str(error)))
        except TimeoutError:
            yield _line(Part((), TOO_LONG))
        else:
            self.planes.put(asked, tuple(told))

    async def _next(self, parts: Iterator[Part]) -> Part | None:
        """The next part; a plane that has begun waits behind a line that is full."""
        while True:
            try:
                return await self.worker.run(partial(next, parts, None))
            except BusyError:
                await asyncio.sleep(PATIENCE_S)

    def _parts(self, asked: PlaneQuestion) -> Iterator[Part]:
        yield from self.answers.plane(asked.model, self._shown(asked.image), asked.border)

    def _check(self, asked: PlaneQuestion) -> None:
        self._found(asked.image)
        self._check_model(asked.model)

    def _check_model(self, model: int) -> None:
        if model >= len(self.exhibit.models):
            raise OptionError(f"a model from 0 to {len(self.exhibit.models) - 1}", model)

    def _maps(self, asked: MapsQuestion) -> list[dict[str, Any]]:
        shown, offset_px = self._shown(asked.image), (asked.dy, asked.dx)
        return self.answers.maps(
            asked.model, shown, offset_px, asked.border, asked.interpolation, asked.layer
        )

    def _single(self, asked: ShiftQuestion) -> tuple[Told | None, Tensor]:
        shown = self._shown(asked.image)
        return self.answers.single(
            asked.model, shown, (asked.dy, asked.dx), asked.border, asked.interpolation
        )

    def _image_facts(self, name: str) -> dict[str, Any]:
        return image_facts(name, *self._found(name), self.exhibit)

    def _shown(self, name: str) -> Shown:
        images, row = self._found(name)
        place = row if images is self.exhibit.images else -1
        return Shown(images.pixels(slice(row, row + 1))[0], place)

    def _found(self, name: str) -> tuple[Images, int]:
        """The images that one is among, and its place there: a number, the example, or a kept upload."""
        if name == EXAMPLE and self.exhibit.example is not None:
            return self.exhibit.example, 0
        upload = self.uploads.get(name)
        if upload is not None:
            return upload, 0
        n_images = len(self.exhibit.images)
        if name.isascii() and name.isdigit() and len(name) < 10 and int(name) < n_images:
            return self.exhibit.images, int(name)
        raise OptionError(
            f"an image from 0 to {n_images - 1}",
            repr(name),
            cause="Images of one's own are kept for a while only." if name.startswith("u") else "",
        )

    def _received(self, content: bytes) -> LabelledImages:
        framing = self.exhibit.models[0].framing
        return received_image(
            content,
            name="your image",
            image_shape=self.exhibit.images.image_shape,
            resize_px=framing.resize_px,
            resampling=framing.resampling,
            fit=framing.fit,
        )


def _line(part: Part) -> str:
    cells = [[cell.place, _answer(cell.answer)] for cell in part.cells]
    return json.dumps({"cells": cells, "failure": part.failure}, separators=(",", ":")) + "\n"


def _answer(told: Told | None) -> dict[str, Any] | None:
    return None if told is None else told._asdict()


def _file(content: Callable[[], str], media_type: str) -> Answer:
    async def answer(request: Request) -> Response:
        return Response(content(), media_type=media_type)

    return answer


def _explained(answer: Answer) -> Answer:
    """Whatever is wrong with a request is one sentence."""

    async def explained(request: Request) -> Response:
        try:
            return await answer(request)
        except TooLargeError:
            return _refused(413, f"Files of more than {MOST_UPLOAD_BYTES // MEGABYTE} MB are not read.")
        except BusyError as error:
            return _refused(429, str(error))
        except TimeoutError:
            return _refused(503, "It took too long.")
        except ShiftproofError as error:
            return _refused(400, str(error))
        except ClientDisconnect:
            return Response(status_code=400)

    return explained


def _refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status)
