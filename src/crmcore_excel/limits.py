"""What reading one workbook may cost."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Limits:
    """Sizes in bytes. 100,000 rows of 20 columns take about 100 MiB unpacked and 190 MiB of memory."""

    file_size: int = 64 * 2**20
    parts: int = 10_000
    """Parts of the zip package."""
    unpacked: int = 256 * 2**20
    ratio: int = 100
    """How many times its packed size a part may unpack to, once it is larger than ``ratio_from``."""
    ratio_from: int = 8 * 2**20
    cells: int = 10_000_000
    """Cells of the rectangle that a sheet's filled cells span."""
    memory: int = 512 * 2**20
    """Address space of the child process, where the system can limit it."""
    seconds: float = 4.0
    """Processor time of the child process, for what is small; a second more at most."""
    seconds_per_mebibyte: float = 0.1
    """Added for each MiB of unpacked content."""
    patience: float = 8.0
    """How many times that the wall clock may show: a busy machine is no fault of the file."""
    result: int = 512 * 2**20
    """What the child process may send back."""
