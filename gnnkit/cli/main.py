"""The ``gnnkit`` command. Nothing heavy is imported before a command runs, so that help answers at once."""

from __future__ import annotations

import errno
import os
import platform
import sys
from typing import Any, Optional

import typer
import typer.core

import gnnkit
from gnnkit.cli import (
    backends,
    bench,
    compare,
    conform,
    convert_weights,
    data,
    datasets,
    doctor,
    embed,
    explain,
    export,
    info,
    new_plugin,
    plan,
    predict,
    report,
    reproduce,
    run,
    runs,
    sweep,
    tasks,
)
from gnnkit.cli.output import end_on_signals, error_line
from gnnkit.errors import FileError


class Commands(typer.core.TyperGroup):
    """The commands; a line that names no command or option gives one line, too."""

    def main(  # type: ignore[override]
        self, args: Any = None, prog_name: Optional[str] = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run the command of a line, and end with its exit code."""
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        try:
            sys.exit(super().main(args, prog_name, standalone_mode=False, **extra))
        except Exception as error:
            # Which exceptions these are depends on the version of typer; all have a message.
            message = getattr(error, "format_message", None)
            if message is None:
                raise
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()  # type: ignore[attr-defined]
            else:
                context = getattr(error, "ctx", None)
                place = self.name if context is None else context.command_path
                text = message().rstrip(".")
                text += "" if text.endswith("?") else "."
                print(error_line(f"{text} See '{place} --help'."), file=sys.stderr)
            sys.exit(getattr(error, "exit_code", 2))


app = typer.Typer(
    name="gnnkit",
    cls=Commands,
    help="Write a graph neural network once; train it with plain torch, PyTorch Geometric or DGL, on any device.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(asked: bool) -> None:
    if asked:
        print(f"gnnkit {gnnkit.__version__}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def about(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_say_version, help="Show the versions of gnnkit and Python."
    ),
) -> None:
    """Options of the command itself, which typer reads from the signature."""


app.command("run", epilog=run.EXAMPLE)(run.run)
app.command("sweep", epilog=sweep.EXAMPLE)(sweep.sweep)
app.command("runs", epilog=runs.EXAMPLE)(runs.runs)
app.command("compare", epilog=compare.EXAMPLE)(compare.compare)
app.command("reproduce", epilog=reproduce.EXAMPLE)(reproduce.reproduce)
app.command("predict", epilog=predict.EXAMPLE)(predict.predict)
app.command("embed", epilog=embed.EXAMPLE)(embed.embed)
app.command("explain", epilog=explain.EXAMPLE)(explain.explain)
app.command("export", epilog=export.EXAMPLE)(export.export)
app.command("report", epilog=report.EXAMPLE)(report.report)
app.command("convert-weights", epilog=convert_weights.EXAMPLE)(convert_weights.convert_weights)
app.command("plan", epilog=plan.EXAMPLE)(plan.plan)
app.command("bench", epilog=bench.EXAMPLE)(bench.bench)
app.command("backends", epilog=backends.EXAMPLE)(backends.backends)
app.command("info", epilog=info.EXAMPLE)(info.info)
app.command("datasets", epilog=datasets.EXAMPLE)(datasets.datasets)
app.command("tasks", epilog=tasks.EXAMPLE)(tasks.tasks)
app.add_typer(data.app, name="data")
app.command("conform", epilog=conform.EXAMPLE)(conform.conform)
app.command("new-plugin", epilog=new_plugin.EXAMPLE)(new_plugin.new_plugin)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.doctor)


def main() -> None:
    """Entry point of the ``gnnkit`` script."""
    try:
        answer()
    except SystemExit as end:
        _leave_at_once(end.code)
        raise


def answer() -> None:
    """Do what the command line says.

    Raises:
        SystemExit: Always, with the exit code.
    """
    end_on_signals()
    try:
        app()
    except SystemExit as end:
        _leave_world(failed=bool(end.code))
        _finish_output(has_failed=bool(end.code))
        raise


def _finish_output(has_failed: bool) -> None:
    """Write out what is left to write, and keep what plugins print at their end from the JSON line's stream.

    Args:
        has_failed: Whether an error was told already, which may be that nothing can be written.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try again at its end, and print what went wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if has_failed:
            return
        if error.errno == errno.EPIPE:
            sys.exit(1)
        print(error_line(FileError("write", "to standard output", error)), file=sys.stderr)
        sys.exit(2)
    if "--json" in sys.argv:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def _leave_world(failed: bool) -> None:
    """End what connects this process with others, if there are any."""
    parallel = sys.modules.get("gnnkit.parallel.world")  # Not imported: nothing was joined.
    if parallel is not None:
        parallel.leave_world(failed)


def _leave_at_once(code: object) -> None:
    """End the process where the end of the interpreter would not be safe.

    That is when a loader's thread is still in a kernel, or threads of a library that serves graphs wait for servers.
    """
    loading = sys.modules.get("gnnkit.loading.prefetch")  # Not imported: nothing was loaded.
    parts = sys.modules.get("gnnkit.train.parts")  # Likewise.
    is_loading = loading is not None and loading.threads_at_work()
    if not is_loading and (parts is None or not parts.is_open()):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
