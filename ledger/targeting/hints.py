"""What the author of a refused rule probably meant."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping

# By the characters that begin no token: what other languages and clever editors write.
_SYMBOLS: Mapping[str, str] = (
    {"=>": ">=", "=<": "<=", "=": "==", "&": "&&", "|": "||", "~": "!", "^": "!="}
    | dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\uff02", '"')
    | dict.fromkeys("\u2018\u2019\u201a\u00b4`\uff07", "'")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\uff0d", "-")
    | dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\u3000\u200b\ufeff\v", " ")
    | {"\u2264": "<=", "\u2265": ">=", "\u2260": "!=", "\u2208": "in", "\u00d7": "*"}
    | {"\u00ac": "!", "\u2227": "&&", "\u2228": "||", "\u00f7": "/", "\uff1d": "=="}
)
_WORDS = {"and": "&&", "or": "||", "not": "!", "is": "==", "eq": "==", "mod": "%"}
_FUNCTIONS = (
    dict.fromkeys(("len", "length", "count"), "size")
    | dict.fromkeys(("includes", "include"), "contains")
    | {"hasPrefix": "startsWith", "hasSuffix": "endsWith", "exist": "has", "defined": "has"}
    | dict.fromkeys(("date", "datetime", "time", "instant"), "timestamp")
)
# Without declarations these would pass for attributes.
_CONSTANTS = (
    dict.fromkeys(("True", "TRUE"), "true")
    | dict.fromkeys(("False", "FALSE"), "false")
    | dict.fromkeys(("None", "Null", "NULL", "nil", "undefined"), "null")
)


def of_symbol(text: str, at: int) -> str:
    """Write what was meant by characters at an offset that begin no token."""
    if text[at - 1 : at] in tuple("=&|"):
        return ""
    wrong = next((each for each in _SYMBOLS if text.startswith(each, at)), "")
    return _meant(_SYMBOLS.get(wrong))


def of_word(*words: str) -> str:
    """Write what was meant by a word where an operator belongs."""
    return _meant(next((_WORDS[word.lower()] for word in words if word.lower() in _WORDS), None))


def of_function(name: str, known: Iterable[str]) -> str:
    """Write which function was meant."""
    return _meant(_FUNCTIONS[name]) if name in _FUNCTIONS else of_name(name, known)


def of_constant(name: str) -> str:
    """Write which constant was meant by one of another language."""
    return _meant(_CONSTANTS.get(name))


def of_name(name: str, known: Iterable[str]) -> str:
    """Write `; did you mean 'x'?` when a known name is near, else nothing."""
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name[:64].lower(), by_lower, n=1)
    return _meant(by_lower[near[0]] if near else None)


def named(character: str) -> str:
    """Write a character, and its name where it may look like another."""
    name = "" if character.isascii() else unicodedata.name(character, "")
    return f"{character!r} ({name})" if name else repr(character)


def _meant(better: str | None) -> str:
    return f"; did you mean {better!r}?" if better else ""
