"""From wires to direct calls: nodes call each other, with an isolating and counting closure for each wire.

No queue and no task stand between two nodes; `docs/architecture.md` has what that costs and what it replaced. The
closures are kept as small as they can be: what is needed only now and then (a breaker that watches a failing node, a
`complete` node, somebody who looks at a wire) replaces the function they call, and nothing is asked for each message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from solarflow.errors import NodeError
from solarflow.message import Message, clone
from solarflow.node import Node

log = logging.getLogger("solarflow.engine")

Deliver = Callable[..., None]
Fail = Callable[[Node, BaseException, Message], None]
WireId = tuple[str, int, str]


class Wire:
    """One wire: `deliver(msg)` calls the target, counts, and lets no error of the target through to the sender."""

    __slots__ = ("count", "deliver", "id", "rebind", "taps")

    def __init__(
        self, id_: WireId, receive: Callable[[Message], Any], fail: Callable[[BaseException, Message], None]
    ) -> None:
        delivered = 0

        def deliver(msg: Message, _port: int = 0) -> None:
            nonlocal delivered
            delivered += 1
            try:
                receive(msg)
            except Exception as error:  # noqa: BLE001 - whatever a node raises stays in that node
                fail(error, msg)

        def count() -> int:
            return delivered

        def rebind(function: Callable[[Message], Any]) -> None:
            nonlocal receive
            receive = function

        self.id = id_
        self.deliver = deliver
        self.count = count
        self.rebind = rebind
        self.taps: list[Callable[[Message], None]] = []


class Cell:
    """A node in the compiled graph: its wires in, its counters, and what now receives for it."""

    def __init__(
        self, node: Node, fail: Fail, on_complete: Callable[[Node, Message], None], before: Cell | None = None
    ) -> None:
        """`before` is the cell of the node's forerunner, whose counts go on."""
        self.node = node
        self.errors: int = before.errors if before else 0
        self.last_error: str = before.last_error if before else ""
        self.last_error_at: float = before.last_error_at if before else 0.0
        self.has_complete = False
        self.guard: Callable[[Callable[[Message], Any]], Callable[[Message], Any]] | None = None
        self.timing: Callable[[Callable[[Message], Any]], Callable[[Message], Any]] | None = None
        self._on_complete = on_complete
        self.fail: Callable[[BaseException, Message], None] = lambda error, msg: fail(node, error, msg)
        self._received_before = before.received if before else 0
        self._sent_before = before.sent if before else 0
        self._sent: list[Callable[[], int]] = []
        self._wires: list[Wire] = []
        self._base: Callable[[Message], Any] = node.on_input
        self.direct = self.wire("", -1)

    def wire(self, source: str, port: int) -> Wire:
        """A new wire to this node."""
        wire = Wire((source, port, self.node.id), self._base, self.fail)
        self._wires.append(wire)
        return wire

    @property
    def wires(self) -> Sequence[Wire]:
        """The wires to this node; the first is the direct one, for buttons and links."""
        return self._wires

    @property
    def received(self) -> int:
        """Messages that came in."""
        return self._received_before + sum(wire.count() for wire in self._wires)

    @property
    def sent(self) -> int:
        """Messages that went out, each counted once however many nodes it went to."""
        return self._sent_before + sum(count() for count in self._sent)

    def disconnect(self) -> None:
        """Forget the wires, keep the counts: the graph is about to be compiled anew."""
        self._received_before, self._sent_before = self.received, self.sent
        self._wires, self._sent = [], []
        self.direct = self.wire("", -1)

    def connect(self, outputs: Sequence[Sequence[Wire | Deliver]], stamp: Callable[[Message], None]) -> None:
        """Give the node its outputs, and take from it what receives."""
        node = self.node
        ports: list[Deliver] = []
        for targets in outputs:
            deliver, count = _port(targets)
            ports.append(deliver if node.forwards else _stamped(deliver, stamp))
            self._sent.append(count)
        node._outputs = tuple(ports)
        node._send_each = _send_each_of(ports, None if node.forwards else stamp)
        node.send = _send_of(ports)  # type: ignore[method-assign]  # the direct call replaces the method
        try:
            self._base = node.input_function(node.send)
        except Exception as error:  # noqa: BLE001 - the other nodes of the deploy are to run all the same
            self.fail(error, {})
            self._base = _broken(error)
        self.refresh()

    def refresh(self) -> None:
        """Build anew what receives, after a guard, a complete node or a tap has come or gone."""
        receive = self._base
        if self.has_complete:
            receive = self._completing(receive)
        if self.timing is not None:
            receive = self.timing(receive)
        if self.guard is not None:
            receive = self.guard(receive)
        for wire in self._wires:
            wire.rebind(_tapped(receive, tuple(wire.taps)) if wire.taps else receive)

    def _completing(self, receive: Callable[[Message], Any]) -> Callable[[Message], None]:
        node, on_complete = self.node, self._on_complete

        def completing(msg: Message) -> None:
            before = clone(msg)  # the recipients may change the message itself
            node._deferred = False
            receive(msg)
            if not node._deferred:
                on_complete(node, before)

        return completing


def _broken(error: Exception) -> Callable[[Message], Any]:
    """What receives for a node that could not be made ready: every message is an error that says why."""
    reason = f"this node could not be made ready: {error}"

    def refuse(_msg: Message) -> None:
        raise NodeError(reason)

    return refuse


def _port(targets: Sequence[Wire | Deliver]) -> tuple[Deliver, Callable[[], int]]:
    sent = 0

    def count() -> int:
        return sent

    if not targets:

        def nowhere(_msg: Message, _port: int = 0) -> None:
            nonlocal sent
            sent += 1

        return nowhere, count
    if len(targets) == 1 and isinstance(targets[0], Wire):
        return targets[0].deliver, targets[0].count  # the wire counts already
    first, *rest = [target.deliver if isinstance(target, Wire) else target for target in targets]

    def to_many(msg: Message, _port: int = 0) -> None:
        nonlocal sent
        sent += 1
        copies = [clone(msg) for _ in rest]  # before the first delivery: that one may change it
        first(msg)
        for deliver, copy in zip(rest, copies, strict=True):
            deliver(copy)

    return to_many, count


def _stamped(deliver: Deliver, stamp: Callable[[Message], None]) -> Deliver:
    def stamped(msg: Message, _port: int = 0) -> None:
        stamp(msg)
        deliver(msg)

    return stamped


def _send_of(ports: Sequence[Deliver]) -> Deliver:
    if len(ports) == 1:
        return ports[0]

    def send(msg: Message, port: int = 0) -> None:
        try:
            deliver = ports[port]
        except IndexError:
            raise NodeError(f"sends on output {port + 1} and has {len(ports)}") from None
        deliver(msg)

    return send


def _send_each_of(ports: Sequence[Deliver], stamp: Callable[[Message], None] | None) -> Callable[[Sequence[Any]], None]:
    def send_each(sent: Sequence[Message | Sequence[Message] | None]) -> None:
        deliveries: list[tuple[Deliver, Message]] = []
        for port, item in enumerate(sent):
            messages = item if isinstance(item, (list, tuple)) else (item,)
            for msg in messages:
                if msg is None:
                    continue
                if not isinstance(msg, dict):
                    raise NodeError(f"sends {type(msg).__name__} on output {port + 1}, where a message is needed")
                if port >= len(ports):
                    raise NodeError(f"sends on output {port + 1} and has {len(ports)}")
                # The first leaves as it is; the others may be the same message, or share something with it.
                deliveries.append((ports[port], clone(msg) if deliveries else msg))
        if stamp is not None and deliveries:
            ids = [msg["_msgid"] for _, msg in deliveries if "_msgid" in msg]
            if not ids:
                stamp(deliveries[0][1])
                ids = [deliveries[0][1]["_msgid"]]
            for _, msg in deliveries:
                msg.setdefault("_msgid", ids[0])  # what is sent together has one id
        for deliver, msg in deliveries:
            deliver(msg)

    return send_each


def _tapped(receive: Callable[[Message], Any], taps: Sequence[Callable[[Message], None]]) -> Callable[[Message], None]:
    def tapped(msg: Message) -> None:
        for tap in taps:
            try:
                tap(msg)
            except Exception:
                log.exception("somebody who looks at a wire has failed; the message goes on")
        receive(msg)

    return tapped


def compile_wires(
    cells: Mapping[str, Cell],
    wires_of: Mapping[str, Sequence[Sequence[str]]],
    queued: frozenset[WireId],
    *,
    enqueue: Callable[[Deliver, Message], None],
    stamp: Callable[[Message], None],
    status_outputs: Mapping[tuple[str, int], Deliver],
) -> dict[WireId, Wire]:
    """Wire up all cells; the wires by (source, port, target)."""
    wires: dict[WireId, Wire] = {}
    for cell in cells.values():
        cell.disconnect()
    for source, cell in cells.items():
        outputs: list[list[Wire | Deliver]] = []
        for port, targets in enumerate(wires_of[source]):
            delivers: list[Wire | Deliver] = []
            for target in targets:
                wire = cells[target].wire(source, port)
                wires[wire.id] = wire
                delivers.append(_queued(wire.deliver, enqueue, cell.fail) if wire.id in queued else wire)
            if (source, port) in status_outputs:
                delivers.append(status_outputs[source, port])
            outputs.append(delivers)
        cell.connect(outputs, stamp)
    for cell in cells.values():
        cell.refresh()
    return wires


def _queued(
    deliver: Deliver, enqueue: Callable[[Deliver, Message], None], fail: Callable[[BaseException, Message], None]
) -> Deliver:
    def queued(msg: Message, _port: int = 0) -> None:
        try:
            enqueue(deliver, msg)
        except NodeError as error:
            fail(error, msg)  # the sender's, whose other wires still get theirs

    return queued
