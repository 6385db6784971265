"""Words and tokens of `bert-base-uncased`, whose `vocab.txt` lies beside the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from salt_bench.errors import UserError

if TYPE_CHECKING:
    from transformers import BertTokenizer


SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[MASK]")
FIRST_SPECIAL = 100
SMALL = 128


@dataclass(frozen=True)
class WordPiece:
    """A vocabulary, one token a line."""

    path: Path

    @cached_property
    def _tokenizer(self) -> BertTokenizer:
        from transformers import BertTokenizer

        if not self.path.is_file():
            raise UserError(f"{self.path} is not there: put the vocab.txt of bert-base-uncased under that name")
        return BertTokenizer(str(self.path))

    def __len__(self) -> int:
        return self._tokenizer.vocab_size

    @property
    def end(self) -> int:
        """The token [SEP]."""
        return self._tokenizer.sep_token_id

    def encode(self, text: str, longest: int | None = None) -> list[int]:
        """[CLS], the text's tokens, [SEP]; cut to `longest` in all."""
        return self._tokenizer(text, truncation=longest is not None, max_length=longest).input_ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Text without special tokens, spaces before punctuation taken away as transformers 4 did by default. Tokens that
        a network added to the vocabulary are special too."""
        known = [int(token) for token in tokens if token < len(self)]
        return str(self._tokenizer.decode(known, skip_special_tokens=True, clean_up_tokenization_spaces=True))


def write_small(
    path: Path, words: Sequence[str] = ("a", "picture", "of", "red", "cat", "street", "|"), size: int = SMALL
) -> None:
    """A vocabulary of `size` tokens with the special ones where they belong, for networks without released weights."""
    unused = (f"[unused{number}]" for number in range(size))
    first = ["[PAD]", *(next(unused) for _ in range(FIRST_SPECIAL - 1)), *SPECIAL, *words]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*first, *(next(unused) for _ in range(size - len(first)))]) + "\n", encoding="utf-8")
