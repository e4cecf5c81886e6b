"""Frames without a connection around them."""

import pytest
from work import KEY

SIZES = [64, 1024, 16384, 1 << 20]
MASKED = pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])


def count(size):
    return max(4, min(1000, (1 << 20) // size))


def encode(frame, masked):
    return frame.encode(KEY) if masked else frame.encode_unmasked()


@MASKED
@pytest.mark.parametrize("size", SIZES)
def test_decode(timed, ws, size, masked):
    payload = b"a" * size
    feeds = [encode(ws.Frame.binary(payload), masked)] * count(size)

    def prepare():
        decoder = ws.FrameDecoder()

        def run():
            frames = 0
            frame = None
            for data in feeds:
                decoder.feed(data)
                while (decoded := decoder.decode()) is not None:
                    frame = decoded
                    frames += 1
            return frames, frame

        return run

    def check(result):
        frames, frame = result
        assert frames == count(size)
        assert frame.payload == payload
        assert frame.masked is masked

    timed(f"decode {size} bytes, {'masked' if masked else 'unmasked'}", prepare, check)


@MASKED
@pytest.mark.parametrize("size", SIZES)
def test_encode(timed, ws, size, masked):
    frame = ws.Frame.binary(b"a" * size)

    def run():
        encoded = b""
        for _ in range(count(size)):
            encoded = encode(frame, masked)
        return encoded

    def check(encoded):
        assert len(encoded) == len(frame.encode_unmasked()) + 4 * masked

    name = f"encode {size} bytes, {'masked' if masked else 'unmasked'}"
    timed(name, lambda: run, check)
