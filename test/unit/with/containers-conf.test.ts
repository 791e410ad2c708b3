/** Podman's configuration with ours in it: what was there stays, on every version. */
import { parse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { type ConfRequest, containersConf } from '../../../src/with/containers-conf.js';
import { abilitiesOf } from '../../../src/with/podman-program.js';

const HOOKS = '/home/me/.config/sockswitch/hooks.d';
const ENABLE = { 'sockswitch/enable': 'true' };

function conf(version: string, more: Partial<ConfRequest> = {}): unknown {
  return parse(
    containersConf({
      files: [],
      override: undefined,
      annotations: ENABLE,
      hooksDirectory: HOOKS,
      abilities: abilitiesOf(version),
      ...more,
    }),
  );
}

const file = (path: string, text: string) => ({ path, text });

test('what versions know', () => {
  expect(abilitiesOf('4.3.1')).toEqual({ override: false, append: false });
  expect(abilitiesOf('4.4.0')).toEqual({ override: true, append: false });
  expect(abilitiesOf('4.10.0')).toEqual({ override: true, append: true });
  expect(abilitiesOf('5.4.2')).toEqual({ override: true, append: true });
  expect(abilitiesOf(undefined)).toEqual({ override: true, append: true });
});

describe('Podman 4.8 and later', () => {
  test('lists append', () => {
    expect(conf('5.4.2')).toEqual({
      containers: { annotations: ['sockswitch/enable=true', { append: true }] },
      engine: { hooks_dir: [HOOKS, { append: true }] },
    });
  });

  test('an override file of the user stays, and its lists keep their meaning', () => {
    const override = file(
      'o.conf',
      '[containers]\nannotations=["a=1"]\npids_limit=5\n[network]\nx=1',
    );
    expect(conf('5.4.2', { override })).toEqual({
      containers: { annotations: ['a=1', 'sockswitch/enable=true'], pids_limit: 5 },
      engine: { hooks_dir: [HOOKS, { append: true }] },
      network: { x: 1 },
    });
    const appending = file('o.conf', '[containers]\nannotations=["a=1", {append=true}]');
    expect(conf('5.4.2', { override: appending })).toMatchObject({
      containers: { annotations: ['a=1', 'sockswitch/enable=true', { append: true }] },
    });
  });

  test('ours takes the place of a former one, and ignore lists add up', () => {
    const files = [
      file('c.conf', '[containers]\nannotations=["sockswitch/ignore=10.0.0.0/8 fd00::/8"]'),
    ];
    const override = file('o.conf', '[containers]\nannotations=["sockswitch/enable=false", "b=2"]');
    const annotations = { ...ENABLE, 'sockswitch/ignore': '192.0.2.0/24 10.0.0.0/8' };
    expect(conf('5.4.2', { files, annotations })).toMatchObject({
      containers: {
        annotations: [
          'sockswitch/enable=true',
          'sockswitch/ignore=10.0.0.0/8 fd00::/8 192.0.2.0/24',
          { append: true },
        ],
      },
    });
    expect(conf('5.4.2', { override })).toMatchObject({
      containers: { annotations: ['b=2', 'sockswitch/enable=true'] },
    });
  });

  test('done twice is done once', () => {
    const request: ConfRequest = {
      files: [],
      override: undefined,
      annotations: { ...ENABLE, 'sockswitch/ignore': '10.0.0.0/8' },
      hooksDirectory: HOOKS,
      abilities: abilitiesOf('5.4.2'),
    };
    const once = containersConf(request);
    expect(containersConf({ ...request, override: file('o.conf', once) })).toBe(once);
  });
});

test('Podman 4.4: lists repeat what they take the place of', () => {
  const files = [
    file('a.conf', '[containers]\nannotations=["a=1"]\n'),
    file('b.conf', '[engine]\nhooks_dir=["/hooks"]\n[containers]\nannotations=["b=2"]\n'),
  ];
  expect(conf('4.4.1', { files })).toEqual({
    containers: { annotations: ['b=2', 'sockswitch/enable=true'] },
    engine: { hooks_dir: ['/hooks', HOOKS] },
  });
  expect(conf('4.4.1')).toMatchObject({
    engine: { hooks_dir: ['/usr/share/containers/oci/hooks.d', HOOKS] },
  });
});

test('Podman 4.3: one file takes the place of all', () => {
  const files = [
    file('a.conf', '[engine]\nruntime="crun"\n[engine.runtimes]\ncrun=["/a"]\nrunc=["/r"]\n'),
    file('b.conf', '[engine]\nruntime="runc"\n[engine.runtimes]\ncrun=["/b"]\n'),
  ];
  const override = file('o.conf', 'this is not looked at');
  expect(conf('4.3.1', { files, override })).toEqual({
    containers: { annotations: ['sockswitch/enable=true'] },
    engine: {
      runtime: 'runc',
      runtimes: { crun: ['/b'], runc: ['/r'] },
      hooks_dir: ['/usr/share/containers/oci/hooks.d', HOOKS],
    },
  });
});

test('a file that is not understood is named, with the line', () => {
  const override = file('/tmp/o.conf', '[containers]\nannotations = [\n');
  expect(() => conf('5.4.2', { override })).toThrow(/"\/tmp\/o\.conf" is not understood \(line \d/);
});
