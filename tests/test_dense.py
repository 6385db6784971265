"""The published table: nothing is lost in its columns, the same scores make the same bytes, and damage is named by its line."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salt_bench import results
from salt_bench.types import Score

FEW = st.sampled_from(["a", "b", "λ \u2028 1", ""])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SHAPES = [Score("a", "4", 0, prompt, 0, "shapes", {"colour": 0.1, "relation": 1.0}) for prompt in ("p", "q")]
SCORES = [*SHAPES, Score("a", "4", 0, "r", 0, "shapes", {"colour": 1 / 3}), Score("a", "4", 0, None, 0, "frechet", {"d": 2.0})]


@st.composite
def score(draw: st.DrawFn) -> Score:
    head = (draw(FEW), draw(FEW), draw(st.integers(0, 2)), draw(st.none() | FEW | st.text(max_size=3)))
    tail = (draw(st.integers(0, 1)), draw(FEW))
    values = draw(st.dictionaries(FEW, st.none() | NUMBERS, max_size=3))
    note = draw(st.sampled_from(["too short", "λ"]) if None in values.values() else FEW)
    return Score(*head, *tail, values, draw(st.just(1.0) | NUMBERS), note)


tables = st.lists(score(), unique_by=Score.key, max_size=8)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def by_row(scores: list[Score]) -> pd.DataFrame:
    """The long table made the slow and obvious way."""
    rows = [
        (s.arm, s.setting, s.train_seed, s.prompt or "", s.sample_seed, s.judge, part, s.values[part], s.weight, s.note)
        for s in sorted(scores, key=Score.key)
        for part in sorted(s.values)
    ]
    table = pd.DataFrame.from_records(rows, columns=list(results.COLUMNS))
    return table.astype({"train_seed": int, "sample_seed": int, "value": float, "weight": float})


@given(tables)
@unhurried
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, scores: list[Score]) -> None:
    path = tmp_path_factory.mktemp("t") / "scores.jsonl"
    results.write(path, scores)
    found = results.read(path)
    assert found == sorted(scores, key=Score.key)
    assert [str(s.values.get("a")) for s in found] == [str(s.values.get("a")) for s in sorted(scores, key=Score.key)]  # −0.0
    first = path.read_bytes()
    results.write(path, random.Random(0).sample(found, len(found)))
    assert path.read_bytes() == first


@given(tables)
@unhurried
def test_a_frame_has_a_row_for_every_part_in_key_order(tmp_path_factory: pytest.TempPathFactory, scores: list[Score]) -> None:
    folder = tmp_path_factory.mktemp("t")
    results.write(folder / "scores.jsonl", scores)
    wanted = by_row(scores)
    for found in (results.load(folder), results.frame(scores)):
        pd.testing.assert_frame_equal(found, wanted, check_exact=True, check_dtype=not wanted.empty)


def test_lines_are_canonical_and_say_what_is_shared_once(tmp_path: Path) -> None:
    noted = Score("a", "4", 0, "q", 1, "shapes", {"colour": None}, weight=2.0, note="too short")
    results.write(tmp_path / "t", [*reversed(SCORES), noted, replace(noted, prompt="p", values={"colour": 5e-324}, note="")])
    head = '"sample_seed":0,"setting":"4","train_seed":0,"values":'
    later = head.replace('"sample_seed":0', '"sample_seed":1') + '{"colour":[5e-324,null]},"weights":[2.0,2.0]'
    assert (tmp_path / "t").read_text().splitlines() == [
        '{"prompts":["p","q","r"]}',
        f'{{"arm":"a","judge":"frechet","prompts":null,{head}{{"d":[2.0]}}}}',
        f'{{"arm":"a","judge":"shapes","prompts":[2],{head}{{"colour":[0.3333333333333333]}}}}',
        f'{{"arm":"a","judge":"shapes","prompts":[0,1],{head}{{"colour":[0.1,0.1],"relation":[1.0,1.0]}}}}',
        f'{{"arm":"a","judge":"shapes","notes":["","too short"],"prompts":[0,1],{later}}}',
    ]


def test_an_absent_part_is_not_a_null(tmp_path: Path) -> None:
    rows = [replace(SHAPES[0], values={"colour": 1.0}), replace(SHAPES[1], values={"colour": 1.0, "relation": None}, note="n")]
    results.write(tmp_path / "scores.jsonl", rows)
    found = results.read(tmp_path / "scores.jsonl")
    assert [dict(s.values) for s in found] == [{"colour": 1.0}, {"colour": 1.0, "relation": None}]
    assert results.load(tmp_path)["part"].tolist() == ["colour", "colour", "relation"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_only_numbers_and_explained_nulls_are_written(tmp_path: Path, bad: float | None) -> None:
    with pytest.raises(ValueError, match=r"'shapes'.*'colour'.*'a'.*'p'"):
        results.write(tmp_path / "t", [replace(SHAPES[0], values={"colour": bad})])
    with pytest.raises(ValueError, match=r"two scores have the key \('a', '4', 0, 'p'"):
        results.write(tmp_path / "t", [*SCORES, replace(SHAPES[0], values={"colour": 1.0})])
    assert not (tmp_path / "t").exists()


def block(**changes: object) -> str:
    row: dict[str, Any] = {"arm": "a", "judge": "j", "prompts": [0, 1], "sample_seed": 1, "setting": "4", "train_seed": 0}
    row = {**row, "values": {"x": [0.5, 1.5]}, **changes}
    return json.dumps({name: value for name, value in row.items() if value != "gone"})


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (block()[:-9], "delimiter|Unterminated|Expecting"),
        ("", "Expecting value"),
        ("[]", "an object, got list"),
        ("{}", "a row has 'arm': str, got None"),
        (block(train_seed="0"), "'train_seed': int, got '0'"),
        (block(prompts="gone"), "prompts"),
        (block(note="n"), "note"),
        (block(prompts=[0, 3]), "places below 3 in the first line, got 0 to 3"),
        (block(prompts=[-1, 0]), "places below 3 in the first line, got -1 to 0"),
        (block(prompts=[1, 1]), "rising, each once"),
        (block(prompts=[1, 0]), "rising, each once"),
        (block(prompts=[]), "rising, each once"),
        (block(prompts=[0, True]), "rising, each once"),
        (block(prompts=[0]), "part 'x' has one entry for each of 1 scores, got 2"),
        (block(prompts=None), "part 'x' has one entry for each of 1 scores, got 2"),
        (block(weights=[1.0]), "'weights' has one entry for each of 2 scores, got 1"),
        (block(notes=["", "", ""]), "'notes' has one entry for each of 2 scores, got 3"),
        (block(notes=None), "'notes' has one entry for each of 2 scores, got NoneType"),
        (block(values={"x": 0.5}), "part 'x' has one entry for each of 2 scores, got float"),
        (block(values={"x": [0.5, "1.5"]}), "part 'x' holds NoneType or float, got str"),
        (block(values={"x": [0.5, None]}), "null without a note"),
        (block(values={"x": [0.5, None]}, notes=["n", ""]), "null without a note"),
        (block(values={"x": [0.5, float("nan")]}), "finite number or null, got NaN"),
        (block().replace("1.5", "1e999"), "part 'x': a value is finite"),
        (block(judge="shapes", sample_seed=0), "'shapes' of arm 'a' scores the prompt 'p' a second time"),
        (block(judge="frechet", sample_seed=0, prompts=None, values={"d": [2.0]}), "scores the prompt '' a second time"),
        (results.dumps(SCORES[0]), "prompt"),
    ],
)
def test_damage_is_named_by_file_and_line(tmp_path: Path, bad: str, says: str) -> None:
    results.write(tmp_path / "scores.jsonl", SCORES)
    path = tmp_path / "scores.jsonl"
    path.write_text(f"{path.read_text()}{block()}\n{bad}\n")
    with pytest.raises(results.Corrupt, match=rf"scores\.jsonl:6 is damaged \(.*({says}).*restore the file") as caught:
        results.read(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(results.Corrupt, match=r"scores\.jsonl:6 is damaged"):
        results.load(tmp_path)


@pytest.mark.parametrize("first", ["", "{}", '{"prompts":[1]}', '{"prompts":["q","p"]}', '{"prompts":["p","p"]}', block()])
def test_the_first_line_lists_the_prompts(tmp_path: Path, first: str) -> None:
    (tmp_path / "scores.jsonl").write_text(f"{first}\n{block()}\n")
    with pytest.raises(results.Corrupt, match=r"scores\.jsonl:1 is damaged"):
        results.load(tmp_path)


def test_any_truncation_inside_a_line_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    results.write(path, SCORES)
    whole = path.read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    for end in range(last + 1, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(results.Corrupt, match=r"scores\.jsonl:4 is damaged"):
            results.read(path)
