"""How much is computed for the verdicts: minutes, or the article's own sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shiftproof._digest import Json
from shiftproof._registry import Registry
from shiftproof.article._letter import LetterSettings
from shiftproof.article._scrambled import ScrambledSettings
from shiftproof.article._sharing import SharingSettings
from shiftproof.article._transfer import TransferSettings
from shiftproof.study import Overrides, Study, load_study


@dataclass(frozen=True)
class ClaimsPreset:
    """The size of every experiment.

    Args:
        name: Unique.
        summary: What it leaves out, in words.
        article: The article's table.
        alternatives: What stands in for max pooling.
        transfer: Claim 2.
        sharing: Claims 1 and 10.
        letter: Claims 4 to 6.
        scrambled: Claim 9.
    """

    name: str
    summary: str
    article: Study
    alternatives: Study
    transfer: TransferSettings
    sharing: SharingSettings
    letter: LetterSettings
    scrambled: ScrambledSettings

    def config(self) -> dict[str, Json]:
        """All of it as JSON: the same configuration, the same run."""
        return {
            "preset": self.name,
            "article": self.article.config(),
            "alternatives": self.alternatives.config(),
            "transfer": self.transfer.model_dump(mode="json"),
            "sharing": self.sharing.model_dump(mode="json"),
            "letter": self.letter.model_dump(mode="json"),
            "scrambled": self.scrambled.model_dump(mode="json"),
        }


def _quick() -> ClaimsPreset:
    faces = ScrambledSettings.quick()
    return ClaimsPreset(
        name="quick",
        summary="few images and epochs, one to four seeds: minutes; directions, not figures to quote",
        article=load_study(
            "article",
            preset="quick",
            overrides=Overrides(
                limit=6000,
                input_scales=("unit",),
                training={"epochs": 4, "batch_size": 32, "learning_rate": 1e-3},
            ),
        ),
        alternatives=load_study(
            "alternatives",
            preset="quick",
            overrides=Overrides(networks=("cnn2", "strided-cnn", "cnn2-dpp", "capsnet-small")),
        ),
        transfer=TransferSettings(),
        sharing=SharingSettings(),
        letter=LetterSettings(),
        scrambled=faces.model_copy(update={"detectors": (*faces.detectors, "cnn2-dpp")}),
    )


def _full() -> ClaimsPreset:
    return ClaimsPreset(
        name="full",
        summary="the article's 100 epochs on all images, three seeds and more: days on two cores, resumable",
        article=load_study("article", preset="article"),
        alternatives=load_study(
            "alternatives",
            preset="full",
            overrides=Overrides(
                networks=("cnn2", "strided-cnn", "all-cnn", "cnn2-dpp", "capsnet-small", "capsnet")
            ),
        ),
        transfer=TransferSettings.full(),
        sharing=SharingSettings.full(),
        letter=LetterSettings(most_pools=4, n_random_filters=200),
        scrambled=ScrambledSettings(),
    )


presets: Registry[Callable[[], ClaimsPreset]] = Registry("preset of the claims")
presets.register("quick", _quick)
presets.register("full", _full)


def load_preset(name: str) -> ClaimsPreset:
    """How much is computed, by name.

    Raises:
        UnknownNameError: No such preset.

    Example:
        >>> load_preset("quick").article.seeds
        (0,)
    """
    return presets.get(name)()
