"""What a page is made from: one folder's scores and its manifest, and the few questions that every part asks of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from salt_bench import results
from salt_bench.report import guard
from salt_bench.stats import effects, improvement, verdicts
from salt_bench.stats.decision import Decision, decide
from salt_bench.stats.table import Quantity, Table
from salt_bench.types import Claim, Effect, Expectation, Output

HEADLINE = (
    ("shapes", "accuracy"),
    ("frechet", "distance"),
    ("sharpness", "score"),
    ("semigroup_defect", "defect"),
    ("cross_step", "latent mean"),
    ("drift", "end"),
    ("drift", "slope"),
    ("drift", "sharp_slope"),
    ("chunk_jumps", "jump"),
    ("prompt_switch", "latency"),
    ("prompt_switch", "switched"),
)
"""The main columns, in reading order: is it right, is it like the world, is it sharp, does it agree with itself, does it stay
so for long, and does it follow a new caption."""

AGREEMENT = ("semigroup_defect", "cross_step")
"""Judges of how well a model agrees with itself, which a collapsed model does too."""

SPEED, LIVE = "throughput", "realtime"
"""The probes with tables of their own, since a clock is no judge."""

_SWEEP = re.compile(r"(?P<head>.*?[=\s])(?P<number>\d*\.?\d+)(?P<tail>\s.*)?")


@dataclass(frozen=True)
class Metric:
    """One number that is reported: a judge's part, and what the judge says of it."""

    judge: str
    part: str
    output: Output

    @property
    def title(self) -> str:
        return self.output.title or f"{self.judge} {self.part}".replace("_", " ")

    @property
    def arrow(self) -> str:
        return {1: " ↑", -1: " ↓"}.get(self.output.better, "")


@dataclass(frozen=True)
class Family:
    """Arms that differ in one number: `name` is what they share ("SC λ="), `arms` maps the number to the arm, rising."""

    name: str
    arms: Mapping[float, str]

    @property
    def title(self) -> str:
        return self.name.replace("=", "").strip() or "the number in the name"


@dataclass(frozen=True, eq=False)
class Source:
    """A finished study's folder. `table` is long: one row per arm, setting, train_seed, prompt, sample_seed, judge and part."""

    folder: Path
    table: pd.DataFrame
    manifest: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Source:
        """WrongUse where scores.jsonl is missing, FileNotFoundError where manifest.json is, ValueError where no score is."""
        table = results.load(folder)
        if table.empty:
            raise ValueError(f"{folder / 'scores.jsonl'} is empty: there is nothing to report")
        if not (folder / "manifest.json").is_file():
            raise FileNotFoundError(
                f"{folder} holds no manifest.json; give the folder of a finished study (`salt-bench run` makes it)"
            )
        return cls(folder, table, json.loads((folder / "manifest.json").read_text(encoding="utf-8")))

    @property
    def study(self) -> Mapping[str, Any]:
        study: Mapping[str, Any] = self.manifest["study"]
        return study

    @property
    def baseline(self) -> str:
        return str(self.study["baseline"])

    @cached_property
    def claim(self) -> Claim | None:
        claim = self.study["claim"]
        if claim is None:
            return None
        pairs = {name: tuple((str(j), str(p)) for j, p in claim[name]) for name in ("lower", "no_worse")}
        return Claim(tuple(claim["candidates"]), claim["baseline"], claim["setting"], **pairs)

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """The baseline first, then the study's order; where that is alphabetic, numbers rise ("λ=3" before "λ=10")."""
        names = list(self.study["arms"])
        names = sorted(names, key=_natural) if names == sorted(names) else names
        return (self.baseline, *(name for name in names if name != self.baseline))

    @property
    def anchors(self) -> tuple[str, ...]:
        """The rows that give the scale, the world's truth first."""
        return tuple(sorted(self.study["anchors"], key=lambda name: (name != "truth", name)))

    @property
    def settings(self) -> tuple[str, ...]:
        """From most to fewest evaluations of the network."""
        grids = self.study["settings"]
        return tuple(sorted(grids, key=lambda name: (-len(grids[name]), name)))

    @property
    def setting(self) -> str:
        """The setting that the study is about: its claim's, or else the first."""
        return self.claim.setting if self.claim else next(iter(self.study["settings"]))

    @cached_property
    def validation(self) -> frozenset[str]:
        return frozenset(p["id"] for p in self.study["prompts"] if "validation" in p["tags"])

    @cached_property
    def scores(self) -> Table:
        return Table(self.table)

    @cached_property
    def prompts(self) -> frozenset[str]:
        """What a reader sees are test prompts only; validation prompts choose a candidate and do nothing else."""
        return frozenset(self.scores.prompts) - self.validation

    @cached_property
    def outputs(self) -> Mapping[tuple[str, str], Output]:
        parts = ((j, p, output) for j, found in self.manifest["outputs"].items() for p, output in found.items())
        return {(j, p): Output(**{f.name: output[f.name] for f in fields(Output)}) for j, p, output in parts}

    @property
    def world(self) -> str:
        """What every caption begins with: numbers of the embedded world are never to be taken for VBench's."""
        asked = any(str(prompt["id"]).startswith("shapes:") for prompt in self.study["prompts"])
        return "Embedded world Shapes, not VBench. " if asked or "shapes" in self.manifest["outputs"] else ""

    def metric(self, judge: str, part: str) -> Metric:
        return Metric(judge, part, self.outputs[judge, part])

    @property
    def main(self) -> tuple[Metric, ...]:
        return tuple(self.metric(*key) for key in HEADLINE if key in self.outputs)

    @property
    def quality(self) -> tuple[Metric, ...]:
        """What a blurred or collapsed model loses while its defect looks low."""
        named = [m for m in (*self.main, *self.others) if m.judge in ("shapes", "sharpness", "diversity")]
        return tuple(m for m in named if m.output.better)

    @property
    def others(self) -> tuple[Metric, ...]:
        """One metric of every judge that has no main column: its "score", else the part named like it, else its first."""
        parts = self.manifest["outputs"]
        judges = sorted(set(parts) - {judge for judge, _ in HEADLINE} - {SPEED, LIVE})
        return tuple(self.metric(j, next((p for p in ("score", j) if p in parts[j]), next(iter(parts[j])))) for j in judges)

    @cached_property
    def _places(self) -> Mapping[str, frozenset[str]]:
        return {str(arm): frozenset(rows.unique()) for arm, rows in self.table.groupby("arm")["setting"]}

    def places(self, arm: str) -> tuple[str, ...]:
        """The settings at which `arm` was measured, in the study's order; an anchor has its own."""
        seen = self._places.get(arm, frozenset())
        return (*(s for s in self.settings if s in seen), *sorted(seen - set(self.settings)))

    def quantity(self, setting: str, metric: Metric) -> Quantity:
        """What a reader sees of `metric`: the test prompts'."""
        return Quantity(setting, metric.judge, metric.part, self.prompts)

    def has(self, arm: str, setting: str, metric: Metric) -> bool:
        """Whether at least one test clip (or set) was judged."""
        what = self.quantity(setting, metric)
        if setting not in self._places.get(arm, ()) or not self.scores.has(arm, what):
            return False
        return bool(np.isfinite(self.scores.cube(arm, what).values).any())

    @cached_property
    def _summaries(self) -> dict[tuple[str, Quantity], effects.Summary]:
        return {}

    def summary(self, arm: str, setting: str, metric: Metric) -> effects.Summary:
        """The arm's own mean with its interval; `prompts` is 0 where one value stands for a whole set of clips."""
        what = self.quantity(setting, metric)
        if (arm, what) not in self._summaries:
            found = effects.summary(self.scores, what, arm)
            self._summaries[arm, what] = found._replace(prompts=0) if self.scores.is_set(arm, what) else found
        return self._summaries[arm, what]

    def effect(self, arm: str, setting: str, metric: Metric) -> Effect | None:
        """Arm minus baseline; None where either was not measured at this setting."""
        return self.difference(arm, self.baseline, setting, metric)

    def difference(self, arm: str, baseline: str, setting: str, metric: Metric) -> Effect | None:
        """One arm minus another; None where either was not measured at this setting."""
        key = (arm, baseline, setting, metric)
        if key not in self._differences:
            self._differences[key] = self._difference(*key)
        return self._differences[key]

    @cached_property
    def _differences(self) -> dict[tuple[str, str, str, Metric], Effect | None]:
        return {}

    def _difference(self, arm: str, baseline: str, setting: str, metric: Metric) -> Effect | None:
        if arm == baseline or not (self.has(arm, setting, metric) and self.has(baseline, setting, metric)):
            return None
        what = self.quantity(setting, metric)
        found = effects.effect(self.scores, what, arm, baseline)
        return replace(found, prompts=0) if self.scores.is_set(arm, what) else found

    @cached_property
    def expectations(self) -> tuple[tuple[Expectation, Effect], ...]:
        """What others say, and what was measured of it; tables that were published before there were any say nothing."""
        asked = [Expectation(**said) for said in self.study.get("expectations", ())]
        found = [(e, self.difference(e.arm, e.baseline, e.setting, self.metric(e.judge, e.part))) for e in asked]
        return tuple((e, effect) for e, effect in found if effect is not None)

    def margin(self, setting: str, metric: Metric) -> float | None:
        """The smallest loss that matters, as a difference."""
        output = metric.output
        if output.margin is None or not output.relative:
            return output.margin
        return output.margin * abs(self.summary(self.baseline, setting, metric).mean)

    @cached_property
    def _known(self) -> dict[tuple[str, str, Metric], tuple[Effect, Output] | None]:
        return {}

    def _held(self, arm: str, setting: str, metric: Metric) -> tuple[Effect, Output] | None:
        """The effect against the baseline on the scale of its margin, and that margin; None where one of them is not there."""
        key = (arm, setting, metric)
        if key not in self._known:
            there = metric.output.margin is not None and self.effect(*key) is not None
            self._known[key] = self._compared(*key) if there else None
        return self._known[key]

    def _compared(self, arm: str, setting: str, metric: Metric) -> tuple[Effect, Output]:
        output, pair = metric.output, (arm, self.baseline)
        if output.relative and min(self.summary(a, setting, metric).mean for a in pair) <= 0:
            # A collapsed arm may score 0, which has no logarithm: its margin becomes a difference.
            output = replace(output, relative=False, margin=self.margin(setting, metric))
        return effects.compare(self.scores, self.quantity(setting, metric), *pair, output), output

    def standing(self, arm: str, setting: str, metric: Metric) -> str:
        """Against the baseline by the judge's margin: "no worse", "worse" (beyond it), "inconclusive"; "" where none is set."""
        held = self._held(arm, setting, metric)
        return verdicts.non_inferior(*held).verdict if held and metric.output.better else ""

    def equivalent(self, arm: str, setting: str, metric: Metric) -> bool:
        """Whether the interval lies within the margin on both sides: no difference that matters."""
        held = self._held(arm, setting, metric)
        return held is not None and verdicts.equivalent(*held).verdict == "equivalent"

    def improvement(self, arm: str, setting: str, metric: Metric) -> improvement.Improvement | None:
        """How often `arm` beats the baseline; None where nothing is better, and of sets, which a few seeds do not tell."""
        what = self.quantity(setting, metric)
        if not metric.output.better or self.effect(arm, setting, metric) is None or self.scores.is_set(arm, what):
            return None
        return improvement.probability(self.scores, what, arm, self.baseline, metric.output.better)

    def fallen(self, arm: str, setting: str) -> tuple[Metric, ...]:
        """What contradicts an arm's low defect: sharpness, accuracy or diversity that fell beyond its margin, for certain."""
        if ("semigroup_defect", "defect") not in self.outputs:
            return ()
        defect = self.effect(arm, setting, self.metric("semigroup_defect", "defect"))
        if defect is None or defect.mean >= 0:
            return ()
        return tuple(m for m in self.quality if self.standing(arm, setting, m) == "worse")

    @cached_property
    def _rankings(self) -> dict[tuple[str, Metric], verdicts.Ranking]:
        return {}

    def mark(self, arm: str, setting: str, metric: Metric) -> str:
        """ "best", or "tied" where the paired difference from the best leaves it open; anchors do not compete."""
        rivals = [a for a in self.arms if self.has(a, setting, metric)]
        if metric.judge in AGREEMENT:
            rivals = [a for a in rivals if not self.fallen(a, setting)]
        if metric.judge in (*AGREEMENT, *guard.STILL):
            rivals = [a for a in rivals if not guard.shadowed(self, a, setting)]
        if arm not in rivals or len(rivals) < 2 or not metric.output.better:
            return ""
        if (setting, metric) not in self._rankings:
            what = self.quantity(setting, metric)
            self._rankings[setting, metric] = verdicts.best(self.scores, what, rivals, metric.output)
        ranking = self._rankings[setting, metric]
        return "best" if arm == ranking.best else "tied" if arm in ranking.tied else ""

    @cached_property
    def decision(self) -> Decision | str | None:
        """The claim, decided by its rule; why it could not be; None where the study claims nothing."""
        if self.claim is None:
            return None
        outputs: dict[str, dict[str, Output]] = {}
        for (judge, part), output in self.outputs.items():
            outputs.setdefault(judge, {})[part] = output
        try:
            return decide(self.scores, self.claim, outputs, self.validation)
        except ValueError as error:
            return str(error)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """Sweeps, found in the names of the arms: at least three that differ only in a number after "=" or a space."""
        found: dict[str, dict[float, str]] = {}
        for arm in self.arms:
            if match := _SWEEP.fullmatch(arm):
                found.setdefault(match["head"] + (match["tail"] or ""), {})[float(match["number"])] = arm
        return tuple(Family(name, dict(sorted(arms.items()))) for name, arms in found.items() if len(arms) >= 3)


def _natural(name: str) -> list[tuple[float, str]]:
    return [(float(x), "") if x[0].isdigit() else (-1.0, x) for x in re.findall(r"\d+\.?\d*|\D+", name)]
