import { chmodSync, mkdtempSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  configPaths,
  directoryProblem,
  ensureRuntimeDirectory,
  programs,
  runtimePaths,
} from '../../../src/base/paths.js';

const fresh = () => join(mkdtempSync(join(tmpdir(), 'sockswitch-')), 'sockswitch');

test('XDG variables decide, relative ones do not', () => {
  expect(runtimePaths({ XDG_RUNTIME_DIR: '/run/user/7' }).hookSocket).toBe(
    '/run/user/7/sockswitch/hook.sock',
  );
  expect(() => runtimePaths({ XDG_RUNTIME_DIR: 'run' })).toThrow(/"run".*not an absolute path/);
  expect(() => runtimePaths({ XDG_RUNTIME_DIR: `/${'x'.repeat(90)}` })).toThrow(/107 bytes/);
  expect(configPaths({ HOME: '/h' }).config).toBe('/h/.config/sockswitch/config.toml');
  expect(configPaths({ HOME: '/h', XDG_CONFIG_HOME: 'x' }).config).toBe(
    '/h/.config/sockswitch/config.toml',
  );
  expect(configPaths({ HOME: '/h', XDG_CONFIG_HOME: '/x' }).containersDropIn).toBe(
    '/x/containers/containers.conf.d/sockswitch.conf',
  );
  expect(programs().keeper.endsWith('/build/Release/sockswitch-keeper')).toBe(true);
});

test('the runtime directory is made for us alone, and found again', () => {
  const directory = fresh();
  ensureRuntimeDirectory(directory);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  ensureRuntimeDirectory(directory);
});

test('one that others can enter is refused with the remedy', () => {
  const directory = fresh();
  ensureRuntimeDirectory(directory);
  chmodSync(directory, 0o750);
  expect(() => ensureRuntimeDirectory(directory)).toThrow(/mode 0750.*chmod 0700/);
});

test('files, links and missing parents are refused', () => {
  const file = fresh();
  writeFileSync(file, '');
  expect(() => ensureRuntimeDirectory(file)).toThrow(/not a directory/);
  const link = fresh();
  symlinkSync(tmpdir(), link);
  expect(() => ensureRuntimeDirectory(link)).toThrow(/not a directory/);
  expect(() => ensureRuntimeDirectory(join(fresh(), 'x'))).toThrow(/ENOENT.*XDG_RUNTIME_DIR/);
});

test("another user's directory is refused", () => {
  const stats = { uid: 5, mode: 0o40700, isDirectory: () => true };
  expect(directoryProblem(stats, 6)).toMatch(/belongs to user 5, not to 6/);
  expect(directoryProblem(stats, 5)).toBeUndefined();
});
