"""What every recipe of the embedded world shares."""

from __future__ import annotations

from salt_bench.worlds.shapes import ShapesWorld
from salt_train.backbones.wan import WanSpec
from salt_train.codecs.pca import PCACodec
from salt_train.rollout import Chunks

WORLD = ShapesWorld()
CODEC = PCACodec(WORLD)
BACKBONE = WanSpec()
CAUSAL = WanSpec(timeless=True)
CHUNKS = Chunks(size=2)
"""Three chunks make the 6 latent frames of a video."""
SHIFT = 3.0
"""Timestep shift of the embedded world; Wan 2.1 uses 5, whose latents are far larger."""
GUIDANCE = 2.0
"""The scale w at which the teacher is sampled, and followed by its students."""
