"""The gate: checks once for a whole invocation, before anything is launched, that the record can be true."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import mitosis
from mitosis import admission, sweeps
from mitosis.capture import code, environment
from mitosis.errors import (
    ConfigurationRefused,
    DirtyRepository,
    RepositoryRefused,
    StoreRefused,
    TrialRefused,
)
from mitosis.folder import check_room, make_root
from mitosis.settings import Checkout, OnDirty, Settings
from mitosis.trial import CodeState, Remark, Variant

if TYPE_CHECKING:
    from mitosis.store import Store


_OURS = {"mitosis.db", "mitosis.db.lock", "hydra", "checkouts", ".pending", "trash", "environments"}
"""One of these is in each root that mitosis has made."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found, once for the whole invocation; it travels to the workers by pickle."""

    code: CodeState
    root: str  # absolute
    store: str  # URL
    version: str  # of mitosis
    sweep: str | None = None
    notes: tuple[Remark, ...] = ()
    began: str = ""  # by the store's clock
    resumed: bool = False  # does the sweep go on that an earlier invocation began
    variables: Mapping[str, str] = field(default_factory=dict)  # that hold in the workers as well
    study: str | None = None  # the name of the Optuna study
    first_job: int = 0  # the number of the first job: a study may have had trials before


@dataclass(frozen=True, slots=True)
class Sweep:
    """The trials of one multirun: its id, its command line, and how many there will be, where known."""

    id: str
    command: tuple[str, ...]
    size: int | None = None
    resumed: bool = False
    elsewhere: bool = False  # other processes run them


def default_root(repository: Path) -> str:
    """`mitosis.root` where nobody says it: of a linked working tree that of the main one."""
    main = code.main_tree(repository)
    return Settings().root if main == repository else str(main / Settings().root)


def repository(start: Path) -> Path:
    """The top of the working tree around `start`; raises RepositoryRefused."""
    return code.find_repository(start)


def check(repository: Path, settings: Settings, sweep: Sweep | None = None) -> Verdict:
    """Check, before anything is launched, that the record can be true; make root and store ready.

    Raises Refused in one of its kinds; nothing is recorded then.
    """
    from mitosis import settle

    root = _root(repository, settings.root)
    admission.check(repository, settings, sweep is not None)
    url = _store(repository, root, settings)
    try:
        state = _code(repository, settings)
    except DirtyRepository as error:
        raise _named(error, repository, url, settings.project) from error
    notes = _others(repository)
    _make_root(repository, root)
    state = _pin(state, repository, root, settings, sweep)
    with open_store(url) as store:
        settle.settle(store, root)
        began = store.now()
        if sweep is not None:
            begun = (sweep.id, state.project, shlex.join(sweep.command), sweep.size, began)
            store.begin_sweep(*begun)
            sweeps.keep(root, *begun)
    remarks = [
        code.keep(repository, state.commit),
        settle.leave_pointer(repository, root, url, state.project),
    ]
    return Verdict(
        state,
        str(root),
        url,
        # a digest of all files takes 10 ms, and a process agrees with itself
        environment.own_code() if sweep is not None and sweep.elsewhere else mitosis.__version__,
        sweep.id if sweep else None,
        (*notes, *(r for r in remarks if r)),
        began,
        sweep is not None and sweep.resumed,
        _travelling(settings),
    )


def check_variants(
    verdict: Verdict, chosen: Sequence[tuple[str, Variant]], redefine: Collection[str]
) -> None:
    """Raise VariantRedefined where one of the `chosen` (experiment, variant) is locked to another content."""
    with open_store(verdict.store) as store:
        for experiment in dict.fromkeys(name for name, _ in chosen):
            own = [variant for name, variant in chosen if name == experiment]
            store.variants(verdict.code.project, experiment, own, redefine)


def ready(repository: Path, settings: Settings, url: str | None = None) -> tuple[Path, str]:
    """Root and URL of the store, both checked and made, for trials whose code comes from a commit alone.

    The working tree is not looked at. Raises Refused where one of them cannot be used.
    """
    from mitosis import settle

    root = _root(repository, settings.root)
    url = url or _store(repository, root, settings)
    _make_root(repository, root)
    with open_store(url) as store:
        settle.settle(store, root)
    return root, url


def _travelling(settings: Settings) -> dict[str, str]:
    """The variables that travel to the workers: those that change numbers, and those the user names."""
    missing = [name for name in settings.variables if name not in os.environ]
    if missing:
        raise ConfigurationRefused(
            f"mitosis.variables names {missing[0]}, which is not set here",
            f"set it, or leave it out: export {missing[0]}=VALUE",
        )
    return environment.travelling() | {name: os.environ[name] for name in settings.variables}


def _code(repository: Path, settings: Settings) -> CodeState:
    """The code as the gate accepts it: clean, or as a snapshot where the user asked for one."""
    if settings.on_dirty is OnDirty.snapshot:
        from mitosis.capture import snapshot

        if settings.checkout is Checkout.inplace:
            raise ConfigurationRefused(
                "mitosis.on_dirty=snapshot runs from a checkout of the snapshot, not in place",
                "leave out mitosis.checkout=inplace, or commit",
            )
        state = snapshot.snapshot(repository, settings.snapshot_max_file)
    else:
        state = code.inspect(repository)
    return replace(state, project=settings.project) if settings.project is not None else state


def _named(error: DirtyRepository, repository: Path, url: str, project: str | None) -> DirtyRepository:
    """The refusal with the trial that wrote a file which makes the tree dirty, where one did."""
    from mitosis.store.store import Store

    writers: dict[str, str] = {}
    try:
        store = Store.existing(url)
        if store is not None:
            with store:
                paths = [change.path for change in code.changes(repository)]
                writers = store.writers(paths, project or code.project(repository))
    except StoreRefused:
        return error  # the tree is the first thing to mend
    if not writers:
        return error
    path, trial = min(writers.items())
    return DirtyRepository(
        error.what,
        f"{path} was written by trial {trial}: put it into .gitignore, or let the experiment write "
        f"into its own folder with mitosis.cwd=trial. Otherwise: {error.todo}",
    )


def _others(repository: Path) -> tuple[Remark, ...]:
    """Refuse another repository that the experiment may import from and that is dirty: its code would be
    nobody's commit. The commits of the clean ones are kept; returns the notes where one cannot be.
    """
    notes: list[Remark | None] = []
    for place, why, todo in _elsewhere():
        try:
            top = code.find_repository(place)
            if top == repository:
                continue
            commit, changes = code.head(top), code.changes(top)
        except RepositoryRefused:
            continue  # in no repository: the guard marks its modules where the experiment loads them
        if changes:
            raise DirtyRepository(
                f"{top}, {why}, has uncommitted changes: {', '.join(c.path for c in changes[:3])}",
                f"commit there, or {todo}",
            )
        notes.append(code.keep(top, commit))
    return tuple(dict.fromkeys(n for n in notes if n))


def _elsewhere() -> Iterator[tuple[Path, str, str]]:
    """The directories outside of the repository that modules may come from, why, and how to be without."""
    distributions = environment.collect()["distributions"]
    for name, (_, origin) in sorted(distributions.items()):
        if origin.startswith("editable ") and name != "mitosis":  # the launcher is not the experiment
            place = Path(unquote(urlsplit(origin.removeprefix("editable ")).path))
            yield place, f"from which {name} is installed as editable", f"uninstall it: pip uninstall {name}"
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if entry and Path(entry).is_dir():
            yield Path(entry).absolute(), "which is on PYTHONPATH", "take it off PYTHONPATH"


def _pin(
    state: CodeState, repository: Path, root: Path, settings: Settings, sweep: Sweep | None
) -> CodeState:
    """The same code, with the checkout it runs from where it is not the working tree itself."""
    auto = settings.checkout is Checkout.auto and (sweep is not None or state.dirty)
    if settings.checkout is not Checkout.pinned and not auto:
        return replace(state, tree=str(repository))
    from mitosis import garbage
    from mitosis.capture import checkout

    garbage.use(root, checkout.place(root, state.commit))  # before it is there: nobody takes it away
    tree = checkout.checkout(repository, state.commit, checkout.place(root, state.commit))
    if settings.share:
        checkout.share(repository, tree, settings.share)
    return replace(state, tree=str(tree))


def open_store(url: str) -> Store:
    """The store at `url`, made or upgraded where needed; raises StoreRefused."""
    from mitosis.store.store import Store

    return Store.open(url)


def _store(repository: Path, root: Path, settings: Settings) -> str:
    """The store's URL. Refused: a password in the configuration, a file that git would see.

    A password in MITOSIS_STORE goes on as PGPASSWORD: launchers write to disk what travels to the workers,
    which inherit the environment.
    """
    from mitosis.store import password_in
    from mitosis.store.address import located

    if settings.store is not None and password_in(settings.store):
        raise ConfigurationRefused(
            "mitosis.store holds a password, which Hydra would write to disk",
            "leave it out and give it by MITOSIS_STORE, ~/.pgpass or a service file",
        )
    given = settings.store or os.environ.get("MITOSIS_STORE") or str(root / "mitosis.db")
    main = code.main_tree(repository)
    url = located(given, main)
    if not url.startswith("sqlite:///"):
        return _without_password(url)
    file = Path(url.removeprefix("sqlite:///"))
    inside = any(file.is_relative_to(top) for top in (main, repository))
    if inside and not file.is_relative_to(root):
        raise ConfigurationRefused(
            f"the store {file} would lie in the repository, where git sees it",
            f"put it below the root ({root}) or outside of the repository",
        )
    return url


def _without_password(url: str) -> str:
    from mitosis.store.address import display_url, password_of

    password = password_of(url)
    if password is None:
        return url
    os.environ["PGPASSWORD"] = password
    return display_url(url)


def _root(repository: Path, given: str) -> Path:
    """The absolute root. Refused: the repository's top, what holds tracked files, what lies in .git."""
    if given.startswith("~"):
        raise ConfigurationRefused(f"mitosis.root={given}: ~ is not expanded here", "write the whole path")
    main = code.main_tree(repository)
    root = Path(os.path.abspath(repository / given))  # noqa: PTH100 - no symlinks resolved
    todo = "choose an untracked directory: mitosis.root=trials"
    if any(root == top or root in top.parents for top in (main, repository)):
        raise ConfigurationRefused(f"mitosis.root={given} is the repository itself or holds it: {root}", todo)
    if ".git" in root.parts or root.is_relative_to(code.git_common_dir(repository)):
        raise ConfigurationRefused(f"mitosis.root={given} lies inside git's own directory: {root}", todo)
    if root.exists() and not root.is_dir():
        raise ConfigurationRefused(f"mitosis.root={given} is not a directory: {root}", todo)
    held = {entry.name for entry in root.iterdir()} - {".gitignore"} if root.is_dir() else set()
    if held and not held & _OURS:
        raise ConfigurationRefused(
            f"mitosis.root={given} holds other files, and nothing of mitosis: {root}",
            "choose a new or empty directory: what lies in the root is never an input",
        )
    around = next((top for top in (main, repository) if root.is_relative_to(top)), None)
    if around is not None and code.tracked_under(around, root):
        raise ConfigurationRefused(f"mitosis.root={given} holds files that git tracks: {root}", todo)
    return root


def _make_root(repository: Path, root: Path) -> None:
    try:
        inside = any(root.is_relative_to(top) for top in (code.main_tree(repository), repository))
        make_root(root, code.git_common_dir(repository) if inside else None)
        check_room(root)
    except OSError as error:
        todo = "make it writable or choose another: mitosis.root=DIRECTORY"
        raise TrialRefused(f"the root {root} cannot be written: {error.strerror or error}", todo) from error
