import { expect, test } from 'vitest';
import type { KeeperHandlers, KeeperLink } from '../../../../src/addon/addon.js';
import { connectKeeper, KeeperBusyError } from '../../../../src/daemon/listeners/find-keeper.js';
import { FakeKeeper } from '../fake-engine.js';

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
