// Markers drawn once to images: no sprite file, no request. The same shapes as ui/shapes.ts.

import type { Map as MapLibre } from 'maplibre-gl';

import type { Shape } from '../ui/shapes.ts';
import type { Colours } from './colours.ts';

const RATIO = 2;
const SIZE = 28;
const MIDDLE = SIZE / 2;
const STOP_SIZE = 30;

type Pen = OffscreenCanvasRenderingContext2D;

function draw(size: number, paint: (pen: Pen) => void): ImageData {
  const pen = new OffscreenCanvas(size * RATIO, size * RATIO).getContext('2d');
  if (pen === null) {
    throw new Error('no 2d canvas');
  }
  pen.scale(RATIO, RATIO);
  paint(pen);
  return pen.getImageData(0, 0, size * RATIO, size * RATIO);
}

function disc(pen: Pen, radius: number, fill: string): void {
  pen.beginPath();
  pen.arc(MIDDLE, MIDDLE, radius, 0, Math.PI * 2);
  pen.fillStyle = fill;
  pen.fill();
}

function ring(pen: Pen, colours: Colours, dash: number[]): void {
  disc(pen, 12, colours.surface);
  pen.beginPath();
  pen.arc(MIDDLE, MIDDLE, 8.5, 0, Math.PI * 2);
  pen.strokeStyle = colours.gap;
  pen.lineWidth = 3.5;
  pen.setLineDash(dash);
  pen.stroke();
}

function square(pen: Pen, half: number, fill: string): void {
  pen.fillStyle = fill;
  pen.fillRect(MIDDLE - half, MIDDLE - half, half * 2, half * 2);
}

function arrow(pen: Pen, fill: string): void {
  pen.fillStyle = fill;
  pen.fill(new Path2D('M14 7l5.6 13L14 17l-5.6 3z'));
}

const VEHICLES: Partial<Record<Shape, (pen: Pen, colours: Colours) => void>> = {
  driving(pen, { surface, 'on-route': blue }) {
    disc(pen, 13, surface);
    disc(pen, 11, blue);
    arrow(pen, surface);
  },
  at_stop(pen, { surface, 'on-route': blue }) {
    square(pen, 12, surface);
    square(pen, 10, blue);
    square(pen, 4, surface);
  },
  idle(pen, { surface, 'on-route': blue }) {
    disc(pen, 13, surface);
    disc(pen, 11, blue);
    disc(pen, 4, surface);
  },
  break(pen, { surface, 'on-route': blue }) {
    disc(pen, 13, surface);
    disc(pen, 11, blue);
    pen.fillStyle = surface;
    pen.fillRect(9.5, 9, 3, 10);
    pen.fillRect(15.5, 9, 3, 10);
  },
  stale(pen, colours) {
    ring(pen, colours, []);
  },
  lost(pen, colours) {
    ring(pen, colours, [2.5, 3.2]);
  },
};

function badge(pen: Pen, colours: Colours, sign: string): void {
  pen.beginPath();
  pen.arc(23, 8, 7, 0, Math.PI * 2);
  pen.fillStyle = colours.missed;
  pen.fill();
  pen.fillStyle = colours.surface;
  pen.font = 'bold 11px system-ui, "DejaVu Sans", sans-serif';
  pen.textAlign = 'center';
  pen.textBaseline = 'middle';
  pen.fillText(sign, 23, 8.5);
}

function stop(pen: Pen, look: { fill: string; line: string; width: number }): void {
  pen.beginPath();
  pen.arc(STOP_SIZE / 2, STOP_SIZE / 2, 10, 0, Math.PI * 2);
  pen.fillStyle = look.fill;
  pen.fill();
  pen.strokeStyle = look.line;
  pen.lineWidth = look.width;
  pen.stroke();
}

const STOPS: Record<string, (pen: Pen, colours: Colours) => void> = {
  'stop-visited': (pen, { plan, surface }) => {
    stop(pen, { fill: plan, line: surface, width: 2 });
  },
  'stop-pending': (pen, { plan, surface }) => {
    stop(pen, { fill: surface, line: plan, width: 1.5 });
  },
  'stop-missed': (pen, colours) => {
    stop(pen, { fill: colours.surface, line: colours.missed, width: 2.5 });
    badge(pen, colours, '×');
  },
  'stop-unknown': (pen, colours) => {
    stop(pen, { fill: colours.surface, line: colours.gap, width: 2.5 });
    badge(pen, colours, '?');
  },
};

export function addIcons(map: MapLibre, colours: Colours): void {
  const icons = [...Object.entries(VEHICLES), ...Object.entries(STOPS)];
  for (const [name, paint] of icons) {
    const size = name.startsWith('stop-') ? STOP_SIZE : SIZE;
    map.addImage(name, draw(size, (pen) => { paint(pen, colours); }), { pixelRatio: RATIO });
  }
}
