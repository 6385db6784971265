"""What every recipe of the embedded world shares."""

from __future__ import annotations

from salt_bench.worlds.shapes import ShapesWorld
from salt_train.backbones.wan import WanSpec
from salt_train.codecs.pca import PCACodec

WORLD = ShapesWorld()
CODEC = PCACodec(WORLD)
BACKBONE = WanSpec()
SHIFT = 3.0
"""Timestep shift of the embedded world; Wan 2.1 uses 5, whose latents are far larger."""
GUIDANCE = 2.0
"""The scale w at which the teacher is sampled, and followed by its students."""
