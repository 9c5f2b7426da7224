// Elements without markup: text goes in as text nodes only, so nothing a driver is named can become code.

export type Child = Node | string | null;
export type Attrs = Record<string, string | number | boolean | null>;

const SVG = 'http://www.w3.org/2000/svg';

function setAttrs(node: Element, attrs: Attrs): void {
  for (const [name, value] of Object.entries(attrs)) {
    // Both would be dropped silently under our policy; failing loudly finds them in development.
    if (name === 'style' || name.startsWith('on')) {
      throw new Error(`attribute ${name} does not work under the content security policy`);
    }
    setAttr(node, name, value);
  }
}

export function setAttr(node: Element, name: string, value: string | number | boolean | null): void {
  if (value === null || value === false) {
    node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value === true ? '' : String(value));
  }
}

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attrs: Attrs = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  setAttrs(node, attrs);
  append(node, children);
  return node;
}

export function svg(tag: string, attrs: Attrs = {}, ...children: Child[]): SVGElement {
  const node = document.createElementNS(SVG, tag);
  setAttrs(node, attrs);
  append(node, children);
  return node;
}

export function append(node: Element, children: readonly Child[]): void {
  for (const child of children) {
    if (child !== null) {
      node.append(child);
    }
  }
}

export function button(label: Child, onClick: () => void, attrs: Attrs = {}): HTMLButtonElement {
  const node = h('button', { type: 'button', class: 'button', ...attrs }, label);
  node.addEventListener('click', onClick);
  return node;
}

/** Writes only what changed: a screen reader and the layout then stay still. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/** Makes the children of `parent` the rows of `items`, keeping the node of each key. */
export function patchList<T, N extends Element>(
  parent: Element,
  nodes: Map<string, N>,
  items: readonly T[],
  row: { key: (item: T) => string; create: (item: T) => N; update: (node: N, item: T, index: number) => void },
): void {
  const wanted = new Set(items.map(row.key));
  for (const [key, node] of nodes) {
    if (!wanted.has(key)) {
      node.remove();
      nodes.delete(key);
    }
  }
  items.forEach((item, index) => {
    const key = row.key(item);
    let node = nodes.get(key);
    if (node === undefined) {
      node = row.create(item);
      nodes.set(key, node);
    }
    row.update(node, item, index);
    if (parent.children[index] !== node) {
      parent.insertBefore(node, parent.children[index] ?? null);
    }
  });
}
