"""What may not be compared is named, field by field."""

from __future__ import annotations

from salt_bench.gate.protocol import differences, missing_prompts
from salt_bench.types import Prompt

SAMPLER = {"type": "x:Sampling", "grid": (1.0, 0.5), "guidance": 1.0}
PROTOCOL = {"sampler": SAMPLER, "clip": {"frames": 12, "fps": 8.0}, "judges": {"sharp": {"threshold": 3}}}


def changed(**fields: object) -> list[str]:
    return differences({**PROTOCOL, **fields}, PROTOCOL)


def test_equal_protocols_differ_in_nothing() -> None:
    assert changed() == []
    assert changed(sampler={**SAMPLER, "grid": [1.0, 0.5]}) == [], "a tuple is a list in JSON"


def test_the_field_that_differs_is_named_with_both_values() -> None:
    assert changed(sampler={**SAMPLER, "grid": (1.0,)}) == ["sampler.grid is [1.0] against [1.0, 0.5]"]
    assert changed(clip={"frames": 24, "fps": 8.0}) == ["clip.frames is 24 against 12"]
    assert changed(judges={"sharp": {"threshold": 4}}) == ["judges.sharp.threshold is 4 against 3"]


def test_a_record_leaves_out_its_defaults_and_a_side_what_it_cannot_know() -> None:
    cache = {"type": "x:Chunks", "cache": {"type": "x:Window", "window": 6}}
    assert changed(sampler={**SAMPLER, "chunks": cache}) == [
        'sampler.chunks is {"cache": {"type": "x:Window", "window": 6}, "type": "x:Chunks"} against null'
    ]
    assert changed(sampler={"grid": [1.0, 0.5]}) == [], "a study says its grid alone"
    assert changed(sampler={"grid": [1.0]}) == ["sampler.grid is [1.0] against [1.0, 0.5]"]
    assert differences({"clip": PROTOCOL["clip"]}, PROTOCOL) == [], "videos do not say how they were sampled"


def test_prompts_are_ids_and_texts() -> None:
    one, two = Prompt("a", "a cat", ""), Prompt("b", "a dog", "")
    assert missing_prompts([two, one], [one, two]) == []
    assert missing_prompts([one, two], [one]) == [], "more than the baseline has does no harm"
    other = Prompt("b", "a big dog", "")
    assert missing_prompts([one, other], [one, two]) == ["prompts: the candidate lacks 1 of 2, 'a dog' for one"]
