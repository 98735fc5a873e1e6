from dataclasses import dataclass

from solarflow.node import Node, NodeConfig
from solarflow.testing import NodeBench, at


class Echo(Node):
    type = "echo"

    class Config(NodeConfig):
        hold_s: float = 10

    @dataclass(slots=True)
    class State:
        n: int = 0

    def on_input(self, msg):
        if msg["payload"] == "bad":
            raise ValueError("no")
        self.state[msg["home"]].n += 1
        self.after(self.config.hold_s, self.fire, msg["home"])
        self.send({"home": msg["home"], "payload": self.state[msg["home"]].n})

    def fire(self, home):
        self.send({"home": home, "payload": "fired"})


def test_smoke():
    b = NodeBench(Echo)
    b.feed(1, home="a")
    b.feed(1, home="a", at=5)
    b.advance(20)
    assert b.sent == [at(0, home="a", payload=1), at(5, home="a", payload=2), at(10, home="a", payload="fired")]
    for _ in range(12):
        b.feed("bad", home="a")
    assert len(b.errors) == 10
    b.feed(2, home="b")
    assert b.last["payload"] == 1
    b.advance(31)
    b.feed(2, home="a")
    assert b.last == {"home": "a", "payload": 3, "_msgid": b.last["_msgid"], "ts": b.last["ts"]}
    b.advance(4)
    b.restart(down_s=100)
    b.advance(5)
    assert b.payloads[-1] == 3
    b.advance(1)
    assert b.payloads[-1] == "fired"
    b.feed(2, home="a")
    assert b.last["payload"] == 4
