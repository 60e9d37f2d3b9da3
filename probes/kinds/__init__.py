"""How to ask: one file per kind of probe; the file name is the YAML key. The folder is the registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from probes.core.kind import Kind


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(found.name for found in iter_modules(__path__) if not found.ispkg and not found.name.startswith("_")))


@cache
def _load(name: str) -> Kind:
    kind = import_module(f"{__name__}.{name}").KIND
    if not isinstance(kind, Kind) or kind.name != name:
        raise TypeError(f"probes/kinds/{name}.py must define KIND, a Kind whose name is {name!r}")
    return kind


class _Kinds(Mapping[str, Kind]):
    """Every module of this folder, by name. A module is imported only when its key is used; what the kinds share is in ``wire``."""

    def __getitem__(self, name: str) -> Kind:
        if name not in _names():
            raise KeyError(name)
        return _load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_names())

    def __len__(self) -> int:
        return len(_names())

    def __contains__(self, name: object) -> bool:
        return name in _names()


KINDS: Final[Mapping[str, Kind]] = _Kinds()
