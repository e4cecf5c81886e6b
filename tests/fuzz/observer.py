"""What must hold of every connection, whatever its peer sends and its application calls.

`Observer` watches one connection from outside. What it has sent is read by `read_messages`, which
is written from the RFCs and shares no code with the package.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PONG,
    TEXT,
    CountingRandom,
    WireFrame,
    read_answer,
    read_frames,
)
from strategies import Prepared, Program, Step
from test_twins import argument, describe, look, make

__all__ = ["Observer", "check_refusal", "observe", "read_messages"]

_TRANSITIONS = {
    "DISCONNECTED": {"CONNECTING", "CLOSED"},
    "CONNECTING": {"CONNECTED", "CLOSED"},
    "CONNECTED": {"CLOSING", "CLOSED"},
    "CLOSING": {"CLOSED"},
}
_DEFAULT_LIMITS = {
    "max_message_size": 64 << 20,
    "max_decompressed_size": 16 << 20,
    "max_handshake_size": 16 << 10,
    "max_response_body": 64 << 10,
}
_NO_LIMIT = 1 << 70


class Observer:
    """A connection, with an application that sees and remembers all that comes out of it.

    Args:
        ws: a copy of the package.
        program: role, options and beginning of the connection. Its steps are left to `perform`.
        answers: whether the application accepts a request as soon as it sees it.
    """

    def __init__(self, ws: ModuleType, program: Program, *, answers: bool = True) -> None:
        self.ws = ws
        self.random = CountingRandom()
        self.connection: Any = make(ws, program, self.random)
        self.trace: list[Any] = []
        """What is the same for both backends."""
        self.output = b""
        self._looks = look(self.connection)
        self._program = program
        self._client = program.role == "client"
        self._answers = answers
        self._limits = {
            name: program.options.get(name, default) or _NO_LIMIT
            for name, default in _DEFAULT_LIMITS.items()
        }
        self._fed = 0
        self._eof = False
        # What the events have told.
        self._state = "CONNECTING" if program.established else "DISCONNECTED"
        self._ending: Any = None
        self._seen = 0
        self._streamed = 0
        # What the outputs have told.
        self._armed: set[Any] = set()
        self._transport_closed = False
        # What the application has sent, and how many bytes that may become at most.
        self._messages: list[tuple[int, bytes]] = []
        self._unfinished: tuple[int, bytes] | None = None
        self._allowed = 4096

    def perform(self, step: Step) -> None:
        """Make a call whose arguments are of the right types, and judge what comes of it."""
        connection = self.connection
        if step.name == "streaming":
            (connection.streaming,) = step.args
            return
        if step.name == "handle_timer":
            # No timer fires before its application has heard of it.
            self.perform(Step("outputs"))
        call = getattr(connection, step.name, None)
        if call is None:
            return
        arguments = [argument(self.ws, value) for value in step.args]
        keywords = {
            name: value
            for name, value in (("final", step.final), ("compress", step.compress))
            if value is not None
        }
        self._allowed += 128
        try:
            result = call(*arguments, **keywords)
        except (self.ws.LocalProtocolError, TypeError) as refusal:
            if not self._is_due(step, refusal):
                raise
            assert look(connection) == self._looks, f"{step} raises, and has changed something"
            self.trace.append((step, describe(refusal)))
            return
        self._note(step, result)
        self._looks = look(connection)
        self.trace.append((step, self._looks))
        self._check_sizes()

    def finish(self) -> None:
        """Poll all there is, end the stream, and judge the connection as a whole."""
        for name in ("events", "outputs", "feed_eof", "events", "outputs"):
            self.perform(Step(name))
            if name == "events":
                self._check_drained()
        if self._eof:
            assert self._state == self.connection.state.name == "CLOSED"
            assert self._transport_closed
            self.perform(Step("feed_recv_buf", (b"\x81\x00",)))
            self.perform(Step("events"))
            self.perform(Step("outputs"))
        self._check_output()

    def _is_due(self, step: Step, refusal: Exception) -> bool:
        """Whether a call may raise so: never for what the peer has done."""
        if isinstance(refusal, TypeError):
            # Characters do not continue a binary message.
            opcode, _ = self._unfinished or (TEXT, b"")
            return (step.name, opcode) == ("send_continuation", BINARY)
        if step.name in ("poll_event", "poll_output", "events", "outputs", "handle_timer"):
            return False
        if step.name in ("feed_recv_buf", "feed_eof"):
            begun = not self._client or self.connection.state.name != "DISCONNECTED"
            return self._eof or not begun
        return True

    def _note(self, step: Step, result: Any) -> None:
        if step.name == "feed_recv_buf":
            self._fed += len(step.args[0])
        elif step.name == "feed_eof":
            self._eof = True
        elif step.name == "handle_timer":
            self._armed.discard(argument(self.ws, step.args[0]))
        elif step.name in ("poll_event", "events"):
            for event in result if step.name == "events" else [result]:
                if event is not None:
                    self._see(event)
        elif step.name in ("poll_output", "outputs"):
            for output in result if step.name == "outputs" else [result]:
                if output is not None:
                    self._do(output)
        elif step.name.startswith("send_") and step.name not in ("send_ping", "send_pong"):
            self._note_message(step)

    def _note_message(self, step: Step) -> None:
        (content,) = step.args
        if isinstance(content, Prepared):
            content = content.content
        payload = content.encode() if isinstance(content, str) else bytes(content)
        # Incompressible data grows by five octets for each stored block.
        self._allowed += len(payload) + len(payload) // 64
        if step.name == "send_continuation":
            assert self._unfinished is not None
            opcode, before = self._unfinished
        else:
            text = step.name == "send_text" or isinstance(content, str)
            opcode, before = (TEXT if text else BINARY), b""
        if step.final is False:
            self._unfinished = opcode, before + payload
        else:
            self._messages.append((opcode, before + payload))
            self._unfinished = None

    def _see(self, event: Any) -> None:
        """Judge an event by those before it."""
        self.trace.append(describe(event))
        self._seen += 1
        # Each costs two octets at least, but for pieces of 64 KiB of what is inflated.
        assert self._seen <= 16 + 3 * self._fed, "the events do not end"
        kind = type(event).__name__
        assert self._state != "CLOSED", f"{event} follows CLOSED"
        if kind == "StateChanged":
            assert event.state.name in _TRANSITIONS[self._state], (self._state, event)
            self._state = event.state.name
            return
        assert self._ending is None, f"{event} follows {self._ending}"
        if kind in ("Close", "Failed"):
            self._ending = event
        elif kind in ("TextMessage", "TextFragment"):
            self._check_message(len(event.text.encode()), getattr(event, "final", True))
        elif kind in ("BinaryMessage", "BinaryFragment"):
            self._check_message(len(event.data), getattr(event, "final", True))
        elif kind in ("Ping", "Pong"):
            assert len(event.payload) <= 125
        elif kind == "HandshakeRequested":
            if self._answers:
                self._looks = look(self.connection)
                self.perform(Step("accept_handshake_auto"))
        else:
            assert kind == "Connected", event

    def _check_message(self, size: int, final: bool) -> None:
        self._streamed += size
        assert self._streamed <= self._limits["max_message_size"]
        if self._streamed > self._fed:
            assert self._streamed <= self._limits["max_decompressed_size"]
        if final:
            self._streamed = 0

    def _do(self, output: Any) -> None:
        """Do what an output says."""
        self.trace.append(describe(output))
        assert not self._transport_closed, f"{output} follows CloseConnection"
        kind = type(output).__name__
        if kind == "SendData":
            assert type(output.data) is bytes
            assert output.data
            self.output += output.data
        elif kind == "SetTimer":
            self._armed.add(output.timer_id)
        elif kind == "ClearTimer":
            self._armed.remove(output.timer_id)
        else:
            assert kind == "CloseConnection", output
            assert not self._armed, "a timer outlives the connection"
            self._transport_closed = True

    def _check_sizes(self) -> None:
        """Check what is held, polled or not."""
        held = self.connection.recv_buffer_len
        assert 0 <= held <= self._fed + self._max_inflated, held
        # A Ping of two octets makes a client answer with six.
        sent = len(self.output) + self.connection.send_buffer_len
        assert sent <= self._allowed + 3 * self._fed, sent

    @property
    def _max_inflated(self) -> int:
        return min(self._limits["max_message_size"], self._limits["max_decompressed_size"])

    def _check_drained(self) -> None:
        """Check what is held when nobody has left anything unpolled."""
        held = self.connection.recv_buffer_len
        if self._state == "CLOSED":
            assert held == 0
        elif self._state in ("CONNECTED", "CLOSING"):
            # A message under assembly, and a control frame in it.
            assert held <= self._limits["max_message_size"] + 14 + 125, held
        else:
            limit = self._limits["max_handshake_size"] + self._limits["max_response_body"]
            assert held <= limit, held

    def _check_output(self) -> None:
        """Read what was sent as its peer would."""
        frames = self.output
        if not self._program.established:
            head, _, frames = self.output.partition(b"\r\n\r\n")
            if not self._client and not head.startswith(b"HTTP/1.1 101 "):
                if head:
                    check_refusal(self.output)
                return
        sent = read_frames(frames)
        messages = read_messages(sent, self._client, self.connection.extensions)
        assert messages == self._messages
        keys = [one.key for one in sent if one.masked]
        assert keys == self.random.keys, "each masking key is for one frame"


def observe(ws: ModuleType, program: Program, *, answers: bool = True) -> list[Any]:
    """Run a program to its end and return all that came of it."""
    observer = Observer(ws, program, answers=answers)
    for step in program.steps:
        observer.perform(step)
    observer.finish()
    return observer.trace


def check_refusal(data: bytes) -> None:
    """Read an answer that refuses a handshake."""
    answer = read_answer(data)
    assert answer.start.startswith("HTTP/1.1 ")
    if "content-length" in answer.headers:
        assert int(answer.headers["content-length"]) == len(answer.body)
    else:
        assert answer.start[9:12] in ("204", "304")
        assert not answer.body


def read_messages(
    frames: Sequence[WireFrame], client: bool, extensions: Sequence[str]
) -> list[tuple[int, bytes]]:
    """Return opcode and content of each message that one side has sent whole, or fail.

    Args:
        frames: all that it has sent.
        client: whether the client sent them.
        extensions: what was agreed on.
    """
    agreed = _agreed_params(extensions)
    side = "client" if client else "server"
    window = int((agreed or {}).get(f"{side}_max_window_bits", "15"))
    fresh = f"{side}_no_context_takeover" in (agreed or {})
    inflater: Any = None
    messages = []
    opcode, payload, compressed, closed = CONTINUATION, b"", False, False
    for sent in frames:
        assert sent.masked is client
        if sent.opcode >= CLOSE:
            assert sent.rsv == 0
            # RFC 6455 section 5.5.1 forbids data behind a Close frame.
            assert not closed or sent.opcode == PONG
            if sent.opcode == CLOSE:
                closed = True
                _check_close(sent.payload)
            continue
        assert not closed, "data behind the Close frame"
        assert (sent.opcode == CONTINUATION) == (opcode != CONTINUATION)
        if sent.opcode != CONTINUATION:
            opcode, payload, compressed = sent.opcode, b"", bool(sent.rsv)
            # RFC 7692 section 6: RSV1 for a compressed message, if that was agreed on.
            assert sent.rsv in ((0,) if agreed is None or window < 9 else (0, 4))
        else:
            assert sent.rsv == 0
        payload += sent.payload
        if not sent.fin:
            continue
        if compressed:
            if inflater is None or fresh:
                inflater = zlib.decompressobj(-window)
            payload = inflater.decompress(payload + b"\x00\x00\xff\xff")
            assert not inflater.eof
            assert not inflater.unconsumed_tail
        if opcode == TEXT:
            payload.decode()
        messages.append((opcode, payload))
        opcode = CONTINUATION
    return messages


def _agreed_params(extensions: Sequence[str]) -> dict[str, str] | None:
    for extension in extensions:
        name, *params = extension.replace(" ", "").split(";")
        if name == "permessage-deflate":
            return {key: value for key, _, value in (param.partition("=") for param in params)}
    return None


def _check_close(payload: bytes) -> None:
    if payload:
        code = int.from_bytes(payload[:2], "big")
        assert len(payload) >= 2
        assert 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999, code
        payload[2:].decode()
