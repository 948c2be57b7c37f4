"""The dtype of every result of two operands, as torch 2.13 has it.

Letters stand for dtypes: b bool, B uint8, i int32, l int64, f float32, d float64, - refused. A kind
of operands has one word for each left operand, with one letter for each right operand, in the order
of `ORDER` for tensors and of `SCALARS` for Python numbers. Kinds are two letters, left and right
operand: t a tensor with dimensions, z a tensor of 0 dimensions, s a Python number.
"""

from __future__ import annotations

DTYPES = {
    "b": "bool",
    "B": "uint8",
    "i": "int32",
    "l": "int64",
    "f": "float32",
    "d": "float64",
}
ORDER = "bBilfd"
SCALARS = (True, 2, 2.5)

_ARITHMETIC = {
    "tt": "bBilfd BBilfd iiilfd llllfd fffffd dddddd",
    "tz": "bBilfd BBBBfd iiiifd llllfd ffffff dddddd",
    "zt": "bBilfd BBilfd iBilfd lBilfd fffffd ddddfd",
    "ts": "blf BBf iif llf fff ddd",
    "st": "bBilfd lBilfd fffffd",
    "zs": "blf BBf iif llf fff ddd",
}
_TRUE_DIVISION = {
    "tt": "fffffd fffffd fffffd fffffd fffffd dddddd",
    "tz": "fffffd fffffd fffffd fffffd ffffff dddddd",
    "zt": "fffffd fffffd fffffd fffffd fffffd ddddfd",
    "ts": "fff fff fff fff fff ddd",
    "st": "fffffd fffffd fffffd",
    "zs": "fff fff fff fff fff ddd",
}
_COMPARISON = {
    kind: " ".join("b" * len(word) for word in words.split()) for kind, words in _ARITHMETIC.items()
}
_SUBTRACTION = {
    "tt": "------ -Bilfd -iilfd -lllfd -ffffd -ddddd",
    "tz": "------ -BBBfd -iiifd -lllfd -fffff -ddddd",
    "zt": "------ -Bilfd -Bilfd -Bilfd -ffffd -dddfd",
    "ts": "--- -Bf -if -lf -ff -dd",
    "st": "------ -Bilfd -ffffd",
    "zs": "--- -Bf -if -lf -ff -dd",
}
_REMAINDER = {
    **_ARITHMETIC,
    "tt": "-" + _ARITHMETIC["tt"][1:],
    "tz": "-" + _ARITHMETIC["tz"][1:],
    "zt": "-" + _ARITHMETIC["zt"][1:],
    "ts": "-" + _ARITHMETIC["ts"][1:],
    "st": "-" + _ARITHMETIC["st"][1:],
    "zs": "-" + _ARITHMETIC["zs"][1:],
}
_POWER = {**_REMAINDER, "ts": _ARITHMETIC["ts"], "zs": _ARITHMETIC["zs"]}

OPERATIONS = {
    "add": (lambda a, b: a + b, _ARITHMETIC),
    "mul": (lambda a, b: a * b, _ARITHMETIC),
    "sub": (lambda a, b: a - b, _SUBTRACTION),
    "div": (lambda a, b: a / b, _TRUE_DIVISION),
    "eq": (lambda a, b: a == b, _COMPARISON),
    "gt": (lambda a, b: a > b, _COMPARISON),
    "remainder": (lambda a, b: a % b, _REMAINDER),
    "floor divide": (lambda a, b: a // b, _REMAINDER),
    "pow": (lambda a, b: a**b, _POWER),
}


def cases():
    """(name, function, kind, left, right, letter) for all of the table; an operand is the name of a
    dtype or a Python number."""
    for name, (function, table) in OPERATIONS.items():
        for kind, words in table.items():
            lefts = SCALARS if kind[0] == "s" else [DTYPES[letter] for letter in ORDER]
            rights = SCALARS if kind[1] == "s" else [DTYPES[letter] for letter in ORDER]
            for left, word in zip(lefts, words.split(), strict=True):
                for right, letter in zip(rights, word, strict=True):
                    yield name, function, kind, left, right, letter


def operand(module, kind, value):
    """An operand of ones: a tensor of a dtype, or the number itself."""
    if kind == "s":
        return value
    return module.ones((2,) if kind == "t" else (), dtype=getattr(module, value))
