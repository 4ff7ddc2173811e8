"""Image files that are damaged so that each of Pillow's decoders fails in its own way, by what it raises."""

import io
import struct

from PIL import Image


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.effect_mandelbrot((64, 48), (-2, -1.5, 1, 1.5), 20).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def png() -> bytes:
    """A chunk ends early: what follows is no chunk (SyntaxError)."""
    data = bytearray(encoded("PNG"))
    place = data.index(b"IDAT")
    data[place - 4 : place] = struct.pack(">I", 16)
    return bytes(data)


def avif() -> bytes:
    """The file does not say which picture is the one that is meant (RuntimeError)."""
    return encoded("AVIF").replace(b"pitm", b"free")


def tiff() -> bytes:
    """The places of the strips are texts (TypeError)."""
    data = bytearray(encoded("TIFF"))
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] == 273:
            struct.pack_into("<H", data, entry + 2, 2)
    return bytes(data)


DAMAGED = {"SyntaxError": png(), "RuntimeError": avif(), "TypeError": tiff()}
