"""Runs what the record says: code of a commit, recorded parameters, seed and inputs, as an ordinary trial.

The code comes from a commit and never from the working tree, which need not be clean and is not touched. The
checkout is the working directory. A recorded input is there with its recorded bytes, or nothing runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mitosis
from mitosis import differences, garbage, gate, identity, launch
from mitosis.capture import checkout, code, copies, git, inputs, manifest, synthesis
from mitosis.display import Display
from mitosis.errors import Refused, RepositoryRefused, TrialRefused
from mitosis.gate import Verdict
from mitosis.request import Request
from mitosis.settings import Checkout, Settings, WorkingDirectory, changed, restored
from mitosis.trial import JSON, CodeState, FileRecord, ParameterSet, Trial, Variant

if TYPE_CHECKING:
    from mitosis.store.store import Store

_ONCE = ("rerun", "resume", "redefine", "on_dirty", "checkout", "share", "store", "root", "verify", "note",
         "tags", "cwd", "project", "on_taint")  # fmt: skip
"""Settings that were meant for that one run, or that say where it ran."""


class Impossible(Refused):
    """What was recorded cannot be run again here: a commit or the bytes of an input are gone."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recipe made of recorded parts, whole: what decides a result, but for the environment."""

    experiment: str
    module: str
    function: str
    commit: str
    params: str  # canonical text of the resolved values
    param_set: ParameterSet
    label: str
    variants: tuple[Variant, ...]
    seed: int
    inputs: tuple[FileRecord, ...]  # declared and observed
    donors: tuple[str, ...]  # commits that may hold the bytes of an input
    project: str
    branch: str | None = None
    taken: Mapping[str, str | None] = field(default_factory=dict)  # path -> commit that it is from; None: out
    settings: Mapping[str, JSON] = field(default_factory=dict)
    writes: bool = False  # it wrote files into its working directory
    written: tuple[str, ...] = ()  # which, relative to the repository


@dataclass(frozen=True, slots=True)
class Bench:
    """Where recorded recipes run: a repository that holds the commits, the root, the store."""

    repository: Path
    root: Path
    store: str  # URL


def recorded(trial: Trial) -> Recorded:
    """The recipe of a trial. Raises Impossible where the trial was refused before it began."""
    spec = trial.spec
    if trial.refused:
        raise Impossible(
            f"trial {spec.id} was refused before it began: there is nothing to run again",
            f"see why: mitosis show {spec.id}",
        )
    outputs = trial.outcome.outputs if trial.outcome else ()
    return Recorded(
        experiment=spec.experiment,
        module=spec.module,
        function=spec.function,
        commit=spec.code.commit,
        params=spec.params,
        param_set=spec.param_set,
        label=spec.variant,
        variants=spec.variants,
        seed=spec.seed,
        inputs=tuple(differences.read(trial).values()),
        donors=(spec.code.commit,),
        project=spec.code.project,
        branch=spec.code.branch,
        settings={k: v for k, v in spec.settings.items() if k not in _ONCE},
        writes=spec.settings.get("cwd") != WorkingDirectory.trial.value
        and any(not Path(o.path).is_absolute() for o in outputs),
        written=tuple(o.path for o in outputs if not Path(o.path).is_absolute()),
    )


def with_seed(recipe: Recorded, seed: int) -> Recorded:
    """The recipe with another seed; parameters that follow the seed follow it.

    Raises Impossible where a parameter depends on the seed in a way that only its configuration knows.
    """
    if seed == recipe.seed:
        return recipe
    tracked = identity.parse(recipe.param_set.text)
    values = _with_seed(tracked, identity.parse(recipe.params), seed)
    return replace(recipe, seed=seed, params=identity.canonical(values))


def _with_seed(tracked: Any, values: Any, seed: int) -> Any:
    """`values` with the seed put where `tracked` refers to it; keys that are not tracked stay."""
    if isinstance(tracked, identity.Unresolved):
        if tracked.text.replace(" ", "") != "${seed}":
            raise Impossible(
                f"a parameter depends on the seed by {tracked.text}, which the record alone does not resolve",
                "compare trials of one seed",
            )
        return seed
    if isinstance(tracked, dict) and isinstance(values, dict):
        return {k: _with_seed(tracked[k], v, seed) if k in tracked else v for k, v in values.items()}
    if isinstance(tracked, list | tuple) and isinstance(values, list | tuple):
        return type(values)(_with_seed(t, v, seed) for t, v in zip(tracked, values, strict=True))
    return values


@contextlib.contextmanager
def prepared(bench: Bench, recipe: Recorded, cache: inputs.DigestCache | None = None) -> Iterator[Verdict]:
    """The verdict under which the recipe runs: its checkout, with the recorded inputs in it.

    Raises Impossible where the commit or the recorded bytes of an input are gone.
    """
    commit = commit_of(bench, recipe)
    tree = _checkout(bench, commit)
    taken, links = _missing(bench, recipe, tree, cache)
    if taken:
        commit = synthesis.commit(bench.repository, commit, taken)
        tree = _checkout(bench, commit)
    # a trial that writes to what is linked writes to the user's own file: it gets copies
    all_of_them = copies.light(links.values())
    copied = {p: s for p, s in links.items() if all_of_them or copies.touched(p, recipe.written)}
    links = {p: s for p, s in links.items() if p not in copied}
    private = recipe.writes or bool(copied)
    if private:
        tree = _place(bench, commit, secrets.token_hex(6))
    elif links:
        text = json.dumps([sorted(links.items()), str(bench.repository)])
        tree = _place(bench, commit, hashlib.sha256(text.encode()).hexdigest()[:12])
    try:
        if private or links:
            garbage.use(bench.root, tree)
            checkout.checkout(bench.repository, commit, tree)
            checkout.link(tree, links)
        if private:
            checkout.open_directories(tree)
            copies.copy(tree, copied)
        _checked(recipe, tree, cache)
        yield _verdict(bench, recipe, commit, tree)
    finally:
        if private:
            checkout.discard(tree)


def run(bench: Bench, recipe: Recorded, display: Display, why: str, tag: str) -> Trial:
    """Run the recipe as an ordinary recorded trial with the note `why` and the tag `tag`.

    Raises Impossible as `prepared` does; Refused where it cannot be begun: nothing is recorded then.
    """
    with gate.open_store(bench.store) as store, prepared(bench, recipe, store.digests()) as verdict:
        trial = launch.run_trial(verdict, request(recipe, verdict, why, tag), display)
        written = trial.outcome.outputs if trial.outcome is not None else ()
        tree = Path(verdict.code.tree)
        if any(not Path(o.path).is_absolute() for o in written) and manifest.damage(tree):
            checkout.discard(tree)  # for root nothing is read-only: the next trial gets it anew
        return trial


def request(recipe: Recorded, verdict: Verdict, why: str, tag: str) -> Request:
    """The recipe as a request for a trial."""
    settings = settings_of(recipe)
    settings.root, settings.note, settings.tags = verdict.root, why, [tag]
    settings.cwd = WorkingDirectory.checkout
    if recipe.settings.get("cwd") == WorkingDirectory.trial.value:
        settings.cwd = WorkingDirectory.trial
    settings.checkout = Checkout.pinned
    return Request(
        experiment=recipe.experiment,
        module=recipe.module,
        function=recipe.function,
        input_patterns=tuple(i.path for i in recipe.inputs if i.kind == "declared"),
        params=identity.parse(recipe.params),
        tracked=identity.parse(recipe.param_set.text),
        seed=recipe.seed,
        label=recipe.label,
        variants=recipe.variants,
        settings=settings,
        instantiate="_target_" in recipe.params,
        changed_settings=changed(settings),
    )


def settings_of(recipe: Recorded) -> Settings:
    """The settings that the recipe runs with."""
    return restored(dict(recipe.settings))


def commit_of(bench: Bench, recipe: Recorded) -> str:
    """The recipe's commit with the files in it that come from others. Raises Impossible: one is gone."""
    for commit in {recipe.commit, *(c for c in recipe.taken.values() if c)}:
        answer = git.attempt(bench.repository, "cat-file", "-e", f"{commit}^{{commit}}")
        if answer.returncode != 0:
            raise Impossible(
                f"commit {commit[:7]} is not in the repository {git.shown(str(bench.repository))}",
                "fetch it from the remote that has it: git fetch",
            )
    if not recipe.taken:
        return recipe.commit
    return synthesis.commit(bench.repository, recipe.commit, recipe.taken)


def _place(bench: Bench, commit: str, mark: str) -> Path:
    """Where a checkout lies that is not the plain one of its commit."""
    plain = checkout.place(bench.root, commit)
    return plain.with_name(f"{plain.name}-{mark}")


def _checkout(bench: Bench, commit: str) -> Path:
    tree = checkout.place(bench.root, commit)
    garbage.use(bench.root, tree)
    try:
        return checkout.checkout(bench.repository, commit, tree)
    except RepositoryRefused as error:  # a submodule's commit
        raise Impossible(error.what, error.todo) from error


def _missing(
    bench: Bench, recipe: Recorded, tree: Path, cache: inputs.DigestCache | None
) -> tuple[dict[str, str | Path | None], dict[str, str]]:
    """What has to be put into `tree` so that the inputs are as recorded: files of commits, and links."""
    taken: dict[str, str | Path | None] = {}
    links: dict[str, str] = {}
    for record in recipe.inputs:
        if Path(record.path).is_absolute() or _digest(tree / record.path, cache) == record.digest:
            continue
        here = bench.repository / record.path
        donor = _donor(bench, recipe, record, cache)
        if donor is not None:
            taken[record.path] = donor
        elif not here.is_dir() and _digest(here, cache) != record.digest:
            raise gone(record.path)
        elif os.path.lexists(tree / record.path) and not here.is_dir():
            taken[record.path] = here  # the commit holds another content under that name
        else:  # a directory is judged as a whole when the links are in it
            links.update(checkout.links_for(bench.repository, tree, Path(record.path)))
    return taken, links


def _donor(
    bench: Bench, recipe: Recorded, record: FileRecord, cache: inputs.DigestCache | None
) -> str | None:
    """The commit, of those that the recipe's parts come from, that holds the recorded bytes of an input."""
    for commit in recipe.donors:
        listed = git.attempt(bench.repository, "ls-tree", "-z", "--full-tree", commit, "--", record.path)
        if listed.stdout and _digest(_checkout(bench, commit) / record.path, cache) == record.digest:
            return commit
    return None


def gone(path: str) -> Impossible:
    """The error for an input whose recorded bytes are nowhere."""
    return Impossible(
        f"the input {git.shown(path)} has other bytes than were recorded, or is gone",
        "put the recorded file back in its place; nothing else can stand for it",
    )


def _checked(recipe: Recorded, tree: Path, cache: inputs.DigestCache | None) -> None:
    """Nothing runs unless every input is what was recorded."""
    for record in recipe.inputs:
        if _digest(tree / record.path, cache) != record.digest:
            raise gone(record.path)


def _digest(path: Path, cache: inputs.DigestCache | None) -> str | None:
    try:
        return inputs.digest(path, cache)
    except (TrialRefused, OSError):
        return None


def _verdict(bench: Bench, recipe: Recorded, commit: str, tree: Path) -> Verdict:
    branch = recipe.branch if commit == recipe.commit else None
    state: CodeState = code.describe(bench.repository, commit, branch)
    kept = code.keep(bench.repository, commit)
    return Verdict(
        code=replace(state, project=recipe.project, tree=str(tree)),
        root=str(bench.root),
        store=bench.store,
        version=mitosis.__version__,
        notes=(kept,) if kept is not None else (),
    )


def bench(repository: Path, root: Path, url: str) -> Bench:
    """A place to run at; makes the root and settles the trials of launchers that are gone.

    Raises Refused where root or store cannot be used.
    """
    found, store = gate.ready(repository, Settings(root=str(root)), url)
    return Bench(repository, found, store)


def environments(store: Store, *trials: Trial) -> dict[str, Mapping[str, JSON] | None]:
    """The content of the trials' environments by digest, as far as the store holds it."""
    return {t.spec.environment: store.environment(t.spec.environment) for t in trials}
