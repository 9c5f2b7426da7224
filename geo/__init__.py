"""Pure mathematics on arrays of positions: no I/O, no clock, nothing from `server`."""
