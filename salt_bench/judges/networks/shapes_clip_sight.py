"""What the text-video model of the embedded world can see: a true caption against the same caption with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from salt_bench.judges.base import Features
from salt_bench.judges.shared.captions import Factors, motion, style, wrong
from salt_bench.judges.shared.semantic import Seen, read, seen
from salt_bench.types import ArrayClip, Prompt
from salt_bench.worlds.shapes import ShapesWorld, sentence

SEED = 2_000_000
"""Of the videos on which the model is tried: none that it was fitted to, and none of a benchmark."""


class Reader(NamedTuple):
    """What a judge says to the model of a caption's factors, and its score of a clip under those words."""

    words: Callable[[Factors], str]
    score: Callable[[Seen, np.ndarray], float]


READERS: Mapping[str, Reader] = {
    "overall_consistency": Reader(sentence, lambda found, words: float(found.video @ words)),
    "temporal_style": Reader(motion, lambda found, words: float(found.video @ words)),
    "style": Reader(style, lambda found, words: float((found.frames @ words).mean())),
}
"""Judge → how it reads."""


@dataclass(frozen=True)
class Sight:
    """Of `n` wrong captions, the `share` that score below the true caption of the same clip (ties count half); `auc`, that of a
    true caption over a wrong one of any clip; `cost`, what a wrong caption loses on average, as a cosine."""

    judge: str
    attribute: str
    n: int
    share: float
    auc: float
    cost: float


def look(prompts: Sequence[Prompt], seed: int = SEED) -> list[Seen]:
    """What the model sees of the true video of each prompt."""
    world = ShapesWorld()
    clips = (ArrayClip(p, seed, v, world.fps) for p, v in zip(prompts, world.render(prompts, seed), strict=True))
    return [seen(Features(clip)) for clip in clips]


def sights(prompts: Sequence[Prompt], found: Sequence[Seen]) -> list[Sight]:
    """One per judge and attribute that its words speak of."""
    return [sight for judge in READERS for sight in _sights(judge, prompts, found)]


def _sights(judge: str, prompts: Sequence[Prompt], found: Sequence[Seen]) -> Iterator[Sight]:
    pairs: dict[str, list[tuple[float, float]]] = {}
    for prompt, one in zip(prompts, found, strict=True):
        for attribute, true, false in _scores(READERS[judge], prompt, one):
            pairs.setdefault(attribute, []).append((true, false))
    for attribute, values in pairs.items():
        true, false = np.array(values).T
        share = (true > false).mean() + (true == false).mean() / 2
        yield Sight(judge, attribute, len(true), float(share), auc(true, false), float((true - false).mean()))


def _scores(reader: Reader, prompt: Prompt, found: Seen) -> Iterator[tuple[str, float, float]]:
    """Attribute, the true caption's score, a wrong one's: of every wrong caption that the reader reads differently."""
    words = reader.words(prompt.factors)
    true = reader.score(found, read(words))
    for attribute, options in wrong(prompt.factors).items():
        for other in map(reader.words, options):
            if other != words:
                yield attribute, true, reader.score(found, read(other))


def auc(above: np.ndarray, below: np.ndarray) -> float:
    """The probability that one of `above` exceeds one of `below`; ties count half."""
    order = np.sort(below)
    ranks = np.searchsorted(order, above, "left") + np.searchsorted(order, above, "right")
    return float(ranks.mean() / (2 * len(below)))


def recall(prompts: Sequence[Prompt], found: Sequence[Seen]) -> float:
    """R@1: the share of videos whose own caption is the nearest of all captions of `prompts`. Two of them can be true of the
    same video ("a above b" and "b below a"), which R@1 counts against the model."""
    videos, texts = np.stack([one.video for one in found]), np.stack([read(prompt.text) for prompt in prompts])
    return float(((videos @ texts.T).argmax(1) == np.arange(len(prompts))).mean())


def groups() -> dict[str, tuple[Prompt, ...]]:
    """The validation prompts, and the test prompts that combine colour, shape and scene as no training prompt does."""
    world = ShapesWorld()
    unseen = tuple(prompt for prompt in world.prompts("test") if "unseen" in prompt.tags)
    return {"validation": world.prompts("validation"), "unseen combinations": unseen}


def table(prompts: Mapping[str, Sequence[Prompt]]) -> Iterable[str]:
    """The lines of a Markdown table: share / AUC per judge and attribute, and R@1, for each group of prompts."""
    found = {name: look(some) for name, some in prompts.items()}
    yield "| judge | wrong | " + " | ".join(prompts) + " | cost |"
    yield "|---|---|" + "---:|" * (len(prompts) + 1)
    yield "| | R@1 | " + " | ".join(f"{recall(prompts[name], found[name]):.2f}" for name in prompts) + " | |"
    columns = [sights(prompts[name], found[name]) for name in prompts]
    for row in columns[0]:
        same = [s for column in columns for s in column if (s.judge, s.attribute) == (row.judge, row.attribute)]
        cells = " | ".join(f"{s.share:.2f} / {s.auc:.2f}" for s in same)
        yield f"| {row.judge} | {row.attribute} | {cells} | {row.cost:.3f} |"


if __name__ == "__main__":
    print("\n".join(table(groups())))
