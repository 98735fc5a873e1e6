"""The python node: what Node-RED's function node promises, with Python."""

import pytest

from solarflow.errors import Where
from solarflow.flowfile import FlowNode
from solarflow.validate import check_type, configure


def run(node, func, payload=1, **config):
    bench = node("python", func=func, **config)
    bench.feed(payload, _msgid="m")
    return bench


def test_the_message_that_is_returned_goes_on(node):
    bench = run(node, 'msg["payload"] *= 2\nreturn msg', 4)
    assert bench.payloads == [8]


def test_a_new_message_keeps_the_id_of_the_one_that_came(node):
    bench = run(node, 'return {"payload": 2}')
    assert bench.last["_msgid"] == "m"


@pytest.mark.parametrize("func", ["return None", "", "pass", "# only a comment", "return [None, None]"])
def test_nothing_returned_is_nothing_sent(node, func):
    bench = run(node, func, outputs=2)
    assert bench.sent == []
    assert bench.errors == []


def test_a_list_has_one_entry_for_each_output(node):
    bench = run(node, 'a, b = {"payload": 1}, {"payload": 2}\nreturn [msg, None, [a, b]]', "x", outputs=3)
    assert [(seen.port, seen.msg["payload"]) for seen in bench.sent] == [(0, "x"), (2, 1), (2, 2)]


def test_one_message_on_two_outputs_goes_out_as_two(node):
    bench = run(node, "return [msg, msg]", outputs=2)
    first, second = (seen.msg for seen in bench.sent)
    assert first == second
    assert first is not second


def test_send_sends_at_once_and_a_copy(node):
    bench = run(
        node, 'for n in range(2):\n    msg["payload"] = n\n    node.send(msg)\nnode.send([None, msg])', outputs=2
    )
    assert [(seen.port, seen.msg["payload"]) for seen in bench.sent] == [(0, 0), (0, 1), (1, 1)]


@pytest.mark.parametrize(
    ("func", "said"),
    [
        ("return 5", "the code gives a int, where a message (a dict), a list with one entry for each output, or None"),
        ("return [msg, msg]", "the code gives 2 outputs, and the node has 1"),
        ("x = 1\nx / 0", "line 2: ZeroDivisionError: division by zero"),
        ("def f():\n    raise ValueError('no')\nf()", "line 2: ValueError: no"),
        ("import json\nreturn json.loads('x')", "line 2: JSONDecodeError"),
    ],
)
def test_an_error_tells_the_line(node, func, said):
    bench = run(node, func)
    assert said in bench.errors[0]
    assert bench.sent == []


def test_after_an_error_the_next_message_is_unharmed(node):
    bench = run(node, 'msg["payload"] = 1 / msg["payload"]\nreturn msg', 0)
    bench.feed(2)
    assert bench.payloads == [0.5]


def test_flow_and_global_values_are_kept_and_given_as_copies(node):
    func = (
        'items = flow.get("items", [])\nitems.append(msg["payload"])\nmsg["seen"] = flow.get("items", [])\n'
        'flow.set("items", items)\nglobal_.set("n", len(items), store="durable")\nmsg["keys"] = flow.keys()\nreturn msg'
    )
    bench = run(node, func)
    bench.feed(2)
    assert [seen.msg["seen"] for seen in bench.sent] == [[], [1]]
    assert bench.last["keys"] == ["items"]
    bench.restart()
    bench.configure(func='msg["payload"] = [flow.get("items"), global_.get("n", store="durable")]\nreturn msg')
    bench.feed(0)
    assert bench.payloads[-1] == [None, 2]


def test_the_environment_and_the_flow_s_time_can_be_read(node):
    bench = node(
        "python",
        func='msg["payload"] = [env.get("A"), env.get("B"), node.now()]\nreturn msg',
        bench={"env": {"A": "x"}},
    )
    bench.feed(0, at=10)
    assert bench.payloads == [["x", None, bench.clock.now()]]


def test_it_shows_a_status_warns_logs_and_reports_errors(node):
    bench = run(node, 'node.status("busy", "blue")\nnode.warn("w")\nnode.log("l")\nnode.error("e", msg)\nreturn msg')
    assert bench.status() == "busy"
    assert bench.logged == ["w", "l"]
    assert bench.errors == ["e"]
    assert len(bench.sent) == 1


def test_initialize_runs_once_before_the_first_message_and_its_names_are_seen(node):
    bench = node("python", initialize="import math\nscale = 10\nnode.send({'payload': 'begun'})",
                 func='msg["payload"] = math.floor(msg["payload"] * scale)\nreturn msg')  # fmt: skip
    bench.feed(1.25)
    assert bench.payloads == ["begun", 12]


def test_finalize_runs_when_the_node_goes(node):
    bench = node(
        "python", initialize="n = 0", func='global n\nn += msg["payload"]', finalize="node.send({'payload': n})"
    )
    bench.feed(2)
    bench.feed(3)
    bench.configure(func="return msg")
    assert bench.payloads == [5]


def test_an_error_in_initialize_tells_where(node):
    bench = node("python", initialize="x = 1\nx.y", func="return msg")
    assert bench.errors == ["initialize, line 2: AttributeError: 'int' object has no attribute 'y'"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"func": "x = 1\ny = = 2"}, "line 2, column 5: invalid syntax"),
        (
            {"func": "if msg:\nreturn msg"},
            "line 2, column 1: expected an indented block after 'if' statement on line 1",
        ),
        ({"func": "  x = 1\ny = 2"}, "line 1, column 2: unexpected indent"),
        ({"func": "yield msg"}, "the code has 'yield' or 'await' outside a function of its own"),
        ({"func": "a\0b"}, "null byte"),
        ({"initialize": "return 1"}, "line 1, column 1: 'return' outside function"),
        ({"outputs": -1}, "expected a value of at least 0"),
        ({"functoin": ""}, "the property is not known to 'python'; did you mean 'func'?"),
    ],
)
def test_what_is_not_python_is_refused_with_line_and_column(registry, config, said):
    _, problems = configure(Where(), registry["python"], config, config)
    assert said in problems[0].what


def test_it_is_refused_where_the_project_does_not_allow_code(registry):
    flow_node = FlowNode("1", "python", "f.json", {})
    assert [problem.code for problem in check_type(flow_node, registry, False)] == ["code-not-allowed"]
    assert check_type(flow_node, registry, True) == []
