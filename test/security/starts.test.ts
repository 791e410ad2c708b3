/**
 * Other starting points for the attacks: a container's own process (not `podman exec`), --privileged, seccomp unconfined, runc,
 * another user inside. The races are attacks.test.ts's matter; here each runs once more with full rights.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeOnLab } from '../integration/support/lab.js';
import { type Container, ENABLED, podmanRun } from '../integration/support/podman.js';
import { ATTACKS } from './catalogue.js';
import { essence } from './support/outcome.js';
import {
  afterNetworkIsUp,
  attackCommand,
  attackIn,
  clearStage,
  outcomeOf,
  PATIENCE_MS,
  setStage,
  startTarget,
  TRIES,
  TRIES_WITHOUT,
  VOLUME,
} from './support/stage.js';

/** Those that take long because they wait in vain are left to attacks.test.ts. */
const QUICK = ATTACKS.filter(
  ({ id, race }) => race !== true && !['own-addresses', 'link-local', 'spellings-udp'].includes(id),
);

const RIGHTS = [
  { name: '--privileged', args: ['--privileged'], attacks: ATTACKS },
  { name: 'unconfined', args: ['--security-opt', 'seccomp=unconfined'], attacks: QUICK },
  { name: 'another user', args: ['--user', '999'], attacks: QUICK },
] as const;

describeOnLab('attacks by', () => {
  beforeAll(setStage);
  afterAll(clearStage);

  describe.each(RIGHTS)('$name', ({ args, attacks }) => {
    let plain: Container;
    let accelerated: Container;
    beforeAll(async () => {
      plain = await startTarget({ args });
      accelerated = await startTarget({ args, annotations: ENABLED });
    });
    test.each(attacks)('$id', { timeout: 400_000 }, async (attack) => {
      const expected = await attackIn(plain, attack, false);
      const outcome = await attackIn(accelerated, attack, true);
      expect({ ...essence(outcome), note: outcome.note }).toMatchObject(essence(expected));
      expect(outcome.reached && !expected.reached, outcome.note).toBe(false);
    });
  });

  describe.each(['crun', 'runc'] as const)('the own process, with %s', (runtime) => {
    test.each(QUICK)('$id', { timeout: 400_000 }, async (attack) => {
      const run = async (accelerated: boolean) => {
        const command = afterNetworkIsUp(
          attackCommand(attack, accelerated ? TRIES : TRIES_WITHOUT),
        );
        const annotations = accelerated ? ENABLED : {};
        const options = { runtime, annotations, args: VOLUME, timeout: PATIENCE_MS };
        return outcomeOf(attack, await podmanRun({ ...options, command }));
      };
      const [expected, outcome] = [await run(false), await run(true)];
      expect({ ...essence(outcome), note: outcome.note }).toMatchObject(essence(expected));
      expect(outcome.reached && !expected.reached, outcome.note).toBe(false);
    });
  });
});
