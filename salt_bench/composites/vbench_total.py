"""VBench's Quality, Semantic and Total (arXiv 2311.17982): sixteen dimensions, normalised, not clipped."""

from __future__ import annotations

from salt_bench.composites.scheme import Range, Scheme

QUALITY = {
    "subject_consistency": Range(0.1462, 1.0),
    "background_consistency": Range(0.2615, 1.0),
    "temporal_flickering": Range(0.6293, 1.0),
    "motion_smoothness": Range(0.706, 0.9975),
    "dynamic_degree": Range(0.0, 1.0, weight=0.5),
    "aesthetic_quality": Range(0.0, 1.0),
    "imaging_quality": Range(0.0, 1.0),
}
SEMANTIC = {
    "object_class": Range(0.0, 1.0),
    "multiple_objects": Range(0.0, 1.0),
    "human_action": Range(0.0, 1.0),
    "color": Range(0.0, 1.0),
    "spatial_relationship": Range(0.0, 1.0),
    "scene": Range(0.0, 0.8222),
    "appearance_style": Range(0.0009, 0.2855),
    "temporal_style": Range(0.0, 0.364),
    "overall_consistency": Range(0.0, 0.364),
}
PROMPTS = {
    "subject_consistency": 72,
    "background_consistency": 86,
    "temporal_flickering": 75,
    "motion_smoothness": 72,
    "dynamic_degree": 72,
    "aesthetic_quality": 93,
    "imaging_quality": 93,
    "object_class": 79,
    "multiple_objects": 82,
    "human_action": 100,
    "color": 85,
    "spatial_relationship": 84,
    "scene": 86,
    "appearance_style": 90,
    "temporal_style": 100,
    "overall_consistency": 93,
}
SCHEME = Scheme("vbench", {"quality": QUALITY, "semantic": SEMANTIC}, {"quality": 4 / 5, "semantic": 1 / 5}, PROMPTS)
