"""What a page may ask, and how a body is read: within bounds, and checked before anything looks at it."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from shiftproof._documents import misfit, parse_json
from shiftproof.errors import DataError
from shiftproof.shifts import Border, Interpolation

# A question is a few names; a photograph is a few megabytes.
MOST_QUESTION_BYTES = 10_000
MOST_UPLOAD_BYTES = 10 * 2**20
MEGABYTE = 2**20
# What is asked for to see the example of an exhibit.
EXAMPLE = "example"


class TooLargeError(Exception):
    """A body is longer than what is read of it."""


class PlaneQuestion(BaseModel):
    """All whole shifts of an image: numbers of model and image, the example, or the name of an upload."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[int, Field(strict=True, ge=0, lt=1000)]
    image: Annotated[str, Field(pattern=r"^([0-9]{1,9}|u[0-9a-f]{16}|example)$")]
    border: Border = "zeros"


class ShiftQuestion(PlaneQuestion):
    """One shift of an image, in pixels, also between them."""

    dy: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    dx: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    interpolation: Interpolation = "bilinear"


class MapsQuestion(ShiftQuestion):
    """The maps of a layer at one shift; its name is looked for among those of the model."""

    layer: Annotated[str, Field(max_length=1000)]


Q = TypeVar("Q", bound=BaseModel)


async def question(request: Request, kind: type[Q]) -> Q:
    """The question in a body.

    Raises:
        TooLargeError: It is no question, however it goes on.
        DataError: It is not of this kind.
    """
    try:
        text = (await body(request, MOST_QUESTION_BYTES)).decode()
        return kind.model_validate(parse_json(text))
    except ValidationError as error:
        raise DataError("a question of this page", misfit(error)) from error
    except ValueError as error:
        raise DataError("a question of this page as JSON", error) from error


async def body(request: Request, most: int) -> bytes:
    """The body of a request, of which no more is kept than this.

    Raises:
        TooLargeError: It says that it is longer, or it is.
    """
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > most:
        raise TooLargeError
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > most:
            raise TooLargeError
    return bytes(content)
