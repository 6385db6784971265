"""Results on disk as one side of a comparison: a published study's folder, or what `check --save` wrote."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from salt_bench import files, record, results
from salt_bench.errors import UserError, WrongUse
from salt_bench.gate.gauge import Outputs
from salt_bench.study import near
from salt_bench.types import Output, Prompt, Score

MANIFEST, SCORES = "manifest.json", "scores.jsonl"
SEPARATOR = "::"
"""Between a study's folder, an arm and a setting, as pytest has it between a file and a test."""


@dataclass(frozen=True)
class Stored:
    """One arm at one setting, judged already. `prompts` of a study know their id, text and tags only."""

    name: str
    prompts: tuple[Prompt, ...]
    protocol: Mapping[str, Any]
    outputs: Outputs
    scores: tuple[Score, ...]

    @property
    def sample_seeds(self) -> tuple[int, ...]:
        return tuple(self.protocol["sample_seeds"])

    @property
    def single(self) -> bool:
        """Whether these are the scores of one checkpoint, not of several training seeds."""
        return len(self.protocol["train_seeds"]) == 1

    def protocol_of(self, judges: Collection[str]) -> dict[str, Any]:
        """The protocol as far as it matters to numbers of `judges`. One training seed stands for itself, whichever it is."""
        used = {name: said for name, said in self.protocol["judges"].items() if name in judges}
        return {**self.protocol, "judges": used, "train_seeds": "one" if self.single else self.protocol["train_seeds"]}

    def called(self, name: str) -> list[Score]:
        """The scores under another name and no setting; a single training seed is called 0, so that it pairs with another's."""
        return [replace(s, arm=name, setting="", train_seed=0 if self.single else s.train_seed) for s in self.scores]


def open_stored(word: str) -> Stored | None:
    """The results that `word` names, FOLDER or FOLDER::ARM or FOLDER::ARM::SETTING; None where there is no such folder.

    Raises WrongUse where a study has several arms or settings and the word names none, UserError for damage."""
    folder, *names = word.split(SEPARATOR)
    path = Path(folder)
    if not ((path / MANIFEST).is_file() and (path / SCORES).is_file()):
        if names:
            raise WrongUse(f"{folder} holds no {MANIFEST} and {SCORES}: {word!r} names an arm of a published study")
        return None
    manifest, scores = _manifest(path / MANIFEST), results.read(path / SCORES)
    if not scores:
        raise UserError(f"{path / SCORES} holds no score: nothing can be said of an empty result; measure it again")
    try:
        return _of_study(path.name, names, manifest, scores) if "study" in manifest else _saved(path.name, manifest, scores)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise UserError(f"{path / MANIFEST} is damaged ({what}): restore it or save it again") from error


def _manifest(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): restore it or save it again") from error


def _of_study(name: str, names: Sequence[str], manifest: Mapping[str, Any], scores: Sequence[Score]) -> Stored:
    study, protocol = manifest["study"], manifest["protocol"]
    rows = [score for score in scores if score.prompt is not None]
    arm = _one_of("arm", list(dict.fromkeys([*study["arms"], *study["anchors"]])), names[:1], name)
    there = sorted({score.setting for score in rows if score.arm == arm})
    setting = _one_of("setting", there, names[1:2], f"{name}{SEPARATOR}{arm}")
    kept = tuple(score for score in rows if (score.arm, score.setting) == (arm, setting))
    prompts = tuple(Prompt(p["id"], p["text"], "", {}, frozenset(p["tags"])) for p in study["prompts"])
    grid = {"sampler": {"grid": study["settings"][setting]}} if setting in study["settings"] else {}
    said = {
        "sample_seeds": protocol["sample_seeds"],
        "train_seeds": sorted({score.train_seed for score in kept}),
        "clip": protocol["clip"],
        "judges": {judge["judge"]: judge for judge in protocol["judges"] if "judge" in judge},
        **grid,
    }
    clipwise = {judge: parts for judge, parts in manifest["outputs"].items() if judge in said["judges"]}
    return Stored(f"{name}{SEPARATOR}{arm}", prompts, said, _outputs(clipwise, kept), kept)


def _one_of(kind: str, there: Sequence[str], named: Sequence[str], where: str) -> str:
    if named and named[0] not in there:
        raise WrongUse(f"{where} has no {kind} {named[0]!r}{near(named[0], there) or f'; it has {_listed(there)}'}")
    if not named and len(there) != 1:
        example = f"{where}{SEPARATOR}{(*there, kind.upper())[0]}"
        raise WrongUse(f"{where} has {len(there)} {kind}s, {_listed(there)}: name one, as in {example!r}")
    return named[0] if named else there[0]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _saved(name: str, manifest: Mapping[str, Any], scores: Sequence[Score]) -> Stored:
    prompts = tuple(_prompt(prompt) for prompt in manifest["prompts"])
    return Stored(name, prompts, manifest["protocol"], _outputs(manifest["outputs"], scores), tuple(scores))


def _prompt(data: Mapping[str, Any]) -> Prompt:
    found = record.load(data)
    return Prompt(found.id, found.text, found.world, found.factors, frozenset(found.tags))


def _outputs(data: Mapping[str, Mapping[str, Any]], scores: Sequence[Score]) -> dict[str, dict[str, Output]]:
    """Of the judges that judged clips one by one, in the manifest's order."""
    there = {score.judge for score in scores}
    return {judge: {part: Output(**o) for part, o in parts.items()} for judge, parts in data.items() if judge in there}


def save(folder: Path, side: Stored) -> None:
    """Writes what `open_stored` reads. Raises WrongUse where `folder` holds a published study or foreign files."""
    before = folder / MANIFEST
    if folder.is_dir() and any(folder.iterdir()) and not (before.is_file() and "study" not in _manifest(before)):
        raise WrongUse(f"{folder} is not empty and holds no saved baseline: give another --save")
    manifest = {
        "name": side.name,
        "outputs": {judge: {part: asdict(o) for part, o in parts.items()} for judge, parts in side.outputs.items()},
        "protocol": json.loads(record.text(side.protocol)),
        "prompts": [record.dump(prompt) for prompt in side.prompts],
    }
    results.write(folder / SCORES, side.scores)
    files.write_text(before, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
