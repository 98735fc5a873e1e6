"""What commands ask of a running instance, with the access token of its data folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request

from solarflow.broker_rights import hash_secret, new_credential
from solarflow.errors import SolarFlowError, StoreError
from solarflow.instance import Instance, write_broker_user
from solarflow.store import DataFolder


def blueprint(instance: Instance) -> Blueprint:
    """Routes below /api/admin/."""
    routes = Blueprint("admin", __name__, url_prefix="/api/admin")

    def folder() -> DataFolder:
        if instance.folder is None:
            raise StoreError("the data folder is not open")
        return instance.folder

    @routes.post("/deploy")
    def deploy() -> Response:
        mode = request.args.get("mode", "nodes")
        if mode not in ("nodes", "flows", "full"):
            abort(400, f"'{mode}' is not a way to deploy; nodes, flows and full are")
        result = instance.deploy(mode)  # type: ignore[arg-type]  # checked above
        return jsonify(
            started=result.started,
            stopped=result.stopped,
            kept=result.kept,
            warnings=[str(problem) for problem in instance.problems],
        )

    @routes.get("/homes")
    def homes() -> Response:
        return jsonify(homes=json.loads(folder().homes.export_json()), pending=_pending(folder()))

    @routes.post("/homes")
    def import_homes() -> Response:
        text = request.get_data(as_text=True)
        saved, problems = instance.call(lambda: folder().homes.import_json(text))
        if problems:
            raise SolarFlowError("\n".join(str(problem) for problem in problems))
        return jsonify(saved=saved)

    @routes.post("/homes/<home>/approve")
    def approve(home: str) -> Response:
        approved = instance.call(lambda: folder().homes.approve(home))
        return jsonify(approved=approved.id)

    @routes.post("/homes/<home>/credential")
    def credential(home: str) -> Response:
        if instance.broker is None:
            raise SolarFlowError("this instance uses a broker of its own choosing: give the home a user there")
        user, secret = new_credential(home)
        write_broker_user(instance.options.data, user, hash_secret(secret))
        instance.rights.set_user(user, hash_secret(secret), home)
        instance.call(instance.broker.refuse_anonymous)
        return jsonify(user=user, secret=secret)

    return routes


def _pending(folder: DataFolder) -> list[dict[str, Any]]:
    return [asdict(home) for home in folder.homes.pending()]
