"""Values of an object that are worked out when they are first asked for, and kept. No lock is held meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

__all__ = ["lazy"]

Value = TypeVar("Value")


class lazy(Generic[Value]):  # noqa: N801  # a decorator, as property is
    """`functools.cached_property`, without the lock that it has in Python 3.11.

    That lock is one for all objects of a class, and held while a value is worked out: a child forked at that moment
    would wait for it for ever. Threads that ask at the same time may all work the value out; one is kept.

    >>> class Square:
    ...     side = 3
    ...     @lazy
    ...     def area(self) -> int:
    ...         return self.side**2
    >>> square = Square()
    >>> square.area, vars(square)
    (9, {'area': 9})
    """

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self._make, self._name = make, make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: object, kind: type) -> Value: ...
    def __get__(self, owner: object | None, kind: type) -> Self | Value:
        if owner is None:
            return self
        # What an object has itself comes before what its class has: this is the only time it is asked here.
        value = owner.__dict__[self._name] = self._make(owner)
        return value
