"""The model page: a model of the gallery, the target of the command line or a saved trace -> graph, findings, modules."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import streamlit as st
import torch

import gradviz
from gradviz.app.explorer import explorer
from gradviz.app.exploring import Exploring
from gradviz.app.link import choice_of_link, choose, exploring_of_link, said_in_link, write_link
from gradviz.app.panels import MODEL_PANELS, panels
from gradviz.app.sentences import show_error, show_unknown
from gradviz.app.shown import Shown
from gradviz.app.work import Job, begun, forget, job_for
from gradviz.diagnose import Diagnosis, Finding
from gradviz.models import MODELS
from gradviz.target import graph_of_target, is_math, names_saved
from gradviz.tracing import trace

MAX_FILE_MB = 16
MAX_FILE_BYTES = MAX_FILE_MB * 2**20
EVERY_S = 1.0
PROGRESS_PX = 460
SAVED = "saved trace"
STOPPED = "stopped as asked; “Trace again” begins anew"
DEVICES = {"cuda": "CUDA", "cpu": "CPU"}


def model_page() -> None:
    """Reads what is to be traced, has it traced in the background, draws what is there."""
    state = st.session_state
    if "model exploring" not in state:
        state["model exploring"] = exploring_of_link()
    job, shown = _chosen_job()
    if unknown := state.get("model unknown"):
        instead = _known()[state["model chosen"]]
        show_unknown(f"There is no model “{unknown}”, which the address asks for; this is “{instead}” instead.")
    if job.refusal is not None:
        show_error(job.refusal)
    if shown is not None:
        drawn = f"model {state['model choices']} {state['model chosen']}"  # each on a canvas of its own, as it is read best
        narrow = state["model exploring"].narrow
        explorer(shown, state["model exploring"], page=drawn, of_model=True, narrow=narrow)
        panels(shown, MODEL_PANELS, narrow=narrow)


def target_of_command_line() -> str:
    """What the app was started with, `train.py:step` or `run.gradviz`, or "". No other file is ever read as Python."""
    text, *_ = st.session_state.get("opened with") or ("",)
    return "" if is_math(text) else text


def _chosen_job() -> tuple[Job, Shown | None]:
    """Draws what chooses a model, and has it traced; what there is of it now is what this run draws."""
    known, target = _known(), target_of_command_line()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=340):
            name = _choice(known)
        device = choose("Device", DEVICES, name="device") if torch.cuda.is_available() else "cpu"
        key = f"{name} on {device}"
        job = _job(name, key, device)
        ended, shown = job.ended, job.shown  # in this order: it may end now
        if name == target or (job.refusal is not None and name != SAVED):
            runs = None if name != target else "Reads the file anew." if names_saved(name) else "Runs the file anew."
            st.button("Trace again", icon=":material/refresh:", help=runs, on_click=forget, args=(key,))
        with st.popover("Open a saved trace", icon=":material/folder_open:"):
            _upload()
        with st.container(width=PROGRESS_PX):
            if not ended:
                _progress(job, shown, count(), may_stop=name != SAVED)
            elif shown is not None and shown.findings is not None:
                _result(shown, shown.findings)
    write_link({"model": [name] if name != SAVED else []})
    return job, shown


def _choice(known: dict[str, str]) -> str:
    """The model that is chosen.

    What the page chooses, after a file was opened, gets a selectbox of its own: the browser may not have heard of it yet and
    send, with what it asks for meanwhile, what it shows still; Streamlit then calls the selectbox from before changed.
    """
    state = st.session_state
    if state.get("model chosen") not in known:
        unnamed = SAVED if SAVED in known else next(iter(known))  # an address never names a file
        asked = choice_of_link("model", known)
        state["model unknown"] = "" if asked else said_in_link("model")
        _choose(asked or unnamed)
    key = f"model {state['model choices']}"
    if key not in state:
        state["model first"] = list(known).index(state["model chosen"])
    first = state["model first"]
    left = partial(_left, state["model choices"])
    name = str(st.selectbox("Model", list(known), first, format_func=known.__getitem__, key=key, on_change=left))
    state["model chosen"] = name
    return name


def _choose(name: str) -> None:
    state = st.session_state
    state["model chosen"], state["model choices"] = name, state.get("model choices", 0) + 1


def _job(name: str, key: str, device: str) -> Job:
    if name == SAVED:
        job: Job = st.session_state["model opened"][1]
        return job
    if name == target_of_command_line():
        return job_for(key, partial(graph_of_target, name, device=device), at_once=True)
    return job_for(key, partial(_from_gallery, name, device))


def _known() -> dict[str, str]:
    """What can be chosen -> what it is called: the target first, then a saved trace, then the gallery."""
    target, opened = target_of_command_line(), st.session_state.get("model opened")
    known = {target: target} if target else {}
    known |= {SAVED: opened[0]} if opened else {}
    return known | {title: title for title in MODELS}


def _left(choices: int) -> None:
    """A visitor chose another model, in the selectbox that is shown."""
    if choices == st.session_state["model choices"]:
        _leave()


def _leave() -> None:
    """Another model: nothing of it is selected or opened yet."""
    st.session_state["model exploring"], st.session_state["model unknown"] = Exploring(), ""


def _from_gallery(title: str, device: str) -> gradviz.GradGraph:
    model, inputs, loss = MODELS[title]()
    return trace(model, *inputs, loss=loss, device=device)


def _upload() -> None:
    """The uploader; what cannot be read is said below it."""
    label = f"A file that `graph.save` wrote, of at most {MAX_FILE_MB} MB"
    st.file_uploader(label, type=["gradviz"], max_upload_size=MAX_FILE_MB, key="model file", on_change=_opened)
    refusal = st.session_state.get("model file refused")
    if refusal is not None:
        show_error(refusal)


def _opened() -> None:
    """Reads an uploaded file; it belongs to this session."""
    state, file = st.session_state, st.session_state["model file"]
    state["model file refused"] = None
    if file is None:
        return
    try:
        graph = _loaded(file)
    except gradviz.GradvizError as error:
        state["model file refused"] = error
        return
    key = f"file {hashlib.sha256(file.getbuffer()).hexdigest()}"
    state["model opened"] = (file.name, begun(key, lambda: graph))
    _choose(SAVED)
    _leave()


def _loaded(file: Any) -> gradviz.GradGraph:
    """The graph in an uploaded file; nothing of it is executed, and its name is only shown."""
    with tempfile.TemporaryDirectory(prefix="gradviz-") as folder:
        path = Path(folder) / "uploaded.gradviz"
        path.write_bytes(file.getbuffer())
        try:
            return gradviz.load(path, max_bytes=MAX_FILE_BYTES)
        except gradviz.InputError as error:
            raise gradviz.InputError(str(error).replace(repr(str(path)), repr(file.name))) from error


def _result(shown: Shown, findings: Sequence[Finding]) -> None:
    """What came out, in two sentences."""
    checked = f"Check: {shown.report.summary.partition('. ')[0]}. " if shown.report else ""
    st.caption(f"{checked}Diagnosis: {Diagnosis(list(findings)).summary}")


@st.fragment(run_every=EVERY_S)
def _progress(job: Job, drawn: Shown | None, runs: Iterator[int], *, may_stop: bool) -> None:
    """How far a job is; draws the page anew when there is more to see.

    Never in the run that draws the page: what a run that is broken off has put into widgets may not reach the browser.

    Args:
        job: not ended yet.
        drawn: what the page shows of it.
        runs: counts how often this has run; 0 is in the run that draws the page.
        may_stop: whether a visitor may stop it, for all who look at it.
    """
    if next(runs) and (job.ended or job.shown is not drawn):
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(job.share, text=f"{job.doing}, {job.elapsed_s:.0f} s")
        if may_stop:
            st.button("Stop", icon=":material/stop:", on_click=job.stop, args=(STOPPED,))
