// The rules for Prometheus and the board for Grafana: every metric that they name is one that a server has, every
// expression is one that Prometheus can read, and each alert comes when it should and at no other time.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { get, ROOT, skipWithout, temporaryFolder } from '../support/helpers.ts';
import { openServer } from '../support/open-server.ts';
import { OPERATIONS, recipe } from '../support/recipes.ts';

type Target = { expr: string };
type Panel = { title: string; gridPos: { x: number; y: number; w: number; h: number }; targets: Target[] };

const server = await openServer();
const skip = skipWithout('/usr/bin/promtool', 'prometheus');
const RULES = join(ROOT, 'lib/operations/alerts.yml');
const rules = readFileSync(RULES, 'utf8');
const board: { panels: Panel[] } = JSON.parse(
  readFileSync(join(ROOT, 'lib/operations/grafana.json'), 'utf8'),
);
const expressions = board.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
const alerts = [...rules.matchAll(/alert: (\w+)/g)].map(([, name]) => name!);

const metricsIn = (text: string) => new Set([...text.matchAll(/\bchangebell_\w+/g)].map(([name]) => name));

function promtool(...args: string[]): void {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
}

test('every metric that the rules and the board name is one that a server has, and the board has all of them', async () => {
  const { text } = await get(`${server.url}/metrics`);
  const there = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!));
  const named = metricsIn(rules + expressions.join('\n'));
  assert.deepEqual(
    [...named].filter((name) => !there.has(name)),
    [],
    'metrics that no server has',
  );
  assert.deepEqual(
    [...there].filter((name) => !metricsIn(expressions.join('\n')).has(name)),
    [],
    'metrics that the board leaves out',
  );
});

test('each of the five alerts comes when it should, and at no other time', { skip }, () => {
  promtool('check', 'rules', RULES);
  promtool('test', 'rules', join(ROOT, 'tests/operations/alerts.yml'));
  assert.equal(alerts.length, 5);
});

test('Prometheus takes the settings that the page gives it', { skip }, () => {
  const folder = temporaryFolder();
  copyFileSync(RULES, join(folder, 'alerts.yml'));
  writeFileSync(join(folder, 'token'), 'secret');
  const settings = recipe('yaml', 'scrape_configs').replace(/\/etc\/\S+\.token/, join(folder, 'token'));
  writeFileSync(join(folder, 'prometheus.yml'), settings);
  promtool('check', 'config', join(folder, 'prometheus.yml'));
});

test('the page of operations has each alert, and says what to do', () => {
  assert.deepEqual(
    alerts.filter((name) => !OPERATIONS.includes(`| \`${name}\``)),
    [],
  );
});

test('Prometheus can read every expression of the board, and no panel covers another', { skip }, () => {
  const file = join(temporaryFolder(), 'board.yml');
  const variables = (expr: string) => expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*');
  const records = expressions.map((expr, i) => ({ record: `board:expression:${i}`, expr: variables(expr) }));
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'board', rules: records }] })); // YAML holds JSON
  promtool('check', 'rules', file);
  const cells = board.panels.flatMap(({ title, gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => ({ title, cell: `${x + (i % w)},${y + Math.floor(i / w)}` })),
  );
  const taken = new Map<string, string>();
  for (const { title, cell } of cells) {
    assert.ok(!taken.has(cell), `${title} covers ${taken.get(cell)}`);
    taken.set(cell, title);
  }
});
