"""LLVM, for the processor at hand (optional: llvmlite, which numba brings)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any


def features() -> Any:
    """What the processor has, by LLVM's names; ImportError without llvmlite."""
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_features()


def vector_bytes() -> int:
    """Bytes of the widest vectors."""
    found = features()
    return 64 if found.get("avx512f") else 32 if found.get("avx2") else 16


def fuses() -> bool:
    """Whether the processor multiplies and adds in one rounding, as NumPy's products of complex numbers then do."""
    found = features()
    return bool(found.get("fma") or found.get("neon"))


def compiled(text: str) -> Any:
    """What keeps the functions of `text` alive, and knows their addresses (``get_function_address(name)``)."""
    import llvmlite.binding as llvm

    # older versions want it, newer ones refuse it
    with suppress(RuntimeError):
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(text)
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features().flatten(), opt=3
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine
