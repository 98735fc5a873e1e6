"""Replay: flows run over recorded time, tell the truth about it, and twice give the same bytes. See docs/replay.md.

- `recording`, `figures`, `history`, `resample`: where readings come from
- `changes`: other values and fewer flows, only for the replay
- `course`: the engine in virtual time; `world`: homes, store, alerts, web servers; `plant`: relays and their loads
- `run`: one replay; `ledger`, `marks`, `summary`, `comparison`, `plot`: what came of it
"""

from solarflow.replay.recording import Reading, Recording
from solarflow.replay.run import Options, Replay

__all__ = ["Options", "Reading", "Recording", "Replay"]
