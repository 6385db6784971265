"""What encoders made is kept by content: never made twice, never taken from other weights, never taken damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pipeline import CAPTIONS, TOKENS, WORDS, tiny_pipeline

from salt_bench import files
from salt_bench.errors import UserError
from salt_train import codecs
from salt_train.codecs import umt5
from salt_train.codecs.store import Store, key
from salt_train.codecs.umt5 import UMT5, UMT5Captions
from salt_train.codecs.wan_vae import WanVAE, WanVAEWeights
from salt_train.prompt_file import PromptFile


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SALT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "captions.txt").write_text(CAPTIONS)
    return tiny_pipeline(tmp_path / "pipeline")


def captions(folder: Path, tokens: int = TOKENS) -> UMT5Captions:
    made = codecs.captions(PromptFile(str(folder.parent / "captions.txt")), UMT5(str(folder), WORDS, tokens))
    assert isinstance(made, UMT5Captions)
    return made


def kept(kind: str) -> list[Path]:
    return sorted((files.cache() / kind).rglob("*.safetensors"))


def without_encoder(folder: Path) -> None:
    """Whoever asks for the encoder now fails: its configuration is gone; its weights stay, since they name what was read."""
    (folder / "text_encoder" / "config.json").unlink()


def flipped(path: Path) -> None:
    """One bit of the last number."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_caption_is_read_once_and_the_encoder_goes(folder: Path) -> None:
    first = captions(folder)
    prompts = first.world.prompts("train")
    shares: list[float] = []
    assert first.ready(prompts, shares.append) == 4, "three captions and the negative one"
    assert "_network" not in vars(first)
    assert shares == [0.25, 0.5, 0.75, 1.0]
    assert len(kept("captions")) == 4
    without_encoder(folder)
    second = captions(folder)
    assert second.ready(prompts) == 0
    found = second(prompts)
    assert torch.equal(found, first(prompts))
    assert (found.shape, found.dtype) == ((3, TOKENS, WORDS), torch.float32)
    assert torch.equal(second.null(found), first.null(found))
    assert "_network" not in vars(second)


def test_what_is_kept_is_what_the_encoder_says(folder: Path) -> None:
    from transformers import AutoTokenizer, UMT5EncoderModel

    made = captions(folder)
    prompt = made.world.prompts("train")[1]
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder").eval()
    text, whole = ["a blue cross & a green one"], {"padding": "max_length", "max_length": TOKENS, "truncation": True}
    read = tokenizer(text, return_tensors="pt", **whole)
    with torch.no_grad():
        said = encoder(read.input_ids, read.attention_mask).last_hidden_state[0]
    for _ in range(2):
        assert torch.allclose(made([prompt])[0], said * read.attention_mask[0, :, None], atol=1e-6)
        made = captions(folder)


def test_other_weights_tokens_or_words_are_other_captions(folder: Path, tmp_path: Path) -> None:
    one = captions(folder)
    prompts = one.world.prompts("train")[:1]
    before = one(prompts)
    assert captions(folder, TOKENS + 2)(prompts).shape == (1, TOKENS + 2, WORDS)
    assert len(kept("captions")) == 2
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert torch.equal(captions(copy)(prompts), before)
    assert len(kept("captions")) == 2, "where an encoder lies says nothing about it"
    from safetensors.torch import load_file, save_file

    weights = copy / "text_encoder" / "model.safetensors"
    save_file({name: -tensor for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    assert not torch.equal(captions(copy)(prompts), before)
    assert len(kept("captions")) == 3


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_file_is_made_again(damage: str, folder: Path) -> None:
    prompts = captions(folder).world.prompts("train")[:1]
    before = captions(folder)(prompts)
    (path,) = kept("captions")
    whole = path.read_bytes()
    if damage == "flip":
        flipped(path)
    else:
        path.write_bytes({"cut": whole[:-5], "empty": b"", "other": b"PK\x03\x04"}[damage])
    assert torch.equal(captions(folder)(prompts), before)
    assert path.read_bytes() == whole


def test_few_captions_stay_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umt5, "RECENT", 2)
    made = captions(folder)
    prompts = made.world.prompts("train")
    once = made(prompts)
    assert len(made.known) == 2
    assert torch.equal(made(prompts), once)


def test_latents_are_made_once_for_the_same_frames_and_weights(folder: Path, tmp_path: Path) -> None:
    codec = WanVAE(str(folder), frames=9, height=16, width=32)
    frames = torch.randint(0, 256, (2, 9, 16, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    weights = codecs.fitted(codec, folder)
    both = weights.encode(frames)
    assert both.shape == (2, *codec.shape())
    assert len(kept("latents")) == 2
    blind = _blind(codec, folder)
    assert torch.equal(blind.encode(frames.flip(0)), both.flip(0))
    brighter = frames.clone()
    brighter[0, 0, 0, 0, 0] ^= 1
    with pytest.raises(AssertionError, match="encoded"):
        blind.encode(brighter)
    with pytest.raises(UserError, match="has 9 frames of 16×32, got 9 frames of 32×16; cut and scale it first"):
        weights.encode(frames.transpose(2, 3))
    flipped(kept("latents")[0])
    assert torch.equal(weights.encode(frames), both)
    flipped(folder / "vae" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(AssertionError, match="encoded"):
        _blind(codec, folder).encode(frames)


def _blind(codec: WanVAE, folder: Path) -> WanVAEWeights:
    """The same codec, which can look things up and encode nothing."""
    from salt_train.codecs import wan_vae

    made = wan_vae.load(codec)

    def encoded(frames: torch.Tensor) -> torch.Tensor:
        raise AssertionError("encoded")

    made._encoded = encoded  # type: ignore[method-assign]
    return made


def test_a_store_keeps_every_dtype_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT_CACHE", str(tmp_path))
    store = Store("things")
    assert store.get(key("a")) is None
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        tensor = torch.randn(3, 5).to(dtype).T
        store.put(key("a"), tensor)
        found = store.get(key("a"))
        assert found is not None
        assert (found.dtype, torch.equal(found, tensor)) == (dtype, True)
    assert key("a", "b") != key("ab") != key("b", "a")
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


def test_encode_reads_a_file_before_a_training(folder: Path, salt: Callable[..., tuple[int, str, str]]) -> None:
    asked = ("encode", folder.parent / "captions.txt", "--pipeline", folder, "--tokens", TOKENS)
    place = files.cache() / "captions"
    assert salt(*asked)[:2] == (0, f"3 captions and the negative one are in {place}; 4 of them are new\n")
    assert salt(*asked)[:2] == (0, f"3 captions and the negative one are in {place}; 0 of them are new\n")
    without_encoder(folder)
    assert captions(folder)(captions(folder).world.prompts("train")).shape == (3, TOKENS, WORDS)
    code, _, said = salt("encode", folder.parent / "nowhere.txt", "--pipeline", folder)
    assert (code, "name a text file with one caption per line" in said) == (5, True)
    code, _, said = salt("encode", folder.parent / "captions.txt", "--pipeline", folder.parent / "nowhere")
    assert (code, said.count("\n")) == (5, 1)
