/** Which calls of podman and buildah are builds, or go to a service, and what is added to them. */
import { describe, expect, test } from 'vitest';
import { readCall, type Tool, withProfile } from '../../../src/with/words.js';

const read = (line: string, tool: Tool = 'podman', environment = {}) =>
  readCall(tool, line.split(' ').filter(Boolean), environment);

/** The line after a profile was added; undefined where it is no build. */
function added(line: string, tool: Tool = 'podman'): string | undefined {
  const words = line.split(' ');
  const { build } = readCall(tool, words, {});
  return build && withProfile(words, build, 'P').join(' ');
}

describe('builds', () => {
  test.each([
    ['build .', 'build --security-opt seccomp=P .'],
    ['image build -t x .', 'image build --security-opt seccomp=P -t x .'],
    ['buildx build .', 'buildx build --security-opt seccomp=P .'],
    [
      '--log-level debug --root=/r build .',
      '--log-level debug --root=/r build --security-opt seccomp=P .',
    ],
    ['build --security-opt seccomp=mine.json .', 'build --security-opt seccomp=P .'],
    [
      'build --security-opt=seccomp=a --security-opt label=disable .',
      'build --security-opt seccomp=P --security-opt label=disable .',
    ],
    [
      'build . -- --security-opt seccomp=x',
      'build --security-opt seccomp=P . -- --security-opt seccomp=x',
    ],
  ])('podman %s', (line, expected) => {
    expect(added(line)).toBe(expected);
  });

  test.each([['bud .', 'bud --security-opt seccomp=P .']])('buildah %s', (line, expected) => {
    expect(added(line, 'buildah')).toBe(expected);
  });

  test.each([
    'run image build .',
    'image ls',
    '--unknown value build .',
    'farm build .', // the path is one of this host
    'exec web bud',
    '',
    '--log-level',
  ])('not: podman %s', (line) => {
    expect(read(line).build).toBeUndefined();
  });

  test('what they say of their profile, isolation and network', () => {
    expect(
      read('build --security-opt seccomp=a --security-opt seccomp=unconfined .').build,
    ).toMatchObject({
      seccomp: 'unconfined',
    });
    expect(read('build --isolation chroot --network=none .').build).toMatchObject({
      isolation: 'chroot',
      network: 'none',
      seccomp: undefined,
    });
    expect(read('build .', 'podman', { BUILDAH_ISOLATION: 'chroot' }).build?.isolation).toBe(
      'chroot',
    );
    expect(read('build --isolation').build).toMatchObject({ isolation: '' });
  });
});

describe('working containers of buildah', () => {
  test('keep no profile', () => {
    expect(read('from --network=host alpine', 'buildah')).toMatchObject({
      working: 'from',
      build: { network: 'host' },
    });
    expect(read('--root /r run one -- make', 'buildah').working).toBe('run');
    expect(read('rm from', 'buildah')).toMatchObject({ working: undefined, build: undefined });
    expect(read('run x').working).toBeUndefined();
  });
});

describe('a Podman service', () => {
  test.each([
    ['--remote run x', '--remote'],
    ['-r run x', '-r'],
    ['-r=true run x', '-r'],
    ['--log-level debug --url unix:///s run x', '--url'],
    ['--connection=c ps', '--connection'],
    ['-cNAME run x', '-c'],
    ['-c=NAME run x', '-c'],
    ['-Hunix:///s run x', '-H'],
    ['-rcNAME run x', '-r'],
    ['--remote=false --remote run x', '--remote'],
    ['--remote=false --url unix:///s run x', '--url'],
    ['--syslog run -c 512 x', '-c'], // Podman takes "run" for a value there
  ])('podman %s', (line, remote) => {
    expect(read(line).remote).toBe(remote);
  });

  test.each([
    '--remote=false run x',
    '--remote --remote=0 run x',
    '-r=F run x',
    '--log-level debug run -c 512 x',
    'run x -r',
    'run --remote x',
  ])('not: podman %s', (line) => {
    expect(read(line).remote).toBeUndefined();
  });

  test('by the environment, the configuration and the program', () => {
    for (const name of ['CONTAINER_HOST', 'CONTAINER_CONNECTION']) {
      for (const value of ['unix:///s', '']) {
        expect(read('ps', 'podman', { [name]: value }).remote).toBe(name);
        for (const off of ['--remote=false', '--remote=0', '-r=f'])
          expect(read(`${off} build .`, 'podman', { [name]: value }).remote).toBeUndefined();
      }
      expect(read('build .', 'buildah', { [name]: 'unix:///s' }).remote).toBeUndefined();
    }
    const configured = { SOCKSWITCH_WITH_REMOTE: '1' };
    for (const line of ['run x', '--remote=false run x'])
      expect(read(line, 'podman', configured).remote).toContain('remote = true');
    expect(read('ps', 'podman-remote').remote).toBe('podman-remote');
  });
});

describe('what a call starts', () => {
  test.each([
    'run x',
    'create x',
    'container run x',
    'kube play y',
    'play kube y',
    'compose up',
    'compose -f build --profile=ps run x',
  ])('containers: podman %s', (line) => {
    expect(read(line).starts).toBe('containers');
  });

  test.each(['build .', 'image build .', 'farm build .', 'compose -p one build'])(
    'builds: podman %s',
    (line) => {
      expect(read(line).starts).toBe('builds');
      expect(read(`--remote ${line}`, 'podman-remote').starts).toBe('builds');
    },
  );

  test.each([
    'ps',
    'container ls',
    'kube down y',
    'kube play --down y',
    'farm list',
    'compose',
    'compose ps',
    'compose -f up down',
    'compose --profile run logs',
    'compose config',
  ])('nothing: podman %s', (line) => {
    const docker = { PODMAN_COMPOSE_PROVIDER: '/usr/bin/docker-compose' };
    expect(read(line, 'podman', docker)).toMatchObject({ starts: undefined, unseen: undefined });
  });
});

describe('what takes no profile, or is started by another program', () => {
  const docker = { PODMAN_COMPOSE_PROVIDER: '/usr/bin/docker-compose' };
  test.each([
    ['kube play --build pod.yaml', {}, 'kube play --build'],
    ['play kube --build=true pod.yaml', {}, 'kube play --build'],
    ['compose up', docker, '/usr/bin/docker-compose'],
    ['compose build', docker, 'build the images with "podman build"'],
    ['farm build .', {}, 'podman farm build'],
  ])('podman %s', (line, environment, part) => {
    expect(read(line, 'podman', environment).unseen).toContain(part);
  });

  test.each([
    ['kube play pod.yaml', {}],
    ['kube play --build --build=false pod.yaml', {}],
    ['kube play --build=F pod.yaml', {}],
    ['compose up', { PODMAN_COMPOSE_PROVIDER: '/usr/bin/podman-compose' }],
    ['compose up', {}],
    ['ps compose', docker],
  ])('not: podman %s', (line, environment) => {
    expect(read(line, 'podman', environment).unseen).toBeUndefined();
  });
});
