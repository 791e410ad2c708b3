/**
 * Drives the real keeper, with keeper_peer.py in the roles of OCI runtimes, containers and daemons.
 * The containers are processes under a real seccomp filter: that needs no root, only no_new_privs.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { KEEPER_SHUTDOWN, loadAddon } from '../../src/addon/addon.js';
import { program, type Running, start, temporaryDirectory } from './native/programs.js';

const STATE = '{"ociVersion":"1.0.2","fds":["seccompFd"],"pid":1,"state":{"id":"a{\\"]"}}';
const LISTENER = 1;
const REFUSED = 2;
const READY = 3;
const BUSY = 4;
const FORGET = 5;
const SHUTDOWN = 6;
const KEEP = 7;
const KEPT = 8;
const DROP = 9;

interface Message {
  readonly type: number;
  readonly id: number;
  readonly text: string;
  readonly listeners: number;
}

interface Reply {
  readonly container: number;
  readonly peer: number;
  readonly pid: number;
  readonly status: number;
  readonly messages: readonly Message[];
  readonly end: boolean;
}

/** keeper_peer.py: one command at a time, each answered. */
class Peers {
  readonly #process: ChildProcess;
  readonly #replies: AsyncIterator<string>;

  constructor() {
    const script = fileURLToPath(new URL('native/keeper_peer.py', import.meta.url));
    const child = spawn('python3', [script], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process = child;
    this.#replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async do(what: string, command: object = {}): Promise<Reply> {
    this.#process.stdin?.write(`${JSON.stringify({ do: what, ...command })}\n`);
    const { value } = await this.#replies.next();
    const reply = JSON.parse(value ?? '{"error":"keeper_peer.py has ended"}');
    if (reply.error) throw new Error(`${what}: ${reply.error}`);
    return reply;
  }

  end(): void {
    this.#process.stdin?.end();
  }
}

let directory: string;
let listenerSocket: string;
let keeperSocket: string;
let keeper: Running;
let peers: Peers;

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function startKeeper(): Promise<Running> {
  const running = start(program('sockswitch-keeper'), ['--runtime-dir', directory]);
  await until(() => existsSync(keeperSocket), 'keeper.sock');
  return running;
}

function descriptors(): number {
  return readdirSync(`/proc/${keeper.process.pid}/fd`).length;
}

/** CPU time so far, in clock ticks. */
function cpuTicks(running: Running): number {
  const fields = readFileSync(`/proc/${running.process.pid}/stat`, 'utf8')
    .split(') ')[1]
    ?.split(' ');
  return Number(fields?.[11]) + Number(fields?.[12]);
}

/** A container whose listener the keeper holds. */
async function newContainer(text = STATE): Promise<number> {
  const { container } = await peers.do('container');
  await peers.do('runtime', { path: listenerSocket, text, containers: [container] });
  return container;
}

async function receive(peer: number, count: number, timeout = 2): Promise<readonly Message[]> {
  return (await peers.do('receive', { peer, count, timeout })).messages;
}

async function connectDaemon(options: { keep?: boolean } = {}): Promise<number> {
  return (await peers.do('daemon', { path: keeperSocket, ...options })).peer;
}

/** Connects and reads what is replayed, kReady excluded. */
async function replayed(): Promise<{ peer: number; listeners: Message[] }> {
  const peer = await connectDaemon();
  const listeners: Message[] = [];
  while (true) {
    const [message] = await receive(peer, 1);
    if (!message) throw new Error('no kReady');
    if (message.type === READY) return { peer, listeners };
    listeners.push(message);
  }
}

/** Of a keeper that may not listen yet. */
async function eventuallyReplayed(): Promise<{ peer: number; listeners: Message[] }> {
  for (let i = 0; ; ++i) {
    const found = await replayed().catch((error) => {
      if (i > 100) throw error;
      return undefined;
    });
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

beforeEach(async () => {
  directory = temporaryDirectory();
  listenerSocket = join(directory, 'listener.sock');
  keeperSocket = join(directory, 'keeper.sock');
  keeper = await startKeeper();
  peers = new Peers();
  const started = peers;
  onTestFinished(() => started.end());
});

describe('what a daemon gives it to keep', () => {
  const keep = (peer: number, id: number, text: string, files = 1) =>
    peers.do('order', { peer, type: KEEP, id, text, files });

  test('comes back to the next one, before listeners, until it is dropped', async () => {
    await newContainer();
    const { peer } = await replayed();
    const before = descriptors();
    await keep(peer, 7, 'seven');
    await keep(peer, 3, 'three');
    await keep(peer, 7, 'seven again');
    await until(() => descriptors() === before + 2, 'two descriptors');
    await peers.do('hangup', { peer });
    const next = await replayed();
    expect(next.listeners).toMatchObject([
      { type: KEPT, id: 3, text: 'three' },
      { type: KEPT, id: 7, text: 'seven again' },
      { type: LISTENER },
    ]);
    await peers.do('order', { peer: next.peer, type: DROP, id: 3 });
    await peers.do('order', { peer: next.peer, type: DROP, id: 99 });
    await until(() => descriptors() === before + 1, 'one descriptor');
  });

  test('is one descriptor, and a short text', async () => {
    for (const [text, files] of [
      ['none', 0],
      ['two', 2],
      ['x'.repeat(1025), 1],
    ] as const) {
      const { peer } = await replayed();
      await keep(peer, 1, text, files);
      expect((await peers.do('receive', { peer, count: 1 })).end, text.slice(0, 5)).toBe(true);
    }
    expect((await replayed()).listeners).toEqual([]);
  });
});

describe('listeners', () => {
  test('are replayed to each daemon, then told as they come', async () => {
    await newContainer();
    await newContainer(` ${STATE}\n`);
    const first = await replayed();
    expect(first.listeners).toMatchObject([
      { type: LISTENER, text: STATE, listeners: 1 },
      { type: LISTENER, text: ` ${STATE}\n`, listeners: 1 },
    ]);
    await newContainer();
    const [third] = await receive(first.peer, 1);
    expect(third).toMatchObject({ type: LISTENER, text: STATE, listeners: 1 });
    await peers.do('hangup', { peer: first.peer });

    const second = await replayed();
    expect(second.listeners).toEqual([...first.listeners, third]);
  });

  test('hold trapped calls while there is no daemon', async () => {
    const container = await newContainer();
    const { peer } = await replayed();
    await peers.do('hangup', { peer });
    await peers.do('trap', { container });
    const next = await replayed();
    await peers.do('answer', { peer: next.peer, value: 42 });
    expect(await peers.do('end', { container })).toEqual({ status: 42 });
  });

  test('are let go when their last process has ended', async () => {
    const before = descriptors();
    const container = await newContainer();
    await until(() => descriptors() === before + 2, 'listener and record are held');
    await peers.do('end', { container });
    await until(() => descriptors() === before, 'the listener is released');
    expect((await replayed()).listeners).toEqual([]);
  });

  test('are let go when the daemon says so', async () => {
    const container = await newContainer();
    const { peer, listeners } = await replayed();
    const before = descriptors();
    await peers.do('order', { peer, type: FORGET, id: 12345 });
    await peers.do('order', { peer, type: FORGET, id: listeners[0]?.id });
    await until(() => descriptors() === before - 2, 'the listener is released');
    await peers.do('hangup', { peer });
    expect((await replayed()).listeners).toEqual([]);
    await peers.do('end', { container });
  });

  test('200 come and go and leave nothing behind', async () => {
    const { peer } = await replayed();
    const before = descriptors();
    for (let round = 0; round < 4; ++round) {
      const containers: number[] = [];
      for (let i = 0; i < 50; ++i) containers.push(await newContainer());
      expect(await receive(peer, 50)).toHaveLength(50);
      expect(descriptors()).toBe(before + 100);
      for (const container of containers) await peers.do('end', { container });
      await until(() => descriptors() === before, 'all are released');
    }
  });

  test('a daemon that does not read gets everything later', async () => {
    const peer = await connectDaemon();
    const large = `{"a":"${'x'.repeat(100_000)}"}`;
    for (let i = 0; i < 12; ++i) await newContainer(large);
    await until(() => descriptors() >= 24, 'all are held');
    const messages = await receive(peer, 13, 5);
    expect(messages.map((message) => message.type)).toEqual([READY, ...Array(12).fill(LISTENER)]);
    expect(messages.slice(1).every((message) => message.text === large)).toBe(true);
  });

  test('a state may come in pieces, and its sender may stay', async () => {
    const { peer: daemon } = await replayed();
    const { container } = await peers.do('container');
    const { peer } = await peers.do('runtime', {
      path: listenerSocket,
      text: STATE.slice(0, 10),
      containers: [container],
      hold: true,
    });
    expect(await receive(daemon, 1, 0.1)).toEqual([]);
    await peers.do('more', { peer, text: STATE.slice(10) });
    expect(await receive(daemon, 1)).toMatchObject([{ type: LISTENER, text: STATE }]);
  });
});

describe('what the kernel has too little of', () => {
  /** Of the keeper: how many more descriptors it may open. */
  async function leaveDescriptors(spare: number): Promise<void> {
    const { pid } = keeper.process;
    const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
    let limit = 0;
    for (let free = 0; free < spare || used.has(limit); ++limit) free += used.has(limit) ? 0 : 1;
    await execa('prlimit', ['--pid', String(pid), `--nofile=${limit}:`]);
  }

  async function silentRuntime(): Promise<number> {
    const before = descriptors();
    const runtime = await peers.do('runtime', { path: listenerSocket, hold: true });
    await until(() => descriptors() === before + 1, 'it is connected');
    return runtime.peer;
  }

  test('descriptors: without one for the listener, the container waits and is served', async () => {
    const { peer } = await replayed();
    const { container } = await peers.do('container');
    const runtime = await silentRuntime();
    await leaveDescriptors(0);
    await peers.do('more', { peer: runtime, text: STATE, containers: [container] });
    await peers.do('hangup', { peer: runtime });
    await peers.do('trap', { container });
    const cpuBefore = cpuTicks(keeper);
    expect(await receive(peer, 1, 0.5)).toEqual([]);
    expect(cpuTicks(keeper) - cpuBefore, 'the keeper does not spin').toBeLessThan(10);
    await leaveDescriptors(1000);
    const messages = await receive(peer, 1);
    expect(messages).toMatchObject([{ type: LISTENER, text: STATE, listeners: 1 }]);
    await peers.do('answer', { peer, value: 42 });
    expect(await peers.do('end', { container })).toEqual({ status: 42 });
  });

  test('descriptors: without one for its record, a listener is kept until there is one', async () => {
    const { peer } = await replayed();
    const { container } = await peers.do('container');
    const runtime = await silentRuntime();
    await leaveDescriptors(1);
    // The peer's own descriptor becomes free, and is the record's.
    await peers.do('more', { peer: runtime, text: STATE, containers: [container] });
    await peers.do('trap', { container });
    expect(await receive(peer, 2)).toMatchObject([
      { type: REFUSED, text: expect.stringContaining('a listener waits for its record') },
      { type: LISTENER, text: STATE, listeners: 1 },
    ]);
    await peers.do('answer', { peer, value: 42 });
    expect(await peers.do('end', { container })).toEqual({ status: 42 });
  });

  test('descriptors: a listener whose container ends meanwhile is let go', async () => {
    await replayed();
    const { container } = await peers.do('container');
    const before = descriptors();
    const runtime = await silentRuntime();
    await leaveDescriptors(1);
    await peers.do('more', { peer: runtime, text: STATE, containers: [container] });
    await peers.do('end', { container });
    await until(() => descriptors() === before, 'nothing is held');
  });

  test('memory that may be executed (vm.memfd_noexec=2): records need none', async ({ skip }) => {
    keeper.process.kill('SIGTERM');
    await keeper.ended;
    const alone = ['--user', '--map-root-user', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const strict = 'echo 2 >/proc/sys/vm/memfd_noexec && exec "$0" --runtime-dir "$1"';
    const inside = ['sh', '-c', strict];
    const probe = await execa('unshare', [...alone, ...inside, 'true', ''], { reject: false });
    if (probe.exitCode !== 0) skip(`vm.memfd_noexec (Linux 6.3) cannot be set: ${probe.stderr}`);
    const unshare = (await execa('which', ['unshare'])).stdout;
    const keeperProgram = program('sockswitch-keeper');
    start(unshare, [...alone, '/bin/sh', '-c', strict, keeperProgram, directory]);
    await until(() => existsSync(keeperSocket), 'keeper.sock');
    await newContainer();
    expect((await replayed()).listeners).toMatchObject([{ type: LISTENER, text: STATE }]);
  });
});

describe('rubbish is refused', () => {
  const long = `{"a":"${'x'.repeat(128 * 1024)}"}`;
  test.each([
    ['nothing', {}, 'a peer left without sending anything'],
    ['no descriptor', { text: STATE }, 'the state came without a descriptor'],
    ['another descriptor', { text: STATE, files: 1 }, 'the descriptor is no seccomp listener'],
    ['two descriptors', { text: STATE, files: 2 }, 'two descriptors came instead of one'],
    ['too many descriptors', { text: STATE, files: 21 }, 'more descriptors came than can be taken'],
    ['no object', { text: '[{}]', files: 1 }, 'the state is not one JSON object'],
    ['two objects', { text: `${STATE}{}`, files: 1 }, 'the state is not one JSON object'],
    ['binary', { text: '\u0000\u0001', files: 1 }, 'the state is not one JSON object'],
    ['half an object', { text: '{"a":', files: 1 }, 'the state ended before it was complete'],
    ['too much', { text: long, files: 1 }, 'the state is too long'],
  ])('%s', async (_, what, reason) => {
    const { peer } = await replayed();
    const before = descriptors();
    await peers.do('runtime', { path: listenerSocket, ...what }).catch(() => {}); // EPIPE: refused
    expect(await receive(peer, 1)).toEqual([{ type: REFUSED, id: 0, text: reason, listeners: 0 }]);
    await until(() => descriptors() === before, 'all descriptors are closed');
  });

  test('a second listener, too', async () => {
    const { peer } = await replayed();
    const { container: one } = await peers.do('container');
    const { container: two } = await peers.do('container');
    await peers.do('runtime', { path: listenerSocket, text: STATE, containers: [one, two] });
    expect(await receive(peer, 2, 0.3)).toMatchObject([{ type: REFUSED }]);
  });

  test('who stops in the middle has five seconds, who says nothing all the time', async () => {
    const { peer: daemon } = await replayed();
    const alone = descriptors();
    const { peer: silent } = await peers.do('runtime', { path: listenerSocket, hold: true });
    await until(() => descriptors() === alone + 1, 'the silent one is connected');
    await peers.do('runtime', { path: listenerSocket, text: '{', files: 1, hold: true });
    expect(await receive(daemon, 1, 4.5)).toEqual([]);
    expect(await receive(daemon, 2, 1.5)).toMatchObject([
      { type: REFUSED, text: 'the state was not complete in time' },
    ]);
    expect(descriptors()).toBe(alone + 1);
    await peers.do('more', { peer: silent, text: STATE });
    expect(await receive(daemon, 1)).toMatchObject([
      { type: REFUSED, text: 'the state came without a descriptor' },
    ]);
  });

  test('32 reasons wait for a daemon; the others are counted', async () => {
    for (let i = 0; i < 100; ++i) await peers.do('runtime', { path: listenerSocket, text: 'x' });
    const { peer } = await replayed();
    const refusals = await receive(peer, 100, 0.3);
    expect(refusals).toHaveLength(32);
    expect(refusals.every((message) => message.type === REFUSED)).toBe(true);
  });

  test('600 idle connections keep no listener away for good', async () => {
    const { peer: daemon } = await replayed();
    const idle: number[] = [];
    for (let i = 0; i < 600; ++i) {
      idle.push((await peers.do('runtime', { path: listenerSocket, hold: true })).peer);
    }
    const { container } = await peers.do('container');
    const waiting = { path: listenerSocket, text: STATE, containers: [container], hold: true };
    await peers.do('runtime', waiting);
    const cpuBefore = cpuTicks(keeper);
    expect(await receive(daemon, 1, 0.5)).toEqual([]);
    expect(cpuTicks(keeper) - cpuBefore, 'the keeper does not spin').toBeLessThan(10);
    for (const peer of idle) await peers.do('hangup', { peer });
    const messages = await receive(daemon, 600, 1);
    expect(messages.filter((message) => message.type === LISTENER)).toHaveLength(1);
  });
});

describe('daemons', () => {
  test('are told the version, and given the socket that runtimes connect to', async () => {
    const { peer } = await replayed();
    expect(await peers.do('hello', { peer })).toEqual({ version: 2, listening: listenerSocket });
  });

  test('give a new keeper what the old one held', async () => {
    const container = await newContainer();
    const old = await replayed();
    const [kept] = old.listeners;
    keeper.process.kill('SIGKILL');
    await keeper.ended;
    rmSync(keeperSocket);
    keeper = await startKeeper();
    const { peer, listeners } = await replayed();
    expect(listeners).toEqual([]);
    const before = descriptors();
    await peers.do('hold', { peer, from: old.peer, id: kept?.id });
    await until(() => descriptors() === before + 2, 'listener and record are held');
    await peers.do('hold', { peer, from: old.peer, id: kept?.id }); // once more changes nothing
    await peers.do('hangup', { peer: old.peer });
    await newContainer();
    const [next] = await receive(peer, 1);
    expect(next?.id).toBeGreaterThan(kept?.id ?? Number.NaN);
    expect(descriptors()).toBe(before + 4);
    await peers.do('hangup', { peer });
    await peers.do('trap', { container });
    const last = await connectDaemon();
    expect(await receive(last, 1)).toEqual([kept]);
    await peers.do('answer', { peer: last, value: 42 });
    expect(await peers.do('end', { container })).toEqual({ status: 42 });
  });

  test.each([
    ['with an id that is yet to come', { id: 2 ** 50, plain: false }],
    ['that is none', { id: 1, plain: true }],
  ])('a listener %s is not taken', async (_, { id, plain }) => {
    await newContainer();
    const { peer } = await replayed();
    const before = descriptors();
    await peers.do('hold', { peer, from: peer, id, plain });
    expect(await peers.do('receive', { peer, count: 1 })).toEqual({ messages: [], end: true });
    await until(() => descriptors() <= before, 'nothing is kept');
  });

  test('a second one is told that the keeper is busy', async () => {
    const { peer } = await replayed();
    const second = await connectDaemon();
    expect(await peers.do('receive', { peer: second, count: 2 })).toEqual({
      messages: [{ type: BUSY, id: 0, text: '', listeners: 0 }],
      end: true,
    });
    await newContainer();
    expect(await receive(peer, 1)).toMatchObject([{ type: LISTENER }]);
  });

  test.each([
    ['a wrong magic', { type: FORGET, id: 1, magic: 1 }],
    ['an unknown message', { type: 99, id: 1 }],
  ])('%s ends the connection, not the keeper', async (_, order) => {
    await newContainer();
    const { peer } = await replayed();
    await peers.do('order', { peer, ...order });
    expect(await peers.do('receive', { peer, count: 1 })).toEqual({ messages: [], end: true });
    expect((await replayed()).listeners).toHaveLength(1);
  });

  test('many come and go', async () => {
    await newContainer();
    const before = descriptors();
    for (let i = 0; i < 50; ++i) {
      const { peer, listeners } = await replayed();
      expect(listeners).toHaveLength(1);
      await peers.do('hangup', { peer });
    }
    await until(() => descriptors() === before, 'nothing is left behind');
  });
});

describe('the end', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s removes the sockets', async (signal) => {
    keeper.process.kill(signal);
    expect(await keeper.ended).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readdirSync(directory)).toEqual(['keeper.lock']);
  });

  test('is not brought by SIGHUP or SIGPIPE', async () => {
    keeper.process.kill('SIGHUP');
    keeper.process.kill('SIGPIPE');
    expect((await replayed()).listeners).toEqual([]);
  });

  test('shutdown at once', async () => {
    await newContainer();
    const { peer } = await replayed();
    await peers.do('order', { peer, type: SHUTDOWN, id: 1 });
    expect(await keeper.ended).toMatchObject({ status: 0 });
    expect((await keeper.ended).stderr).toContain('holds 1 listener');
  });

  test('a replaced one hands over runtimes that have not sent their state', async () => {
    const { container: one } = await peers.do('container');
    const { container: two } = await peers.do('container');
    const peer = await connectDaemon({ keep: true });
    expect(await receive(peer, 1)).toMatchObject([{ type: READY }]);
    const before = descriptors();
    const silent = await peers.do('runtime', { path: listenerSocket, hold: true });
    const talking = await peers.do('runtime', {
      path: listenerSocket,
      text: STATE.slice(0, 10),
      containers: [one],
      hold: true,
    });
    await until(() => descriptors() === before + 3, 'both are connected');
    await peers.do('order', { peer, type: SHUTDOWN, id: 2 });
    expect(await keeper.ended).toEqual({ status: 75, stdout: '', stderr: '' });
    await peers.do('keeper', { peer, program: program('sockswitch-keeper'), directory });
    const next = await eventuallyReplayed();
    await peers.do('more', { peer: talking.peer, text: STATE.slice(10) });
    await peers.do('more', { peer: silent.peer, text: STATE, containers: [two] });
    const taken = { type: LISTENER, text: STATE, listeners: 1 };
    expect([...next.listeners, ...(await receive(next.peer, 2))]).toMatchObject([taken, taken]);
    await peers.do('trap', { container: two });
    await peers.do('answer', { peer: next.peer, value: 42 });
    expect(await peers.do('end', { container: two })).toEqual({ status: 42 });
  });

  test('a peer that was handed over is a connection', async () => {
    const { peer } = await replayed();
    await peers.do('runtime', { path: listenerSocket, text: '\u0001', files: 1 });
    expect(await receive(peer, 1)).toMatchObject([
      { type: REFUSED, text: 'what another keeper handed over is no connection' },
    ]);
  });

  test('shutdown when nothing is held and no daemon is there', async () => {
    const container = await newContainer();
    const { peer } = await replayed();
    await peers.do('order', { peer, type: SHUTDOWN, id: 0 });
    await peers.do('end', { container });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(keeper.process.exitCode).toBeNull();
    await peers.do('hangup', { peer });
    expect(await keeper.ended).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('shutdown by a daemon that leaves before it is greeted', async () => {
    keeper.process.kill('SIGSTOP');
    const peer = await connectDaemon();
    await peers.do('order', { peer, type: SHUTDOWN, id: 0 });
    await peers.do('hangup', { peer });
    keeper.process.kill('SIGCONT');
    expect(await keeper.ended).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('shutdown by a daemon that leaves what it was told unread', async () => {
    const peer = await connectDaemon();
    await peers.do('readable', { peer });
    keeper.process.kill('SIGSTOP');
    await peers.do('order', { peer, type: SHUTDOWN, id: 0 });
    await peers.do('hangup', { peer });
    keeper.process.kill('SIGCONT');
    expect(await keeper.ended).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('what a daemon has given it is kept though the next one is there already', async () => {
    const peer = await connectDaemon();
    await peers.do('readable', { peer });
    keeper.process.kill('SIGSTOP');
    const next = await connectDaemon();
    await peers.do('order', { peer, type: KEEP, id: 7, text: 'port', files: 1 });
    await peers.do('hangup', { peer });
    keeper.process.kill('SIGCONT');
    expect(await receive(next, 2)).toMatchObject([{ type: KEPT, id: 7 }, { type: READY }]);
  });

  test('a new daemon takes a shutdown back', async () => {
    const container = await newContainer();
    const first = await replayed();
    await peers.do('order', { peer: first.peer, type: SHUTDOWN, id: 0 });
    await peers.do('hangup', { peer: first.peer });
    const second = await replayed();
    await peers.do('end', { container });
    await peers.do('hangup', { peer: second.peer });
    expect((await replayed()).listeners).toEqual([]);
  });
});

describe('the runtime directory', () => {
  async function fails(path: string): Promise<string> {
    const { status, stderr } = await start(program('sockswitch-keeper'), ['--runtime-dir', path])
      .ended;
    expect(status).toBe(1);
    return stderr;
  }

  test('is served by one keeper', async () => {
    expect(await fails(directory)).toBe(
      `sockswitch-keeper: another keeper already serves ${directory}\n`,
    );
    expect((await replayed()).listeners).toEqual([]);
  });

  test('is served by one of ten that start together', async () => {
    const other = temporaryDirectory();
    const racers = Array.from({ length: 10 }, () =>
      start(program('sockswitch-keeper'), ['--runtime-dir', other]),
    );
    const statuses: (number | null)[] = [];
    for (const { ended } of racers) void ended.then(({ status }) => statuses.push(status));
    await until(() => statuses.length >= 9, 'nine of them end');
    expect(statuses).toEqual(Array.from({ length: 9 }, () => 1));
    await until(() => existsSync(join(other, 'keeper.sock')), 'the tenth serves');
    expect(statuses).toHaveLength(9);
  });

  test('is taken over from a keeper that is about to end', async () => {
    keeper.process.kill('SIGSTOP');
    keeper.process.kill('SIGTERM');
    const next = start(program('sockswitch-keeper'), ['--runtime-dir', directory]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    keeper.process.kill('SIGCONT');
    expect(await keeper.ended).toMatchObject({ status: 0 });
    await until(() => existsSync(keeperSocket), 'keeper.sock');
    keeper = next;
    expect((await replayed()).listeners).toEqual([]);
  });

  test('is taken over from a keeper that was killed', async () => {
    keeper.process.kill('SIGKILL');
    await keeper.ended;
    expect(existsSync(listenerSocket)).toBe(true);
    keeper = start(program('sockswitch-keeper'), ['--runtime-dir', directory]);
    await until(() => statSync(keeperSocket).mode % 0o1000 === 0o600, 'the socket is new');
    await eventuallyReplayed();
  });

  // The data plane's event loop is C: an exception that reached it would end the daemon.
  test('goes on talking to a daemon whose handler throws', async () => {
    const said = vi.spyOn(console, 'error').mockImplementation(() => {});
    onTestFinished(() => said.mockRestore());
    const closed: string[] = [];
    let ready = 0;
    const link = loadAddon().connectKeeper(keeperSocket, {
      onListener: () => {},
      onKept: () => {},
      onRefused: () => {},
      onShortage: () => {},
      onReady: () => {
        ready++;
        throw new Error('of a handler');
      },
      onClose: (reason) => void closed.push(reason),
    });
    await until(() => ready > 0, 'onReady');
    await until(() => said.mock.calls.length > 0, 'a report');
    expect(said.mock.calls).toEqual([
      ['sockswitch: an event was not handled:', new Error('of a handler')],
    ]);
    expect(closed).toEqual([]);
    link.shutdown(KEEPER_SHUTDOWN.atOnce);
    expect(await keeper.ended).toMatchObject({ status: 0 });
    await until(() => closed.length > 0, 'onClose');
  });

  test('has nothing but sockets and a lock, closed to others', () => {
    for (const name of readdirSync(directory)) {
      expect(statSync(join(directory, name)).mode & 0o777, name).toBe(0o600);
    }
  });

  test('must be there, ours and closed to others', async () => {
    const parent = temporaryDirectory();
    expect(await fails(join(parent, 'none'))).toContain('No such file or directory');
    writeFileSync(join(parent, 'file'), '');
    expect(await fails(join(parent, 'file'))).toContain('Not a directory');
    mkdirSync(join(parent, 'open'));
    chmodSync(join(parent, 'open'), 0o750);
    expect(await fails(join(parent, 'open'))).toContain('is open to other users');
  });

  test('and its names are ours: what else has one is left alone, and told', async () => {
    const parent = temporaryDirectory();
    const path = join(parent, 'listener.sock');
    writeFileSync(path, 'precious');
    expect(await fails(parent)).toContain(
      `${path} was not made by sockswitch (ENOTSOCK): remove it, and start again`,
    );
    expect(readFileSync(path, 'utf8')).toBe('precious');
    rmSync(path);
    const server = createServer().listen(path);
    await once(server, 'listening');
    expect(await fails(parent)).toContain(`${path} is served by another program`);
    await new Promise((closed) => server.close(closed));
    rmSync(join(parent, 'keeper.lock'));
    mkdirSync(join(parent, 'keeper.lock'));
    expect(await fails(parent)).toContain('keeper.lock was not made by sockswitch (EISDIR)');
  });
});
