import { openSync } from 'node:fs';
import { expect, test } from 'vitest';
import { KeptNames } from '../../../../src/daemon/publish/kept-names.js';

test('links of the last daemons are kept, and those of earlier ones dropped', () => {
  const kept = new Map<number, string>();
  const keeper = {
    keep: (id: number, _fd: number, text: string) => void kept.set(id, text),
    drop: (id: number) => void kept.delete(id),
  };
  for (let daemon = 1; daemon <= 30; daemon++) {
    const names = new KeptNames({ links: [1, 2], keeper: () => keeper });
    for (const [id, text] of kept) {
      expect(names.adopt({ id, fd: openSync('/dev/null', 'r'), text })).toBe(true);
    }
    names.handedOver();
    expect(kept.size).toBeLessThanOrEqual(2 * 9);
    expect(kept.size).toBeGreaterThanOrEqual(2);
  }
  const names = new KeptNames({ links: [], keeper: () => keeper });
  expect(names.adopt({ id: 1, fd: -1, text: '{"owner":"x"}' }), 'a reservation').toBe(false);
});
