"""paho-mqtt with a bulk reader and writer of our own under its face, and stock paho with the same face.

`BulkClient` reads 64 KB at a time, takes PUBLISH of QoS 0 and 1 apart itself, hands over batches, and gathers what is
published at QoS 0 into few writes. Connecting, TLS, will, keepalive, QoS 1 and 2 sending and QoS 2 receiving stay
paho's. The private names of paho that this needs are checked by `supported()`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import paho.mqtt.client as paho
from paho.mqtt import __version__ as paho_version
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

from solarflow.mqtt.packets import Delivery, Incoming, MalformedError, PacketReader, PublishWriter
from solarflow.mqtt.topics import validate_topic

logger = logging.getLogger(__name__)
_paho_logger = logging.getLogger(f"{__name__}.paho")
# A lost socket is no error here: whoever drives the client says what happened, and what comes next.
_paho_logger.addFilter(lambda record: not str(record.msg).startswith("failed to receive on socket"))

READ_BYTES = 65536
_LARGEST_READ_BYTES = 1 << 20
MAX_PACKET_BYTES = 4 << 20
"""PUBLISH packets longer than this are discarded."""
MAX_BACKLOG_BYTES = 16 << 20
"""QoS 0 messages are refused while this much waits to be written."""

PRIVATE_NAMES = (
    "_sock",
    "_protocol",
    "_in_packet",
    "_out_packet",
    "_msgtime_mutex",
    "_last_bytes_received",
    "_in_callback_mutex",
    "_sock_recv",
    "_packet_handle",
    "_packet_read",
    "_packet_write",
    "_packet_queue",
    "_call_socket_register_write",
)
"""What `BulkClient` reads, calls or overrides in paho's client."""
_IN_PACKET_KEYS = {
    "command",
    "have_remaining",
    "remaining_count",
    "remaining_mult",
    "remaining_length",
    "packet",
    "to_process",
    "pos",
}

OnBatch = Callable[[list[Incoming]], None]


def supported(client_class: type[paho.Client] = paho.Client) -> list[str]:
    """The private paho names that are missing here; empty when `BulkClient` can be used."""
    probe = client_class(CallbackAPIVersion.VERSION2)
    missing = [name for name in PRIVATE_NAMES if not hasattr(probe, name)]
    if "_in_packet" not in missing:
        missing += [f"_in_packet[{key!r}]" for key in sorted(_IN_PACKET_KEYS - set(probe._in_packet))]
    return missing


class StockClient(paho.Client):
    """paho as it is, behind the same face as `BulkClient`: one message per batch."""

    def __init__(
        self,
        *,
        on_batch: OnBatch,
        max_packet_bytes: int = MAX_PACKET_BYTES,
        max_backlog_bytes: int = MAX_BACKLOG_BYTES,
        **options: Any,
    ) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, **options)
        self.on_batch = on_batch
        self.max_packet_bytes = max_packet_bytes
        self.max_backlog_bytes = max_backlog_bytes
        self.discarded = 0
        """Messages that were too long to be handed over."""
        self.on_message = self._one_message
        self.suppress_exceptions = True
        self.enable_logger(_paho_logger)

    def _one_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        if len(message.payload) > self.max_packet_bytes:
            self.discarded += 1
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self.discarded += 1
            return
        incoming = Incoming(topic, bytes(message.payload), message.qos, bool(message.retain), message.properties)
        self.on_batch([incoming])

    def post(self, topic: str, payload: bytes, retain: bool = False) -> bool:
        """Publish at QoS 0. False when there is no connection. Raises TopicError for an impossible topic."""
        validate_topic(topic)
        return self.publish(topic, payload, 0, retain).rc == MQTTErrorCode.MQTT_ERR_SUCCESS


class BulkClient(paho.Client):
    """A paho client that reads and writes in bulk; see the module.

    `on_batch` gets each batch in the thread that drives the client. QoS 1 messages are acknowledged after it returned;
    when it raises, that is logged, and they are not. `post()` belongs to that same thread.
    """

    def __init__(
        self,
        *,
        on_batch: OnBatch,
        max_packet_bytes: int = MAX_PACKET_BYTES,
        max_backlog_bytes: int = MAX_BACKLOG_BYTES,
        **options: Any,
    ) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, **options)
        self.on_batch = on_batch
        self.max_packet_bytes = max_packet_bytes
        self.max_backlog_bytes = max_backlog_bytes
        self._discarded_before = 0
        self._reader = self._new_reader()
        self._reader_socket: Any = None
        self._writer = PublishWriter(protocol_5=self._protocol == paho.MQTTv5)
        self._backlog = bytearray()
        self._reading = False
        self.on_message = self._exactly_once
        self.suppress_exceptions = True  # for the same reason as in _hand_over(); paho logs them
        self.enable_logger(_paho_logger)

    @property
    def discarded(self) -> int:
        """PUBLISH packets that were too long to be handed over."""
        return self._discarded_before + self._reader.discarded

    # ------------------------------------------------------------------------------------------------------ reading

    def _new_reader(self) -> PacketReader:
        return PacketReader(protocol_5=self._protocol == paho.MQTTv5, max_packet_bytes=self.max_packet_bytes)

    def _exactly_once(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        """QoS 2 alone takes paho's way, and comes out here."""
        self.on_batch([Incoming(message.topic, bytes(message.payload), 2, bool(message.retain), message.properties)])

    def _packet_read(self) -> MQTTErrorCode:
        """One read and all that is complete after it. MQTT_ERR_AGAIN tells `loop_read()` that this was all for now."""
        if self._sock is not self._reader_socket:
            self._reader_socket = self._sock
            self._discarded_before += self._reader.discarded
            self._reader = self._new_reader()
        try:
            chunk = self._sock_recv(max(READ_BYTES, min(self._reader.missing_bytes, _LARGEST_READ_BYTES)))
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except OSError as error:
            logger.info("reading from the broker failed: %s", error)
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if not chunk:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        self._reading = True
        try:
            result = self._handle(chunk)
        except (MalformedError, MalformedPacket) as error:
            logger.warning("the broker sent what cannot be read, disconnecting: %s", error)
            result = MQTTErrorCode.MQTT_ERR_PROTOCOL
        finally:
            self._reading = False
        if self._sock is not self._reader_socket:  # a callback, or a DISCONNECT, closed it
            return MQTTErrorCode.MQTT_ERR_AGAIN
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and self.want_write():
            result = self._packet_write()
            if result == MQTTErrorCode.MQTT_ERR_AGAIN or self.want_write():
                self._call_socket_register_write()
        return MQTTErrorCode.MQTT_ERR_AGAIN if result == MQTTErrorCode.MQTT_ERR_SUCCESS else result

    def _handle(self, chunk: bytes) -> MQTTErrorCode:
        for item in self._reader.feed(chunk):
            if isinstance(item, Delivery):
                delivered = not item.messages or self._hand_over(item.messages)
                if delivered and item.acknowledgements and self._sock is self._reader_socket:
                    self._append(item.acknowledgements)
            else:
                self._in_packet = {
                    "command": item.command,
                    "have_remaining": 1,
                    "remaining_count": [],
                    "remaining_mult": 1,
                    "remaining_length": len(item.body),
                    "packet": bytearray(item.body),
                    "to_process": 0,
                    "pos": 0,
                }
                result = self._packet_handle()
                if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return result
            if self._sock is not self._reader_socket:
                break
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _hand_over(self, messages: list[Incoming]) -> bool:
        try:
            with self._in_callback_mutex:
                self.on_batch(messages)
        except Exception:
            # It must not tear a hole into the stream: the rest of this read is still to be cut.
            logger.exception("on_batch failed; %d messages are not acknowledged", len(messages))
            return False
        return True

    # ------------------------------------------------------------------------------------------------------ writing

    def post(self, topic: str, payload: bytes, retain: bool = False) -> bool:
        """Publish at QoS 0, without an info object. False when not connected or when too much waits to be written.

        Raises TopicError for a topic that one cannot publish to. What is posted while a batch is being handed over is
        written once, after it.
        """
        backlog = self._backlog
        if self._sock is None or len(backlog) > self.max_backlog_bytes:
            return False
        first = not backlog
        self._writer.write(backlog, topic, payload, retain)
        if first and not self._reading:
            self._call_socket_register_write()
        return True

    def _append(self, data: bytes) -> None:
        # A command of 0 makes _packet_write() send the bytes and do nothing else with them.
        self._out_packet.append(
            {"command": 0, "mid": 0, "qos": 0, "pos": 0, "to_process": len(data), "packet": data, "info": None}
        )

    def _move_backlog(self) -> None:
        backlog = bytes(self._backlog)
        self._backlog.clear()
        for start in range(0, len(backlog), READ_BYTES):
            self._append(backlog[start : start + READ_BYTES])

    def _packet_queue(
        self,
        command: int,
        packet: bytes | bytearray,
        mid: int,
        qos: int,
        info: paho.MQTTMessageInfo | None = None,
    ) -> MQTTErrorCode:
        if self._backlog:  # what was posted earlier goes first
            self._move_backlog()
        return super()._packet_queue(command, packet, mid, qos, info)

    def _packet_write(self) -> MQTTErrorCode:
        result = super()._packet_write() if self._out_packet else MQTTErrorCode.MQTT_ERR_SUCCESS
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and self._backlog and not self._out_packet:
            self._move_backlog()
            result = super()._packet_write()
        return result

    def want_write(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._backlog) or super().want_write()

    def reconnect(self) -> MQTTErrorCode:
        """Connect anew. QoS 0 messages of the lost connection are gone, as they are in paho."""
        self._backlog.clear()
        return super().reconnect()


AnyClient: TypeAlias = BulkClient | StockClient


def make_client(**options: Any) -> AnyClient:
    """A BulkClient, or, where this paho lacks a private name that it needs, a StockClient and a line in the log."""
    missing = supported()
    if missing:
        logger.warning(
            "this paho-mqtt %s lacks %s: using its own reader, which takes about ten times the CPU per message; "
            "install a version that solarflow asks for",
            paho_version,
            ", ".join(missing),
        )
        return StockClient(**options)
    return BulkClient(**options)
