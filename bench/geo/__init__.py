"""The scoreboard of plan versus fact: `geo` on days whose truth is known, beside naive methods."""
