"""`salt-bench power` and `salt-bench tables`, as a user types them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import special
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

from synthetic_study import write_study

from salt_bench.cli import app
from salt_bench.composites import summary, vbench_total
from salt_bench.composites.rows import SCALE
from salt_bench.errors import UserError, WrongUse
from salt_bench.report import planning
from salt_bench.report.source import Source
from salt_bench.stats.power import Design, detectable


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("reports") / "study")


def said(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_components_of_every_judge(study: Path) -> None:
    lines = {line.split("|")[1].strip(): line for line in said("power", study).splitlines() if line.startswith("|")}
    assert {"shapes.accuracy", "frechet.distance", "sharpness.score", "semigroup_defect.defect"} <= set(lines)
    assert "training seed" in lines["Judge"]
    assert "100%" in lines["frechet.distance"], "a set has no prompts"
    assert "3 sets" in lines["frechet.distance"]
    assert "3 × 20" in lines["shapes.accuracy"]


def test_the_need_is_that_of_the_components(study: Path) -> None:
    known = planning.choose(planning.of_study(Source.read(study)), "shapes")
    smallest = detectable(Design(3, 256), known.found)
    text = said("power", study, "--effect", f"shapes={1.001 * smallest}")
    assert "you need" in text
    assert f"{smallest:.3g} ✓" in text
    assert "3 training seeds and 256 prompts" in text
    harder = said("power", study, "--effect", f"shapes={1.001 * smallest}", "--power", "0.95")
    assert "3 training seeds and 256 prompts" not in harder


def test_one_arm_or_given_standard_deviations(study: Path) -> None:
    assert said("power", study, "--effect", "shapes=0.1", "--arm", "DMD-4") != said("power", study, "--effect", "shapes=0.1")
    text = said("power", "--sd", "seed=0.1", "--sd", "prompt=0.5", "--sd", "seed_prompt=1", "--effect", "any=0.2")
    found = planning.given({}, planning.Components(seed=0.01, prompt=0.25, seed_prompt=1.0)).found
    assert f"{detectable(Design(8, 128), found):.3g} ✓" in text
    assert "8 training seeds and 128 prompts" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a study"),
        (("nowhere",), "nowhere holds no scores.jsonl"),
        (("STUDY", "--effect", "shapes=much"), "judge=size"),
        (("STUDY", "--effect", "shapes=-1"), "is above 0"),
        (("STUDY", "--effect", "shapes=1", "--total", "1"), "ask one of them"),
        (("STUDY", "--arm", "nobody"), "has no arm 'nobody'"),
        (("STUDY", "--effect", "beauty=1"), "no judge 'beauty' here; there are shapes.accuracy"),
        (("STUDY", "--total", "1"), "has no Shapes total: missing:"),
        (("--sd", "seed=-1"), "--sd is name=size"),
        (("--sd", "luck=1"), "--sd is name=size"),
    ],
)
def test_wrong_use_says_what_is_right(study: Path, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        said("power", *(str(study) if word == "STUDY" else word for word in words))


def judged(folder: Path, prompts: int, dimensions: Sequence[str] = tuple(vbench_total.SCHEME.dimensions)) -> np.ndarray:
    """Writes videos' scores as `salt-bench judge` does, every prompt asked for every dimension; the Total of each prompt."""
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(prompts)
    values = 0.7 + 0.1 * draw.normal(size=(prompts, 1)) + 0.05 * draw.normal(size=(prompts, len(dimensions)))
    rows = [
        {"video": f"p{n}-0.mp4", "prompt": f"p{n}", "sample_seed": 0, "judge": f"vbench/{name}"}
        | {"value": float(value) / SCALE.get(name, 1.0), "weight": 1.0, "note": "", "extra": {}}
        for n, line in enumerate(values)
        for name, value in zip(dimensions, line, strict=True)
    ]
    (folder / "summary.json").write_text(json.dumps(summary.recorded(vbench_total.SCHEME, rows, {})))
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    slopes = vbench_total.SCHEME.slopes("total")
    return values @ [slopes.get(name, 0.0) for name in dimensions]


def test_total_of_judged_videos_is_that_of_two_models_asked_for_as_many_prompts(tmp_path: Path) -> None:
    totals = 100 * judged(tmp_path / "scores", 64)
    seen = (special.ndtri(0.975) + special.ndtri(0.8)) * np.sqrt(2) * totals.std(ddof=1)
    known = planning.of_videos(tmp_path / "scores")
    for prompts in (64, 256):
        assert detectable(Design(1, prompts), known.found) == pytest.approx(seen / np.sqrt(prompts), rel=0.04)
    text = said("power", tmp_path / "scores", "--total", f"{1.05 * seen / 16:.4f}")
    assert "in points of a hundred" in text
    need = text.split("you need")[1]
    assert need.strip() == "256 prompts"
    assert "training seed" not in text.splitlines()[0]
    assert said("power", tmp_path / "scores").count("\n| total") == 1
    assert said("power", tmp_path / "scores", "--total", f"{1.05 * seen / np.sqrt(946):.4f}").endswith("you need 946 prompts\n")
    more = said("power", tmp_path / "scores", "--total", f"{0.9 * seen / np.sqrt(946):.4f}")
    assert more.endswith("takes more than 946 prompts\n")


def test_half_the_prompts_are_half_as_sure(tmp_path: Path) -> None:
    judged(tmp_path / "few", 40)
    few = planning.of_videos(tmp_path / "few")
    at = [detectable(Design(1, prompts), few.found) for prompts in (128, 512)]
    assert at[0] / at[1] == pytest.approx(2, rel=0.03)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--effect", "subject_consistency=0.01"), "judged videos are planned by their Total: give --total, or no question"),
        (("--total", "1", "--arm", "DMD"), "judged videos have no arms: leave --arm out"),
        (("--total", "0"), "is above 0"),
    ],
)
def test_judged_videos_answer_for_their_total_alone(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    judged(tmp_path / "scores", 8)
    with pytest.raises(WrongUse, match=message):
        said("power", tmp_path / "scores", *words)


def test_a_total_that_lacks_a_dimension_plans_nothing(tmp_path: Path) -> None:
    judged(tmp_path / "scores", 8, vbench_total.SCHEME.dimensions[:-1])
    with pytest.raises(UserError, match="has no interval of its Total: judge all dimensions, at two prompts or more"):
        said("power", tmp_path / "scores", "--total", "1")
    judged(tmp_path / "one", 1)
    with pytest.raises(UserError, match="has no interval of its Total"):
        said("power", tmp_path / "one", "--total", "1")


def test_tables_on_the_terminal_and_in_a_folder(tmp_path: Path) -> None:
    text = said("tables", "A3", "--reports", tmp_path, "--out", tmp_path / "out")
    assert "0.0135" in text
    assert "not measured here" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.md", "index.html"}
    with pytest.raises(WrongUse, match="got 'B7'"):
        said("tables", "B7")
