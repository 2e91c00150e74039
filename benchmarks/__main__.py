"""`python -m benchmarks`: measures, prints each table as soon as it is known, writes JSON where asked."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

from benchmarks.allocator import hold_memory

SECTIONS = ("time", "memory", "picture", "svg", "chain", "import")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=SECTIONS, help="measure only this; may be repeated")
    parser.add_argument("--case", action="append", help="only this case (scalar, mlp, gpt2, gpt2x4, bert, vit, resnet)")
    parser.add_argument("--alone", action="store_true", help="plain PyTorch and gradviz only")
    parser.add_argument("--budget", type=float, default=30, help="seconds for the timing of one case (default 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE, - for the output")
    return parser.parse_args()


def measure(chosen: argparse.Namespace) -> None:
    from benchmarks import drawing, memory, parts, report, timing
    from benchmarks.cases import CASES
    from benchmarks.peers import MODULES, OWN, load

    # TorchLens must see torch before transformers does, hence all tools before the first case; see its adapter.
    modules = OWN if chosen.alone else MODULES
    module_of = {tool.name: module for module in modules for tool in load(module)}
    tools = [tool for module in modules for tool in load(module)]
    cases = [case for case in CASES if not chosen.case or case.name in chosen.case]
    sections = chosen.only or SECTIONS
    results = report.Results(tools=tools)
    out = sys.stderr if str(chosen.json) == "-" else sys.stdout

    def say(text: str) -> None:
        print(text, end="\n\n", file=out, flush=True)

    say(", ".join(f"{name} {value}" for name, value in report.machine().items()))
    say(report.tools_text(tools))
    if "import" in sections:
        results.imports = parts.import_times(rounds=7)
        say(report.imports_text(results.imports))
    if "svg" in sections:
        results.parts = parts.text_to_svg(rounds=25)
        say(report.parts_text(results.parts))
    if "chain" in sections:
        results.growth = parts.chain_growth()
        say(report.growth_text(results.growth))
    for case in cases:
        if "time" in sections:
            results.times[case.name] = timing.time_in_turn(case.build(), tools, chosen.budget)
            say(report.time_text(case, results.times[case.name], "memory held"))
            if case.weigh:
                started = timing.time_as_started(case.name, OWN, chosen.budget)
                results.times_as_started[case.name] = started
                say(report.time_text(case, started, "memory as a process gets it by itself"))
        if "memory" in sections and case.weigh:
            results.peaks[case.name] = {
                name: memory.peak_memory(case.name, module, name) for name, module in module_of.items()
            }
            say(report.memory_text(case, results.peaks[case.name]))
        if "picture" in sections and case.weigh:
            results.pictures[case.name] = {
                tool.name: drawing.first_picture(case.name, module_of[tool.name], tool.name) for tool in tools if tool.draw
            }
            say(report.picture_text(case, results.pictures[case.name]))
    if chosen.json is not None:
        text = json.dumps(report.as_json(results), indent=2)
        if str(chosen.json) == "-":
            print(text)
        else:
            chosen.json.write_text(text + "\n")


def main() -> None:
    chosen = options()
    hold_memory("benchmarks")
    warnings.simplefilter("ignore")  # what other tools have to say about the models is not what is measured
    measure(chosen)


if __name__ == "__main__":
    main()
