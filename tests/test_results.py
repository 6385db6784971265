"""The table: what goes in comes out, in one order, whole or not at all."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salt_bench import files, results
from salt_bench.errors import UserError, WrongUse
from salt_bench.types import Score


def score(prompt: str | None = "p", value: float | None = 0.1, note: str = "", seed: int = 0, arm: str = "a") -> Score:
    return Score(arm, "4 steps", seed, prompt, 0, "shapes", {"accuracy": value}, note=note)


def test_a_line_is_canonical() -> None:
    line = (
        '{"arm":"a","judge":"shapes","prompt":"p","sample_seed":0,"setting":"4 steps","train_seed":0,"values":{"accuracy":0.1}}'
    )
    assert results.dumps(score()) == line
    extra = Score("λ", "s", 1, None, 2, "f", {"d": np.float32(0.5)}, weight=2.0, note="why")  # type: ignore[dict-item]
    assert results.dumps(extra) == (
        '{"arm":"λ","judge":"f","note":"why","prompt":null,"sample_seed":2,"setting":"s","train_seed":1,"values":{"d":0.5},"weight":2.0}'
    )


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(), st.text())
def test_a_line_reads_back_to_the_same_score(value: float, prompt: str, note: str) -> None:
    before = score(prompt, value, note)
    line = results.dumps(before)
    assert "\n" not in line
    assert results.loads(line) == before


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_refused_by_name(bad: float) -> None:
    with pytest.raises(ValueError, match=r"'shapes'.*'accuracy'.*'a'.*'p'.*finite"):
        results.dumps(score(value=bad))
    with pytest.raises(ValueError, match="NaN"):
        results.loads(results.dumps(score(value=1.5)).replace("1.5", "NaN"))


def test_a_missing_value_says_why() -> None:
    with pytest.raises(ValueError, match="needs a note"):
        results.dumps(score(value=None))
    assert results.loads(results.dumps(score(value=None, note="too short"))).note == "too short"


def test_a_merge_depends_on_the_scores_alone(tmp_path: Path) -> None:
    scores = [score(p, 0.1 * i, seed=i, arm=arm) for i in range(3) for p in ("q", "p", None) for arm in ("b", "a")]
    tables = []
    for trial in range(3):
        random.Random(trial).shuffle(scores)
        shards = [tmp_path / f"{trial}-{k}.jsonl" for k in range(2)]
        for k, shard in enumerate(shards):
            results.write_shard(shard, {"trial": trial}, scores[k::2])
        assert results.merge(shards, tmp_path / str(trial) / "scores.jsonl") == len(scores)
        tables.append((tmp_path / str(trial) / "scores.jsonl").read_bytes())
    assert len(set(tables)) == 1
    assert results.read(tmp_path / "0" / "scores.jsonl") == sorted(scores, key=Score.key)


def test_a_key_comes_once(tmp_path: Path) -> None:
    for name in "xy":
        results.write_shard(tmp_path / name, {}, [score()])
    with pytest.raises(UserError, match=r"two rows have the key \('a'.*x and .*y"):
        results.merge([tmp_path / "x", tmp_path / "y"], tmp_path / "scores.jsonl")
    assert not (tmp_path / "scores.jsonl").exists()


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b.replace(b"0.1", b"0.2"), lambda b: b"", lambda b: b[:10]])
def test_a_damaged_shard_is_named(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "cell.jsonl"
    results.write_shard(path, {"evidence": "e"}, [score("p"), score("q")])
    assert results.read_shard(path).header == {"evidence": "e"}
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(results.Corrupt, match=r"cell\.jsonl is damaged"):
        results.read_shard(path)


def test_load_is_long(tmp_path: Path) -> None:
    rows = [
        Score("a", "s", 1, None, 0, "frechet", {"distance@validation": 2.0, "distance": 1.0}),
        score(value=None, note="why"),
    ]
    results.write(tmp_path / "scores.jsonl", rows)
    table = results.load(tmp_path)
    assert tuple(table.columns) == results.COLUMNS
    assert table["part"].tolist() == ["accuracy", "distance", "distance@validation"]
    assert np.isnan(table["value"].iloc[0])
    assert table["value"].tolist()[1:] == [1.0, 2.0]
    assert table["prompt"].tolist() == ["p", "", ""]
    assert table["note"].tolist() == ["why", "", ""]
    assert table["weight"].tolist() == [1.0] * 3


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"no table .*scores\.jsonl"):
        results.load(tmp_path)


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk full while writing .*free space"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")],
)
def test_a_full_or_closed_disk_keeps_the_old_file(tmp_path: Path, monkeypatch, number: int, words: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "table"
    files.write_text(path, "old")

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=words) as caught:
        files.write_text(path, "new")
    assert "table" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table"]


def test_slugs_are_safe_and_differ() -> None:
    names = ["a", "SC λ=0.3", "SC λ=03", "SC λ 0.3", "..", "a/b", "a b"]
    slugs = [files.slug(name) for name in names]
    assert slugs[0] == "a"
    assert len(set(slugs)) == len(names)
    assert all("/" not in slug and not slug.startswith(".") and slug.isascii() for slug in slugs)


def test_a_log_that_a_kill_cut_short_loses_that_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "timings.jsonl"
    files.append_line(path, "λ")
    with open(path, "a") as file:
        file.write("hal")
    for line in ("c", "d"):
        files.append_line(path, line)
    assert path.read_text().splitlines() == ["λ", "hal", "c", "d"]
