// The map's colours are the page's tokens (styles/tokens.css), read when the map is drawn: one truth.

const TOKENS = [
  'surface',
  'text',
  'muted',
  'control',
  'accent',
  'land',
  'water',
  'border-line',
  'grid-minor',
  'grid-major',
  'plan',
  'on-route',
  'deviation',
  'gap',
  'missed',
] as const;

export type Colours = Record<(typeof TOKENS)[number], string>;

export function readColours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const pairs = TOKENS.map((token) => [token, style.getPropertyValue(`--${token}`).trim()] as const);
  return Object.fromEntries(pairs) as Colours;
}
