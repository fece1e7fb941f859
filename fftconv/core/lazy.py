"""Properties that are computed once, without a lock.

Python 3.11's ``functools.cached_property`` computes under one lock per property, shared by all instances. A process
forked while another thread is inside never sees that lock open again. Here two threads may both compute a
value, which does no harm: it follows from frozen fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):
    """A property of an immutable object, kept in its ``__dict__`` once computed.

    Examples
    --------
    >>> class Square:
    ...     side = 3
    ...
    ...     @lazy
    ...     def area(self):
    ...         print("computing")
    ...         return self.side**2
    >>> square = Square()
    >>> square.area + square.area
    computing
    18
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...
    def __get__(self, instance: object | None, owner: type | None = None) -> lazy[T] | T:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
