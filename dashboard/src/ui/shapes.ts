// The shape of a driver's state for lists and legends: shape first, colour second, the word stands beside it.
// The map draws the same shapes to its own images (map/icons.ts).

import { svg } from '../core/dom.ts';
import type { LinkState, WorkState } from '../core/wire.ts';

export type Shape = 'driving' | 'at_stop' | 'idle' | 'break' | 'stale' | 'lost' | 'not_shared' | 'off_shift';

export function shapeOf(link: LinkState, work: WorkState | null): Shape {
  switch (link) {
    case 'live':
      return work ?? 'idle';
    case 'stale':
    case 'lost':
    case 'not_shared':
    case 'off_shift':
      return link;
    default:
      // A state this version does not know: say nothing about a position.
      return 'off_shift';
  }
}

export function shapeIcon(shape: Shape): SVGElement {
  return svg('svg', { class: `shape shape-${shape}`, viewBox: '0 0 24 24', 'aria-hidden': 'true', focusable: 'false' }, ...parts(shape));
}

function parts(shape: Shape): SVGElement[] {
  const disc = svg('circle', { class: 'fill', cx: 12, cy: 12, r: 10 });
  switch (shape) {
    case 'driving':
      return [disc, svg('path', { class: 'ink', d: 'M12 5.5l5.2 12L12 14.8 6.8 17.5z' })];
    case 'at_stop':
      return [svg('rect', { class: 'fill', x: 3, y: 3, width: 18, height: 18, rx: 2 }), svg('rect', { class: 'ink', x: 8.5, y: 8.5, width: 7, height: 7 })];
    case 'idle':
      return [disc, svg('circle', { class: 'ink', cx: 12, cy: 12, r: 3.5 })];
    case 'break':
      return [disc, svg('path', { class: 'ink', d: 'M8 7.5h2.6v9H8zM13.4 7.5H16v9h-2.6z' })];
    case 'stale':
      return [svg('circle', { class: 'ring', cx: 12, cy: 12, r: 8 })];
    case 'lost':
      return [svg('circle', { class: 'ring dotted', cx: 12, cy: 12, r: 8 })];
    case 'not_shared':
      return [svg('circle', { class: 'thin', cx: 12, cy: 12, r: 9 }), svg('path', { class: 'thin', d: 'M5.5 14.5l9-9M7.5 19L19 7.5M12.5 20.5l8-8' })];
    case 'off_shift':
      return [svg('path', { class: 'ring', d: 'M6 12h12' })];
  }
}
