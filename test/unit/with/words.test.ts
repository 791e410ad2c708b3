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

  test.each([
    ['bud .', 'bud --security-opt seccomp=P .'],
    ['from alpine', 'from --security-opt seccomp=P alpine'],
  ])('buildah %s', (line, expected) => {
    expect(added(line, 'buildah')).toBe(expected);
  });

  test.each([
    'run image build .',
    'image ls',
    '--unknown value build .',
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

describe('a Podman service', () => {
  test.each([
    ['--remote run x', '--remote'],
    ['-r run x', '-r'],
    ['--log-level debug --url unix:///s run x', '--url'],
    ['--connection=c ps', '--connection'],
  ])('podman %s', (line, remote) => {
    expect(read(line).remote).toBe(remote);
  });

  test.each(['--remote=false run x', 'run x -r', 'run --remote x'])('not: podman %s', (line) => {
    expect(read(line).remote).toBeUndefined();
  });

  test('by the environment, and whether it matters', () => {
    const environment = { CONTAINER_HOST: 'unix:///s' };
    expect(read('ps', 'podman', environment)).toMatchObject({
      remote: 'CONTAINER_HOST',
      startsContainers: false,
    });
    for (const line of ['run x', 'container run x', 'kube play y', 'build .', 'compose up']) {
      expect(read(line, 'podman', environment).startsContainers, line).toBe(true);
    }
    expect(read('run x', 'buildah', environment).remote).toBeUndefined();
    const configured = { SOCKSWITCH_WITH_REMOTE: '1' };
    expect(read('run x', 'podman', configured).remote).toContain('remote = true');
    expect(read('--remote=false run x', 'podman', configured).remote).toBeUndefined();
  });
});

describe('what takes no profile, or is started by another program', () => {
  const docker = { PODMAN_COMPOSE_PROVIDER: '/usr/bin/docker-compose' };
  test.each([
    ['kube play --build pod.yaml', {}, 'kube play --build'],
    ['play kube --build=true pod.yaml', {}, 'kube play --build'],
    ['compose up', docker, '/usr/bin/docker-compose'],
  ])('podman %s', (line, environment, part) => {
    expect(read(line, 'podman', environment).unseen).toContain(part);
  });

  test.each([
    ['kube play pod.yaml', {}],
    ['kube play --build --build=false pod.yaml', {}],
    ['compose up', { PODMAN_COMPOSE_PROVIDER: '/usr/bin/podman-compose' }],
    ['compose up', {}],
    ['ps compose', docker],
  ])('not: podman %s', (line, environment) => {
    expect(read(line, 'podman', environment).unseen).toBeUndefined();
  });
});
