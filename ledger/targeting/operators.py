"""CEL's operators on the values of a targeting rule.

Everything here is reached by generated code, so every failure is an EvaluationError.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping

from ledger.targeting.values import (
    INT_MAX,
    INT_MIN,
    EvaluationError,
    Timestamp,
    Value,
    is_plain,
    kind_of,
    plain,
)

Thunk = Callable[[], Value]

# What a rule may build with +: its text is short, but the attributes it adds up need not be.
LARGEST_BUILT = 65_536

_ABSENT = object()
_ORDERED = frozenset({bool, int, float, str, Timestamp})
_NUMBERS = frozenset({int, float})
_FEW = 8
# True equals 1 in Python, a NaN in a list itself, and an int a double by another rule.
_WITH_INTS = frozenset({str, int, type(None)})
_WITH_BOOLS = frozenset({str, bool, type(None)})


def _no_overload(symbol: str, *operands: Value) -> EvaluationError:
    kinds = " and ".join(kind_of(operand) for operand in operands)
    return EvaluationError(f"{symbol} does not take {kinds}")


def fail() -> Value:
    """Leave the fast path: the exact one finds out what is wrong."""
    raise EvaluationError("not a value that this operator takes")


def read(bindings: Mapping[str, object], name: str) -> Value:
    """Read a top-level name."""
    value = bindings.get(name, _ABSENT)
    if value is _ABSENT:
        raise EvaluationError(f"{name} is not in the context")
    return plain(value)


def truth(value: Value) -> bool:
    """Take a bool as it is, and nothing else: CEL has no truthiness."""
    if value is True or value is False:
        return bool(value)
    raise EvaluationError(f"a condition must be bool, this one is {kind_of(value)}")


def negation(value: Value) -> bool:
    """Answer `!value`."""
    if value is True or value is False:
        return not value
    raise _no_overload("!", value)


def every(*operands: Thunk) -> bool:
    """Answer `&&`: one false operand decides, whatever the others do, errors included."""
    return _decided(operands, decisive=False)


def some(*operands: Thunk) -> bool:
    """Answer `||`: one true operand decides, whatever the others do, errors included."""
    return _decided(operands, decisive=True)


def _decided(operands: tuple[Thunk, ...], *, decisive: bool) -> bool:
    failure: EvaluationError | None = None
    for operand in operands:
        try:
            value: object = operand()
        except EvaluationError as error:
            failure = failure or error
            continue
        if value is decisive:
            return decisive
        if value is not (not decisive):
            failure = failure or _no_overload("&& or ||", value)
    if failure is not None:
        raise failure
    return not decisive


def equal(left: Value, right: Value) -> bool:
    """Answer `==`: by value among numbers, false between different types, never an error."""
    kind = type(left)
    if kind is type(right):
        if kind is list or kind is dict:
            return _equal_throughout(left, right)
        if is_plain(left):
            return bool(left == right)
    elif kind in _NUMBERS and type(right) in _NUMBERS:
        return bool(_comparable(left) == _comparable(right))
    if is_plain(left) and is_plain(right):
        return False
    left, right = plain(left), plain(right)
    return is_plain(left) and is_plain(right) and equal(left, right)


def _equal_throughout(left: Value, right: Value) -> bool:
    if len(left) != len(right):
        return False
    try:
        if type(left) is list:
            return _equal_items(left, right)
        return left.keys() == right.keys() and _equal_items(
            list(left.values()), [right[key] for key in left]
        )
    except RecursionError:
        raise EvaluationError("a value is nested too deeply to compare") from None


def _equal_items(some: list[Value], others: list[Value]) -> bool:
    if len(some) > _FEW and _compare_alike(some, others):
        return some == others
    return all(map(equal, some, others))


def _compare_alike(some: list[Value], others: list[Value]) -> bool:
    """Whether Python, at the speed of C, finds among such items those equal that CEL does."""
    kinds = {*map(type, some), *map(type, others)}
    return kinds <= _WITH_INTS or kinds <= _WITH_BOOLS


def unequal(left: Value, right: Value) -> bool:
    """Answer `!=`."""
    return not equal(left, right)


def _comparable(number: Value) -> Value:
    """Make an int a double, as CEL's conformance suite wants int and double compared.

    That rounds beyond 2**53. An int outside int64 is no CEL value and is compared as it is.
    """
    return float(number) if INT_MIN <= number <= INT_MAX else number


def _ordering(symbol: str, holds: Callable[[Value, Value], Value]) -> Callable[..., bool]:
    def ordered(left: Value, right: Value) -> bool:
        kind = type(left)
        if kind is type(right):
            if kind in _ORDERED:
                return bool(holds(left, right))
        elif kind in _NUMBERS and type(right) in _NUMBERS:
            return bool(holds(_comparable(left), _comparable(right)))
        raise _no_overload(symbol, left, right)

    return ordered


less = _ordering("<", operator.lt)
at_most = _ordering("<=", operator.le)
greater = _ordering(">", operator.gt)
at_least = _ordering(">=", operator.ge)


def within(item: Value, container: Value) -> bool:
    """Answer `in`: among a list's items, or a map's keys."""
    if type(container) is list:
        if type(item) is str or _compare_alike([item], container):
            return item in container
        return any(equal(item, each) for each in container)
    if type(container) is dict:
        if type(item) is str:
            return item in container
        if type(item) in {bool, int, float}:
            return False
    raise _no_overload("in", item, container)


def field(value: Value, key: str) -> Value:
    """Answer `value.key`."""
    if type(value) is not dict:
        raise EvaluationError(f".{key} needs a map, not {kind_of(value)}")
    try:
        return plain(value[key])
    except KeyError:
        raise EvaluationError(f"the map has no key {key!r}") from None


def has(value: Value, key: str) -> bool:
    """Answer `has(value.key)`."""
    if type(value) is not dict:
        raise EvaluationError(f"has(….{key}) needs a map, not {kind_of(value)}")
    return key in value


def index(value: Value, key: Value) -> Value:
    """Answer `value[key]`: a list by a whole number from 0, a map by text."""
    if type(value) is list:
        return plain(value[_place(key, len(value))])
    if type(value) is dict and type(key) is str:
        return field(value, key)
    raise _no_overload("[ ]", value, key)


def _place(key: Value, size: int) -> int:
    if type(key) is float and key.is_integer():
        key = int(key)
    if type(key) is not int:
        raise EvaluationError(f"a list is indexed by int, not {kind_of(key)}")
    if not 0 <= key < size:
        raise EvaluationError(f"the list of {size} has no item {key}")
    return key


def size(value: Value) -> int:
    """Count the Unicode code points of a text, the items of a list, or the keys of a map."""
    if type(value) is str or type(value) is list or type(value) is dict:
        return len(value)
    raise _no_overload("size", value)


def _text_test(name: str, holds: Callable[[str, str], bool]) -> Callable[..., bool]:
    def test(value: Value, part: Value) -> bool:
        if type(value) is str and type(part) is str:
            return holds(value, part)
        raise _no_overload(name, value, part)

    return test


starts_with = _text_test("startsWith", str.startswith)
ends_with = _text_test("endsWith", str.endswith)
contains = _text_test("contains", operator.contains)


def _are_ints(left: Value, right: Value) -> bool:
    """Whether both are CEL's ints; a larger one of Python's may be compared, nothing else."""
    if type(left) is not int or type(right) is not int:
        return False
    return INT_MIN <= left <= INT_MAX and INT_MIN <= right <= INT_MAX


def _int64(number: int) -> int:
    if INT_MIN <= number <= INT_MAX:
        return number
    raise EvaluationError("an int overflows 64 bits")


def plus(left: Value, right: Value) -> Value:
    """Answer `left + right`: numbers of one type, texts, or lists."""
    if _are_ints(left, right):
        return _int64(left + right)
    kind = type(left)
    if kind is float and type(right) is float:
        return left + right
    if kind is type(right) and (kind is str or kind is list):
        if len(left) + len(right) > LARGEST_BUILT:
            raise EvaluationError(f"+ builds more than {LARGEST_BUILT} characters or items")
        return left + right
    raise _no_overload("+", left, right)


def minus(left: Value, right: Value) -> Value:
    """Answer `left - right`."""
    if _are_ints(left, right):
        return _int64(left - right)
    if type(left) is float and type(right) is float:
        return left - right
    raise _no_overload("-", left, right)


def times(left: Value, right: Value) -> Value:
    """Answer `left * right`."""
    if _are_ints(left, right):
        return _int64(left * right)
    if type(left) is float and type(right) is float:
        return left * right
    raise _no_overload("*", left, right)


def over(left: Value, right: Value) -> Value:
    """Answer `left / right`: ints truncate toward zero, doubles follow IEEE 754."""
    if _are_ints(left, right):
        return _int64(_quotient(left, right))
    if type(left) is float and type(right) is float:
        return left / right if right else _over_zero(left, right)
    raise _no_overload("/", left, right)


def modulo(left: Value, right: Value) -> Value:
    """Answer `left % right`, with the sign of the left."""
    if _are_ints(left, right):
        # The lowest int by -1 overflows here too: its quotient is no int.
        return left - _int64(_quotient(left, right)) * right
    raise _no_overload("%", left, right)


def negative(value: Value) -> Value:
    """Answer `-value`."""
    if type(value) is int:
        return _int64(-value)
    if type(value) is float:
        return -value
    raise _no_overload("-", value)


def _quotient(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("an int is divided by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _over_zero(left: float, right: float) -> float:
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, math.copysign(1, left) * math.copysign(1, right))
