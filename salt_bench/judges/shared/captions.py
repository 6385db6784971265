"""Captions of the embedded world in parts, and what is wrong with them when one thing is.

A style is its colours and its scene ("red and blue at night"), a motion its words for it ("moving left"). Both are phrases of
the caption itself: nothing is said of a clip that was not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from salt_bench.worlds.shapes import COLOURS, MOTION_WORDS, MOTIONS, RELATIONS, SCENE_WORDS, SCENES, SHAPES, SIZES

Factors = Mapping[str, str]


def style(factors: Factors) -> str:
    """The colours, in the world's order and not the caption's (a picture has none), and the scene."""
    shown = [colour for colour in COLOURS if colour in (factors["colour"], factors.get("colour2"))]
    return f"{' and '.join(shown)} {SCENE_WORDS[factors['scene']]}"


def motion(factors: Factors) -> str:
    return MOTION_WORDS[factors["motion"]]


def wrong(factors: Factors) -> dict[str, tuple[Factors, ...]]:
    """attribute → every caption of the world, as its factors, that differs from `factors` in that alone.

    "count" leaves the second object out; "binding" exchanges what the two objects are called, "pairing" their colours alone."""
    found = {name: _replaced(factors, name, options) for name, options in _options(factors).items()}
    if factors["count"] == "1":
        return found
    found["shape"] += _replaced(factors, "shape2", SHAPES)
    found["colour"] += _replaced(factors, "colour2", _free(factors["colour"]))
    found["count"] = ({name: factors[name] for name in ("size", "colour", "shape", "motion", "scene")} | {"count": "1"},)
    colours = {"colour": factors["colour2"], "colour2": factors["colour"]}
    if factors["shape"] != factors["shape2"]:
        found["pairing"] = ({**factors, **colours},)
    found["binding"] = ({**factors, **colours, "shape": factors["shape2"], "shape2": factors["shape"]},)
    return found


def _options(factors: Factors) -> dict[str, tuple[str, ...]]:
    options = {"shape": SHAPES, "motion": tuple(MOTIONS), "scene": tuple(SCENES)}
    if factors["count"] == "1":
        return options | {"colour": tuple(COLOURS), "size": tuple(SIZES)}
    return options | {"colour": _free(factors["colour2"]), "relation": tuple(RELATIONS)}


def _free(taken: str) -> tuple[str, ...]:
    """The colours that one object may have beside another of the colour `taken`."""
    return tuple(colour for colour in COLOURS if colour != taken)


def _replaced(factors: Factors, name: str, options: tuple[str, ...]) -> tuple[Factors, ...]:
    return tuple({**factors, name: option} for option in options if option != factors[name])
