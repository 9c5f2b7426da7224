// What is selected lives in the fragment: a reload or a bookmark finds it again, and it never reaches a
// server's log.

export interface Selection {
  driverId: string | null;
  routeId: string | null;
}

export function readSelection(hash: string): Selection {
  const params = new URLSearchParams(hash.replace(/^#/, ''));
  return { driverId: params.get('driver'), routeId: params.get('route') };
}

export function hashOf({ driverId, routeId }: Selection): string {
  const params = new URLSearchParams();
  if (driverId !== null) {
    params.set('driver', driverId);
    if (routeId !== null) {
      params.set('route', routeId);
    }
  }
  const text = params.toString();
  return text === '' ? '' : `#${text}`;
}
