import { pino } from 'pino';
import { beforeEach, expect, test, vi } from 'vitest';
import { Containers } from '../../../../src/daemon/containers/containers.js';
import { Listeners } from '../../../../src/daemon/listeners/listeners.js';
import { Journal } from '../../../../src/daemon/observe/journal.js';
import type { ContainerRequest } from '../../../../src/oci/annotations.js';
import { compilePolicy, SWITCH_NOTHING } from '../../../../src/policy/compile.js';
import { FakeEngine, FakeKeeper, OUTCOMES } from '../fake-engine.js';

const ID = 'a'.repeat(64);
let engine: FakeEngine;
let containers: Containers;
let listeners: Listeners;
let journal: Journal;
let lines: Record<string, unknown>[];
let ended: string[];
let registered: Map<string, ContainerRequest>;
let ids: number;

beforeEach(() => {
  engine = new FakeEngine();
  containers = new Containers(engine, OUTCOMES);
  journal = new Journal();
  lines = [];
  ended = [];
  registered = new Map();
  listeners = new Listeners({
    engine,
    containers,
    journal,
    log: pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
    compile: ({ request }) =>
      compilePolicy({
        config: { ignore: ['::1/128'] },
        ignore: request.ignore,
        podmanNetworks: ['10.88.0.0/16'],
        publish: [],
        listenUnseen: false,
        hostNames: false,
        networkAdmin: false,
        ignoreFirewall: false,
        podsEgress: false,
        podsNetworks: [],
        optionsUnseen: false,
        socketLabel: '',
      }),
    registered: (id) => registered.get(id),
    onBegun: () => {},
    onPinKept: () => {},
    onTunnel: () => {},
    onListener: () => {},
    onEnded: ({ id }) => void ended.push(id),
  });
  ids = 0;
  listeners.handoverEnded(new FakeKeeper());
});

function state(status: string, more: object = {}, stateMore: object = {}): string {
  return JSON.stringify({
    ociVersion: '1.0',
    fds: ['seccompFd'],
    pid: 42,
    metadata: 'sockswitch/1',
    state: {
      ociVersion: '1.0',
      id: ID,
      status,
      pid: 42,
      bundle: '/b',
      annotations: { 'sockswitch/enable': 'true', 'sockswitch/ignore': '10.0.0.0/8' },
      ...stateMore,
    },
    ...more,
  });
}
const rows = () =>
  containers.rows({
    ignore: () => [],
    publish: () => [],
    lostDatagrams: () => undefined,
    tunnels: () => ({}),
  });
const accept = (text: string) => listeners.accept({ id: ++ids, fd: 9, record: 10, state: text });
const close = (listener: number) =>
  listeners.onEvents([{ type: 'listener-closed', listener, detail: '' }]);

test('a container comes, is counted, and goes', () => {
  accept(state('creating'));
  expect(engine.attached.get(1)).toMatchObject({
    fd: 9,
    pid: 42,
    policy: { ignore: ['10.0.0.0/8', '::1/128'], podmanNetworks: ['10.88.0.0/16'] },
  });
  engine.counts.set(1, { switched: 5, ignored: 2, 'not-inet': 100 });
  const [row] = rows();
  expect(row).toMatchObject({
    id: ID,
    pid: 42,
    listeners: 1,
    counts: { switched: 5, fallback: 2, passed: 100 },
  });
  expect(row?.reasons.map(({ outcome, count }) => [outcome, count])).toEqual([
    ['switched', 5],
    ['ignored', 2],
  ]);
  close(1);
  expect(containers.size).toBe(0);
  expect(engine.forgotten).toEqual([1]);
  expect(lines.map(({ msg }) => msg)).toEqual(['container started', 'container stopped']);
  expect(lines[1]).toMatchObject({ container: ID, switched: 5, fallback: 2 });
});

test('what the keeper held is taken over, not started', () => {
  const fresh = new Listeners({
    engine,
    containers,
    journal,
    log: pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
    registered: (id) => registered.get(id),
    onBegun: () => {},
    onPinKept: () => {},
    onTunnel: () => {},
    onListener: () => {},
    onEnded: () => {},
    compile: () => SWITCH_NOTHING,
  });
  fresh.accept({ id: 1, fd: 9, record: 10, state: state('creating') });
  fresh.handoverEnded(new FakeKeeper());
  fresh.accept({ id: 2, fd: 9, record: 10, state: state('creating', {}, { id: 'b' }) });
  expect(lines.map(({ msg }) => msg)).toEqual(['container taken over', 'container started']);
});

test('an exec belongs to its container, and its counts stay when it ends', () => {
  accept(state('created'));
  accept(state('running', { pid: 0 }));
  expect(engine.attached.get(2)?.container).toBe(engine.attached.get(1)?.container);
  expect(engine.attached.get(2)?.pid).toBe(0);
  engine.counts.set(1, { switched: 1 });
  engine.counts.set(2, { switched: 10 });
  close(2);
  expect(rows()[0]).toMatchObject({ listeners: 1, counts: { switched: 11 } });
  expect(ended).toEqual([]);
  close(1);
  expect(containers.size).toBe(0);
  expect(ended).toEqual([ID]);
  expect(lines).toHaveLength(2);
});

test('what nerdctl has registered is served, whatever its profile says', () => {
  registered.set(ID, {
    enabled: true,
    required: false,
    ignore: ['192.0.2.0/24'],
    publish: [],
    ignoreFirewall: false,
    podsEgress: false,
    podsNetworks: [],
    hostNames: false,
    tunnels: 'none',
  });
  accept(state('creating', { metadata: '' }, { annotations: { any: 'thing' } }));
  expect(engine.attached.get(1)?.policy.ignore).toEqual(['192.0.2.0/24', '::1/128']);
  expect(rows()[0]?.status).toBe('running');
});

test('a restarted container is another one to the data plane, even before the old one ended', () => {
  accept(state('creating'));
  accept(state('creating'));
  expect(engine.attached.get(2)?.container).not.toBe(engine.attached.get(1)?.container);
  expect(containers.size).toBe(2);
  accept(state('running'));
  expect(engine.attached.get(3)?.container).toBe(engine.attached.get(2)?.container);
  close(1);
  expect(containers.find(ID).listeners).toEqual(new Set([2, 3]));
});

test.each([
  ['rubbish', 'not JSON'],
  ['{}', 'ociVersion'],
  [state('creating', { metadata: 'other' }), 'metadata'],
  [state('creating', { fds: [] }), 'fds'],
  [state('creating', { fds: ['seccompFd', 'seccompFd'] }), 'fds'],
  [state('strange'), 'state.status'],
  [state('creating', {}, { id: '' }), 'state.id'],
  [state('creating', {}, { annotations: { 'sockswitch/enable': 'perhaps' } }), 'perhaps'],
])('%s: served without switching, and said', (text, reason) => {
  accept(text);
  expect(engine.attached.get(1)?.policy).toEqual(SWITCH_NOTHING);
  expect(rows()[0]?.status).toBe('not-understood');
  expect(journal.list()[0]).toMatchObject({
    kind: 'listener',
    message: expect.stringContaining(reason),
  });
  close(1);
  expect(containers.size).toBe(0);
});

test('a descriptor that the data plane does not take leaves nothing behind', () => {
  engine.failure = new Error('EBADF: not a seccomp listener');
  accept(state('creating'));
  expect(containers.size).toBe(0);
  expect(containers.listenerCount).toBe(0);
  expect(journal.list()[0]).toMatchObject({
    container: ID,
    message: expect.stringContaining('EBADF'),
  });
});

test('policies are pushed to all listeners, but not to those that are not understood', () => {
  accept(state('creating'));
  accept('rubbish');
  containers.setPolicies((container) => {
    const policy = listeners.policyOf(container);
    return container.status === 'running'
      ? { ...policy, podmanNetworks: ['10.89.0.0/24'] }
      : policy;
  });
  expect(engine.policies.get(1)?.podmanNetworks).toEqual(['10.89.0.0/24']);
  expect(engine.policies.get(2)).toEqual(SWITCH_NOTHING);
});

test('events: one line each, and those of unknown listeners do no harm', () => {
  accept(state('creating'));
  accept(state('running'));
  listeners.onEvents([
    { type: 'first-outcome', listener: 1, outcome: 'ignored', detail: '10.0.0.1:443' },
    { type: 'first-outcome', listener: 2, outcome: 'ignored', detail: '10.0.0.1:443' },
    { type: 'listener-closed', listener: 2, detail: '' },
    { type: 'first-outcome', listener: 99, outcome: 'new-one', detail: '' },
    { type: 'listener-closed', listener: 99, detail: '' },
    { type: 'sockets-unlabelled', listener: 1, detail: 'write: EACCES' },
    { type: 'sockets-unlabelled', listener: 1, detail: 'write: EACCES' },
    { type: 'listener-failed', listener: 1, detail: 'ioctl: EIO' },
    // It goes on serving, so that its container does not hang, until it closes.
    { type: 'listener-closed', listener: 1, detail: '' },
  ]);
  expect(lines.slice(1).map(({ msg }) => msg)).toEqual([
    'fallback: On the ignore list.',
    'fallback: new-one',
    "listener makes sockets without the container's SELinux context: write: EACCES",
    'listener switches nothing: ioctl: EIO',
    'container stopped',
  ]);
});

test('a node whose service addresses are not listed is warned of once', () => {
  accept(state('creating'));
  accept(state('running'));
  const outcome = (listener: number, name: string) =>
    listeners.onEvents([{ type: 'first-outcome', listener, outcome: name, detail: '' }]);
  const warnings = () => journal.events().filter(({ type }) => type === 'unlisted-service');
  outcome(1, 'nested-netns');
  expect(warnings()).toEqual([]);
  engine.unlisted = '172.20.0.1';
  expect(rows()[0]?.unlistedService).toBe('172.20.0.1');
  outcome(1, 'ignored');
  expect(warnings()).toEqual([]);
  // Of another process tree, which comes to what the first one did.
  outcome(2, 'nested-netns');
  outcome(1, 'translated');
  expect(warnings()).toMatchObject([
    { container: ID, message: expect.stringContaining('172.20.0.1') },
  ]);
  expect(lines.filter(({ level }) => level === 40)).toMatchObject([{ address: '172.20.0.1' }]);
});

test('containers are found by the beginning of their id', () => {
  accept(state('creating'));
  accept(state('creating', {}, { id: `${'a'.repeat(60)}bbbb` }));
  expect(containers.find(ID).id).toBe(ID);
  expect(containers.find(`${'a'.repeat(60)}b`).id).toContain('bbbb');
  expect(() => containers.find('aaaa')).toThrow(expect.objectContaining({ code: 'ambiguous' }));
  expect(() => containers.find('b')).toThrow(expect.objectContaining({ code: 'not-found' }));
});

test('a listener for which there is no room is tried again, and reported once', () => {
  vi.useFakeTimers();
  try {
    engine.failure = new Error('Resource temporarily unavailable');
    const listener = { id: 77, fd: 10, record: 11, state: state('running') };
    listeners.accept(listener);
    vi.advanceTimersByTime(5_000);
    expect(engine.attached.size).toBe(0);
    expect(
      journal.list().filter(({ message }) => message.includes('cannot be served')),
    ).toHaveLength(1);
    // A keeper that is new gets it, too: the daemon may end before there is room.
    const keeper = new FakeKeeper();
    listeners.keeperLost();
    listeners.handoverEnded(keeper);
    expect(keeper.held).toEqual([77]);
    engine.failure = undefined;
    vi.advanceTimersByTime(1_000);
    expect([...engine.attached.values()]).toMatchObject([{ fd: 10, record: 11 }]);
    vi.advanceTimersByTime(5_000);
    expect(engine.attached.size).toBe(1);
  } finally {
    vi.useRealTimers();
  }
});
