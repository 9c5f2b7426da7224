"""The style of the API page: a file of its own, since the policy allows no style in the page."""

from typing import Final

STYLE: Final = """\
:root {
  color-scheme: light dark;
  --ink: #1c2024;
  --paper: #ffffff;
  --faint: #f2f4f6;
  --line: #c9ced4;
  --link: #0b57a4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8eaed;
    --paper: #16191c;
    --faint: #22272b;
    --line: #454c54;
    --link: #8ab8f0;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0;
  color: var(--ink);
  background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif;
}
a { color: var(--link); }
a:focus-visible, .wide:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
code { font-family: ui-monospace, monospace; font-size: 0.9em; overflow-wrap: anywhere; }
header, main, nav { padding: 1rem; }
header { border-bottom: 1px solid var(--line); }
h1, h2, h3 { line-height: 1.2; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: 0.3rem; }
h3 code { font-size: 1rem; font-weight: 400; }
nav ul { margin: 0; padding-left: 1rem; list-style: none; }
nav > ul { padding-left: 0; }
nav a { display: block; padding: 0.15rem 0; }
article { margin: 1.5rem 0; padding: 0.1rem 1rem 1rem; background: var(--faint); }
.wide { overflow-x: auto; margin: 0.75rem 0; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding: 0.25rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0; }
th { border-bottom: 2px solid var(--line); }
td { border-bottom: 1px solid var(--line); }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 0.5rem; top: 0.5rem; padding: 0.5rem; background: var(--paper); }
@media (min-width: 64rem) {
  body { display: grid; grid-template-columns: 22rem minmax(0, 1fr); }
  header { grid-column: 1 / -1; }
  nav { position: sticky; top: 0; max-height: 100vh; overflow-y: auto; align-self: start; }
}
@media print { nav, .skip { display: none; } }
"""
