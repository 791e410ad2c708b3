/** The daemon as a whole, with a data plane and a keeper that only remember. */
import { existsSync, fstatSync, mkdirSync, mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Addon, KEEPER_SHUTDOWN, type KeeperHandlers } from '../../../src/addon/addon.js';
import { ControlClient, NoDaemonError } from '../../../src/api/client.js';
import {
  type ConfigPaths,
  configPaths,
  type RuntimePaths,
  runtimePaths,
  userId,
} from '../../../src/base/paths.js';
import { Supervisor, type SupervisorOptions } from '../../../src/daemon/supervisor.js';
import { loadConfig } from '../../../src/policy/config.js';
import { FakeEngine, FakeKeeper, FEATURES, OUTCOMES } from './fake-engine.js';

const ID = 'c'.repeat(64);
const STATE = JSON.stringify({
  ociVersion: '1.0',
  fds: ['seccompFd'],
  pid: 42,
  metadata: 'sockswitch/1',
  state: { id: ID, status: 'creating', pid: 42, bundle: '/b', annotations: {} },
});

let base: string;
let runtime: RuntimePaths;
let configuration: ConfigPaths;
let engine: FakeEngine;
let keeper: KeeperHandlers | undefined;
let link: FakeKeeper | undefined;
let sameVersion: boolean;
let lines: { msg: string }[];
let running: Supervisor[];

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'sockswitch-'));
  runtime = runtimePaths({ XDG_RUNTIME_DIR: base });
  configuration = configPaths({ XDG_CONFIG_HOME: join(base, 'config') });
  mkdirSync(dirname(configuration.config), { recursive: true });
  engine = new FakeEngine();
  sameVersion = true;
  lines = [];
  running = [];
});
afterEach(async () => {
  for (const supervisor of running) await supervisor.stop();
});

function addon(more: Partial<Addon> = {}): Addon {
  return {
    outcomes: OUTCOMES,
    tunSupport: () => ({ segments: false, problem: '' }),
    removeTunnelRules: () => undefined,
    kernelFeatures: () => ({ ...FEATURES, syncWakeUp: true, pidfdThread: true }),
    guardObstacle: () => '',
    repinObstacle: () => '',
    namesObstacle: () => undefined,
    socketLabelObstacle: () => '',
    createEngine: () => engine,
    connectKeeper: (_path, handlers) => {
      keeper = handlers;
      link = new FakeKeeper(sameVersion);
      return link;
    },
    portHolders: () => [],
    tcpSockets: () => [],
    execute: () => {
      throw new Error('the daemon becomes no other program');
    },
    peerCredentials: () => ({ pid: 1, uid: userId(), gid: 0 }),
    ...more,
  };
}

async function start(more: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  const supervisor = await Supervisor.start({
    addon: addon(),
    runtime,
    configuration,
    programs: {
      ...{ precreate: '', keeper: '/nonexistent', netns: '', guard: '', names: '', repin: '' },
      ...{ start: '', front: '', cli: '' },
    },
    graphRoot: join(base, 'storage'),
    config: loadConfig(configuration.config),
    log: pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
    fixedLogLevel: true,
    externalKeeper: false,
    ...more,
  });
  running.push(supervisor);
  return supervisor;
}

function hook(annotations: object): Promise<string> {
  const socket = connect(runtime.hookSocket);
  socket.end(
    JSON.stringify({
      annotations,
      linux: { cgroupsPath: `x:libpod:${ID}`, namespaces: [{ type: 'network' }, { type: 'user' }] },
    }),
  );
  return text(socket);
}

test('from the hook to the table and back to nothing', async () => {
  const supervisor = await start();
  const client = new ControlClient(runtime.controlSocket);
  const answer = await hook({ 'sockswitch/enable': 'true' });
  expect(answer).toMatch(/^OK\n\{/);
  expect(answer).toContain(`"listenerPath":"${runtime.listenerSocket}"`);

  keeper?.onListener({ id: 1, fd: 9, record: 10, state: STATE });
  expect(await client.status()).toMatchObject({ pid: process.pid, containers: 1, listeners: 1 });
  const explained = await client.explain({ container: 'cc', address: '192.0.2.1', port: 80 });
  expect(explained).toMatchObject({ container: ID, kind: 'switched', device: 'eth0' });

  await supervisor.stop();
  expect(engine.stopped && link?.closed).toBe(true);
  expect(existsSync(runtime.hookSocket) || existsSync(runtime.controlSocket)).toBe(false);
  await expect(client.status()).rejects.toThrow(NoDaemonError);
});

test('refusals are remembered', async () => {
  await start();
  expect(await hook({ 'sockswitch/enable': 'yes' })).toMatch(
    /^REJECT annotation sockswitch\/enable/,
  );
  keeper?.onRefused('two descriptors');
  const { incidents } = await new ControlClient(runtime.controlSocket).containers();
  expect(incidents).toMatchObject([
    { kind: 'rejected', container: ID, message: expect.stringContaining('"yes"') },
    { kind: 'listener', message: 'refused: two descriptors' },
  ]);
});

describe('where no socket can be guarded', () => {
  const enable = { 'sockswitch/enable': 'true' };
  beforeEach(() => {
    engine.guardsSockets = false;
    engine.guardObstacle = 'EPERM';
  });

  test('a container starts without acceleration, or not at all if it requires that', async () => {
    await start();
    expect(await hook(enable)).not.toContain('listenerPath');
    expect(await hook({ ...enable, 'sockswitch/required': 'true' })).toMatch(/^REJECT .*setcap/);
    const client = new ControlClient(runtime.controlSocket);
    expect((await client.status()).unaccelerated).toContain('require_guard = false');
    const { incidents } = await client.containers();
    expect(incidents.map(({ kind }) => kind)).toEqual(['unaccelerated', 'rejected']);
    expect(lines.filter(({ msg }) => msg?.startsWith('nothing is accelerated'))).toHaveLength(1);
  });

  test('a service is relayed, unless acceleration is required', async () => {
    await start();
    const publish = { ...enable, 'sockswitch/publish': '8080:80' };
    expect(await hook(publish)).toContain('listenerPath');
    expect(await hook({ ...publish, 'sockswitch/required': 'true' })).toMatch(/^REJECT .*setcap/);
  });

  test('the user may accept that', async () => {
    writeFileSync(configuration.config, 'require_guard = false');
    await start();
    expect(await hook(enable)).toContain('listenerPath');
    const status = await new ControlClient(runtime.controlSocket).status();
    expect(status.unaccelerated).toBeUndefined();
  });
});

test('without descriptors the keeper waits, and that is told once', async () => {
  await start();
  if (link === undefined) throw new Error('no keeper');
  link.short = true;
  keeper?.onShortage();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(link.resumed).toBe(false);
  link.short = false;
  await vi.waitFor(() => expect(link?.resumed).toBe(true));
  expect(lines.filter(({ msg }) => msg.includes('RLIMIT_NOFILE'))).toHaveLength(1);
});

test('the configuration is read again as a whole or not at all', async () => {
  const supervisor = await start();
  keeper?.onListener({ id: 1, fd: 9, record: 10, state: STATE });
  writeFileSync(configuration.config, 'ignore = ["192.0.2.0/24"]\n');
  await supervisor.reload();
  expect(engine.policies.get(1)?.ignore).toEqual(['192.0.2.0/24']);
  writeFileSync(configuration.config, 'ignore = ["198.51.100.0/24"]\nlog_lvel = "info"\n');
  await supervisor.reload();
  expect(engine.policies.get(1)?.ignore).toEqual(['192.0.2.0/24']);
  expect(lines.at(-1)?.msg).toMatch(/stays as it was: .*"log_lvel"/);
});

test('a start that nobody answered is reported, and explain says why', async () => {
  mkdirSync(runtime.directory, { mode: 0o700 });
  const time = Math.floor(Date.now() / 1000);
  const record = { time, container: [`/libpod_parent/libpod-${ID}`], reason: 'connect: ENOENT' };
  writeFileSync(runtime.missedStarts, `${JSON.stringify(record)}\n`);
  await start();
  keeper?.onReady();
  const client = new ControlClient(runtime.controlSocket);
  await expect
    .poll(async () => (await client.containers()).incidents, { timeout: 5_000 })
    .toMatchObject([
      {
        kind: 'unaccelerated',
        container: ID,
        message: expect.stringContaining('no daemon answered'),
      },
    ]);
  const explained = client.explain({ container: 'ccc', address: '192.0.2.1', port: 80 });
  await expect(explained).rejects.toThrow(/no accelerated container ccc.*no daemon answered/);
  const unknown = client.explain({ container: 'ddd', address: '192.0.2.1', port: 80 });
  await expect(unknown).rejects.toThrow(/ddd is running$/);
});

test('a second daemon is refused, and the first one goes on', async () => {
  await start();
  await expect(start()).rejects.toThrow(`already running (pid ${process.pid})`);
  const busy = addon({
    connectKeeper: () => {
      throw Object.assign(new Error('EBUSY'), { code: 'EBUSY' });
    },
  });
  const first = await new ControlClient(runtime.controlSocket).status();
  expect(first.containers).toBe(0);
  await running[0]?.stop();
  await expect(start({ addon: busy })).rejects.toThrow('already running');
});

test('a kernel that does not do is refused before anything is touched', async () => {
  const features = { ...addon().kernelFeatures(), addfd: false };
  await expect(start({ addon: addon({ kernelFeatures: () => features }) })).rejects.toThrow('5.9');
  expect(existsSync(runtime.directory)).toBe(false);
});

test('a keeper that goes away is replaced, and given what is served', async () => {
  await start();
  const first = { handlers: keeper, link };
  keeper?.onListener({ id: 7, fd: 9, record: 10, state: STATE });
  keeper?.onReady();
  expect(link?.held).toEqual([]);
  first.handlers?.onClose('gone');
  await expect.poll(() => lines.at(-1)?.msg).toBe('the keeper is back');
  expect(link).not.toBe(first.link);
  if (link !== undefined) link.full = true; // its socket takes nothing at first
  keeper?.onReady();
  expect(link?.held).toEqual([]);
  if (link !== undefined) link.full = false;
  await expect.poll(() => link?.held).toEqual([7]);
  expect((await new ControlClient(runtime.controlSocket).status()).keeper.connected).toBe(true);
});

test('a link that broke hands nothing over twice', async () => {
  await start();
  keeper?.onListener({ id: 7, fd: 9, record: 10, state: STATE });
  keeper?.onReady();
  keeper?.onClose('the link broke');
  await expect.poll(() => lines.at(-1)?.msg).toBe('the keeper is back');
  const again = { fd: openSync('/dev/null', 'r'), record: openSync('/dev/null', 'r') };
  keeper?.onListener({ id: 7, ...again, state: STATE });
  keeper?.onReady();
  expect(engine.attached.size).toBe(1);
  expect(link?.held).toEqual([]);
  for (const fd of Object.values(again)) expect(() => fstatSync(fd), 'closed').toThrow('EBADF');
});

test('a keeper of another version is replaced once what it holds is here', async () => {
  sameVersion = false;
  await start();
  const old = link;
  keeper?.onListener({ id: 7, fd: 9, record: 10, state: STATE });
  expect(old?.shutdowns).toEqual([]);
  keeper?.onReady();
  expect(old?.shutdowns).toEqual([KEEPER_SHUTDOWN.replaced]);
  keeper?.onClose('the keeper ended');
  await expect.poll(() => lines.at(-1)?.msg).toBe('the keeper is back');
  keeper?.onReady();
  expect(link?.held).toEqual([7]);
  expect(link?.shutdowns, 'not again and again').toEqual([]);
  expect(lines.at(-1)?.msg).toContain('of another version again');
});

test('a daemon without a keeper stays, for it has the listeners', async () => {
  let attempts = 0;
  const failing = addon({
    connectKeeper: (path, handlers) => {
      if (++attempts === 2) throw Object.assign(new Error('EPROTO'), { code: 'EPROTO' });
      return addon().connectKeeper(path, handlers);
    },
  });
  await start({ addon: failing });
  keeper?.onClose('gone');
  await expect.poll(() => lines.at(-1)?.msg, { timeout: 5_000 }).toBe('the keeper is back');
  expect(attempts).toBe(3);
});
