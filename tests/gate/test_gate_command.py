"""`salt-bench check` and `compare`: exit codes, files, annotations; folders of videos without the trainer."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import toy
from sides import blurred, errors, saved, shifted, side, true_videos, write_videos

from salt_bench import cli

ROOT = Path(__file__).parents[2]
BASE = errors(64)
QUICK = ("--judges", "sharpness,temporal_flickering")


class Salt:
    """The command in this process: exit code, output, errors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        self._patch.setattr(sys, "argv", ["salt-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = self._capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def salt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Salt:
    monkeypatch.chdir(tmp_path)
    return Salt(monkeypatch, capsys)


def test_every_verdict_has_its_exit_code(salt: Salt) -> None:
    saved(Path("old"), side(BASE))
    saved(Path("worse"), side(shifted(BASE, 6.0)))
    saved(Path("doubtful"), side(shifted(BASE, 2.0)))
    saved(Path("other"), side(BASE), sample_seeds=[1])
    saved(Path("broken"), side([None, *BASE[1:]]))
    codes = {name: salt("check", name, "--baseline", "old") for name in ("old", "worse", "doubtful", "other", "broken")}
    assert {name: code for name, (code, _, _) in codes.items()} == {
        "old": 0, "worse": 1, "doubtful": 3, "other": 4, "broken": 5,
    }  # fmt: skip
    for (_, out, err), verdict in zip(codes.values(), ("PASS", "REGR", "INCONC", "INCOMP", "ERROR"), strict=True):
        assert out.splitlines()[-1].startswith(verdict)
        assert err == ""


def test_wrong_use_is_2(salt: Salt) -> None:
    saved(Path("old"), side(BASE))
    for arguments, words in (
        (("check", "nowhere", "--baseline", "old"), "no arm 'nowhere'"),
        (("check", "old"), "--baseline is missing"),
        (("check", "old", "--baseline", "old", "--margin", "bright"), "--margin is judge=amount"),
        (("check", "old", "--baseline", "old", "--judges", "brite"), "did not judge"),
        (("check", "old", "--baseline", "old", "--prompts", "0"), "prompts"),
        (("check", "old", "--baseline", "old", "--sequential", "--save", "x"), "leave one of them out"),
    ):
        code, out, err = salt(*arguments)
        assert (code, words in out + err) in ((2, True), (4, True)), (arguments, out, err)


def test_reports_are_written_for_all_readers(salt: Salt) -> None:
    saved(Path("old"), side(BASE))
    saved(Path("worse"), side(shifted(BASE, 6.0)))
    more = ("--report", "out/report.md", "--junit", "out/junit.xml", "--github")
    code, out, _ = salt("check", "worse", "--baseline", "old", *more)
    assert code == 1
    assert "::error title=REGRESSION bright.error::" in out
    assert Path("out/report.md").read_text().startswith("### ❌ REGRESSION: `worse` against `old`")
    assert ElementTree.parse("out/junit.xml").getroot().get("failures") == "1"


def test_a_checked_candidate_can_be_the_next_baseline(salt: Salt) -> None:
    saved(Path("old"), side(BASE))
    assert salt("check", "old", "--save", "copy", "--margin", "bright=0.5")[0] == 0
    saved(Path("worse"), side(shifted(BASE, 1.0, spread=0.5)))
    assert salt("check", "worse", "--baseline", "old", "--save", "next")[0] == 0
    assert salt("check", "worse", "--baseline", "copy")[0] == 1, "the margin was kept with the baseline"
    assert salt("check", "old", "--baseline", "next")[0] == 0


def test_looking_early_is_told(salt: Salt) -> None:
    saved(Path("old"), side(BASE))
    saved(Path("worse"), side(shifted(BASE, 12.0)))
    code, out, _ = salt("check", "worse", "--baseline", "old", "--sequential", "--batch", "16")
    assert (code, "decided after 16 of 64 prompts: 75% saved" in out) == (1, True)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of 20 videos: true, copied, blurred, at another rate, one missing, with a name that says nothing."""
    folder, true = tmp_path_factory.mktemp("videos"), true_videos(20)
    write_videos(folder / "true", true)
    write_videos(folder / "blurred", blurred(true))
    write_videos(folder / "faster", true, fps=16)
    write_videos(folder / "fewer", dict(list(true.items())[1:]))
    write_videos(folder / "odd", {"a clip": next(iter(true.values()))})
    next((folder / "odd").iterdir()).rename(folder / "odd" / "clip.mkv")
    return folder


def test_folders_of_videos_are_compared(salt: Salt, videos: Path) -> None:
    for candidate, code, words in (
        ("true", 0, "PASS"),
        ("blurred", 1, "sharpness.score"),
        ("faster", 4, "clip.fps is 16.0 against 8.0"),
        ("fewer", 4, "the candidate lacks 1 of 20"),
        ("odd", 5, "is not named <prompt text>-<sample seed>.mkv"),
    ):
        found = salt("check", videos / candidate, "--baseline", videos / "true", *QUICK)
        assert (found[0], words in found[1].splitlines()[-1]) == (code, True), found


def test_videos_against_a_saved_baseline(salt: Salt, videos: Path) -> None:
    assert salt("check", videos / "true", "--save", "base", *QUICK)[0] == 0
    assert salt("check", videos / "true", "--baseline", "base")[0] == 0
    assert salt("check", videos / "blurred", "--baseline", "base")[0] == 1
    assert salt("check", videos / "fewer", "--baseline", "base")[0] == 4


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "salt_train":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from salt_bench.cli import main
try: main()
finally: assert "torch" not in sys.modules, "torch"
"""


def without_trainer(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command where salt_train is not installed; that it needs no torch is asserted as well."""
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(command, env=toy.environment(), capture_output=True, text=True, check=False)


def test_videos_need_neither_the_trainer_nor_torch(videos: Path) -> None:
    done = without_trainer("check", videos / "true", "--baseline", videos / "true", *QUICK)
    assert done.returncode == 0, done.stderr
    lost = without_trainer("check", ROOT, "--baseline", videos / "true")
    assert lost.returncode == 2
    assert "checkpoint, codec, random, released: install salt_train" in lost.stderr


def test_compare_shows_means_and_paired_differences(salt: Salt, videos: Path) -> None:
    code, out, err = salt("compare", videos / "true", videos / "blurred", videos / "faster", *QUICK)
    assert code == 0, err
    rows = [re.split(r"  +", line) for line in out.splitlines() if line.startswith("sharpness")]
    assert [row[1] for row in rows] == ["true", "blurred", "faster"]
    assert rows[1][3].startswith("-")
    assert rows[2][3].startswith("+0 [+0, +0]")
    assert "faster was not measured like true: clip.fps is 16.0 against 8.0" in out


def workflow_commands() -> list[str]:
    """The command lines of the GitHub Actions example in CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    example = re.findall(r"```yaml\n(.*?)```", text, flags=re.S)[0]
    return [line.strip() for line in re.findall(r"run: (?:\|\n)?((?:.*salt-bench.*\n)+)", example)]


def test_the_workflow_in_the_documentation_runs(salt: Salt, videos: Path) -> None:
    (command,) = workflow_commands()
    words = shlex.split(command)
    assert words[:3] == ["salt-bench", "check", "out/videos"]
    Path("out").mkdir()
    Path("out/videos").symlink_to(videos / "true")
    Path("tests").mkdir()
    baseline = words[words.index("--baseline") + 1]
    assert salt("check", "out/videos", "--save", baseline, *QUICK)[0] == 0
    code, out, err = salt(*words[1:])
    assert code == 0, out + err
    assert "::notice title=salt-bench check::PASS" in out
    assert Path(words[words.index("--report") + 1]).is_file()
    assert Path(words[words.index("--junit") + 1]).is_file()
