"""Reads a pickle that holds nothing but dictionaries, lists, texts and numbers, without an unpickler: nothing in it can run."""

import pickletools
from pathlib import Path
from typing import Any

VALUES = ("SHORT_BINUNICODE", "BINUNICODE", "BINFLOAT", "BININT", "BININT1", "BININT2", "LONG1")
GETS = ("BINGET", "LONG_BINGET")


def read_plain(path: Path) -> Any:
    """What the file holds; ValueError for an instruction that could make anything else."""
    stack, marks, memo = list[Any](), list[int](), list[Any]()
    for code, value, at in pickletools.genops(path.read_bytes()):
        match code.name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "MARK":
                marks.append(len(stack))
            case "MEMOIZE":
                memo.append(stack[-1])
            case "APPENDS":
                start = marks.pop()
                stack[start - 1].extend(stack[start:])
                del stack[start:]
            case "APPEND":
                value = stack.pop()
                stack[-1].append(value)
            case "SETITEM":
                key, value = stack[-2:]
                del stack[-2:]
                stack[-1][key] = value
            case "SETITEMS":
                start = marks.pop()
                stack[start - 1].update(zip(stack[start::2], stack[start + 1 :: 2], strict=True))
                del stack[start:]
            case name if name in VALUES:
                stack.append(value)
            case name if name in GETS:
                stack.append(memo[value])
            case name:
                raise ValueError(f"{path} holds more than plain values: {name} at byte {at}")
    (whole,) = stack
    return whole
