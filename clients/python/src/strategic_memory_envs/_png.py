"""Decodes PNG pictures: RGB, RGBA or a palette, 8 bits, not interlaced (PNG 1.2, RFC 2083)."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from .errors import ProtocolError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_BYTES = 1 << 28
_PALETTE = 3
_CHANNELS = {2: 3, _PALETTE: 1, 6: 4}


def decode(data: bytes) -> NDArray[np.uint8]:
    """Returns the picture as `[height, width, 3]`; transparency is dropped.

    Raises:
        ProtocolError: the picture is damaged, too large, or of another kind.
    """
    try:
        return _decode(data)
    except (struct.error, zlib.error, ValueError, IndexError) as error:
        raise ProtocolError(f"the picture cannot be read: {error}") from error


def _decode(data: bytes) -> NDArray[np.uint8]:
    if not data.startswith(_SIGNATURE):
        raise ValueError("it is not PNG")
    header: bytes | None = None
    palette = b""
    packed: list[bytes] = []
    at = len(_SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(kind + body) != checksum:
            raise ValueError(f"the checksum of {kind!r} is wrong")
        at += 12 + length
        if kind == b"IHDR":
            header = body
        elif kind == b"PLTE":
            palette = body
        elif kind == b"IDAT":
            packed.append(body)
        elif kind == b"IEND":
            break
    if header is None:
        raise ValueError("it has no header")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if depth != 8 or colour not in _CHANNELS or interlaced:
        raise ValueError("only 8-bit RGB, RGBA and palettes without interlacing are read")
    channels = _CHANNELS[colour]
    size = height * (1 + width * channels)
    if not 0 < size <= _MAX_BYTES:
        raise ValueError(f"{width} by {height} is no size for a picture")
    inflater = zlib.decompressobj()
    raw = inflater.decompress(b"".join(packed), size + 1)
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes of picture, but {size} are needed")
    lines = np.frombuffer(raw, np.uint8).reshape(height, 1 + width * channels)
    pixels = _unfilter(lines, width, channels)
    if colour == _PALETTE:
        return np.frombuffer(palette, np.uint8).reshape(-1, 3)[pixels[:, :, 0]]
    return np.ascontiguousarray(pixels[:, :, :3])


def _unfilter(lines: NDArray[np.uint8], width: int, channels: int) -> NDArray[np.uint8]:
    """Undoes the prediction of each line, which its first byte selects (RFC 2083, section 6)."""
    pixels = np.zeros((len(lines), width, channels), np.uint8)
    above = np.zeros((width, channels), np.uint8)
    for y, line in enumerate(lines):
        kind, rest = line[0], line[1:].reshape(width, channels)
        if kind == 0:
            pixels[y] = rest
        elif kind == 1:
            pixels[y] = np.add.accumulate(rest, axis=0, dtype=np.uint8)
        elif kind == 2:
            pixels[y] = rest + above
        elif kind in (3, 4):
            pixels[y] = _predicted(rest, above, by_paeth=kind == 4)
        else:
            raise ValueError(f"there is no filter {kind}")
        above = pixels[y]
    return pixels


def _predicted(
    rest: NDArray[np.uint8], above: NDArray[np.uint8], *, by_paeth: bool
) -> NDArray[np.uint8]:
    """Undoes, byte by byte, a prediction from the left as well as from above."""
    channels = rest.shape[1]
    out = [0] * channels + rest.ravel().tolist()
    up = [0] * channels + above.ravel().tolist()
    for i in range(channels, len(out)):
        a, b, c = out[i - channels], up[i], up[i - channels]
        if by_paeth:
            da, db, dc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            guess = a if da <= db and da <= dc else b if db <= dc else c
        else:
            guess = (a + b) // 2
        out[i] = (out[i] + guess) & 255
    return np.array(out[channels:], np.uint8).reshape(rest.shape)
