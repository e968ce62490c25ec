"""A store in this process that answers late, twice, with errors, or with half of what it was given."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class Faulty(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """`faulty://…`; what is done wrong next is in `plan`: for each operation, one fault for each call."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    plan: ClassVar[dict[str, list[Any]]] = {}
    calls: ClassVar[Counter[str]] = Counter()
    released = threading.Event()  # what is late comes then

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        path = path.removeprefix("faulty://").strip("/")
        return f"/{path}" if path else ""

    def _fault(self, operation: str) -> Any:
        self.calls[operation] += 1
        left = self.plan.get(operation, [])
        fault = left.pop(0) if left else None
        if isinstance(fault, BaseException):
            raise fault
        if fault == "late":
            self.released.wait()
            self.calls["arrived late"] += 1
        return fault

    def pipe_file(self, path: str, value: bytes, *args: Any, **options: Any) -> None:
        fault = self._fault("write")
        super().pipe_file(path, value[: len(value) // 2] if fault == "half" else value)
        if fault == "twice":
            super().pipe_file(path, value)
        if fault == "lost answer":
            raise ConnectionError("the answer was lost")

    def cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        fault = self._fault("read")
        content: bytes = super().cat_file(path, start, end)
        return content[: len(content) // 2] if fault == "half" else content

    def info(self, path: str, **options: Any) -> Any:
        self._fault("look")
        return super().info(path, **options)

    def get_file(self, rpath: str, lpath: str, *args: Any, **options: Any) -> None:
        fault = self._fault("read")
        content: bytes = super().cat_file(rpath)
        with open(lpath, "wb") as file:  # noqa: PTH123  # as fsspec itself
            file.write(content[: len(content) // 2] if fault == "half" else content)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        fault = self._fault("list")
        found = super().ls(path, detail=detail)
        return [*found, *found] if fault == "twice" else found


def empty_faulty_store(plan: dict[str, list[Any]]) -> type[Faulty]:
    """The store without files, and what it will do wrong."""
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    Faulty.store.clear()
    Faulty.pseudo_dirs[:] = [""]
    Faulty.plan.clear()
    Faulty.plan.update(plan)
    Faulty.calls.clear()
    Faulty.released.clear()
    return Faulty
