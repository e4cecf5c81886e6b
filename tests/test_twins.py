"""The backends are twins: for the same calls and the same bytes the same comes out of both."""

from __future__ import annotations

import enum
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from helpers import KEY, CountingRandom, frame
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import (
    CALLS,
    Deflate,
    Prepared,
    Program,
    Response,
    Step,
    Timer,
    any_streams,
    edges,
    programs,
)

Twins = tuple[ModuleType, ModuleType]

# The calls that never raise for what the peer has sent, and what they may raise for misuse.
_INPUT = {
    "feed_recv_buf": ("LocalProtocolError", "TypeError"),
    "feed_eof": ("LocalProtocolError", "TypeError"),
    "handle_timer": ("TypeError",),
    "poll_event": (),
    "poll_output": (),
    "events": (),
    "outputs": (),
}


def describe(value: Any) -> Any:
    """Put a value into words that are the same for the same value of another copy."""
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, enum.Enum):
        return type(value).__name__, value.name
    if isinstance(value, BaseException):
        fields = {name: describe(field) for name, field in sorted(vars(value).items())}
        code = describe(getattr(value, "close_code", None))
        return type(value).__name__, str(value), describe(value.args), code, fields
    if isinstance(value, (tuple, list)):
        return type(value).__name__, [describe(item) for item in value]
    fields = {name: describe(getattr(value, name)) for name in value.__match_args__}
    return type(value).__name__, repr(value), fields


def make(ws: ModuleType, program: Program, random: Any) -> Any:
    chosen = {name: argument(ws, value) for name, value in program.options.items()}
    if program.role == "client":
        options = ws.ClientConnectionOptions("server.example.com", "/chat", **chosen)
        side = ws.WebSocketClientConnection
    else:
        options = ws.ServerConnectionOptions(**chosen)
        side = ws.WebSocketServerConnection
    if program.established:
        return side.established(options, extensions=program.extensions, random=random)
    return side(options, random=random)


def argument(ws: ModuleType, value: Any) -> Any:
    if isinstance(value, Timer):
        return ws.TimerId[value.name]
    if isinstance(value, Response):
        return ws.ServerHandshakeResponse(**value.fields)
    if isinstance(value, Deflate):
        return ws.PerMessageDeflateConfig(**value.fields)
    if isinstance(value, Prepared):
        return ws.PreparedMessage(value.content)
    return bytearray(value) if type(value) is bytearray else value


def is_documented(ws: ModuleType, call: str, error: Exception) -> bool:
    if call in _INPUT:
        return type(error).__name__ in _INPUT[call]
    return isinstance(error, (ws.WebSocketError, ValueError, TypeError))


def perform(ws: ModuleType, connection: Any, step: Step, *, strict: bool = True) -> Any:
    """Make a call, and return what came of it: if `strict`, nothing but what is documented."""
    if step.name == "streaming":
        connection.streaming = step.args[0]
        return None
    method = getattr(connection, step.name, None)
    if method is None:
        return "no such call on this side"
    args = [argument(ws, value) for value in step.args]
    try:
        keywords = {"final": step.final, "compress": step.compress}
        result = method(*args, **{name: key for name, key in keywords.items() if key is not None})
        if step.name in ("events", "outputs"):
            result = list(result)
    except Exception as error:
        if strict and not is_documented(ws, step.name, error):
            raise AssertionError(f"{step} raises {error!r}") from error
        result = error
    for value in args:
        if type(value) is bytearray:
            # What was given may be used again at once.
            value[:] = b"\xee" * len(value)
    return describe(result)


def look(connection: Any) -> tuple[Any, ...]:
    """Return all that can be seen of a connection without changing it."""
    return (
        connection.state.name,
        connection.protocol,
        connection.extensions,
        connection.recv_buffer_len,
        connection.send_buffer_len,
        describe(connection.close_received),
        describe(connection.close_sent),
        connection.close_received_first,
        describe(getattr(connection, "handshake_request", None)),
        describe(getattr(connection, "handshake_response", None)),
    )


def run(ws: ModuleType, program: Program, random: Any) -> list[Any]:
    connection = make(ws, program, random)
    trace = [look(connection)]
    for step in program.steps:
        trace.append((step, perform(ws, connection, step), look(connection)))
    return trace


@settings(max_examples=10 * settings().max_examples)
@given(programs())
def test_twins_agree(twins: Twins, program: Program) -> None:
    compiled, python = (run(ws, program, CountingRandom()) for ws in twins)
    for ours, theirs in zip(compiled, python):
        assert ours == theirs


class BadRandom(CountingRandom):
    """Gives keys that are none, now and then."""

    def __init__(self, bad: dict[int, Any]) -> None:
        super().__init__()
        self._bad = bad

    def masking_key(self) -> bytes:
        key = super().masking_key()
        bad: bytes = self._bad.get(len(self.keys), key)
        return bad


@given(
    st.lists(
        st.one_of(
            st.builds(
                Step,
                st.sampled_from(["send_text", "send_continuation"]),
                st.just(("é",)),
                st.sampled_from([None, False]),
                st.none(),
            ),
            st.sampled_from([Step("send_ping"), Step("send_pong"), Step("close")]),
        ),
        max_size=6,
    ),
    st.dictionaries(st.integers(1, 6), st.sampled_from([b"", b"abc", b"abcde", None, "abcd"])),
)
def test_twins_agree_on_a_random_source_that_gives_no_keys(
    twins: Twins, steps: list[Step], bad: dict[int, Any]
) -> None:
    """A call that raises over such a key changes nothing."""
    program = Program("client", {}, True, [*steps, Step("outputs")])
    compiled, python = (run(ws, program, BadRandom(bad)) for ws in twins)
    assert compiled == python
    for (_, _, before), (step, result, after) in zip(compiled[1:], compiled[2:]):
        if step.name != "outputs" and isinstance(result, tuple):
            assert before == after


class Reentrant(CountingRandom):
    """Uses the connection that asks for a masking key, before it gives one."""

    def __init__(self, ws: ModuleType, nested: list[list[Step]]) -> None:
        super().__init__()
        self._ws = ws
        self._nested = list(nested)
        self.connection: Any = None
        self.trace: list[Any] = []

    def masking_key(self) -> bytes:
        key = super().masking_key()
        if self.connection is not None and self._nested:
            for step in self._nested.pop():
                result = perform(self._ws, self.connection, step, strict=False)
                self.trace.append((step, result, look(self.connection)))
        return key


FEEDS = st.builds(lambda data: Step("feed_recv_buf", (data,)), any_streams(masked=False))


@given(
    programs("client"),
    st.lists(st.lists(st.one_of(CALLS, FEEDS), min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_twins_agree_on_a_random_source_that_uses_the_connection(
    twins: Twins, program: Program, nested: list[list[Step]]
) -> None:
    """No offset is half-updated while Python code runs."""

    def traces(ws: ModuleType) -> list[Any]:
        random = Reentrant(ws, nested)
        random.connection = connection = make(ws, program, random)
        trace = [
            (step, perform(ws, connection, step, strict=False), look(connection))
            for step in program.steps
        ]
        return [*trace, random.trace]

    compiled, python = map(traces, twins)
    for ours, theirs in zip(compiled, python):
        assert ours == theirs


@given(st.booleans().flatmap(any_streams), st.lists(st.integers(0, 1 << 17), max_size=6))
@example(frame(0x1, b"Hello", key=KEY), [3])
def test_twin_decoders_agree(twins: Twins, data: bytes, places: list[int]) -> None:
    compiled, python = (_decode_all(ws, edges(data, places)) for ws in twins)
    assert compiled == python


def _decode_all(ws: ModuleType, pieces: list[bytes]) -> list[Any]:
    decoder = ws.FrameDecoder()
    trace = []
    for piece in pieces:
        decoder.feed(piece)
        while True:
            try:
                decoded = decoder.decode()
            except ws.RemoteProtocolError as error:
                decoded = error
            trace.append((describe(decoded), decoder.buffer_len))
            if decoded is None or isinstance(decoded, Exception):
                break
    return trace


def released() -> memoryview:
    view = memoryview(b"abcd")
    view.release()
    return view


class Scattered:
    """Bytes that lie scattered, and that say so in other words than `memoryview`: as arrays of
    numpy do. Python 3.12 lets a class do so."""

    def __buffer__(self, flags: int) -> memoryview:
        if not flags & 0x10:  # PyBUF_STRIDES
            raise ValueError("not contiguous")
        return memoryview(b"a-b-c-d-")[::2]


BUFFERS = [
    pytest.param(lambda: b"abcd", id="bytes"),
    pytest.param(lambda: bytearray(b"abcd"), id="bytearray"),
    pytest.param(lambda: memoryview(b"abcdefgh")[::2], id="strided"),
    pytest.param(lambda: memoryview(b"abcd")[::-1], id="reversed"),
    pytest.param(lambda: memoryview(b"abcdefgh").cast("B", (2, 2, 2)), id="dimensions"),
    pytest.param(lambda: memoryview(b""), id="empty"),
    pytest.param(lambda: "abcd", id="str"),
    pytest.param(lambda: 7, id="int"),
    pytest.param(lambda: None, id="none"),
    pytest.param(released, id="released"),
]
if sys.version_info >= (3, 12):
    BUFFERS.append(pytest.param(Scattered, id="scattered"))


@pytest.mark.parametrize("key", [b"\x01\x02\x03\x04", b"", b"abc", b"abcde", None, "abcd", 7])
@pytest.mark.parametrize("buffer", BUFFERS)
def test_twin_functions_agree(twins: Twins, buffer: Any, key: Any) -> None:
    def outcomes(ws: ModuleType) -> list[Any]:
        wire = ws._backend
        calls: list[Callable[[], Any]] = [
            lambda: wire.apply_mask(buffer(), key),
            lambda: wire.encode_frame(0x82, buffer(), key),
            lambda: wire.encode_frame(256, buffer(), key),
            lambda: wire.encode_frame(-1, buffer(), key),
        ]
        results = []
        for call in calls:
            try:
                results.append(describe(call()))
            except (ValueError, TypeError) as error:
                results.append(describe(error))
        return results

    compiled, python = map(outcomes, twins)
    assert compiled == python


def test_the_twins_have_the_same_names(twins: Twins) -> None:
    for name in twins[0]._backend._NAMES:
        compiled, python = (getattr(ws._backend, name) for ws in twins)
        assert compiled is not python
        assert inspect.getdoc(compiled) == inspect.getdoc(python)
        if not isinstance(compiled, type):
            continue
        public = {member for member in dir(python) if not member.startswith("_")}
        assert public == {member for member in dir(compiled) if not member.startswith("_")}
        for member in public - set(
            python.__match_args__ if "__match_args__" in dir(python) else ()
        ):
            assert inspect.getdoc(getattr(compiled, member)) == inspect.getdoc(
                getattr(python, member)
            )
