# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""The language model the operator configured. It only fills what is declared here: evidence is data and adds no option, and where
no valid answer comes (no model, no budget, a deadline, nonsense), the declared fallback is the answer and says so. A plan asks
no model and goes on with the fallback."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge

__all__ = [
    "Choice",
    "SummarizeOptions",
    "Summary",
    "Extraction",
    "choose",
    "summarize",
    "extract",
]


@dataclass
class Choice:
    option: str = ""
    """One of the options, or the fallback."""
    confidence: float = 0.0
    """The model's own, 0 to 1; 0 for a fallback."""
    quote: str = ""
    """What of the evidence it rests on; empty where it quotes nothing that is there."""
    fallback: bool = False
    """True when this is the declared fallback."""
    reason: str = ""
    """The model's reason, or why the fallback is used."""


_Choice = _bridge.Record("llm", Choice, {
    "option": _bridge.PLAIN,
    "confidence": _bridge.PLAIN,
    "quote": _bridge.PLAIN,
    "fallback": _bridge.PLAIN,
    "reason": _bridge.PLAIN,
})


@dataclass
class SummarizeOptions:
    instructions: str | None = None
    """What to look at, in a sentence; at most 2 KiB."""
    max_words: int | None = None
    """Default 150, at most 1,000."""


_SummarizeOptions = _bridge.Record("llm", SummarizeOptions, {
    "instructions": _bridge.Maybe(_bridge.PLAIN),
    "max_words": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Summary:
    text: str = ""
    fallback: bool = False
    """True when this is the declared fallback."""
    reason: str = ""
    """Why the fallback is used; empty if it is not."""


_Summary = _bridge.Record("llm", Summary, {
    "text": _bridge.PLAIN,
    "fallback": _bridge.PLAIN,
    "reason": _bridge.PLAIN,
})


@dataclass
class Extraction:
    json: str = ""
    """JSON that is valid against the schema, or the fallback."""
    fallback: bool = False
    """True when this is the declared fallback."""
    reason: str = ""
    """Why the fallback is used; empty if it is not."""


_Extraction = _bridge.Record("llm", Extraction, {
    "json": _bridge.PLAIN,
    "fallback": _bridge.PLAIN,
    "reason": _bridge.PLAIN,
})


_choose = _bridge.Effect("llm.choose", [("question", _bridge.PLAIN), ("evidence", _bridge.PLAIN), ("options", _bridge.Sequence(_bridge.PLAIN)), ("fallback", _bridge.PLAIN)], _Choice)


def choose(question: str, evidence: str, options: list[str], fallback: str) -> Choice:
    """One of 2 to 10 options. The fallback is one of them or another word."""
    return _choose(question, evidence, options, fallback)


_summarize = _bridge.Effect("llm.summarize", [("evidence", _bridge.PLAIN), ("options", _SummarizeOptions), ("fallback", _bridge.PLAIN)], _Summary)


def summarize(evidence: str, options: SummarizeOptions, fallback: str) -> Summary:
    """The evidence in fewer words."""
    return _summarize(evidence, options, fallback)


_extract = _bridge.Effect("llm.extract", [("evidence", _bridge.PLAIN), ("schema", _bridge.PLAIN), ("fallback", _bridge.PLAIN)], _Extraction)


def extract(evidence: str, schema: str, fallback: str) -> Extraction:
    """What the evidence says, in the shape of a JSON schema. The fallback is JSON, too."""
    return _extract(evidence, schema, fallback)
