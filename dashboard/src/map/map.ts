// The fleet on a map: the only module that knows MapLibre's object. Loaded lazily; the list never waits for it.

import 'maplibre-gl/dist/maplibre-gl.css';

import type { FeatureCollection, GeoJSON } from 'geojson';
import { GeoJSONSource, Map as MapLibre, type MapMouseEvent, NavigationControl, ScaleControl, setWorkerUrl } from 'maplibre-gl';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?url';

import { t } from '../core/text.ts';
import { allowOnlyWorker } from '../core/trusted.ts';
import type { Shown } from '../d/live/filter.ts';
import { type Basemap, loadBasemap } from './basemap.ts';
import { type Colours, readColours } from './colours.ts';
import { boundsOf, type Line, lines, lonLat, type RouteDrawing, stopPoints, vehicles } from './features.ts';
import { gridLines, type GridStepKm, gridStepKm } from './grid.ts';
import { addIcons } from './icons.ts';
import { buildStyle, haloLayer } from './style.ts';

allowOnlyWorker(workerUrl);
setWorkerUrl(workerUrl);

export interface MapOptions {
  onPick: (driverId: string) => void;
  onMembers: (driverIds: string[]) => void;
  onGrid: (stepKm: GridStepKm | null) => void;
}

/**
 * What the camera is to show by itself: all drivers for as long as nobody moves the map by hand, a route once
 * it is known, or nothing.
 */
export type Aim = 'fleet' | 'route' | null;

const PICKABLE = ['clusters', 'vehicles', 'single'];
/** Free of the buttons, of the scale with the legend above it, and of half a name at the sides. */
const FIT = { padding: { top: 64, right: 64, bottom: 88, left: 56 }, maxZoom: 14, duration: 600 };
/** A driver closer to the edge than this is fetched back into the picture. */
const EDGE_PX = 28;
/** Levels the fleet may be smaller than the picture before that is drawn closer. */
const SLACK_ZOOM = 1.2;
const EMPTY: FeatureCollection = { type: 'FeatureCollection', features: [] };

export class FleetMap {
  readonly #map: MapLibre;
  readonly #options: MapOptions;
  readonly #abort = new AbortController();
  readonly #scheme = matchMedia('(prefers-color-scheme: dark)');
  #colours: Colours = readColours();
  #ready = false;
  #aim: Aim;
  /** Who was in the picture when the fleet was last fitted. */
  #followed = '';
  #shown: readonly Shown[] = [];
  #selectedId: string | null = null;
  #drawing: RouteDrawing | null = null;
  #basemap: Basemap | null = null;
  readonly #restyle = (): void => {
    this.#ready = false;
    this.#colours = readColours();
    this.#map.setStyle(buildStyle(this.#colours), { diff: false });
  };

  constructor(container: HTMLElement, options: MapOptions & { aim: Aim }) {
    this.#options = options;
    this.#aim = options.aim;
    this.#map = new MapLibre({
      container,
      style: buildStyle(this.#colours),
      // The control writes markup, which Trusted Types forbid; the page names the source itself.
      attributionControl: false,
      dragRotate: false,
      // Fading would redraw the map for a third of each second, since positions come once a second.
      fadeDuration: 0,
      pitchWithRotate: false,
      center: [68, 48],
      zoom: 3,
      maxZoom: 18,
      locale: { 'Map.Title': t('map.title'), 'NavigationControl.ZoomIn': t('map.zoom_in'), 'NavigationControl.ZoomOut': t('map.zoom_out') },
    });
    this.#map.touchZoomRotate.disableRotation();
    this.#map.keyboard.disableRotation();
    this.#map.addControl(new NavigationControl({ showCompass: false }), 'top-right');
    this.#map.addControl(new ScaleControl({ maxWidth: 90, unit: 'metric' }), 'bottom-left');
    this.#map.on('style.load', () => { this.#drawAll(); });
    this.#map.on('moveend', () => { this.#drawGrid(); });
    this.#map.on('movestart', ({ originalEvent }) => {
      // Only a person's move comes with an event of the browser. From now on the map is theirs.
      if (originalEvent !== undefined) {
        this.#aim = null;
      }
    });
    this.#map.on('resize', () => {
      this.#followed = '';
      this.#steer();
    });
    this.#map.on('click', (event) => void this.#click(event));
    for (const layer of PICKABLE) {
      this.#map.on('mouseenter', layer, () => { this.#map.getCanvas().style.cursor = 'pointer'; });
      this.#map.on('mouseleave', layer, () => { this.#map.getCanvas().style.cursor = ''; });
    }
    this.#scheme.addEventListener('change', this.#restyle);
    void loadBasemap((basemap) => {
      this.#basemap = basemap;
      this.#drawBasemap();
    }, this.#abort.signal);
  }

  setFleet(shown: readonly Shown[], selectedId: string | null): void {
    const otherSelected = selectedId !== this.#selectedId;
    this.#shown = shown;
    this.#selectedId = selectedId;
    this.#drawFleet();
    if (otherSelected) {
      this.#drawHalo();
    }
    this.#steer();
  }

  /** Null while nothing is known yet of the selected driver's route. */
  setRoute(drawing: RouteDrawing | null): void {
    this.#drawing = drawing;
    this.#drawRoute();
    this.#steer();
  }

  setAim(aim: Aim): void {
    this.#aim = aim;
    this.#followed = '';
    this.#steer();
  }

  centreOn(place: { lat: number; lon: number }): void {
    this.#aim = null;
    this.#map.easeTo({ center: lonLat(place), zoom: Math.max(this.#map.getZoom(), 13) });
  }

  destroy(): void {
    this.#abort.abort();
    this.#scheme.removeEventListener('change', this.#restyle);
    this.#map.remove();
  }

  #steer(): void {
    if (!this.#ready) {
      return;
    }
    if (this.#aim === 'fleet') {
      this.#followFleet();
    } else if (this.#aim === 'route' && this.#drawing !== null) {
      this.#aim = null;
      this.#fitRoute(this.#drawing);
    }
  }

  #followFleet(): void {
    const placed = this.#shown.flatMap(({ driver }) => (driver.position === null ? [] : [{ id: driver.driverId, at: lonLat(driver.position) }]));
    const points = placed.map(({ at }) => at);
    const ids = placed.map(({ id }) => id).join(' ');
    const anew = ids !== this.#followed;
    if (anew || (!this.#map.isMoving() && !this.#isFramed(points))) {
      // The first picture is simply there; later ones are moved to, so that the eye can follow.
      this.#fit(points, this.#followed !== '');
      this.#followed = ids;
    }
  }

  /** Whether the points fill the picture well enough to leave it alone: it must not twitch with every position. */
  #isFramed(points: Line): boolean {
    const bounds = boundsOf(points);
    if (bounds === null) {
      return true;
    }
    const { clientWidth: width, clientHeight: height } = this.#map.getContainer();
    const inside = points.every((point) => {
      const { x, y } = this.#map.project(point);
      return x >= EDGE_PX && y >= EDGE_PX && x <= width - EDGE_PX && y <= height - EDGE_PX;
    });
    const best = this.#map.cameraForBounds(bounds, FIT)?.zoom ?? 0;
    return inside && best - this.#map.getZoom() < SLACK_ZOOM;
  }

  #fitRoute({ plan, fact, stops }: RouteDrawing): void {
    const selected = this.#shown.find(({ driver }) => driver.driverId === this.#selectedId)?.driver.position ?? null;
    this.#fit([...plan, ...fact.flat(), ...stops.map(lonLat), ...(selected === null ? [] : [lonLat(selected)])], true);
  }

  #fit(points: Line, animate: boolean): void {
    const bounds = boundsOf(points);
    if (bounds === null) {
      return;
    }
    const [box, canvas] = [this.#map.getContainer(), this.#map.getCanvas()];
    if (box.clientWidth !== canvas.clientWidth || box.clientHeight !== canvas.clientHeight) {
      // The details have just taken their part of the map's room, which the map itself notices only later.
      this.#map.resize();
    }
    this.#map.fitBounds(bounds, { ...FIT, animate });
  }

  /** A new style (first or after a change of theme) has no images and no data: give all of it again. */
  #drawAll(): void {
    this.#ready = true;
    addIcons(this.#map, this.#colours);
    this.#drawBasemap();
    this.#drawGrid();
    this.#drawRoute();
    this.#drawHalo();
    this.setFleet(this.#shown, this.#selectedId);
  }

  #data(name: string, data: GeoJSON): void {
    const source = this.#ready ? this.#map.getSource(name) : undefined;
    if (source instanceof GeoJSONSource) {
      void source.setData(data);
    }
  }

  #drawBasemap(): void {
    if (this.#basemap !== null) {
      this.#data('land', this.#basemap.land);
      this.#data('borders', this.#basemap.borders);
    }
  }

  #drawGrid(): void {
    const step = gridStepKm(this.#map.getZoom());
    this.#options.onGrid(step);
    if (step === null) {
      this.#data('grid', EMPTY);
      return;
    }
    const bounds = this.#map.getBounds();
    const view = { west: bounds.getWest(), south: bounds.getSouth(), east: bounds.getEast(), north: bounds.getNorth() };
    // Half a view more on each side: dragging must not show the grid's edge.
    const [dx, dy] = [(view.east - view.west) / 2, (view.north - view.south) / 2];
    this.#data('grid', gridLines({ west: view.west - dx, south: view.south - dy, east: view.east + dx, north: view.north + dy }, step));
  }

  #drawFleet(): void {
    const { clustered, single } = vehicles(this.#shown, this.#selectedId);
    this.#data('vehicles', clustered);
    this.#data('single', single);
  }

  #drawHalo(): void {
    if (!this.#ready) {
      return;
    }
    if (this.#map.getLayer('halo') !== undefined) {
      this.#map.removeLayer('halo');
    }
    if (this.#selectedId !== null) {
      this.#map.addLayer(haloLayer(this.#colours, this.#selectedId), 'single');
    }
  }

  #drawRoute(): void {
    const drawing = this.#drawing;
    this.#data('plan', lines(drawing === null ? [] : [drawing.plan]));
    this.#data('fact', lines(drawing?.fact ?? []));
    this.#data('deviations', lines(drawing?.deviations ?? []));
    this.#data('stops', stopPoints(drawing?.stops ?? []));
  }

  async #click(event: MapMouseEvent): Promise<void> {
    const { x, y } = event.point;
    const hits = this.#map.queryRenderedFeatures([[x - 4, y - 4], [x + 4, y + 4]], { layers: PICKABLE });
    const found = new Set<string>();
    for (const { properties } of hits) {
      if (typeof properties['cluster_id'] === 'number') {
        for (const id of await this.#membersOf(properties['cluster_id'], Number(properties['point_count']))) {
          found.add(id);
        }
      } else if (typeof properties['id'] === 'string') {
        found.add(properties['id']);
      }
    }
    const [first, ...more] = found;
    if (first !== undefined && more.length === 0) {
      this.#options.onPick(first);
    } else if (first !== undefined) {
      // Vehicles on one spot never separate by zooming: a list does.
      this.#options.onMembers([first, ...more]);
    }
  }

  async #membersOf(clusterId: number, count: number): Promise<string[]> {
    const source = this.#map.getSource('vehicles');
    if (!(source instanceof GeoJSONSource)) {
      return [];
    }
    try {
      const leaves = await source.getClusterLeaves(clusterId, count, 0);
      return leaves.flatMap(({ properties }) => (typeof properties?.['id'] === 'string' ? [properties['id']] : []));
    } catch {
      // The fleet moved on between the click and the answer, and the cluster with it.
      return [];
    }
  }
}
