"""What the commands with a target have in common: the argument, its options, and what the help says of them."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gradviz.graph import GradGraph

SAVED = ".gradviz"
"""The ending of a file that holds a trace."""
_ASSIGNMENT = re.compile(r"[^\W\d]\w*\s*=(?!=)")


class OfTarget(click.Command):
    """A command with a target: of what stands behind that it says where it belongs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        surplus = super().parse_args(ctx, args)
        if surplus and not ctx.resilient_parsing:
            accepted = " ".join(param.human_readable_name for param in self.params if isinstance(param, click.Argument))
            values = [f"--at {shlex.quote(text)}" for text in surplus if _ASSIGNMENT.match(text)]
            advice = (
                f"give a value to a variable by {' '.join(values)}"
                if len(values) == len(surplus)
                else 'put math text with blanks in quotation marks, as in "x*y + sin(pi*x)", each value in an --at x=2'
            )
            raise click.UsageError(f"unexpected behind {accepted}: {' '.join(surplus)}; {advice}", ctx)
        return surplus


class TargetCommand(OfTarget):
    """Its help ends with what a target may be."""

    of_saved = "Or FILE.gradviz, a trace that `gradviz trace -o` or `graph.save` wrote, which is shown as it is there."

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from gradviz.expression.functions import functions_text

        sections = {
            "A target is": (
                'Math text, such as "x*y + sin(pi*x)" or "z = x*y; log(z) + exp(z)", with a value for each variable given '
                "by --at: a constant (2, 1/2, 2pi, sqrt(2)) or a nested list of them.",
                "Or FILE.py:NAME, a function without arguments in a file. It returns a scalar loss tensor, or a triple "
                "(model, inputs, loss): inputs is a tensor, a tuple or a dict; loss maps the model's output to one number, "
                "and is None where that output is the loss.",
                self.of_saved,
            ),
            "In math text": (
                "Operators + - * / ^ @ (a matrix product), |x|, ||x||, A.T; 2x and wx are products; constants pi and e.",
                f"Functions: {functions_text()}.",
            ),
            "Exit codes": ("0 fine, 1 a mismatch, error or difference found, 2 bad input.",),
        }
        for title, paragraphs in sections.items():
            with formatter.section(title):
                for paragraph in paragraphs:
                    formatter.write_text(paragraph)


def target_options(command: Any) -> Any:
    """The argument and the options of every command with a target."""
    for option in (
        click.option(
            "--values",
            default="4GiB",
            show_default=True,
            metavar="full|statistics|SIZE",
            help="What is kept of values and gradients: all, statistics, or up to a size and statistics beyond.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ..."),
        click.option(
            "--at", multiple=True, metavar="NAME=VALUE", help="Value of a variable: --at x=pi/2, --at 'A=[[1,2],[3,4]]'."
        ),
        click.argument("target"),
    ):
        command = option(command)
    return command


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object (its schema: gradviz/schema.py).")


def graph_of(target: str, *, at: tuple[str, ...], device: str, values: str) -> GradGraph:
    """The graph of TARGET; what its file prints goes to standard error, and standard output stays what was asked for."""
    from gradviz.target import graph_of_target

    with contextlib.redirect_stdout(sys.stderr):
        return graph_of_target(target, at=at, device=device, values=values)


def print_json(document: dict[str, Any]) -> None:
    """One object; the numbers in it are finite, so that any JSON reader takes it."""
    click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))
