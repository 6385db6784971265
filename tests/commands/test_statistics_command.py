"""`salt-bench power` and `salt-bench tables`, as a user types them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

from synthetic_study import write_study

from salt_bench.cli import app
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


def test_tables_on_the_terminal_and_in_a_folder(tmp_path: Path) -> None:
    text = said("tables", "A3", "--reports", tmp_path, "--out", tmp_path / "out")
    assert "0.0135" in text
    assert "not measured here" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.md", "index.html"}
    with pytest.raises(WrongUse, match="got 'B7'"):
        said("tables", "B7")
