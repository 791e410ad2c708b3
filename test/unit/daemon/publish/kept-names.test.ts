import { fstatSync, openSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { KeptNames } from '../../../../src/daemon/publish/kept-names.js';

test('links of the last daemons are kept, and those of earlier ones dropped and closed', () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  const kept = new Map<number, string>();
  const keeper = {
    keep: (id: number, _fd: number, text: string) => void kept.set(id, text),
    drop: (id: number) => void kept.delete(id),
  };
  const daemons: number[][] = []; // the links of each
  for (let daemon = 0; daemon < 30; daemon++) {
    vi.setSystemTime(daemon === 20 ? 1_000 : 1_000_000); // once the clock is set back
    const before = [...kept];
    const names = new KeptNames({ links: [1, 2], keeper: () => keeper });
    const adopted = before.map(([id, text]) => {
      const fd = openSync('/dev/null', 'r');
      expect(names.adopt({ id, fd, text })).toBe(true);
      return { id, fd };
    });
    names.handedOver();
    daemons.push([...kept.keys()].filter((id) => !before.some(([one]) => one === id)));
    expect(new Set(kept.keys())).toEqual(new Set(daemons.slice(-17).flat()));
    for (const { id, fd } of adopted) {
      if (kept.has(id)) fstatSync(fd);
      else expect(() => fstatSync(fd)).toThrow('EBADF');
    }
    names.handedOver(); // a new keeper, which has nothing
    expect(kept.size).toBe(2 * Math.min(daemon + 1, 17));
  }
  const names = new KeptNames({ links: [], keeper: () => keeper });
  expect(names.adopt({ id: 1, fd: -1, text: '{"owner":"x"}' }), 'a reservation').toBe(false);
  vi.useRealTimers();
});
