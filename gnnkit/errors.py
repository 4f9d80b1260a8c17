"""The one exception tree of gnnkit.

Rules: every message says what was received, what was expected and what to do. The command line prints a
``GnnkitError`` as one or two lines and exits with code 2; ``assert`` is for gnnkit's own invariants only.
"""

from __future__ import annotations

import difflib
import errno
from typing import Iterable, Mapping, Optional


class GnnkitError(Exception):
    """Base of every error that a user of gnnkit can cause or meet."""


_MOST_LISTED = 40
"""Names from which on a message does not list them all, where some are near."""


class UnknownNameError(GnnkitError):
    """A name that nobody registered: a backend, a device, a data set, a model, a config key.

    Args:
        what: Kind of thing that was looked up, for example ``"backend"``.
        name: The name that was received.
        known: All names that would have been accepted.
        fix: What else may be meant, as a sentence.
    """

    def __init__(self, what: str, name: str, known: Iterable[str], fix: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        listed = "" if near and len(names) > _MOST_LISTED else f" Known: {', '.join(names) or 'none'}."
        super().__init__(f"Unknown {what} {name!r}.{fix and f' {fix}'}{hint}{listed}")
        self.name = name
        self.near = near


class MisplacedSettingError(UnknownNameError):
    """A setting that is known, but not where it was given.

    Args:
        name: The setting as it was given: ``"model.lr"``.
        places: Where it belongs: ``["train.lr"]``.
    """

    def __init__(self, name: str, places: Iterable[str]) -> None:
        self.places = list(places)
        sections = [place.rpartition(".")[0] for place in self.places]
        where = " or ".join(f"under {section}" if section else "at the top level" for section in sections)
        key = self.places[0].rpartition(".")[2]
        GnnkitError.__init__(
            self, f"Unknown setting {name!r}: {key} belongs {where}. Write {' or '.join(self.places)}."
        )
        self.name = name
        self.near = self.places


class ConfigError(GnnkitError):
    """A setting has a value that cannot be used, or settings contradict each other."""


class NotInstalledError(GnnkitError):
    """Something optional is asked for that is not installed.

    Args:
        what: What was asked for, as the subject of a sentence: ``"Backend 'dgl'"``.
        install: The command that installs it.
    """

    def __init__(self, what: str, install: str) -> None:
        super().__init__(f"{what} is not installed. Install it with: {install}")
        self.install = install


class BrokenPluginError(GnnkitError):
    """A plugin is installed but cannot be loaded or does not keep to the interface.

    Args:
        what: The plugin, as the subject of a sentence.
        cause: Why it cannot be used.
        fix: What to do about it.
    """

    def __init__(self, what: str, cause: str, fix: str = "") -> None:
        super().__init__(f"{what} is installed but cannot be used: {cause}" + (f" Fix: {fix}" if fix else ""))
        self.cause = cause
        self.fix = fix


class UnavailableError(GnnkitError):
    """The hardware that a device needs was not found."""


class CapabilityError(GnnkitError):
    """A backend or device was asked for something that it does not declare."""


class DataError(GnnkitError):
    """Data that break a rule of :class:`gnnkit.Graph`.

    Args:
        field: Which field is wrong, for example ``"edge_index"``.
        problem: What was received and what was expected.
        row: First offending row, if there is one.
        fix: What to do.
    """

    def __init__(self, field: str, problem: str, *, row: Optional[int] = None, fix: str = "") -> None:
        place = f"{field}, row {row}" if row is not None else field
        super().__init__(f"Bad data in {place}: {problem}" + (f" {fix}" if fix else ""))
        self.field = field
        self.row = row
        self.problem = problem
        self.fix = fix

    def of(self, owner: str) -> DataError:
        """The same error, of the field of a node type or a relation.

        Example:
            >>> str(DataError("x", "it is empty.", row=2).of("paper"))
            "Bad data in x of 'paper', row 2: it is empty."
        """
        return type(self)(f"{self.field} of {owner!r}", self.problem, row=self.row, fix=self.fix)


class LeakError(DataError):
    """Pairs to be judged are among the edges that carry messages, or among the pairs that are learnt."""


class DatasetError(GnnkitError):
    """The files of a data set are missing, cut short, of the wrong content or cannot be downloaded."""


class CheckpointError(GnnkitError):
    """A checkpoint is missing, damaged, or belongs to another architecture."""


class OtherDataError(GnnkitError):
    """A run is to be continued or repeated on other data than it was trained on.

    Args:
        differences: The parts that differ.
        fix: What to do.
    """

    def __init__(self, differences: Iterable[str], fix: str) -> None:
        self.differences = list(differences)
        super().__init__(f"The run was trained on other data; what differs: {', '.join(self.differences)}. {fix}")


class PipelineError(GnnkitError):
    """A stage of the loading pipeline failed; the message names the batch."""


class BatchOverflowError(PipelineError):
    """A batch does not fit the fixed sizes that a device with static shapes was given.

    Args:
        message: Received, capacity and margin of every size.
        excess: By how much the batch is too large, by name of the size.
    """

    def __init__(self, message: str, excess: Mapping[str, int]) -> None:
        super().__init__(message)
        self.excess = dict(excess)


class LayerError(GnnkitError):
    """A layer of a library or of a user's own failed while it computed; its own error is the cause."""


class TrainingError(GnnkitError):
    """Training produced numbers that are NaN or infinite; the message says where, and what to do."""


class PeerError(GnnkitError):
    """Another process of a training was lost, or did not answer in time; the message says who waited for what."""


class ToldError(GnnkitError):
    """What went wrong in another process, which tells it itself; this one ends with it."""


class FileError(ConfigError):
    """A file or a folder cannot be read or written.

    Args:
        action: What could not be done: ``"read"`` or ``"write"``.
        path: The file or folder that was asked for.
        error: What the operating system said.
    """

    def __init__(self, action: str, path: object, error: OSError) -> None:
        reason = (error.strerror or str(error) or type(error).__name__).rstrip(".")
        advice = _ADVICE.get(error.errno or 0, "Name another place.")
        super().__init__(f"Cannot {action} {path}: {reason}. {advice}")
        self.path = str(path)


_PERMISSION = "Change its permissions, or name another place."
_OPEN = "Close some, or allow more (ulimit -n)."
_SPACE = "Free some space, or name a place on another disk."
_FOLDER_NEEDED = "A part of the path is a file or a link where a folder is needed. Name another place."
_ADVICE = {
    errno.ENOENT: "Check the name, or name another place.",
    errno.ENOTDIR: _FOLDER_NEEDED,
    errno.EEXIST: _FOLDER_NEEDED,
    errno.EISDIR: "It is a folder. Name a file.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ELOOP: "The link leads back to itself. Name the file itself.",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: _PERMISSION,
    errno.EMFILE: _OPEN,
    errno.ENFILE: _OPEN,
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
}


_OUT_OF_MEMORY = ("failed to map segment", "allocate memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; libraries that cannot be loaded for want of it say it in words."""
    return isinstance(error, MemoryError) or any(word in str(error).casefold() for word in _OUT_OF_MEMORY)
