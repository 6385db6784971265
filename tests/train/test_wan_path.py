"""The whole way of a published model, on the command line: a file of weights to videos, scores, a comparison and a page.

Everything is of the real classes (UMT5, the causal transformer with its windowed cache, the Wan VAE) with tiny random weights.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from pipeline import tiny_pipeline
from weights import saved, wan

from salt_bench import cli as bench
from salt_bench import registry, results
from salt_bench.prompts import captions, data, vbench
from salt_bench.types import Clip
from salt_train import cli as trainer
from salt_train.caches.window import Window

CAPTIONS = ("a red square", "a blue cross", "snow")
FRAMES = 57  # 15 latent frames: five chunks of three, of which the last sees sinks and a window that has moved
SETTINGS = f"frames={FRAMES},height=32,width=32,pipeline=pipeline"
LONGLIVE, SELF_FORCING = f"released:longlive@longlive,{SETTINGS}", f"released:self-forcing@self-forcing,{SETTINGS}"
STUDY = f'''"""Which of two published models is sharper?"""
from pathlib import Path

from salt_bench import registry
from salt_bench.judges.dynamic_degree import DynamicDegree
from salt_bench.judges.sharpness import Sharpness
from salt_bench.judges.temporal_flickering import TemporalFlickering
from salt_bench.prompts import captions
from salt_bench.types import Study

STUDY = Study(
    "published",
    __doc__,
    arms={{"LongLive": registry.arm("{LONGLIVE}"), "Self Forcing": registry.arm("{SELF_FORCING}")}},
    anchors={{}},
    baseline="Self Forcing",
    prompts=captions.read(Path("captions.txt")),
    settings={{"4": (1.0, 0.9375, 5 / 6, 0.625)}},
    judges=(TemporalFlickering(), Sharpness(), DynamicDegree()),
    train_seeds=(0,),
    published=("T2",),
)
'''
Salt = Callable[..., tuple[int, str]]


@pytest.fixture
def salt(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Salt:
    """Either command in this process and in the folder: its exit code, and what it says."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "250")

    def run(command: str, *arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [command, *map(str, arguments)])
        code = 0
        try:
            (bench if command == "salt-bench" else trainer).main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline, captions, and two published files as their trainers leave them."""
    folder = tmp_path_factory.mktemp("wan_path")
    tiny_pipeline(folder / "pipeline")
    (folder / "captions.txt").write_text("\n".join(CAPTIONS))
    saved(folder / "longlive_base.pt", {"generator": wan(0, "model."), "critic": wan(1, "model.")})
    averaged = wan(3, "model._fsdp_wrapped_module.")
    saved(folder / "self_forcing_dmd.pt", {"generator": wan(2, "model."), "generator_ema": averaged})
    return folder


def converted(salt: Salt) -> None:
    """Both models, each once."""
    for name, file in (("longlive", "longlive_base.pt"), ("self-forcing", "self_forcing_dmd.pt")):
        if not Path(name).is_dir():
            code, said = salt("salt-train", "convert", file, name, "--take", "generator")
            assert code == 0, said


def frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as film:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])


def clip(word: str, caption: str, file: Path = Path("captions.txt")) -> Clip:
    prompts = {prompt.text: prompt for prompt in captions.read(file)}
    return next(iter(registry.arm(word).sampler(0, Path("runs"))([prompts[caption]], 0)))


def test_a_published_file_becomes_videos_scores_and_pages(salt: Salt) -> None:
    converted(salt)
    arm = registry.arm(LONGLIVE)
    assert arm.sampling.chunks.cache == Window(window=12, sink=3)  # type: ignore[attr-defined]
    code, said = salt("salt-bench", "sample", LONGLIVE, "videos", "--captions", "captions.txt")
    assert (code, said) == (0, "3 videos in videos, 3 of them new\n")
    film = Path("videos/a red square-0.mp4")
    there, made = frames(film), clip(LONGLIVE, "a red square")
    assert there.shape == made.frames().shape == (FRAMES, 32, 32, 3)
    assert (made.nfe, made.chunk, made.fps) == (4, 12, 16.0)
    luma = [(pixels @ (0.299, 0.587, 0.114)).astype(float) for pixels in (there, made.frames())]
    assert np.abs(luma[0] - luma[1]).mean() < 2
    asked = ("--mode", "custom", "--dimensions", "temporal_flickering")
    code, said = salt("salt-bench", "judge", "videos", *asked, "--out", "scores")
    assert code == 0, said
    rows = [json.loads(line) for line in Path("scores/scores.jsonl").read_text().splitlines()]
    assert [row["video"] for row in rows] == sorted(f"{caption}-0.mp4" for caption in CAPTIONS)
    assert "temporal_flickering" in Path("scores/index.html").read_text()


def test_videos_are_made_once_and_belong_to_one_arm(salt: Salt) -> None:
    converted(salt)
    asked = ("--captions", "captions.txt", "--lossless")
    assert salt("salt-bench", "sample", LONGLIVE, "whole", *asked)[0] == 0
    film = Path("whole/snow-0.mp4")
    before = frames(film)
    film.unlink()
    code, said = salt("salt-bench", "sample", LONGLIVE, "whole", *asked)
    assert (code, said.splitlines()[-1]) == (0, "3 videos in whole, 1 of them new")
    again, made = frames(film), clip(LONGLIVE, "snow").frames()
    assert np.array_equal(again, made)
    assert np.abs(again.astype(int) - before).max() <= 1, "batches of other sizes round differently"
    code, said = salt("salt-bench", "sample", SELF_FORCING, "whole", *asked)
    assert (code, "holds videos of another arm" in said) == (2, True)
    assert salt("salt-bench", "sample", LONGLIVE, "whole")[0] == 2
    code, said = salt("salt-bench", "sample", LONGLIVE, "pipeline", *asked)
    assert (code, "does not say what its videos are of" in said) == (2, True)


def test_a_suite_is_asked_under_its_own_names_in_words_for_models(salt: Salt) -> None:
    converted(salt)
    suite = vbench.own()
    Path("weights").mkdir()
    Path("weights", data.VBENCH.name).write_bytes(vbench.OWN.read_bytes())
    Path("said.txt").write_text("\n".join(f"{row.text}, filmed by a master" for row in suite.rows))
    asked = ("--suite", "vbench", "--size", "smoke", "--weights", "weights")
    code, said = salt("salt-bench", "sample", SELF_FORCING, "plain", *asked)
    assert code == 0, said
    code, said = salt("salt-bench", "sample", SELF_FORCING, "told", *asked, "--rewritten", "said.txt", "--lossless")
    assert code == 0, said
    names = {path.name for path in Path("plain").glob("*.mp4")}
    assert "a wooden chair in an empty hall, nothing moves-0.mp4" in names == {path.name for path in Path("told").glob("*.mp4")}
    row = suite.prompts()[0]
    noise_of_the_prompt = replace(row, text=f"{row.text}, filmed by a master")
    made = next(iter(registry.arm(SELF_FORCING).sampler(0, Path("runs"))([noise_of_the_prompt], 0))).frames()
    there = frames(Path("told", f"{row.text}-0.mp4"))
    assert np.abs(there.astype(int) - made).max() <= 1
    assert row.text.startswith("a wooden chair")
    code, said = salt("salt-bench", "judge", "told", *asked, "--dimensions", "temporal_flickering", "--out", "suite")
    assert code == 0, said
    assert salt("salt-bench", "sample", SELF_FORCING, "told", *asked, "--lossless")[0] == 2, "told is not asked"
    code, said = salt("salt-bench", "sample", SELF_FORCING, "x", "--captions", "captions.txt", "--rewritten", "said.txt")
    assert (code, "--rewritten is for the prompts of --suite" in said) == (2, True)


def test_arms_and_videos_are_compared_side_by_side(salt: Salt) -> None:
    converted(salt)
    assert salt("salt-bench", "sample", LONGLIVE, "side", "--captions", "captions.txt", "--lossless")[0] == 0
    asked = ("--captions", "captions.txt", "--judges", "sharpness,temporal_flickering")
    code, said = salt("salt-bench", "compare", LONGLIVE, "side", SELF_FORCING, *asked)
    assert code == 0, said
    rows = {tuple(re.split(r"  +", line)[:2]): line for line in said.splitlines()}
    for judge in ("sharpness.score", "temporal_flickering.score"):
        assert "+0 [+0, +0]" in rows[judge, "side"], "lossless videos are the arm itself"
        assert "+0 [+0, +0]" not in rows[judge, SELF_FORCING]
    assert "was not measured like" in said
    assert "sampler.chunks.cache.window is null against 12" in said
    code, said = salt("salt-bench", "check", "side", "--baseline", LONGLIVE, *asked)
    assert (code, "+0.0% [" in said) == (3, True), "nothing differs, which three prompts do not tell"
    theirs = "diffusers:pipeline@steps=2,guidance=1,frames=57,height=32,width=32"
    code, said = salt("salt-bench", "compare", theirs, "side", LONGLIVE, *asked)
    assert code == 0, said
    assert theirs in said
    assert "sampler.steps" not in said, "what only one side states is no difference"
    code, said = salt("salt-bench", "compare", LONGLIVE, SELF_FORCING)
    assert code == 5
    assert "give others by --captions FILE" in said


def test_a_study_of_published_models_becomes_a_page(salt: Salt) -> None:
    converted(salt)
    Path("published.py").write_text(STUDY)
    code, said = salt("salt-bench", "run", "published.py", "--executor", "inline", "--out", "page")
    assert code == 0, said
    scores = results.read(Path("page/scores.jsonl"))
    assert len(scores) == 2 * 3 * 3
    page = Path("page/index.html").read_text()
    assert all(word in page for word in ("LongLive", "Self Forcing", "sharper", "84.87"))
    code, said = salt("salt-bench", "run", "published.py", "--executor", "inline", "--out", "page")
    assert (code, "0 of 2 cells to measure" in said) == (0, True), said
