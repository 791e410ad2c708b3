/** sockswitch-front: which calls it looks at, what it becomes, and what it is taken for by its name. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { program } from '../native/programs.js';

let base: string;

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'front-'));
  mkdirSync(join(base, 'links'));
  for (const name of ['podman', 'podman-remote', 'buildah', 'docker'])
    symlinkSync(program('sockswitch-front'), join(base, 'links', name));
  for (const name of ['podman', 'podman-remote', 'buildah', 'start']) {
    writeFileSync(join(base, name), `#!/bin/sh\necho "${name} $*"\n`);
    chmodSync(join(base, name), 0o755);
  }
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

function call(
  name: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  argv0 = name,
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  return spawnSync(join(base, 'links', name), words, {
    argv0,
    encoding: 'utf8',
    env: {
      SOCKSWITCH_WITH_PODMAN: join(base, 'podman'),
      SOCKSWITCH_WITH_PODMAN_REMOTE: join(base, 'podman-remote'),
      SOCKSWITCH_WITH_BUILDAH: join(base, 'buildah'),
      SOCKSWITCH_WITH_START: join(base, 'start'),
      ...environment,
    },
  });
}

describe('what it looks at', () => {
  test.each([
    'build .',
    'image build .',
    'run image build', // it does not know where the verb's words end
    '--log-level debug bud',
    'build-using-dockerfile',
    'from image',
    'kube play --build pod.yaml',
    'kube play --build=true pod.yaml',
    '--remote ps',
    '--remote=true ps',
    '--url unix:///s ps',
    '--connection one ps',
    '--context one ps',
    '--host one ps',
    'run --hostname one image', // the same for its options
    '-r ps',
    '-r=true ps',
    '-c one ps',
    '-H one ps',
    '-cNAME ps',
    '-Hunix:///s ps',
    '-rcNAME ps',
    '--syslog run -c 512 image',
    '--log-level debug -r ps',
    '--log-level=debug -r ps',
    '-x -r ps',
    '-c one -r ps',
    'compose up',
    '--log-level debug compose up',
    '-- compose up',
  ])('%s', (line) => {
    expect(call('podman', line.split(' ')).stdout).toBe(`start with-front podman ${line}\n`);
  });

  test('a service that the environment names', () => {
    for (const name of ['CONTAINER_HOST', 'CONTAINER_CONNECTION', 'SOCKSWITCH_WITH_REMOTE']) {
      expect(call('podman', ['ps'], { [name]: '1' }).stdout).toBe('start with-front podman ps\n');
    }
    const empty = (name: string) => call('podman', ['ps'], { [name]: '' }).stdout;
    expect(empty('CONTAINER_HOST'), 'as Podman').toBe('start with-front podman ps\n');
    expect(empty('SOCKSWITCH_WITH_REMOTE')).toBe('podman ps\n');
  });

  test('all calls of podman-remote', () => {
    expect(call('podman-remote', ['ps']).stdout).toBe('start with-front podman-remote ps\n');
    const { stdout } = call('podman-remote', ['ps'], { SOCKSWITCH_WITH_START: '' });
    expect(stdout).toBe('podman-remote ps\n');
  });

  test('of buildah', () => {
    expect(call('buildah', ['bud', '.']).stdout).toBe('start with-front buildah bud .\n');
    expect(call('buildah', ['run', 'c', 'make']).stdout).toBe('buildah run c make\n');
    const required = { SOCKSWITCH_WITH_REQUIRED: '1' };
    const { stdout } = call('buildah', ['run', 'c', 'make'], required);
    expect(stdout).toBe('start with-front buildah run c make\n');
    expect(call('podman', ['run', 'x'], required).stdout).toBe('podman run x\n');
  });
});

describe('what it does not look at', () => {
  test.each([
    'ps',
    'run -c 512 image',
    'run --rm -r image',
    'run image -H',
    'run image compose',
    '--log-level debug run -c 512 image',
    '--log-level=debug run -c 512 image',
    'builder prune',
    'run --builds image',
    '-- one two -r',
    '-',
  ])('%s', (line) => {
    expect(call('podman', line.split(' ')).stdout).toBe(`podman ${line}\n`);
  });

  test('no words, and empty ones', () => {
    expect(call('podman', []).stdout).toBe('podman \n');
    expect(call('podman', ['', '-r']).stdout).toBe('podman  -r\n');
  });
});

test('goes by the path that was executed, and is podman under any other name', () => {
  expect(call('buildah', ['images'], {}, 'podman').stdout).toBe('buildah images\n');
  expect(call('podman', ['images'], {}, 'buildah').stdout).toBe('podman images\n');
  expect(call('docker', ['images']).stdout).toBe('podman images\n');
});

test('goes by argv[0] where the path says nothing', () => {
  const script =
    'import os, sys; os.execve(os.open(sys.argv[1], os.O_PATH), ["buildah", "images"], os.environ)';
  const { stdout, stderr } = spawnSync('python3', ['-c', script, join(base, 'links/podman')], {
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin', SOCKSWITCH_WITH_BUILDAH: join(base, 'buildah') },
  });
  expect({ stdout, stderr }).toEqual({ stdout: 'buildah images\n', stderr: '' });
});

test('what is missing or cannot be executed, as env(1) has it', () => {
  const unknown = call('buildah', ['images'], { SOCKSWITCH_WITH_BUILDAH: '' });
  expect(unknown).toMatchObject({
    status: 127,
    stderr: 'sockswitch: buildah was not in PATH when "sockswitch with" was started\n',
  });
  const gone = call('podman', ['ps'], { SOCKSWITCH_WITH_PODMAN: join(base, 'gone') });
  expect(gone).toMatchObject({
    status: 127,
    stderr: `sockswitch: there is no command "${base}/gone": check its spelling, and PATH\n`,
  });
  expect(call('podman', ['ps'], { SOCKSWITCH_WITH_PODMAN: base })).toMatchObject({ status: 126 });
  expect(call('podman', ['build'], { SOCKSWITCH_WITH_START: base })).toMatchObject({ status: 126 });
});

test('without its variables, as without `sockswitch with`', () => {
  const env = (directory: string) => ({ PATH: `${join(base, 'links')}:relative:${directory}` });
  const podman = (directory: string) =>
    spawnSync(join(base, 'links/podman'), ['build', '.'], {
      encoding: 'utf8',
      env: env(directory),
    });
  expect(podman(base).stdout).toBe('podman build .\n');
  expect(podman('/nonexistent')).toMatchObject({
    status: 127,
    stderr: 'sockswitch: there is no other podman in PATH\n',
  });
});

test('never becomes itself', () => {
  const itself = join(base, 'links/podman');
  expect(call('podman', ['ps'], { SOCKSWITCH_WITH_PODMAN: itself })).toMatchObject({
    status: 126,
    stderr: `sockswitch: "${itself}" leads to this program again: correct PATH, and start sockswitch with anew\n`,
  });
});

test('a script without "#!" is one of the shell, as for a shell', () => {
  writeFileSync(join(base, 'plain'), 'echo "plain $*"\n', { mode: 0o755 });
  expect(call('podman', ['ps'], { SOCKSWITCH_WITH_PODMAN: join(base, 'plain') }).stdout).toBe(
    'plain ps\n',
  );
});
