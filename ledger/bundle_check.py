"""Is this bundle what was signed? Told from its lines alone: no server, no database, no clock.

Nothing here raises for what a bundle holds. Whatever is wrong is a `Fault`; the first names the
place. What an auditor brings (`Trust`) and cannot be used is refused: NoteRefused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ledger.bundle import SEALED, TILE, Part, end_line, header_line, seal
from ledger.bundle_faults import Fault, Kind
from ledger.bundle_reading import NAMES, Each, Line, Reading
from ledger.notes import Checkpoint, NoteRefused, Verifier, read_note, signers_of

Json = Any


@dataclass(frozen=True, slots=True)
class Trust:
    """What an auditor has from elsewhere: keys, checkpoints, how many events there were."""

    keys: Sequence[str] = ()
    checkpoints: Sequence[str] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; without faults the bundle is what was signed.

    `trusted` are the keys that signed it and that the auditor brought; `known` the sizes of the
    auditor's checkpoints that its events continue; `first` and `last` when events were recorded.
    """

    faults: tuple[Fault, ...]
    origin: str = ""
    size: int = 0
    root: str = ""
    keys: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    known: tuple[int, ...] = ()
    first: str = ""
    last: str = ""
    token: str | None = None
    answer: bytes | None = None


def check(lines: Iterable[bytes], trust: Trust | None = None, each: Each | None = None) -> Report:
    """Check a bundle's lines, each with its newline; raises NoteRefused for what is to be trusted.

    `each` is told every line of an event before it is known to be right.
    """
    brought = _Brought.of(trust or Trust())
    reading = Reading(each, frozenset(known.size for _, known in brought.checkpoints))
    for line in lines:
        reading.take(line)
    reading.finish()
    return _Judging(reading, brought).report()


@dataclass(frozen=True, slots=True)
class _Brought:
    """What the auditor brought, read: keys, checkpoints with their notes, a size."""

    keys: tuple[Verifier, ...]
    checkpoints: tuple[tuple[str, Checkpoint], ...]
    size: int

    @classmethod
    def of(cls, trust: Trust) -> _Brought:
        keys = tuple(Verifier.parse(key.strip()) for key in trust.keys)
        notes = [(note, Checkpoint.parse(read_note(note)[0])) for note in trust.checkpoints]
        return cls(keys, tuple(sorted(notes, key=lambda each: each[1].size)), trust.size)


class _Judging:
    """Weighs what was read against the checkpoint, and both against what the auditor brought."""

    def __init__(self, reading: Reading, brought: _Brought) -> None:
        self._reading = reading
        self._brought = brought
        self._keys: tuple[Verifier, ...] = ()
        self._trusted: tuple[Verifier, ...] = ()
        self._known: list[int] = []
        self._note = ""
        self._signatures_hold = False
        self._checkpoint: Checkpoint | None = None

    def report(self) -> Report:
        """Say what was found."""
        signed = tuple(self._unsigned())
        found = (*self._events(), *signed)
        sealed = tuple(self._unsealed(found))
        kept = tuple(self._forgotten())
        reading, checkpoint = self._reading, self._checkpoint
        answer = reading.parts.get(Part.ANSWER)
        return Report(
            _each_once((*found, *sealed, *kept)),
            origin=checkpoint.origin if checkpoint else "",
            size=checkpoint.size if checkpoint else 0,
            root=checkpoint.root.hex() if checkpoint else "",
            keys=tuple(key.text() for key in self._keys),
            trusted=tuple(key.text() for key in self._trusted),
            known=tuple(self._known),
            first=reading.first,
            last=reading.last,
            token=self._text(Part.TOKEN),
            answer=None if answer is None else answer.text[len(b'{"answer":') : -1],
        )

    # --- Lines that are no events ---

    def _unsealed(self, wrong: Sequence[Fault]) -> Iterator[Fault]:
        """Find the lines that are not what the end line says they hash to.

        What is `wrong` by itself is named first: the end line only speaks against what nothing
        else can tell.
        """
        parts = self._reading.parts
        end = parts.get(Part.END)
        if end is None:
            return
        seals = {part: seal(parts[part].text) for part in SEALED if part in parts}
        if end.text == end_line(end.number - 1, seals):
            return
        said = _object(_object(_object(end.text).get("end")).get("sha256"))
        for part in (Part.TOKEN, Part.ANSWER) if said else ():
            if said.get(part.value) != seals.get(part):
                line = parts.get(part, end).number
                words = f"Line {line}: {NAMES[part]} is not what line {end.number} seals."
                yield Fault(part, Kind.CHANGED, line, words)
                return
        if not wrong:
            words = f"Line {end.number}: the end is not what it must be behind the lines above it."
            yield Fault(Part.END, Kind.CHANGED, end.number, words)

    def _member(self, part: Part) -> Json:
        """Read a line that has one member, written as the format has it; None if it has not."""
        line = self._reading.parts.get(part)
        value = None if line is None else _object(line.text).get(part.value)
        written = line is not None and orjson.dumps({part.value: value}) == line.text
        return value if written else None

    def _text(self, part: Part) -> str | None:
        value = self._member(part)
        return value if isinstance(value, str) else None

    # --- Who signed ---

    def _unsigned(self) -> Iterator[Fault]:
        """Find what is wrong with the checkpoint, its keys, or what the header says of it."""
        yield from self._read_keys()
        line = self._reading.parts.get(Part.CHECKPOINT)
        if line is None:
            return
        try:
            self._note = self._text(Part.CHECKPOINT) or ""
            self._checkpoint = Checkpoint.parse(read_note(self._note)[0])
            yield from self._signed(line)
            self._signatures_hold = True
        except NoteRefused as refused:
            words = f"Line {line.number}: the checkpoint cannot be trusted. {refused}"
            yield Fault(Part.CHECKPOINT, Kind.REFUSED, line.number, words)
        yield from self._header()

    def _read_keys(self) -> Iterator[Fault]:
        line = self._reading.parts.get(Part.KEYS)
        if line is None:
            return
        keys = self._member(Part.KEYS)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            words = f"Line {line.number}: this is not a list of keys."
            yield Fault(Part.KEYS, Kind.REFUSED, line.number, words)
            return
        try:
            self._keys = tuple(Verifier.parse(key) for key in keys)
        except NoteRefused as refused:
            words = f"Line {line.number}: the keys cannot be read. {refused}"
            yield Fault(Part.KEYS, Kind.REFUSED, line.number, words)

    def _signed(self, line: Line) -> Iterator[Fault]:
        if self._brought.keys:
            self._trusted = tuple(signers_of(self._note, self._brought.keys)[1])
        if self._keys or not self._brought.keys:
            signed = signers_of(self._note, self._keys)[1]
            for key in self._keys:
                if key not in signed:
                    words = f"Line {line.number}: the key {key.name} has not signed the checkpoint."
                    yield Fault(Part.CHECKPOINT, Kind.REFUSED, line.number, words)

    def _header(self) -> Iterator[Fault]:
        line, checkpoint = self._reading.parts.get(Part.HEADER), self._checkpoint
        if line is None or checkpoint is None:
            return
        if line.text != header_line(checkpoint.origin, checkpoint.size):
            words = (
                f"Line {line.number}: the header is not that of a bundle of the {checkpoint.size} "
                f"events of {checkpoint.origin}, of which the checkpoint is."
            )
            yield Fault(Part.HEADER, Kind.CHANGED, line.number, words)

    # --- Events ---

    def _events(self) -> Iterator[Fault]:
        """Find what is wrong with the events, or with the hashes listed behind them."""
        fault, checkpoint = self._reading.fault, self._checkpoint
        if checkpoint is None:
            yield from () if fault is None else (fault,)
        elif fault and self._reading.judged_by and self._leads(checkpoint):
            yield self._list_damaged(fault)
        elif fault is not None:
            yield fault
        elif self._signatures_hold and not self._leads(checkpoint):
            yield self._elsewhere(checkpoint)

    def _leads(self, checkpoint: Checkpoint) -> bool:
        """Tell whether the events, as they are, lead to the signed root."""
        seen = self._reading.seen
        return seen.size == checkpoint.size and seen.root() == checkpoint.root

    def _list_damaged(self, fault: Fault) -> Fault:
        # Behind more events than it lists it stands too far down: there it should be.
        line = fault.line if fault.kind is Kind.ADDED else self._reading.judged_by
        position = fault.position
        words = (
            f"Line {line}: the list of hashes is damaged at event {position}, or out of place; "
            "the events themselves are as they were signed."
        )
        return Fault(Part.LEAVES, Kind.CHANGED, line, words, position)

    def _elsewhere(self, checkpoint: Checkpoint) -> Fault:
        """Say that events and hashes agree, and not with the checkpoint."""
        line, size = self._reading.parts[Part.CHECKPOINT].number, self._reading.seen.size
        if size != checkpoint.size:
            age = "older" if checkpoint.size < size else "newer"
            words = (
                f"Line {line}: the checkpoint is of {checkpoint.size} events and the bundle has "
                f"{size}: it is {age} than the bundle."
            )
            return Fault(Part.CHECKPOINT, Kind.OLDER, line, words)
        last = max((known.size for _, known in self._agreeing()), default=0)
        words = (
            f"Events {last + 1} to {size} are not what was signed: one of them or more was "
            "changed, and its listed hash with it."
        )
        return Fault(Part.EVENT, Kind.CHANGED, last + 2 + last // TILE, words, last + 1)

    # --- What the auditor knows ---

    def _agreeing(self) -> Iterator[tuple[str, Checkpoint]]:
        roots = self._reading.roots
        for note, known in self._brought.checkpoints:
            if roots.get(known.size) == known.root:
                yield note, known

    def _forgotten(self) -> Iterator[Fault]:
        """Find where the bundle is not what the auditor has seen before."""
        checkpoint = self._checkpoint
        if checkpoint is None:
            return
        line = self._reading.parts[Part.CHECKPOINT].number
        if checkpoint.size < self._brought.size:
            yield _older(checkpoint, self._brought.size, line)
        for note, known in self._brought.checkpoints:
            yield from self._continued(note, known, checkpoint, line)

    def _continued(
        self, note: str, known: Checkpoint, checkpoint: Checkpoint, line: int
    ) -> Iterator[Fault]:
        what = f"your checkpoint of {known.size} events"
        try:
            signers_of(note, self._brought.keys or self._keys)
        except NoteRefused as refused:
            yield Fault(None, Kind.REFUSED, line, f"As for {what}: {refused}")
            return
        if known.origin != checkpoint.origin:
            words = f"This is {checkpoint.origin}, and {what} is of another ledger, {known.origin}."
            yield Fault(Part.CHECKPOINT, Kind.REFUSED, line, words)
        elif known.size > checkpoint.size:
            yield _older(checkpoint, known.size, line)
        elif self._reading.roots.get(known.size) != known.root:
            words = f"Events 1 to {known.size} are not those of {what}: history was rewritten."
            yield Fault(Part.EVENT, Kind.CHANGED, line, words)
        else:
            self._known.append(known.size)


def _older(checkpoint: Checkpoint, size: int, line: int) -> Fault:
    words = (
        f"Line {line}: the checkpoint is older than what you know: it is of {checkpoint.size} "
        f"events, and {size - checkpoint.size} more were signed."
    )
    return Fault(Part.CHECKPOINT, Kind.OLDER, line, words)


def _each_once(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """Keep the first fault of each line: what follows it there follows from it."""
    first: dict[tuple[Part | None, int], Fault] = {}
    for fault in faults:
        first.setdefault((fault.part, fault.line), fault)
    return tuple(first.values())


def _object(value: Json) -> dict[str, Json]:
    if isinstance(value, bytes):
        try:
            value = orjson.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}
