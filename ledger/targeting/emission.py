"""From a rule's tree to Python code objects.

Two are made of each rule. The fast one is plain Python wherever that means the same as CEL *or
raises*; whenever it raises, the exact one answers instead: it calls what is in `operators`, and its
`&&` and `||` absorb errors. The exact one is made when it is first needed.

Generated code reaches its bindings and the names in REACHABLE and nothing else: no builtins, no
attribute but three methods of str. What the rule's text names is only ever the key of a lookup.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any, cast

from ledger.targeting import operators
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
from ledger.targeting.values import EvaluationError, Timestamp

Matcher = Callable[[Mapping[str, object]], bool]

# CEL's functions and operators by the name of what computes them.
_OPERATORS = {
    "==": "equal",
    "!=": "unequal",
    "<": "less",
    "<=": "at_most",
    ">": "greater",
    ">=": "at_least",
    "in": "within",
    "+": "plus",
    "-": "minus",
    "*": "times",
    "/": "over",
    "%": "modulo",
    "neg": "negative",
    "!": "negation",
    "[ ]": "index",
    "size": "size",
    "startsWith": "starts_with",
    "endsWith": "ends_with",
    "contains": "contains",
}
_OTHERS = ("read", "field", "has", "truth", "every", "some", "fail", "Timestamp")
REACHABLE: dict[str, object] = {
    "__builtins__": {},
    "Exception": Exception,
    **{name: getattr(operators, name) for name in (*_OPERATORS.values(), *_OTHERS)},
}
_FAST = """
def rule(bindings, exact):
    try:
        return answer
    except Exception:
        pass
    return exact(bindings)
"""
_EXACT = """
def rule(bindings):
    return answer
"""
_BOOLS = frozenset(
    ("==", "!=", "<", "<=", ">", ">=", "in", "!", "startsWith", "endsWith", "contains")
)
_NEVER_BOOL = frozenset({"+", "-", "*", "/", "%", "neg", "size"})
_COMPARED: dict[str, tuple[type[ast.cmpop], str]] = {
    "<": (ast.Lt, ">"),
    "<=": (ast.LtE, ">="),
    ">": (ast.Gt, "<"),
    ">=": (ast.GtE, "<="),
    "==": (ast.Eq, "=="),
    "!=": (ast.NotEq, "!="),
}
# Below this, comparing an int with a double is the same in Python and in CEL.
_EXACT_DOUBLES = 2**53


def compiled(tree: Node) -> Matcher:
    """Compile a rule to a function of its bindings; that raises EvaluationError, nothing else."""
    exact: list[Matcher] = []

    def exactly(bindings: Mapping[str, object]) -> bool:
        try:
            if not exact:
                exact.append(exactly_compiled(tree))
            return exact[0](bindings)
        except EvaluationError:
            raise
        except RecursionError:
            raise EvaluationError("the stack is too deep to decide the rule") from None
        except Exception as error:
            # Only what is no JSON value gets here: it may do as it likes when it is compared.
            failure = type(error).__name__
            raise EvaluationError(f"a value of the context failed with {failure}") from None

    return _function(fast_source(tree), exactly)


def exactly_compiled(tree: Node) -> Matcher:
    """Compile only the exact reading of a rule."""
    return _function(exact_source(tree))


def fast_source(tree: Node) -> ast.Module:
    """Write the fast reading of a rule."""
    return _module(_FAST, Fast().condition(tree))


def exact_source(tree: Node) -> ast.Module:
    """Write the exact reading of a rule."""
    return _module(_EXACT, _Exact().condition(tree))


class _Answer(ast.NodeTransformer):
    """Puts an expression where a template says `answer`."""

    def __init__(self, expression: ast.expr) -> None:
        self._expression = expression

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._expression if node.id == "answer" else node


def _module(template: str, answer: ast.expr) -> ast.Module:
    module = _Answer(answer).visit(ast.parse(template))
    return cast("ast.Module", ast.fix_missing_locations(module))


def _function(module: ast.Module, *defaults: object) -> Matcher:
    whole = compile(module, "<targeting rule>", "exec", dont_inherit=True)
    code = next(each for each in whole.co_consts if isinstance(each, CodeType))
    return cast("Matcher", FunctionType(code, REACHABLE, "rule", defaults))


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(_name(name), list(arguments), [])


def _compare(left: ast.expr, operator: type[ast.cmpop], right: object) -> ast.Compare:
    return ast.Compare(left, [operator()], [ast.Constant(cast("Any", right))])


def _kept(value: ast.expr) -> ast.expr:
    """Keep a value for what follows at once in the same expression."""
    return ast.NamedExpr(ast.Name("v", ast.Store()), value)


def _kept_is_no(truth: bool) -> ast.expr:
    return _compare(_name("v"), ast.IsNot, truth)


def _kept_is_no_bool() -> list[ast.expr]:
    return [_kept_is_no(True), _kept_is_no(False)]


def _hashes_alike(constant: Constant) -> bool:
    """Whether a set of Python finds a constant for what CEL takes to equal it, bools aside."""
    if isinstance(constant, int | float) and not isinstance(constant, bool):
        return abs(constant) < _EXACT_DOUBLES
    return constant is None or isinstance(constant, str)


def _never_bool(node: Node) -> bool:
    return isinstance(node, Call) and node.function in _NEVER_BOOL


def _always_bool(node: Node) -> bool:
    match node:
        case Logic() | Has():
            return True
        case Call():
            return node.function in _BOOLS
        case Literal():
            return isinstance(node.value, bool)
        case Choice():
            return _always_bool(node.then) and _always_bool(node.other)
    return False


class _Exact:
    """Writes every operator as a call of what computes it by CEL's letter."""

    def __init__(self) -> None:
        self._writers: dict[type, Callable[[Any], ast.expr]] = {
            Literal: self._literal,
            Name: self._read,
            Field: self._field,
            Has: self._has,
            Listing: self._listing,
            Mapped: self._mapped,
            Call: self._operation,
            Logic: self._logic,
            Choice: self._choice,
        }

    def value(self, node: Node) -> ast.expr:
        """Write an expression for the node's value."""
        return self._writers[type(node)](node)

    def condition(self, node: Node) -> ast.expr:
        """Write an expression for the node's value that is a bool or raises."""
        return self.value(node) if _always_bool(node) else self._truth(node)

    def _truth(self, node: Node) -> ast.expr:
        return _call("truth", self.value(node))

    def _literal(self, node: Literal) -> ast.expr:
        if isinstance(node.value, Timestamp):
            return _call("Timestamp", ast.Constant(node.value.micros))
        return ast.Constant(node.value)

    def _read(self, node: Name) -> ast.expr:
        return _call("read", _name("bindings"), ast.Constant(node.name))

    def _field(self, node: Field) -> ast.expr:
        return _call("field", self.value(node.of), ast.Constant(node.name))

    def _has(self, node: Has) -> ast.expr:
        return _call("has", self.value(node.of), ast.Constant(node.name))

    def _listing(self, node: Listing) -> ast.expr:
        return ast.List([self.value(item) for item in node.items], ast.Load())

    def _mapped(self, node: Mapped) -> ast.expr:
        keys: list[ast.expr | None] = [ast.Constant(key) for key, _ in node.entries]
        return ast.Dict(keys, [self.value(value) for _, value in node.entries])

    def _operation(self, node: Call) -> ast.expr:
        return _call(_OPERATORS[node.function], *map(self.value, node.operands))

    def _logic(self, node: Logic) -> ast.expr:
        thunks = (ast.Lambda(_NO_ARGUMENTS, self.value(operand)) for operand in node.operands)
        return _call("every" if node.symbol == "&&" else "some", *thunks)

    def _choice(self, node: Choice) -> ast.expr:
        return ast.IfExp(self.condition(node.test), self.value(node.then), self.value(node.other))


_NO_ARGUMENTS = ast.arguments([], [], None, [], [], None, [])


class Fast(_Exact):
    """Writes plain Python where it gives CEL's answer or raises, whatever the bindings hold.

    What has to be kept apart: True and 1 are equal and ordered in Python, a text is a container,
    and a large int is compared with a double exactly.
    """

    def _truth(self, node: Node) -> ast.expr:
        kept = _compare(_kept(self.value(node)), ast.Is, True)
        other = ast.BoolOp(ast.And(), [_kept_is_no(False), _call("fail")])
        return ast.BoolOp(ast.Or(), [kept, other])

    def _read(self, node: Name) -> ast.expr:
        return ast.Subscript(_name("bindings"), ast.Constant(node.name), ast.Load())

    def _field(self, node: Field) -> ast.expr:
        if isinstance(node.of, Literal | Listing | Mapped):
            return super()._field(node)
        return ast.Subscript(self.value(node.of), ast.Constant(node.name), ast.Load())

    def _logic(self, node: Logic) -> ast.expr:
        operator = ast.And() if node.symbol == "&&" else ast.Or()
        return ast.BoolOp(operator, [self.condition(operand) for operand in node.operands])

    def _operation(self, node: Call) -> ast.expr:
        match node.operands:
            case (subject,) if node.function == "!":
                return ast.UnaryOp(ast.Not(), self.condition(subject))
            # Python's compiler warns of what cannot work on a literal: the operators only fail.
            case (Literal() | Listing() | Mapped(), Literal()):
                return super()._operation(node)
            case (subject, Listing() as listing) if node.function == "in":
                return self._within(subject, listing) or super()._operation(node)
            case (subject, Literal() as literal):
                written = self._with_literal(node.function, subject, literal)
                return written or super()._operation(node)
            case (Literal() as literal, subject) if node.function in _COMPARED and not isinstance(
                subject, Listing | Mapped
            ):
                mirrored = _COMPARED[node.function][1]
                return self._with_literal(mirrored, subject, literal) or super()._operation(node)
        return super()._operation(node)

    def _with_literal(self, function: str, subject: Node, literal: Literal) -> ast.expr | None:
        value = literal.value
        if function == "[ ]" and isinstance(value, str):
            return ast.Subscript(self.value(subject), ast.Constant(value), ast.Load())
        if function in ("startsWith", "endsWith", "contains") and isinstance(value, str):
            return self._text_test(function, subject, value)
        if function not in _COMPARED:
            return None
        operator = _COMPARED[function][0]
        if value is None or isinstance(value, bool):
            return self._identical(operator, subject, value)
        if isinstance(value, str | tuple):
            # A tuple of one is what a Timestamp is, and it is a constant to Python's compiler.
            constant = value if isinstance(value, str) else tuple(value)
            return _compare(self.value(subject), operator, constant)
        return self._against_number(operator, subject, value)

    def _text_test(self, function: str, subject: Node, part: str) -> ast.expr:
        method = {"startsWith": "startswith", "endsWith": "endswith", "contains": "find"}[function]
        bound = ast.Attribute(self.value(subject), method, ast.Load())
        called = ast.Call(bound, [ast.Constant(part)], [])
        return _compare(called, ast.GtE, 0) if method == "find" else called

    def _identical(
        self, operator: type[ast.cmpop], subject: Node, value: bool | None
    ) -> ast.expr | None:
        if operator is ast.Eq:
            return _compare(self.value(subject), ast.Is, value)
        if operator is ast.NotEq:
            return _compare(self.value(subject), ast.IsNot, value)
        return None

    def _against_number(
        self, operator: type[ast.cmpop], subject: Node, value: float
    ) -> ast.expr | None:
        if abs(value) >= _EXACT_DOUBLES:
            return None
        equality = operator in (ast.Eq, ast.NotEq)
        if _never_bool(subject) or (equality and value not in (0, 1)):
            return _compare(self.value(subject), operator, value)
        kept = _kept(self.value(subject))
        if not equality:
            no_bool = ast.BoolOp(ast.And(), [_compare(kept, ast.IsNot, True), _kept_is_no(False)])
            return ast.IfExp(no_bool, _compare(_name("v"), operator, value), _call("fail"))
        same = ast.BoolOp(ast.And(), [_compare(kept, ast.Eq, value), *_kept_is_no_bool()])
        return same if operator is ast.Eq else ast.UnaryOp(ast.Not(), same)

    def _within(self, subject: Node, listing: Listing) -> ast.expr | None:
        constants = [item.value for item in listing.items if isinstance(item, Literal)]
        if not constants or len(constants) != len(listing.items):
            return None
        if not all(map(_hashes_alike, constants)):
            return None
        among: ast.expr = ast.Set([ast.Constant(cast("Any", constant)) for constant in constants])
        kept = ast.Compare(_kept(self.value(subject)), [ast.In()], [among])
        return ast.BoolOp(ast.And(), [kept, *_kept_is_no_bool()])
