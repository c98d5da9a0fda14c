"""Streams that are as lazy as CUDA allows: what was put on one happens when somebody waits for it, and no sooner.

So a host that reads before it waited, reuses memory too early, or forgot that one stream has to wait for another
meets the consequences every time, and not only on a busy device.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Event", "Streams"]

Effect = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Event:
    """Happens when a stream has done its first `count` effects."""

    stream: int
    count: int


class Streams:
    """The streams of one device, by their handles. One thread at a time may use it.

    >>> streams, seen = Streams(), []
    >>> streams.put(0, lambda: seen.append("upload"))
    >>> event = streams.event(0)
    >>> streams.put(5, streams.waiting(event))
    >>> streams.put(5, lambda: seen.append("launch"))
    >>> seen
    []
    >>> streams.run(5)
    >>> seen
    ['upload', 'launch']
    """

    def __init__(self) -> None:
        self._queues: defaultdict[int, deque[tuple[Effect, bool]]] = defaultdict(deque)
        self._done: defaultdict[int, int] = defaultdict(int)
        self._busy: set[int] = set()

    def put(self, stream: int, effect: Effect, eager: bool = False) -> None:
        """Let an effect happen on a stream after all it was given before; `eager`: as soon as those are done."""
        self._queues[stream].append((effect, eager))
        self._run_eager(stream)

    def event(self, stream: int) -> Event:
        """What the stream has to do up to now."""
        return Event(stream, self._done[stream] + len(self._queues[stream]))

    def waiting(self, event: Event) -> Effect:
        """The effect of waiting for an event."""
        return lambda: self.reach(event)

    def happened(self, event: Event) -> bool:
        return self._done[event.stream] >= event.count

    def reach(self, event: Event) -> None:
        """Do what leads to an event. An error of an effect is raised here; the effect is not done again."""
        while not self.happened(event):
            self._one(event.stream)
        self._run_eager(event.stream)

    def run(self, stream: int) -> None:
        """Do all that a stream was given."""
        self.reach(self.event(stream))

    def run_all(self) -> None:
        """Do all that every stream was given."""
        for stream in list(self._queues):
            self.run(stream)

    def _one(self, stream: int) -> None:
        effect, _ = self._queues[stream].popleft()
        self._done[stream] += 1
        self._busy.add(stream)
        try:
            effect()
        finally:
            self._busy.discard(stream)

    def _run_eager(self, stream: int) -> None:
        queue = self._queues[stream]
        while queue and queue[0][1] and stream not in self._busy:  # an effect may lead to what leads here
            self._one(stream)
