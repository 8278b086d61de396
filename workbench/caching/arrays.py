"""Arrays on disk that are written piece by piece and read by memory map.

The format is NumPy's `.npy` 1.0 with a header of fixed length, so that the number of elements
can be filled in at the end and the bytes are the same with every version of NumPy.
Source: NEP 1.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from workbench.errors import CachingError

_HEADER_BYTES = 128


class ArrayWriter:
    """A one-dimensional array that grows at its end; a context manager.

    Attributes:
        length: Elements written so far.
    """

    def __init__(self, path: Path, dtype: str):
        """Begin an empty array.

        Args:
            path: The `.npy` file.
            dtype: Type of the elements with its byte order, as `<u8`.
        """
        self.length = 0
        self._dtype = np.dtype(dtype)
        self._file = path.open("wb")
        self._file.write(bytes(_HEADER_BYTES))

    def append(self, values: NDArray[np.generic]) -> None:
        """Write further elements, shape (n,)."""
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self.length += len(values)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Fill in the header and close."""
        shape = f"{{'descr': '{self._dtype.str}', 'fortran_order': False, 'shape': ({self.length},)"
        text = (shape + ", }").ljust(_HEADER_BYTES - 11) + "\n"
        length = (_HEADER_BYTES - 10).to_bytes(2, "little")
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + length + text.encode("latin1"))
        self._file.close()


def opened_array(path: Path) -> NDArray[Any]:
    """Return an array that is read from disk as it is used.

    Raises:
        CachingError: There is no such array, or it is damaged.
    """
    try:
        if path.stat().st_size > _HEADER_BYTES:
            # a plain view of the map is several times faster to slice
            return np.asarray(np.lib.format.open_memmap(path, mode="r"))
        with path.open("rb") as file:  # no element: nothing can be mapped
            return np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CachingError(f"{path}: no readable array ({error})") from error
