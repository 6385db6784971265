"""Weights made at random: every network takes its file, and nobody's released weights are lost."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from salt_bench.errors import WrongUse
from salt_bench.judges.vbench import random_weights, weights
from salt_bench.judges.vbench.networks import amt, clip, dino, musiq, raft, umt, viclip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    written = list(random_weights.write(folder, layers=1))
    assert {path.relative_to(folder).as_posix() for path in written} == {one.path for one in weights.TABLE}
    return folder


def test_every_network_takes_its_file_at_its_depth(folder: Path) -> None:
    def there(name: str) -> Path:
        return weights.locate(folder, name)

    assert clip.images(there("clip_b32"), "cpu", "fp32").side == 224
    assert clip.texts(there("clip_b32"), "cpu", "fp32").scale == pytest.approx(100)
    assert clip.images(there("clip_l14"), "cpu", "fp32").side == 224
    assert dino.load(there("dino"), "cpu")(torch.zeros(1, 3, 224, 224)).shape == (1, 768)
    assert raft.load(there("raft"), "cpu")
    assert amt.load(there("amt"))
    assert len(musiq.load(there("musiq")).transformer_encoder.transformer) == 1
    assert len(umt.load(there("umt")).blocks) == 1
    assert len(viclip.load_video(there("viclip")).transformer.resblocks) == 1
    assert len(viclip.load_text(there("viclip")).transformer.resblocks) == 1


def test_a_tensor_depends_on_its_name_and_the_seed(tmp_path: Path) -> None:
    like = torch.empty(3, 5, device="meta")
    one, same, other, name = (
        random_weights._drawn(*asked) for asked in (("a/x", like, 0), ("a/x", like, 0), ("a/x", like, 1), ("a/y", like, 0))
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, name)


def test_matrices_let_a_signal_through() -> None:
    matrix = random_weights._drawn("a/x.weight", torch.empty(400, 300, device="meta"), 0)
    assert np.std(matrix.numpy()) == pytest.approx(300**-0.5, rel=0.02)


def test_the_mark_is_read_and_released_weights_are_not_overwritten(folder: Path, tmp_path: Path) -> None:
    assert random_weights.mark(folder) == "made at random, seed 0, 1 layers"
    assert random_weights.mark(tmp_path) == ""
    precious = tmp_path / weights.weight("laion").path
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"released")
    with pytest.raises(WrongUse, match="empty folder"):
        next(random_weights.write(tmp_path))
    assert hashlib.sha256(precious.read_bytes()).digest() == hashlib.sha256(b"released").digest()
