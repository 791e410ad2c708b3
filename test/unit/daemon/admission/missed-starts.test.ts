import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';
import { MissedStarts } from '../../../../src/daemon/admission/missed-starts.js';
import { Journal } from '../../../../src/daemon/observe/journal.js';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const NOW = 1_800_000_000;

let file: string;
let journal: Journal;
let running: Set<string> | undefined;
let served: Set<string>;

beforeEach(() => {
  file = join(mkdtempSync(join(tmpdir(), 'sockswitch-')), 'missed-starts');
  journal = new Journal();
  running = new Set([A, B]);
  served = new Set();
});

function daemon(): MissedStarts {
  return new MissedStarts({
    file,
    journal,
    log: pino({ level: 'silent' }),
    running: async () => running,
    isServed: (id) => served.has(id),
    now: () => NOW,
  });
}
function record(id: string, time = NOW - 3600): string {
  const container = ['/user.slice', `/containers/${id}/userdata/hostname`, 'web'];
  return `${JSON.stringify({ time, container, reason: 'connect: ENOENT' })}\n`;
}
const reported = () => journal.list().map(({ container }) => container);

test('each is reported once, and again by the next daemon while it runs', async () => {
  writeFileSync(file, record(A) + record(B));
  const first = daemon();
  await first.report();
  await first.report();
  expect(reported()).toEqual([A, B]);
  const [incident] = journal.list();
  expect(incident?.kind).toBe('unaccelerated');
  expect(incident?.message).toContain('started at 2027-01-15T07:00:00.000Z');
  expect(incident?.message).toContain('connect: ENOENT');

  journal = new Journal();
  running?.delete(A);
  await daemon().report();
  expect(reported()).toEqual([A, B]);
  expect(readFileSync(file, 'utf8')).toBe(record(B));

  served.add(B); // it was restarted
  await daemon().report();
  expect(reported()).toEqual([A, B]);
  expect(existsSync(file)).toBe(false);
});

test('one that comes later is reported, and kept although Podman does not list it yet', async () => {
  const supervisor = daemon();
  await supervisor.report();
  running?.clear();
  writeFileSync(file, record(A, NOW - 1));
  await supervisor.report();
  expect(reported()).toEqual([A]);
  expect(existsSync(file)).toBe(true);
});

test('where Podman does not say what runs, all stay', async () => {
  running = undefined;
  writeFileSync(file, record(A));
  await daemon().report();
  expect(readFileSync(file, 'utf8')).toBe(record(A));
});

test('lines that make no sense go, and one without an id is reported by its hostname', async () => {
  writeFileSync(
    file,
    `{"time":\n[]\n{"time":-1,"container":[],"reason":""}\n${record(A).replaceAll(/a{64}/g, '')}`,
  );
  await daemon().report();
  expect(reported()).toEqual(['web']);
  expect(existsSync(file)).toBe(false);
});

test('a file that cannot be read does no harm', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sockswitch-'));
  file = directory;
  await daemon().report();
  expect(reported()).toEqual([]);
});
