"""What a component in the browser has told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st


def event_of(key: str) -> Mapping[str, Any]:
    """The event of a component; empty where it came from a page that was left meanwhile, or is not of ours."""
    told = st.session_state.get(key)
    event = told.get("event") if told is not None else None
    return event if isinstance(event, Mapping) else {}
