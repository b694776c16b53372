"""The difference between two JSON values, as a JSON value.

A patch is `{"key or index": patch, …}`, which changes some entries of an object or a list and leaves its
shape alone; or `[new]`, which replaces; or a plain value, which replaces as well.
"""

from __future__ import annotations

from typing import Any

from nvltop.wire.schema import CodecError


def diff(old: Any, new: Any) -> Any:
    """Return the patch from `old` to `new`, None if they are equal."""
    if old == new:
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return {str(i): diff(a, b) for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b}
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        return {k: diff(old[k], v) for k, v in new.items() if old[k] != v}
    return [new] if new is None or isinstance(new, (dict, list)) else new


def apply(old: Any, patch: object) -> Any:
    """Return `old` as `patch` changes it; `old` stays. Raise `CodecError` if the patch does not fit."""
    if isinstance(patch, (str, int, float)):
        return patch
    if isinstance(patch, list) and len(patch) == 1:
        return patch[0]
    if isinstance(patch, dict) and isinstance(old, dict):
        if not patch.keys() <= old.keys():
            raise CodecError("changes what is not there")
        return old | {k: apply(old[k], v) for k, v in patch.items()}
    if isinstance(patch, dict) and isinstance(old, list):
        new = list(old)
        for key, change in patch.items():
            if not key.isdecimal() or len(key) > 6 or int(key) >= len(new):
                raise CodecError("changes what is not there")
            new[int(key)] = apply(new[int(key)], change)
        return new
    raise CodecError("not a change")
