"""Read a log file's text, compressed or not; which it is, its first bytes say and not its name."""

import bz2
import gzip
import lzma
import os
import zlib
from io import BufferedReader, FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

import zstandard

_MAGIC: Final = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "Zstandard"}
_ZSTANDARD_PIECE: Final = 512  # small, since four bytes of it may stand for 128 KiB: 16 MiB at once, at most
_RAW_BUFFER: Final = 128 * 1024


class UnreadableError(Exception):
    """The file's bytes are not what they should be, or the disk does not give them; the message says which."""


class _Source(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class LogText:
    """A log file's text, read from its beginning. A context manager; the file stays the same if its name goes."""

    def __init__(self, path: Path) -> None:
        """Open *path*. Raises OSError."""
        self._raw: BufferedReader = BufferedReader(FileIO(path), _RAW_BUFFER)
        magic = self._raw.peek(6)
        self.compression: Final = next((name for begin, name in _MAGIC.items() if magic.startswith(begin)), None)
        """What the file is compressed with, if at all."""
        self._text = _opened(self._raw, self.compression)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, size: int) -> bytes:
        """Return up to *size* bytes of text (more if compressed), none at the end. Raises UnreadableError."""
        try:
            return self._text.read1(size)
        except EOFError:
            raise UnreadableError(f"the {self.compression} data end too early: the file is cut off") from None
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise UnreadableError(f"its {self.compression} data are damaged: {error}") from None
        except OSError as error:
            if error.errno is None:
                raise UnreadableError(f"its {self.compression} data are damaged: {error}") from None
            raise UnreadableError(error.strerror or str(error)) from None

    def read_exactly(self, size: int) -> bytes:
        """Return the next *size* bytes of text, fewer only at the end. Raises UnreadableError."""
        pieces = []
        while size > 0 and (piece := self.read(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def skip(self, size: int) -> bytes:
        """Go *size* bytes on in the text; return what was read beyond. Raises UnreadableError."""
        if self.compression is None:
            self._raw.seek(size, os.SEEK_CUR)
            return b""
        while size > 0:
            piece = self.read(_RAW_BUFFER)
            if not piece:
                raise UnreadableError("it is shorter than it was")
            if len(piece) > size:
                return piece[size:]
            size -= len(piece)
        return b""

    def rewind(self) -> None:
        """Go back to the beginning."""
        self._raw.seek(0)
        self._text = _opened(self._raw, self.compression)

    def head(self, size: int) -> bytes:
        """Return the first *size* bytes as they are now, only of a file not compressed. Raises UnreadableError."""
        try:
            return os.pread(self._raw.fileno(), size, 0)
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from None

    def modified(self) -> int:
        """Return when it was last written to, in microseconds since 1970."""
        return self.status().st_mtime_ns // 1000

    def status(self) -> os.stat_result:
        """Return what the system knows of the open file."""
        return os.fstat(self._raw.fileno())

    def done(self) -> int:
        """Return how many bytes of the file (as it lies on the disk) are read."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


class _Zstandard:
    """Frames of Zstandard, one after the other. The library's own reader does not notice a file that is cut off."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._input = b""

    def read1(self, _size: int, /) -> bytes:
        while True:
            if not self._input:
                self._input = self._raw.read(_ZSTANDARD_PIECE)
            if not self._input:
                if self._frame is not None:
                    raise EOFError
                return b""
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            frame = self._frame
            text = frame.decompress(self._input)
            self._input = frame.unused_data if frame.eof else b""
            if frame.eof:
                self._frame = None
            if text:
                return text


def _opened(raw: BufferedReader, compression: str | None) -> _Source:
    match compression:
        case "gzip":
            return gzip.GzipFile(fileobj=raw)
        case "xz":
            return lzma.LZMAFile(raw)
        case "bzip2":
            return bz2.BZ2File(raw)
        case "Zstandard":
            return _Zstandard(raw)
    return raw
