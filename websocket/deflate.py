"""The extension permessage-deflate (RFC 7692): what is agreed on, and the codec."""

from __future__ import annotations

import enum
import importlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, Protocol, Union

from .checks import check_string
from .close_codes import CloseCode
from .errors import (
    ExtensionParseError,
    InvalidCompressedData,
    InvalidHandshake,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
)
from .extensions import Extension, ExtensionParam
from .values import Value, assign

__all__ = [
    "PERMESSAGE_DEFLATE",
    "ExtensionParseContext",
    "PerMessageDeflate",
    "PerMessageDeflateConfig",
    "accept_offers",
    "check_answer",
    "check_hand_built",
]

PERMESSAGE_DEFLATE = "permessage-deflate"
"""The name of the extension, which is case-sensitive like all tokens of the header."""

_Buffer = Union[bytes, bytearray, memoryview]

_SERVER_TAKEOVER = "server_no_context_takeover"
_CLIENT_TAKEOVER = "client_no_context_takeover"
_SERVER_WINDOW = "server_max_window_bits"
_CLIENT_WINDOW = "client_max_window_bits"

# RFC 7692 section 7.1.2.1: 8 to 15 without leading zeroes. Looked up, because `int` would also
# take signs, spaces, underscores and digits that are not ASCII.
_WINDOWS = {str(bits): bits for bits in range(8, 16)}
_LARGEST_WINDOW = 15
_SMALLEST_OWN_WINDOW = 9
"""Raw DEFLATE of zlib cannot be told to compress with a window of 8 bits."""

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

_DISTRIBUTIONS = {"zlib_ng": "zlib-ng", "isal": "isal"}


# What is agreed on


class ExtensionParseContext(enum.Enum):
    """Who reads an element of ``Sec-WebSocket-Extensions``, and where."""

    CLIENT_RESPONSE = "client response"
    """A client reads the answer: ``client_max_window_bits`` must have a value."""
    SERVER_REQUEST = "server request"
    """A server reads an offer: ``client_max_window_bits`` may lack its value."""


@dataclass(frozen=True, init=False)
class PerMessageDeflateConfig(Value):
    """What one side offers, accepts or has agreed on, and how it compresses.

    Args:
        server_max_window_bits: the base-2 logarithm of the window that the server compresses
            with, 8 to 15 (RFC 7692 section 7.1.2.1). A client asks for it, a server limits itself.
        client_max_window_bits: the same for the client (RFC 7692 section 7.1.2.2). `True`: a client
            offers it without a value, so the server may choose; a server answers what it gets.
        server_no_context_takeover: the server forgets each message once it is compressed, which
            saves both sides memory and compresses worse (RFC 7692 section 7.1.1.1).
        client_no_context_takeover: the client does (RFC 7692 section 7.1.1.2).
        level: how hard our compressor tries; 0 to 9 for zlib. `None` is the engine's default.
        mem_level: its memory besides the window, 1 to 9.
        window_bits: its window, 9 to 15, unless a smaller one was agreed. A window smaller than
            agreed needs no agreement. With the defaults the compressor takes 38 KiB instead of
            262, at the same speed.
        threshold: bytes from which on a message is compressed; `None` for all messages.
        engine: the module that does the work, with the interface of zlib: ``"zlib_ng.zlib_ng"`` and
            ``"isal.isal_zlib"`` are known to do.

    Raises:
        ValueError: for a value out of range, or a level that the engine does not take.
        TypeError: for a value of another type.
        ImportError: if the engine is not installed.

    >>> PerMessageDeflateConfig(server_max_window_bits=10).to_extension().encode()
    'permessage-deflate; server_max_window_bits=10; client_max_window_bits'
    """

    __slots__ = __match_args__ = (
        "server_max_window_bits",
        "client_max_window_bits",
        "server_no_context_takeover",
        "client_no_context_takeover",
        "level",
        "mem_level",
        "window_bits",
        "threshold",
        "engine",
    )
    server_max_window_bits: int | None
    client_max_window_bits: int | bool | None
    server_no_context_takeover: bool
    client_no_context_takeover: bool
    level: int | None
    mem_level: int
    window_bits: int
    threshold: int | None
    engine: str

    def __init__(
        self,
        *,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | bool | None = True,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        level: int | None = None,
        mem_level: int = 5,
        window_bits: int = 12,
        threshold: int | None = 64,
        engine: str = "zlib",
    ) -> None:
        if server_max_window_bits is not None:
            _check_range(_SERVER_WINDOW, server_max_window_bits, 8, 15)
        if client_max_window_bits is not None and client_max_window_bits is not True:
            _check_range(_CLIENT_WINDOW, client_max_window_bits, 8, 15)
        if level is not None:
            _check_range("level", level, 0, 9)
        if threshold is not None:
            _check_range("threshold", threshold, 1, None)
        _check_range("mem_level", mem_level, 1, 9)
        _check_range("window_bits", window_bits, _SMALLEST_OWN_WINDOW, _LARGEST_WINDOW)
        _check_engine(check_string("engine", engine), level, mem_level, window_bits)
        assign(
            self,
            server_max_window_bits=server_max_window_bits,
            client_max_window_bits=client_max_window_bits,
            server_no_context_takeover=bool(server_no_context_takeover),
            client_no_context_takeover=bool(client_no_context_takeover),
            level=level,
            mem_level=mem_level,
            window_bits=window_bits,
            threshold=threshold,
            engine=engine,
        )

    def check_side(self, client: bool) -> None:
        """Check that a side can keep to its own configuration.

        The object alone cannot know: a window of 8 bits is fine for what the peer compresses with.

        Raises:
            ValueError: if its own window is 8 bits.
        """
        name = _CLIENT_WINDOW if client else _SERVER_WINDOW
        if getattr(self, name) == 8:
            raise ValueError(
                f"{name} must be from 9 to 15 on a {'client' if client else 'server'}, not 8:"
                " a window of 8 bits can be inflated, but not compressed with"
            )

    def to_extension(self) -> Extension:
        """Return the element for the header, with exactly what is configured."""
        params = []
        if self.server_no_context_takeover:
            params.append(ExtensionParam(_SERVER_TAKEOVER))
        if self.client_no_context_takeover:
            params.append(ExtensionParam(_CLIENT_TAKEOVER))
        if self.server_max_window_bits is not None:
            params.append(ExtensionParam(_SERVER_WINDOW, str(self.server_max_window_bits)))
        if self.client_max_window_bits is not None:
            bits = self.client_max_window_bits
            params.append(ExtensionParam(_CLIENT_WINDOW, None if bits is True else str(bits)))
        return Extension(PERMESSAGE_DEFLATE, params)

    @classmethod
    def from_extension_validated(
        cls, extension: Extension, context: ExtensionParseContext
    ) -> PerMessageDeflateConfig:
        """Read an element of the header.

        ``client_max_window_bits`` offered without a value leaves the server free, so it gives 15.

        Raises:
            ExtensionParseError: if it is no valid permessage-deflate (RFC 7692 section 7).
        """
        if extension.name != PERMESSAGE_DEFLATE:
            raise ExtensionParseError(f"extension {extension.name!r} is not {PERMESSAGE_DEFLATE!r}")
        flags: dict[str, bool] = {}
        windows: dict[str, int] = {}
        for param in extension.params:
            if param.name in flags or param.name in windows:
                raise ExtensionParseError(f"{PERMESSAGE_DEFLATE}: {param.name!r} is there twice")
            if param.name in (_SERVER_TAKEOVER, _CLIENT_TAKEOVER):
                if param.value is not None:
                    raise ExtensionParseError(
                        f"{PERMESSAGE_DEFLATE}: {param.name!r} takes no value, not {param.value!r}"
                    )
                flags[param.name] = True
            elif param.name in (_SERVER_WINDOW, _CLIENT_WINDOW):
                windows[param.name] = _read_window(param, context)
            else:
                raise ExtensionParseError(f"{PERMESSAGE_DEFLATE}: {param.name!r} is unknown")
        return cls(
            server_max_window_bits=windows.get(_SERVER_WINDOW),
            client_max_window_bits=windows.get(_CLIENT_WINDOW),
            server_no_context_takeover=_SERVER_TAKEOVER in flags,
            client_no_context_takeover=_CLIENT_TAKEOVER in flags,
        )

    @classmethod
    def from_extension_for_client_response(cls, extension: Extension) -> PerMessageDeflateConfig:
        """Read what a server has answered.

        Raises:
            ExtensionParseError: if it is no valid permessage-deflate.
        """
        return cls.from_extension_validated(extension, ExtensionParseContext.CLIENT_RESPONSE)

    @classmethod
    def from_extension_for_server_request(cls, extension: Extension) -> PerMessageDeflateConfig:
        """Read what a client offers.

        Raises:
            ExtensionParseError: if it is no valid permessage-deflate.
        """
        return cls.from_extension_validated(extension, ExtensionParseContext.SERVER_REQUEST)

    @staticmethod
    def negotiate(
        offer: PerMessageDeflateConfig, server_config: PerMessageDeflateConfig
    ) -> PerMessageDeflateConfig | None:
        """Return what a server answers to an offer, `None` if it declines.

        ====================================  ===============================================
        ``server_no_context_takeover``        if either side wants it
        ``client_no_context_takeover``        if either side wants it
        ``server_max_window_bits``            the smaller of what is offered and configured,
                                              whichever there is (RFC 7692 section 7.1.2.1)
        ``client_max_window_bits``            only if offered: the smaller of what is offered
                                              and configured (RFC 7692 section 7.1.2.2)
        ====================================  ===============================================

        Raises:
            ValueError: if the server is configured with a window of 8 bits for itself.
        """
        server_config.check_side(client=False)
        if offer.server_max_window_bits == 8:
            return None
        return server_config._agreed(
            server_max_window_bits=_smaller(
                offer.server_max_window_bits, server_config.server_max_window_bits
            ),
            client_max_window_bits=None
            if offer.client_max_window_bits is None
            else min(
                _bits(offer.client_max_window_bits), _bits(server_config.client_max_window_bits)
            ),
            server_no_context_takeover=(
                offer.server_no_context_takeover or server_config.server_no_context_takeover
            ),
            client_no_context_takeover=(
                offer.client_no_context_takeover or server_config.client_no_context_takeover
            ),
        )

    def _agreed(
        self,
        *,
        server_max_window_bits: int | None,
        client_max_window_bits: int | None,
        server_no_context_takeover: bool,
        client_no_context_takeover: bool,
    ) -> PerMessageDeflateConfig:
        """Return an agreement that is carried out with our own tuning."""
        return PerMessageDeflateConfig(
            server_max_window_bits=server_max_window_bits,
            client_max_window_bits=client_max_window_bits,
            server_no_context_takeover=server_no_context_takeover,
            client_no_context_takeover=client_no_context_takeover,
            level=self.level,
            mem_level=self.mem_level,
            window_bits=self.window_bits,
            threshold=self.threshold,
            engine=self.engine,
        )


def _check_range(name: str, value: object, least: int, most: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < least or (most is not None and value > most):
        wanted = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {wanted}, not {value}")


def _load_engine(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"the engine {name!r} of permessage-deflate cannot be imported: {error};"
            f" install it with: pip install {_DISTRIBUTIONS.get(package, package)}",
            name=name,
        ) from error


@lru_cache(maxsize=64)
def _check_engine(name: str, level: int | None, mem_level: int, window_bits: int) -> None:
    """Check that an engine takes these, which each has its own mind about."""
    engine = _load_engine(name)
    try:
        error: type[Exception] = engine.error
        engine.decompressobj(-_LARGEST_WINDOW)
    except (AttributeError, TypeError) as problem:
        raise ValueError(f"engine {name!r} has not the interface of zlib: {problem}") from problem
    try:
        _make_compressor(engine, level, mem_level, window_bits)
    except (ValueError, error) as problem:
        raise ValueError(
            f"the engine {name!r} refuses level={level!r}, mem_level={mem_level},"
            f" window_bits={window_bits}: {problem}"
        ) from problem


def _make_compressor(
    engine: Any, level: int | None, mem_level: int, window_bits: int
) -> _Compressor:
    compressor: _Compressor = engine.compressobj(
        engine.Z_DEFAULT_COMPRESSION if level is None else level,
        engine.DEFLATED,
        -window_bits,
        mem_level,
    )
    return compressor


def _read_window(param: ExtensionParam, context: ExtensionParseContext) -> int:
    if param.value is None:
        if param.name == _CLIENT_WINDOW and context is ExtensionParseContext.SERVER_REQUEST:
            return _LARGEST_WINDOW
        raise ExtensionParseError(f"{PERMESSAGE_DEFLATE}: {param.name!r} lacks its value")
    bits = _WINDOWS.get(param.value)
    if bits is None:
        raise ExtensionParseError(
            f"{PERMESSAGE_DEFLATE}: {param.name!r} must be from 8 to 15 in plain decimal,"
            f" not {param.value!r}"
        )
    return bits


def _bits(window: int | bool | None) -> int:
    """The window that a value allows: without one, any."""
    return _LARGEST_WINDOW if window is None or window is True else window


def _smaller(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


# The handshake


def accept_offers(
    offers: Sequence[str], config: PerMessageDeflateConfig
) -> tuple[str, PerMessageDeflateConfig] | None:
    """Choose among what a client offers, for a server.

    Args:
        offers: the elements of ``Sec-WebSocket-Extensions`` in order of preference. What is
            malformed, unknown or unacceptable is passed over (RFC 7692 sections 5 and 7).
        config: the server's configuration.

    Returns:
        The element to answer and the agreement, or `None` if nothing is acceptable.

    Raises:
        ValueError: if the server is configured with a window of 8 bits for itself.
    """
    config.check_side(client=False)
    for offer in _deflate_offers(offers):
        agreement = PerMessageDeflateConfig.negotiate(offer, config)
        if agreement is not None:
            return agreement.to_extension().encode(), agreement
    return None


def _deflate_offers(elements: Iterable[str]) -> list[PerMessageDeflateConfig]:
    offers = []
    for element in elements:
        try:
            for extension in Extension.parse_strict(element):
                offers.append(PerMessageDeflateConfig.from_extension_for_server_request(extension))
        except ExtensionParseError:
            continue
    return offers


def check_answer(element: str, config: PerMessageDeflateConfig) -> PerMessageDeflateConfig:
    """Compare a server's answer with what the client has offered.

    What the client compresses with is a hint in its offer, which the answer may leave out
    (RFC 7692 section 7.1.2.2); the client keeps to it all the same.

    Args:
        element: the element of ``Sec-WebSocket-Extensions``.
        config: the client's configuration, which it has offered.

    Returns:
        The agreement.

    Raises:
        InvalidHandshake: if the answer is invalid, or does not accept the offer.
    """
    answer = _read_answer(element)
    if config.server_no_context_takeover and not answer.server_no_context_takeover:
        raise InvalidHandshake(f"extension {element!r} leaves out {_SERVER_TAKEOVER!r}, offered")
    asked = config.server_max_window_bits
    if asked is not None:
        if answer.server_max_window_bits is None:
            raise InvalidHandshake(
                f"extension {element!r} leaves out {_SERVER_WINDOW!r}, offered with {asked}"
            )
        if answer.server_max_window_bits > asked:
            raise InvalidHandshake(
                f"extension {element!r}: {_SERVER_WINDOW!r} was offered with {asked}"
            )
    bits = answer.client_max_window_bits
    if bits is not None:
        if config.client_max_window_bits is None:
            raise InvalidHandshake(f"extension {element!r}: {_CLIENT_WINDOW!r} was not offered")
        if bits > _bits(config.client_max_window_bits):
            raise InvalidHandshake(
                f"extension {element!r}: {_CLIENT_WINDOW!r} was offered with"
                f" {config.client_max_window_bits}"
            )
    elif config.client_max_window_bits is not True:
        bits = config.client_max_window_bits
    return config._agreed(
        server_max_window_bits=answer.server_max_window_bits,
        client_max_window_bits=bits,
        server_no_context_takeover=answer.server_no_context_takeover,
        client_no_context_takeover=(
            answer.client_no_context_takeover or config.client_no_context_takeover
        ),
    )


def check_hand_built(element: str, offers: Sequence[str]) -> PerMessageDeflateConfig:
    """Check an answer that a server's application has written itself.

    Args:
        element: the element of ``Sec-WebSocket-Extensions``.
        offers: the elements that the client has offered.

    Returns:
        The agreement.

    Raises:
        LocalProtocolError: if the answer is invalid, or accepts none of the offers.
    """
    try:
        answer = _read_answer(element)
    except InvalidHandshake as error:
        raise LocalProtocolError(str(error)) from error
    if answer.server_max_window_bits == 8:
        raise LocalProtocolError(
            f"extension {element!r}: a server cannot compress with a window of 8 bits"
        )
    if not any(_fits(answer, offer) for offer in _deflate_offers(offers)):
        raise LocalProtocolError(
            f"extension {element!r} accepts none of the offers {', '.join(offers)!r};"
            f" repeat {_SERVER_TAKEOVER} and {_SERVER_WINDOW} as offered, and answer"
            f" {_CLIENT_WINDOW} only if it is offered"
        )
    return answer


def _read_answer(element: str) -> PerMessageDeflateConfig:
    extensions = Extension.parse_strict(element)
    if len(extensions) != 1:
        raise InvalidHandshake(f"extension {element!r} must be one element")
    return PerMessageDeflateConfig.from_extension_for_client_response(extensions[0])


def _fits(answer: PerMessageDeflateConfig, offer: PerMessageDeflateConfig) -> bool:
    """Whether an answer accepts one offer (RFC 7692 sections 7.1.1 and 7.1.2)."""
    if offer.server_no_context_takeover and not answer.server_no_context_takeover:
        return False
    if offer.server_max_window_bits is not None and (
        answer.server_max_window_bits is None
        or answer.server_max_window_bits > offer.server_max_window_bits
    ):
        return False
    return answer.client_max_window_bits is None or (
        offer.client_max_window_bits is not None
        and answer.client_max_window_bits <= offer.client_max_window_bits
    )


# The codec


class _Compressor(Protocol):
    def compress(self, data: _Buffer, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def copy(self) -> _Inflater: ...
    def decompress(self, data: _Buffer, max_length: int, /) -> bytes: ...


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
        "_held",
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
        "_tuning",
    )

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
        self._engine = _load_engine(tuning.engine)
        # RFC 7692 sections 7.2.1 and 7.2.2: each side compresses by the parameters that bear its
        # name, and inflates by the other's.
        server_window = _bits(agreement.server_max_window_bits)
        client_window = _bits(agreement.client_max_window_bits)
        if client:
            self._send_fresh = (
                agreement.client_no_context_takeover or tuning.client_no_context_takeover
            )
            self._receive_fresh = agreement.server_no_context_takeover
            self._send_window = min(client_window, _bits(tuning.client_max_window_bits))
            receive_window = server_window
        else:
            self._send_fresh = (
                agreement.server_no_context_takeover or tuning.server_no_context_takeover
            )
            self._receive_fresh = agreement.client_no_context_takeover
            self._send_window = min(server_window, _bits(tuning.server_max_window_bits))
            receive_window = client_window
        # Where zlib is told 8 it may take 9, so for 256 bytes more such peers are understood.
        self._receive_window = max(receive_window, 9)
        self._compressor: _Compressor | None = None
        self._inflater: _Inflater | None = None
        self._queue: deque[bytes] | None = None
        self._held = 0
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

    @property
    def can_compress(self) -> bool:
        """Whether it can send compressed messages: not with a window of 8 bits."""
        return self._send_window >= _SMALLEST_OWN_WINDOW

    @property
    def threshold(self) -> int:
        """Bytes from which on a message is worth compressing."""
        return self._tuning.threshold or 0

    @property
    def held(self) -> int:
        """Bytes fed that are not inflated yet."""
        return self._held

    def close(self) -> None:
        """Free both contexts and what was fed. The next message would find no history."""
        self._compressor = None
        self.abandon()

    # Sending

    def should_compress(self, data: _Buffer, threshold: int | None) -> bool:
        """Whether a message has at least so many bytes; always, if the threshold is `None`."""
        return threshold is None or len(data) >= threshold

    def compress(self, data: _Buffer) -> bytes:
        """Compress a whole message, even if it grows.

        Raises:
            LocalProtocolError: if our window would have to be 8 bits.
        """
        return self.deflate(data, True)

    def compress_whole(self, data: _Buffer) -> bytes | None:
        """Compress a whole message, `None` where it is better sent as it is.

        Only under no-context-takeover of our direction: else the peer's window must get what
        went through ours, whatever its size.

        Raises:
            LocalProtocolError: if our window would have to be 8 bits.
        """
        compressed = self.deflate(data, True)
        if self._send_fresh and len(compressed) >= len(data):
            return None
        return compressed

    def deflate(self, data: _Buffer, final: bool) -> bytes:
        """Compress the next piece of a message, so that the peer can inflate all of it.

        Nothing comes of an empty piece that is not the last.

        Raises:
            LocalProtocolError: if our window would have to be 8 bits.
        """
        compressor = self._compressor
        if compressor is None:
            compressor = self._compressor = self._new_compressor()
        if not final:
            if not len(data):
                return b""
            return compressor.compress(data) + compressor.flush(self._engine.Z_SYNC_FLUSH)
        compressed = compressor.compress(data) + compressor.flush(self._engine.Z_SYNC_FLUSH)
        if self._send_fresh:
            self._compressor = None
        if compressed.endswith(_TAIL):
            return compressed[:-4]
        if compressed:
            raise RuntimeError(
                f"the engine {self._tuning.engine!r} does not end a flush with an empty block;"
                " use another one"
            )
        # RFC 7692 section 7.2.3.6: after a flush, a flush gives nothing.
        return _EMPTY_MESSAGE

    @property
    def manner(self) -> tuple[str, int | None, int, int]:
        """How this side compresses: what `compress_alone` gives depends on nothing else."""
        tuning = self._tuning
        window = min(tuning.window_bits, self._send_window)
        return tuning.engine, tuning.level, tuning.mem_level, window

    def compress_alone(self, data: _Buffer) -> bytes:
        """Compress a whole message without any history, and remember nothing of it.

        Where it is sent, `forget` must be called: the peer's window has it, and ours has not.

        Raises:
            LocalProtocolError: if our window would have to be 8 bits.
        """
        compressor = self._new_compressor()
        compressed = compressor.compress(data) + compressor.flush(self._engine.Z_SYNC_FLUSH)
        return compressed[: -len(_TAIL)]

    def forget(self) -> None:
        """Drop our history: what is compressed from now on refers to nothing before."""
        self._compressor = None

    def _new_compressor(self) -> _Compressor:
        if not self.can_compress:
            raise LocalProtocolError(
                "the agreed window of 8 bits cannot be compressed with; send uncompressed"
            )
        tuning = self._tuning
        return _make_compressor(
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
        self.feed(data)
        self.end()
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

    def feed(self, data: bytes) -> None:
        """Take the next octets of the payload of the current message, which are not copied.

        Raises:
            LocalProtocolError: if the payload was said to be complete, and is not read yet.
        """
        if self._ended:
            raise LocalProtocolError("feed() before the last message was read to its end")
        if not data:
            return
        self._last_octet = data[-1]
        if self._held == 0:
            self._input = data
            self._position = 0
        else:
            if self._queue is None:
                self._queue = deque()
            self._queue.append(data)
        self._held += len(data)

    def end(self) -> None:
        """Say that the payload of the current message is complete."""
        self._ended = True

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
        while self._held or self._more:
            data = self._inflate(size)
            if data:
                return data
        if self._ended:
            self._finish()
        return b""

    def abandon(self) -> None:
        """Drop the current message and the history of the peer's, which it would have become."""
        self._inflater = None
        self._reset_input()

    def _reset_input(self) -> None:
        self._input = b""
        self._position = 0
        self._queue = None
        self._held = 0
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
        piece = self._next_piece()
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
            self._advance(len(piece) - len(inflater.unconsumed_tail))
        return data

    def _inflate_sound_part(
        self, inflater: _Inflater | None, piece: bytes | memoryview, size: int, problem: str
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

    def _next_piece(self) -> bytes | memoryview:
        if len(self._input) <= _PIECE and self._position == 0:
            return self._input
        return memoryview(self._input)[self._position : self._position + _PIECE]

    def _advance(self, count: int) -> None:
        self._held -= count
        self._position += count
        if self._position == len(self._input):
            self._input = self._queue.popleft() if self._queue else b""
            self._position = 0

    def _finish(self) -> None:
        """Check that the payload was complete, and be ready for the next (RFC 7692 7.2.2)."""
        inflater = self._inflater
        if self._last_octet >= 0x20:
            # RFC 7692 section 7.2.1: what the last octet keeps of the empty block is three zero
            # bits and the padding, after five bits of data at most.
            self._fail("it does not end with the beginning of an empty block")
        elif inflater is None:
            self._fail("nothing follows its final block")
        else:
            problem = self._problem_of_end(inflater)
            if problem is not None:
                self._fail(problem)
        if self._receive_fresh:
            self._inflater = None
        self._reset_message()

    def _problem_of_end(self, inflater: _Inflater) -> str | None:
        try:
            # An empty block gives nothing, so one octet is all the room that the tail gets.
            if inflater.decompress(_TAIL, 1) or inflater.eof:
                return "it ends inside a block"
            # That another block would be understood shows that it stands between two. It costs
            # the history: under context takeover this check cannot be made.
            if self._receive_fresh and (
                inflater.decompress(_FINAL_BLOCK, 1) or not inflater.eof or inflater.unused_data
            ):
                return "it ends inside a block"
        except self._engine.error as error:
            return str(error)
        return None

    def _fail(self, problem: str) -> NoReturn:
        self.abandon()
        raise InvalidCompressedData(f"compressed message cannot be inflated: {problem}")
