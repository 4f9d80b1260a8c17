"""``write_report``: from run folders to one HTML file, and figures beside the runs."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from gnnkit.backends import load_backend
from gnnkit.data import check_graph
from gnnkit.data.check import MOST_CHECKED
from gnnkit.devices import load_device
from gnnkit.errors import ConfigError, FileError
from gnnkit.io.files import replacing, write_text
from gnnkit.paths import PathLike, check_writable, is_folder, user_path
from gnnkit.report import overview
from gnnkit.report.collect import ReportOptions, collect, quiet
from gnnkit.report.gallery import Gallery
from gnnkit.report.maps import check_method
from gnnkit.report.page import Page, render_page
from gnnkit.report.sections import make_sections
from gnnkit.report.sweeps import is_sweep, sweep_page
from gnnkit.report.together import is_summary, together_page
from gnnkit.report.words import day_and_time

_LOG = logging.getLogger(__name__)

_COLLECTED = 0.85
"""Share of the time that collecting takes; drawing takes the rest."""


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        file: The page.
        figures: PNG files of the figures, each about one run in the folder ``plots`` of that run.
        warnings: What stands on top of the page.
        missing: Why something is not on it: by run, the reason by part ("data", "predictions", "maps", "stages").
    """

    file: Path
    figures: List[Path]
    warnings: List[str]
    missing: Dict[str, Dict[str, str]]

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return {**vars(self), "file": str(self.file), "figures": [str(figure) for figure in self.figures]}


def write_report(
    runs: Union[PathLike, Sequence[PathLike]],
    file: Optional[PathLike] = None,
    *,
    force: bool = False,
    progress: Callable[[str, float], None] = quiet,
    **options: Any,
) -> Report:
    """Write a page about one run, or about several side by side.

    The page shows the configuration, the data, curves, predictions by class, embeddings of every layer as maps, and
    where time goes. It is one file that refers to nothing outside of itself. What cannot be had, such as predictions of
    a run without a checkpoint, is left out with the reason.

    Figures also go into the folder ``plots`` of their run as PNG, in place of those of an earlier report; those that
    compare runs into a folder beside the page, called like it with ``-plots``.

    Args:
        runs: A run folder, or several; or the summary folder of ``gnnkit run --seeds`` or ``--folds``, or the folder of
            a sweep.
        file: The page. None: ``report.html`` in the folder of the run, or for several in the current folder.
        force: Whether a file that is there may be replaced.
        progress: Told what is being done, and which share of everything is done.
        options: Fields of :class:`ReportOptions`.

    Raises:
        ConfigError: A folder is none of a run, a run is given twice, the file exists, or an option has an impossible
            value.
        NotInstalledError: UMAP is asked for and not installed.
        DataError: The graph that is given breaks a rule.
        GnnkitError: The backend or the device that is asked for cannot be used.

    Example:
        >>> import tempfile, gnnkit
        >>> from gnnkit.report import write_report
        >>> graph = gnnkit.load_dataset("karate")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trainer = gnnkit.Trainer(device="cpu", epochs=2, run_dir=folder, progress=False)
        ...     _ = trainer.fit(gnnkit.build_model("gcn", graph), graph)
        ...     report = write_report(folder, graph=graph, batches=0)
        >>> report.file.name
        'report.html'
    """
    folders = [user_path(run, "The run folder") for run in ([runs] if isinstance(runs, (str, os.PathLike)) else runs)]
    if not folders:
        raise ConfigError("No run is given. Give the folder of at least one.")
    if file is None and not is_folder(folders[0]):
        raise ConfigError(f"{folders[0]} is no run folder. Give a folder that gnnkit run made.")
    for folder in folders if len(folders) > 1 else ():
        if is_summary(folder) or is_sweep(folder):
            raise ConfigError(f"{folder} holds several runs, which have their own page. Give it alone, or its runs.")
    settings = ReportOptions(**options)
    _check(settings)
    page = (
        user_path(file)
        if file is not None
        else folders[0] / "report.html"
        if len(folders) == 1
        else Path("report.html")
    )
    _check_free(page, force)
    for is_one, make in ((is_sweep, sweep_page), (is_summary, together_page)):
        if is_one(folders[0]):  # Then it is the only one.
            return _write_about_many(folders[0], page, make)
    facts = collect(folders, settings, lambda what, share: progress(what, _COLLECTED * share))
    progress("figures", _COLLECTED)
    gallery = Gallery(page.with_name(f"{page.stem}-plots"))
    sections = make_sections(facts, gallery)
    if len(facts) > 1:
        sections.insert(0, overview.comparison(facts, gallery))
    warnings = [warning for run in facts for warning in run.warnings]
    text = render_page(
        Page(
            title=overview.title(facts),
            subtitle=overview.subtitle(facts),
            tiles=overview.tiles(facts),
            warnings=warnings,
            sections=sections,
            footer=_footer(),
        )
    )
    write_text(page, text)
    kept = [picture for picture, content in gallery.files.items() if _is_written(picture, content)]
    return Report(page, kept, warnings, {run.label: run.missing for run in facts if run.missing})


def _footer() -> str:
    return f"Made by gnnkit report on {day_and_time(datetime.now().astimezone())}."


def _write_about_many(folder: Path, page: Path, make: Callable[[Path, Gallery, str], Page]) -> Report:
    """The page of a folder that holds several runs."""
    gallery = Gallery(folder / "plots")
    made = make(folder, gallery, _footer())
    write_text(page, render_page(made))
    kept = [picture for picture, content in gallery.files.items() if _is_written(picture, content)]
    return Report(page, kept, made.warnings, {})


def _check(options: ReportOptions) -> None:
    if options.graph is not None:
        check_graph(options.graph, most_values=MOST_CHECKED)
    check_method(options.map)
    if options.data_dir is not None and not user_path(options.data_dir).is_dir():
        raise ConfigError(f"The data folder {options.data_dir} does not exist. Name an existing folder.")
    # A mistake in what was asked for is none of the run's, which the page could do without.
    if options.backend is not None:
        load_backend(options.backend)
    if options.device != "auto":
        load_device(options.device).close()
    if options.map_nodes < 1:
        raise ConfigError(f"The number of nodes of a map is {options.map_nodes}, expected at least 1.")
    if options.batches < 0:
        raise ConfigError(f"The number of batches is {options.batches}, expected at least 0, which measures none.")


def _check_free(page: Path, force: bool) -> None:
    check_writable(page)
    if page.exists() and not force:
        raise ConfigError(f"{page} exists. Choose another name, or say --force (force=True) to replace it.")


def _is_written(file: Path, content: bytes) -> bool:
    """Write a figure where that is possible: runs of others can be shown, too."""
    try:
        with replacing(file) as temporary:
            temporary.write_bytes(content)
    except FileError as error:
        _LOG.warning("The figure %s is on the page only. %s", file, error)
        return False
    return True
