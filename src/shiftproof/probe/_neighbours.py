"""The images nearest to an embedding, among a fixed sample of the set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from shiftproof._digest import derive_seed
from shiftproof.errors import DataError

# More images would cost more forwards before the first shift, and say little more.
GALLERY_AT_MOST = 1000
NEIGHBOURS_AT_MOST = 10
# An image needs two others, or its nearest one is always the same.
GALLERY_AT_LEAST = 3


@dataclass(frozen=True, eq=False)
class Gallery:
    """Embeddings of images as they are, among which neighbours are looked for.

    Args:
        directions: float32 (G, D), of length 1.
        place: int64 (G,); which image of the set each is.
    """

    directions: Tensor
    place: Tensor

    @property
    def n_neighbours(self) -> int:
        """How many are kept: at most half of the others, since all of them would always be the same."""
        return min(NEIGHBOURS_AT_MOST, (len(self.place) - 1) // 2)

    def nearest(self, vectors: Tensor, place: Tensor) -> Tensor:
        """The images whose embeddings have the largest cosine, the nearest first, without the image itself.

        Args:
            vectors: float32 (n, S, D), none of length 0.
            place: int64 (n,); which image of the set each row is of.

        Returns:
            int32 (n, S, k); places in the set.
        """
        # Of equal ones the first in the gallery, on every device.
        cosine = self.cosines(vectors, place)
        order = cosine.sort(dim=-1, descending=True, stable=True).indices[..., : self.n_neighbours]
        return self.place[order].int()

    def cosines(self, vectors: Tensor, place: Tensor) -> Tensor:
        """The cosine to the embedding of each image of the gallery: float32 (n, S, G).

        Args:
            vectors, place: As for `nearest`.

        Returns:
            In the order of the gallery; −2, which no cosine is, for the image itself.
        """
        cosine = normalize(vectors, dim=-1) @ self.directions.T
        return cosine.masked_fill_((place[:, None] == self.place)[:, None], -2)


def chosen_for_gallery(n_images: int, seed: int) -> Tensor:
    """Which images of a set are its gallery, in the order of the set: int64 (G,).

    Raises:
        DataError: Too few images to have neighbours.

    Example:
        >>> chosen_for_gallery(4, 0)
        tensor([0, 1, 2, 3])
    """
    if n_images < GALLERY_AT_LEAST:
        raise DataError(
            f"at least {GALLERY_AT_LEAST} images for embeddings",
            n_images,
            cause="Of each image the nearest other one is looked for.",
        )
    generator = torch.Generator().manual_seed(derive_seed(seed, "gallery"))
    return torch.randperm(n_images, generator=generator)[:GALLERY_AT_MOST].sort().values


def build_gallery(embed: Callable[[Tensor], Tensor], place: Tensor, batch_size: int) -> Gallery:
    """A gallery of the images at these places.

    Args:
        embed: Places (b,) to embeddings (b, D).
        place: int64 (G,), on the device where neighbours are looked for.
        batch_size: Images at a time.
    """
    vectors = torch.cat([embed(part) for part in torch.split(place, batch_size)])
    return Gallery(normalize(vectors, dim=-1), place.to(vectors.device))
