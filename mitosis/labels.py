"""Tags and notes that are put on a trial after it was begun: in its row, and in its folder's tags.json.

They are labels on the record and no part of it: trial.json and report of a finished trial stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from mitosis.errors import SelectionRefused
from mitosis.folder import TrialFolder
from mitosis.trial import Remark, Trial, TrialSpec

if TYPE_CHECKING:
    from mitosis.store.store import Store


def check(tag: str) -> str:
    """The tag; raises SelectionRefused where it cannot be one."""
    if not re.fullmatch(r"[^\s,+-][^\s,]*", tag) or not tag.isprintable():
        todo = "a tag has no space and no comma, and begins with neither + nor -"
        raise SelectionRefused(f"{tag!r} cannot be a tag", todo)
    return tag


def put(
    store: Store, trial: Trial, add: Collection[str], remove: Collection[str], note: str | None
) -> tuple[TrialSpec, Remark | None]:
    """Change tags and, unless it is None, the note; returns the spec as it is now.

    The remark says that the folder cannot be written: then only a store made anew would not know.
    """
    tags, note = store.label(trial.id, [check(tag) for tag in add], remove, note)
    spec = replace(trial.spec, tags=tags, note=note)
    folder = TrialFolder(spec.folder)
    try:
        with folder.alone():
            tags, note = store.label(trial.id, (), (), None)  # somebody may have changed them meanwhile
            folder.write_json(folder.labels, {"tags": list(tags), "note": note})
    except OSError as error:
        what = f"the tags of trial {trial.id} are in the store alone: {error.strerror or error}"
        return spec, Remark("labels_unkept", what, str(folder.labels))
    return spec, None


def applied(spec: TrialSpec, folder: TrialFolder) -> TrialSpec:
    """The spec with the tags and the note that lie in the folder, where somebody put some there later."""
    try:
        document = folder.read_json(folder.labels)
    except OSError:
        return spec
    if not isinstance(document, dict):
        return spec
    tags, note = document.get("tags"), document.get("note")
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        spec = replace(spec, tags=tuple(sorted(set(tags))))
    return replace(spec, note=note) if isinstance(note, str) else spec
