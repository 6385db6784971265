"""VBench-I2V's I2V Score, Quality and Total: nine dimensions. Temporal flickering is judged there too and counts in no mean."""

from __future__ import annotations

import re

from salt_bench.composites.scheme import Range, Scheme

I2V = {
    "camera_motion": Range(0.0, 1.0, weight=0.1),
    "i2v_subject": Range(0.1462, 1.0),
    "i2v_background": Range(0.2615, 1.0),
}
QUALITY = {
    "subject_consistency": Range(0.1462, 1.0),
    "background_consistency": Range(0.2615, 1.0),
    "motion_smoothness": Range(0.706, 0.9975),
    "dynamic_degree": Range(0.0, 1.0, weight=0.5),
    "aesthetic_quality": Range(0.0, 1.0),
    "imaging_quality": Range(0.0, 1.0),
}
PROMPTS = {
    "camera_motion": 763,  # of 109 images: seven moves each
    "i2v_subject": 246,
    "i2v_background": 109,
    "subject_consistency": 246,
    "background_consistency": 109,
    "motion_smoothness": 246,
    "dynamic_degree": 246,
    "aesthetic_quality": 355,
    "imaging_quality": 355,
    "temporal_flickering": 355,
}
_MOVE = re.compile(r", camera (pans|tilts|zooms|static)\b.*$")


def image(prompt: str) -> str:
    """The prompt without its camera move: the seven moves of an image, and the image without any, are one sample."""
    return _MOVE.sub("", prompt)


SCHEME = Scheme(
    "vbench_i2v",
    {"i2v_score": I2V, "quality": QUALITY},
    {"i2v_score": 1 / 2, "quality": 1 / 2},
    PROMPTS,
    beside=("temporal_flickering",),
    cluster=image,
)
