// What this tab remembers over a reload. A browser that blocks cookies throws at the mere mention of
// storage, also in Chromium and Firefox: the page then works as well, and remembers nothing.

/** @param {string} key @returns {any} what was remembered, undefined if nothing was */
export function recall(key) {
  try {
    return JSON.parse(sessionStorage.getItem(`changebell-${key}`) ?? 'null') ?? undefined;
  } catch {
    return undefined; // blocked; or another version of the page wrote it
  }
}

/** For this tab alone, until it is closed. @param {string} key @param {unknown} value */
export function remember(key, value) {
  try {
    sessionStorage.setItem(`changebell-${key}`, JSON.stringify(value));
  } catch {
    // blocked, or full: nothing depends on it
  }
}
