"""What every record is: checked against its schema when it is made and when it is read."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    field_validator,
)

from shiftproof._digest import Json
from shiftproof._documents import misfit, read_json, unreadable
from shiftproof._text import record_text, said
from shiftproof.errors import DataError

Record = TypeVar("Record", bound=BaseModel)
# Half a character, as in a name that is no UTF-8, is no string to pydantic: made harmless before it looks.
Line = Annotated[str, BeforeValidator(lambda text: said(text) if isinstance(text, str) else text)]
# JSON has no word for what is no number.
NumberOrNone = Annotated[
    float | None, BeforeValidator(lambda x: None if isinstance(x, float) and not math.isfinite(x) else x)
]

# Nothing that the schema does not know: of a record, and of a number or a line in one, which is a dataclass.
STRICT = ConfigDict(extra="forbid")


class StrictRecord(BaseModel):
    """What every record is: as it was made or read, and nothing that the schema does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_dict(self) -> dict[str, Json]:
        """The document: what was set, so that one that was read becomes the same one again."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_json(self) -> str:
        """The document as text: sorted keys, so equal results are equal bytes.

        Raises:
            ValueError: It holds NaN or infinity, which are no JSON.
        """
        return record_text(self.to_dict())

    def having(self, **more: Any) -> Self:
        """The same with what is known beside it; what is None or empty stays out of the document."""
        known = {name: getattr(self, name) for name in self.model_fields_set}
        return self.model_validate({**known, **{name: found for name, found in more.items() if found}})

    @field_validator("schema_version", mode="before", check_fields=False)
    @classmethod
    def _is_a_number(cls, version: Any) -> Any:
        if isinstance(version, bool):  # true is equal to 1
            raise ValueError(f"{version} is no version")
        return version


def check_parts(what: str, found: Collection[str], names: Sequence[str]) -> None:
    """Nothing where a mapping has all of these names, for a validator; `ValueError` else."""
    absent = [name for name in names if name not in found]
    if absent:
        raise ValueError(f"the {said(what)} has no {' and no '.join(absent)}")


def read_record(source: Path | Mapping[str, Any], kind: type[Record], what: str) -> Record:
    """A record of a kind, or an error that says what it is not."""
    file = f"{source.name} as " if isinstance(source, Path) else ""
    try:
        value = read_json(source) if isinstance(source, Path) else source
        return kind.model_validate(value)
    except ValidationError as error:
        found = misfit(error)
        n_others = error.error_count() - 1
        more = f" (and {n_others} more)" if n_others else ""
        other_version = found.startswith("schema_version: ")
        raise DataError.cannot(
            f"read {file}{what}",
            f"{found}{more}",
            cause="It was written by another version of shiftproof." if other_version else "",
            fix="Make it again with this one." if other_version else "",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError.cannot(f"read {file}{what}", unreadable(error)) from error
