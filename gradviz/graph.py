"""`GradGraph`: the traced graph, on which every networkx algorithm runs, and the public ways to all that reads it.

The attributes of its nodes and edges are those of `gradviz.attributes`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, Unpack

from gradviz.attributes import AttributedGraph, Edge, Use
from gradviz.errors import CheckError, RenderError

if TYPE_CHECKING:
    from gradviz.check import CheckReport, Intended
    from gradviz.compare import Comparison
    from gradviz.diagnose import Diagnosis
    from gradviz.explain import Explanation, GradientStep, Level
    from gradviz.frames import Detail, FrameOptions, Frames, Language
    from gradviz.paths import Paths
    from gradviz.player import Player
    from gradviz.slides import GraphSlideOptions
    from gradviz.view import Direction, Part, PartOptions, ThemeName, View, ViewOptions
    from gradviz.view.focus import Side, Target
    from gradviz.view.verdicts import Finding, Report

__all__ = ["Edge", "GradGraph", "Use"]


class GradGraph(AttributedGraph):
    """A traced computation: nodes are values, edges are uses of values, from producer to consumer.

    `trace` makes it; networkx's own copies and subgraphs of it carry the same attributes.
    """

    def check(
        self,
        *,
        edges: Iterable[Edge] | None = None,
        samples: int = 8,
        seed: int = 0,
        time_limit_s: float | None = None,
        intended: Intended = (),
        progress: bool | Callable[[int, int, str], None] | None = None,
    ) -> CheckReport:
        """Every edge, forward value and (for up to 12 scalar leaves) whole gradient against sympy.

        Args:
            edges: (tail, head, key) of the edges to check, with the forward values of their heads; None for all.
            samples: how many rows of a large Jacobian, and elements of a large value, are looked at one by one.
            seed: random rows and cotangents are drawn from it; the same seed gives the same report.
            time_limit_s: after this many seconds the rest is unverified, "out of time".
            intended: custom Functions (classes or names) and custom ops (as objects or "mylib::round") whose backward is
                meant to differ from their forward's derivative, and names of hooks (on tensors, autograd nodes, modules)
                that are meant to change what flows back.
            progress: whether to show on stderr what is being checked; None: on a terminal, once that takes long; or a
                function that is told how many nodes are done, how many there are, and what is next.

        Raises:
            CheckError: an option is not accepted, or names what does not exist, or the graph is loaded.
            InputError: the graph is on the meta device, which holds no numbers.
        """
        from gradviz.check import check

        if self.is_loaded:
            raise CheckError("a loaded graph has no autograd nodes to check; check it where it is traced")
        self.require_numbers("a check")
        return check(
            self, edges, samples=samples, seed=seed, time_limit_s=time_limit_s, intended=intended, progress=progress
        )

    def paths(self, name: str, *, top: int = 5) -> Paths:
        """The paths along which the gradient of a value arrives, and what each contributes.

        Args:
            name: of a leaf, or of any other value that a gradient reaches.
            top: how many of the largest are returned one by one; the others are in `.rest`, as one sum.

        Raises:
            InputError: no node has that name, or `top` is negative.
        """
        from gradviz.paths import paths_from

        self.require_numbers("what the paths contribute")
        return paths_from(self, name, top=top)

    def explain(
        self, name: str | None = None, *, level: Level = "full", index: int | tuple[int, ...] | None = None, top: int = 5
    ) -> Explanation:
        """The chain rule written out for one value: why its gradient is what it is, why it is zero, or why there is none.

        Args:
            name: of a leaf, or of any other value; may be left out where there is one leaf.
            level: "short" for one line, "full", or "quiz" with blanks to fill in and their key at the end.
            index: one element of a tensor, which is then written out as scalars too; not with "short".
            top: how many paths are written one by one.

        Returns:
            `str()` of it is plain text; `.markdown`, `.latex` and `.html` are for slides, papers and pages.

        Raises:
            InputError: no node has that name, none is given and there are several leaves, or an option is not accepted.
        """
        from gradviz.explain import explain

        self.require_numbers("an explanation")
        return explain(self, name, level=level, index=index, top=top)

    def step(self, lr: float, *, only: str | Collection[str] | None = None) -> GradientStep:
        """One step of gradient descent: parameters and loss before and after, beside the first-order prediction.

        The loss after the step is real: the recorded calls are run again with the moved leaves. What Python decided (an
        `if`, the length of a loop) and what random numbers were drawn stays as recorded.

        Args:
            lr: the learning rate, a finite number above 0.
            only: the names of the leaves that move, or the one; None for all that a gradient reaches.

        Returns:
            `str()` of it is plain text; `.markdown`, `.latex` and `.html` as of an explanation; `.before`, `.after`,
            `.predicted` and `.parameters` are the numbers.

        Raises:
            InputError: the output is no loss (one element, differentiated with 1), `lr` or a name is not accepted, or a call
                on the way cannot be run again.

        >>> import gradviz
        >>> step = gradviz.trace("(w*x - 1)^2", w=2.0, x=1.0, device="cpu").step(0.1, only=["w"])
        >>> step.before, round(step.after, 4), round(step.predicted, 4)
        (1.0, 0.64, -0.4)
        """
        from gradviz.explain import gradient_step

        self.require_numbers("a gradient step")
        return gradient_step(self, lr, only)

    def frames(
        self,
        *,
        following: Sequence[GradGraph] = (),
        detail: Detail | None = None,
        max_nodes: int = 60,
        title: str | None = None,
        language: Language = "en",
        **part: Unpack[PartOptions],
    ) -> Frames:
        """How the gradients come about, step by step: the forward pass, then the backward pass in the engine's own order.

        Args:
            following: the graphs of later steps of a training loop, of the same structure as this one.
            detail: "values" for a frame for each value and each contribution, "passes" for two frames for each graph; None
                for "values" of one graph, "passes" of several.
            max_nodes: the most nodes and groups that are accepted.
            title: a line for all frames; None to make one from the output.
            language: of the sentences.
            part: `collapse`, `unfold`, `fold`, `focus`, `radius`, `side` and `between`, as for `view`, but without the first
                three there are groups only in a graph of more than `max_nodes` nodes; a group is one step forwards, and one
                whenever the engine goes back through it.

        Returns:
            a sequence of frames, each with its sentence; `str()` of it is one line for each.

        Raises:
            InputError: the graph is too large, a later one has another structure, or an option is not accepted.

        >>> import gradviz
        >>> print(gradviz.trace("x*y", x=2.0, y=3.0, device="cpu").frames()[-2].text)
        ∂a/∂a = 1 flows on to y: times ∂a/∂y = x = 2 gives 2; that is all of ∂a/∂y
        """
        from gradviz.frames import frames_of, steps_of

        self.require_numbers("a frame")
        graphs = steps_of(self, following)
        return frames_of(graphs, detail=detail, max_nodes=max_nodes, title=title, language=language, **part)

    def player(
        self,
        *,
        theme: Literal["light", "dark", "slides", "print"] | None = None,
        font_size: float = 20.0,
        highlight: str | None = None,
        time_limit_s: float = 20.0,
        **options: Unpack[FrameOptions],
    ) -> Player:
        """A player of the frames: shown by a notebook as it is; `.save("g.html")` writes it as one page that loads nothing.

        Args:
            theme: None for light and dark, as the reader's system has it, with a button.
            font_size: how large the text of the nodes should be, in pixels of a page of 1920 x 1080; labels give way to it.
            highlight: the colour of what is looked at, as `#rrggbb`; None for the theme's.
            time_limit_s: seconds until drawing is given up.
            options: those of `frames`.

        Raises:
            InputError: an option is not accepted, or as for `frames`.
            RenderError: the time is over.
        """
        from gradviz.player import player_of

        frames = self.frames(**options)
        return player_of(frames, theme=theme, font_size=font_size, highlight=highlight, time_limit_s=time_limit_s)

    def save_slides(self, path: str | os.PathLike[str], **options: Unpack[GraphSlideOptions]) -> None:
        """Writes the frames as slides that other programs open and edit; the extra `slides` has the libraries for it.

        Args:
            path: a file that ends in .pptx (native shapes), .pdf, .gif, .webp, .tex (LaTeX Beamer) or .html (the player);
                else a folder, which gets a numbered picture of each frame.
            options: those of `frames`; `theme` ("slides" unless given), `font_size`, `highlight`, `time_limit_s` as for
                `player`; `format`, which is "svg" for SVG in a folder; `one_slide` of a .pptx file, which each click takes
                on, and which is printed as its last frame; `seconds_per_frame` of a .gif or .webp file.

        Raises:
            InputError: an option is not accepted, or as for `frames`.
            RenderError: the format is unknown, a library is missing, the time is over, or nothing can be written there.
        """
        from gradviz.slides import save_graph_slides

        save_graph_slides(self, path, **options)

    def save(self, path: str | os.PathLike[str], *, max_bytes: int = 2**30) -> None:
        """Writes the graph to a file that `gradviz.load` reads, on any machine: numbers, names, formulas; no code.

        Args:
            path: by custom it ends in `.gradviz`.
            max_bytes: the budget for tensors; those that do not fit are left out, and the loaded graph says so.

        Raises:
            InputError: the file cannot be written.
        """
        from gradviz.saved import save

        save(self, path, max_bytes=max_bytes)

    def compare(self, other: GradGraph, *, rtol: float | None = None) -> Comparison:
        """Where the numbers of another trace of the same code part from these: two steps, two dtypes, CPU and CUDA.

        Args:
            other: a graph of the same structure, traced here or loaded.
            rtol: the largest difference over the largest magnitude that counts as none; None for a thousand roundings
                of the coarser dtype, 0.1 at most.

        Raises:
            InputError: `other` is no graph, `rtol` is negative, or a graph is on the meta device.
        """
        from gradviz.compare import compare

        return compare(self, other, rtol=rtol)

    def diagnose(self, *, report: CheckReport | None = None) -> Diagnosis:
        """What is wrong with this step, or worth a look: a list of findings, worst first, each with its line.

        Args:
            report: of a check of the whole graph; None checks only the edges into custom autograd.Functions.

        Raises:
            InputError: the graph is on the meta device, which holds no numbers.

        >>> import gradviz
        >>> print(gradviz.trace("log(x - x)", x=2.0, device="cpu").diagnose())  # doctest: +ELLIPSIS
        error not-finite-value...
        """
        from gradviz.diagnose import diagnose

        self.require_numbers("a diagnosis")
        return diagnose(self, report=report)

    def view(
        self,
        *,
        report: Report | None = None,
        findings: Iterable[Finding] | None = None,
        show: Part | Collection[Part] | None = None,
        collapse: int | str | Sequence[str] = "auto",
        unfold: str | Collection[str] = (),
        fold: str | Collection[str] = (),
        focus: Target | Sequence[Target] | None = None,
        radius: int | None = None,
        side: Side = "both",
        between: tuple[int | str, int | str] | None = None,
        max_nodes: int | None = None,
        max_edge_labels: int = 250,
        direction: Direction | None = None,
        theme: ThemeName = "light",
    ) -> View:
        """What is on the picture of this graph, decided before anything is drawn.

        Args:
            report: what `check()` found; puts a verdict on each edge and leaf, and on each node with a mismatch.
            findings: what `diagnose()` found, or some of it; each is written on its node, or on the group that holds it.
            show: what is written on nodes and edges: any of "call", "value", "cotangent", "heat", "formula", "number",
                "gain", "contribution", "verdict"; None for all but the contribution.
            collapse: which calls of modules and functions are drawn as one shape. "auto": none in a graph of up to 40
                nodes that can be read on a screen; else the finest level at which the picture stays that small, calls
                that are alike as one ("12 ×"). A number: how many levels stay open. A module's path, a function's name, a
                pattern ("transformer.h.*") or several: those. "none": none at all.
            unfold: names or patterns of calls, names of nodes, or of groups as they are drawn; the groups that they are in
                are opened, each with a box around what was in it.
            fold: names or patterns of calls that are drawn as one shape each, unless something in them is unfolded.
            focus: only what is around this: a node's name or number, a finding of `diagnose()`, a path of
                `paths(name).top`, `paths(name)` for all of those, or several of these.
            radius: how many edges around the focus; None for all on one side, for 3 on both, for none of a path.
            side: "before" for what leads to the focus, "after" for what comes of it, or "both".
            between: the names or numbers of two nodes: only the paths from the first to the second.
            max_nodes: the budget. Over it groups are closed further, then the nodes nearest to the output and the first
                ones stay, and the picture says where others are left out. None for 40, and for 200 nodes that no groups
                can be made of.
            max_edge_labels: with more edges than this, only mismatches and cuts are labelled, and a note says so.
            direction: "LR" from left to right, "BT" from the bottom to the top; None for "LR" unless the graph is deep, and
                for columns, if need be without heat maps, where a picture would be far larger than a screen.
            theme: "light", "dark" or "slides".

        Raises:
            InputError: an option has a value that is not accepted.
        """
        from gradviz.view import view_of

        return view_of(
            self,
            report=report,
            findings=findings,
            show=show,
            collapse=collapse,
            unfold=unfold,
            fold=fold,
            focus=focus,
            radius=radius,
            side=side,
            between=between,
            max_nodes=max_nodes,
            max_edge_labels=max_edge_labels,
            direction=direction,
            theme=theme,
        )

    def to_dot(self, **options: Unpack[ViewOptions]) -> str:
        """The picture as DOT text, which any Graphviz draws. The options are those of `view`; no process is started."""
        from gradviz.render import dot_source

        return dot_source(self.view(**options))

    def render(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        format: Literal["svg", "png", "pdf", "dot", "gv", "html"] | None = None,
        dpi: float = 144.0,
        time_limit_s: float = 20.0,
        **options: Unpack[ViewOptions],
    ) -> bytes:
        """Draws the picture, or makes a page that plays it step by step, and writes it to `path` when one is given.

        Args:
            path: a file; its suffix decides the format unless `format` is given.
            format: "svg", "png", "pdf" or "dot" (also "gv"); "html" for the page of `player`, of which `theme` ("light"
                follows the reader's system), `max_nodes` and what is drawn and as one (`collapse` to `between`) are read.
            dpi: pixels per inch of a PNG.
            time_limit_s: seconds until drawing is given up. A picture that is not ready after most of them is tried
                again without edge labels, then in groups that fit on a page, and says so.
            options: those of `view`.

        Returns:
            the bytes of the file; for SVG, one `<svg>` element in UTF-8.

        Raises:
            InputError: an option of the view has a value that is not accepted.
            RenderError: the format is unknown, the time is over, or the file cannot be written.
        """
        from gradviz.render import FORMATS, format_name, render
        from gradviz.view import PAGE_NODES

        if format_name(path, format, (*FORMATS, "html")) == "html":
            from gradviz.player import page_options

            page = self.player(**page_options(options), time_limit_s=time_limit_s)
            if path is not None:
                page.save(path)
            return page.html.encode()
        on_a_page: ViewOptions = {**options, "collapse": "auto", "unfold": (), "fold": (), "max_nodes": PAGE_NODES}
        return render(
            self.view(**options),
            path,
            format=format,
            dpi=dpi,
            time_limit_s=time_limit_s,
            smaller=lambda: self.view(**on_a_page),
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the picture, or a line that says why there is none."""
        from gradviz.render import mimebundle

        try:
            return mimebundle(self.view(), text=repr(self))
        except RenderError as failure:
            return {"text/plain": f"{self!r}; no picture: {failure}"}
