import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileWatch } from '../../../src/system/file-watch.js';

let directory: string;
let path: string;
let changes: number;
let watch: FileWatch;

beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'sockswitch-')), 'later');
  path = join(directory, 'config.toml');
  changes = 0;
  watch = new FileWatch(path, () => changes++, 20);
});
afterEach(() => watch.close());

test('a file that comes, is written, is replaced and goes', async () => {
  await sleep(200); // it has looked once, and found nothing
  mkdirSync(directory);
  writeFileSync(path, 'a');
  await expect.poll(() => changes, { timeout: 5_000 }).toBe(1);
  writeFileSync(path, 'bb');
  await expect.poll(() => changes, { timeout: 5_000 }).toBe(2);
  writeFileSync(`${path}.new`, 'c');
  renameSync(`${path}.new`, path);
  await expect.poll(() => changes, { timeout: 5_000 }).toBe(3);
  rmSync(path);
  await expect.poll(() => changes, { timeout: 5_000 }).toBe(4);
});

test('a storm of requests is one change', async () => {
  for (let n = 0; n < 1000; n++) watch.request();
  await expect.poll(() => changes, { timeout: 5_000 }).toBe(1);
  watch.request();
  await expect.poll(() => changes, { timeout: 5_000 }).toBe(2);
});
