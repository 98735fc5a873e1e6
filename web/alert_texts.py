"""Alerts in the reader's words: what happened and what to do, from an alert's code and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask_babel import gettext as _

from solarflow.web import i18n

Parameters = Mapping[str, Any]


class AlertText(NamedTuple):
    """A headline, what was seen, and what to do; the last two may be empty."""

    title: str
    seen: str = ""
    mend: str = ""


def alert_text(code: str, parameters: Parameters) -> AlertText:
    """The words for an alert. One whose code nobody has described shows its parameters as they are."""
    kind, _slash, detail = code.partition("/")
    describe = _TEXTS.get(kind)
    if describe is not None:
        return describe(parameters, detail)
    return AlertText(code, ", ".join(f"{name}: {value}" for name, value in parameters.items()))


def _number(parameters: Parameters, name: str) -> float | None:
    value = parameters.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _low_yield(parameters: Parameters, _detail: str) -> AlertText:
    ratio = _number(parameters, "rapporto")
    rule = parameters.get("regola")
    seen = ""
    if ratio is not None and rule in ("learned", "absolute"):
        seen = _("Its panels give %(share)s of what the neighbours' give, less than is usual for it.",
                 share=i18n.share(ratio))  # fmt: skip
    elif ratio is not None:
        seen = _("Its panels give %(share)s of what the neighbours' give.", share=i18n.share(ratio))
    return AlertText(
        _("Low production"), seen, _("Look for dirt, new shade, a tripped breaker, or a fault that the inverter shows.")
    )


def _clock_skew(parameters: Parameters, _detail: str) -> AlertText:
    ahead_s = _number(parameters, "ahead_s")
    topic = str(parameters.get("topic", ""))
    seen = "" if ahead_s is None else _("Its readings on %(topic)s claim to come from %(time)s ahead and are not used.",
                                        topic=topic, time=i18n.age(ahead_s))  # fmt: skip
    return AlertText(_("Wrong clock"), seen, _("Set the clock of the device, best by a time server (NTP)."))


def _relay_no_answer(parameters: Parameters, detail: str) -> AlertText:
    tries = _number(parameters, "tries")
    load = str(parameters.get("load") or "")
    seen = "" if tries is None else _("It was told %(state)s %(tries)s times and did not report that it is.",
                                      state=str(parameters.get("told", "")), tries=i18n.count(tries))  # fmt: skip
    named = _("Relay %(relay)s (%(load)s) does not answer", relay=detail, load=load)
    return AlertText(
        named if load else _("Relay %(relay)s does not answer", relay=detail),
        seen,
        _("Check the power and the network of the device, and that it reports its state."),
    )


_TEXTS: dict[str, Callable[[Parameters, str], AlertText]] = {
    "low-yield": _low_yield,
    "clock-skew": _clock_skew,
    "relay-no-answer": _relay_no_answer,
}
