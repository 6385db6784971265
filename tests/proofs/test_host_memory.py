"""A process of two never holds more than its half of the networks, and a tensor more, while they are built."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from host_memory import SPEC, recipe

from salt_bench import record
from salt_train import checkpoint, codecs, launch
from salt_train.recipe import Recipe

LARGEST = 4 * SPEC.width * SPEC.hidden  # bytes of a tensor


def written(stage: Recipe, root: Path) -> int:
    """Writes a checkpoint of `stage` with random weights: its bytes."""
    words = codecs.captions(stage.world, stage.text).words
    net = stage.backbone.build(stage.codec.shape(), words, codecs.fitted(stage.codec, root).std)
    checkpoint.finish(root / stage.fingerprint(), net.state_dict(), [], record.dump(stage))
    return sum(4 * p.numel() for p in net.parameters())


def test_building_takes_a_processs_share_and_a_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = recipe().teacher
    assert stage is not None
    whole, found = written(stage, tmp_path), tmp_path / "found"
    found.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    launch.job(2, "host_memory", tmp_path, found)
    share = 4 * whole / 2  # student, average, critic and teacher
    for path in found.iterdir():
        taken = int(path.read_text())
        print(f"{taken / 1e6:.0f} MB; the share is {share / 1e6:.0f} MB, one network {whole / 1e6:.0f} MB")
        assert 0.9 * share < taken < share + 2 * LARGEST
    assert len(list(found.iterdir())) == 2
