"""The codec of permessage-deflate (RFC 7692 section 7.2): both directions of one connection."""

from __future__ import annotations

import sys
from collections import deque
from typing import NoReturn

from .close_codes import CloseCode
from .deflate import SMALLEST_OWN_WINDOW, PerMessageDeflateConfig, window_of
from .engines import Buffer, Compressor, Inflater, load_engine, make_compressor
from .errors import (
    InvalidCompressedData,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
)

__all__ = ["PerMessageDeflate"]

# RFC 7692 section 7.2.1: the empty stored block that a flush ends with, but for its first octet.
_TAIL = b"\x00\x00\xff\xff"
_FINAL_BLOCK = b"\x01\x00\x00\xff\xff"
_EMPTY_MESSAGE = b"\x00"

_PIECE = 4096
"""Octets that the inflater is given at a time: it copies what it leaves of them."""
_EXPANSION = 1032
"""Octets that one can become: two bits may stand for 258 (RFC 1951 section 3.2.5)."""
_MAX_FINAL_BLOCKS = 1024
"""Final blocks in a message, each of which costs two octets on the wire and an inflater here."""


class PerMessageDeflate:
    """Both directions of one connection: a compressor and an inflater, made on first use.

    Sending: `compress_whole`, or `deflate` for a message in pieces. Receiving: `feed` the payload
    as it comes, say `end`, and `read` until it gives nothing. Nothing is inflated before it is
    asked for. `compress` and `decompress` do whole messages.

    Args:
        agreement: what was agreed on, which also says how to compress.
        client: whether this is the client's side.
        tuning: how to compress instead. Limits that it sets for our own side are kept too.

    Raises:
        ValueError: if the tuning sets a window of 8 bits for our own side.

    Attributes, to be read only:
        can_compress: whether it can send compressed messages: not with a window of 8 bits.
        threshold: bytes from which on a message is worth compressing.
        held: bytes fed that are not inflated yet.
        finished: whether what was read last has ended its message, and nothing is wrong with its
            end. `False` says nothing: `read` will tell.

    >>> client = PerMessageDeflate.new_client(PerMessageDeflateConfig())
    >>> client.compress(b"Hello").hex(), client.compress(b"Hello").hex()
    ('f248cdc9c90700', 'f200110000')
    """

    __slots__ = (
        "_compressor",
        "_config",
        "_ended",
        "_engine",
        "_final_blocks",
        "_inflater",
        "_input",
        "_last_octet",
        "_more",
        "_position",
        "_problem",
        "_queue",
        "_receive_fresh",
        "_receive_window",
        "_send_fresh",
        "_send_window",
        "_sync_flush",
        "_tuning",
        "can_compress",
        "finished",
        "held",
        "threshold",
    )
    can_compress: bool
    threshold: int
    held: int
    finished: bool
    _ended: bool
    _queue: deque[bytes] | None

    def __init__(
        self,
        agreement: PerMessageDeflateConfig,
        *,
        client: bool,
        tuning: PerMessageDeflateConfig | None = None,
    ) -> None:
        if tuning is None:
            tuning = agreement
        else:
            tuning.check_side(client)
        self._config = agreement
        self._tuning = tuning
        self._engine = load_engine(tuning.engine)
        self._sync_flush: int = self._engine.Z_SYNC_FLUSH
        # RFC 7692 sections 7.2.1 and 7.2.2: each side compresses by the parameters that bear its
        # name, and inflates by the other's.
        server_window = window_of(agreement.server_max_window_bits)
        client_window = window_of(agreement.client_max_window_bits)
        if client:
            self._send_fresh = (
                agreement.client_no_context_takeover or tuning.client_no_context_takeover
            )
            self._receive_fresh = agreement.server_no_context_takeover
            self._send_window = min(client_window, window_of(tuning.client_max_window_bits))
            receive_window = server_window
        else:
            self._send_fresh = (
                agreement.server_no_context_takeover or tuning.server_no_context_takeover
            )
            self._receive_fresh = agreement.client_no_context_takeover
            self._send_window = min(server_window, window_of(tuning.server_max_window_bits))
            receive_window = client_window
        self.can_compress = self._send_window >= SMALLEST_OWN_WINDOW
        self.threshold = min(tuning.threshold or 0, sys.maxsize)
        # Where zlib is told 8 it may take 9, so for 256 bytes more such peers are understood.
        self._receive_window = max(receive_window, 9)
        self._compressor: Compressor | None = None
        self._inflater: Inflater | None = None
        self._reset_input()

    @classmethod
    def new_client(cls, config: PerMessageDeflateConfig) -> PerMessageDeflate:
        """Return a client's codec."""
        return cls(config, client=True)

    @classmethod
    def new_server(cls, config: PerMessageDeflateConfig) -> PerMessageDeflate:
        """Return a server's codec."""
        return cls(config, client=False)

    @property
    def config(self) -> PerMessageDeflateConfig:
        """What was agreed on."""
        return self._config

    def close(self) -> None:
        """Free both contexts and what was fed. The next message would find no history."""
        self._compressor = None
        self.abandon()

    # Sending

    def should_compress(self, data: Buffer, threshold: int | None) -> bool:
        """Whether a message has at least so many bytes; always, if the threshold is `None`."""
        return threshold is None or len(data) >= threshold

    def compress(self, data: Buffer) -> bytes:
        """Compress a whole message, even if it grows.

        Raises:
            LocalProtocolError: if our window would have to be 8 bits.
        """
        return self.deflate(data, True)

    def compress_whole(self, data: Buffer) -> bytes | None:
        """Compress a whole message, `None` where it is better sent as it is.

        Only under no-context-takeover of our direction: else the peer's window must get what
        went through ours, whatever its size.

        Raises:
            LocalProtocolError: if our window would have to be 8 bits.
        """
        compressed = self.deflate(data, True)
        return None if self._send_fresh and len(compressed) >= len(data) else compressed

    def deflate(self, data: Buffer, final: bool) -> bytes:
        """Compress the next piece of a message, so that the peer can inflate all of it.

        Nothing comes of an empty piece that is not the last.

        Raises:
            LocalProtocolError: if our window would have to be 8 bits.
        """
        compressor = self._compressor or self._new_compressor()
        if final:
            compressed = self._compress_to_end(compressor, data)
            self._compressor = None if self._send_fresh else compressor
            return compressed
        self._compressor = compressor
        if not len(data):
            return b""
        return compressor.compress(data) + compressor.flush(self._sync_flush)

    @property
    def manner(self) -> tuple[str, int | None, int, int]:
        """How this side compresses: what `compress_alone` gives depends on nothing else."""
        tuning = self._tuning
        window = min(tuning.window_bits, self._send_window)
        return tuning.engine, tuning.level, tuning.mem_level, window

    def compress_alone(self, data: Buffer) -> bytes:
        """Compress a whole message without any history, and remember nothing of it.

        Where it is sent, `forget` must be called: the peer's window has it, and ours has not.

        Raises:
            LocalProtocolError: if our window would have to be 8 bits.
        """
        return self._compress_to_end(self._new_compressor(), data)

    def forget(self) -> None:
        """Drop our history: what is compressed from now on refers to nothing before."""
        self._compressor = None

    def _compress_to_end(self, compressor: Compressor, data: Buffer) -> bytes:
        """Compress the last piece of a message, and cut off the tail (RFC 7692 section 7.2.1)."""
        compressed = compressor.compress(data) + compressor.flush(self._sync_flush)
        if compressed[-4:] == _TAIL:
            return compressed[:-4]
        if compressed:
            raise RuntimeError(
                f"the engine {self._tuning.engine!r} does not end a flush with an empty block;"
                " use another one"
            )
        # RFC 7692 section 7.2.3.6: after a flush, a flush gives nothing.
        return _EMPTY_MESSAGE

    def _new_compressor(self) -> Compressor:
        if not self.can_compress:
            raise LocalProtocolError(
                "the agreed window of 8 bits cannot be compressed with; send uncompressed"
            )
        tuning = self._tuning
        return make_compressor(
            self._engine,
            tuning.level,
            tuning.mem_level,
            min(tuning.window_bits, self._send_window),
        )

    # Receiving

    def decompress(
        self, data: bytes, max_size: int | None = None, limit: str = "max_decompressed_size"
    ) -> bytes:
        """Inflate a whole message.

        Args:
            data: its payload.
            max_size: bytes that it may have, `None` for any number.
            limit: the name of the option that says so, for the error.

        Raises:
            InvalidCompressedData: if it cannot be inflated.
            LimitExceeded: if it is larger; one byte more than allowed is inflated at most.
            RemoteProtocolError: if it has more than 1,024 final blocks.
        """
        self.feed(data, True)
        message: list[bytes] = []
        size = 0
        while True:
            piece = self.read(_PIECE * 16 if max_size is None else max_size + 1 - size)
            if not piece:
                return b"".join(message)
            size += len(piece)
            if max_size is not None and size > max_size:
                self.abandon()
                raise LimitExceeded(f"compressed message of {size} bytes or more", limit, max_size)
            message.append(piece)

    def feed(self, data: bytes, final: bool = False) -> None:
        """Take the next octets of the payload of the current message, which are not copied.

        Args:
            data: the octets.
            final: whether that is all of it, as `end` says too.

        Raises:
            LocalProtocolError: if the payload was said to be complete, and is not read yet.
        """
        if self._ended:
            raise LocalProtocolError("feed() before the last message was read to its end")
        self.finished = False
        self._ended = final
        if not data:
            return
        self._last_octet = data[-1]
        if self.held == 0:
            self._input = data
            self._position = 0
        else:
            if self._queue is None:
                self._queue = deque()
            self._queue.append(data)
        self.held += len(data)

    def end(self) -> None:
        """Say that the payload of the current message is complete."""
        self._ended = True
        self.finished = False

    def read(self, size: int) -> bytes:
        """Inflate some octets of the current message.

        Args:
            size: how many at most, 1 or more; it is never exceeded internally either.

        Returns:
            At least one octet. Nothing, if it needs more input; nothing after `end` means that
            the message is over, and the next one may be fed.

        Raises:
            InvalidCompressedData: if the payload cannot be inflated, or does not end as it must.
            RemoteProtocolError: if it has more than 1,024 final blocks (close code 1008).
            ValueError: if `size` is not positive.
        """
        if size <= 0:
            raise ValueError(f"size must be positive, not {size!r}")
        while self.held or self._more:
            data = self._inflate(size)
            if data:
                return data
        if self._ended:
            self._judge_end()
            if self._problem is not None:
                self._fail(self._problem)
        return b""

    def abandon(self) -> None:
        """Drop the current message and the history of the peer's, which it would have become."""
        self._inflater = None
        self._reset_input()

    def _reset_input(self) -> None:
        self._input = b""
        self._position = 0
        self._queue = None
        self.held = 0
        self.finished = False
        self._reset_message()

    def _reset_message(self) -> None:
        self._ended = False
        self._more = False
        self._problem: str | None = None
        self._final_blocks = 0
        self._last_octet = 0xFF

    def _inflate(self, size: int) -> bytes:
        """Inflate one piece of the input, or what the inflater has left of the one before."""
        if self._problem is not None:
            self._fail(self._problem)
        if self._final_blocks > _MAX_FINAL_BLOCKS:
            self.abandon()
            raise RemoteProtocolError(
                f"compressed message has more than {_MAX_FINAL_BLOCKS} final blocks",
                CloseCode.POLICY_VIOLATION,
            )
        inflater = self._inflater
        if inflater is None:
            inflater = self._inflater = self._engine.decompressobj(-self._receive_window)
        piece: bytes | memoryview = self._input
        if self._position or len(piece) > _PIECE:
            piece = memoryview(piece)[self._position : self._position + _PIECE]
        before = None
        if len(piece) * _EXPANSION + 2 * 258 >= size:
            before = inflater.copy() if hasattr(inflater, "copy") else None
        data = b""
        problem = None
        try:
            data = inflater.decompress(piece, size)
        except self._engine.error as error:
            problem = str(error)
        if problem is not None:
            return self._inflate_sound_part(before, piece, size, problem)
        if inflater.eof:
            # RFC 7692 section 7.2.3.4: another block follows a final one, which ended its stream.
            self._inflater = None
            self._more = False
            self._final_blocks += 1
            self._advance(len(piece) - len(inflater.unused_data))
        else:
            # A full answer leaves it open whether there is more, even if all input was taken.
            self._more = len(data) == size
            taken = len(piece) - len(inflater.unconsumed_tail)
            if taken < self.held:
                self._advance(taken)
            else:
                self._input = b""
                self._position = self.held = 0
                if data and self._ended and not self._more:
                    self._judge_end()
        return data

    def _inflate_sound_part(
        self, inflater: Inflater | None, piece: bytes | memoryview, size: int, problem: str
    ) -> bytes:
        """Inflate what precedes the fault of a piece, given the inflater as it was before.

        An engine loses it. But whether a message breaks a limit or is broken must not depend on
        how its octets were cut, so where a piece may do both, what comes first decides.
        """
        if inflater is None:
            # Raised here, the error has no context, whose frames would hold what they hold.
            self._fail(problem)
        data = bytearray()
        taken = 0
        # Halving finds the octet with the fault, at the cost of a few copies of the inflater.
        while len(piece) > 1 and len(data) < size:
            half = piece[: len(piece) // 2]
            attempt = inflater.copy()
            try:
                data += attempt.decompress(half, size - len(data))
            except self._engine.error:
                piece = half
                continue
            inflater = attempt
            taken += len(half) - len(inflater.unconsumed_tail)
            piece = piece[len(half) :]
        # What the inflater has read already comes out first, then what that octet adds to it: one
        # by one, because one octet can still become many.
        for step in (b"", piece):
            rest = step
            while len(data) < size:
                try:
                    octet = inflater.decompress(rest, 1)
                except self._engine.error:
                    break
                taken += len(rest) - len(inflater.unconsumed_tail)
                rest = inflater.unconsumed_tail
                if not octet:
                    break
                data += octet
        if len(data) < size:
            self._problem = problem
        self._inflater = inflater
        self._more = True
        self._advance(taken)
        return bytes(data)

    def _advance(self, count: int) -> None:
        self.held -= count
        self._position += count
        if self._position == len(self._input):
            self._input = self._queue.popleft() if self._queue else b""
            self._position = 0

    def _judge_end(self) -> None:
        """Check that the payload was complete, and be ready for the next (RFC 7692 7.2.2)."""
        inflater = self._inflater
        if self._problem is not None:
            return
        try:
            if self._last_octet >= 0x20:
                # RFC 7692 section 7.2.1: what the last octet keeps of the empty block is three
                # zero bits and the padding, after five bits of data at most.
                self._problem = "it does not end with the beginning of an empty block"
            elif inflater is None:
                self._problem = "nothing follows its final block"
            elif (
                # An empty block gives nothing, so one octet is all the room that the tail gets.
                inflater.decompress(_TAIL, 1)
                or inflater.eof
                or (self._receive_fresh and not _understands_a_block(inflater))
            ):
                self._problem = "it ends inside a block"
            else:
                if self._receive_fresh:
                    self._inflater = None
                self._reset_message()
                self.finished = True
        except self._engine.error as error:
            self._problem = str(error)

    def _fail(self, problem: str) -> NoReturn:
        self.abandon()
        raise InvalidCompressedData(f"compressed message cannot be inflated: {problem}")


def _understands_a_block(inflater: Inflater) -> bool:
    """Whether an inflater stands between two blocks, shown by another one.

    It costs the history: under context takeover this check cannot be made.
    """
    return not inflater.decompress(_FINAL_BLOCK, 1) and inflater.eof and not inflater.unused_data
