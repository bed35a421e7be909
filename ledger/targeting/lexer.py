"""The tokens of a targeting rule, read one at a time."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from ledger.errors import RuleError
from ledger.targeting.values import Value

LONGEST_RULE = 4096

Kind = Literal["name", "int", "double", "string", "symbol", "end"]

_TOKEN = re.compile(
    r"""
    (?: [\t\n\f\r ] | //[^\n]*+ )*+
    (?:
      (?P<unsigned> (?:0x[0-9a-fA-F]+|\d+)[uU] )
    | (?P<double>   \d+\.\d+(?:[eE][+-]?\d+)? | \d+[eE][+-]?\d+ | \.\d+(?:[eE][+-]?\d+)? )
    | (?P<int>      0x[0-9a-fA-F]+ | \d+ )
    | (?P<bytes>    (?:[bB][rR]?|[rR][bB])["'] )
    | (?P<string>   [rR]?(?:\"{3}|'{3}|["']) )
    | (?P<name>     [A-Za-z_][A-Za-z0-9_]* )
    | (?P<symbol>   && | \|\| | [=!<>]= | [-+*/%!<>?:.,()\[\]{}] )
    | (?P<end>      \Z )
    )
    """,
    re.VERBOSE | re.ASCII,
)
_IGNORED = re.compile(r"(?:[\t\n\f\r ]|//[^\n]*+)*+")
# From behind the opening quote to the closing one. Triple quotes may span lines.
_CLOSED = {
    '"': re.compile(r'((?:[^\\"\n\r]|\\[^\n\r])*)"'),
    "'": re.compile(r"((?:[^\\'\n\r]|\\[^\n\r])*)'"),
    '"""': re.compile(r'((?:[^\\]|\\.)*?)"""', re.DOTALL),
    "'''": re.compile(r"((?:[^\\]|\\.)*?)'''", re.DOTALL),
    'r"': re.compile(r'([^"\n\r]*)"'),
    "r'": re.compile(r"([^'\n\r]*)'"),
    'r"""': re.compile(r'(.*?)"""', re.DOTALL),
    "r'''": re.compile(r"(.*?)'''", re.DOTALL),
}
# A line end of a triple-quoted string counts as a line feed, however it is written.
_ESCAPE = re.compile(
    r"\r\n?|\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})"
    r"|([0-3][0-7]{2})|())"
)
_SHORT = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_DIGITS = 19


class Token(NamedTuple):
    """One token; `at` is its 0-based offset in the rule, `value` what a literal stands for."""

    kind: Kind
    text: str
    at: int
    value: Value = None


def refusal(at: int, reason: str) -> RuleError:
    """Make the error that refuses a rule for what stands at an offset."""
    return RuleError(f"The rule cannot be used: {reason} (at {at})", position=at, reason=reason)


class Lexer:
    """Reads a rule from left to right; raises RuleError at the first thing that is no token."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST_RULE:
            raise refusal(LONGEST_RULE, f"a rule has at most {LONGEST_RULE} characters")
        if (nul := text.find("\0")) >= 0:
            raise refusal(nul, "a rule cannot hold the character NUL")
        if surrogate := _SURROGATE.search(text):
            raise refusal(surrogate.start(), "half a surrogate pair is no character")
        self._text = text
        self._at = 0

    def next(self) -> Token:
        """Read the next token; at the end of the rule, and ever after, one of kind `end`."""
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise self._meaningless()
        kind = found.lastgroup
        text = found[kind or 0]
        self._at = found.end()
        at = self._at - len(text)
        match kind:
            case "symbol" | "name" | "end":
                return Token(kind, text, at)
        return self._literal(kind, text, at)

    def _literal(self, kind: str | None, text: str, at: int) -> Token:
        match kind:
            case "int":
                return Token("int", text, at, _whole(text, at))
            case "double":
                return Token("double", text, at, float(text))
            case "string":
                return Token("string", text, at, self._string(text.lower(), at))
        raise refusal(at, f"{kind} literals are not part of the language")

    def _meaningless(self) -> RuleError:
        at = self._at
        if ignored := _IGNORED.match(self._text, at):
            at = ignored.end()
        from ledger.targeting.hints import named, of_symbol

        meant = of_symbol(self._text, at)
        return refusal(at, f"{named(self._text[at])} has no meaning here{meant}")

    def _string(self, opening: str, at: int) -> str:
        start = self._at
        closed = _CLOSED[opening].match(self._text, start)
        if closed is None:
            raise refusal(at, "the string is not closed")
        self._at = closed.end()
        body = closed.group(1)
        if opening.startswith("r"):
            return _raw(body, at)
        return _ESCAPE.sub(lambda escape: _character(escape, start), body)


def _raw(body: str, at: int) -> str:
    # CEL reads a backslash of a raw string together with what follows it.
    if (len(body) - len(body.rstrip("\\"))) % 2:
        raise refusal(at, "a raw string cannot end with a single backslash")
    return body.replace("\r\n", "\n").replace("\r", "\n")


def _character(escape: re.Match[str], start: int) -> str:
    short, byte, four, eight, octal, unknown = escape.groups()
    at = start + escape.start()
    if escape.group().startswith("\r"):
        return "\n"
    if unknown is not None:
        raise refusal(at, "the backslash begins no escape sequence")
    if short:
        return _SHORT[short]
    code = int(octal, 8) if octal else int(byte or four or eight, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise refusal(at, f"{escape.group()} is no Unicode character")
    return chr(code)


def _whole(text: str, at: int) -> int:
    """Read a whole number; its sign, and so its exact bound, is the grammar's business."""
    digits = text.removeprefix("0x").lstrip("0")
    if len(digits) > _MOST_DIGITS:
        raise refusal(at, "an int has at most 64 bits")
    return int(digits or "0", 16 if text.startswith("0x") else 10)
