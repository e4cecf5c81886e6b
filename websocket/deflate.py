"""The extension permessage-deflate (RFC 7692): what is configured, offered and agreed on."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .checks import check_string
from .engines import LARGEST_WINDOW, check_engine
from .errors import ExtensionParseError, InvalidHandshake, LocalProtocolError
from .extensions import Extension, ExtensionParam
from .values import Value, assign

__all__ = [
    "PERMESSAGE_DEFLATE",
    "SMALLEST_OWN_WINDOW",
    "ExtensionParseContext",
    "PerMessageDeflateConfig",
    "accept_offers",
    "check_answer",
    "check_hand_built",
    "window_of",
]

PERMESSAGE_DEFLATE = "permessage-deflate"
"""The name of the extension, which is case-sensitive like all tokens of the header."""

SMALLEST_OWN_WINDOW = 9
"""Raw DEFLATE of zlib cannot be told to compress with a window of 8 bits."""

_SERVER_TAKEOVER = "server_no_context_takeover"
_CLIENT_TAKEOVER = "client_no_context_takeover"
_SERVER_WINDOW = "server_max_window_bits"
_CLIENT_WINDOW = "client_max_window_bits"

# RFC 7692 section 7.1.2.1: 8 to 15 without leading zeroes. Looked up, because `int` would also
# take signs, spaces, underscores and digits that are not ASCII.
_WINDOWS = {str(bits): bits for bits in range(8, 16)}


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
        _check_range("window_bits", window_bits, SMALLEST_OWN_WINDOW, LARGEST_WINDOW)
        check_engine(check_string("engine", engine), level, mem_level, window_bits)
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
                window_of(offer.client_max_window_bits),
                window_of(server_config.client_max_window_bits),
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


def _read_window(param: ExtensionParam, context: ExtensionParseContext) -> int:
    if param.value is None:
        if param.name == _CLIENT_WINDOW and context is ExtensionParseContext.SERVER_REQUEST:
            return LARGEST_WINDOW
        raise ExtensionParseError(f"{PERMESSAGE_DEFLATE}: {param.name!r} lacks its value")
    bits = _WINDOWS.get(param.value)
    if bits is None:
        raise ExtensionParseError(
            f"{PERMESSAGE_DEFLATE}: {param.name!r} must be from 8 to 15 in plain decimal,"
            f" not {param.value!r}"
        )
    return bits


def window_of(window: int | bool | None) -> int:
    """Return the window that a value allows: without one, any."""
    return LARGEST_WINDOW if window is None or window is True else window


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
        if bits > window_of(config.client_max_window_bits):
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
