"""Parquet from files that nobody trusts.

Rules: the numbers of rows and columns that a file announces are held against its size, and what is read of it is
counted while it is read: a few bytes can stand for very many equal values.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from gnnkit.errors import DatasetError, NotInstalledError
from gnnkit.io.limits import FREE_VALUES, MOST_COLUMNS, SPREAD, Raises, check_unpacked, opened

_ROWS = 1024
"""Read at a time, so that a long text that many rows share is noticed before it fills the memory."""


@contextmanager
def open_parquet(file: Path, raises: Raises = DatasetError) -> Iterator[Any]:
    """Open a Parquet file as a ``pyarrow.parquet.ParquetFile``.

    Args:
        file: The file.
        raises: The error for one that cannot be read, or is damaged, now or in the block.

    Raises:
        NotInstalledError: Parquet needs pandas and pyarrow.
    """
    try:
        import pandas  # noqa: F401
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise NotInstalledError(f"What reads {file.name} (pandas and pyarrow)", "pip install gnnkit[pandas]") from error
    damages = (pyarrow.ArrowException, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError)
    with opened(file, raises) as (stream, size):
        try:
            content = parquet.ParquetFile(stream)
            rows, columns = content.metadata.num_rows, content.metadata.num_columns
            if columns > MOST_COLUMNS or rows < 0 or rows * columns > max(FREE_VALUES, SPREAD * size):
                raise raises(
                    f"{file} announces {rows:,} rows of {columns:,} columns in {size:,} bytes. Write it again."
                )
            yield content
        except damages as error:
            raise _damaged(file, error, raises) from error
        except OSError as error:
            if error.errno:
                raise
            raise _damaged(file, error, raises) from error  # Arrow's own, such as for a page that cannot be unpacked.


def read_frame(file: Path, raises: Raises = DatasetError) -> Any:
    """Read a Parquet file as a ``pandas.DataFrame``.

    Args:
        file: The file.
        raises: As for :func:`open_parquet`.

    Raises:
        NotInstalledError: Parquet needs pandas and pyarrow.
    """
    with open_parquet(file, raises) as content:
        import pyarrow

        size, total, pieces = file.stat().st_size, 0, []
        for piece in content.iter_batches(batch_size=_ROWS):
            total += piece.nbytes
            check_unpacked(file, size, total, raises)
            pieces.append(piece)
        return pyarrow.Table.from_batches(pieces, content.schema_arrow).combine_chunks().to_pandas()


def _damaged(file: Path, error: BaseException, raises: Raises) -> Exception:
    cause = (str(error).splitlines() or [type(error).__name__])[0]
    return raises(f"{file} is cut short or no Parquet file ({cause[:200]}). Write it again.")
