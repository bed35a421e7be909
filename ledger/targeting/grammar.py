"""The grammar of a targeting rule: from text to a tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from ledger.clock import parse_instant
from ledger.errors import RuleError
from ledger.targeting.lexer import Lexer, Token, refusal
from ledger.targeting.tree import (
    Call,
    Choice,
    Constant,
    Field,
    Has,
    Listing,
    Literal,
    Logic,
    Mapped,
    Name,
    Node,
)
from ledger.targeting.values import INT_MAX, INT_MIN, Timestamp

DEEPEST = 64
LONGEST_LIST = 256

Item = TypeVar("Item")
_TIGHTNESS = {
    "||": 0,
    "&&": 1,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 2),
    **dict.fromkeys("+-", 3),
    **dict.fromkeys("*/%", 4),
}
_LOOSEST = 0
_CONSTANTS: dict[str, Constant] = {"true": True, "false": False, "null": None}
_KEYWORDS = frozenset({*_CONSTANTS, "in"})
_RESERVED = frozenset(
    ["as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop"]
).union(["namespace", "package", "return", "var", "void", "while"])
# The number of arguments behind the receiver; a function is called by its name, a method by a dot.
FUNCTIONS = {"has": 1, "size": 1, "timestamp": 1}
METHODS = {"size": 0, "startsWith": 1, "endsWith": 1, "contains": 1}
_LEFT_OUT = {
    "matches": "regular expressions are not part of the language",
    **dict.fromkeys(
        ("all", "exists", "exists_one", "filter", "map"),
        "macros over lists are not part of the language",
    ),
}
# Past the microsecond; trailing zeros do no harm.
_TOO_FINE = re.compile(r"\.\d{6}0*[1-9]")


def parse(text: str) -> tuple[Node, frozenset[str]]:
    """Read a rule; answers its tree and the top-level names it reads, or raises RuleError."""
    try:
        parser = _Parser(text)
        return parser.rule(), frozenset(parser.names)
    except RecursionError:
        raise refusal(0, "the rule is nested too deeply") from None


class _Parser:
    """Recursive descent; one token is looked at, none are taken back."""

    def __init__(self, text: str) -> None:
        self._lexer = Lexer(text)
        self._token = self._lexer.next()
        self._nesting = 0
        self.names: set[str] = set()

    def rule(self) -> Node:
        if self._at_end():
            raise refusal(0, "the rule is empty")
        tree = self._expression()
        if not self._at_end():
            raise self._unexpected("an operator or the end", tree)
        return tree

    # Tokens

    def _at_end(self) -> bool:
        return self._token.kind == "end"

    def _take(self) -> Token:
        taken = self._token
        self._token = self._lexer.next()
        return taken

    def _sees(self, symbol: str) -> bool:
        return self._token.kind == "symbol" and self._token.text == symbol

    def _skip(self, symbol: str) -> bool:
        if self._sees(symbol):
            self._take()
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._skip(symbol):
            raise self._unexpected(repr(symbol))

    def _unexpected(self, wanted: str, before: Node | None = None) -> RuleError:
        from ledger.targeting.hints import of_word

        found = {"end": "the end of the rule", "string": "a string"}.get(self._token.kind)
        found = found or repr(self._token.text[:64])
        meant = of_word(self._token.text, before.name if isinstance(before, Name) else "")
        return refusal(self._token.at, f"{found} stands where {wanted} should{meant}")

    # Expressions, loosest first

    def _expression(self) -> Node:
        self._nesting += 1
        if self._nesting > DEEPEST:
            raise refusal(self._token.at, f"a rule is nested at most {DEEPEST} levels deep")
        node = self._operators(_LOOSEST)
        if self._sees("?"):
            node = self._choice(node)
        self._nesting -= 1
        return node

    def _choice(self, test: Node) -> Node:
        at = self._take().at
        then = self._operators(_LOOSEST)
        self._expect(":")
        other = self._expression()
        return Choice(at, _depth(at, test, then, other), test, then, other)

    def _operators(self, loosest: int) -> Node:
        node = self._signed()
        while (tightness := self._tightness()) >= loosest:
            symbol = self._token
            if tightness <= _TIGHTNESS["&&"]:
                node = self._logic(node, symbol, tightness)
            else:
                self._take()
                right = self._operators(tightness + 1)
                depth = _depth(symbol.at, node, right)
                node = Call(symbol.at, depth, symbol.text, (node, right))
        return node

    def _tightness(self) -> int:
        if self._token.kind in ("symbol", "name"):
            return _TIGHTNESS.get(self._token.text, -1)
        return -1

    def _logic(self, first: Node, symbol: Token, tightness: int) -> Node:
        operands = [first]
        while self._skip(symbol.text):
            operands.append(self._operators(tightness + 1))
        return Logic(symbol.at, _depth(symbol.at, *operands), symbol.text, tuple(operands))

    def _signed(self) -> Node:
        sign = self._token
        if sign.kind != "symbol" or sign.text not in ("!", "-"):
            return self._member(self._primary())
        signs = 0
        while self._skip(sign.text):
            signs += 1
            if signs > DEEPEST:
                raise refusal(sign.at, f"a sign is repeated at most {DEEPEST} times")
        if sign.text == "-" and signs == 1 and self._token.kind in ("int", "double"):
            return self._member(self._number(sign.at, negative=True))
        operand = self._member(self._negative() if sign.text == "!" else self._primary())
        # CEL's parsers drop signs in pairs, so that !!x is x, whatever x is.
        if signs % 2 == 0:
            return operand
        function = "!" if sign.text == "!" else "neg"
        return Call(sign.at, _depth(sign.at, operand), function, (operand,))

    def _negative(self) -> Node:
        """Read a primary, or a number with its minus: what may stand behind an exclamation mark."""
        at = self._token.at
        if not self._skip("-"):
            return self._primary()
        if self._token.kind not in ("int", "double"):
            raise self._unexpected("a number")
        return self._number(at, negative=True)

    def _member(self, node: Node) -> Node:
        while True:
            if self._skip("."):
                node = self._selection(node)
            elif self._sees("["):
                at = self._take().at
                key = self._expression()
                self._expect("]")
                node = Call(at, _depth(at, node, key), "[ ]", (node, key))
            else:
                return node

    def _selection(self, of: Node) -> Node:
        token = self._token
        if token.kind != "name" or token.text in _KEYWORDS:
            raise self._unexpected("a name")
        self._take()
        if self._sees("("):
            return self._method(of, token)
        return Field(token.at, _depth(token.at, of), of, token.text)

    def _primary(self) -> Node:
        token = self._token
        match token.kind:
            case "int" | "double":
                return self._number(token.at)
            case "string":
                return Literal(token.at, 1, self._take().value)
            case "name":
                return self._named()
        return self._bracketed()

    def _bracketed(self) -> Node:
        token = self._token
        if self._skip("("):
            node = self._expression()
            self._expect(")")
            return node
        if self._skip("["):
            items = self._sequence("]", self._expression)
            return Listing(token.at, _depth(token.at, *items), tuple(items))
        if self._skip("{"):
            return self._mapped(token.at)
        if self._skip(".") and self._token.text not in _CONSTANTS:
            return self._named(dotted=True)
        raise self._unexpected("a value")

    # Literals

    def _number(self, at: int, *, negative: bool = False) -> Node:
        value = self._take().value
        if negative:
            value = -value
        if type(value) is int and not INT_MIN <= value <= INT_MAX:
            raise refusal(at, "an int has at most 64 bits")
        return Literal(at, 1, value)

    def _sequence(
        self, closing: str, item: Callable[[], Item], *, trailing_comma: bool = True
    ) -> list[Item]:
        items: list[Item] = []
        while not self._sees(closing) or (items and not trailing_comma):
            if len(items) == LONGEST_LIST:
                raise refusal(self._token.at, f"a list or map has at most {LONGEST_LIST} items")
            items.append(item())
            if not self._skip(","):
                break
        self._expect(closing)
        return items

    def _mapped(self, at: int) -> Node:
        entries: dict[str, Node] = {}

        def entry() -> Node:
            key = self._token
            if key.kind != "string":
                raise self._unexpected("a string as key")
            if key.value in entries:
                raise refusal(key.at, f"the key {key.value!r} stands twice in the map")
            self._take()
            self._expect(":")
            entries[key.value] = value = self._expression()
            return value

        values = self._sequence("}", entry)
        return Mapped(at, _depth(at, *values), tuple(entries.items()))

    # Names and calls

    def _named(self, *, dotted: bool = False) -> Node:
        name = self._token
        if name.kind != "name":
            raise self._unexpected("a name")
        if name.text in _CONSTANTS:
            self._take()
            return Literal(name.at, 1, _CONSTANTS[name.text])
        if name.text in _KEYWORDS or name.text in _RESERVED:
            raise refusal(name.at, f"{name.text!r} is a reserved word")
        self._take()
        if self._sees("("):
            if dotted and name.text == "has":  # a macro of CEL, which a dot makes a function's name
                raise refusal(name.at, "unknown function '.has'; has(…) has no dot before it")
            return self._function(name)
        if self._sees("{"):
            raise refusal(self._token.at, "messages are not part of the language")
        self.names.add(name.text)
        return Name(name.at, 1, name.text)

    def _function(self, name: Token) -> Node:
        arguments = self._arguments(name, FUNCTIONS, METHODS)
        if name.text == "has":
            return self._has(name, arguments[0])
        if name.text == "timestamp":
            return self._timestamp(name, arguments[0])
        return Call(name.at, _depth(name.at, *arguments), name.text, tuple(arguments))

    def _method(self, receiver: Node, name: Token) -> Node:
        operands = (receiver, *self._arguments(name, METHODS, FUNCTIONS))
        return Call(name.at, _depth(name.at, *operands), name.text, operands)

    def _arguments(
        self, name: Token, known: Mapping[str, int], otherwise: Mapping[str, int]
    ) -> list[Node]:
        if name.text not in known:
            raise refusal(name.at, _unknown(name.text, known, otherwise))
        self._expect("(")
        # CEL lets a comma end a list or a map, but not the arguments of a call.
        arguments = self._sequence(")", self._expression, trailing_comma=False)
        wanted = known[name.text]
        if len(arguments) != wanted:
            # No function takes more than one.
            taken = "1 argument" if wanted else "no argument"
            raise refusal(name.at, f"{name.text} takes {taken}, not {len(arguments)}")
        return arguments

    def _has(self, name: Token, argument: Node) -> Node:
        if not isinstance(argument, Field):
            raise refusal(name.at, "has() takes a field of a map, like has(player.guild)")
        return Has(argument.at, argument.depth, argument.of, argument.name)

    def _timestamp(self, name: Token, argument: Node) -> Node:
        if not isinstance(argument, Literal) or not isinstance(argument.value, str):
            raise refusal(name.at, "timestamp() takes a text that stands in the rule")
        if _TOO_FINE.search(argument.value):
            raise refusal(argument.at, "instants have at most six digits behind the second")
        try:
            return Literal(name.at, 1, Timestamp(parse_instant(argument.value)))
        except ValueError as error:
            raise refusal(argument.at, str(error)) from None


def _depth(at: int, *parts: Node) -> int:
    depth = 1 + max((part.depth for part in parts), default=0)
    if depth > DEEPEST:
        raise refusal(at, f"a rule is nested at most {DEEPEST} levels deep")
    return depth


def _unknown(name: str, known: Mapping[str, int], otherwise: Mapping[str, int]) -> str:
    if name in _LEFT_OUT:
        return _LEFT_OUT[name]
    if name in otherwise:
        example = f"text.{name}(…)" if name in METHODS else f"{name}(…)"
        return f"{name} is called as {example}"
    from ledger.targeting.hints import of_function

    meant = of_function(name, {*known, *otherwise})
    return f"unknown function {name[:64]!r}{meant}"
