"""What gradviz costs, with other tools beside it on the same models in one run: `make bench`, `python -m benchmarks`.

    cases.py     what is run: a scalar expression, a small network, four models from transformers, a chain of ops
    peers/       one adapter per tool, with what the tool sees and what it does not
    timing.py    ratios to plain PyTorch, all tools in turn within one process
    allocator.py with what memory: what a process gets by itself, or memory that it holds on to
    memory.py    peak memory, each tool in a process of its own
    drawing.py   from the model to its first picture, each tool in a process of its own
    parts.py     text to checked SVG with its parts; what `import gradviz` costs
    report.py    results -> plain text or JSON
"""
