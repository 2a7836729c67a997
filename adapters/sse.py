"""Server-sent events, parsed as they arrive (WHATWG HTML, "Parsing an event stream")."""

from __future__ import annotations

from typing import Final

from engine.errors import UpstreamError

MAX_EVENT: Final = 8 * 1024 * 1024
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
BETWEEN: Final = b"}\n\ndata: {"  # two events that are each one JSON object
APART: Final = b"}\n{"  # the same objects as lines
END: Final = b"data: [DONE]\n\n"


def as_lines(chunk: bytes) -> tuple[bytes, int, bool] | None:
    """What nearly every chunk is, without a parser: whole events, each one JSON object on one line and nothing else,
    and perhaps the end mark behind them. Their objects as lines, how many those must be, and whether the end was said;
    None: it takes a parser to know.

    JSON has no place where `}` and `{` follow each other but between two values, so whoever reads exactly that many
    values in the lines has read exactly one an event."""
    done = chunk.endswith(END)
    whole = chunk[: -len(END)] if done else chunk
    if not (whole.startswith(b"data: {") and whole.endswith(b"}\n\n")) or b"\r" in whole:
        return None
    said = whole[6:-2]
    lines = said.replace(BETWEEN, APART)
    return lines, 1 + (len(said) - len(lines)) // (len(BETWEEN) - len(APART)), done


class EventParser:
    """`feed` bytes cut anywhere, get the data of each event completed by them. Names, ids and comments are skipped.

    Raises UpstreamError once an event grows beyond MAX_EVENT bytes.
    """

    __slots__ = ("_data", "_partial", "_size", "_skip_newline")

    def __init__(self) -> None:
        self._partial: list[bytes] = []  # pieces of a line whose end is not here yet
        self._data: list[bytes] = []  # data lines of the event that is still open
        self._size = 0
        self._skip_newline = False

    @property
    def between(self) -> bool:
        """Nothing of an event that is not whole is here: the next byte begins another one."""
        return not (self._partial or self._data or self._skip_newline)

    def feed(self, chunk: bytes) -> list[bytes]:
        if b"\r" in chunk or self._skip_newline:
            chunk = self._with_newlines(chunk)
        if b"\n" not in chunk:
            self._grow(len(chunk))
            self._partial.append(chunk)
            return []
        lines = chunk.split(b"\n")
        if self._partial:
            self._partial.append(lines[0])
            lines[0] = b"".join(self._partial)
        rest = lines.pop()
        self._partial = [rest] if rest else []
        events = self._events(lines)
        if events or not self._data:
            self._size = sum(map(len, self._data))
            self._grow(len(rest))
        else:
            self._grow(len(chunk))
        return events

    def rest(self) -> list[bytes]:
        """The stream is over: an event that lacks only its blank line. The standard drops it; some servers end so."""
        return self.feed(b"\n\n")

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
                continue
            if line.startswith(BYTE_ORDER_MARK):
                line = line[3:]  # noqa: PLW2901
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                data.append(b"")
        return events

    def _with_newlines(self, chunk: bytes) -> bytes:
        """CR LF and CR as LF, also when CR and LF come apart."""
        if self._skip_newline and chunk:
            self._skip_newline = False
            chunk = chunk.removeprefix(b"\n")
        if chunk.endswith(b"\r"):
            self._skip_newline = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_EVENT:
            raise UpstreamError("The model's service sent an event that is too large.")
