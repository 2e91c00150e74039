"""Frames -> a player: one HTML page with play, pause, next, back and a slider, for files, notebooks and the explorer app.

data       a stage as JSON: every mark once, and what changes from frame to frame
player.js  mount(root, data): shows it, in an element or a shadow root
words      what the buttons are called
page       these as one HTML page that loads nothing
"""

from gradviz.player.data import player_data
from gradviz.player.page import Player, page_options, player_of, script

__all__ = ["Player", "page_options", "player_data", "player_of", "script"]
