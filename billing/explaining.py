"""Amounts that explain themselves: a sentence, a formula, its named inputs, and the formula worked out again.

A formula is arithmetic over the inputs' names: `×`, `÷`, `+`, `−`, parentheses, whole or decimal numbers, and the
functions `round` (to the currency's step, half away from zero), `min`, `max`, `ceil` and `floor`. Money counts in major
units. Inputs that are instants or words are there to be read, not to be reckoned with.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from billing.money import Money, MoneyError, exponent, round_to_step

_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ExplanationInput:
    """A number that an amount was made of; `source` is the id of the row that it came from."""

    name: str
    value: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a line has its amount: a sentence, the formula, and the formula's named inputs."""

    text: str
    formula: str
    inputs: Sequence[ExplanationInput]


class UnworkableFormula(ValueError):
    """A formula that cannot be worked out from its inputs."""


def recompute(formula: str, inputs: Mapping[str, str], currency: str) -> Money:
    """What the formula comes to. `inputs` are values as an explanation writes them: `3`, `12.5`, `USD 7.00`.

    Raises UnworkableFormula for a formula that names what is not given, or comes to no amount of the currency.
    """
    written = _as_python(formula)
    try:
        tree = ast.parse(written, mode="eval").body
        minor = _Reckoning(written, inputs, currency).value(tree) * 10 ** exponent(currency)
        if minor.denominator != 1:
            raise UnworkableFormula(f"{formula!r} comes to a fraction of a minor unit; round it")
        return Money(int(minor), currency)
    except (SyntaxError, RecursionError, MemoryError):
        raise UnworkableFormula(f"{formula!r} is no arithmetic") from None
    except ZeroDivisionError:
        raise UnworkableFormula(f"{formula!r} divides by zero") from None
    except MoneyError as problem:
        raise UnworkableFormula(f"{formula!r}: {problem}") from None


def _as_python(formula: str) -> str:
    return formula.replace("×", "*").replace("÷", "/").replace("−", "-")


_OPERATORS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
}


@dataclass(frozen=True, slots=True)
class _Reckoning:
    written: str
    inputs: Mapping[str, str]
    currency: str

    def value(self, node: ast.expr) -> Fraction:
        match node:
            case ast.Constant():
                return self._number(node, ast.get_source_segment(self.written, node) or "")
            case ast.Name(id=name):
                return self._input(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](self.value(left), self.value(right))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._call(name, [self.value(argument) for argument in arguments])
            case _:
                raise UnworkableFormula(f"{ast.unparse(node)} is no part of a formula")

    def _input(self, name: str) -> Fraction:
        if name not in self.inputs:
            raise UnworkableFormula(f"{name} is not among the inputs")
        return self._number(name, self.inputs[name].removeprefix(f"{self.currency} "))

    def _number(self, what: ast.expr | str, text: str) -> Fraction:
        """As it is written: a number that went through binary fractions would not be exact."""
        if not _NUMBER.fullmatch(text):
            name = what if isinstance(what, str) else ast.unparse(what)
            raise UnworkableFormula(f"{name} is no number: {text!r}")
        return Fraction(text)

    def _call(self, name: str, values: Sequence[Fraction]) -> Fraction:
        match name, values:
            case "round", [value]:
                unit = 10 ** exponent(self.currency)
                return Fraction(round_to_step(value * unit, self.currency), unit)
            case "ceil", [value]:
                return Fraction(math.ceil(value))
            case "floor", [value]:
                return Fraction(math.floor(value))
            case "min" | "max", [_, *_]:
                return min(values) if name == "min" else max(values)
            case _:
                raise UnworkableFormula(f"{name} with {len(values)} values is no function of a formula")
