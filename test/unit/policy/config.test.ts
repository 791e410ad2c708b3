import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { UserError } from '../../../src/base/errors.js';
import { loadConfig, parseConfig } from '../../../src/policy/config.js';

const parse = (text: string) => parseConfig(text, '/c/config.toml');
const DEFAULTS = {
  ignore: [],
  logLevel: 'info',
  tunnels: true,
  waitKillable: 'auto',
  nerdctlApi: false,
  requireGuard: true,
};

test('nothing is required', () => {
  expect(parse('')).toEqual(DEFAULTS);
  expect(parse('[seccomp]')).toEqual(DEFAULTS);
  expect(loadConfig('/nonexistent/config.toml')).toEqual(DEFAULTS);
});

test('everything is read, prefixes canonically', () => {
  const text = `
    ignore = ["10.1.2.3/8", "fd00::/8", "192.0.2.1"]
    log_level = "debug"
    nerdctl_api = true
    require_guard = false
    [seccomp]
    wait_killable = "never"`;
  expect(parse(text)).toEqual({
    ignore: ['10.0.0.0/8', 'fd00::/8', '192.0.2.1/32'],
    logLevel: 'debug',
    tunnels: true,
    waitKillable: 'never',
    nerdctlApi: true,
    requireGuard: false,
  });
});

test.each([
  ['ingore = []', ['/c/config.toml', '"ingore"', 'did you mean "ignore"?']],
  ['[seccomp]\nwait_kilable = "auto"', ['"seccomp.wait_kilable"', '"wait_killable"']],
  ['zzz = 1', ['"zzz"', 'remove it', 'ignore, log_level, nerdctl_api, require_guard, seccomp']],
  ['ignore = "10.0.0.0/8"', ['ignore is "10.0.0.0/8"', 'array of strings']],
  ['ignore = ["10.0.0.0/8", "10.0.0.0/99"]', ['ignore[1] is "10.0.0.0/99"', 'prefix such as']],
  ['ignore = [7]', ['ignore[0] is 7', 'a string']],
  ['log_level = "loud"', ['log_level is "loud"', '"debug"']],
  ['seccomp = 1', ['seccomp is 1', 'a table']],
  ['[seccomp]\nwait_killable = true', ['seccomp.wait_killable is true', '"never"']],
  ['ignore = [', ['/c/config.toml:1:', 'docs/configuration.md']],
  ['ignore = []\nignore = []', ['/c/config.toml:2:']],
])('%j is refused with file, key, value and remedy', (text, parts) => {
  expect(() => parse(text)).toThrow(UserError);
  for (const part of parts) expect(() => parse(text)).toThrow(part);
});

test('too many prefixes', () => {
  expect(() => parse(`ignore = [${'"10.0.0.1",'.repeat(4097)}]`)).toThrow('4096');
});

test('a file that cannot be read is named', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sockswitch-'));
  expect(() => loadConfig(directory)).toThrow(/cannot read .*EISDIR/);
  const path = join(directory, 'config.toml');
  writeFileSync(path, 'ignore = ["::1"]');
  expect(loadConfig(path).ignore).toEqual(['::1/128']);
});
