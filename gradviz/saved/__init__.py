"""GradGraph <-> a `.gradviz` file, so that a trace made on one machine is looked at on another.

The file is a safetensors file: tensors, and one header of JSON text. Nothing in it can be executed, and any tool that
reads safetensors can read its numbers. The header's metadata has the keys

    format    "gradviz"
    version   "6"; raised with every change of what is in a file, and told apart before anything else is read
    torch     the release that traced
    graph     JSON: {"nodes": [attributes, ...], "edges": [[tail, head, key, attributes], ...], "graph": attributes}

with the attributes that `gradviz.attributes` names. What JSON has no word for is an object with one key:

    {"tuple": [...]}  {"dict": [[key, value], ...]}  {"tensor": name or null}  {"call": {...}}  {"partial": {...}}
    {"dtype": "float32"}  {"device": "cuda:0"}  {"layout": "strided"}  {"memory_format": "channels_last"}
    {"float": "nan"}  {"complex": [re, im]}  {"omitted": what it was}

    values     Python values <-> JSON; tensors by reference, each once
    partial    SavedPartial: what is left of a local partial without autograd's node
    write      save
    read       load: every attribute is checked before a graph is made of it
    damage     what is wrong with a file that safetensors cannot read
    references what a graph says of itself as a whole, checked last
"""

from gradviz.saved.read import load
from gradviz.saved.write import save

__all__ = ["load", "save"]
