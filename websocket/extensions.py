"""The grammar of ``Sec-WebSocket-Extensions`` (RFC 6455 section 9.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import ExtensionParseError
from .values import Value, assign

__all__ = ["Extension", "ExtensionParam", "check_element", "is_token", "split_list"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# An element without quotes, in which nothing is wrong; most are.
_PLAIN_ELEMENT = re.compile(
    rf"{_TOKEN.pattern}(?:[ \t]*;[ \t]*{_TOKEN.pattern}(?:[ \t]*=[ \t]*{_TOKEN.pattern})?)*"
)
_QUOTED_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_QUOTED_PAIR = re.compile(r"\\(.)")


def is_token(text: str) -> bool:
    """Whether `text` is a token (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def split_list(value: str) -> list[str]:
    """Split a list at its commas, those in quoted strings apart (RFC 9110 section 5.6.1).

    Spaces and tabs around the elements go, empty elements too. No other white space is trimmed:
    a proxy that reads a no-break space as part of a name must not be contradicted here.
    """
    elements = [element.strip(" \t") for element in _split(value, ",")]
    return [element for element in elements if element]


@dataclass(frozen=True, init=False)
class ExtensionParam(Value):
    """A parameter of an extension.

    Args:
        name: its name.
        value: its value, unquoted; `None` if it has none.
    """

    __slots__ = __match_args__ = ("name", "value")
    name: str
    value: str | None

    def __init__(self, name: str, value: str | None = None) -> None:
        assign(
            self,
            name=name,
            value=value,
        )


@dataclass(frozen=True, init=False)
class Extension(Value):
    """One element of ``Sec-WebSocket-Extensions``.

    Args:
        name: the name of the extension.
        params: its parameters in order; whether they may repeat is for the extension to say.

    >>> Extension.parse('permessage-deflate; client_max_window_bits="10"')[0].encode()
    'permessage-deflate; client_max_window_bits=10'
    """

    __slots__ = __match_args__ = ("name", "params")
    name: str
    params: tuple[ExtensionParam, ...]

    def __init__(self, name: str, params: Iterable[ExtensionParam] = ()) -> None:
        assign(
            self,
            name=name,
            params=tuple(params),
        )

    @classmethod
    def parse(cls, text: str) -> tuple[Extension, ...]:
        """Read a list, leaving out the elements that break the grammar.

        A parameter that is empty, as in ``a;;b`` or ``a;``, is skipped and spoils nothing.
        """
        extensions = []
        for element in split_list(text):
            try:
                extensions.append(_parse_element(element, strict=False))
            except ExtensionParseError:
                continue
        return tuple(extensions)

    @classmethod
    def parse_strict(cls, text: str) -> tuple[Extension, ...]:
        """Read a list, empty if it holds no elements.

        Raises:
            ExtensionParseError: at the first violation of the grammar.
        """
        return tuple(_parse_element(element, strict=True) for element in split_list(text))

    def get_param(self, name: str) -> ExtensionParam | None:
        """Return the first parameter of exactly that name, or `None`."""
        for param in self.params:
            if param.name == name:
                return param
        return None

    def encode(self) -> str:
        """Write the element as it stands in the header; nothing is checked or quoted."""
        parts = [self.name]
        for param in self.params:
            parts.append(param.name if param.value is None else f"{param.name}={param.value}")
        return "; ".join(parts)


def check_element(element: str) -> None:
    """Check one element of a list.

    Raises:
        ExtensionParseError: if it breaks the grammar.
    """
    if _PLAIN_ELEMENT.fullmatch(element) is None:
        _parse_element(element, strict=True)


def _parse_element(element: str, *, strict: bool) -> Extension:
    name, *rest = (part.strip(" \t") for part in _split(element, ";"))
    if not is_token(name):
        raise ExtensionParseError(f"extension {element!r}: the name {name!r} is not a token")
    params = []
    for part in rest:
        if part:
            params.append(_parse_param(element, part))
        elif strict:
            raise ExtensionParseError(f"extension {element!r}: a parameter is empty")
    return Extension(name, params)


def _parse_param(element: str, text: str) -> ExtensionParam:
    before, equals, after = text.partition("=")
    name = before.rstrip(" \t")
    if not is_token(name):
        raise ExtensionParseError(
            f"extension {element!r}: the parameter name {name!r} is not a token"
        )
    if not equals:
        return ExtensionParam(name)
    value = after.lstrip(" \t")
    quoted = _QUOTED_STRING.fullmatch(value)
    # RFC 6455 section 9.1: a quoted value must be a token once it is unescaped.
    unquoted = value if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted[1])
    if not is_token(unquoted):
        raise ExtensionParseError(
            f"extension {element!r}: the value {value!r} of {name!r} is neither a token "
            "nor a token in quotes"
        )
    return ExtensionParam(name, unquoted)


def _split(text: str, separator: str) -> list[str]:
    """Split at `separator` outside quoted strings, in which a backslash protects what follows."""
    if '"' not in text:
        return text.split(separator)
    parts = []
    start = 0
    quoted = protected = False
    for index, character in enumerate(text):
        if protected:
            protected = False
        elif character == '"':
            quoted = not quoted
        elif quoted:
            protected = character == "\\"
        elif character == separator:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts
