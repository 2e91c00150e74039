"""What is named on the command line -> a graph: math text, `file.py:name` for a function in a file, or a saved trace.

The function takes no arguments and returns a scalar loss, or a triple `(model, inputs, loss)` as `trace` takes them:
`inputs` is a tensor, a tuple of positional inputs or a dict of keyword inputs; `loss` maps the model's output to the scalar
loss, or is None where that output is the loss. It runs once. The file is loaded only because the user named it. Optimizers
among its global variables count as those that train what is traced.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from gradviz.collector import collector_paused
from gradviz.errors import ExpressionError, GradvizError, InputError, NotScalarError
from gradviz.expression import parse, typed_value
from gradviz.graph import GradGraph
from gradviz.recording.keeping import BUDGET_BYTES, Values, keeping_of
from gradviz.recording.names import closure_names
from gradviz.recording.optimizers import optimizers_in
from gradviz.recording.program import program_of
from gradviz.recording.record import Recorder
from gradviz.saved import load
from gradviz.tracing import record, trace, trace_program

SAVED = ".gradviz"
"""The ending of a file that holds a trace."""
_FILE_AND_NAME = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")
_FILE_ALONE = re.compile(r"(?P<file>[^:]*\.py)\b.*|(?P<module>[\w./\\-]+):+\w*")
_RETURNS = "a target function returns a scalar loss tensor or a triple (model, inputs, loss)"
_NO_VALUES = "--at {}: values go with math text; {} names a function, which takes no arguments"
_HAS_VALUES = "--at {}: values go with math text; {} is a trace that was saved"
_ACCEPTED = "a target is a function without arguments that returns a scalar loss tensor or a triple (model, inputs, loss)"


def graph_of_target(
    target: str, *, at: Iterable[str] = (), device: str = "auto", values: Values = BUDGET_BYTES
) -> GradGraph:
    """Traces a target of the command line, or reads the trace that it names.

    Args:
        target: math text, `file.py:name`, or a trace that was saved, `file.gradviz`: it has its device and its values.
        at: values for the variables of math text, each as `name=value`.
        device: "auto" or a torch device. A function runs with it as torch's default device, so tensors that it makes
            without saying where are made there.
        values: what is kept, as of `trace`.

    Raises:
        GradvizError: the target, a value or the device is not accepted, or the code in the file fails.

    >>> graph_of_target("x * y", at=["x=2", "y=3"], device="cpu").gradients()["x"].item()
    3.0
    """
    given = list(at)
    if names_saved(target):
        _refuse_values_of_saved(target, given)
        return load(target)
    found = _FILE_AND_NAME.fullmatch(target)
    if found is None:
        _refuse_file_alone(target)
        return _graph_of_text(target, values_of(given), device, values)
    if given:
        raise InputError(_NO_VALUES.format(given[0], target))
    return _graph_of_function(Path(found["file"]), found["name"], device, values)


def is_math(target: str) -> bool:
    """Whether a target is math text: neither a function in a file nor a saved trace.

    >>> is_math("train.py:step"), is_math("before.gradviz"), is_math("x*y")
    (False, False, True)
    """
    return _FILE_AND_NAME.fullmatch(target) is None and not names_saved(target)


def names_saved(target: str) -> bool:
    """Whether a target is a file that `graph.save` wrote, by its ending."""
    return target.endswith(SAVED)


def refuse_target(target: str, at: Iterable[str]) -> None:
    """Refuses what cannot be a target, without running anything.

    Raises:
        GradvizError: the text cannot be read, there is no such file, or the values are not accepted, or of no variable.
    """
    given = list(at)
    if names_saved(target):
        _refuse_values_of_saved(target, given)
        if not Path(target).is_file():
            raise InputError(f"there is no file {target}")
        return
    if not is_math(target):
        if given:
            raise InputError(_NO_VALUES.format(given[0], target))
        if not (path := Path(target.rpartition(":")[0])).is_file():
            raise InputError(f"there is no file {path}")
        return
    _refuse_file_alone(target)
    known = parse(target).variables
    at_names = tuple(values_of(given))
    known += parse(target, variables=at_names or None).variables  # `wx` is a product, or a variable that has a value
    if surplus := [name for name in at_names if name not in known]:
        accepted = ", ".join(dict.fromkeys(known))
        raise InputError(f'the expression has no variable {", ".join(surplus)}; the variables of "{target}" are: {accepted}')


def values_of(assignments: Iterable[str]) -> dict[str, Any]:
    """`["x=1/2", "A=[[1, 2], [3, 4]]"]` -> numbers and nested lists by name.

    Raises:
        InputError: an assignment is not `name=value`, or a name is given twice.

    >>> values_of(["x=1/2", "A=[[1, 0.5], [3, 4]]"])
    {'x': 0.5, 'A': [[1.0, 0.5], [3.0, 4.0]]}
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = (part.strip() for part in assignment.partition("="))
        if not separator or not name:
            raise InputError(f"--at {assignment}: accepted is name=value, as in --at x=2 or --at 'A=[[1, 2], [3, 4]]'")
        if name in values:
            raise InputError(f"--at {assignment}: {name} has a value already")
        if "=" in text:
            raise InputError(f"--at {assignment}: one variable each; repeat the option, as in --at x=2 --at y=3")
        try:
            values[name] = typed_value(text)
        except InputError as error:
            raise InputError(f"--at {name}: {error}") from error
    return values


def _graph_of_text(text: str, at: Mapping[str, Any], device: str, values: Values) -> GradGraph:
    expression = parse(text, variables=tuple(at) or None)
    missing = [name for name in expression.variables if name not in at]
    if missing:
        example = " ".join(f"--at {name}=2" for name in missing)
        surplus = [name for name in at if name not in expression.variables]
        unused = f", which has no {', '.join(surplus)}" if surplus else ""
        raise InputError(
            f'no value for {", ".join(missing)} in "{expression}"{unused}; give one to each variable, as in {example}'
        )
    return trace(text, at=at, device=device, values=values)


def _refuse_file_alone(target: str) -> None:
    """`train.py`, `train.py:` and `train:step` are no math text, nor is the name of another file."""
    found = _FILE_ALONE.fullmatch(target.strip())
    if found is None:
        _refuse_other_file(target)
        return
    path = Path(found["file"] or f"{found['module']}.py")
    if not path.is_file():
        if found["file"]:
            raise InputError(f"there is no file {path}; {_ACCEPTED}, written file.py:name")
        return
    functions = _candidates(path)
    example = f"{path}:{functions[0] if functions else 'NAME'}"
    known = f"its functions without arguments are: {', '.join(functions) or 'none'}"
    raise InputError(f"{target} names no function; write {example} for a function in the file; {known}")


def _refuse_other_file(target: str) -> None:
    try:
        parse(target)
    except ExpressionError as error:
        if "\0" not in target and Path(target).is_file():
            raise InputError(f"{target} is a file, but no saved trace, which ends in {SAVED}; {_ACCEPTED}") from error


def _refuse_values_of_saved(target: str, given: list[str]) -> None:
    if given:
        raise InputError(_HAS_VALUES.format(given[0], target))


def _candidates(path: Path) -> list[str]:
    """The functions without arguments that the file defines, read without running it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # loading it, when it is named with a function, says what is wrong
        return []
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and len(node.args.posonlyargs + node.args.args) == len(node.args.defaults)
        and all(default is not None for default in node.args.kw_defaults)
    ]


def _graph_of_function(path: Path, name: str, device: str, values: Values) -> GradGraph:
    with _folder_on_path(path):
        module = _loaded(path)
        function = _function(module, path, name)
        with _default_device(device), record(values=values) as tape:
            result = _called(function, path, name)
        if isinstance(result, Tensor):
            with _scalar_output(f"{path}:{name}", "return a scalar loss, such as .mean() or .sum() of it"):
                return tape.trace_among(result, closure_names(function) | optimizers_in(vars(module)))
        model, inputs, loss = _triple(result, path, name)
        del tape
        args, kwargs = _arguments(inputs)
        advice = "give a loss that returns one number as third" if loss is None else "let the loss return one number"
        try:
            with _scalar_output(f"{path}:{name}", advice), collector_paused():
                program = program_of(model, args, kwargs, loss, device)
                return trace_program(program, Recorder(keeping_of(values, False)), optimizers_in(vars(module)))
        except GradvizError:
            raise
        except Exception as error:
            _refuse(error, path, name)


@contextlib.contextmanager
def _scalar_output(target: str, advice: str) -> Iterator[None]:
    try:
        yield
    except NotScalarError as error:
        raise NotScalarError(error.shape, f"{advice} in {target}") from error


@contextlib.contextmanager
def _folder_on_path(path: Path) -> Iterator[None]:
    """The file's imports find what lies beside it, as when Python runs the file."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _loaded(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be loaded as Python code")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses and pickle look their module up by name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        if before is None:
            del sys.modules[path.stem]
        else:
            sys.modules[path.stem] = before
        _refuse(error, path, "")
    return module


def _function(module: ModuleType, path: Path, name: str) -> Callable[[], Any]:
    if not hasattr(module, name):
        known = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
        ]
        raise InputError(f"{path} has no function called {name}; its functions are: {', '.join(known) or 'none'}")
    function = getattr(module, name)
    if not callable(function) or isinstance(function, nn.Module):
        raise InputError(f"{path}:{name} is {_described(function)}, not a function; {_ACCEPTED}")
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise InputError(f"{path}:{name} needs arguments ({error}); {_ACCEPTED}") from error
    except ValueError:  # a builtin without a signature: calling it will tell
        pass
    return function  # type: ignore[no-any-return]


def _default_device(device: str) -> contextlib.AbstractContextManager[Any]:
    if device == "auto":
        return contextlib.nullcontext()
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise InputError(
            f"device {device!r} cannot be used here ({why}); accepted: auto, cpu, cuda where there is one"
        ) from error
    return chosen


def _called(function: Callable[[], Any], path: Path, name: str) -> Any:
    try:
        return function()
    except GradvizError:
        raise
    except (Exception, SystemExit) as error:
        _refuse(error, path, name)


def _triple(result: Any, path: Path, name: str) -> tuple[nn.Module, Any, Callable[[Any], Any] | None]:
    if isinstance(result, tuple) and len(result) == 3:
        model, inputs, loss = result
        if isinstance(model, nn.Module) and (loss is None or callable(loss)):
            return model, inputs, loss
    what = _described(result)
    if isinstance(result, tuple):
        what = f"({', '.join(type(item).__name__ for item in result)})"
    raise InputError(f"{path}:{name} returned {what}; {_RETURNS}")


def _described(value: Any) -> str:
    """`the module MSELoss alone`, `the class Net`, `an int`."""
    if isinstance(value, nn.Module):
        return f"the module {type(value).__name__} alone"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    what = "tensor" if isinstance(value, Tensor) else type(value).__name__
    return "None" if value is None else f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(inputs, (tuple, list)):
        return tuple(inputs), {}
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (inputs,), {}


def _refuse(error: BaseException, path: Path, name: str) -> NoReturn:
    """Whatever the user's code raised, as one sentence with the deepest of the file's own lines."""
    own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == path.name]
    line = error.lineno if isinstance(error, SyntaxError) else own[-1] if own else None
    where = f"{path}:{line}" if line else str(path)
    doing = f"{name} failed" if name else "the file cannot be loaded"
    raise InputError(f"{where}: {doing}: {type(error).__name__}: {error}") from error
