// The page of a rung, as a teacher uses it: two people, a cable, a reader; by keyboard as well.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { assertAccessible, needsChromium, openPage } from '../support/browser.ts';
import { within } from '../support/helpers.ts';
import { stripTypes } from '../support/typescript.ts';

const START_MS = 60_000; // a program that starts another

test(
  'two people, a cable and a reader: what was missed comes, twice at the seam, and the focus stays where it was',
  needsChromium,
  async (t) => {
    const file = 'tests/lessons/ladder/run.ts';
    const child = spawn(process.execPath, [...stripTypes, file, '5', '--show', '--port', '0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill());
    const [line] = await within(once(child.stdout, 'data'), 'the address of the page', START_MS);
    const { page, faults } = await openPage(/http:\S+/.exec(String(line))![0], { state: '' });
    const [ada, bob] = [page.locator('.person').nth(0), page.locator('.person').nth(1)];
    const focused = () => page.evaluate(() => document.activeElement?.textContent);

    await ada.getByRole('button', { name: 'Cut the cable' }).press('Enter');
    await ada.getByText('cut off').waitFor();
    assert.equal(
      await focused(),
      'Bring back',
      'the focus is on the button that took the place of the pressed one',
    );
    await page.getByRole('button', { name: 'Save a customer' }).click();
    await bob.getByText('Cyd').waitFor();
    assert.equal(await ada.locator('li').count(), 0, 'Ada is away, and hears of nothing');
    await ada.getByRole('button', { name: 'Bring back', exact: true }).press('Enter');
    await ada.getByText('Cyd').waitFor();
    await ada.getByRole('button', { name: 'Cut the cable' }).click();
    await ada.getByRole('button', { name: 'Bring back at a save' }).click();
    await ada.locator('.twice').waitFor();
    await bob.getByRole('button', { name: 'Stop reading' }).press('Enter');
    await bob.getByText('does not read').waitFor();
    assert.equal(await focused(), 'Read on');
    await assertAccessible(page, 'the page of a rung');
    assert.deepEqual(faults, []);
  },
);
