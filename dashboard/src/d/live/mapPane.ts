// The place of the map on the page: loads the map lazily, and says in words what the map cannot.

import { button, h, setAttr, setText } from '../../core/dom.ts';
import { t } from '../../core/text.ts';
import { lines, type RouteDrawing } from '../../map/features.ts';
import type { GridStepKm } from '../../map/grid.ts';
import type { Aim, FleetMap } from '../../map/map.ts';
import { failure, loading } from '../../ui/states.ts';
import type { Position } from './fleet.ts';
import type { Shown } from './filter.ts';

export interface MapPaneOptions {
  onPick: (driverId: string) => void;
  onMembers: (driverIds: string[]) => void;
}

export class MapPane {
  readonly node = h('section', { class: 'map-pane', 'aria-label': t('live.tab_map'), 'data-testid': 'map' });
  readonly #options: MapPaneOptions;
  readonly #canvas = h('div', { class: 'map-canvas' });
  readonly #note = h('p', { class: 'map-note map-streets', hidden: true });
  readonly #none = h('p', { class: 'map-note map-none', hidden: true }, t('map.none'));
  readonly #source = h('p', { class: 'map-note map-source' }, t('map.source'));
  readonly #legend = legend();
  #aim: Aim = 'fleet';
  #map: FleetMap | null = null;
  #shown: readonly Shown[] | null = null;
  #selectedId: string | null = null;
  #drawing: RouteDrawing | null = null;
  #closed = false;

  constructor(options: MapPaneOptions) {
    this.#options = options;
    const fit = button(t('map.fit_short'), () => { this.setAim('fleet'); }, { class: 'button map-fit', 'aria-label': t('map.fit'), 'data-testid': 'fit-fleet' });
    this.node.append(this.#canvas, fit, this.#none, this.#legend.node, h('div', { class: 'map-foot' }, this.#note, this.#source));
    void this.#load();
  }

  setFleet(shown: readonly Shown[], selectedId: string | null): void {
    this.#shown = shown;
    this.#selectedId = selectedId;
    const markers = shown.filter(({ driver }) => driver.position !== null).length;
    this.#none.hidden = markers > 0;
    // What the canvas shows, countable from outside: a picture cannot be asked.
    setAttr(this.node, 'data-markers', markers);
    this.#map?.setFleet(shown, selectedId);
  }

  setRoute(drawing: RouteDrawing | null): void {
    this.#drawing = drawing;
    this.#legend.show(drawing);
    setAttr(this.node, 'data-plan-lines', lines(drawing === null ? [] : [drawing.plan]).features.length);
    setAttr(this.node, 'data-fact-lines', lines(drawing?.fact ?? []).features.length);
    this.#map?.setRoute(drawing);
  }

  setAim(aim: Aim): void {
    this.#aim = aim;
    this.#map?.setAim(aim);
  }

  centreOn(position: Position): void {
    this.#map?.centreOn(position);
  }

  destroy(): void {
    this.#closed = true;
    this.#map?.destroy();
  }

  async #load(): Promise<void> {
    const waiting = loading({ now: t('map.loading'), slow: t('map.loading') }, 0, null);
    this.node.append(waiting.node);
    try {
      const { FleetMap } = await import('../../map/map.ts');
      if (!this.#closed) {
        this.#start(FleetMap);
      }
    } catch {
      this.#failed(t('map.error'));
    } finally {
      waiting.stop();
    }
  }

  #start(Map: typeof FleetMap): void {
    const { onPick, onMembers } = this.#options;
    try {
      this.#map = new Map(this.#canvas, { onPick, onMembers, onGrid: (step) => { this.#showGrid(step); }, aim: this.#aim });
    } catch {
      this.#failed(t('map.no_webgl'));
      return;
    }
    if (this.#shown !== null) {
      this.#map.setFleet(this.#shown, this.#selectedId);
    }
    this.#map.setRoute(this.#drawing);
  }

  #failed(words: string): void {
    const message = failure(words, () => {
      message.remove();
      void this.#load();
    });
    this.node.append(message);
  }

  /** Either the coasts are drawn, and named, or the grid is. */
  #showGrid(stepKm: GridStepKm | null): void {
    this.#note.hidden = stepKm === null;
    this.#source.hidden = stepKm !== null;
    if (stepKm !== null) {
      setText(this.#note, t('map.no_streets', { size: stepKm < 1 ? t('unit.m', { n: stepKm * 1000 }) : t('unit.km', { n: stepKm }) }));
    }
  }
}

/** Explains the lines that are drawn, and no others. */
function legend(): { node: HTMLElement; show: (drawing: RouteDrawing | null) => void } {
  const entry = (kind: string, words: string): HTMLElement => h('li', {}, h('span', { class: `legend-line legend-${kind}`, 'aria-hidden': 'true' }), words);
  const plan = entry('plan', t('map.legend_plan'));
  const fact = entry('fact', t('map.legend_fact'));
  const off = entry('off', t('map.legend_off'));
  const node = h('ul', { class: 'map-note map-legend', hidden: true, 'aria-label': t('map.legend') }, plan, fact, off);
  return {
    node,
    show(drawing) {
      plan.hidden = (drawing?.plan.length ?? 0) === 0;
      fact.hidden = (drawing?.fact.length ?? 0) === 0;
      off.hidden = (drawing?.deviations.length ?? 0) === 0;
      node.hidden = plan.hidden && fact.hidden && off.hidden;
    },
  };
}
