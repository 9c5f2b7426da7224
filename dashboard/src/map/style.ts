// The map's style: sources by name and layers from ground to driver. No glyphs and no sprite key: text is
// drawn locally and nothing is asked of any other host.

import type { LayerSpecification, SourceSpecification, StyleSpecification } from 'maplibre-gl';

import type { Colours } from './colours.ts';

const FONT = ['system-ui', 'Noto Sans', 'DejaVu Sans', 'sans-serif'];

const EMPTY: SourceSpecification = { type: 'geojson', data: { type: 'FeatureCollection', features: [] } };

export const CLUSTER_RADIUS = 44;
export const CLUSTER_MAX_ZOOM = 13;

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
    layers: [...ground(colours), ...route(colours), ...fleet(colours)],
  };
}

function ground(colours: Colours): LayerSpecification[] {
  return [
    { id: 'water', type: 'background', paint: { 'background-color': colours.water } },
    { id: 'land', type: 'fill', source: 'land', paint: { 'fill-color': colours.land, 'fill-antialias': true } },
    { id: 'borders', type: 'line', source: 'borders', paint: { 'line-color': colours['border-line'], 'line-width': 1 } },
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
        'circle-color': colours.surface,
        'circle-radius': ['step', ['get', 'point_count'], 16, 10, 20, 100, 24],
        'circle-stroke-color': colours['on-route'],
        'circle-stroke-width': 3,
      },
    },
    {
      id: 'cluster-count',
      type: 'symbol',
      source: 'vehicles',
      filter: ['has', 'point_count'],
      layout: { 'text-field': ['to-string', ['get', 'point_count']], 'text-font': FONT, 'text-size': 14, 'text-allow-overlap': true },
      paint: { 'text-color': colours.text },
    },
    { ...vehicleLayer('vehicles', colours), filter: ['!', ['has', 'point_count']] },
    vehicleLayer('single', colours),
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

function vehicleLayer(source: 'vehicles' | 'single', colours: Colours): LayerSpecification & { type: 'symbol' } {
  return {
    id: source,
    type: 'symbol',
    source,
    layout: {
      'icon-image': ['get', 'icon'],
      'icon-rotate': ['get', 'heading'],
      'icon-rotation-alignment': 'map',
      'icon-allow-overlap': true,
      'icon-ignore-placement': true,
      'text-field': ['step', ['zoom'], ['get', 'label'], 12, ['get', 'name']],
      'text-font': FONT,
      'text-size': 12,
      'text-anchor': 'top',
      'text-offset': [0, 1.3],
      'text-optional': true,
    },
    paint: { 'text-color': colours.text, 'text-halo-color': colours.surface, 'text-halo-width': 2 },
  };
}
