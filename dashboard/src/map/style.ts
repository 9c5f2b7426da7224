// The map's style: sources by name and layers from ground to driver. No glyphs and no sprite key: text is
// drawn locally and nothing is asked of any other host.

import type { LayerSpecification, SourceSpecification, StyleSpecification, SymbolLayerSpecification } from 'maplibre-gl';

import type { Colours } from './colours.ts';
import { PLAIN_FROM_ZOOM } from './grid.ts';

const FONT = ['system-ui', 'Noto Sans', 'DejaVu Sans', 'sans-serif'];

const EMPTY: SourceSpecification = { type: 'geojson', data: { type: 'FeatureCollection', features: [] } };

export const CLUSTER_RADIUS = 44;
export const CLUSTER_MAX_ZOOM = 13;
const NAMES_FROM_ZOOM = 10;

export function buildStyle(colours: Colours): StyleSpecification {
  return {
    version: 8,
    sources: {
      land: EMPTY,
      borders: EMPTY,
      grid: EMPTY,
      plan: EMPTY,
      fact: EMPTY,
      deviations: EMPTY,
      stops: EMPTY,
      vehicles: { ...EMPTY, type: 'geojson', data: { type: 'FeatureCollection', features: [] }, cluster: true, clusterRadius: CLUSTER_RADIUS, clusterMaxZoom: CLUSTER_MAX_ZOOM },
      single: EMPTY,
    },
    layers: [...ground(colours), ...route(colours), namesLayer(colours), ...stops(colours), ...fleet(colours)],
  };
}

function ground(colours: Colours): LayerSpecification[] {
  return [
    { id: 'water', type: 'background', paint: { 'background-color': colours.water } },
    { id: 'land', type: 'fill', source: 'land', maxzoom: PLAIN_FROM_ZOOM, paint: { 'fill-color': colours.land, 'fill-antialias': true } },
    { id: 'borders', type: 'line', source: 'borders', maxzoom: PLAIN_FROM_ZOOM, paint: { 'line-color': colours['border-line'], 'line-width': 1 } },
    {
      // Fades the coasts out before they could put a van into the sea.
      id: 'plain',
      type: 'background',
      minzoom: PLAIN_FROM_ZOOM - 1,
      paint: { 'background-color': colours.land, 'background-opacity': ['interpolate', ['linear'], ['zoom'], PLAIN_FROM_ZOOM - 1, 0, PLAIN_FROM_ZOOM, 1] },
    },
    {
      id: 'grid',
      type: 'line',
      source: 'grid',
      paint: {
        'line-color': ['case', ['get', 'major'], colours['grid-major'], colours['grid-minor']],
        'line-width': ['case', ['get', 'major'], 1.25, 0.75],
      },
    },
  ];
}

function route(colours: Colours): LayerSpecification[] {
  const round = { 'line-join': 'round', 'line-cap': 'round' } as const;
  return [
    // Two rails with the fact between them: agreement reads as a filled pipe.
    { id: 'plan', type: 'line', source: 'plan', layout: { 'line-join': 'round' }, paint: { 'line-color': colours.plan, 'line-width': 2, 'line-gap-width': 7 } },
    { id: 'fact-casing', type: 'line', source: 'fact', layout: round, paint: { 'line-color': colours.surface, 'line-width': 7 } },
    { id: 'fact', type: 'line', source: 'fact', layout: round, paint: { 'line-color': colours['on-route'], 'line-width': 5 } },
    { id: 'deviation-casing', type: 'line', source: 'deviations', layout: round, paint: { 'line-color': colours.surface, 'line-width': 8 } },
    { id: 'deviation', type: 'line', source: 'deviations', paint: { 'line-color': colours.deviation, 'line-width': 5, 'line-dasharray': [3, 0.8] } },
  ];
}

function stops(colours: Colours): LayerSpecification[] {
  return [
    {
      id: 'stops',
      type: 'symbol',
      source: 'stops',
      layout: {
        'icon-image': ['get', 'icon'],
        'icon-allow-overlap': true,
        'text-field': ['get', 'number'],
        'text-font': FONT,
        'text-size': 12,
        'text-allow-overlap': true,
      },
      paint: { 'text-color': ['case', ['==', ['get', 'icon'], 'stop-visited'], colours.surface, colours.text] },
    },
  ];
}

function fleet(colours: Colours): LayerSpecification[] {
  return [
    {
      id: 'clusters',
      type: 'circle',
      source: 'vehicles',
      filter: ['has', 'point_count'],
      paint: {
        // Filled and larger than a stop, which carries a number too.
        'circle-color': colours['on-route'],
        'circle-radius': ['step', ['get', 'point_count'], 16, 10, 20, 100, 24],
        'circle-stroke-color': colours.surface,
        'circle-stroke-width': 2.5,
      },
    },
    {
      id: 'cluster-count',
      type: 'symbol',
      source: 'vehicles',
      filter: ['has', 'point_count'],
      layout: { 'text-field': ['to-string', ['get', 'point_count']], 'text-font': FONT, 'text-size': 14, 'text-allow-overlap': true },
      paint: { 'text-color': colours.surface },
    },
    { id: 'vehicles', type: 'symbol', source: 'vehicles', filter: ['!', ['has', 'point_count']], layout: VEHICLE_ICON },
    {
      id: 'single',
      type: 'symbol',
      source: 'single',
      layout: { ...VEHICLE_ICON, ...name(1.9), 'text-field': ['step', ['zoom'], ['get', 'label'], NAMES_FROM_ZOOM, ['get', 'name']] },
      paint: namePaint(colours),
    },
  ];
}

/** Selected is told by a halo under the icon and by a label at every zoom. */
export function haloLayer(colours: Colours, selectedId: string): LayerSpecification {
  return {
    id: 'halo',
    type: 'circle',
    source: 'single',
    filter: ['==', ['get', 'id'], selectedId],
    paint: { 'circle-radius': 17, 'circle-color': colours.surface, 'circle-stroke-color': colours.accent, 'circle-stroke-width': 4 },
  };
}

const VEHICLE_ICON: NonNullable<SymbolLayerSpecification['layout']> = {
  'icon-image': ['get', 'icon'],
  'icon-rotate': ['get', 'heading'],
  'icon-rotation-alignment': 'map',
  'icon-allow-overlap': true,
  'icon-padding': 0,
};

/**
 * Names of vehicles. Text of upper layers is placed first, so that these, below vehicles and stops, cover
 * neither of them nor one another; a name without a free place waits for a closer zoom.
 */
function namesLayer(colours: Colours): LayerSpecification {
  return {
    id: 'names',
    type: 'symbol',
    source: 'vehicles',
    minzoom: NAMES_FROM_ZOOM,
    filter: ['!', ['has', 'point_count']],
    // Clear of the vehicle's own icon, whose place is a square that turns with it.
    layout: { ...name(2.05), 'text-field': ['get', 'name'] },
    paint: namePaint(colours),
  };
}

function name(offset: number): NonNullable<SymbolLayerSpecification['layout']> {
  return {
    'text-font': FONT,
    'text-size': 12,
    'text-padding': 1,
    'text-variable-anchor': ['top', 'bottom', 'left', 'right'],
    'text-radial-offset': offset,
    'text-justify': 'auto',
    'text-optional': true,
  };
}

function namePaint(colours: Colours): NonNullable<SymbolLayerSpecification['paint']> {
  return { 'text-color': colours.text, 'text-halo-color': colours.surface, 'text-halo-width': 2 };
}
