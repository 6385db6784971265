"""The five dimensions that read GRiT's and Tag2Text's words: their arithmetic on hand-made frames, official habits included."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from salt_bench.judges.vbench.base import Dimension, Judged, Video
from salt_bench.judges.vbench.captions import Captions
from salt_bench.judges.vbench.color import Color, thing
from salt_bench.judges.vbench.detections import Detections, Instance, OpenCVDetections, packed, unpacked
from salt_bench.judges.vbench.multiple_objects import MultipleObjects
from salt_bench.judges.vbench.object_class import ObjectClass
from salt_bench.judges.vbench.scene import Scene
from salt_bench.judges.vbench.spatial_relationship import SpatialRelationship, intersection_over_union

ROWS = Path(__file__).parents[3] / "../shared/data/vbench/VBench_full_info.json.gz"
Frames = Sequence[Sequence[Instance]]


def video(auxiliary: dict[str, Any], text: str = "", height: int = 480) -> Video:
    return Video(Path("x.mp4"), 16, height, 832, 8.0, text=text, auxiliary=auxiliary)


def see(name: str, box: tuple[int, int, int, int] = (0, 0, 10, 10), description: str = "") -> Instance:
    return Instance(box, 0.9, name, description)


def judged(dimension: Dimension, about: Video, frames: Frames) -> Judged:
    return dimension(about, {Detections: packed(frames)})


def test_what_is_packed_comes_back() -> None:
    frames = [[see("cat", (1, 2, 3, 4), "a red cat"), see("dog")], [], [see("bird", (5, 6, 7, 8))]]
    back = unpacked(packed(frames))
    assert [[(one.box, one.name, one.description) for one in frame] for frame in back] == [
        [((1, 2, 3, 4), "cat", "a red cat"), ((0, 0, 10, 10), "dog", "")],
        [],
        [((5, 6, 7, 8), "bird", "")],
    ]
    assert back[0][0].score == pytest.approx(0.9)
    assert unpacked(packed([[], []])) == [[], []]


def test_object_class_counts_frames_that_name_the_thing() -> None:
    about = video({"object_class": {"object": "cat"}})
    found = judged(ObjectClass(), about, [[see("dog"), see("cat")], [], [see("cats")], [see("dog", description="a cat")]])
    assert found.value == 1 / 4
    assert found.weight == 4
    assert found.extra == {"success_frame_count": 1, "frame_count": 4}


def test_multiple_objects_counts_frames_that_name_both() -> None:
    about = video({"multiple_objects": {"object": "bird and cat"}})
    both, one, twice = [see("cat"), see("dog"), see("bird")], [see("bird")], [see("cat"), see("cat")]
    assert judged(MultipleObjects(), about, [both, both, one, twice, []]).value == 2 / 5


CAR = video({"color": {"color": "red"}}, "a red car")


def test_color_is_right_over_colored() -> None:
    right, wrong, grey = see("car", description="a red car"), see("car", description="blue car"), see("car", description="car")
    found = judged(Color(), CAR, [[right], [right], [wrong], [grey], [], [see("dog", description="a red dog")]])
    assert found.value == 2 / 3
    assert found.extra == {"cur_success_frame_rate": 2 / 3}
    assert found.weight == 1


def test_color_compares_the_name_of_the_best_instance_alone() -> None:
    sky = see("sky", description="blue sky")
    car, plain = see("car", description="a red car"), see("car", description="a car")
    assert judged(Color(), CAR, [[sky, car]]).value is None, "the car is not the frame's best"
    assert judged(Color(), CAR, [[plain, see("dog", description="a red dog")]]).value == 1, "any description counts"
    assert judged(Color(), CAR, [[plain, sky]]).value == 0
    assert judged(Color(), CAR, [[plain, sky], [sky, car]]).value == 0, "nor does a car behind it make its frame right"


def test_color_finds_letters_not_words() -> None:
    assert judged(Color(), CAR, [[see("car", description="a colored car")]]).value == 1
    assert judged(Color(), CAR, [[see("car", description="a blackened car")]]).value == 0


def test_a_is_taken_away_before_an() -> None:
    assert thing("aa n red car", "red") == "car"


def test_color_knows_twelve_colors() -> None:
    for color in ["white", "red", "pink", "blue", "silver", "purple", "orange", "green", "gray", "yellow", "black", "grey"]:
        found = judged(Color(), CAR, [[see("car", description=f"a {color} car")]])
        assert found.value == float(color == "red"), color


def test_color_leaves_out_a_video_without_colors() -> None:
    found = judged(Color(), CAR, [[see("car", description="a car")], []])
    assert found.value is None
    assert found.note == "no frame shows car in any color"


def test_color_reads_another_pass_where_frames_are_scaled_down() -> None:
    large = video({"color": {"color": "red"}}, "a red car", height=769)
    red, blue = packed([[see("car", description="red")]]), packed([[see("car", description="blue")]])
    assert Color()(large, {Detections: blue, OpenCVDetections: red}).value == 1
    assert Color()(CAR, {Detections: blue, OpenCVDetections: red}).value == 0
    assert Color().wants(CAR) == Color().wants(video({}, height=768)) == ObjectClass().wants(large) == (Detections,)
    assert Color().wants(large) == (OpenCVDetections,)


def test_color_finds_the_thing_in_every_prompt_of_the_suite() -> None:
    assert thing("a red bicycle", "red") == "bicycle"
    assert thing("an orange umbrella", "orange") == "umbrella"
    if not ROWS.is_file():
        pytest.skip(f"the suite's rows are not at {ROWS}")
    rows = [row for row in json.loads(gzip.decompress(ROWS.read_bytes())) if "color" in row["dimension"]]
    things = {thing(row["prompt_en"], row["auxiliary_info"]["color"]["color"]) for row in rows}
    assert len(rows) == 85
    assert things == {"bicycle", "car", "bird", "cat", "umbrella", "suitcase", "bowl", "chair", "clock", "vase"}


def spatial(relationship: str, *frames: Sequence[Instance]) -> Judged:
    key = {"object_a": "dog", "object_b": "cat", "relationship": relationship}
    return judged(SpatialRelationship(), video({"spatial_relationship": key}), frames)


DOG, CAT = see("dog", (0, 0, 10, 10)), see("cat", (40, 20, 60, 40))


@pytest.mark.parametrize("side", ["on the left of", "on the right of"])
def test_either_side_will_do(side: str) -> None:
    assert spatial(side, [DOG, CAT]).value == 1
    assert spatial(side, [CAT, DOG]).value == 1
    assert spatial(side, [see("dog", (0, 0, 10, 10)), see("cat", (20, 40, 40, 60))]).value == 0


@pytest.mark.parametrize("side", ["on the top of", "on the bottom of"])
def test_above_is_below(side: str) -> None:
    assert spatial(side, [DOG, CAT]).value == 0
    assert spatial(side, [see("dog", (0, 0, 10, 10)), see("cat", (20, 40, 40, 60))]).value == 1
    assert spatial(side, [see("dog", (20, 40, 40, 60)), see("cat", (0, 0, 10, 10))]).value == 1


def test_a_diagonal_is_neither() -> None:
    frame = [see("dog", (0, 0, 10, 10)), see("cat", (30, 30, 40, 40))]
    assert spatial("on the left of", frame).value == spatial("on the top of", frame).value == 0


def test_centres_decide_and_not_corners() -> None:
    """20 apart on the left edges, but the centres are 16 apart across and 17.5 along."""
    frame = [see("dog", (0, 0, 10, 10)), see("cat", (20, 0, 22, 45))]
    assert (spatial("on the left of", frame).value, spatial("on the top of", frame).value) == (0, 1)


def test_two_of_the_same_are_a_pair_and_others_are_not() -> None:
    assert spatial("on the left of", [DOG, see("dog", (40, 0, 50, 10))]).value == 1
    assert spatial("on the left of", [DOG, see("bird", (40, 0, 50, 10))]).value == 0
    assert spatial("on the left of", [DOG]).value == 0


def test_overlap_counts_a_tenth_over_itself() -> None:
    near = [see("dog", (0, 0, 10, 10)), see("cat", (5, 0, 15, 10))]  # a third in common
    touching = [see("dog", (0, 0, 10, 10)), see("cat", (9, 0, 19, 10))]  # 1/19
    assert intersection_over_union((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert intersection_over_union((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert intersection_over_union((0, 0, 10, 10), (30, 0, 40, 10)) == intersection_over_union((1, 1, 1, 1), (1, 1, 1, 1)) == 0
    assert spatial("on the left of", near).value == pytest.approx(0.3)
    assert spatial("on the left of", touching).value == 1


def test_a_frame_is_its_best_pair_and_a_video_its_mean() -> None:
    near = [see("dog", (0, 0, 10, 10)), see("cat", (5, 0, 15, 10))]
    found = spatial("on the left of", near, [*near, see("dog", (90, 0, 99, 9))], [], [DOG, CAT])
    assert found.value == pytest.approx((0.3 + 1 + 0 + 1) / 4)
    assert found.extra["frame_results"] == pytest.approx([0.3, 1, 0, 1])
    assert found.weight == 4


def test_scene_looks_for_every_word_anywhere() -> None:
    about = video({"scene": {"scene": "train railway"}})
    captions = ["a trained dog on a railway", "a railway", "railways and trains", ""]
    found = Scene()(about, {Captions: {"caption": np.array(captions)}})
    assert found.value == 2 / 4
    assert found.weight == 4
    assert found.extra == {"success_frame_count": 2, "frame_count": 4}


@pytest.mark.parametrize("kind", [ObjectClass, MultipleObjects, Color, SpatialRelationship, Scene])
def test_a_prompt_without_its_key_is_not_judged(kind: type[Dimension]) -> None:
    found = kind()(video({"elsewhere": {}}), {Detections: packed([[]]), Captions: {"caption": np.array([""])}})
    assert found.value is None
    assert found.note == f"{kind.name} needs auxiliary_info.{kind.name} of the prompt"
