"""A test that asks how fast this machine is fails on a busier one."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
CLOCKS = {"current_time", "monotonic", "perf_counter", "process_time", "thread_time"}
MOCKED = {"autojump_clock", "mock_clock"}


def is_elapsed(node: ast.expr) -> bool:
    """Whether an expression subtracts from what a clock says now."""
    match node:
        case ast.BinOp(left=ast.Call(func=ast.Attribute(attr=name)), op=ast.Sub()):
            return name in CLOCKS
    return False


def timed(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of the tests without a mocked clock that demand that less than some time has passed."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if MOCKED & {argument.arg for argument in function.args.args}:
            continue
        for node in ast.walk(function):
            match node:
                case ast.Assert(test=ast.Compare(left=left, ops=[ast.Lt() | ast.LtE(), *_])) if is_elapsed(left):
                    yield node.lineno


def test_no_test_demands_a_speed() -> None:
    """Where time matters the clock is mocked; what may take long is only guarded by a limit that stops the test."""
    found = [
        f"{file.relative_to(TESTS)}:{line}"
        for file in sorted(TESTS.rglob("test_*.py"))
        if any(clock in (text := file.read_text()) for clock in CLOCKS)
        for line in timed(ast.parse(text))
    ]
    assert found == []
