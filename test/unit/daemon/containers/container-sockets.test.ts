import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { socketsOf, stateName } from '../../../../src/daemon/containers/container-sockets.js';

const ID = 'a'.repeat(64);
let proc: string;

beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), 'sockswitch-'));
  process_('self', 'pid:[1]', '/user', {});
});

function process_(pid: string, namespace: string, cgroup: string, fds: object): void {
  mkdirSync(join(proc, pid, 'ns'), { recursive: true });
  mkdirSync(join(proc, pid, 'fd'));
  symlinkSync(namespace, join(proc, pid, 'ns/pid'));
  writeFileSync(join(proc, pid, 'cgroup'), `0::${cgroup}\n`);
  for (const [fd, target] of Object.entries(fds)) symlinkSync(target, join(proc, pid, 'fd', fd));
}

function socket(inode: number) {
  return {
    inode,
    state: 1,
    local: '10.0.0.1:1',
    remote: '10.0.0.2:2',
    bytesSent: 0,
    bytesReceived: 0,
    roundTripMicroseconds: 0,
  };
}
const found = (pid: number) =>
  socketsOf({ id: ID, pid }, [socket(100), socket(101)], proc).map(({ pid, fd, inode }) => [
    pid,
    fd,
    inode,
  ]);

test('the processes of its pid namespace, each socket once', () => {
  process_('7', 'pid:[2]', '/c', { 3: 'socket:[100]', 4: 'socket:[999]', 5: '/dev/null' });
  process_('8', 'pid:[2]', '/c', { 3: 'socket:[100]', 9: 'socket:[101]' });
  process_('9', 'pid:[3]', '/d', { 3: 'socket:[101]' });
  expect(found(7)).toEqual([
    [7, 3, 100],
    [8, 9, 101],
  ]);
});

test('those of pods in it, which have pid namespaces of their own in its cgroup', () => {
  process_('7', 'pid:[2]', `/user.slice/libpod-${ID}.scope/container`, {});
  process_('8', 'pid:[3]', `/user.slice/libpod-${ID}.scope/container/pod`, { 3: 'socket:[100]' });
  process_('9', 'pid:[1]', `/user.slice/libpod-conmon-${ID}.scope`, { 3: 'socket:[101]' });
  expect(found(7)).toEqual([[8, 3, 100]]);
});

test("with the host's pid namespace those of its cgroup, and not its monitor", () => {
  process_('7', 'pid:[1]', `/user.slice/libpod-${ID}.scope/container`, { 3: 'socket:[100]' });
  process_('8', 'pid:[1]', `/user.slice/libpod-conmon-${ID}.scope`, { 3: 'socket:[101]' });
  process_('9', 'pid:[1]', '/user.slice/other', { 3: 'socket:[101]' });
  expect(found(7)).toEqual([[7, 3, 100]]);
});

test('a container that has ended has none', () => {
  expect(found(4711)).toEqual([]);
});

test('states are named as ss names them', () => {
  expect([1, 2, 8, 77].map(stateName)).toEqual(['ESTAB', 'SYN-SENT', 'CLOSE-WAIT', 'UNKNOWN']);
});
