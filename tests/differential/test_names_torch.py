"""Names and signatures, module by module, against torch: what exists has torch's arguments, what
does not is named in docs/torch-compat.md."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

MODULES = [
    "nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.parametrize", "nn.utils.rnn",
    "nn.utils.parametrizations", "nn.utils.prune", "nn.utils.stateless", "optim",
    "optim.lr_scheduler", "optim.swa_utils", "utils.data",
]  # fmt: skip

# What stands in torch's modules for their own use.
HELPERS = {
    "DType", "Tensor", "BroadcastingList1", "BroadcastingList2", "BroadcastingList3",
    "native_channel_shuffle", "assert_int_or_pair", "boolean_dispatch", "factory_kwargs", "ref",
    "argument_validation",
    "guaranteed_datapipes_determinism", "non_deterministic", "runtime_validation",
    "runtime_validation_disabled", "functional_datapipe", "bisect_right", "PackedSequence_",
    "bind", "copy_method_params", "OpaqueBase", "NamedMemberAccessor", "Optimizer",
    "get_swap_module_params_on_conversion", "is_opaque_reference_type",
    "is_traceable_wrapper_subclass",
}  # fmt: skip

# Where a difference is meant.
OTHERWISE = {
    "Hardtanh": "min_value and max_value are deprecated",
    "random_split": "torch's default generator is an object, here it is None",
    "Function": "torch's takes any arguments, to refuse them",
}


def modules(name):
    return (importlib.import_module(f"{package}.{name}") for package in ("minigrad", "torch"))


def public(module):
    """The callables of a module that are torch's own and for its users."""
    return {
        name: value
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and "torch_function" not in name
        and name not in HELPERS
        and (getattr(value, "__module__", None) or "torch").startswith("torch")
    }


@functools.cache
def documented():
    """The names in docs/torch-compat.md, some with a star."""
    text = Path(__file__, "../../../docs/torch-compat.md").resolve().read_text()
    return {name for code in re.findall(r"`([^`]+)`", text) for name in re.split(r"[^\w*]", code)}


def parameters(value):
    """(name, kind, default) of each; functions among the defaults by their name."""
    return [
        (p.name, p.kind, getattr(p.default, "__name__", p.default))
        for p in inspect.signature(value).parameters.values()
    ]


@pytest.mark.parametrize("name", MODULES)
def test_what_is_missing_is_documented(name):
    ours, theirs = modules(name)
    missing = [each for each in public(theirs) if not hasattr(ours, each)]
    known = documented() - {"*", ""}
    assert not [each for each in missing if not any(fnmatchcase(each, name) for name in known)]


@pytest.mark.parametrize("name", MODULES)
def test_signatures(name):
    """Torch's parameters in their order; what we have beyond them is keyword-only."""
    ours, theirs = modules(name)
    wrong = []
    for each, value in public(theirs).items():
        if not hasattr(ours, each) or each in OTHERWISE:
            continue
        try:
            wanted = parameters(value)
        except ValueError:
            continue  # builtin, without a signature
        if any(kind is inspect.Parameter.VAR_POSITIONAL for _, kind, _ in wanted):
            continue  # torch hides the parameters behind *args
        names = {parameter for parameter, _, _ in wanted}
        found = [
            parameter
            for parameter in parameters(getattr(ours, each))
            if parameter[0] in names or parameter[1] is not inspect.Parameter.KEYWORD_ONLY
        ]
        if found != wanted:
            wrong.append((each, wanted, found))
    assert not wrong


@pytest.mark.parametrize("name", ["e", "inf", "nan", "newaxis", "pi"])
def test_constants(name):
    ours, theirs = (getattr(importlib.import_module(each), name) for each in ("minigrad", "torch"))
    assert repr(ours) == repr(theirs)
