"""Pictures, against a stub and against a server."""

from __future__ import annotations

import asyncio
import struct
import zlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stub import Request, Stub, problem, response
from test_faults import DESCRIPTION

import strategic_memory_envs as sme
from strategic_memory_envs import _png


def filtered(pixels: np.ndarray[Any, Any], kinds: list[int]) -> bytes:
    """Filters each line, by the definitions of RFC 2083, section 6."""
    height, width, channels = pixels.shape
    out = bytearray()
    for y in range(height):
        kind = kinds[y % len(kinds)]
        out.append(kind)
        for x in range(width):
            for c in range(channels):
                a = int(pixels[y, x - 1, c]) if x else 0
                b = int(pixels[y - 1, x, c]) if y else 0
                d = int(pixels[y - 1, x - 1, c]) if x and y else 0
                p = a + b - d
                paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - d), 2, d))[2]
                guess = [0, a, b, (a + b) // 2, paeth][kind]
                out.append((int(pixels[y, x, c]) - guess) & 255)
    return bytes(out)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(pixels: np.ndarray[Any, Any], kinds: list[int], *, interlaced: int = 0) -> bytes:
    height, width, channels = pixels.shape
    colour = {3: 2, 4: 6}[channels]
    packed = zlib.compress(filtered(pixels, kinds))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced))
        + chunk(b"tEXt", b"Comment\0skipped")
        + chunk(b"IDAT", packed[:20])
        + chunk(b"IDAT", packed[20:])
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("kinds", [[0], [1], [2], [3], [4], [4, 3, 2, 1, 0]])
def test_pngs_of_every_filter(channels: int, kinds: list[int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (7, 5, channels), np.uint8)
    decoded = _png.decode(png(pixels, kinds))
    assert decoded.dtype == np.uint8
    assert (decoded == pixels[:, :, :3]).all()


def test_pngs_with_a_palette() -> None:
    header = struct.pack(">IIBBBBB", 3, 1, 8, 3, 0, 0, 0)
    colours = bytes([1, 2, 3, 250, 251, 252])

    def picture(indices: bytes) -> bytes:
        chunks = [(b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(b"\0" + indices))]
        parts = [chunk(kind, body) for kind, body in [*chunks, (b"IEND", b"")]]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

    decoded = _png.decode(picture(b"\1\0\1"))
    assert decoded.tolist() == [[[250, 251, 252], [1, 2, 3], [250, 251, 252]]]
    with pytest.raises(sme.ProtocolError):
        _png.decode(picture(b"\0\2\0"))


def test_damaged_pngs_are_refused() -> None:
    whole = png(np.zeros((2, 2, 3), np.uint8), [0])
    interlaced = png(np.zeros((2, 2, 3), np.uint8), [0], interlaced=1)
    flipped = bytearray(whole)
    flipped[40] ^= 1
    bomb = whole.replace(struct.pack(">II", 2, 2), struct.pack(">II", 2**31 - 1, 2**31 - 1))
    for data in (b"", b"GIF89a", whole[:-5], whole[:40], bytes(flipped), interlaced, bomb):
        with pytest.raises(sme.ProtocolError):
            _png.decode(data)
    header = struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0)
    lines = zlib.compress(b"\x09" + bytes(6))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
    with pytest.raises(sme.ProtocolError, match="filter 9"):
        _png.decode(b"\x89PNG\r\n\x1a\n" + body)


PIXELS = np.random.default_rng(2).integers(0, 256, (4, 6, 3), np.uint8)


def respond(request: Request) -> bytes:
    if request.method == "PUT":
        vector = {
            "num_envs": 2,
            "autoreset_mode": "NextStep",
            "single_observation_space": DESCRIPTION["observation_space"],
            "single_action_space": DESCRIPTION["action_space"],
        }
        return response({**DESCRIPTION, **vector})
    if request.method == "DELETE":
        return response(b"", "204 No Content")
    path, _, query = request.target.partition("?")
    assert path.endswith("/render")
    if request.headers["accept"] == "text/plain":
        return response(f"a bit ½ {query}".encode(), content_type="text/plain; charset=utf-8")
    return response(png(PIXELS, [4]), content_type="image/png")


def test_single_pictures() -> None:
    with Stub(respond) as stub:
        with sme.RemoteEnv("X-v0", server=stub.url, render_mode="ansi") as env:
            assert env.render() == "a bit ½ "
        with sme.RemoteEnv("X-v0", server=stub.url, render_mode="rgb_array") as env:
            picture = env.render()
            assert isinstance(picture, np.ndarray)
            assert (picture == PIXELS).all()


def test_vector_pictures_are_one_for_each_lane() -> None:
    with Stub(respond) as stub:
        envs = sme.RemoteVectorEnv("X-v0", 2, server=stub.url, render_mode="ansi")
        assert envs.render() == ("a bit ½ lane=0", "a bit ½ lane=1")
        envs.close()


def test_asynchronous_pictures() -> None:
    async def draw(url: str) -> tuple[Any, Any]:
        async with sme.AsyncRemoteEnv("X-v0", server=url, render_mode="rgb_array") as env:
            one = await env.render()
        async with sme.AsyncRemoteVectorEnv("X-v0", 2, server=url, render_mode="ansi") as envs:
            return one, await envs.render()

    with Stub(respond) as stub:
        one, many = asyncio.run(draw(stub.url))
    assert (one == PIXELS).all()
    assert many == ("a bit ½ lane=0", "a bit ½ lane=1")


def test_without_a_mode_there_is_no_picture(env: sme.RemoteEnv) -> None:
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_pictures_of_another_kind_are_refused() -> None:
    def respond_with_json(request: Request) -> bytes:
        return respond(request) if request.method != "GET" else response({"no": "picture"})

    def refuse(request: Request) -> bytes:
        missing = problem("404 Not Found", status=404, code="unknown-route", detail="not here")
        return respond(request) if request.method != "GET" else missing

    for answer, error in [(respond_with_json, sme.ProtocolError), (refuse, sme.ServerProblem)]:
        with (
            Stub(answer) as stub,
            sme.RemoteEnv("X-v0", server=stub.url, render_mode="ansi") as env,
            pytest.raises(error),
        ):
            env.render()


def test_the_server_draws(server: str) -> None:
    """Runs if the server has the route."""
    with sme.RemoteEnv("MemoryTask-v0", server=server, render_mode="ansi") as env:
        env.reset()
        try:
            text = env.render()
        except sme.ServerProblem as error:
            if error.code != "unknown-route":
                raise
            pytest.skip("this server does not draw yet: GET .../render is an unknown route")
    assert isinstance(text, str)
    assert text
    checked = gym.make("strategic_memory_envs:MemoryTask-v0", server=server)
    check_env(checked.unwrapped)
    checked.close()
    envs = sme.RemoteVectorEnv("MemoryTask-v0", 2, server=server, render_mode="rgb_array")
    envs.reset()
    pictures = envs.render()
    assert pictures is not None
    assert [picture.dtype for picture in pictures] == [np.uint8, np.uint8]
    assert pictures[0].ndim == 3
    envs.close()
