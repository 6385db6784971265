"""The suites: the real ones where their data is at hand, and our own few everywhere."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from official_data import DATA, needs_data

from salt_bench.composites import vbench_i2v as i2v_scores
from salt_bench.composites import vbench_total
from salt_bench.errors import UserError, WrongUse
from salt_bench.prompts import names, vbench, vbench_i2v
from salt_bench.prompts.base import Asked, Size, Suite, by_dimensions, thinned

OWN = vbench.own()


def test_our_own_prompts_ask_for_every_dimension_with_what_it_must_know() -> None:
    assert set(OWN.dimensions) == set(vbench_total.SCHEME.dimensions)
    told = {name: set(value) for row in OWN.rows for name, value in row.auxiliary.items()}
    assert told == {
        "object_class": {"object"},
        "multiple_objects": {"object"},
        "color": {"color"},
        "spatial_relationship": {"object_a", "object_b", "relationship"},
        "scene": {"scene"},
        "appearance_style": {"appearance_style"},
    }
    (where,) = OWN.of("spatial_relationship")
    assert where.auxiliary["spatial_relationship"] == {"object_a": "cup", "object_b": "book", "relationship": "on the right of"}
    assert OWN.of("scene")[0].auxiliary["scene"] == {"scene": "greenhouse"}
    assert all(names.file_name(row.text, 0) for row in OWN.rows)


def test_prompts_are_tagged_and_have_safe_ids() -> None:
    (fox,) = (prompt for prompt in OWN.prompts() if "fox" in prompt.text)
    assert fox.tags == {"subject_consistency", "dynamic_degree", "motion_smoothness"}
    assert fox.id == names.safe_id(fox.text)
    assert fox.factors == {}
    assert len({prompt.id for prompt in OWN.prompts()}) == len(OWN.rows)


def test_sizes_keep_every_dimension() -> None:
    for suite in (OWN, _many()):
        smoke, lite = (_thinned(suite, size) for size in (Size.smoke, Size.lite))
        assert set(smoke.dimensions) == set(lite.dimensions) == set(suite.dimensions)
        assert (smoke.samples, smoke.filtered, lite.samples, lite.filtered) == (1, 1, 1, 5)
        assert _thinned(suite, Size.full) is suite
        texts = [[row.text for row in one.rows] for one in (smoke, lite, suite)]
        assert set(texts[0]) <= set(texts[1]) <= set(texts[2])
    assert len(_thinned(_many(), Size.lite).of("color")) == 4, "the first, third, fifth and seventh of 7"


def _many() -> Suite:
    (color, *_) = OWN.of("color")
    rows = tuple(Asked(f"{color.text} {n}", color.dimensions, color.auxiliary) for n in range(7))
    return Suite("many", rows + OWN.of("scene"))


def _thinned(suite: Suite, size: Size) -> Suite:
    return thinned(suite, size, by_dimensions, step=2)


def test_a_part_of_a_suite_asks_for_that_part_alone() -> None:
    part = OWN.only(["aesthetic_quality", "scene"])
    assert part.dimensions == ("scene", "aesthetic_quality")
    assert len(part.rows) == 3
    with pytest.raises(WrongUse, match="own asks nothing for 'colour'"):
        OWN.of("colour")


def test_rewritten_prompts_are_given_and_originals_are_scored(tmp_path: Path) -> None:
    lines = [f"{row.text}, in the finest detail" for row in OWN.rows]
    file = tmp_path / "longer.txt.gz"
    file.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    found = vbench.augmented(OWN, file)
    assert found.name == "own+longer"
    for row, before, line in zip(found.rows, OWN.rows, lines, strict=True):
        assert (row.text, row.prompt, row.auxiliary) == (before.text, line, before.auxiliary)
    assert found.prompts()[0].text == OWN.rows[0].text
    assert found.prompts()[0].factors == {"said": lines[0]}
    assert found.fingerprint() != OWN.fingerprint()


def test_rewritten_prompts_must_be_aligned(tmp_path: Path) -> None:
    file = tmp_path / "longer.txt"
    file.write_text("one\ntwo\n")
    with pytest.raises(UserError, match="has 2 lines for 13 prompts"):
        vbench.augmented(OWN, file)
    file.write_text("x\n" * 6 + "\n" + "x\n" * 6)
    with pytest.raises(UserError, match="line 7 is empty"):
        vbench.augmented(OWN, file)


def test_the_fingerprint_is_of_what_is_asked() -> None:
    assert OWN.fingerprint() == vbench.own().fingerprint()
    assert OWN.only(["scene"]).fingerprint() != OWN.fingerprint()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged or no JSON"),
        ("{}", "is no prompt suite: a suite is a list"),
        ('[{"prompt_en": "a", "dimension": "color"}]', "row 0 has no text"),
        ('[{"prompt": "a", "dimension": ["color"]}]', "row 0 has no text"),
    ],
)
def test_a_damaged_info_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "info.json"
    file.write_text(text)
    with pytest.raises(UserError, match=f"info.json {message}"):
        vbench.suite(path=file)


def test_missing_data_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"holds no VBench_full_info.json .*: get it with `salt-bench data vbench`$"):
        vbench.suite()
    with pytest.raises(UserError, match="--from PATH` with a copy"):
        vbench_i2v.suite()


def test_i2v_rows_have_images(tmp_path: Path) -> None:
    image = {"image_type": "buildings", "image_name": "a barn.jpg"}
    rows = [
        {"prompt_en": "a barn", "dimension": ["i2v_background", "imaging_quality"], **image},
        {"prompt_en": "a barn, camera pans left", "dimension": ["camera_motion"], **image},
    ]
    file = tmp_path / "i2v.json"
    file.write_text(json.dumps(rows))
    found = vbench_i2v.suite(path=file)
    assert [row.image for row in found.rows] == ["a barn.jpg", "a barn.jpg"]
    assert found.rows[1].auxiliary["camera_motion"]["image_name"] == "a barn.jpg"
    assert found.prompts()[0].factors == {"image": "a barn.jpg"}
    file.write_text(json.dumps([{"prompt_en": "a", "dimension": ["x"]}]))
    with pytest.raises(UserError, match="no 'image_name'"):
        vbench_i2v.suite(path=file)


@needs_data
def test_the_suite_is_the_published_one() -> None:
    suite = vbench.suite(path=DATA)
    assert len(suite.rows) == 946
    assert len(suite.prompts()) == len({prompt.id for prompt in suite.prompts()}) == 944
    assert {name: len(suite.of(name)) for name in suite.dimensions} == vbench_total.PROMPTS
    twice = [prompt for prompt in suite.prompts() if {"appearance_style", "overall_consistency"} <= prompt.tags]
    assert len(twice) == 2, "the same videos answer both"
    assert all(len({row.text for row in suite.of(name)}) == len(suite.of(name)) for name in suite.dimensions)
    assert sum(bool(row.auxiliary) for row in suite.rows) == 506
    assert names.collisions(row.text for row in suite.rows) == (("A fantasy landscape", "a fantasy landscape"),)
    longest = max((names.file_name(row.text, 24) for row in suite.rows), key=len)
    assert len(longest.encode()) <= 216 + 1
    assert all(names.parse(names.file_name(row.text, 3)) == names.Named(row.text, 3) for row in suite.rows)


@needs_data
def test_the_sizes_of_the_published_suite() -> None:
    smoke, lite, full = (vbench.suite(size, DATA) for size in Size)
    assert (len(smoke.rows), len(lite.rows), len(full.rows)) == (11, 475, 946)
    assert (full.samples, full.filtered, lite.samples, lite.filtered) == (5, 25, 1, 5)
    assert {name: len(lite.of(name)) for name in lite.dimensions} == {n: -(-len(full.of(n)) // 2) for n in full.dimensions}
    assert (smoke.name, lite.name, full.name) == ("vbench-smoke", "vbench-lite", "vbench")
    assert len({one.fingerprint() for one in (smoke, lite, full)}) == 3


@needs_data
def test_the_prompts_rewritten_for_wan_are_aligned() -> None:
    suite = vbench.augmented_suite(path=DATA)
    stop = suite.rows[0]
    assert stop.text == "In a still frame, a stop sign"
    assert stop.prompt.startswith("In a still frame, a classic red stop sign")
    assert len(vbench.augmented_suite(Size.lite, DATA).rows) == 475
    assert all(len(row.prompt) > len(row.text) for row in suite.rows)


@needs_data
def test_i2v_is_the_published_one() -> None:
    suite = vbench_i2v.suite(path=DATA)
    assert len(suite.rows) == len(suite.prompts()) == 1118
    assert {name: len(suite.of(name)) for name in suite.dimensions} == i2v_scores.PROMPTS
    assert len({row.image for row in suite.rows}) == len({i2v_scores.image(row.text) for row in suite.rows}) == 355
    lite = vbench_i2v.suite(Size.lite, DATA)
    assert {name: len(lite.of(name)) for name in ("camera_motion", "i2v_subject")} == {
        "camera_motion": 7 * 55,
        "i2v_subject": 123,
    }
    assert (suite.filtered, lite.filtered) == (5, 1), "no filter of still videos here"
