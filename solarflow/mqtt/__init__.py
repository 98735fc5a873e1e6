"""The MQTT client: a connection that stays up, subscriptions that each get every message once, topics and templates.

`Connection` is what nodes use. It is driven by the engine's asyncio loop, without a network thread. Under it stands
paho-mqtt with a reader and writer of our own (`BulkClient`), which hand over messages in batches.
"""

from solarflow.mqtt.client import BulkClient, StockClient, make_client, supported
from solarflow.mqtt.connection import Connection, Counters, State
from solarflow.mqtt.options import Backoff, BrokerOptions, Limits, Outgoing
from solarflow.mqtt.packets import Incoming
from solarflow.mqtt.routing import Subscription
from solarflow.mqtt.topics import TopicError, TopicTemplate, matches, validate_filter, validate_topic

__all__ = [
    "Backoff",
    "BrokerOptions",
    "BulkClient",
    "Connection",
    "Counters",
    "Incoming",
    "Limits",
    "Outgoing",
    "State",
    "StockClient",
    "Subscription",
    "TopicError",
    "TopicTemplate",
    "make_client",
    "matches",
    "supported",
    "validate_filter",
    "validate_topic",
]
