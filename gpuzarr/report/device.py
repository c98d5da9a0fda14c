"""What a read does on a device: its windows are prepared as the read itself would, and counted instead of launched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpuzarr.cuda.program import Decode, Share
from gpuzarr.execute.windows import FLIGHTS, Rehearsed, on_device
from gpuzarr.report.words import count, size

if TYPE_CHECKING:
    from gpuzarr.array import Array

__all__ = ["DeviceWork", "device_work"]


@dataclass(frozen=True, slots=True)
class DeviceWork:
    """What is done for a result on a device, exactly, unless streams turn out to be damaged.

    decoded, why
        Where chunks are decoded, "device" or "host", and why there.
    on_host
        Chunks of a read decoded on the device that it does not take (dictionaries, odd headers): the host decodes them,
        in windows of their own.
    streams
        By compressor: whose code decodes how many streams there, and why that one.
    windows, uploads, uploaded_bytes
        Windows of chunks (or of tiles that only get the fill value); each is one upload of stored bytes and tables.
    fetched_bytes
        Bytes of chunks that are fetched, those that are decoded on the host left out.
    launches, calls
        Kernels launched, and batched calls of nvCOMP.
    downloads, downloaded_bytes
        Reads of status words.
    waits
        How often the host waits for the device.
    device_bytes, host_bytes
        Device memory, and pinned host memory, that the windows in flight take at most, besides the result.
    """

    decoded: str
    why: str
    on_host: int
    streams: tuple[Share, ...]
    windows: int
    uploads: int
    uploaded_bytes: int
    fetched_bytes: int
    launches: int
    calls: int
    downloads: int
    downloaded_bytes: int
    waits: int
    device_bytes: int
    host_bytes: int

    def lines(self) -> Iterator[tuple[str, str]]:
        late = f"; {count(self.on_host, 'chunk')} on the host that it does not take" if self.on_host else ""
        yield "decoded", f"on the {self.decoded}: {self.why}{late}"
        if self.streams:
            yield "streams", "\n".join(map(str, self.streams))
        yield "windows", f"{count(self.windows, 'window')}, {FLIGHTS} in flight"
        yield "upload", f"{count(self.uploads, 'upload')}, {size(self.uploaded_bytes)}"
        calls = f", {count(self.calls, 'call')} of nvCOMP" if self.calls else ""
        yield "launch", f"{count(self.launches, 'kernel')}{calls}, {count(self.waits, 'wait')}"
        yield "read back", f"{count(self.downloads, 'download')} of statuses, {size(self.downloaded_bytes)}"
        yield "memory", f"{size(self.device_bytes)} on the device, {size(self.host_bytes)} pinned, besides the result"


def device_work(array: Array, rehearsed: list[Rehearsed], chunks: int) -> DeviceWork | None:
    """What the windows of a read amount to; None where results are on the host."""
    target = array._reader.target()
    if target is None:
        return None
    choice = on_device(array._binding.chain.leaf, chunks, array._options.runner.threads, target)
    steps = [step for window in rehearsed for step in window.program.launches]
    calls = sum(isinstance(step, Decode) for step in steps)
    words = [window.program.statuses for window in rehearsed if window.program.statuses]
    pairs = [rehearsed[k : k + FLIGHTS] for k in range(len(rehearsed))]
    return DeviceWork(
        decoded="device" if choice.on_device else "host",
        why=choice.why,
        on_host=sum(window.rows for window in rehearsed if window.on_host) if choice.on_device else 0,
        streams=_shares(rehearsed),
        windows=len(rehearsed),
        uploads=len(rehearsed),
        uploaded_bytes=sum(window.program.nbytes for window in rehearsed),
        fetched_bytes=sum(window.fetched for window in rehearsed),
        launches=len(steps) - calls,
        calls=calls,
        downloads=len(words),
        downloaded_bytes=sum(words),
        waits=len(rehearsed),
        device_bytes=max((sum(w.program.nbytes + w.program.scratch for w in pair) for pair in pairs), default=0),
        host_bytes=max((sum(w.program.nbytes + w.program.statuses for w in pair) for pair in pairs), default=0),
    )


def _shares(rehearsed: list[Rehearsed]) -> tuple[Share, ...]:
    """The streams of all windows, those together that are decoded by the same code for the same reason."""
    shares = [share for window in rehearsed for share in window.program.shares]
    total: Counter[Share] = Counter()
    for share in shares:
        total[replace(share, streams=0)] += share.streams
    return tuple(replace(kind, streams=n) for kind, n in total.items())
