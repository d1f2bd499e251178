"""What a small file unpacks to comes in pieces that fit into memory, whatever packed it."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from producers.compression import LogText

MEBIBYTE = 1024 * 1024
LENGTH = 32 * MEBIBYTE


def xz(text: bytes) -> bytes:
    return lzma.compress(text, preset=0)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, xz, zstandard.ZstdCompressor().compress])
def test_a_bomb_goes_off_in_small_pieces(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "mail.log"
    file.write_bytes(pack(bytes(LENGTH)))
    assert file.stat().st_size < LENGTH / 500
    with LogText(file) as text:
        pieces = [*map(len, iter(lambda: text.read(256 * 1024), b""))]
    assert sum(pieces) == LENGTH
    assert max(pieces) <= 17 * MEBIBYTE  # Zstandard has no limit but that of its input
