"""What the player's buttons are called, by language; the sentences themselves are those of `gradviz.frames.sentences`."""

WORDS = {
    "en": {
        "first": "First step (Home)",
        "back": "Step back (←)",
        "play": "Play (space)",
        "pause": "Pause (space)",
        "next": "Next step (→)",
        "last": "Last step (End)",
        "step": "Step",
        "speed": "Speed",
        "theme": "Light or dark",
        "whole": "Whole screen",
        "controls": "Player",
    }
}
