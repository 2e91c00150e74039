"""The command `gradviz` with all its subcommands.

Exit codes: 0 fine, 1 a mismatch, error or difference found, 2 bad input. What is asked for goes to standard output,
all else to standard error. `--json` prints one object: of `trace` as `gradviz.schema` describes it; of `check` the keys
`schema`, `gradviz` and `target` of that schema and `check`, which is `CheckReport.to_dict()`. `trace --check --json` has
the keys of both, and `trace --diagnose --json` a key `diagnosis`, which is `Diagnosis.to_dict()`; that of `compare` is
`comparison`.

What a command needs is imported when it runs, so that `--help` does not wait for sympy and Graphviz.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import click

from gradviz.cli.app import app_command
from gradviz.cli.check import check_command
from gradviz.cli.compare import compare_command
from gradviz.cli.diagnose import diagnose_command
from gradviz.cli.explain import explain_command
from gradviz.cli.ops import ops_command
from gradviz.cli.runs import merge_command, report_command
from gradviz.cli.slides import slides_command
from gradviz.cli.trace import trace_command
from gradviz.errors import ExpressionError, GradvizError

INTERRUPTED = 130


class Refusal(click.ClickException):
    """A `GradvizError` as a sentence on standard error, without a traceback; exit code 2."""

    exit_code = 2


class Commands(click.Group):
    """The group that turns what gradviz refuses into a sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ExpressionError as refusal:  # it quotes what was typed, with a caret below
            raise Refusal(str(refusal)) from refusal
        except GradvizError as refusal:
            command = self.commands[str(ctx.invoked_subcommand)]
            raise Refusal(in_options(str(refusal), command.params)) from refusal
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def in_options(sentence: str, options: Iterable[click.Parameter]) -> str:
    """What is said of arguments in Python, said of the options of a command.

    >>> options = [click.Option(["--focus"]), click.Option(["--max-nodes"]), click.Option(["--seed"])]
    >>> in_options("draw what is in focus (focus=), or raise max_nodes", options)
    'draw what is in focus (--focus), or raise --max-nodes'
    >>> in_options("seed=-1: accepted: a whole number", options)
    '--seed=-1: accepted: a whole number'
    """
    for option in options:
        name, spelling = str(option.name), max(option.opts, key=len)
        if isinstance(option, click.Option):
            is_argument = "" if "_" in name else "(?==)"  # else it may be a plain word
            sentence = re.sub(rf"\b{name}\b{is_argument}", spelling, sentence)
            sentence = re.sub(rf"{spelling}=(?=[\s).,;]|$)", spelling, sentence)
    return sentence


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradviz-explorer", prog_name="gradviz")
def main() -> None:
    """See, explain and check the gradients of PyTorch code.

    TARGET is math text such as "x*y + sin(pi*x)", with a value for each variable given by --at, or file.py:name, a function
    without arguments that returns a scalar loss tensor or a triple (model, inputs, loss), or file.gradviz, a trace that was
    saved. "gradviz trace --help" tells more.

    Exit codes: 0 fine, 1 a mismatch, error or difference found, 2 bad input.
    """


for command in (
    app_command,
    check_command,
    compare_command,
    diagnose_command,
    explain_command,
    merge_command,
    ops_command,
    report_command,
    slides_command,
    trace_command,
):
    main.add_command(command)
