"""Where the files of data sets are looked for, and how they are downloaded.

Rules: places are asked in the order given folder, ``$GNNKIT_DATA``, cache; all files of a data set come from one place,
so that versions never mix. A download goes to a temporary file, is checked, and is then renamed: what has a final name
is whole. A file that the user put somewhere is never changed, and is not held against our checksum.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from gnnkit.errors import DatasetError, FileError
from gnnkit.io.arrays import open_archive
from gnnkit.io.files import new_folder, replacing
from gnnkit.paths import is_file, is_folder, user_path
from gnnkit.stages import bar_drawn

_CHUNK = 1 << 18
_TIMEOUT = 30.0


@dataclass(frozen=True)
class DataFile:
    """A file that a data set needs.

    Attributes:
        name: File name, without folders.
        url: Where it comes from. Empty if it cannot be downloaded.
        sha256: Its checksum in hexadecimal. Empty if it is not known.
    """

    name: str
    url: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Finder:
    """Finds and downloads the files of one data set.

    Attributes:
        dataset: Name of the data set, also of its folder.
        data_dir: Folder that the user named. None if there is none.
        cache: Root of the cache.
        download: Whether missing files may be downloaded.
    """

    dataset: str
    data_dir: Optional[Path]
    cache: Path
    download: bool

    @property
    def raw(self) -> Path:
        """Folder in the cache where downloads go."""
        return self.cache / "raw" / self.dataset

    def roots(self) -> List[Path]:
        """Folders that may hold data sets, in the order in which they are asked.

        Raises:
            DatasetError: The folder that the user named does not exist.
            FileError: One of them has a name that no folder can have.
        """
        shared = os.environ.get("GNNKIT_DATA")
        named = [self.data_dir, user_path(shared, "GNNKIT_DATA") if shared else None]
        roots = [root for root in named if root is not None]
        for root in roots:
            if not is_folder(root) and root == self.data_dir:
                raise DatasetError(f"The data folder {root} does not exist. Name an existing folder.")
        return roots

    def places(self) -> List[Path]:
        """Folders that may hold the files themselves: a folder of the data set's name, with or without ``raw``."""
        found = []
        for root in self.roots():
            found += [root / self.dataset, root / self.dataset / "raw", root, root / "raw"]
        return [*found, self.raw]

    def find(self, files: Sequence[DataFile]) -> Dict[str, Path]:
        """Find files in the first place that has all of them, or download them into the cache.

        Raises:
            DatasetError: They are nowhere and cannot be downloaded; the message says how to place them.
        """
        for place in self.places():
            if all((place / file.name).is_file() for file in files):
                return {file.name: place / file.name for file in files}
        missing = [file for file in files if not (self.raw / file.name).is_file()]
        reason = "downloading is switched off"
        if self.download:
            try:
                for file in missing:
                    download(file, self.raw / file.name)
                return {file.name: self.raw / file.name for file in files}
            except DatasetError as error:
                reason = str(error).rstrip(".")
        raise DatasetError(self.describe_missing(files, reason))

    def describe_missing(self, files: Sequence[DataFile], reason: str, places: Optional[Sequence[Path]] = None) -> str:
        """The message for files that are nowhere: those that the place with most of them lacks."""
        where = places or self.places()
        partial = self._partial(files, where)
        missing = sorted(partial.values(), key=len) or [[file.name for file in files]]
        names = ", ".join(missing[0])
        looked = ", ".join(str(place) for place in where)
        urls = sorted({file.url.rsplit("/", 1)[0] + "/" for file in files if file.url})
        origin = f" They come from {' and '.join(urls)}." if urls else ""
        advice = "Put them into FOLDER and pass it as data_dir (--data-dir FOLDER) or set GNNKIT_DATA=FOLDER."
        others = "".join(f" {place} lacks {', '.join(lacking)}." for place, lacking in partial.items())
        received = f"Data set {self.dataset!r}: files not found: {names}. Looked in: {looked}.{others}"
        return f"{received} Not downloaded: {reason}.{origin} {advice}"

    def _partial(self, files: Sequence[DataFile], places: Sequence[Path]) -> Dict[Path, List[str]]:
        """Places that have some of the files, with the names that they lack."""
        found = {}
        for place in places:
            lacking = [file.name for file in files if not (place / file.name).is_file()]
            if 0 < len(lacking) < len(files):
                found[place] = lacking
        return found


def is_there(file: Path) -> bool:
    """Whether a file that may be absent is there.

    Raises:
        DatasetError: It is a link that leads nowhere, which nobody means to be absent.
    """
    if file.is_symlink() and not file.exists():
        raise DatasetError(f"{file} is a link to {file.resolve()}, which is not there. Fix the link, or remove it.")
    return is_file(file)


def download(file: DataFile, target: Path) -> None:
    """Download a file; a progress bar is drawn on standard error if that is a terminal.

    Args:
        file: What to download, from where, and its checksum.
        target: Where to put it; parent folders are made.

    Raises:
        DatasetError: There is no connection, the server refuses, the file arrives cut short or its checksum is wrong.
            Nothing is left behind.
    """
    if not file.url:
        raise DatasetError(f"No address is known for {file.name}.")
    try:
        request = urllib.request.Request(file.url, headers={"User-Agent": "gnnkit"})
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response, replacing(target) as temporary:
            digest = _receive(response, file, temporary)
            if file.sha256 and digest != file.sha256:
                received = f"{file.url} has SHA-256 {digest}, expected {file.sha256}"
                raise DatasetError(f"{received}; the download was discarded.")
    except (OSError, http.client.HTTPException, ValueError, FileError) as error:
        reason = getattr(error, "reason", None) or error
        code = f"HTTP {error.code}, " if isinstance(error, urllib.error.HTTPError) else ""
        raise DatasetError(f"{file.url} cannot be downloaded ({code}{reason})") from error


def _receive(response: Any, file: DataFile, temporary: Path) -> str:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    digest = hashlib.sha256()
    length = response.headers.get("Content-Length")
    total = int(length) if length else None
    received = 0
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    is_hidden = not sys.stderr.isatty()
    with bar_drawn(), Progress(*columns, console=console, disable=is_hidden, transient=True) as progress:
        task = progress.add_task(file.name, total=total)
        with temporary.open("wb") as stream:
            for chunk in iter(lambda: response.read(_CHUNK), b""):
                stream.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                progress.update(task, advance=len(chunk))
    if total is not None and received != total:
        raise DatasetError(f"{file.url} arrived cut short: {received} of {total} bytes; the download was discarded.")
    return digest.hexdigest()


def unpack(archive: Path, folder: Path, part: str) -> None:
    """Unpack a zip file; ``folder`` appears whole or not at all.

    Args:
        archive: The file. It, or a folder in it, has a folder ``part``.
        folder: What that folder becomes.
        part: Name of a folder in it.

    Raises:
        DatasetError: The file cannot be unpacked, has no such folder, or would write outside of its own.
    """
    try:
        with new_folder(folder) as temporary:
            with open_archive(archive) as content:
                for name in content.namelist():
                    if name.startswith(("/", "\\")) or ".." in Path(name).parts or ":" in name:
                        raise DatasetError(f"{archive} is refused: it would write to {name!r}, outside of its folder.")
                content.extractall(temporary)
            homes = [home for home in (temporary, *sorted(temporary.iterdir())) if (home / part).is_dir()]
            if not homes:
                raise DatasetError(f"{archive} holds no folder {part!r}. Delete the file and try again.")
            if homes[0] != temporary:  # What lies beside that folder is not wanted.
                for entry in [entry for entry in temporary.iterdir() if entry != homes[0]]:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
                for entry in list(homes[0].iterdir()):
                    os.rename(entry, temporary / entry.name)
                homes[0].rmdir()
    except FileError as error:
        raise DatasetError(f"{archive} cannot be unpacked ({error}). Delete it and try again.") from error


def hash_files(files: Mapping[str, Path]) -> Iterator[str]:
    """Yield a line for every file: its name and the SHA-256 of its content, by name.

    Raises:
        DatasetError: A file cannot be read.
    """
    for name in sorted(files):
        digest = hashlib.sha256()
        try:
            with files[name].open("rb") as stream:
                for chunk in iter(lambda: stream.read(1 << 22), b""):
                    digest.update(chunk)
        except OSError as error:
            raise DatasetError(f"{files[name]} cannot be read: {error.strerror or error}.") from error
        yield f"{name} {digest.hexdigest()}"
