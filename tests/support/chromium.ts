// The browser of the tests, as Debian has it, and how it is started: no window, and no calls home. One that was downloaded
// for the tests would be another version on each machine.
import { existsSync } from 'node:fs';

/** The same engine twice; without the browser's own windows and menus a page costs a third of the processor's time. */
export const CHROMIUM = existsSync('/usr/bin/chromium-headless-shell')
  ? '/usr/bin/chromium-headless-shell'
  : '/usr/bin/chromium';
export const FLAGS = [
  // A container's root may not use the sandbox, and nothing but our own page is opened.
  '--no-sandbox',
  '--headless',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];
