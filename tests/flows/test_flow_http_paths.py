"""The paths that `http in` nodes may answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flow_helpers import lines, node

from solarflow.errors import Problem

Problems = Callable[..., list[Problem]]


@pytest.mark.parametrize("path", ["/", "/health", "metrics/", "/_live", "/api/admin", "/api/admin/x", "/static/:file"])
def test_a_path_of_solarflow_itself_is_refused(problems_of: Problems, path: str) -> None:
    (problem,) = problems_of(node("a", "http in", url=path))
    assert lines([problem]) == [
        f"error: a: url: requests for /{path.strip('/')} are answered by SolarFlow itself and never come here"
    ]
    assert problem.mend == (
        "give it another path; not for flows are: /, /_live, /health, /metrics, /api/admin/*, /static/*"
    )


@pytest.mark.parametrize("path", ["/live", "/healthy", "/api", "/api/administration", "/:page", "/*", "/statics"])
def test_any_other_path_is_a_flows(problems_of: Problems, path: str) -> None:
    assert problems_of(node("a", "http in", url=path)) == []
