"""What Tag2Text says of 16 frames: one sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from salt_bench.errors import UserError
from salt_bench.judges.vbench.base import Found, Pass, Running, Setup, Video, middle
from salt_bench.judges.vbench.networks.wordpiece import WordPiece

if TYPE_CHECKING:
    import torch

    from salt_bench.judges.vbench.networks.tag2text.model import Tag2Text

WEIGHTS = Path("caption_model", "tag2text_swin_14m.pth")
VOCABULARY = Path("bert-base-uncased", "vocab.txt")
TAGS = Path("caption_model", "tag2text_tag_list.txt")
FRAMES = 16
PROMPT = "a picture of "
BETWEEN = " | "
LONGEST_TAGS = 40


def tag_list(path: Path, wanted: int) -> list[str]:
    """The tags' names, one a line, in the order of the network's outputs."""
    if not path.is_file():
        raise UserError(f"{path} is not there: put Tag2Text's {wanted} tags there, one a line, in their official order")
    tags = path.read_text(encoding="utf-8").splitlines()
    if len(tags) != wanted:
        raise UserError(f"{path} has {len(tags)} tags where the weights have {wanted}: put the list that belongs to them there")
    return tags


@dataclass(frozen=True)
class Captioner:
    """Tag2Text with its words. Two tokens stand behind the vocabulary: one in front of sentences, one in front of tags."""

    weights: Path
    device: str

    @cached_property
    def network(self) -> Tag2Text:
        from salt_bench.judges.vbench.networks.tag2text.checkpoint import load

        return load(self.weights / WEIGHTS, self.device)

    @cached_property
    def words(self) -> WordPiece:
        return WordPiece(self.weights / VOCABULARY)

    @cached_property
    def tags(self) -> list[str]:
        return tag_list(self.weights / TAGS, len(self.network.label_embed.weight))

    def __call__(self, frames: np.ndarray) -> list[str]:
        """Frames, uint8 (t, 384, 384, 3), to what is said of each behind "a picture of"."""
        import torch

        from salt_bench.judges.vbench.networks.tag2text.beam import Rule

        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2) / 255
        picture = self.network.look(pixels)
        tokens, there = self.tokens([[self.tags[tag] for tag in tags] for tags in self.network.tags(picture)])
        prompt = [len(self.words), *self.words.encode(PROMPT)[1:-1]]
        said = self.network.say(picture, tokens, there, prompt, self.words.end, Rule())
        return [self.words.decode(sentence)[len(PROMPT) :] for sentence in said]

    def tokens(self, tags: Sequence[Sequence[str]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Tags as tokens (t, 40), and which of these are not filling."""
        import torch

        rows = [self.words.encode(BETWEEN.join(some), LONGEST_TAGS) for some in tags]
        filled = [[len(self.words) + 1, *row[1:], *[0] * (LONGEST_TAGS - len(row))] for row in rows]
        there = [[True] * len(row) + [False] * (LONGEST_TAGS - len(row)) for row in rows]
        return torch.tensor(filled, device=self.device), torch.tensor(there, device=self.device)


@dataclass
class Describing(Running):
    """Describes frames as they come; one that is the same as the one before is not looked at again."""

    captioner: Captioner
    said: list[str] = field(default_factory=list)
    last: np.ndarray | None = None

    def take(self, frames: np.ndarray) -> bool:
        before = [self.last, *frames[:-1]]
        new = [old is None or not np.array_equal(old, frame) for old, frame in zip(before, frames, strict=True)]
        fresh = iter(self.captioner(frames[new]) if any(new) else ())
        for differs in new:
            self.said.append(next(fresh) if differs else self.said[-1])
        self.last = frames[-1].copy()
        return True

    def result(self) -> Found:
        return {"caption": np.array(self.said, dtype=np.str_)}


class Captions(Pass):
    """Each frame's sentence."""

    name: ClassVar[str] = "tag2text"
    weights: ClassVar[tuple[str, ...]] = ("tag2text", "bert_vocab", "tag_list")
    size: ClassVar[tuple[int, int] | None] = (384, 384)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.captioner = Captioner(setup.weights, setup.device)

    def chosen(self, video: Video) -> Sequence[int]:
        return middle(video.frames, FRAMES)

    def start(self, video: Video) -> Describing:
        return Describing(self.captioner)
