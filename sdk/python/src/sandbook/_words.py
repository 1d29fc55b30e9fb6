"""Words of the contract: enums that are the texts themselves, so that `state.health == "healthy"` holds."""

from __future__ import annotations

from enum import Enum


class Word(str, Enum):
    """One of a few words."""

    def __str__(self) -> str:
        return str(self.value)
