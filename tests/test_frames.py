"""Single frames: the layout of RFC 6455 section 5.2, masking, the decoder used alone."""

from __future__ import annotations

import copy
import pickle
from array import array
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from helpers import KEY, WireFrame, frame, read_frames, xor
from hypothesis import given
from hypothesis import strategies as st

import websocket

# RFC 6455 section 5.7
VECTORS = {
    "single-unmasked-text": ("810548656c6c6f", [(0x1, b"Hello", True, False)]),
    "single-masked-text": ("818537fa213d7f9f4d5158", [(0x1, b"Hello", True, True)]),
    "fragmented-text": (
        "010348656c80026c6f",
        [(0x1, b"Hel", False, False), (0x0, b"lo", True, False)],
    ),
    "unmasked-ping": ("890548656c6c6f", [(0x9, b"Hello", True, False)]),
    "masked-pong": ("8a8537fa213d7f9f4d5158", [(0xA, b"Hello", True, True)]),
    "256-bytes": ("827e0100" + "ab" * 256, [(0x2, b"\xab" * 256, True, False)]),
    "64-kib": ("827f0000000000010000" + "cd" * 65536, [(0x2, b"\xcd" * 65536, True, False)]),
}


def decode_all(ws: ModuleType, data: bytes) -> list[Any]:
    decoder = ws.FrameDecoder()
    decoder.feed(data)
    frames = []
    while (decoded := decoder.decode()) is not None:
        frames.append(decoded)
    assert decoder.buffer_len == 0
    return frames


# RFC 6455 section 5.7


@pytest.mark.rule("R1", "R7", "R8", "R17")
@pytest.mark.parametrize(("wire", "expected"), VECTORS.values(), ids=VECTORS.keys())
def test_vector_is_decoded(ws: ModuleType, wire: str, expected: list[Any]) -> None:
    assert decode_all(ws, bytes.fromhex(wire)) == [
        ws.Frame(opcode, payload, fin=fin, masked=masked)
        for opcode, payload, fin, masked in expected
    ]


@pytest.mark.rule("R1", "R3")
@pytest.mark.parametrize(("wire", "expected"), VECTORS.values(), ids=VECTORS.keys())
def test_vector_is_encoded(ws: ModuleType, wire: str, expected: list[Any]) -> None:
    encoded = b""
    for opcode, payload, fin, masked in expected:
        built = ws.Frame(opcode, payload, fin=fin)
        encoded += built.encode(KEY) if masked else built.encode_unmasked()
    assert encoded.hex() == wire


# Encoding


@pytest.mark.rule("R2", "R3", "R13")
@pytest.mark.parametrize(
    ("size", "form"),
    [
        (0, "00"),
        (1, "01"),
        (125, "7d"),
        (126, "7e007e"),
        (127, "7e007f"),
        (65535, "7effff"),
        (65536, "7f0000000000010000"),
        (65537, "7f0000000000010001"),
    ],
)
def test_length_is_written_in_its_shortest_form_and_read_back(
    ws: ModuleType, size: int, form: str
) -> None:
    payload = (b"0123456789abcdef!" * (size // 17 + 1))[:size]
    built = ws.Frame.binary(payload)
    unmasked = built.encode_unmasked()
    assert unmasked == bytes.fromhex("82" + form) + payload
    masked = built.encode(KEY)
    assert masked == frame(0x2, payload, key=KEY)
    assert masked[1] == unmasked[1] | 0x80
    assert decode_all(ws, unmasked + masked) == [built, ws.Frame(0x2, payload, masked=True)]


@pytest.mark.rule("R1")
def test_every_first_octet_is_written_bit_by_bit(ws: ModuleType) -> None:
    for opcode in ws.Opcode:
        for bits in range(16):
            fin, rsv1, rsv2, rsv3 = (bool(bits & bit) for bit in (8, 4, 2, 1))
            built = ws.Frame(opcode, b"x", fin, rsv1, rsv2, rsv3)
            wire = built.encode_unmasked()
            assert wire == bytes([bits << 4 | opcode, 1]) + b"x"
            if opcode < 8 or fin:
                assert read_frames(wire) == [WireFrame(opcode, b"x", fin, bits & 7)]
                assert decode_all(ws, wire) == [built]


@pytest.mark.rule("R5")
def test_encoder_validates_nothing_so_that_tests_can_send_anything(ws: ModuleType) -> None:
    built = ws.Frame(ws.Opcode.PING, bytes(200), fin=False)
    assert built.encode_unmasked() == b"\x09\x7e\x00\xc8" + bytes(200)


def test_encode_frame_takes_any_first_octet(ws: ModuleType) -> None:
    encode_frame = ws._backend.encode_frame
    for first in range(256):
        assert encode_frame(first, b"ab") == bytes([first, 2]) + b"ab"
        assert encode_frame(first, b"ab", KEY) == bytes([first, 0x82]) + KEY + xor(b"ab", KEY)
    for first in (-1, 256, 1 << 31, -(1 << 31), 1 << 64, -(1 << 100)):
        with pytest.raises(ValueError, match=f"from 0 to 255, not {first}"):
            encode_frame(first, b"")


@pytest.mark.parametrize(
    "payload",
    [
        bytearray(b"abcd"),
        memoryview(b"abcd"),
        memoryview(b"a-b-c-d-")[::2],
        memoryview(b"dcba")[::-1],
        array("B", b"abcd"),
    ],
    ids=["bytearray", "memoryview", "strided", "reversed", "array"],
)
def test_any_bytes_like_payload_is_taken(ws: ModuleType, payload: Any) -> None:
    assert ws._backend.encode_frame(0x82, payload) == b"\x82\x04abcd"
    assert ws._backend.encode_frame(0x82, payload, KEY) == frame(0x2, b"abcd", key=KEY)
    assert ws.apply_mask(payload, KEY) == xor(b"abcd", KEY)
    assert ws.Frame.binary(payload).payload == b"abcd"
    decoder = ws.FrameDecoder()
    decoder.feed(b"\x82\x04")
    decoder.feed(payload)
    assert decoder.decode() == ws.Frame.binary(b"abcd")


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde"])
def test_masking_key_of_another_size_is_refused(ws: ModuleType, key: bytes) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: ws.apply_mask(b"x", key),
        lambda: ws.Frame.text("x").encode(key),
        lambda: ws._backend.encode_frame(0x81, b"x", key),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"4 bytes, not {len(key)}: {key!r}"):
            call()


@pytest.mark.parametrize("key", [bytearray(4), "abcd", 7])
def test_masking_key_of_another_type_is_refused(ws: ModuleType, key: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: ws.apply_mask(b"x", key),
        lambda: ws.Frame.text("x").encode(key),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=f"must be bytes, not {type(key).__name__}"):
            call()


@pytest.mark.parametrize("data", ["text", 7, None])
def test_what_is_not_bytes_like_is_refused(ws: ModuleType, data: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: ws.apply_mask(data, KEY),
        lambda: ws._backend.encode_frame(0x81, data),
        lambda: ws.FrameDecoder().feed(data),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=f"bytes-like, not {type(data).__name__}"):
            call()
    with pytest.raises(TypeError):
        ws.Frame.binary(data)


# Masking


@pytest.mark.rule("R3")
def test_mask_agrees_with_the_formula_for_all_sizes_and_alignments(ws: ModuleType) -> None:
    source = bytes((7 * index + 3) % 256 for index in range(300))
    view = memoryview(source)
    for size in range(201):
        for offset in range(9):
            piece = source[offset : offset + size]
            assert ws.apply_mask(view[offset : offset + size], KEY) == xor(piece, KEY)


@pytest.mark.rule("R3")
@pytest.mark.parametrize("size", [767, 768, 769, 770, 771, 772, 1023, 4096, 65537, 1_000_003])
def test_mask_agrees_with_the_formula_for_large_sizes(ws: ModuleType, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    masked = ws.apply_mask(data, KEY)
    assert len(masked) == size
    for index in [*range(min(size, 64)), *range(0, size, 997), *range(size - 64, size)]:
        assert masked[index] == data[index] ^ KEY[index % 4]
    assert ws.apply_mask(masked, KEY) == data


@given(st.binary(max_size=3000), st.binary(min_size=4, max_size=4))
def test_masking_twice_changes_nothing(ws: ModuleType, data: bytes, key: bytes) -> None:
    masked = ws.apply_mask(data, key)
    assert masked == xor(data, key)
    assert ws.apply_mask(masked, key) == data


@pytest.mark.rule("R7", "R17")
@pytest.mark.parametrize("size", [1, 7, 8, 9, 200, 800])
def test_payload_cut_at_any_phase_of_the_key_is_unmasked(ws: ModuleType, size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    wire = frame(0x2, payload, key=KEY)
    for first in range(min(size, 20) + 1):
        for second in range(first, min(first + 9, size) + 1):
            connection = ws.WebSocketServerConnection.established()
            body = len(wire) - size
            events = []
            for piece in (wire[: body + first], wire[body + first : body + second]):
                connection.feed_recv_buf(piece)
                events += connection.events()
            connection.feed_recv_buf(wire[body + second :])
            events += connection.events()
            assert events[-1] == ws.BinaryMessage(payload)


# Decoding


def refusal(ws: ModuleType, data: bytes) -> str:
    """Return the text of the error, the same each time, that the decoder gives for these bytes."""
    decoder = ws.FrameDecoder()
    for octet in data[:-1]:
        decoder.feed(bytes([octet]))
        assert decoder.decode() is None
    decoder.feed(data[-1:])
    texts = set()
    for _ in range(3):
        with pytest.raises(ws.RemoteProtocolError) as caught:
            decoder.decode()
        assert caught.value.close_code == 1002
        assert decoder.buffer_len == len(data)
        texts.add(str(caught.value))
        decoder.feed(b"")
    decoder.clear()
    assert decoder.buffer_len == 0
    assert decoder.decode() is None
    (text,) = texts
    return text


@pytest.mark.rule("R9", "R18", "R21", "1.2 order of checks")
@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_unknown_opcode_is_refused_after_two_octets(ws: ModuleType, opcode: int) -> None:
    assert refusal(ws, bytes([0x80 | opcode, 0xFF])) == f"opcode {opcode:#x} is not defined"


@pytest.mark.rule("R10", "R11", "R12", "R18")
@pytest.mark.parametrize("second", [0x00, 0x80])
def test_length_that_is_not_in_its_shortest_form_is_refused(ws: ModuleType, second: int) -> None:
    for length in (0, 1, 125):
        wire = bytes([0x82, second | 126]) + length.to_bytes(2, "big")
        assert refusal(ws, wire) == f"payload length {length} is written in 2 octets"
    for length in (0, 125, 126, 65535):
        wire = bytes([0x82, second | 127]) + length.to_bytes(8, "big")
        assert refusal(ws, wire) == f"payload length {length} is written in 8 octets"


@pytest.mark.rule("R12", "R14")
@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1])
def test_length_with_its_top_bit_set_is_refused(ws: ModuleType, length: int) -> None:
    text = refusal(ws, b"\x82\x7f" + length.to_bytes(8, "big"))
    assert text == f"payload length {length:#x} has its most significant bit set"


@pytest.mark.rule("R14", "R18")
@pytest.mark.parametrize("second", [0x7F, 0xFF])
def test_the_largest_length_waits_for_its_payload(ws: ModuleType, second: int) -> None:
    decoder = ws.FrameDecoder()
    decoder.feed(bytes([0x82, second]) + ((1 << 63) - 1).to_bytes(8, "big"))
    for _ in range(10):
        assert decoder.decode() is None
        decoder.feed(b"abcd")
    assert decoder.buffer_len == 50


@pytest.mark.rule("R15", "1.2 order of checks")
@pytest.mark.parametrize("opcode", [0x8, 0x9, 0xA])
def test_control_frames_are_short_and_whole(ws: ModuleType, opcode: int) -> None:
    name = ws.Opcode(opcode).name
    assert refusal(ws, bytes([opcode, 0])) == f"{name} frame is fragmented"
    for code in (126, 127, 254, 255):
        text = refusal(ws, bytes([0x80 | opcode, code]))
        assert text == f"{name} frame has more than 125 bytes of payload"
    (decoded,) = decode_all(ws, bytes([0x80 | opcode, 125]) + bytes(125))
    assert decoded == ws.Frame(opcode, bytes(125))


@pytest.mark.rule("R16")
def test_close_frame_of_one_octet_is_a_frame(ws: ModuleType) -> None:
    assert decode_all(ws, b"\x88\x01\x03") == [ws.Frame(ws.Opcode.CLOSE, b"\x03")]


@pytest.mark.rule("R17")
def test_masked_empty_frame_still_needs_its_key(ws: ModuleType) -> None:
    decoder = ws.FrameDecoder()
    decoder.feed(b"\x81\x80")
    for octet in KEY:
        assert decoder.decode() is None
        decoder.feed(bytes([octet]))
    assert decoder.decode() == ws.Frame(ws.Opcode.TEXT, masked=True)


@pytest.mark.rule("R19")
def test_decoder_alone_has_no_limit_and_knows_no_messages(ws: ModuleType) -> None:
    wire = frame(0x0, b"nothing begun") + frame(0x1, b"\xff", fin=False, rsv=7) + frame(0x2)
    assert [decoded.opcode for decoded in decode_all(ws, wire)] == [0, 1, 2]
    (decoded,) = decode_all(ws, frame(0x2, bytes(3_000_000)))
    assert len(decoded.payload) == 3_000_000


@pytest.mark.rule("R7", "R8", "R18")
def test_decoder_gives_what_is_whole_and_keeps_the_rest(ws: ModuleType) -> None:
    decoder = ws.FrameDecoder()
    first, second = frame(0x1, b"one"), frame(0x2, b"two" * 100, key=KEY)
    decoder.feed(first + second[:50])
    assert decoder.decode() == ws.Frame.text("one")
    assert decoder.decode() is None
    assert decoder.buffer_len == 50
    decoder.feed(second[50:] + b"\x83\x00")
    assert decoder.decode() == ws.Frame(0x2, b"two" * 100, masked=True)
    with pytest.raises(ws.RemoteProtocolError):
        decoder.decode()
    assert decoder.buffer_len == 2
    decoder.clear()
    decoder.feed(first)
    assert decoder.decode() == ws.Frame.text("one")


def test_decoder_copies_what_is_fed(ws: ModuleType) -> None:
    decoder = ws.FrameDecoder()
    buffer = bytearray(frame(0x1, b"Hello"))
    decoder.feed(buffer)
    buffer[:] = bytes(len(buffer))
    assert decoder.decode() == ws.Frame.text("Hello")


FRAMES = st.builds(
    WireFrame,
    st.sampled_from([0, 1, 2]),
    st.one_of(st.binary(max_size=200), st.sampled_from([bytes(65535), bytes(65536)])),
    st.booleans(),
    st.integers(0, 7),
    st.booleans(),
    st.binary(min_size=4, max_size=4),
)


@pytest.mark.rule("R1", "R7", "R8", "R17")
@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(0, 1 << 17), max_size=5))
def test_decoder_reads_what_another_encoder_writes(
    ws: ModuleType, frames: list[WireFrame], places: list[int]
) -> None:
    wire = b"".join(
        frame(sent.opcode, sent.payload, fin=sent.fin, rsv=sent.rsv, key=sent.key or None)
        if sent.masked
        else frame(sent.opcode, sent.payload, fin=sent.fin, rsv=sent.rsv)
        for sent in frames
    )
    decoder = ws.FrameDecoder()
    decoded = []
    marks = [0, *sorted(place % (len(wire) + 1) for place in places), len(wire)]
    for start, end in zip(marks, marks[1:]):
        decoder.feed(wire[start:end])
        while (result := decoder.decode()) is not None:
            decoded.append(result)
    assert decoded == [
        ws.Frame(
            sent.opcode,
            sent.payload,
            fin=sent.fin,
            rsv1=bool(sent.rsv & 4),
            rsv2=bool(sent.rsv & 2),
            rsv3=bool(sent.rsv & 1),
            masked=sent.masked,
        )
        for sent in frames
    ]


# The value


def test_constructors_of_frames(ws: ModuleType) -> None:
    opcode = ws.Opcode
    assert ws.Frame.text("é") == ws.Frame(opcode.TEXT, b"\xc3\xa9")
    assert ws.Frame.binary(bytearray(b"x")) == ws.Frame(opcode.BINARY, b"x")
    assert ws.Frame.ping() == ws.Frame(opcode.PING)
    assert ws.Frame.pong(b"x") == ws.Frame(opcode.PONG, b"x")
    assert ws.Frame.close() == ws.Frame(opcode.CLOSE)
    assert ws.Frame.close(None, "left out") == ws.Frame(opcode.CLOSE)
    assert ws.Frame.close(1000, "é") == ws.Frame(opcode.CLOSE, b"\x03\xe8\xc3\xa9")
    assert ws.Frame.close(0xFFFF).payload == b"\xff\xff"
    assert ws.Frame.close(0).payload == b"\x00\x00"


@pytest.mark.rule("R44")
@pytest.mark.parametrize("kind", ["ping", "pong"])
def test_control_payload_has_125_bytes_at_most(ws: ModuleType, kind: str) -> None:
    build = getattr(ws.Frame, kind)
    assert len(build(bytes(125)).payload) == 125
    with pytest.raises(ws.LocalProtocolError, match="payload of 126 bytes is longer than 125"):
        build(bytes(126))


@pytest.mark.rule("R48")
def test_close_reason_has_123_bytes_at_most(ws: ModuleType) -> None:
    assert len(ws.Frame.close(1000, "é" * 61 + "x").payload) == 125
    with pytest.raises(ws.LocalProtocolError, match="reason of 124 bytes is longer than 123"):
        ws.Frame.close(1000, "é" * 62)
    with pytest.raises(ws.LocalProtocolError, match="cannot be encoded"):
        ws.Frame.close(1000, "\ud800")


@pytest.mark.parametrize("code", [-1, 65536])
def test_close_code_has_16_bits(ws: ModuleType, code: int) -> None:
    with pytest.raises(ValueError, match=f"from 0 to 65535, not {code}"):
        ws.Frame.close(code)


@pytest.mark.parametrize("opcode", [3, 7, 11, 16, -1])
def test_frame_of_an_unknown_opcode_cannot_be_made(ws: ModuleType, opcode: int) -> None:
    with pytest.raises(ValueError, match=str(opcode)):
        ws.Frame(opcode)


def test_frame_is_a_value(ws: ModuleType) -> None:
    built = ws.Frame(1, b"x", fin=False, rsv2=True)
    assert built == ws.Frame(ws.Opcode.TEXT, b"x", False, False, True)
    assert hash(built) == hash(ws.Frame(1, b"x", False, False, True))
    assert built != ws.Frame(1, b"x")
    assert built != ws.Frame(1, b"x", False, False, True, False, True)
    assert isinstance(built.opcode, ws.Opcode)
    assert ws.Frame.__match_args__ == (
        "opcode",
        "payload",
        "fin",
        "rsv1",
        "rsv2",
        "rsv3",
        "masked",
    )
    assert "payload=b'x'" in repr(built)
    assert copy.copy(built) == copy.deepcopy(built) == built
    with pytest.raises(AttributeError):
        built.payload = b"y"
    with pytest.raises(AttributeError):
        built.other = 1


def test_frame_can_be_pickled() -> None:
    # A module found by its name is the plain copy, on one backend.
    built = websocket.Frame.close(1000, "bye")
    assert pickle.loads(pickle.dumps(built)) == built
