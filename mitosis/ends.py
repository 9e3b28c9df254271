"""Keeps how a trial ended in git's directory, where neither its folder nor the store can be written."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mitosis.capture import code
from mitosis.errors import MitosisError
from mitosis.folder import read_json, write_json
from mitosis.trial import Trial, TrialSpec, from_plain, plain

_ENDS = Path("mitosis", "ends")  # below git's common directory


def keep(trial: Trial) -> Path | None:
    """Write the whole trial there; returns the file, None where that directory cannot be written either."""
    try:
        path = _word(trial.spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, plain(trial))
    except (MitosisError, OSError, TypeError, ValueError):
        return None
    return path


def kept(spec: TrialSpec) -> Trial | None:
    """The trial as `keep` wrote it; None where nothing was kept, or nothing that is whole."""
    try:
        return from_plain(Trial, read_json(_word(spec)))
    except (MitosisError, OSError, KeyError, TypeError, ValueError):
        return None


def forget(spec: TrialSpec) -> None:
    """The trial's folder says what was kept."""
    with contextlib.suppress(MitosisError, OSError):
        _word(spec).unlink(missing_ok=True)


def _word(spec: TrialSpec) -> Path:
    return code.git_common_dir(Path(spec.code.repository)) / _ENDS / f"{spec.id}.json"
