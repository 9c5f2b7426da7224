// Under require-trusted-types-for 'script' a worker may be started only from a URL that a policy passed.
// The map library asks no policy by name, so it must be the default one: it passes one URL and nothing else.

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): unknown;
}

export function allowOnlyWorker(workerUrl: string): void {
  const factory = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  const allowed = new URL(workerUrl, location.href).href;
  factory?.createPolicy('default', {
    createScriptURL(url) {
      if (new URL(url, location.href).href !== allowed) {
        throw new TypeError('script URL is not allowed');
      }
      return url;
    },
  });
}
