import { expect, test } from 'vitest';
import { mayGetForeignSockets } from '../../../src/oci/foreign-sockets.js';

const ID = '0123456789abcdef'.repeat(4);
const OTHER = 'fedcba9876543210'.repeat(4);
const PRIVATE = [
  { type: 'pid' },
  { type: 'network', path: '/run/user/1000/netns/netns-x' },
] as const;
const isFile = (path: string) => path.endsWith('.conf');

function mounted(source: string, type = 'bind', options = ['rbind', 'ro']) {
  const mounts = [{ type, source, options }];
  return mayGetForeignSockets({ mounts, namespaces: PRIVATE }, ID, isFile);
}

test('a container alone gets no foreign sockets', () => {
  const own = { type: 'bind', source: `/run/overlay-containers/${ID}/userdata/shm`, options: [] };
  const tmpfs = { type: 'tmpfs', source: 'tmpfs', options: ['nosuid'] };
  const mounts = [own, tmpfs, { type: 'bind' }];
  expect(mayGetForeignSockets({ mounts, namespaces: PRIVATE }, ID, isFile)).toBe(false);
  expect(mayGetForeignSockets({ namespaces: PRIVATE }, undefined, isFile)).toBe(false);
});

test('a directory or socket that others reach, too, may bring some; a file does not', () => {
  expect(mounted('/srv/www')).toBe(true);
  expect(mounted('/run/user/1000/podman/podman.sock')).toBe(true);
  expect(mounted('/srv/www', 'none')).toBe(true);
  expect(mounted('/etc/nginx.conf')).toBe(false);
  expect(mounted(`/run/overlay-containers/${OTHER}/userdata/shm`)).toBe(true);
});

test('so may a namespace that others are in', () => {
  const [pid, network] = PRIVATE;
  const inside = (...namespaces: { type: string; path?: string }[]) =>
    mayGetForeignSockets({ namespaces }, ID, isFile);
  expect(inside(pid, { type: 'network', path: '/proc/7/ns/net' })).toBe(true);
  expect(inside(pid, { type: 'network' })).toBe(false);
  expect(inside({ type: 'pid', path: '/proc/7/ns/pid' }, network)).toBe(true);
  expect(inside(network)).toBe(true);
});
