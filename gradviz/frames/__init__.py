"""A gradient, frame by frame: the forward pass value by value, then the backward pass in the engine's own order.

A frame is a value. It says which nodes' values have appeared, which cotangents are pending (contributions have arrived,
others are still to come) or settled, which node and edge are looked at, and one sentence with its formula and numbers:
"∂d/∂a = 1 flows on to x: times ∂a/∂x = y = 3 gives 3". It says nothing about places or colours: the picture is laid out
once, for all frames together, and each frame only shows, hides and recolours parts of it (`gradviz.stage`).

    scene      a picture with groups as shapes, each of which stands for all that is inside
    model      Frame, Frames: the result
    sentences  every sentence
    backward   one backward pass, contribution by contribution
    build      frames_of: graphs -> frames; steps_of: a graph and those of later steps
"""

from gradviz.frames.build import Detail, FrameOptions, frames_of, steps_of
from gradviz.frames.model import Frame, Frames, Phase, Place
from gradviz.frames.scene import Scene
from gradviz.frames.sentences import Language

__all__ = ["Detail", "Frame", "FrameOptions", "Frames", "Language", "Phase", "Place", "Scene", "frames_of", "steps_of"]
