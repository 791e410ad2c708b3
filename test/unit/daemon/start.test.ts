/** What the daemon checks before it serves. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { KeeperHandlers, KeeperLink } from '../../../src/daemon/addon.js';
import { connectKeeper, KeeperBusyError } from '../../../src/daemon/keeper.js';
import { requireKernel } from '../../../src/daemon/kernel.js';
import { readableLine } from '../../../src/daemon/log.js';
import { wantsWaitKillable } from '../../../src/daemon/wait-killable.js';
import { FakeKeeper, FEATURES } from './fake-engine.js';

test('a kernel that is too old is refused with what it lacks', () => {
  requireKernel(FEATURES);
  expect(() => requireKernel({ ...FEATURES, addfd: false, netnsCookie: false })).toThrow(
    /5\.9.*5\.14/,
  );
  expect(() => requireKernel({ ...FEATURES, pinningProblem: 'EPERM on SO_BINDTODEVICE' })).toThrow(
    /EPERM on SO_BINDTODEVICE/,
  );
});

test('WAIT_KILLABLE_RECV only where no runc would choke on it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sockswitch-'));
  expect(wantsWaitKillable('always', false, directory)).toBe(false);
  expect(wantsWaitKillable('never', true, directory)).toBe(false);
  expect(wantsWaitKillable('always', true, directory)).toBe(true);
  writeFileSync(join(directory, 'runc'), '', { mode: 0o755 });
  expect(wantsWaitKillable('auto', true, directory)).toBe(false);
});

const HANDLERS: KeeperHandlers = {
  onListener: () => {},
  onKept: () => {},
  onRefused: () => {},
  onReady: () => {},
  onShortage: () => {},
  onClose: () => {},
};
const LINK: KeeperLink = new FakeKeeper();

function keeper(program: string, connect: () => KeeperLink) {
  return connectKeeper({
    addon: { connectKeeper: connect },
    socket: '/r/keeper.sock',
    program,
    runtimeDirectory: '/r',
    handlers: HANDLERS,
  });
}
const failing = (code: string) => Object.assign(new Error(code), { code });

test('a keeper that runs is used, one that is missing is started', async () => {
  expect(await keeper('/nonexistent', () => LINK)).toBe(LINK);
  let attempts = 0;
  const link = await keeper('/bin/true', () => {
    if (++attempts < 2) throw failing('ENOENT');
    return LINK;
  });
  expect(link).toBe(LINK);
});

test('a keeper that cannot be had', async () => {
  const none = () => {
    throw failing('ENOENT');
  };
  await expect(keeper('/nonexistent', none)).rejects.toThrow(
    /cannot start "\/nonexistent".*ENOENT/,
  );
  await expect(keeper('/bin/false', none)).rejects.toThrow(/ended at once \(status 1\)/);
  const busy = () => {
    throw failing('EBUSY');
  };
  await expect(keeper('/bin/true', busy)).rejects.toThrow(KeeperBusyError);
  const odd = () => {
    throw failing('ELOOP');
  };
  await expect(keeper('/bin/true', odd)).rejects.toThrow(/ELOOP/);
  const foreign = () => {
    throw failing('EPROTO');
  };
  await expect(keeper('/bin/true', foreign)).rejects.toThrow(/is no keeper.*fuser/);
});

test('a log line for people', () => {
  const line = JSON.stringify({
    level: 40,
    time: '2026-11-21T12:34:56.789Z',
    container: 'abc',
    detail: 'a b\u001b',
    msg: 'fallback: x',
  });
  expect(readableLine(line)).toBe('12:34:56 warn  fallback: x container=abc detail="a b\\u001b"');
});
