import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parse } from 'smol-toml';
import { beforeEach, expect, test } from 'vitest';
import { UserError } from '../../../src/base/errors.js';
import { type ConfigPaths, configPaths } from '../../../src/base/paths.js';
import { appends, type InstallFile, installFiles } from '../../../src/install/installed-files.js';
import { installAll, uninstallAll } from '../../../src/install/put-in-place.js';

let home: string;
let paths: ConfigPaths;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sockswitch-'));
  paths = configPaths({ XDG_CONFIG_HOME: join(home, 'config') });
});

function plan(
  more: { podmanVersion?: string; cli?: string; configHome?: string } = {},
): InstallFile[] {
  return installFiles({
    paths,
    runtime: { hookSocket: '/run/user/1000/sockswitch/hook.sock' },
    programs: {
      precreate: '/opt/sockswitch-precreate',
      keeper: '/opt/sockswitch-keeper',
      guard: '/opt/sockswitch-guard',
      names: '/opt/sockswitch-names',
      repin: '/opt/sockswitch-repin',
      cli: more.cli ?? '/opt/dist/cli.js',
    },
    node: '/usr/bin/node',
    podmanVersion: more.podmanVersion ?? '5.4.2',
    configHome: more.configHome,
  });
}
const install = (files = plan(), dryRun = false) =>
  installAll(files, paths.installRecord, dryRun).map(({ action }) => action);
const uninstall = (files = plan(), dryRun = false) =>
  uninstallAll(files, paths.installRecord, dryRun).map(({ action }) => action);
const EDITED = /was edited since: nothing was changed/;

test('installing twice and removing twice', () => {
  const all = (action: string) => plan().map(() => action);
  expect(install(plan(), true)).toEqual(all('created'));
  expect(existsSync(join(home, 'config'))).toBe(false);
  expect(install()).toEqual(all('created'));
  expect(install()).toEqual(all('unchanged'));
  const changed = install(plan({ cli: '/new/cli.js' })).filter((action) => action !== 'unchanged');
  expect(changed, 'the daemon unit').toEqual(['updated']);
  expect(uninstall(plan(), true)).toEqual(all('removed'));
  expect(uninstall()).toEqual(all('removed'));
  expect(existsSync(join(home, 'config'))).toBe(false);
  expect(uninstall()).toEqual(all('absent'));
});

test("directories and files of the user's stay", () => {
  const theirs = join(home, 'config', 'containers', 'containers.conf');
  mkdirSync(dirname(theirs), { recursive: true });
  writeFileSync(theirs, '[engine]\n');
  install();
  writeFileSync(paths.config, 'ignore = []\n');
  uninstall();
  expect(existsSync(theirs)).toBe(true);
  expect(existsSync(paths.config)).toBe(true);
  expect(existsSync(paths.hooksDirectory)).toBe(false);
  expect(existsSync(dirname(paths.containersDropIn))).toBe(false);
  expect(existsSync(dirname(paths.systemdUnit))).toBe(false);
});

test('an empty directory that was there before stays', () => {
  mkdirSync(dirname(paths.containersDropIn), { recursive: true });
  install();
  uninstall();
  expect(existsSync(dirname(paths.containersDropIn))).toBe(true);
});

test.each(['hookFile', 'containersDropIn', 'systemdUnit'] as const)(
  'an edited or foreign %s stops everything before anything is done',
  (which) => {
    mkdirSync(dirname(paths[which]), { recursive: true });
    writeFileSync(paths[which], 'mine');
    expect(() => install()).toThrow(EDITED);
    expect(readFileSync(paths[which], 'utf8')).toBe('mine');
    expect(existsSync(paths.installRecord)).toBe(false);
    rmSync(paths[which]);
    install();
    writeFileSync(paths[which], `${readFileSync(paths[which], 'utf8')}#\n`);
    expect(() => uninstall()).toThrow(EDITED);
    expect(() => install()).toThrow(EDITED);
    for (const { path } of plan()) expect(existsSync(path)).toBe(true);
  },
);

test('without the record our own files are still known', () => {
  install();
  rmSync(paths.installRecord);
  expect(new Set(install())).toEqual(new Set(['unchanged']));
  writeFileSync(paths.installRecord, '{"version":9}');
  expect(() => install()).toThrow(/damaged/);
});

test('what cannot be written is named', () => {
  mkdirSync(join(home, 'config'), { recursive: true });
  writeFileSync(join(home, 'config', 'containers'), 'a file');
  expect(() => install()).toThrow(UserError);
});

test('the hook is in one file, for both families, and the pattern is anchored', () => {
  const hook = JSON.parse(plan()[0]?.content ?? '');
  const patterns = Object.entries(hook.when.annotations);
  expect(patterns).toHaveLength(1); // all patterns must match
  const pattern = new RegExp(patterns[0]?.[0] ?? '');
  for (const key of [
    'sockswitch/enable',
    'nerdctl/bypass4netns',
    'nerdctl/bypass4netns-ignore-bind',
  ]) {
    expect(pattern.test(key), key).toBe(true);
  }
  for (const key of ['x/sockswitch/enable', 'sockswitch/', 'nerdctl/bypass4netnsd', 'nerdctl/x']) {
    expect(pattern.test(key), key).toBe(false);
  }
  expect(hook).toMatchObject({
    version: '1.0.0',
    hook: {
      path: '/opt/sockswitch-precreate',
      args: ['sockswitch-precreate', '--socket', '/run/user/1000/sockswitch/hook.sock'],
    },
    stages: ['precreate'],
  });
});

test.each([
  ['4.3.1', false],
  ['4.7.2', false],
  ['4.8.0', true],
  ['5.4.2', true],
  ['10.0.0', true],
  [undefined, false],
  ['rubbish', false],
])('Podman %s appends: %s', (version, expected) => {
  expect(appends(version)).toBe(expected);
});

test('the drop-in is TOML that Podman of either age reads', () => {
  const engine = (version: string) => {
    const { engine: table } = parse(plan({ podmanVersion: version })[1]?.content ?? '');
    return table;
  };
  expect(engine('5.4.2')).toEqual({ hooks_dir: [paths.hooksDirectory, { append: true }] });
  expect(engine('4.3.1')).toEqual({
    hooks_dir: ['/usr/share/containers/oci/hooks.d', paths.hooksDirectory],
  });
});

test('the units survive odd paths', () => {
  const unit = plan({ cli: '/opt/100% "mine"/$x/cli.js', configHome: '/c d' })[2]?.content ?? '';
  expect(unit).toContain(
    'ExecStart=/usr/bin/node "/opt/100%% \\"mine\\"/$$x/cli.js" daemon --external-keeper\n',
  );
  expect(unit).toContain('Environment="XDG_CONFIG_HOME=/c d"\n');
  expect(plan()[2]?.content).not.toContain('Environment');
});
